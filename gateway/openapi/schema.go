package openapi

import (
	"maps"
	"slices"
	"strings"
)

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

func nextCursor() object {
	return orNull(stringSchema("the cursor of the next page; null on the last page"))
}

// nameObjects makes a schema of its own of each object with properties that is part of another,
// named after where it is: MigrationPlan for the property plan of Migration. Generators invent
// names for the others, which can clash.
func nameObjects(schemas object) {
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		nameObjectsIn(schemas, name, schemas[name].(object))
	}
}

func nameObjectsIn(schemas object, name string, schema object) {
	properties, _ := schema["properties"].(object)
	for _, property := range slices.Sorted(maps.Keys(properties)) {
		properties[property] = named(schemas, name+typeName(property), properties[property].(object))
	}
}

// named returns a reference to the schema, which it adds to schemas, if it has properties.
func named(schemas object, name string, schema object) object {
	if items, ok := schema["items"].(object); ok {
		schema["items"] = named(schemas, strings.TrimSuffix(name, "s"), items)
		return schema
	}
	if schema["properties"] == nil {
		return schema
	}
	if schemas[name] != nil {
		panic("openapi: two schemas are called " + name) // a test builds the document
	}
	types, nullable := schema["type"].([]string)
	if nullable {
		schema["type"] = types[0]
	}
	schemas[name] = schema
	nameObjectsIn(schemas, name, schema)
	if nullable {
		return orNull(ref("schemas", name))
	}
	return ref("schemas", name)
}

// typeName returns the name of a property in the form of a type's: UserId for user_id.
func typeName(property string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(property, "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}
