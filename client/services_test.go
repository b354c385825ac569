package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/gen"
)

// Each method sends what the contract's path takes, signed, and reads what it answers.
func TestServices(t *testing.T) {
	ctx := t.Context()
	rows := []struct {
		name   string
		path   string
		sends  string
		answer string
		call   func(c *client.Client) (any, error)
		want   any
	}{
		{
			"authenticate", "/authenticate", `{}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Authenticate(ctx) }, nil,
		},
		{
			"createAgent", "/agents/create", `{"name":"My Claude","organizationId":"o","public":false,"tools":[]}`,
			`{"success":true,"agent":{"id":105,"name":"My Claude","model":"claude-opus-4-7"}}`,
			func(c *client.Client) (any, error) {
				return c.Agents.Create(ctx, client.CreateAgentRequest{
					OrganizationID: "o", Name: "My Claude", Public: new(false), Tools: []string{},
				})
			},
			&client.Agent{ID: 105, Name: "My Claude", Model: "claude-opus-4-7"},
		},
		{
			"readAgent", "/agents/read", `{"agentId":47}`, `{"success":true,"agent":{"id":47,"name":"n","model":"m"}}`,
			func(c *client.Client) (any, error) { return c.Agents.Read(ctx, 47) },
			&client.Agent{ID: 47, Name: "n", Model: "m"},
		},
		{
			"updateAgent", "/agents/update", `{"agentId":105,"name":"New"}`, `{"success":true}`,
			func(c *client.Client) (any, error) {
				return nil, c.Agents.Update(ctx, client.UpdateAgentRequest{AgentID: 105, Name: new("New")})
			}, nil,
		},
		{
			"deleteAgent", "/agents/delete", `{"agentId":105}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Agents.Delete(ctx, 105) }, nil,
		},
		{
			"listAgents", "/agents/list", `{"organizationId":"o"}`,
			`{"success":true,"agents":[{"id":1,"name":"a","model":"m"},{"id":2,"name":"b","model":"m"}]}`,
			func(c *client.Client) (any, error) { return c.Agents.List(ctx, "o") },
			[]client.Agent{{ID: 1, Name: "a", Model: "m"}, {ID: 2, Name: "b", Model: "m"}},
		},
		{
			"createTask", "/agents/tasks/create",
			`{"agentId":47,"name":"n","organizationId":"o","projectPreference":"project-for-task","prompt":"p"}`,
			`{"success":true,"task":{"id":1001,"name":"N"}}`,
			func(c *client.Client) (any, error) {
				return c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
					OrganizationID: "o", AgentID: 47, Name: "n", Prompt: "p", ProjectPreference: client.ProjectForTask,
				})
			},
			&client.Task{ID: 1001, Name: "N"},
		},
		{
			"readTask", "/agents/tasks/read", `{"taskId":1001}`, `{"success":true,"task":{"id":1001,"name":"n"}}`,
			func(c *client.Client) (any, error) { return c.Tasks.Read(ctx, 1001) }, &client.Task{ID: 1001, Name: "n"},
		},
		{
			"updateTask", "/agents/tasks/update", `{"name":"m","taskId":1001}`, `{"success":true,"task":{"id":1001}}`,
			func(c *client.Client) (any, error) {
				return nil, c.Tasks.Update(ctx, client.UpdateAgentTaskRequest{TaskID: 1001, Name: new("m")})
			}, nil,
		},
		{
			"deleteTask", "/agents/tasks/delete", `{"taskId":1001}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Tasks.Delete(ctx, 1001) }, nil,
		},
		{
			"listTasks", "/agents/tasks/list", `{"organizationId":"o"}`, `{"success":true,"tasks":[{"id":1,"name":"a"}]}`,
			func(c *client.Client) (any, error) { return c.Tasks.List(ctx, "o") }, []client.Task{{ID: 1, Name: "a"}},
		},
		{
			"createDeployment", "/agents/deployments/create", `{"taskId":1001}`,
			`{"success":true,"deployment":{"deploymentId":"A-1","status":"InQueue"},"debug":{"id":"A-2"}}`,
			func(c *client.Client) (any, error) { return c.Deployments.Create(ctx, 1001) },
			&client.Deployment{DeploymentID: "A-1", Status: "InQueue"},
		},
		{
			"createDeployment, earlier form", "/agents/deployments/create", `{"taskId":1001}`,
			`{"success":true,"debug":{"id":"A-2"}}`,
			func(c *client.Client) (any, error) { return c.Deployments.Create(ctx, 1001) },
			&client.Deployment{DeploymentID: "A-2"},
		},
		{
			"readDeployment", "/agents/deployments/read", `{"deploymentId":"A-1"}`,
			`{"success":true,"deployment":{"deploymentId":"A-1","status":"Running"}}`,
			func(c *client.Client) (any, error) { return c.Deployments.Read(ctx, "A-1") },
			&client.Deployment{DeploymentID: "A-1", Status: "Running"},
		},
		{
			"promptDeployment", "/agents/deployments/prompt", `{"deploymentId":"A-1","prompt":"QQQ"}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Deployments.Prompt(ctx, "A-1", "QQQ") }, nil,
		},
		{
			"listDeployments", "/agents/deployments/list", `{"taskId":1001}`,
			`{"success":true,"deployments":[{"deploymentId":"A-1","status":"Completed"}]}`,
			func(c *client.Client) (any, error) { return c.Deployments.List(ctx, 1001) },
			[]client.Deployment{{DeploymentID: "A-1", Status: "Completed"}},
		},
		{
			"stopDeployment", "/agents/deployments/stop", `{"deploymentId":"A-1"}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Deployments.Stop(ctx, "A-1") }, nil,
		},
		{
			"deleteDeployment", "/agents/deployments/delete", `{"deploymentId":"A-1"}`, `{"success":true}`,
			func(c *client.Client) (any, error) { return nil, c.Deployments.Delete(ctx, "A-1") }, nil,
		},
		{
			"readConversation", "/agents/deployments/conversation/read", `{"deploymentId":"A-1"}`,
			`{"success":true,"conversation":{"inputTokens":3,"outputTokens":null,"messages":[{"id":"m","role":"user",` +
				`"parts":[{"type":"text","text":"hi","custom":1}]}]}}`,
			func(c *client.Client) (any, error) { return c.Deployments.ReadConversation(ctx, "A-1") },
			&client.Conversation{InputTokens: new(3), Messages: []client.Message{{
				ID: new("m"), Role: new("user"), Parts: []client.Part{{
					Type: "text", Text: new("hi"), AdditionalProperties: map[string]any{"custom": 1.0},
				}},
			}}},
		},
		{
			"readConversation of a sub-agent", "/agents/deployments/conversation/read",
			`{"callableId":"call-1","deploymentId":"A-1"}`, `{"success":true,"conversation":{}}`,
			func(c *client.Client) (any, error) {
				return c.Deployments.ReadConversation(ctx, "A-1", client.OfCallable("call-1"))
			},
			&client.Conversation{},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			operation, _, _ := strings.Cut(strings.ReplaceAll(row.name, ",", ""), " ")
			var body string
			c := newClient(t, transport(func(req *http.Request) (*http.Response, error) {
				data, err := io.ReadAll(req.Body)
				if err != nil {
					t.Error(err)
				}
				body = string(data)
				if got := req.Method + " " + req.URL.String(); got != "POST http://quantconnect.test/api/v2"+row.path {
					t.Errorf("request to %s", got)
				}
				for _, name := range []string{"Authorization", "Timestamp", "User-Agent", "Content-Type", "Accept"} {
					if len(req.Header.Values(name)) != 1 {
						t.Errorf("header %s: %q", name, req.Header.Values(name))
					}
				}
				return respond(req, 200, row.answer), nil
			}))
			got, err := row.call(c)
			if err != nil {
				t.Fatal(err)
			}
			if body != row.sends {
				t.Errorf("sent %s, want %s", body, row.sends)
			}
			if row.want != nil && !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %+v, want %+v", got, row.want)
			}

			// The same call, refused.
			c = newClient(t, always(`{"success":false,"errors":["no"]}`))
			_, err = row.call(c)
			failure, ok := errors.AsType[*client.Error](err)
			if !ok || !errors.Is(err, client.ErrRejected) || failure.Operation != operation {
				t.Errorf("refusal of %s: got %#v", operation, err)
			}

			// The same call, with a body that is empty but for success.
			if row.want == nil {
				return
			}
			got, err = row.call(newClient(t, always(`{"success":true}`)))
			switch operation {
			case "listAgents", "readConversation":
				if err != nil {
					t.Errorf("without a payload: %v", err)
				}
			default:
				creates := strings.HasPrefix(operation, "create")
				checkFailure(t, err, client.ErrUnexpectedBody, nil, 1, creates)
				if !reflect.ValueOf(got).IsNil() {
					t.Errorf("got %v beside the error", got)
				}
			}
		})
	}
}

// What the contract does not promise may be missing, null, unknown or of another type.
func TestTolerance(t *testing.T) {
	ctx := t.Context()
	t.Run("unknown members, nulls, wrong types", func(t *testing.T) {
		c := newClient(t, always("\n"+`{"agent":{"id":105,"name":null,"model":"m","node":{"id":"LN-7","sku":"A-8"},"tools":null,
			"maxTurns":"100","reasoningEffort":"extreme","mood":{"good":true}},"success":true,"errors":null,"debug":[]}`))
		agent, err := c.Agents.Read(ctx, 105)
		if err != nil {
			t.Fatal(err)
		}
		want := &client.Agent{
			ID: 105, Model: "m", Node: &client.AgentNode{Sku: new("A-8")}, ReasoningEffort: new("extreme"),
		}
		if !reflect.DeepEqual(agent, want) {
			t.Errorf("got %+v, want %+v", agent, want)
		}
	})
	t.Run("lists that are null", func(t *testing.T) {
		c := newClient(t, always(`{"agents":null,"tasks":null,"deployments":null,"conversation":null,"success":true}`))
		agents, err1 := c.Agents.List(ctx, "o")
		tasks, err2 := c.Tasks.List(ctx, "o")
		deployments, err3 := c.Deployments.List(ctx, 1)
		conversation, err4 := c.Deployments.ReadConversation(ctx, "A-1")
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if len(agents)+len(tasks)+len(deployments)+len(conversation.Messages) != 0 {
			t.Error("something out of nothing")
		}
	})
	t.Run("lists that are none", func(t *testing.T) {
		for _, list := range []string{`{"1":{"id":1}}`, `"none"`, `["A-1"]`, `[null]`, `[{"id":1,"deploymentId":"A-1"},{}]`} {
			c := newClient(t, always(fmt.Sprintf(`{"agents":%s,"tasks":%[1]s,"deployments":%[1]s,"success":true}`, list)))
			_, err1 := c.Agents.List(ctx, "o")
			_, err2 := c.Tasks.List(ctx, "o")
			_, err3 := c.Deployments.List(ctx, 1)
			for _, err := range []error{err1, err2, err3} {
				checkFailure(t, err, client.ErrUnexpectedBody, nil, 1, false)
			}
		}
	})
	t.Run("lists with odd members", func(t *testing.T) {
		c := newClient(t, always(`{"tasks":[{"id":1,"name":7},{"id":2,"name":"b"}],"success":true}`))
		tasks, err := c.Tasks.List(ctx, "o")
		if err != nil || len(tasks) != 2 || tasks[0].ID != 1 || tasks[1].Name != "b" {
			t.Errorf("got %+v, %v", tasks, err)
		}
	})
	t.Run("null members of created things", func(t *testing.T) {
		for _, id := range []string{"null", "0", `""`, `{}`} {
			c := newClient(t, always(fmt.Sprintf(
				`{"agent":{"id":%s},"task":{"id":%[1]s},"deployment":{"deploymentId":%[1]s},"debug":{"id":null},"success":true}`, id)))
			_, err1 := c.Agents.Create(ctx, client.CreateAgentRequest{})
			_, err2 := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{})
			_, err3 := c.Deployments.Create(ctx, 1)
			for _, err := range []error{err1, err2, err3} {
				checkFailure(t, err, client.ErrUnexpectedBody, nil, 1, true)
			}
		}
	})
	t.Run("odd transcripts", func(t *testing.T) {
		read := func(conversation string) (*client.Conversation, error) {
			c := newClient(t, always(`{"conversation":`+conversation+`,"success":true}`))
			return c.Deployments.ReadConversation(ctx, "A-1")
		}
		got, err := read(`{"inputTokens":"many","outputTokens":184,"messages":[
			null, 7, {"id":12,"role":"assistant","parts":"none"},
			{"parts":[null,"words",{"type":"text","text":{"rich":true}},{"type":9,"state":[]},{"type":"data-plot","data":[1]}]}]}`)
		if err != nil {
			t.Fatal(err)
		}
		want := &client.Conversation{OutputTokens: new(184), Messages: []client.Message{
			{}, {}, {Role: new("assistant")},
			{Parts: []client.Part{
				{},
				{AdditionalProperties: map[string]any{"value": "words"}},
				{Type: "text", AdditionalProperties: map[string]any{"text": map[string]any{"rich": true}}},
				{AdditionalProperties: map[string]any{"type": 9.0, "state": []any{}}},
				{Type: "data-plot", AdditionalProperties: map[string]any{"data": []any{1.0}}},
			}},
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, err := read("[]"); err != nil || len(got.Messages) != 0 {
			t.Errorf("an empty list for an empty object: %v, %v", got, err)
		}
		_, err = read(`"later"`)
		checkFailure(t, err, client.ErrUnexpectedBody, nil, 1, false)
	})
	t.Run("a request that cannot be encoded", func(t *testing.T) {
		c := newClient(t, always(`{"success":true}`))
		err := c.Agents.Update(ctx, client.UpdateAgentRequest{
			ChainedAgents: []client.AgentChainedEntry{{Agent: map[string]any{"f": func() {}}}},
		})
		checkFailure(t, err, nil, nil, 0, false)
		if !strings.HasPrefix(err.Error(), "update agent: encode the request: ") {
			t.Error(err)
		}
	})
}

func TestRawAnswerIsReachable(t *testing.T) {
	body := `{"success":true,"task":{"id":1,"name":"n","mood":"good"}}`
	c := newClient(t, inTurn(body, `{"success":false,"errors":["no"],"code":7}`))
	var response client.Response
	if _, err := c.Tasks.Read(client.CaptureResponse(t.Context(), &response), 1); err != nil {
		t.Fatal(err)
	}
	if string(response.Body) != body || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("captured %+v", response)
	}
	_, err := c.Tasks.Read(client.CaptureResponse(t.Context(), &response), 1)
	failure, _ := errors.AsType[*client.Error](err)
	if string(failure.Body()) != `{"success":false,"errors":["no"],"code":7}` || !bytes.Equal(response.Body, failure.Body()) {
		t.Errorf("body of the error is %q, captured %q", failure.Body(), response.Body)
	}
	// Nobody to capture for.
	if _, err := c.Tasks.Read(client.CaptureResponse(t.Context(), nil), 1); !errors.Is(err, client.ErrRejected) {
		t.Error(err)
	}
}

// The generated client goes through the same chain: signed, repeated by operation, bounded.
func TestRaw(t *testing.T) {
	t.Run("answers are handed on", func(t *testing.T) {
		c := newClient(t, inTurn(`{"success":false,"errors":["no"]}`, `{"success":true,"task":{"id":1,"name":"n"}}`))
		got, err := c.Raw().ReadTaskWithResponse(t.Context(), gen.ReadAgentTaskRequest{TaskID: 1})
		if err != nil || got.StatusCode() != 200 || got.JSON200.Success {
			t.Errorf("got %+v, %v", got, err)
		}
		got, err = c.Raw().ReadTaskWithResponse(t.Context(), gen.ReadAgentTaskRequest{TaskID: 1})
		if err != nil || !got.JSON200.Success || got.JSON200.Task.Name != "n" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("what may be repeated", func(t *testing.T) {
		var signed, bodies []string
		fail := transport(func(req *http.Request) (*http.Response, error) {
			signed = append(signed, req.Header.Get("Authorization"))
			if req.Body != nil {
				data, _ := io.ReadAll(req.Body)
				bodies = append(bodies, string(data))
			}
			return nil, errors.New("broken")
		})
		c := newClient(t, fail, client.WithRetry(client.RetryPolicy{MaxAttempts: 3, MinDelay: 1, MaxDelay: 1}))
		// A body that can be read only once is kept.
		once := struct{ io.Reader }{strings.NewReader(`{"taskId":1}`)}
		_, err := c.Raw().ReadTaskWithBodyWithResponse(t.Context(), "application/json", once)
		checkFailure(t, err, client.ErrUnavailable, nil, 3, false)
		if len(signed) != 3 || len(bodies) != 3 || bodies[2] != `{"taskId":1}` || signed[2] == "" {
			t.Errorf("sent %q, signed %q", bodies, signed)
		}
		_, err = c.Raw().AuthenticateGetWithResponse(t.Context())
		checkFailure(t, err, client.ErrUnavailable, nil, 3, false)
		_, err = c.Raw().CreateTaskWithResponse(t.Context(), gen.CreateAgentTaskRequest{})
		checkFailure(t, err, client.ErrUnavailable, nil, 1, true)
	})
	t.Run("an operation nobody knows is sent once", func(t *testing.T) {
		sent := 0
		c := newClient(t, transport(func(*http.Request) (*http.Response, error) {
			sent++
			return nil, errors.New("broken")
		}))
		elsewhere := func(_ context.Context, req *http.Request) error {
			req.URL.Path = "/api/v2/agents/approve"
			return nil
		}
		_, err := c.Raw().ReadTaskWithResponse(t.Context(), gen.ReadAgentTaskRequest{}, elsewhere)
		checkFailure(t, err, client.ErrUnavailable, nil, 1, true)
		if sent != 1 || !strings.HasPrefix(err.Error(), "/agents/approve: unavailable: broken") {
			t.Errorf("sent %d times: %v", sent, err)
		}
	})
	t.Run("a body that cannot be read", func(t *testing.T) {
		c := newClient(t, always(`{}`))
		broken := struct{ io.Reader }{io.MultiReader(strings.NewReader("{"), brokenReader{})}
		_, err := c.Raw().ReadTaskWithBodyWithResponse(t.Context(), "application/json", broken)
		checkFailure(t, err, nil, errBroken, 0, false)
	})
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestConcurrentUse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var sent struct{ TaskID int }
		if err := json.NewDecoder(req.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"success":true,"task":{"id":%d,"name":"n"}}`, sent.TaskID)
	}))
	defer server.Close()
	c, err := client.New(client.WithCredentials(testCredentials), client.WithBaseURL(server.URL+"/api/v2/"))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for id := range 50 {
		group.Go(func() {
			var response client.Response
			task, err := c.Tasks.Read(client.CaptureResponse(t.Context(), &response), id)
			if err != nil || task.ID != id || !strings.Contains(string(response.Body), fmt.Sprintf(`"id":%d,`, id)) {
				t.Errorf("task %d: %v, %v", id, task, err)
			}
			if clone, err := c.Clone(client.WithApplication("app", "")); err != nil || clone.Authenticate(t.Context()) != nil {
				t.Errorf("clone: %v", err)
			}
		})
	}
	group.Wait()
}

// contract is what these tests ask openapi.yaml.
type contract struct {
	Paths      map[string]map[string]struct{ OperationID string }
	Components struct {
		Schemas map[string]struct {
			Enum       []string
			Properties map[string]struct {
				Open []string `yaml:"x-extensible-enum"`
			}
		}
	}
}

func readContract(t *testing.T) (c contract) {
	t.Helper()
	data, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The yaml package wants lower-case keys where no tag says otherwise.
	data = bytes.ReplaceAll(data, []byte("operationId:"), []byte("operationid:"))
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConstantsAreTheContracts(t *testing.T) {
	schemas := readContract(t).Components.Schemas
	open := func(schema, property string) []string { return schemas[schema].Properties[property].Open }
	for _, row := range []struct {
		what      string
		spec, own []string
	}{
		{"deployment status", open("AgentDeployment", "status"), []string{
			client.StatusInQueue, client.StatusRunning, client.StatusCompleted, client.StatusStopped, client.StatusFailed,
			client.StatusRuntimeError,
		}},
		{"project preference", schemas["ProjectPreference"].Enum, []string{
			client.ProjectEachTaskDeployment, client.ProjectForTask,
		}},
		{"project preference of a task", open("AgentTask", "projectPreference"), []string{
			client.ProjectEachTaskDeployment, client.ProjectForTask,
		}},
		{"reasoning effort", schemas["ReasoningEffort"].Enum, []string{
			client.EffortLow, client.EffortMedium, client.EffortHigh,
		}},
		{"reasoning effort of an agent", open("Agent", "reasoningEffort"), []string{
			client.EffortLow, client.EffortMedium, client.EffortHigh,
		}},
		{"role", open("ConversationMessage", "role"), []string{client.RoleSystem, client.RoleUser, client.RoleAssistant}},
		{"part type", open("ConversationPart", "type"), []string{
			client.PartText, client.PartReasoning, client.PartDynamicTool, client.PartStepStart, client.PartFile,
			client.PartSourceURL, client.PartSourceDocument,
		}},
		{"part state", open("ConversationPart", "state"), []string{
			client.StateStreaming, client.StateDone, client.StateInputStreaming, client.StateInputAvailable,
			client.StateOutputAvailable, client.StateOutputError,
		}},
	} {
		if len(row.spec) == 0 || !reflect.DeepEqual(row.spec, row.own) {
			t.Errorf("%s: openapi.yaml has %q, this package %q", row.what, row.spec, row.own)
		}
	}
	// They fit requests, which have types, as well as answers, which have none.
	_ = client.CreateAgentTaskRequest{ProjectPreference: client.ProjectForTask}
	_ = client.Task{ProjectPreference: new(client.ProjectForTask)}
}
