package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// EnvPrefix is the prefix of environment variables that are settings:
// AGENTGW_SERVER__LISTEN is server.listen.
const EnvPrefix = "AGENTGW_"

// PathVariable is the environment variable with the path of the file, if no flag sets it.
const PathVariable = EnvPrefix + "CONFIG"

// URLVariable and KeyVariable are the environment variables with the URL and the key for
// commands that call a running gateway.
const (
	URLVariable = EnvPrefix + "URL"
	KeyVariable = EnvPrefix + "KEY"
)

// Source says where a configuration comes from.
type Source struct {
	Path      string                       // of the file
	Environ   []string                     // in the form of os.Environ
	Providers []string                     // the names of the known providers
	ReadFile  func(string) ([]byte, error) // defaults to reading the file system
	// Previous is the configuration in use, for a reload; nil at the start.
	Previous *Config

	Now func() time.Time // defaults to time.Now

	readSecret func(string) ([]byte, error)
	LookupEnv  func(string) (string, bool) // defaults to a lookup in Environ
}

// Load reads the configuration: defaults, then the file, then the environment. The error is
// a Problems that lists everything that is wrong, or says why the file cannot be read. A
// Config shares nothing with an earlier one, so a key that was removed from the file is gone.
func Load(s Source) (*Config, error) {
	s = s.withDefaults()
	data, err := s.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file; set the path with --config, or create the file with agentgw config init", s.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file: %w", err)
	}
	return s.load(data)
}

func (s Source) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s Source) withDefaults() Source {
	s.readSecret = s.ReadFile
	if s.ReadFile == nil {
		s.ReadFile, s.readSecret = os.ReadFile, readSecretFile
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
		return nil, fmt.Errorf("cannot compile the configuration schema: %w", err)
	}
	doc, problems := parseYAML(s.Path, data)
	if problems != nil {
		return nil, problems
	}
	env, problems := s.environment(schema)
	merged := merge(doc.values, env)
	violations := schema.violations(merged)
	// Remove the values that violate the schema, so that the checks beyond the schema run
	// and are reported together with the violations.
	for _, p := range violations {
		prune(merged, p.Path)
	}
	tooLarge := schema.outOfRange(nil, merged)
	for _, p := range tooLarge {
		prune(merged, p.Path)
	}
	violations = append(violations, tooLarge...)
	problems = append(problems, violations...)
	var file File
	if err := decode(merged, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	config, more := s.resolve(data, file, doc.keyOrder("backends", merged), invalidBackendNames(violations))
	problems = append(problems, withoutCovered(violations, more)...)
	setOrigins(problems, doc, env)
	setOrigins(config.Warnings, doc, env)
	if len(problems) > 0 {
		return nil, dedupe(problems)
	}
	return config, nil
}

// prune removes the value at a path. A list item is set to nil instead, so that the other
// items keep their indexes.
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

// invalidBackendNames returns the backends whose names violate the schema. Keys that name
// them are not reported again.
func invalidBackendNames(problems []Problem) []string {
	var names []string
	for _, p := range problems {
		if len(p.Path) == 2 && p.Path[0] == "backends" {
			names = append(names, p.Path[1])
		}
	}
	return names
}

// withoutCovered removes the problems whose path is at or below the path of a violation.
func withoutCovered(violations, problems []Problem) []Problem {
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return slices.ContainsFunc(violations, func(v Problem) bool {
			return len(v.Path) <= len(p.Path) && slices.Equal(v.Path, p.Path[:len(v.Path)])
		})
	})
}

// layer is a koanf provider that returns its values without a copy, unlike koanf's own.
type layer map[string]any

// Read returns the values.
func (l layer) Read() (map[string]any, error) { return l, nil }

// ReadBytes is part of the koanf.Provider interface. It is not supported.
func (layer) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// merge merges the layers in order of precedence. The layers must not be used afterwards.
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
		_ = k.Load(values, nil) // layer.Read does not fail
	}
	return k.Raw()
}

// decode is koanf's Unmarshal without its copies of the input, which dominate the time of
// reading a file with many keys.
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

// setOrigins sets the origin and line of problems that do not have one.
func setOrigins(problems []Problem, doc document, env environment) {
	for i := range problems {
		p := &problems[i]
		if p.Origin != "" {
			continue
		}
		if variable := env.originOf(p.dotted()); variable != "" {
			p.Origin = variable
			continue
		}
		p.Origin, p.Line = doc.path, doc.line(p.Path)
	}
}

// dedupe sorts problems by origin and line, and removes duplicates.
func dedupe(problems Problems) Problems {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Line, b.Line))
	})
	return slices.CompactFunc(problems, func(a, b Problem) bool { return a.String() == b.String() })
}
