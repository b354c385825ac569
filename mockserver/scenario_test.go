package mockserver_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/qcagents/qcagents/mockserver"
)

// scenarioBase is what the base clock of these tests shows at first.
var scenarioBase = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// stage is a server in which a scenario is played.
type stage struct {
	*mockserver.Server
	t       *testing.T
	account mockserver.Account

	mu   sync.Mutex
	base time.Time
}

func newStage(t *testing.T, opts ...mockserver.Option) *stage {
	t.Helper()
	s := &stage{t: t, base: scenarioBase}
	server, err := mockserver.New(append(opts, mockserver.WithClock(s.now))...)
	if err != nil {
		t.Fatal(err)
	}
	s.Server, s.account = server, server.Default().Account()
	return s
}

func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base
}

func (s *stage) passBase(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = s.base.Add(d)
}

func readExample(t *testing.T, file string) *mockserver.Scenario {
	t.Helper()
	scenario, err := mockserver.ReadScenarioFile(filepath.Join("testdata", "scenarios", file))
	if err != nil {
		t.Fatal(err)
	}
	return scenario
}

type object = map[string]any

// send makes a call as the stage's account, and gives the answer's status and body.
func (s *stage) send(path string, request object) (*http.Response, []byte, error) {
	s.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://mock/api/v2"+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	stamp := fmt.Sprint(s.now().Unix())
	sum := sha256.Sum256([]byte(s.account.Token + ":" + stamp))
	r.SetBasicAuth(fmt.Sprint(s.account.UserID), hex.EncodeToString(sum[:]))
	r.Header.Set("Timestamp", stamp)
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	var read bytes.Buffer
	if _, err := read.ReadFrom(resp.Body); err != nil {
		return resp, nil, err
	}
	return resp, read.Bytes(), nil
}

// call makes a call that succeeds.
func (s *stage) call(path string, request object) object {
	s.t.Helper()
	answer := s.ask(path, request)
	if answer["success"] != true {
		s.t.Fatalf("%s %v: %v", path, request, answer)
	}
	return answer
}

// ask makes a call that is answered as the contract says.
func (s *stage) ask(path string, request object) object {
	s.t.Helper()
	resp, body, err := s.send(path, request)
	if err != nil {
		s.t.Fatalf("%s %v: %v", path, request, err)
	}
	var answer object
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %v: status %d, body %s", path, request, resp.StatusCode, body)
	}
	return answer
}

func (s *stage) deploy(task int) string {
	s.t.Helper()
	answer := s.call("/agents/deployments/create", object{"taskId": task})
	return answer["deployment"].(object)["deploymentId"].(string)
}

func (s *stage) status(deployment string) string {
	s.t.Helper()
	answer := s.call("/agents/deployments/read", object{"deploymentId": deployment})
	return answer["deployment"].(object)["status"].(string)
}

// statuses reads without counting as a read.
func (s *stage) statuses(task int) []string {
	s.t.Helper()
	var all []string
	for _, d := range s.call("/agents/deployments/list", object{"taskId": task})["deployments"].([]any) {
		all = append(all, d.(object)["status"].(string))
	}
	return all
}

func (s *stage) conversation(deployment string) any {
	s.t.Helper()
	return s.call("/agents/deployments/conversation/read", object{"deploymentId": deployment})["conversation"]
}

func (s *stage) text(deployment string) string {
	s.t.Helper()
	written, _ := json.Marshal(s.conversation(deployment))
	return string(written)
}

// parts is what the agent has said.
func (s *stage) parts(deployment string) []any {
	s.t.Helper()
	var parts []any
	for _, m := range s.conversation(deployment).(object)["messages"].([]any) {
		if m.(object)["role"] == "assistant" {
			parts = append(parts, m.(object)["parts"].([]any)...)
		}
	}
	return parts
}

func (s *stage) advance(d time.Duration) {
	s.t.Helper()
	if _, err := s.Default().Advance(d); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) want(got any, want any) {
	s.t.Helper()
	if !reflect.DeepEqual(got, want) {
		s.t.Fatalf("got %v, want %v", got, want)
	}
}

// toTheEnd goes from change to change and gives the statuses seen on the way.
func (s *stage) toTheEnd(deployment string) []string {
	s.t.Helper()
	seen := []string{s.status(deployment)}
	for {
		if _, ok := s.Default().AdvanceToNext(); !ok {
			return seen
		}
		seen = append(seen, s.status(deployment))
	}
}

// wantBuiltIn plays a built-in plan to its end.
func (s *stage) wantBuiltIn(name string, task int) {
	s.t.Helper()
	d := s.deploy(task)
	seen := strings.Join(s.toTheEnd(d), " ")
	text := s.text(d)
	wantSeen, present, absent := "InQueue Running Completed", `"create_backtest"`, "The backtest ended with a runtime error."
	switch name {
	case "runtime-error":
		wantSeen, present, absent = "InQueue Running RuntimeError", "The backtest ended with a runtime error.", "output-error"
	case "compile-warning":
		present = `"warnings":["`
	case "failed":
		wantSeen, present = "InQueue Running Failed", "output-error"
	case "stuck-in-queue":
		wantSeen, present, absent = "InQueue", `"inputTokens":0`, "assistant"
	case "sub-agent":
		present = "call_agent"
	case "empty-conversation":
		present, absent = "null", "{"
	}
	if seen != wantSeen {
		s.t.Errorf("%s: saw %s, want %s", name, seen, wantSeen)
	}
	if !strings.Contains(text, present) || strings.Contains(text, absent) {
		s.t.Errorf("%s: the transcript holds no %s, or holds %s:\n%s", name, present, absent, text)
	}
}

var builtIn = []string{
	"success", "runtime-error", "compile-warning", "failed", "stuck-in-queue", "long-running", "sub-agent", "empty-conversation",
}

// plays say what each example shows.
var plays = map[string]func(*stage){
	"built-in-plans.yaml": func(s *stage) {
		for i, name := range builtIn {
			s.wantBuiltIn(name, i+1)
		}
	},
	"scripted-transcript.yaml": func(s *stage) {
		d := s.deploy(1)
		s.want(s.parts(d), []any(nil))
		s.advance(5 * time.Second)
		s.want(s.status(d), "Running")
		s.want(s.parts(d), []any{object{"type": "step-start"}})
		s.advance(time.Second)
		s.want(s.parts(d)[1], object{"type": "text", "text": "I will write", "state": "streaming"})
		s.advance(time.Second)
		s.want(s.parts(d)[1], object{"type": "text", "text": "I will write the strategy.", "state": "done"})
		var states []any
		for range 60 {
			s.advance(time.Second)
			if parts := s.parts(d); len(parts) > 2 {
				states = append(states, parts[2].(object)["state"])
			}
		}
		s.want(slices.Compact(states), []any{"input-streaming", "input-available", "output-available"})
		s.want(s.status(d), "RuntimeError")
		parts := s.parts(d)
		s.want(parts[3].(object)["providerExecuted"], true)
		s.want(parts[4], object{"type": "data-note", "data": object{"seen": []any{1.0, 2.5, nil}}})
		s.want(parts[5].(object)["toolCallId"], "call-1")
		s.want(strings.Contains(s.text(d), "The backtest ended with a runtime error."), true)
		conversation := s.conversation(d).(object)
		s.want([]any{conversation["inputTokens"], conversation["outputTokens"]}, []any{1320.0, 56.0})
	},
	"spellings.yaml": func(s *stage) {
		d := s.deploy(1)
		var seen []string
		for range 6 {
			seen = append(seen, s.status(d))
		}
		s.want(seen, []string{"inqueue", "running", "running", "running", "completed", "completed"})
		d = s.deploy(2)
		s.want(s.toTheEnd(d), []string{"Initializing", "LoggingIn"})
		s.Default().Settle()
		s.want(s.status(d), "DeployError")
		s.want(s.toTheEnd(s.deploy(3)), []string{"InQueue", "Running", "InQueue", "Running", "Failed"})
	},
	"capacity.yaml": func(s *stage) {
		s.want(s.statuses(1), []string{"Completed", "Running", "InQueue", "InQueue"})
		s.advance(30 * time.Second)
		s.want(s.statuses(1), []string{"Completed", "Completed", "InQueue", "InQueue"})
		s.advance(time.Second)
		s.want(s.statuses(1), []string{"Completed", "Completed", "Running", "InQueue"})
		s.advance(2 * time.Second)
		s.want(s.statuses(1), []string{"Completed", "Completed", "Failed", "InQueue"})
		s.advance(59 * time.Second)
		s.want(s.statuses(1), []string{"Completed", "Completed", "Failed", "Running"})
		s.advance(time.Second)
		s.want(s.statuses(1), []string{"Completed", "Completed", "Failed", "Completed"})
	},
	"faults.yaml": func(s *stage) {
		for range 2 {
			resp, _, err := s.send("/authenticate", object{})
			if err != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
				s.t.Fatalf("authenticate: %v %v", resp, err)
			}
		}
		s.call("/authenticate", object{})
		create := object{
			"organizationId": mockserver.DefaultOrganizationID, "agentId": 47, "name": "Once", "prompt": "Hold SPY",
			"projectPreference": "project-for-task",
		}
		if _, _, err := s.send("/agents/tasks/create", create); err == nil {
			s.t.Fatal("the answer to createTask was not lost")
		}
		list := object{"organizationId": mockserver.DefaultOrganizationID}
		s.want(len(s.call("/agents/tasks/list", list)["tasks"].([]any)), 1)
		for range 3 {
			s.want(s.ask("/agents/tasks/list", list)["errors"], []any{"Too many requests."})
		}
		if _, body, err := s.send("/agents/read", object{"agentId": 47}); err != nil || !bytes.HasPrefix(body, []byte("<html>")) {
			s.t.Fatalf("readAgent: %s %v", body, err)
		}
		s.call("/agents/read", object{"agentId": 47})
	},
	"two-accounts.yaml": func(s *stage) {
		const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		agent := s.call("/agents/read", object{"agentId": 105})["agent"].(object)
		s.want(agent["organization"], object{"id": a, "name": "Shared Research"})
		s.want(agent["author"], object{"publicId": "amber", "name": "Amber"})
		s.want(agent["token"], object{"llmProviderApi": "anthropic", "llmApiTokenUser": "********"})
		s.want(agent["created"], "2026-01-05T14:30:00Z")
		s.want(s.call("/agents/read", object{"agentId": 107})["agent"].(object)["name"], "Nameless number")
		s.want(s.ask("/agents/read", object{"agentId": 106})["success"], false)
		s.want(s.ask("/agents/list", object{"organizationId": b})["success"], false)
		s.want(s.call("/agents/tasks/read", object{"taskId": 1001})["task"].(object)["organizationId"], a)
		s.want(s.toTheEnd(s.deploy(5)), []string{"InQueue", "Running", "Completed"})

		s.account = s.Default().Accounts()[1]
		s.want(len(s.call("/agents/list", object{"organizationId": a})["agents"].([]any)), 2)
		s.want(len(s.call("/agents/list", object{"organizationId": b})["agents"].([]any)), 1)
		s.want(s.toTheEnd(s.deploy(6)), []string{"InQueue", "Running", "Completed"})
		create := object{"organizationId": b, "name": "Next"}
		s.want(s.call("/agents/create", create)["agent"].(object)["id"], 108.0)
	},
	"sub-agent.yaml": func(s *stage) {
		d := s.deploy(1)
		ask := object{"deploymentId": d, "callableId": "call-7"}
		s.want(s.ask("/agents/deployments/conversation/read", ask)["success"], false)
		s.advance(2 * time.Second)
		length := func() int {
			s.t.Helper()
			n := 0
			for _, m := range s.call("/agents/deployments/conversation/read", ask)["conversation"].(object)["messages"].([]any) {
				n += len(m.(object)["parts"].([]any))
			}
			return n
		}
		s.want(length(), 1)
		s.advance(time.Second)
		s.want(length(), 2)
		s.advance(6 * time.Second)
		s.want(length(), 3)
		s.want(s.status(d), "Running")
		s.advance(time.Second)
		s.want(s.status(d), "Completed")
		s.want(length(), 4)
		s.want(s.ask("/agents/deployments/conversation/read", object{"deploymentId": d, "callableId": "call-8"})["success"], false)
	},
	"under-way.json": func(s *stage) {
		s.want(s.statuses(1), []string{"RuntimeError", "Running", "InQueue"})
		s.want(strings.Contains(s.text("A-0000000000000000000000000000000a"), "The backtest ended with a runtime error."), true)
		second := s.conversation("A-0000000000000000000000000000000b").(object)["messages"].([]any)
		s.want(len(second), 4-1) // the follow-up has not been answered yet
		for _, d := range s.call("/agents/deployments/list", object{"taskId": 1})["deployments"].([]any) {
			s.want(d.(object)["projectId"], 23456789.0)
		}
		s.advance(2 * time.Hour)
		s.want(s.statuses(1), []string{"RuntimeError", "Completed", "Completed"})
		s.Default().Reset()
		s.want(s.statuses(1), []string{"RuntimeError", "Running", "InQueue"})
	},
}

func TestExamplesPlay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.*"))
	if err != nil || len(files) != len(plays) {
		t.Fatalf("%d examples, %d plays, error %v", len(files), len(plays), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, mockserver.WithScenario(readExample(t, name)))
			plays[name](s)
			// And once more from the start: nothing of the first time is left.
			s.account = s.Default().Account()
			s.Default().Reset()
			plays[name](s)
		})
	}
}

func TestBuiltInPlansByMarker(t *testing.T) {
	t.Parallel()
	for _, name := range builtIn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, mockserver.WithSpeed(0))
			answer := s.call("/agents/tasks/create", object{
				"organizationId": mockserver.DefaultOrganizationID, "agentId": 47, "name": "A task",
				"prompt": "Hold SPY [mock:" + name + "]", "projectPreference": "project-for-task",
			})
			s.wantBuiltIn(name, int(answer["task"].(object)["id"].(float64)))
		})
	}
}

func TestSubAgentConversationComesWithItsCall(t *testing.T) {
	t.Parallel()
	s := newStage(t, mockserver.WithScenario(readExample(t, "built-in-plans.yaml")))
	d := s.deploy(7)
	for range 40 {
		s.advance(100 * time.Millisecond)
	}
	var id string
	for _, part := range s.parts(d) {
		if part := part.(object); part["toolName"] == "call_agent" {
			id = part["toolCallId"].(string)
		}
	}
	s.Default().Reset()
	again := s.deploy(7)
	if again != d {
		// Without a seed the identifiers differ, and the call's with them.
		s.want(s.ask("/agents/deployments/conversation/read", object{"deploymentId": again, "callableId": id})["success"], false)
	}

	seeded := newStage(t, mockserver.WithScenario(readExample(t, "built-in-plans.yaml")), mockserver.WithSeed("a"))
	d = seeded.deploy(7)
	called := func() any {
		return seeded.ask("/agents/deployments/conversation/read", object{"deploymentId": d, "callableId": idOf(seeded, d)})["success"]
	}
	seeded.want(called(), false)
	before, after := false, false
	for range 60 {
		seeded.advance(50 * time.Millisecond)
		hasCall := idOf(seeded, d) != "none-yet"
		before, after = before || !hasCall, after || hasCall
		seeded.want(called(), hasCall)
	}
	seeded.want([]bool{before, after}, []bool{true, true})
}

func idOf(s *stage, deployment string) string {
	for _, part := range s.parts(deployment) {
		if part := part.(object); part["toolName"] == "call_agent" {
			return part["toolCallId"].(string)
		}
	}
	return "none-yet"
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(mockserver.ScenarioSchema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("scenario.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is what an editor's validator sees.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if json.Valid(text) {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	// A time without quotes is a text to the YAML of editors.
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var untimed func(*yaml.Node)
	untimed = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
			n.Tag = "!!str"
		}
		for _, inner := range n.Content {
			untimed(inner)
		}
	}
	untimed(&root)
	if err := root.Decode(&value); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return asJSON(t, written)
}

func TestExamplesFitTheSchema(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for name := range plays {
		text, err := os.ReadFile(filepath.Join("testdata", "scenarios", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Contains(text, []byte("../../scenario.schema.json")) {
			t.Errorf("%s: it does not say where its schema is", name)
		}
	}
}

// TestSchemaAndStructsAgree holds each object of the schema to the struct of the same members.
func TestSchemaAndStructsAgree(t *testing.T) {
	t.Parallel()
	var schema object
	if err := json.Unmarshal(mockserver.ScenarioSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	resolve := func(node object) object {
		if all, ok := node["allOf"].([]any); ok {
			node = all[0].(object)
		}
		if ref, ok := node["$ref"].(string); ok {
			return schema["definitions"].(object)[strings.TrimPrefix(ref, "#/definitions/")].(object)
		}
		return node
	}
	seen := 0
	var agree func(path string, node object, is reflect.Type)
	agree = func(path string, node object, is reflect.Type) {
		for is.Kind() == reflect.Pointer {
			is = is.Elem()
		}
		if node["description"] == nil && node["$ref"] == nil {
			t.Errorf("%s: no description", path)
		}
		node = resolve(node)
		if node["description"] == nil || !strings.HasSuffix(node["description"].(string), ".") {
			t.Errorf("%s: no description that is a sentence", path)
		}
		kind := map[reflect.Kind]string{
			reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array", reflect.String: "string", reflect.Int: "integer",
			reflect.Bool: "boolean", reflect.Float64: "number", reflect.Int64: "string",
		}[is.Kind()]
		if is == reflect.TypeFor[time.Time]() {
			kind = "string"
		}
		if written, _ := node["type"].(string); written != kind {
			t.Errorf("%s: %s in the schema, %s in Go", path, written, is)
			return
		}
		switch {
		case kind == "array":
			agree(path+"[]", node["items"].(object), is.Elem())
		case is.Kind() == reflect.Map:
			if more, ok := node["additionalProperties"].(object); ok {
				agree(path+".*", more, is.Elem())
			} else if node["additionalProperties"] != true {
				t.Errorf("%s: it does not say that it is open", path)
			}
		case kind == "object":
			seen++
			var inGo, inSchema []string
			for i := range is.NumField() {
				f := is.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if !f.IsExported() || name == "-" {
					continue
				}
				inGo = append(inGo, name)
				if property, ok := node["properties"].(object)[name].(object); ok {
					agree(path+"."+name, property, f.Type)
				}
			}
			for name := range node["properties"].(object) {
				inSchema = append(inSchema, name)
			}
			slices.Sort(inGo)
			slices.Sort(inSchema)
			if !slices.Equal(inGo, inSchema) {
				t.Errorf("%s: members in Go %q, in the schema %q", path, inGo, inSchema)
			}
			if open := node["additionalProperties"]; (open == true) != strings.HasSuffix(path, ".part") {
				t.Errorf("%s: additionalProperties is %v", path, open)
			}
		}
	}
	agree("scenario", schema, reflect.TypeFor[mockserver.Scenario]())
	if seen < 20 {
		t.Errorf("only %d objects were looked at", seen)
	}
}

// TestScenarioGoesThroughJSON writes each example as JSON and reads that.
func TestScenarioGoesThroughJSON(t *testing.T) {
	t.Parallel()
	for name := range plays {
		written, err := json.Marshal(readExample(t, name))
		if err != nil {
			t.Fatal(err)
		}
		read, err := mockserver.ReadScenario(bytes.NewReader(written))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, written)
			continue
		}
		again, err := json.Marshal(read)
		if err != nil || !bytes.Equal(again, written) {
			t.Errorf("%s: %v\nonce  %s\ntwice %s", name, err, written, again)
		}
	}
}

func TestScenarioMistakes(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	task := "tasks: [{ id: 1, agentId: 47, name: a, prompt: b }]\n"
	for _, mistake := range []struct {
		text, want string
		// beyond is true when a schema cannot see the mistake.
		beyond bool
	}{
		{text: "", want: "1:1: the scenario is empty; write {}", beyond: true},
		{text: "# nothing\n", want: "1:1: the scenario is empty", beyond: true},
		{text: "~", want: "1:1: the scenario is empty", beyond: true},
		{text: "[]", want: "1:1: a list is no group of members"},
		{text: "acounts: []", want: "1:1: acounts: there is no such member; did you mean accounts?"},
		{text: "xyzzy: []", want: "1:1: xyzzy: there is no such member; use one of $schema, accounts"},
		{text: "capacity: 1\ncapacity: 2", want: "2:1: capacity: the member is there already, in line 1", beyond: true},
		{text: `{"capacity": 1, "capacity": 2}`, want: "1:17: capacity: the member is there already", beyond: true},
		{text: "capacity: -1", want: "1:11: capacity: -1 is below 0"},
		{text: "capacity: many", want: `1:11: capacity: the text "many" is no whole number`},
		{text: "capacity: 1.5", want: "1:11: capacity: the number 1.5 is no whole number"},
		{text: "capacity: 99999999999999999999", want: "1:11: capacity: the number 99999999999999999999 is no whole number that fits"},
		{text: "capacity:", want: "1:10: capacity: there is no value"},
		{text: "a: b: c", want: "1:1: this is neither YAML nor JSON", beyond: true},
		{text: "description: *x", want: "1:14: this is neither YAML nor JSON: unknown anchor 'x' referenced", beyond: true},
		{text: "description: \x01", want: "1:14: here is the control character U+0001", beyond: true},
		{text: "a: \xff", want: "1:4: here is a byte that is no UTF-8", beyond: true},
		{text: "{}\n---\n{}", want: "2:1: there is a second document", beyond: true},
		{text: "<<: {}", want: "1:1: merge keys are not read", beyond: true},
		{text: "? [a]\n: b", want: "1:3: a member's name has to be a text", beyond: true},
		{text: "description: 2026", want: "1:14: description: the number 2026 is no text; put it in quotes"},
		{text: "accounts: {}", want: "1:11: accounts: a group of members is no list"},
		{text: "accounts: [{ token: a }]", want: "1:12: accounts[0]: userId is missing"},
		{text: "accounts: [{ userId: -1 }]", want: "1:22: accounts[0].userId: -1 is below 0"},
		{text: "accounts:\n  - { userId: 1 }\n  - { userId: 1 }", want: "3:15: accounts[1].userId: there are two accounts", beyond: true},
		{text: "accounts: [{ userId: 1, organizations: [] }]", want: "1:40: accounts[0].organizations: it is empty"},
		{text: "accounts: [{ userId: 1, token: '' }]", want: "1:32: accounts[0].token: it is empty"},
		{text: "clock: { start: yesterday }", want: `1:17: clock.start: the text "yesterday" is no time; write it as 2026-01-05T14:30:00Z`},
		{text: "clock: { start: 0001-01-01T00:00:00Z }", want: "1:17: clock.start: the year 1 is out of range", beyond: true},
		{text: "clock: { speed: -1 }", want: "1:17: clock.speed: speed -1: use a number from 0"},
		{text: "clock: { speed: .inf }", want: "1:17: clock.speed: the number .inf is no number", beyond: true},
		{text: "agents: [{ id: 47, name: a }]", want: "1:16: agents[0].id: agent 47 is QuantConnect's own"},
		{text: "agents: [{ id: 5, name: a }, { id: 5, name: b }]", want: "1:36: agents[1].id: there are two agents", beyond: true},
		{text: "agents: [{ id: 9999999999, name: a }]", want: "1:16: agents[0].id: 9999999999 is out of range"},
		{text: "agents: [{ name: ' ' }]", want: "1:18: agents[0].name: the agent has no name"},
		{text: "agents: [{ name: a, subAgents: [{ agentId: 5 }] }]", want: "1:44: agents[0].subAgents[0].agentId: there is no agent 5", beyond: true},
		{text: "accounts: [{ userId: 1, organizations: [research] }]\nagents: [{ name: a, organizationId: resaerch }]", want: `2:37: agents[0].organizationId: no account belongs to organization "resaerch"; did you mean "research"?`, beyond: true},
		{text: "tasks: [{ name: a, prompt: b }]", want: "1:9: tasks[0].agentId: agentId is missing"},
		{text: "tasks: [{ name: a, prompt: b, agentId: 5 }]", want: "1:40: tasks[0].agentId: there is no agent 5", beyond: true},
		{text: "tasks: [{ name: a, agentId: 47 }]", want: "1:9: tasks[0].prompt: the task has no prompt"},
		{text: "tasks: [{ name: a, agentId: 47, prompt: 'b [mock:succes]' }]", want: `1:41: tasks[0].prompt: the marker [mock:succes] names no plan; did you mean "success"?`, beyond: true},
		{text: "tasks: [{ name: a, agentId: 47, prompt: b, projectPreference: project-for-tsk }]", want: `1:63: tasks[0].projectPreference: "project-for-tsk" is not known; did you mean "project-for-task"?`},
		{text: "deployments: [{ taskId: 1 }]", want: "1:25: deployments[0].taskId: there is no task 1", beyond: true},
		{text: task + "deployments: [{ taskId: 1, age: -5m }]", want: "2:33: deployments[0].age: -5m0s is below 0"},
		{text: task + "deployments: [{ taskId: 1, age: 5 }]", want: "2:33: deployments[0].age: the number 5 is no time; write it as 1.5s"},
		{text: task + "deployments: [{ taskId: 1, age: 9000h }]", want: "2:33: deployments[0].age: 9000h0m0s is too long", beyond: true},
		{text: task + "deployments: [{ taskId: 1, plan: slow }]", want: `2:34: deployments[0].plan: there is no plan "slow"`, beyond: true},
		{text: task + "deployments: [{ taskId: 1, age: 1m, prompts: [{ prompt: a, after: 2m }] }]", want: "2:67: deployments[0].prompts[0].after: 2m0s after its start is still to come", beyond: true},
		{text: task + "deployments: [{ taskId: 1, age: 1m, prompts: [{ prompt: a, after: 2s }, { prompt: a, after: 1s }] }]", want: "2:93: deployments[0].prompts[1].after: it comes before the prompt above it", beyond: true},
		{text: task + "deployments: [{ taskId: 1, deploymentId: a }, { taskId: 1, deploymentId: a }]", want: "2:74: deployments[1].deploymentId: there are two deployments", beyond: true},
		{text: "plans: { slow: { steps: [{ status: a }, { status: b, after: soon }] } }", want: `1:61: plans.slow.steps[1].after: the text "soon" is no time`},
		{text: "plans: { slow: { steps: [{ status: a, after: 1s, reads: 1 }] } }", want: "1:26: plans.slow.steps[0]: the step has more than one trigger"},
		{text: "plans: { slow: { steps: [{ status: a, reads: 0 }] } }", want: "1:46: plans.slow.steps[0].reads: 0 is out of range"},
		{text: "plans: { slow: { steps: [{ status: '' }] } }", want: "1:36: plans.slow.steps[0].status: the step has no status"},
		{text: "plans: { slow: { steps: [] } }", want: "1:25: plans.slow.steps: there are 0 steps"},
		{text: "plans: { 'a[b]': {} }", want: `1:18: plans."a[b]": a plan cannot have this name`},
		{text: "plans: { a: { outcome: sucsess } }", want: `1:24: plans.a.outcome: "sucsess" is not known; did you mean "success"?`},
		{text: "plans: { a: { conversation: some } }", want: `1:29: plans.a.conversation: "some" is not known`},
		{text: "plans: { a: { conversation: none, transcript: [] } }", want: "1:29: plans.a.conversation: the plan has no conversation, but"},
		{text: "plans: { a: { transcript: [{ part: { text: a } }] } }", want: "1:36: plans.a.transcript[0].part.type: the part has no type"},
		{text: "plans: { a: { transcript: [{ part: { type: 1 } }] } }", want: "1:44: plans.a.transcript[0].part.type: the number 1 is no text"},
		{text: "plans: { a: { transcript: [{ part: { type: a, input: null } }] } }", want: "1:54: plans.a.transcript[0].part.input: there is no value"},
		{text: "plans: { a: { transcript: [{ part: { type: a, more: !x y } }] } }", want: "1:53: plans.a.transcript[0].part.more: y is nothing that JSON knows", beyond: true},
		{text: "plans: { a: { transcript: [{ at: 2s, part: { type: a } }, { at: 1s, part: { type: a } }] } }", want: "1:65: plans.a.transcript[1].at: 1s comes before the cue above it", beyond: true},
		{text: "plans: { a: { transcript: [{ revises: true, part: { type: a } }] } }", want: "1:39: plans.a.transcript[0].revises: there is no part above it", beyond: true},
		{text: "plans: { a: { transcript: [{ inputTokens: -1, part: { type: a } }] } }", want: "1:43: plans.a.transcript[0].inputTokens: -1 is out of range"},
		{text: "plans: { a: { callables: { call-1: {} } } }", want: "1:36: plans.a.callables.call-1.prompt: there is no prompt"},
		{text: "rules: [{ prompt: a }]", want: "1:9: rules[0].plan: plan is missing"},
		{text: "rules: [{ prompt: '(', plan: failed }]", want: "1:19: rules[0].prompt: error parsing regexp: missing closing ): `(`", beyond: true},
		{text: "rules: [{ plan: fialed }]", want: `1:17: rules[0].plan: there is no plan "fialed"; did you mean "failed"?`, beyond: true},
		{text: "rules: [{ agentId: 5, plan: failed }]", want: "1:20: rules[0].agentId: there is no agent 5", beyond: true},
		{text: "faults: [{ operation: createTsk, effect: { drop: true } }]", want: `1:23: faults[0].operation: operation "createTsk" is not known; did you mean "createTask"?`},
		{text: "faults: [{ phase: later, effect: { drop: true } }]", want: `1:19: faults[0].phase: phase "later"`},
		{text: "faults: [{ effect: {} }]", want: "1:20: faults[0].effect: effect: set one of"},
		{text: "faults: [{ effect: { respond: { status: 99 } } }]", want: "1:41: faults[0].effect.respond.status: respond: status 99"},
		{text: "faults: [{ effect: { dorp: true } }]", want: "1:22: faults[0].effect.dorp: there is no such member; did you mean drop?"},
		{text: "accounts: [{ userId: 1 }]\nfaults: [{ userId: 2, effect: { drop: true } }]", want: "2:20: faults[0].userId: the world has no account with user id 2", beyond: true},
	} {
		_, err := mockserver.ReadScenario(strings.NewReader(mistake.text))
		if err == nil || !strings.HasPrefix(err.Error(), mistake.want) {
			t.Errorf("%q:\n got %v\nwant %s", mistake.text, err, mistake.want)
		}
		if !mistake.beyond {
			if err := schema.Validate(asJSON(t, []byte(mistake.text))); err == nil {
				t.Errorf("%q: the schema lets it pass", mistake.text)
			}
		}
	}
}

func TestScenarioMistakesOfAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(file, []byte("capacity: -1\nplans:\n  slow:\n    steps:\n      - status: ''\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := mockserver.ReadScenarioFile(file)
	want := file + ":1:11: capacity: -1 is below 0; use 0 (no limit) or more\n" +
		file + ":5:17: plans.slow.steps[0].status: the step has no status; give one, such as Running"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	mistake := (*mockserver.ScenarioError)(nil)
	if !errors.As(err, &mistake) || mistake.Line != 1 || mistake.Path != "capacity" || mistake.File != file {
		t.Errorf("got %#v", mistake)
	}
	if _, err := mockserver.ReadScenarioFile(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestScenarioBounds feeds what would grow without them.
func TestScenarioBounds(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString("plans: { a: { transcript: [{ part: { type: a, x0: &x0 [0, 0, 0, 0, 0, 0, 0, 0]")
	for i := range 30 {
		fmt.Fprintf(&bomb, ", x%d: &x%[1]d [*x%d, *x%[2]d, *x%[2]d, *x%[2]d, *x%[2]d]", i+1, i)
	}
	bomb.WriteString(" } }] } }")
	for name, text := range map[string]string{
		"alias bomb": bomb.String(),
		"a circle":   "plans: { a: { transcript: [{ part: { type: a, b: &b [*b, *b] } }] } }",
		"depth":      "plans: { a: { transcript: [{ part: { type: a, b: " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + " } }] } }",
		"brackets":   strings.Repeat("[", 100_000),
		"braces":     strings.Repeat("{a: ", 100_000),
		"dashes":     strings.Repeat("- ", 100_000),
		"questions":  strings.Repeat("? ", 100_000),
		"too large":  "description: " + strings.Repeat("a", 5<<20),
		"mistakes":   "{" + strings.Repeat("a: 1, ", 100_000) + "}",
		"comments":   strings.Repeat("# a\n", 200_000) + "[",
		"names":      "{" + strings.Repeat("a", 1_000_000) + ": 1}",
	} {
		_, err := mockserver.ReadScenario(strings.NewReader(text))
		if err == nil || len(err.Error()) > 10_000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadReplacesAWorld(t *testing.T) {
	t.Parallel()
	s := newStage(t, mockserver.WithAccount(mockserver.DefaultAccount()), mockserver.WithAccount(mockserver.Account{UserID: 2, Token: "b"}))
	w := s.Default()
	if err := w.Inject(mockserver.Fault{Effect: mockserver.Drop(), Skip: 1000}); err != nil {
		t.Fatal(err)
	}
	s.call("/agents/create", object{"organizationId": mockserver.DefaultOrganizationID, "name": "Old"})
	list := func() int {
		s.t.Helper()
		return len(s.call("/agents/list", object{"organizationId": s.account.Organizations[0]})["agents"].([]any))
	}
	s.want(list(), 1)

	// What cannot be loaded changes nothing.
	for text, want := range map[string]string{
		"accounts: [{ userId: 2 }]":                "1:22: accounts[0].userId: user id 2 belongs to another world",
		"agents: [{ name: a, organizationId: b }]": "1:37: agents[0].organizationId: no account belongs to organization \"b\"",
	} {
		scenario, err := mockserver.ReadScenario(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Load(scenario); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	s.want(list(), 1)
	s.want(w.Account().UserID, 1)

	if err := w.Load(readExample(t, "two-accounts.yaml")); err != nil {
		t.Fatal(err)
	}
	s.want(len(w.Journal()), 0)
	s.want(s.Default() == w && s.World(1001) == w && s.World(1002) == w && s.World(1) == nil, true)
	s.want(w.Now(), time.Date(2026, time.January, 5, 14, 30, 0, 0, time.UTC))
	if resp, _, err := s.send("/authenticate", object{}); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old account: %v %v", resp, err)
	}
	s.account = w.Account()
	s.want(list(), 2)
	plays["two-accounts.yaml"](s)

	// A scenario without accounts keeps them, and one that is made needs no file.
	made := &mockserver.Scenario{Rules: []mockserver.ScenarioRule{{Plan: "failed"}}}
	if err := w.Load(made); err != nil {
		t.Fatal(err)
	}
	s.account = w.Account()
	s.want(list(), 0)
	s.want(w.Now(), s.now())
	made = &mockserver.Scenario{Rules: []mockserver.ScenarioRule{{Plan: "nothing"}}}
	if err := w.Load(made); err == nil || !strings.HasPrefix(err.Error(), `rules[0].plan: there is no plan "nothing"`) {
		t.Error(err)
	}
	if err := s.DeleteWorld(s.World(2)); err != nil {
		t.Fatal(err)
	}
}

func TestScenarioAndAccountOptions(t *testing.T) {
	t.Parallel()
	scenario := readExample(t, "two-accounts.yaml")
	s := newStage(t, mockserver.WithScenario(scenario))
	s.want(s.Default().Account().UserID, 1001)
	s.want(s.World(mockserver.DefaultUserID) == nil, true)
	s = newStage(t, mockserver.WithScenario(scenario), mockserver.WithAccount(mockserver.Account{UserID: 7, Token: "t", Organizations: []string{"o"}}))
	s.want(s.Default().Account().UserID, 7)
	s.want(len(s.Default().Accounts()), 3)
	s.want(s.World(1002) == s.Default(), true)
	s.call("/authenticate", object{})
	s = newStage(t, mockserver.WithScenario(scenario), mockserver.WithAuth(mockserver.AuthOff))
	s.call("/agents/tasks/read", object{"taskId": 5})
	_, err := mockserver.New(mockserver.WithScenario(scenario), mockserver.WithAccount(mockserver.Account{UserID: 7}),
		mockserver.WithAccount(mockserver.Account{UserID: 1002}))
	if err == nil || !strings.Contains(err.Error(), "two-accounts.yaml:8:13: accounts[1].userId: user id 1002 belongs to another world") {
		t.Error(err)
	}
}

// TestResetKeepsAges resets a world whose time begins with the base clock: what was five minutes old is so again.
func TestResetKeepsAges(t *testing.T) {
	t.Parallel()
	scenario, err := mockserver.ReadScenario(strings.NewReader(`
tasks: [{ id: 1, agentId: 47, name: a, prompt: b }]
deployments: [{ taskId: 1, age: 5m, plan: minutes }]
plans: { minutes: { steps: [{ status: Running }, { status: Completed, after: 6m }] } }
`))
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, mockserver.WithScenario(scenario))
	id := s.call("/agents/deployments/list", object{"taskId": 1})["deployments"].([]any)[0].(object)["deploymentId"]
	for range 3 {
		s.want(s.statuses(1), []string{"Running"})
		listed := s.call("/agents/deployments/list", object{"taskId": 1})["deployments"].([]any)[0].(object)
		s.want(listed["deploymentId"], id)
		s.want(listed["created"], s.now().Add(-5*time.Minute).Format(time.RFC3339))
		s.passBase(time.Minute)
		s.want(s.statuses(1), []string{"Completed"})
		s.passBase(time.Hour)
		s.Default().Reset()
	}
}

func FuzzReadScenario(f *testing.F) {
	for name := range plays {
		text, err := os.ReadFile(filepath.Join("testdata", "scenarios", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"", "~", "[]", "{}\n---\n{}", "a: b: c", "<<: {}", "? [a]\n: b", "description: *x", "\xff", "a: \x00",
		"plans: { a: { transcript: [{ part: { type: a, b: &b [*b, *b] } }] } }",
		"plans: { a: { transcript: [{ part: { type: a, b: 0x1F, c: .inf, d: 1_000, e: !x y, f: 2026-01-01 } }] } }",
		`{"description": "\ud83d\udcc8 \ud83d \\ud83d", "capacity": 1e400}`,
		"capacity: 99999999999999999999\naccounts: [{ userId: 1 }, { userId: 1 }]\nclock: { start: 0001-01-01T00:00:00Z, speed: -1 }",
		"rules: [{ prompt: '(', plan: fialed }]\nfaults: [{ operation: x, effect: {} }]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		scenario, err := mockserver.ReadScenario(bytes.NewReader(text))
		if err == nil {
			server, err := mockserver.New(mockserver.WithScenario(scenario), mockserver.WithClock(func() time.Time { return scenarioBase }))
			if err == nil {
				server.Default().Settle()
				server.Default().Reset()
			} else if !hasPlaces(errors.Unwrap(err)) {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		if !hasPlaces(err) {
			t.Errorf("an error without a place: %v", err)
		}
	})
}

// hasPlaces reports whether each mistake says where it is.
func hasPlaces(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, err := range joined.Unwrap() {
		mistake := (*mockserver.ScenarioError)(nil)
		if !errors.As(err, &mistake) || mistake.Line < 1 || mistake.Column < 1 {
			return false
		}
	}
	return true
}
