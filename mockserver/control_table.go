package mockserver

import (
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed control.yaml
var controlYAML []byte

// ControlSpec is the OpenAPI document of the control plane, as /_mock/openapi.yaml serves it.
func ControlSpec() []byte { return slices.Clone(controlYAML) }

// controlRoute is an operation of the control plane.
type controlRoute struct {
	id, method string
	segments   []string // of the path; those in braces stand for any
	request    *openapi3.Schema
	required   bool     // the body
	media      []string // of the body
	status     int      // of a success
	queried    bool     // takes a query
}

func (route *controlRoute) template() string { return "/" + strings.Join(route.segments, "/") }

type controlTable []*controlRoute

// loadControl reads the embedded document, once for all servers.
var loadControl = sync.OnceValues(func() (controlTable, error) {
	spec, err := openapi3.NewLoader().LoadFromData(controlYAML)
	if err != nil {
		return nil, internalError{fmt.Errorf("load the control plane's document: %w", err)}
	}
	var table controlTable
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			route := &controlRoute{
				id:       o.OperationID,
				method:   method,
				segments: strings.Split(strings.TrimPrefix(path, "/"), "/"),
				// A body that nobody asked for is held against a schema that has no members.
				request: openapi3.NewObjectSchema(),
				media:   []string{jsonMedia},
			}
			for _, p := range o.Parameters {
				route.queried = route.queried || p.Value.In == openapi3.ParameterInQuery
			}
			if o.RequestBody != nil {
				content := o.RequestBody.Value.Content
				route.required = o.RequestBody.Value.Required
				route.media = slices.Sorted(maps.Keys(content))
				route.request = nil
				// What may also be YAML is read, and judged, by its verb.
				if content[yamlMedia] == nil {
					route.request = open(origins{}.flatten(content[jsonMedia].Schema, ""))
				}
			}
			for code := range o.Responses.Map() {
				if status, err := strconv.Atoi(code); err == nil && status < 300 {
					route.status = status
				}
			}
			table = append(table, route)
		}
	}
	return table, nil
})

// open takes out that a schema is closed, all the way down. The checker closes every object anyway, and with better
// sentences.
func open(schema *openapi3.Schema) *openapi3.Schema {
	if schema.AdditionalProperties.Schema == nil {
		schema.AdditionalProperties = openapi3.AdditionalProperties{}
	}
	for _, property := range schema.Properties {
		open(property.Value)
	}
	if schema.Items != nil {
		open(schema.Items.Value)
	}
	return schema
}

// find is the route of a request, and what the segments in braces are.
func (t controlTable) find(r *http.Request) (*controlRoute, map[string]string, error) {
	path := strings.TrimSuffix(tidy(r.URL.Path), "/")
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var methods []string
	for _, route := range t {
		params, ok := route.match(segments)
		switch {
		case !ok:
		case route.method == r.Method, route.method == http.MethodGet && r.Method == http.MethodHead:
			return route, params, nil
		case route.method == http.MethodGet:
			methods = append(methods, http.MethodGet, http.MethodHead)
		default:
			methods = append(methods, route.method)
		}
	}
	if len(methods) == 0 {
		return nil, nil, t.unknown(path, segments)
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return nil, nil, methodError{controlError{http.StatusMethodNotAllowed,
		fmt.Sprintf("Method %s is not allowed for %s; use %s.", short(r.Method), short(path), allow)}, allow}
}

func (route *controlRoute) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(route.segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range route.segments {
		if name, ok := strings.CutPrefix(want, "{"); ok && segments[i] != "" {
			params[strings.TrimSuffix(name, "}")] = segments[i]
		} else if segments[i] != want {
			return nil, false
		}
	}
	return params, true
}

func (t controlTable) unknown(path string, segments []string) error {
	// What stands for a name of the caller's must not count as misspelled.
	generic := slices.Clone(segments)
	for i, name := range map[int]string{2: "{userId}", 4: "{snapshot}"} {
		if i < len(generic) {
			generic[i] = name
		}
	}
	var known []string
	for _, route := range t {
		known = append(known, route.template())
	}
	slices.Sort(known)
	asked := generic
	if len(segments) < 3 {
		asked = segments
	}
	text := fmt.Sprintf("Not found: %s; see /_mock/openapi.yaml for what there is.", short(path))
	if meant := nearest("/"+strings.Join(asked, "/"), known); meant != "" {
		text = fmt.Sprintf("Not found: %s; did you mean %s?", short(path), meant)
	}
	return controlError{http.StatusNotFound, text}
}
