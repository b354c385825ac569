package stub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"github.com/qcagents/qcagents/gen/stub"
)

const contract = "../../openapi.yaml"

// TestContractIsValid checks the contract and its examples against OpenAPI.
func TestContractIsValid(t *testing.T) {
	if err := load(t).Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// TestOperations holds the contract to the 19 operations of the API, by name.
func TestOperations(t *testing.T) {
	want := map[string]string{
		"authenticate":     "POST /authenticate",
		"authenticateGet":  "GET /authenticate",
		"createAgent":      "POST /agents/create",
		"readAgent":        "POST /agents/read",
		"updateAgent":      "POST /agents/update",
		"deleteAgent":      "POST /agents/delete",
		"listAgents":       "POST /agents/list",
		"createTask":       "POST /agents/tasks/create",
		"readTask":         "POST /agents/tasks/read",
		"updateTask":       "POST /agents/tasks/update",
		"deleteTask":       "POST /agents/tasks/delete",
		"listTasks":        "POST /agents/tasks/list",
		"createDeployment": "POST /agents/deployments/create",
		"readDeployment":   "POST /agents/deployments/read",
		"promptDeployment": "POST /agents/deployments/prompt",
		"listDeployments":  "POST /agents/deployments/list",
		"stopDeployment":   "POST /agents/deployments/stop",
		"deleteDeployment": "POST /agents/deployments/delete",
		"readConversation": "POST /agents/deployments/conversation/read",
	}
	doc := load(t)
	if got := doc.Paths.Len(); got != 18 {
		t.Errorf("got %d paths, want 18", got)
	}
	if got := operations(doc); !maps.Equal(got, want) {
		t.Errorf("got operations\n%v\nwant\n%v", got, want)
	}

	// The copy that the generator embeds is what the mock routes by; it must not have capitalized the names.
	embedded, err := stub.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	if got := operations(embedded); !maps.Equal(got, want) {
		t.Errorf("got embedded operations\n%v\nwant\n%v", got, want)
	}
}

func operations(doc *openapi3.T) map[string]string {
	found := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			found[operation.OperationID] = method + " " + path
		}
	}
	return found
}

// TestOperationsAreDescribed asks each operation for words, evidence, examples and no status beyond the documented two.
func TestOperationsAreDescribed(t *testing.T) {
	for path, item := range load(t).Paths.Map() {
		for method, operation := range item.Operations() {
			at := pointer("paths", path, strings.ToLower(method))
			if operation.OperationID == "" || operation.Summary == "" || operation.Description == "" {
				complain(t, at, "an operation has an operationId, a summary and a description")
			}
			if _, found := operation.Extensions["x-evidence"]; !found {
				complain(t, at, "an operation has x-evidence")
			}
			switch body := operation.RequestBody; {
			case body == nil && method != "GET":
				complain(t, at, "an operation by POST has a requestBody")
			case body != nil:
				wantExample(t, at+"/requestBody", body.Value.Content)
			}
			statuses := slices.Sorted(maps.Keys(operation.Responses.Map()))
			if !slices.Equal(statuses, []string{"200", "401"}) {
				complain(t, at+"/responses", fmt.Sprintf("200 and 401 are the documented statuses, got %v", statuses))
			}
			for status, response := range operation.Responses.Map() {
				wantExample(t, at+pointer("responses", status), response.Value.Content)
			}
		}
	}
}

func wantExample(t *testing.T, at string, content openapi3.Content) {
	t.Helper()
	media := content["application/json"]
	if len(content) != 1 || media == nil {
		complain(t, at, "a body is application/json and nothing else")
		return
	}
	if media.Example == nil && len(media.Examples) == 0 {
		complain(t, at, "a body has an example")
	}
}

// TestSchemasAreDescribed asks each component and each member, however deep, for words, evidence and an example.
func TestSchemasAreDescribed(t *testing.T) {
	spec := parse(t)
	components := object(object(spec["components"])["schemas"])
	for name := range components {
		schema := object(components[name])
		at := pointer("components", "schemas", name)
		if schema["description"] == nil {
			complain(t, at, "a component has a description")
		}
		if schema["x-evidence"] == nil {
			complain(t, at, "a component has x-evidence")
		}
		// An object's example is its members'; anything else has its own.
		if kind := schema["type"]; kind != nil && kind != "object" && schema["example"] == nil {
			complain(t, at, "a component that is no object has an example")
		}
	}

	for at, member := range properties(spec) {
		if member["$ref"] != nil {
			complain(t, at, "a bare $ref hides what stands beside it; write allOf with the $ref in it")
		}
		if text, _ := member["description"].(string); text == "" {
			complain(t, at, "a member has a description")
		}
		if _, found := member["example"]; !found {
			complain(t, at, "a member has an example")
		}
		if member["x-evidence"] == nil {
			complain(t, at, "a member has x-evidence")
		}
	}
}

// TestHeadersAndSchemesAreDescribed asks the same of what stands outside the schemas.
func TestHeadersAndSchemesAreDescribed(t *testing.T) {
	described := 0
	for at, node := range objects(parse(t)) {
		if !strings.HasSuffix(at, "/headers") && at != "/components/securitySchemes" {
			continue
		}
		for name, member := range node {
			described++
			if text, _ := object(member)["description"].(string); text == "" {
				complain(t, at+pointer(name), "a header and a security scheme have a description")
			}
			if object(member)["x-evidence"] == nil {
				complain(t, at+pointer(name), "a header and a security scheme have x-evidence")
			}
		}
	}
	if described < 4 {
		t.Errorf("found %d headers and security schemes, want two of each at least", described)
	}
}

// TestEvidence checks the evidence of everything that has some: its word, its source, and the constraints it excepts.
func TestEvidence(t *testing.T) {
	spec := parse(t)
	sources := object(spec["x-evidence-sources"])
	for key, text := range sources {
		if text, _ := text.(string); text == "" {
			complain(t, pointer("x-evidence-sources", key), "a source says what it is")
		}
	}
	used := map[string]bool{}
	for at, node := range objects(spec) {
		evidence, hasEvidence := node["x-evidence"]
		source, hasSource := node["x-evidence-source"]
		switch evidence {
		case "documented", "observed":
			name, _ := source.(string)
			if _, known := sources[name]; !known {
				complain(t, at, fmt.Sprintf("x-evidence-source is %v, want a key of x-evidence-sources", source))
			}
			used[name] = true
		case "inferred":
			if hasSource {
				complain(t, at, "what is inferred has no x-evidence-source")
			}
		default:
			if hasEvidence {
				complain(t, at, fmt.Sprintf("x-evidence is %v, want documented, observed or inferred", evidence))
			} else if hasSource {
				complain(t, at, "x-evidence-source stands beside x-evidence")
			}
		}
		if constraints, found := node["x-inferred-constraints"]; found {
			list, _ := constraints.([]any)
			if len(list) == 0 {
				complain(t, at, "x-inferred-constraints is a list of constraints")
			}
			for _, constraint := range list {
				if _, found := node[fmt.Sprint(constraint)]; !found {
					complain(t, at, fmt.Sprintf("x-inferred-constraints names %v, which is not there", constraint))
				}
			}
		}
	}
	t.Logf("sources that a line of the contract names: %v", slices.Sorted(maps.Keys(used)))
}

// TestOpenness keeps the contract open where the service may grow.
func TestOpenness(t *testing.T) {
	spec := parse(t)
	for at, node := range objects(spec) {
		if node["additionalProperties"] == false {
			complain(t, at, "whether the service ignores unknown members is unknown; the mock's contract stage judges them")
		}
	}

	extensible := map[string][]string{}
	for _, at := range answered(t, spec) {
		for within, node := range walk(component(spec, at), at) {
			if schema := object(node); schema["enum"] != nil {
				complain(t, within, "an answer has no enum: the service may come to send other values; use x-extensible-enum")
			} else if values, found := schema["x-extensible-enum"]; found {
				if schema["type"] != "string" {
					complain(t, within, "an open set of values is a string")
				}
				for _, value := range values.([]any) {
					extensible[within] = append(extensible[within], value.(string))
				}
			}
		}
	}
	for at, want := range map[string][]string{
		"/components/schemas/AgentDeployment/properties/status": {
			"InQueue", "Running", "Completed", "Stopped", "Failed", "RuntimeError",
		},
		"/components/schemas/AgentTask/properties/projectPreference": {
			"project-each-task-deployment", "project-for-task",
		},
	} {
		if !slices.Equal(extensible[at], want) {
			complain(t, at, fmt.Sprintf("is an open string of an answer that may be %v, got %v", want, extensible[at]))
		}
	}
}

// answered lists the pointers to every component that an answer is made of.
func answered(t *testing.T, spec map[string]any) []string {
	var found, queue []string
	for at, node := range objects(spec) {
		if strings.HasPrefix(at, "/paths/") && strings.HasSuffix(at, "/responses") {
			queue = append(queue, references(node)...)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if component(spec, at) == nil {
			t.Fatalf("an answer refers to %s, which is not there", at)
		}
		if !slices.Contains(found, at) {
			found = append(found, at)
			queue = append(queue, references(component(spec, at))...)
		}
	}
	return found
}

func references(node any) []string {
	var found []string
	for _, part := range walk(node, "") {
		if ref, ok := object(part)["$ref"].(string); ok {
			found = append(found, strings.TrimPrefix(ref, "#"))
		}
	}
	return found
}

// TestYAML checks that what is embedded is what was written, and that nobody can change it for the others.
func TestYAML(t *testing.T) {
	want := read(t)
	if !bytes.Equal(stub.YAML(), want) {
		t.Fatal("the embedded copy differs from openapi.yaml; run make generate")
	}
	stub.YAML()[0] ^= 0xff
	if !bytes.Equal(stub.YAML(), want) {
		t.Error("a caller changed the embedded copy")
	}
}

// TestLine looks up places of every kind, each known by the text that stands there.
func TestLine(t *testing.T) {
	lines := strings.Split(string(read(t)), "\n")
	for _, test := range []struct{ pointer, after, want string }{
		// The wanted text is searched below the line that reads as after says.
		{"", "", "openapi: 3.0.3"},
		{"/openapi", "", "openapi: 3.0.3"},
		{"/info/license/name", "", "name: Apache-2.0"},
		{"/x-evidence-sources/lean-cli", "x-evidence-sources:", "lean-cli: "},
		{"/servers/1", "servers:", "- url: http://127.0.0.1:5612/api/v2"},
		{"/servers/1/description", "- url: http://127.0.0.1:5612/api/v2", "description: "},
		{"/security/0/timestamp", "security:", "timestamp: []"},
		{"/tags/3/name", "tags:", "- name: Deployments"},
		{"/paths/~1agents~1read", "", "/agents/read:"},
		{"/paths/~1agents~1read/post", "/agents/read:", "post:"},
		{"/paths/~1authenticate/get/operationId", "", "operationId: authenticateGet"},
		{"/paths/~1agents~1tasks~1delete/post/responses/401", "operationId: deleteTask", "'401':"},
		{"/paths/~1agents~1deployments~1conversation~1read/post/requestBody/content/application~1json/schema",
			"operationId: readConversation", "schema:"},
		{"/components/responses/Unauthorized/headers/www_authenticate/schema/type", "www_authenticate:", "schema: {"},
		{"/components/schemas/AgentToken", "", "AgentToken:"},
		{"#/components/schemas/AgentToken", "", "AgentToken:"},
		{"/components/schemas/CreateAgentTaskRequest/properties/prompt/minLength", "prompt:", "minLength: 1"},
		{"/components/schemas/CreateAgentTaskRequest/required/3", "CreateAgentTaskRequest:", "required: ["},
	} {
		line := 0
		if test.after != "" {
			line = 1 + slices.IndexFunc(lines, func(line string) bool { return strings.TrimSpace(line) == test.after })
			if line == 0 {
				t.Errorf("no line reads %q", test.after)
				continue
			}
		}
		want := 1 + line + slices.IndexFunc(lines[line:], func(line string) bool {
			return strings.HasPrefix(strings.TrimSpace(line), test.want)
		})
		if got := stub.Line(test.pointer); got != want {
			t.Errorf("line of %q: got %d, want %d", test.pointer, got, want)
		}
	}
	for _, unknown := range []string{
		"openapi", "/", "/openapi/", "/Openapi", "/paths//agents/read", "/paths/~1agents~1read/get", "/servers/2", "##",
	} {
		if got := stub.Line(unknown); got != 0 {
			t.Errorf("line of %q: got %d, want 0", unknown, got)
		}
	}
}

// TestLineOfEveryProperty compares the table with the places that kin-openapi's loader, which has a parser of its own,
// remembers.
func TestLineOfEveryProperty(t *testing.T) {
	loader := openapi3.NewLoader()
	loader.IncludeOrigin = true
	doc, err := loader.LoadFromData(read(t))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	var compare func(at string, schema *openapi3.SchemaRef)
	compare = func(at string, schema *openapi3.SchemaRef) {
		if schema == nil || schema.Ref != "" {
			return
		}
		for name, member := range schema.Value.Properties {
			at := at + pointer("properties", name)
			if origin := member.Value.Origin; origin == nil {
				t.Errorf("%s: the loader knows no line", at)
			} else if got := stub.Line(at); got != origin.Key.Line {
				t.Errorf("line of %s: got %d, the loader says %d", at, got, origin.Key.Line)
			}
			compared++
			compare(at, member)
		}
		compare(at+"/items", schema.Value.Items)
		for i, part := range schema.Value.AllOf {
			compare(at+fmt.Sprintf("/allOf/%d", i), part)
		}
	}
	for name, schema := range doc.Components.Schemas {
		compare(pointer("components", "schemas", name), schema)
	}
	if want := len(properties(parse(t))); compared != want || want < 100 {
		t.Errorf("compared %d members, want all %d", compared, want)
	}
}

// TestLineKnowsEveryNode checks that the table has neither a gap nor a node that is not there.
func TestLineKnowsEveryNode(t *testing.T) {
	spec := parse(t)
	count := 0
	for at := range walk(spec, "") {
		count++
		if stub.Line(at) == 0 {
			t.Errorf("%s has no line", at)
		}
	}
	table, err := os.ReadFile("openapi.lines")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(table, []byte("\n")); got != count {
		t.Errorf("the table has %d lines, want %d", got, count)
	}
}

func BenchmarkLine(b *testing.B) {
	for b.Loop() {
		stub.Line("/components/schemas/AgentDeployment/properties/status")
	}
}

// ---- reading the contract ----

func read(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(read(t))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// parse returns the contract as plain values, with every key a string.
func parse(t *testing.T) map[string]any {
	t.Helper()
	var loose any
	if err := yaml.Unmarshal(read(t), &loose); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(loose)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// walk yields a node and everything in it, by JSON pointer.
func walk(node any, at string) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) { visit(node, at, yield) }
}

func visit(node any, at string, yield func(string, any) bool) bool {
	if !yield(at, node) {
		return false
	}
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if !visit(value, at+pointer(key), yield) {
				return false
			}
		}
	case []any:
		for i, value := range node {
			if !visit(value, at+pointer(strconv.Itoa(i)), yield) {
				return false
			}
		}
	}
	return true
}

// objects returns every object of the contract but those within examples, which are data and not description.
func objects(spec map[string]any) map[string]map[string]any {
	found := map[string]map[string]any{}
	for at, node := range walk(spec, "") {
		if strings.Contains(at, "/example/") || strings.HasSuffix(at, "/example") {
			continue
		}
		if node, ok := node.(map[string]any); ok {
			found[at] = node
		}
	}
	return found
}

// properties returns every member that a schema describes, wherever the schema stands.
func properties(spec map[string]any) map[string]map[string]any {
	found := map[string]map[string]any{}
	for at, node := range objects(spec) {
		// A member may itself be called properties; then its parent is that list of members, and not a schema.
		if strings.HasSuffix(at, "/properties") && !strings.HasSuffix(at, "/properties/properties") {
			for name, member := range node {
				found[at+pointer(name)] = object(member)
			}
		}
	}
	return found
}

// component returns what a pointer such as /components/schemas/Agent names.
func component(spec map[string]any, at string) any {
	tokens := strings.Split(at, "/")[1:]
	return object(object(spec[tokens[0]])[tokens[1]])[tokens[2]]
}

func object(node any) map[string]any {
	found, _ := node.(map[string]any)
	return found
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// pointer returns the JSON pointer of RFC 6901 that the tokens make.
func pointer(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString("/" + escape.Replace(token))
	}
	return b.String()
}

// complain reports a shortfall with the line to mend.
func complain(t *testing.T, at, problem string) {
	t.Helper()
	t.Errorf("openapi.yaml:%d: %s: %s", stub.Line(at), at, problem)
}
