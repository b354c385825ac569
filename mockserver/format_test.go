package mockserver

import (
	"errors"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// The contract asks for no form of a text today, so no request can be of the class Format; a schema that asks for one
// gives it.
func TestFormat(t *testing.T) {
	t.Parallel()
	schema := openapi3.NewObjectSchema().
		WithProperty("id", openapi3.NewStringSchema().WithPattern("^[0-9a-f]{32}$")).
		WithProperty("day", openapi3.NewStringSchema().WithFormat("date"))
	got := checkValue(schema, map[string]any{"id": "0123", "day": "2026-11-03"})
	want := Violation{Class: Format, Pointer: "/id", Text: `member "id" does not have the form that is asked for; see /openapi.yaml.`}
	if len(got) != 1 || got[0] != want {
		t.Errorf("a pattern that is not kept gives %+v, want %+v", got, want)
	}
	if got := checkValue(schema, map[string]any{"id": "0123456789abcdef0123456789abcdef"}); len(got) != 0 {
		t.Errorf("a pattern that is kept gives %+v", got)
	}
	for _, field := range []string{"format", "pattern"} {
		c := checker{}
		c.schema(&openapi3.SchemaError{SchemaField: field, Schema: schema, Value: "x"})
		if len(c.found) != 1 || c.found[0].Class != Format || c.found[0].Text != "the body does not have the form that is asked for; see /openapi.yaml." {
			t.Errorf("an error of the field %s gives %+v", field, c.found)
		}
	}
	c := checker{}
	if c.schema(errors.New("another")); len(c.found) != 1 || c.found[0].Class != Type {
		t.Errorf("an error that is not the schema's gives %+v", c.found)
	}
}
