package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/agentgw/agentgw/normalize"
)

// Schema returns the JSON Schema (2020-12) of the configuration file.
func Schema() ([]byte, error) {
	return json.MarshalIndent(reflectSchema(), "", "  ")
}

// reflectSchema derives the schema from the tags of File.
func reflectSchema() *invopop.Schema {
	reflector := invopop.Reflector{
		FieldNameTag:               "koanf",
		DoNotReference:             true,
		Anonymous:                  true,
		RequiredFromJSONSchemaTags: true,
	}
	s := reflector.Reflect(&File{})
	s.Title = "agentgw configuration"
	if backends, ok := s.Properties.Get("backends"); ok {
		backends.PropertyNames = &invopop.Schema{Pattern: backendPattern}
	}
	return s
}

const backendPattern = normalize.BackendNamePattern

// compiled is the schema in two forms: check validates, tree is used to look up names.
type compiled struct {
	check *jsonschema.Schema
	tree  *invopop.Schema
}

// compile compiles the schema once.
var compile = sync.OnceValues(func() (compiled, error) {
	text, err := Schema()
	if err != nil {
		return compiled{}, err
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return compiled{}, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("config.json", document); err != nil {
		return compiled{}, err
	}
	check, err := compiler.Compile("config.json")
	return compiled{check, reflectSchema()}, err
})

// find returns the schema of the value at a path, or nil if the path does not exist.
func (c compiled) find(path []string) *invopop.Schema {
	s := c.tree
	for _, name := range path {
		switch {
		case s == nil:
			return nil
		case s.Items != nil:
			s = s.Items
			continue
		}
		if s.Properties != nil {
			if property, ok := s.Properties.Get(name); ok {
				s = property
				continue
			}
		}
		s = s.AdditionalProperties
		if s == invopop.FalseSchema || s != nil && s.Type == "" && s.Properties == nil {
			return nil
		}
	}
	return s
}

// names returns the keys that the mapping at a path can have.
func (c compiled) names(path []string) []string {
	s := c.find(path)
	if s == nil || s.Properties == nil {
		return nil
	}
	var names []string
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		names = append(names, pair.Key)
	}
	return names
}

// outOfRange reports durations and sizes at or below a path that match the pattern but are
// too large.
func (c compiled) outOfRange(path []string, v any) []Problem {
	var problems []Problem
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			problems = append(problems, c.outOfRange(append(slices.Clone(path), name), member)...)
		}
	case []any:
		for i, item := range v {
			problems = append(problems, c.outOfRange(append(slices.Clone(path), strconv.Itoa(i)), item)...)
		}
	case string:
		s := c.find(path)
		if s == nil {
			return nil
		}
		var err error
		switch s.Pattern {
		case durationPattern:
			err = new(Duration).UnmarshalText([]byte(v))
		case sizePattern:
			err = new(Size).UnmarshalText([]byte(v))
		}
		if err != nil {
			return []Problem{{Path: path, Message: fmt.Sprintf("%q is too large", v)}}
		}
	}
	return problems
}

// violations validates a merged configuration against the schema and returns every
// violation.
func (c compiled) violations(merged map[string]any) []Problem {
	err := c.check.Validate(merged)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []Problem{{Message: err.Error()}}
	}
	var problems []Problem
	c.collect(invalid, &problems)
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.dotted(), b.dotted()) })
	return problems
}

// collect appends the problems of a validation error and its causes.
func (c compiled) collect(e *jsonschema.ValidationError, problems *[]Problem) {
	path := e.InstanceLocation
	if names, ok := e.ErrorKind.(*kind.PropertyNames); ok {
		// Only backends have a rule for names. The error's own location is wrong: it is
		// that of another mapping (jsonschema v6.0.3).
		*problems = append(*problems, Problem{Path: []string{"backends", names.Property}, Message: "is not " + patternDescriptions[backendPattern]})
		return
	}
	for _, cause := range e.Causes {
		c.collect(cause, problems)
	}
	add := func(path []string, format string, args ...any) {
		*problems = append(*problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add(append(slices.Clone(path), name), "unknown key%s", suggestion(name, c.names(path)))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			add(append(slices.Clone(path), name), "is required")
		}
	case *kind.Type:
		wanted := wantedType(c, path, k.Want)
		add(path, "want %s, got %s%s", wanted, withArticle(k.Got), quoteHint(wanted, k))
	case *kind.Enum:
		var wanted []string
		for _, w := range k.Want {
			wanted = append(wanted, fmt.Sprint(w))
		}
		add(path, "%q is not one of %s%s", fmt.Sprint(k.Got), strings.Join(wanted, ", "), suggestion(fmt.Sprint(k.Got), wanted))
	case *kind.Pattern:
		add(path, "%q is not %s", k.Got, patternDescriptions[k.Want])
	case *kind.Format:
		add(path, "%q is not an RFC 3339 time such as 2027-01-31T00:00:00Z", fmt.Sprint(k.Got))
	case *kind.Minimum:
		add(path, "must be at least %s, got %s", k.Want.RatString(), k.Got.RatString())
	case *kind.ExclusiveMinimum:
		add(path, "must be greater than %s, got %s", k.Want.RatString(), k.Got.RatString())
	case *kind.Maximum:
		add(path, "must be at most %s, got %s", k.Want.RatString(), k.Got.RatString())
	case *kind.Schema, *kind.Group:
		// their causes have been collected
	default:
		add(path, "is not valid")
	}
}

var patternDescriptions = map[string]string{
	durationPattern: "a duration such as 15s or 1m30s",
	sizePattern:     "a size such as 1MiB or 512KiB",
	backendPattern:  "a backend name: a lowercase letter, then up to 31 lowercase letters, digits or -",
}

// wantedType describes the wanted type of the value at a path.
func wantedType(c compiled, path, want []string) string {
	if s := c.find(path); s != nil {
		if words, ok := patternDescriptions[s.Pattern]; ok {
			return words
		}
	}
	if len(path) > 0 && path[len(path)-1] == "listen" {
		return "host:port such as 127.0.0.1:8080"
	}
	words := make([]string, 0, len(want))
	for _, w := range want {
		words = append(words, withArticle(w))
	}
	return strings.Join(words, " or ")
}

// withArticle returns the name of a JSON type in the words of YAML.
func withArticle(name string) string {
	switch name {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "integer":
		return "an integer"
	case "null":
		return "nothing"
	}
	return "a " + name
}

// quoteHint suggests quotes where YAML read an unquoted string as a number or boolean.
func quoteHint(wanted string, k *kind.Type) string {
	if wanted == "a string" && (k.Got == "number" || k.Got == "integer" || k.Got == "boolean") {
		return "; put it in quotes"
	}
	return ""
}

// suggestion returns "; did you mean X?" for the nearest valid name, or "".
func suggestion(name string, valid []string) string {
	if near := normalize.Nearest(name, valid); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}
