package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// environment is the layer of environment variables.
type environment struct {
	values map[string]any
	origin map[string]string // dotted path → variable
}

// environment reads the variables that set keys: AGENTGW_ and a path whose
// levels are parted by __. A name without __ is no setting, so that a secret
// may be called AGENTGW_CURSOR_SECRET.
func (s Source) environment(schema compiled) (environment, Problems) {
	env := environment{values: map[string]any{}, origin: map[string]string{}}
	var problems Problems
	pairs := slices.Clone(s.Environ)
	slices.Sort(pairs)
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		rest, ok := strings.CutPrefix(name, EnvPrefix)
		if !ok || !strings.Contains(rest, "__") {
			continue
		}
		path := strings.Split(strings.ToLower(rest), "__")
		at := schema.find(path)
		if path[0] == "keys" || at != nil && at.Type == "object" {
			problems = append(problems, Problem{Path: path, Origin: name, Message: "cannot be set by a variable; set it in the file"})
			continue
		}
		if at == nil {
			problems = append(problems, Problem{Path: path, Origin: name, Message: "unknown key" + nearestPath(schema, path)})
			continue
		}
		value, err := envValue(at.Type, text)
		if err != nil {
			problems = append(problems, Problem{Path: path, Origin: name, Message: fmt.Sprintf("want %s, got %q", article(at.Type), text)})
			continue
		}
		put(env.values, path, value)
		env.origin[strings.Join(path, ".")] = name
	}
	return env, problems
}

// envValue reads a variable's text as what the key is: numbers, booleans and
// lists as YAML writes them, everything else as it stands.
func envValue(kind, text string) (any, error) {
	if kind == "string" {
		return text, nil
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return plain(v), nil
}

func nearestPath(schema compiled, path []string) string {
	for i := range path {
		if schema.find(path[:i+1]) == nil {
			return suggestion(path[i], schema.names(path[:i]))
		}
	}
	return ""
}

func put(m map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := m[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[name] = inner
		}
		m = inner
	}
	m[path[len(path)-1]] = value
}
