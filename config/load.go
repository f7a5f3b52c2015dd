package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins the environment variables that set keys:
// AGENTGW_SERVER__LISTEN is server.listen.
const EnvPrefix = "AGENTGW_"

// Source is where a configuration comes from.
type Source struct {
	Path      string                       // of the file
	Environ   []string                     // as os.Environ gives it
	Providers []string                     // the providers there are
	ReadFile  func(string) ([]byte, error) // nil: os.ReadFile
	LookupEnv func(string) (string, bool)  // nil: of Environ
}

// Load reads the configuration whole: defaults, then the file, then the
// environment. The error is a Problems with everything that is wrong, or says
// why the file cannot be read. It shares nothing with an earlier Load, so a
// key that left the file is gone.
func Load(s Source) (*Config, error) {
	s = s.withDefaults()
	data, err := s.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file; name one with --config, or start from the config.yaml that comes with agentgw", s.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return s.load(data)
}

func (s Source) withDefaults() Source {
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	if s.LookupEnv == nil {
		env := map[string]string{}
		for _, pair := range s.Environ {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		s.LookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	}
	return s
}

func (s Source) load(data []byte) (*Config, error) {
	schema, err := compile()
	if err != nil {
		return nil, fmt.Errorf("the configuration's own schema: %w", err)
	}
	doc, problems := parseYAML(s.Path, data)
	if problems != nil {
		return nil, problems
	}
	env, problems := s.environment(schema)
	merged := merge(doc.values, env)
	wrong := schema.violations(merged)
	problems = append(problems, wrong...)

	// What the schema refuses is taken out, so that what is wrong beyond the
	// schema is said in the same report.
	for _, p := range wrong {
		prune(merged, p.Path)
	}
	var file File
	if err := decode(merged, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	config, more := s.resolve(file, doc.order("backends", merged))
	config.Fingerprint = sha256.Sum256(data)
	problems = append(problems, unlessUnder(wrong, more)...)
	locate(problems, doc, env)
	if len(problems) > 0 {
		return nil, dedupe(problems)
	}
	return config, nil
}

// prune removes the value at a path; an item of a list becomes an empty one,
// so that its neighbours keep their indexes.
func prune(in any, path []string) {
	if len(path) == 0 {
		return
	}
	switch in := in.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(in, path[0])
			return
		}
		prune(in[path[0]], path[1:])
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(in) {
			return
		}
		if len(path) > 1 {
			prune(in[i], path[1:])
			return
		}
		in[i] = nil // decodes to the zero value
	}
}

// unlessUnder leaves out the problems of what a schema's problem has already
// named.
func unlessUnder(named, problems []Problem) []Problem {
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return slices.ContainsFunc(named, func(n Problem) bool {
			return len(n.Path) <= len(p.Path) && slices.Equal(n.Path, p.Path[:len(n.Path)])
		})
	})
}

// merge lays the layers over each other, in the order of precedence.
func merge(file map[string]any, env environment) map[string]any {
	k := koanf.New(".")
	backends := map[string]any{}
	for _, layer := range []map[string]any{file, env.values} {
		if named, ok := layer["backends"].(map[string]any); ok {
			for name, b := range named {
				if _, ok := b.(map[string]any); ok {
					backends[name] = backendDefaults()
				}
			}
		}
	}
	base := defaults()
	base["backends"] = backends
	for _, layer := range []map[string]any{base, file, env.values} {
		// confmap gives back the map it is given; it has no way to fail.
		_ = k.Load(confmap.Provider(layer, ""), nil)
	}
	return k.Raw()
}

func decode(merged map[string]any, file *File) error {
	k := koanf.New(".")
	_ = k.Load(confmap.Provider(merged, ""), nil) // cannot fail
	return k.UnmarshalWithConf("", file, koanf.UnmarshalConf{
		DecoderConfig: &mapstructure.DecoderConfig{
			TagName:     "koanf",
			Result:      file,
			ErrorUnused: true,
			DecodeHook:  mapstructure.TextUnmarshallerHookFunc(),
		},
	})
}

// document is the file: its values, and where each stands.
type document struct {
	path   string
	values map[string]any
	root   *yaml.Node
}

func parseYAML(path string, data []byte) (document, Problems) {
	doc := document{path: path, values: map[string]any{}}
	var root, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); errors.Is(err, io.EOF) { // an empty file
		return doc, nil
	} else if err != nil {
		return doc, Problems{{Origin: path, Message: yamlMessage(err)}}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return doc, Problems{{Origin: path, Line: more.Line, Message: "a second YAML document (after ---) would not be read; keep one"}}
	}
	doc.root = root.Content[0]
	if doc.root.Kind != yaml.MappingNode {
		return doc, Problems{{Origin: path, Line: doc.root.Line, Message: "want a mapping at the top"}}
	}
	if err := doc.root.Decode(&doc.values); err != nil {
		return doc, Problems{{Origin: path, Message: yamlMessage(err)}}
	}
	// A backend without settings lacks what it needs; it is not absent.
	if backends, ok := doc.values["backends"].(map[string]any); ok {
		for name, settings := range backends {
			if settings == nil {
				backends[name] = map[string]any{}
			}
		}
	}
	doc.values = plain(doc.values).(map[string]any)
	return doc, nil
}

func yamlMessage(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " ")
}

// plain makes a decoded document what the schema speaks of: a key without a
// value is not there, a timestamp is its text, a mapping's keys are strings.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
				continue
			}
			v[name] = plain(member)
		}
		return v
	case map[any]any:
		m := make(map[string]any, len(v))
		for name, member := range v {
			if member != nil {
				m[fmt.Sprint(name)] = plain(member)
			}
		}
		return m
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
		return v
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return v
}

// line is where a path, or as much of it as there is, stands in the file.
func (d document) line(path []string) int {
	node := d.root
	line := 0
	for _, name := range path {
		next := (*yaml.Node)(nil)
		switch {
		case node == nil:
			return line
		case node.Kind == yaml.AliasNode:
			node = node.Alias
		}
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == name {
					line, next = node.Content[i].Line, node.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i < len(node.Content) {
				line, next = node.Content[i].Line, node.Content[i]
			}
		}
		if next == nil {
			return line
		}
		node = next
	}
	return line
}

// order is the keys of a mapping as the file has them, then those that only
// the environment adds, by name.
func (d document) order(mapping string, merged map[string]any) []string {
	var names []string
	if d.root != nil {
		for i := 0; i+1 < len(d.root.Content); i += 2 {
			if d.root.Content[i].Value != mapping {
				continue
			}
			node := d.root.Content[i+1]
			if node.Kind == yaml.AliasNode {
				node = node.Alias
			}
			for j := 0; j+1 < len(node.Content); j += 2 {
				names = append(names, node.Content[j].Value)
			}
		}
	}
	all, _ := merged[mapping].(map[string]any)
	var added []string
	for name := range all {
		if !slices.Contains(names, name) {
			added = append(added, name)
		}
	}
	slices.Sort(added)
	return append(slices.DeleteFunc(names, func(n string) bool { return all[n] == nil }), added...)
}

// locate says of each problem where its value came from.
func locate(problems []Problem, doc document, env environment) {
	for i := range problems {
		p := &problems[i]
		if p.Origin != "" {
			continue
		}
		if variable, ok := env.origin[p.dotted()]; ok {
			p.Origin = variable
			continue
		}
		p.Origin, p.Line = doc.path, doc.line(p.Path)
	}
}

func dedupe(problems Problems) Problems {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Line, b.Line))
	})
	return slices.CompactFunc(problems, func(a, b Problem) bool { return a.String() == b.String() })
}
