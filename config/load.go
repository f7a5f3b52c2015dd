package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// EnvPrefix begins the environment variables that set keys:
// AGENTGW_SERVER__LISTEN is server.listen.
const EnvPrefix = "AGENTGW_"

// PathVariable names the file where no flag does.
const PathVariable = EnvPrefix + "CONFIG"

// URLVariable and KeyVariable are for commands that ask a running gateway: where it is, and
// the key to show.
const (
	URLVariable = EnvPrefix + "URL"
	KeyVariable = EnvPrefix + "KEY"
)

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
	large := schema.outOfRange(nil, merged)
	for _, p := range large {
		prune(merged, p.Path)
	}
	wrong, problems = append(wrong, large...), append(problems, large...)
	var file File
	if err := decode(merged, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	config, more := s.resolve(file, doc.order("backends", merged), refusedBackends(wrong))
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

// refusedBackends are those whose names the schema refused: that keys name them
// is not a problem of its own.
func refusedBackends(problems []Problem) []string {
	var names []string
	for _, p := range problems {
		if len(p.Path) == 2 && p.Path[0] == "backends" {
			names = append(names, p.Path[1])
		}
	}
	return names
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

// layer is values for koanf as they are: its own provider of maps copies them first.
type layer map[string]any

// Read is the values.
func (l layer) Read() (map[string]any, error) { return l, nil }

// ReadBytes is there because a provider has it; nothing is parsed.
func (layer) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// merge lays the layers over each other, in the order of precedence. They are not to be used
// any more.
func merge(file map[string]any, env environment) map[string]any {
	k := koanf.New(".")
	backends := map[string]any{}
	for _, values := range []layer{file, env.values} {
		if named, ok := values["backends"].(map[string]any); ok {
			for name, b := range named {
				if _, ok := b.(map[string]any); ok {
					backends[name] = backendDefaults()
				}
			}
		}
	}
	base := defaults()
	base["backends"] = backends
	for _, values := range []layer{base, file, env.values} {
		_ = k.Load(values, nil) // it has no way to fail
	}
	return k.Raw()
}

// decode is koanf's Unmarshal without the copies of everything that it makes first: half of
// what reading a file with a hundred keys takes.
func decode(merged map[string]any, file *File) error {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		TagName:     "koanf",
		Result:      file,
		ErrorUnused: true,
		DecodeHook:  mapstructure.TextUnmarshallerHookFunc(),
	})
	if err != nil {
		return err
	}
	return d.Decode(merged)
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
