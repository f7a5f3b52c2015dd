package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a parsed configuration file. It knows the line of each value.
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
		return doc, Problems{{Origin: path, Line: more.Line, Message: "more than one YAML document; remove the second (after ---)"}}
	}
	doc.root = root.Content[0]
	if doc.root.Kind != yaml.MappingNode {
		return doc, Problems{{Origin: path, Line: doc.root.Line, Message: "want a mapping at the top level"}}
	}
	keepText(doc.root)
	if err := doc.root.Decode(&doc.values); err != nil {
		return doc, Problems{{Origin: path, Message: yamlMessage(err)}}
	}
	emptyCredentials(doc.values["keys"])
	// A backend without settings is not absent: its required settings are reported.
	if backends, ok := doc.values["backends"].(map[string]any); ok {
		for name, settings := range backends {
			if settings == nil {
				backends[name] = map[string]any{}
			}
		}
	}
	doc.values = toJSONValue(doc.values).(map[string]any)
	return doc, nil
}

// emptyCredentials makes credentials without a value empty, so that they are reported: the
// backend would not exist for the key.
func emptyCredentials(keys any) {
	list, _ := keys.([]any)
	for _, key := range list {
		key, _ := key.(map[string]any)
		credentials, _ := key["credentials"].(map[string]any)
		for backend, reference := range credentials {
			if reference == nil {
				credentials[backend] = ""
			}
		}
	}
}

// keepText makes dates strings, as they are written: YAML reads a credential such as 2024-01-01
// as a time.
func keepText(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!timestamp" {
		node.Tag, node.Style = "!!str", yaml.DoubleQuotedStyle
	}
	for _, child := range node.Content {
		keepText(child)
	}
}

// yamlMessage returns the text of a YAML error on one line, without the library's prefixes.
func yamlMessage(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:")
	if strings.Contains(text, "cannot start any token") {
		text += "; indent with spaces, not with tabs"
	}
	return strings.Join(strings.Fields(text), " ")
}

// toJSONValue converts a decoded YAML value to the types that the JSON Schema expects: keys
// without a value are removed, and mapping keys become strings.
func toJSONValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
				continue
			}
			v[name] = toJSONValue(member)
		}
		return v
	case map[any]any:
		m := make(map[string]any, len(v))
		for name, member := range v {
			if member != nil {
				m[fmt.Sprint(name)] = toJSONValue(member)
			}
		}
		return m
	case []any:
		for i := range v {
			v[i] = toJSONValue(v[i])
		}
		return v
	}
	return v
}

// line returns the line of a path, or of its longest prefix that the file contains; 0 if
// there is none.
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

// keyOrder returns the keys of a top-level mapping in file order, followed by the keys that
// only the environment adds, sorted.
func (d document) keyOrder(mapping string, merged map[string]any) []string {
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
