package openapi

import "slices"

// object is a JSON object.
type object = map[string]any

func stringSchema(description string) object {
	return object{"type": "string", "description": description}
}

func booleanSchema(description string) object {
	return object{"type": "boolean", "description": description}
}

func timestampSchema(description string) object {
	return object{"type": "string", "format": "date-time", "description": description}
}

func enumSchema(values []string, description string) object {
	return object{"type": "string", "enum": values, "description": description}
}

func arraySchema(items object, description string) object {
	return object{"type": "array", "items": items, "description": description}
}

func stringsSchema(description string) object {
	return object{"type": "array", "items": object{"type": "string"}, "description": description}
}

// objectSchema returns the schema of an object that requires all properties except the
// optional ones.
func objectSchema(description string, properties object, optional ...string) object {
	var required []string
	for name := range properties {
		if !slices.Contains(optional, name) {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	o := object{"type": "object", "description": description, "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// orNull makes schema accept null too. It may modify schema.
func orNull(schema object) object {
	if _, ok := schema["$ref"]; ok {
		return object{"anyOf": []object{schema, {"type": "null"}}}
	}
	schema["type"] = []string{schema["type"].(string), "null"}
	return schema
}

// ref returns a reference to a component: a schema or a header.
func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }
