package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/normalize"
)

// environment holds the settings that come from environment variables.
type environment struct {
	values map[string]any
	origin map[string]string // dotted path → variable name
}

// originOf returns the variable that a setting, or one below it, comes from; empty if it comes
// from the file.
func (e environment) originOf(dotted string) string {
	if variable, ok := e.origin[dotted]; ok {
		return variable
	}
	for path, variable := range e.origin {
		if strings.HasPrefix(path, dotted+".") {
			return variable
		}
	}
	return ""
}

// environment reads the variables that are settings: AGENTGW_, then a path with __ between
// its levels. A name without __ is not a setting, so that a secret may be stored in
// AGENTGW_CURSOR_SECRET.
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
		if len(path) > 1 && path[0] == "backends" {
			// Shells cannot set a variable with a dash, and no backend's name has an underscore.
			path[1] = strings.ReplaceAll(path[1], "_", "-")
			if !normalize.ValidBackendName(path[1]) {
				problems = append(problems, Problem{Path: path[:2], Origin: name, Message: "is not a backend's name"})
				continue
			}
		}
		at := schema.find(path)
		if path[0] == "keys" || at != nil && at.Type == "object" {
			problems = append(problems, Problem{Path: path, Origin: name, Message: "cannot be set by an environment variable; set it in the file"})
			continue
		}
		if at == nil {
			problems = append(problems, Problem{Path: path, Origin: name, Message: "unknown key" + nearestPath(schema, path)})
			continue
		}
		value, err := envValue(at.Type, text)
		if err != nil {
			problems = append(problems, Problem{Path: path, Origin: name, Message: fmt.Sprintf("want %s, got %q", withArticle(at.Type), text)})
			continue
		}
		setPath(env.values, path, value)
		env.origin[strings.Join(path, ".")] = name
	}
	return env, problems
}

// envValue converts a variable's text to the type of the setting: strings are taken as they
// are, everything else is parsed as YAML.
func envValue(kind, text string) (any, error) {
	if kind == "string" {
		return text, nil
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return toJSONValue(v), nil
}

// nearestPath suggests a name for the first unknown level of path.
func nearestPath(schema compiled, path []string) string {
	for i := range path {
		if schema.find(path[:i+1]) == nil {
			return suggestion(path[i], schema.names(path[:i]))
		}
	}
	return ""
}

// setPath sets a nested value and creates the mappings above it.
func setPath(m map[string]any, path []string, value any) {
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
