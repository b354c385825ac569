package mockserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/gen/stub"
	"github.com/qcagents/qcagents/mockserver"
)

// A contractCase is one call of an operation through the client, and how it ends.
type contractCase struct {
	operation string // operationId
	name      string
	setup     func(s *scene) // makes what has to be there before; nil when nothing has to
	call      func(s *scene) (any, error)
	// class is that of the refusal; empty for a success.
	class mockserver.Class
	// want looks at what the call gave; nil when there is nothing to look at.
	want func(s *scene, got any)
}

// scene is what a case plays in: a mock of its own and clients that are recorded.
type scene struct {
	testing.TB
	ctx      context.Context
	mock     *mock
	recorder *recorder
	*client.Client
	stranger *client.Client // has the right user id and a wrong token
	agent    int
	task     int
	run      string // a deployment
}

func newScene(t testing.TB, opts ...mockserver.Option) *scene {
	t.Helper()
	m := newMock(t, opts...)
	rec := &recorder{next: m.Transport()}
	return &scene{
		TB: t, ctx: t.Context(), mock: m, recorder: rec,
		Client:   m.client(t, credentials, rec),
		stranger: m.client(t, client.Credentials{UserID: credentials.UserID, Token: "another-token"}, rec),
	}
}

// play runs a case and gives its exchanges: those of its set-up, and the one that it is about.
func (c contractCase) play(t testing.TB) (before []exchange, it exchange) {
	t.Helper()
	s := newScene(t)
	if c.setup != nil {
		c.setup(s)
	}
	before = s.recorder.take()
	got, err := c.call(s)
	exchanges := s.recorder.take()
	if len(exchanges) != 1 {
		t.Fatalf("the call made %d exchanges, want one", len(exchanges))
	}
	it = exchanges[0]
	c.check(t, it, err)
	if c.want != nil && !t.Failed() {
		c.want(s, got)
	}
	return before, it
}

func (c contractCase) check(t testing.TB, it exchange, err error) {
	t.Helper()
	if got := it.answerHeader.Get("Qcmock-Violation"); got != string(c.class) {
		t.Errorf("Qcmock-Violation is %q, want %q: %s", got, c.class, it.answer)
	}
	if c.class == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	want := client.ErrRejected
	if strings.HasPrefix(string(c.class), "auth-") {
		want = client.ErrUnauthorized
	}
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	if failure, ok := errors.AsType[*client.Error](err); ok && (failure.Operation != c.operation || len(failure.Messages) == 0) {
		t.Errorf("the error is about %s and says %q", failure.Operation, failure.Messages)
	}
}

// ---- what cases are made of --------------------------------------------------------------------------------------------

func must[T any](s *scene) func(T, error) T {
	return func(value T, err error) T {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
		return value
	}
}

func withAgent(s *scene) {
	s.agent = must[*client.Agent](s)(s.Agents.Create(s.ctx, client.CreateAgentRequest{OrganizationID: organization, Name: "Calm Amber Heron"})).ID
}

func taskOf(agent int) client.CreateAgentTaskRequest {
	return client.CreateAgentTaskRequest{
		OrganizationID: organization, AgentID: agent, Name: "Buy and hold SPY", Prompt: "Build a buy and hold strategy for SPY",
		ProjectPreference: client.ProjectEachTaskDeployment,
	}
}

func prompted(prompt string) func(*scene) {
	return func(s *scene) {
		request := taskOf(47)
		request.Prompt = prompt
		s.task = must[*client.Task](s)(s.Tasks.Create(s.ctx, request)).ID
	}
}

func withTask(s *scene) { prompted("Build a buy and hold strategy for SPY")(s) }

func withRun(s *scene) {
	if s.task == 0 {
		withTask(s)
	}
	s.run = must[*client.Deployment](s)(s.Deployments.Create(s.ctx, s.task)).DeploymentID
}

func withEndedRun(s *scene) {
	withRun(s)
	s.mock.Default().Settle()
}

func nothing(err error) (any, error) { return nil, err }

// something hands on what a client method gave, as an any that is nil when there is nothing.
func something[T any](value T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return value, nil
}

const (
	unknownNumber = 999999
	unknownRun    = "A-00000000000000000000000000000000"
)

// authenticateGet is not one of the client's methods, because it does what Authenticate does.
func authenticateGet(s *scene, c *client.Client) (any, error) {
	resp, err := c.Raw().AuthenticateGetWithResponse(s.ctx)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode() == http.StatusUnauthorized && resp.JSON401 != nil && !resp.JSON401.Success {
		return nil, fmt.Errorf("%w: %v", client.ErrUnauthorized, resp.JSON401.Errors)
	}
	if resp.JSON200 == nil || !resp.JSON200.Success {
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode(), resp.Body)
	}
	return resp.JSON200, nil
}

// contractCases are all cases. Their valid requests are those of the cases without a class.
func contractCases() []contractCase {
	return slices.Concat(authenticateCases(), agentCases(), taskCases(), deploymentCases(), conversationCases())
}

func authenticateCases() []contractCase {
	return []contractCase{
		{
			operation: "authenticate", name: "right token",
			call: func(s *scene) (any, error) { return nothing(s.Authenticate(s.ctx)) },
		},
		{
			operation: "authenticate", name: "without a body",
			call: func(s *scene) (any, error) {
				return something(s.Raw().AuthenticateWithBodyWithResponse(s.ctx, "application/json", http.NoBody))
			},
			want: func(s *scene, got any) {
				if answer := got.(*gen.AuthenticateHTTPResponse).JSON200; answer == nil || !answer.Success {
					s.Errorf("got %v", answer)
				}
			},
		},
		{
			operation: "authenticate", name: "wrong token", class: mockserver.AuthHash,
			call: func(s *scene) (any, error) { return nothing(s.stranger.Authenticate(s.ctx)) },
		},
		{
			operation: "authenticateGet", name: "right token",
			call: func(s *scene) (any, error) { return authenticateGet(s, s.Client) },
		},
		{
			operation: "authenticateGet", name: "wrong token", class: mockserver.AuthHash,
			call: func(s *scene) (any, error) { return authenticateGet(s, s.stranger) },
		},
	}
}

func agentCases() []contractCase {
	whole := client.CreateAgentRequest{
		OrganizationID: organization, Name: "Calm Amber Heron",
		Description: new("Looks for momentum."), ProfileImage: new("heron.png"), SystemPrompt: new("Prefer simple models."),
		ReasoningEffort: new(client.ReasoningEffort(client.EffortLow)), MaxTurns: new(7), ToolChoice: new("auto"),
		Tools: []string{"create_compile"}, Public: new(true), Model: new("another-model"),
		ChainedAgents: []client.AgentChainedEntry{{AgentID: 47, Step: 1}},
		SubAgents:     []client.AgentSubAgentEntry{{AgentID: 47, CallableCount: new(2)}},
		Token:         &client.AgentToken{LLMProviderAPI: new("anthropic"), LLMAPITokenUser: new("not-a-real-key")},
		UseQCC:        new(false), Pipeline: new("research"),
		Author:       &client.AgentTaskOwner{Name: new("Amber")},
		Organization: &client.AgentOrganization{Name: new("Example Research")},
		Node:         &client.AgentNode{ID: new(0), Sku: new("A-8")},
	}
	return []contractCase{
		{
			operation: "createAgent", name: "name alone",
			call: func(s *scene) (any, error) {
				return something(s.Agents.Create(s.ctx, client.CreateAgentRequest{OrganizationID: organization, Name: "Calm Amber Heron"}))
			},
			want: func(s *scene, got any) {
				agent := got.(*client.Agent)
				if agent.Name != "Calm Amber Heron" || agent.Model == "" || agent.ID == 47 {
					s.Errorf("got %+v", agent)
				}
			},
		},
		{
			operation: "createAgent", name: "every member",
			call: func(s *scene) (any, error) { return something(s.Agents.Create(s.ctx, whole)) },
			want: func(s *scene, got any) {
				agent := got.(*client.Agent)
				if *agent.MaxTurns != 7 || *agent.ReasoningEffort != "low" || agent.Model != "another-model" || len(agent.ChainedAgents) != 1 {
					s.Errorf("got %+v", agent)
				}
				if key := *agent.Token.LLMAPITokenUser; key != "********" {
					s.Errorf("the provider's key came back as %q", key)
				}
			},
		},
		{
			operation: "createAgent", name: "foreign organization", class: mockserver.NotFound,
			call: func(s *scene) (any, error) {
				return something(s.Agents.Create(s.ctx, client.CreateAgentRequest{OrganizationID: strangers, Name: "Calm Amber Heron"}))
			},
		},
		{
			operation: "createAgent", name: "effort that does not exist", class: mockserver.Enum,
			call: func(s *scene) (any, error) {
				return something(s.Agents.Create(s.ctx, client.CreateAgentRequest{
					OrganizationID: organization, Name: "Calm Amber Heron", ReasoningEffort: new(client.ReasoningEffort("utmost")),
				}))
			},
		},
		{
			operation: "createAgent", name: "blank name", class: mockserver.Bound,
			call: func(s *scene) (any, error) {
				return something(s.Agents.Create(s.ctx, client.CreateAgentRequest{OrganizationID: organization, Name: " \t "}))
			},
		},
		{
			operation: "readAgent", name: "own agent", setup: withAgent,
			call: func(s *scene) (any, error) { return something(s.Agents.Read(s.ctx, s.agent)) },
			want: func(s *scene, got any) {
				if agent := got.(*client.Agent); agent.ID != s.agent || agent.Name != "Calm Amber Heron" {
					s.Errorf("got %+v", agent)
				}
			},
		},
		{
			operation: "readAgent", name: "agent 47",
			call: func(s *scene) (any, error) { return something(s.Agents.Read(s.ctx, 47)) },
		},
		{
			operation: "readAgent", name: "unknown agent", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Agents.Read(s.ctx, unknownNumber)) },
		},
		{
			operation: "updateAgent", name: "name", setup: withAgent,
			call: func(s *scene) (any, error) {
				return nothing(s.Agents.Update(s.ctx, client.UpdateAgentRequest{AgentID: s.agent, Name: new("My Claude")}))
			},
			want: func(s *scene, _ any) {
				if agent := must[*client.Agent](s)(s.Agents.Read(s.ctx, s.agent)); agent.Name != "My Claude" {
					s.Errorf("it is called %q", agent.Name)
				}
			},
		},
		{
			operation: "updateAgent", name: "nothing", setup: withAgent,
			call: func(s *scene) (any, error) {
				return nothing(s.Agents.Update(s.ctx, client.UpdateAgentRequest{AgentID: s.agent}))
			},
		},
		{
			operation: "updateAgent", name: "agent 47", class: mockserver.StateConflict,
			call: func(s *scene) (any, error) {
				return nothing(s.Agents.Update(s.ctx, client.UpdateAgentRequest{AgentID: 47, Name: new("My Claude")}))
			},
		},
		{
			operation: "updateAgent", name: "no turns", class: mockserver.Bound, setup: withAgent,
			call: func(s *scene) (any, error) {
				return nothing(s.Agents.Update(s.ctx, client.UpdateAgentRequest{AgentID: s.agent, MaxTurns: new(0)}))
			},
		},
		{
			operation: "deleteAgent", name: "own agent", setup: withAgent,
			call: func(s *scene) (any, error) { return nothing(s.Agents.Delete(s.ctx, s.agent)) },
			want: func(s *scene, _ any) {
				if agents := must[[]client.Agent](s)(s.Agents.List(s.ctx, organization)); len(agents) != 0 {
					s.Errorf("it is still listed: %+v", agents)
				}
			},
		},
		{
			operation: "deleteAgent", name: "agent 47", class: mockserver.StateConflict,
			call: func(s *scene) (any, error) { return nothing(s.Agents.Delete(s.ctx, 47)) },
		},
		{
			operation: "deleteAgent", name: "unknown agent", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return nothing(s.Agents.Delete(s.ctx, unknownNumber)) },
		},
		{
			operation: "listAgents", name: "none",
			call: func(s *scene) (any, error) { return something(s.Agents.List(s.ctx, organization)) },
			want: func(s *scene, got any) {
				if agents := got.([]client.Agent); agents == nil || len(agents) != 0 {
					s.Errorf("got %#v, want a list without elements", agents)
				}
			},
		},
		{
			operation: "listAgents", name: "one", setup: withAgent,
			call: func(s *scene) (any, error) { return something(s.Agents.List(s.ctx, organization)) },
			want: func(s *scene, got any) {
				if agents := got.([]client.Agent); len(agents) != 1 || agents[0].ID != s.agent {
					s.Errorf("got %+v", agents)
				}
			},
		},
		{
			operation: "listAgents", name: "foreign organization", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Agents.List(s.ctx, strangers)) },
		},
	}
}

func taskCases() []contractCase {
	changed := func(change func(*client.CreateAgentTaskRequest)) func(s *scene) (any, error) {
		return func(s *scene) (any, error) {
			request := taskOf(47)
			change(&request)
			return something(s.Tasks.Create(s.ctx, request))
		}
	}
	return []contractCase{
		{
			operation: "createTask", name: "a project each time", call: changed(func(*client.CreateAgentTaskRequest) {}),
			want: func(s *scene, got any) {
				task := got.(*client.Task)
				if task.Name != "Buy and hold SPY" || *task.AgentID != 47 || *task.ProjectPreference != client.ProjectEachTaskDeployment {
					s.Errorf("got %+v", task)
				}
			},
		},
		{
			operation: "createTask", name: "one project",
			call: changed(func(r *client.CreateAgentTaskRequest) { r.ProjectPreference = client.ProjectForTask }),
		},
		{
			operation: "createTask", name: "for an own agent", setup: withAgent,
			call: func(s *scene) (any, error) { return something(s.Tasks.Create(s.ctx, taskOf(s.agent))) },
		},
		{
			operation: "createTask", name: "unknown agent", class: mockserver.NotFound,
			call: changed(func(r *client.CreateAgentTaskRequest) { r.AgentID = unknownNumber }),
		},
		{
			operation: "createTask", name: "foreign organization", class: mockserver.NotFound,
			call: changed(func(r *client.CreateAgentTaskRequest) { r.OrganizationID = strangers }),
		},
		{
			operation: "createTask", name: "preference that does not exist", class: mockserver.Enum,
			call: changed(func(r *client.CreateAgentTaskRequest) { r.ProjectPreference = "no-project" }),
		},
		{
			operation: "createTask", name: "empty prompt", class: mockserver.Bound,
			call: changed(func(r *client.CreateAgentTaskRequest) { r.Prompt = "" }),
		},
		{
			operation: "readTask", name: "own task", setup: withTask,
			call: func(s *scene) (any, error) { return something(s.Tasks.Read(s.ctx, s.task)) },
			want: func(s *scene, got any) {
				if task := got.(*client.Task); task.ID != s.task || task.Name != "Buy and hold SPY" {
					s.Errorf("got %+v", task)
				}
			},
		},
		{
			operation: "readTask", name: "unknown task", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Tasks.Read(s.ctx, unknownNumber)) },
		},
		{
			operation: "updateTask", name: "name", setup: withTask,
			call: func(s *scene) (any, error) {
				return nothing(s.Tasks.Update(s.ctx, client.UpdateAgentTaskRequest{TaskID: s.task, Name: new("Test - Buy")}))
			},
			want: func(s *scene, _ any) {
				if task := must[*client.Task](s)(s.Tasks.Read(s.ctx, s.task)); task.Name != "Test - Buy" {
					s.Errorf("it is called %q", task.Name)
				}
			},
		},
		{
			operation: "updateTask", name: "empty name", class: mockserver.Bound, setup: withTask,
			call: func(s *scene) (any, error) {
				return nothing(s.Tasks.Update(s.ctx, client.UpdateAgentTaskRequest{TaskID: s.task, Name: new("")}))
			},
		},
		{
			operation: "updateTask", name: "unknown task", class: mockserver.NotFound,
			call: func(s *scene) (any, error) {
				return nothing(s.Tasks.Update(s.ctx, client.UpdateAgentTaskRequest{TaskID: unknownNumber, Name: new("Test - Buy")}))
			},
		},
		{
			operation: "deleteTask", name: "own task", setup: withRun,
			call: func(s *scene) (any, error) { return nothing(s.Tasks.Delete(s.ctx, s.task)) },
			want: func(s *scene, _ any) {
				if tasks := must[[]client.Task](s)(s.Tasks.List(s.ctx, organization)); len(tasks) != 0 {
					s.Errorf("it is still listed: %+v", tasks)
				}
			},
		},
		{
			operation: "deleteTask", name: "twice", class: mockserver.NotFound,
			setup: func(s *scene) {
				withTask(s)
				if err := s.Tasks.Delete(s.ctx, s.task); err != nil {
					s.Fatal(err)
				}
			},
			call: func(s *scene) (any, error) { return nothing(s.Tasks.Delete(s.ctx, s.task)) },
		},
		{
			operation: "listTasks", name: "none",
			call: func(s *scene) (any, error) { return something(s.Tasks.List(s.ctx, organization)) },
			want: func(s *scene, got any) {
				if tasks := got.([]client.Task); tasks == nil || len(tasks) != 0 {
					s.Errorf("got %#v, want a list without elements", tasks)
				}
			},
		},
		{
			operation: "listTasks", name: "one", setup: withTask,
			call: func(s *scene) (any, error) { return something(s.Tasks.List(s.ctx, organization)) },
			want: func(s *scene, got any) {
				if tasks := got.([]client.Task); len(tasks) != 1 || tasks[0].ID != s.task {
					s.Errorf("got %+v", tasks)
				}
			},
		},
		{
			operation: "listTasks", name: "foreign organization", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Tasks.List(s.ctx, strangers)) },
		},
	}
}

func deploymentCases() []contractCase {
	read := func(s *scene) (any, error) { return something(s.Deployments.Read(s.ctx, s.run)) }
	is := func(status string) func(s *scene, got any) {
		return func(s *scene, got any) {
			if run := got.(*client.Deployment); run.Status != status || run.DeploymentID != s.run {
				s.Errorf("got %+v, want %s", run, status)
			}
		}
	}
	settled := func(status string) func(s *scene, _ any) {
		return func(s *scene, _ any) {
			if run := must[*client.Deployment](s)(s.Deployments.Read(s.ctx, s.run)); run.Status != status {
				s.Errorf("it is %s, want %s", run.Status, status)
			}
		}
	}
	return []contractCase{
		{
			operation: "createDeployment", name: "of a task", setup: withTask,
			call: func(s *scene) (any, error) { return something(s.Deployments.Create(s.ctx, s.task)) },
			want: func(s *scene, got any) {
				if run := got.(*client.Deployment); run.Status != client.StatusInQueue || *run.TaskID != s.task || *run.AgentID != 47 {
					s.Errorf("got %+v", run)
				}
			},
		},
		{
			operation: "createDeployment", name: "unknown task", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Deployments.Create(s.ctx, unknownNumber)) },
		},
		{
			operation: "createDeployment", name: "of a deleted agent", class: mockserver.StateConflict,
			setup: func(s *scene) {
				withAgent(s)
				s.task = must[*client.Task](s)(s.Tasks.Create(s.ctx, taskOf(s.agent))).ID
				if err := s.Agents.Delete(s.ctx, s.agent); err != nil {
					s.Fatal(err)
				}
			},
			call: func(s *scene) (any, error) { return something(s.Deployments.Create(s.ctx, s.task)) },
		},
		{operation: "readDeployment", name: "in the queue", setup: withRun, call: read, want: is(client.StatusInQueue)},
		{
			operation: "readDeployment", name: "at work",
			setup: func(s *scene) { withRun(s); advance(s, s.mock.Default(), 2*time.Second) },
			call:  read, want: is(client.StatusRunning),
		},
		{operation: "readDeployment", name: "ended", setup: withEndedRun, call: read, want: is(client.StatusCompleted)},
		{
			operation: "readDeployment", name: "failed", call: read, want: is(client.StatusFailed),
			setup: func(s *scene) { prompted("Build [mock:failed]")(s); withEndedRun(s) },
		},
		{
			operation: "readDeployment", name: "broken", call: read, want: is(client.StatusRuntimeError),
			setup: func(s *scene) { prompted("Build [mock:runtime-error]")(s); withEndedRun(s) },
		},
		{
			operation: "readDeployment", name: "unknown deployment", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Deployments.Read(s.ctx, unknownRun)) },
		},
		{
			operation: "promptDeployment", name: "at work",
			setup: func(s *scene) { withRun(s); advance(s, s.mock.Default(), 2*time.Second) },
			call:  func(s *scene) (any, error) { return nothing(s.Deployments.Prompt(s.ctx, s.run, "Use QQQ instead")) },
			want:  settled(client.StatusRunning),
		},
		{
			operation: "promptDeployment", name: "ended", setup: withEndedRun,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Prompt(s.ctx, s.run, "Use QQQ instead")) },
			want: settled(client.StatusRunning),
		},
		{
			operation: "promptDeployment", name: "empty prompt", class: mockserver.Bound, setup: withEndedRun,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Prompt(s.ctx, s.run, "")) },
		},
		{
			operation: "promptDeployment", name: "unknown deployment", class: mockserver.NotFound,
			call: func(s *scene) (any, error) {
				return nothing(s.Deployments.Prompt(s.ctx, unknownRun, "Use QQQ instead"))
			},
		},
		{
			operation: "listDeployments", name: "none", setup: withTask,
			call: func(s *scene) (any, error) { return something(s.Deployments.List(s.ctx, s.task)) },
			want: func(s *scene, got any) {
				if runs := got.([]client.Deployment); runs == nil || len(runs) != 0 {
					s.Errorf("got %#v, want a list without elements", runs)
				}
			},
		},
		{
			operation: "listDeployments", name: "one", setup: withRun,
			call: func(s *scene) (any, error) { return something(s.Deployments.List(s.ctx, s.task)) },
			want: func(s *scene, got any) {
				if runs := got.([]client.Deployment); len(runs) != 1 || runs[0].DeploymentID != s.run {
					s.Errorf("got %+v", runs)
				}
			},
		},
		{
			operation: "listDeployments", name: "unknown task", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Deployments.List(s.ctx, unknownNumber)) },
		},
		{
			operation: "stopDeployment", name: "under way", setup: withRun,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Stop(s.ctx, s.run)) },
			want: settled(client.StatusStopped),
		},
		{
			operation: "stopDeployment", name: "ended", setup: withEndedRun,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Stop(s.ctx, s.run)) },
			want: settled(client.StatusCompleted),
		},
		{
			operation: "stopDeployment", name: "unknown deployment", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Stop(s.ctx, unknownRun)) },
		},
		{
			operation: "deleteDeployment", name: "under way", setup: withRun,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Delete(s.ctx, s.run)) },
			want: func(s *scene, _ any) {
				if runs := must[[]client.Deployment](s)(s.Deployments.List(s.ctx, s.task)); len(runs) != 0 {
					s.Errorf("it is still listed: %+v", runs)
				}
			},
		},
		{
			operation: "deleteDeployment", name: "unknown deployment", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return nothing(s.Deployments.Delete(s.ctx, unknownRun)) },
		},
	}
}

func conversationCases() []contractCase {
	read := func(s *scene) (any, error) { return something(s.Deployments.ReadConversation(s.ctx, s.run)) }
	has := func(messages int) func(s *scene, got any) {
		return func(s *scene, got any) {
			if conversation := got.(*client.Conversation); len(conversation.Messages) != messages {
				s.Errorf("it has %d messages, want %d", len(conversation.Messages), messages)
			}
		}
	}
	return []contractCase{
		{operation: "readConversation", name: "in the queue", setup: withRun, call: read, want: has(1)},
		{operation: "readConversation", name: "ended", setup: withEndedRun, call: read, want: has(2)},
		{
			operation: "readConversation", name: "at work", call: read, want: has(2),
			setup: func(s *scene) { withRun(s); advance(s, s.mock.Default(), 2*time.Second) },
		},
		{
			operation: "readConversation", name: "prompted again", call: read, want: has(4),
			setup: func(s *scene) {
				withEndedRun(s)
				if err := s.Deployments.Prompt(s.ctx, s.run, "Use QQQ instead"); err != nil {
					s.Fatal(err)
				}
				s.mock.Default().Settle()
			},
		},
		{
			operation: "readConversation", name: "none", call: read, want: has(0),
			setup: func(s *scene) { prompted("Build [mock:empty-conversation]")(s); withEndedRun(s) },
		},
		{
			operation: "readConversation", name: "of a sub-agent",
			setup: func(s *scene) { prompted("Build [mock:sub-agent]")(s); withEndedRun(s) },
			call: func(s *scene) (any, error) {
				callable := subAgentCall(s)
				s.recorder.take()
				return something(s.Deployments.ReadConversation(s.ctx, s.run, client.OfCallable(callable)))
			},
			want: has(2),
		},
		{
			operation: "readConversation", name: "unknown deployment", class: mockserver.NotFound,
			call: func(s *scene) (any, error) { return something(s.Deployments.ReadConversation(s.ctx, unknownRun)) },
		},
		{
			operation: "readConversation", name: "unknown callable", class: mockserver.NotFound, setup: withEndedRun,
			call: func(s *scene) (any, error) {
				return something(s.Deployments.ReadConversation(s.ctx, s.run, client.OfCallable("call-unknown")))
			},
		},
	}
}

// subAgentCall is the identifier of the first call of another agent in the transcript.
func subAgentCall(s *scene) string {
	s.Helper()
	for _, message := range must[*client.Conversation](s)(s.Deployments.ReadConversation(s.ctx, s.run)).Messages {
		for _, part := range message.Parts {
			if part.ToolName != nil && *part.ToolName == "call_agent" {
				return *part.ToolCallID
			}
		}
	}
	s.Fatal("the transcript has no call of a sub-agent")
	return ""
}

// ---- the tests ---------------------------------------------------------------------------------------------------------

// Client, mock and contract each have to agree with the two others, for every operation.
func TestContractCases(t *testing.T) {
	t.Parallel()
	for _, c := range contractCases() {
		t.Run(c.operation+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			before, it := c.play(t)
			if got := operationOf(it); got != c.operation {
				t.Errorf("the case is of %s", got)
			}
			for _, ex := range before {
				for _, problem := range checkExchange(ex, true) {
					t.Errorf("set-up, %s: %s", operationOf(ex), problem)
				}
			}
			for _, problem := range checkExchange(it, c.class == "" || c.class == mockserver.NotFound) {
				t.Error(problem)
			}
		})
	}
}

func TestEveryOperationHasACaseOfSuccessAndOneOfRefusal(t *testing.T) {
	succeeds, refuses := map[string]bool{}, map[string]bool{}
	for _, c := range contractCases() {
		if contract().byID[c.operation] == nil {
			t.Errorf("there is a case of %s, which is not in the contract", c.operation)
		}
		if c.class == "" {
			succeeds[c.operation] = true
		} else {
			refuses[c.operation] = true
		}
	}
	if len(contract().byID) == 0 {
		t.Fatal("the contract has no operation")
	}
	for _, id := range slices.Sorted(maps.Keys(contract().byID)) {
		if !succeeds[id] {
			t.Errorf("%s has no case of success: add one to contractCases", id)
		}
		if !refuses[id] {
			t.Errorf("%s has no case of refusal: add one to contractCases", id)
		}
	}
}

// Whatever a request asks for, bad credentials come first, and the answer to them is in the contract.
func TestEveryOperationRefusesBadCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range contractCases() {
		if c.class != "" {
			continue
		}
		t.Run(c.operation+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			_, valid := c.play(t)
			m := newMock(t)
			rec := &recorder{next: m.Transport()}
			again := m.request(t, valid.method, strings.TrimPrefix(valid.path, "/api/v2"), string(valid.body),
				with("Content-Type", valid.header.Values("Content-Type")...),
				signedAt(client.Credentials{UserID: credentials.UserID, Token: "another-token"}, m.clock.Now()))
			readReply(t)(rec.RoundTrip(again)).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthHash).mustSay(t, "Hash doesn't match.")
			for _, problem := range checkExchange(rec.take()[0], true) {
				t.Error(problem)
			}
		})
	}
}

// The checks below have to be able to fail, or passing them says nothing.
func TestTheCheckOfAnExchangeFindsWhatBreaksTheContract(t *testing.T) {
	valid := func() exchange {
		return exchange{
			method: http.MethodPost, path: "/api/v2/agents/read", body: []byte(`{"agentId":47}`),
			header: http.Header{"Content-Type": {"application/json"}},
			status: http.StatusOK, answerHeader: http.Header{"Content-Type": {"application/json"}},
			answer: []byte(`{"success":true,"errors":[],"agent":{"id":47,"name":"n","model":"m"}}`),
		}
	}
	if problems := checkExchange(valid(), true); len(problems) > 0 {
		t.Fatalf("a valid exchange has problems: %q", problems)
	}
	for name, spoil := range map[string]func(*exchange){
		"path":                     func(ex *exchange) { ex.path = "/api/v2/agents/reed" },
		"method":                   func(ex *exchange) { ex.method = http.MethodPut },
		"prefix":                   func(ex *exchange) { ex.path = "/agents/read" },
		"request media type":       func(ex *exchange) { ex.header.Set("Content-Type", "text/plain") },
		"request without a member": func(ex *exchange) { ex.body = []byte(`{}`) },
		"request member's type":    func(ex *exchange) { ex.body = []byte(`{"agentId":"47"}`) },
		"request member unknown":   func(ex *exchange) { ex.body = []byte(`{"agentId":47,"more":1}`) },
		"no request":               func(ex *exchange) { ex.body = nil },
		"status":                   func(ex *exchange) { ex.status = http.StatusTeapot },
		"answer media type":        func(ex *exchange) { ex.answerHeader.Set("Content-Type", "text/html") },
		"answer not JSON":          func(ex *exchange) { ex.answer = []byte(`<html>`) },
		"answer followed by more":  func(ex *exchange) { ex.answer = append(ex.answer, '1') },
		"answer null in a list":    func(ex *exchange) { ex.answer = []byte(`{"success":true,"errors":null}`) },
		"answer without a member":  func(ex *exchange) { ex.answer = []byte(`{"success":true,"errors":[],"agent":{"id":47,"name":"n"}}`) },
		"answer member unknown": func(ex *exchange) {
			ex.answer = []byte(`{"success":true,"errors":[],"agent":{"id":47,"name":"n","model":"m","more":1}}`)
		},
		"answer without success": func(ex *exchange) { ex.answer = []byte(`{"errors":[]}`) },
		"401 without its header": func(ex *exchange) {
			ex.status, ex.answer = http.StatusUnauthorized, []byte(`{"success":false,"errors":["no"]}`)
		},
	} {
		ex := valid()
		spoil(&ex)
		if len(checkExchange(ex, true)) == 0 {
			t.Errorf("%s: no problem was found", name)
		}
	}
}

// ---- the contract, read without the server's help ---------------------------------------------------------------------

type contractOperation struct {
	method, path string
	*openapi3.Operation
}

type contractIndex struct {
	byID   map[string]*contractOperation
	byCall map[string]*contractOperation // by method and path below the base
}

// contract indexes the embedded contract. Its schemas are used as they stand, allOf and all, unlike the server's own.
var contract = sync.OnceValue(func() contractIndex {
	spec, err := stub.GetSpec()
	if err != nil {
		panic(err)
	}
	index := contractIndex{byID: map[string]*contractOperation{}, byCall: map[string]*contractOperation{}}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			op := &contractOperation{method: method, path: path, Operation: o}
			index.byID[o.OperationID] = op
			index.byCall[method+" "+path] = op
		}
	}
	return index
})

// operationOf is the operationId of an exchange; empty when it is of none.
func operationOf(ex exchange) string {
	if op := contract().byCall[ex.method+" "+strings.TrimPrefix(ex.path, "/api/v2")]; op != nil && strings.HasPrefix(ex.path, "/api/v2/") {
		return op.OperationID
	}
	return ""
}

// checkExchange holds an exchange against the contract and says in what it departs from it. A request that the mock is
// to refuse need not keep it.
func checkExchange(ex exchange, requestToo bool) (problems []string) {
	op := contract().byID[operationOf(ex)]
	if op == nil {
		return []string{ex.method + " " + ex.path + " is not in the contract"}
	}
	note := func(what string, err error) {
		if err != nil {
			problems = append(problems, what+": "+err.Error())
		}
	}
	if requestToo {
		note("request", checkBody(op.requestContent(), ex.header, ex.body, op.RequestBody != nil && op.RequestBody.Value.Required, openapi3.VisitAsRequest()))
	}
	response := op.Responses.Value(strconv.Itoa(ex.status))
	if response == nil {
		return append(problems, fmt.Sprintf("status %d is not in the contract", ex.status))
	}
	for name := range response.Value.Headers {
		if ex.answerHeader.Get(name) == "" {
			problems = append(problems, "the answer has no header "+name)
		}
	}
	note("answer", checkBody(response.Value.Content, ex.answerHeader, ex.answer, true, openapi3.VisitAsResponse()))
	var envelope struct {
		Success *bool     `json:"success"`
		Errors  *[]string `json:"errors"`
	}
	if json.Unmarshal(ex.answer, &envelope) != nil || envelope.Success == nil || envelope.Errors == nil {
		problems = append(problems, "the answer has no envelope")
	} else if *envelope.Success != (len(*envelope.Errors) == 0) {
		problems = append(problems, "success and errors contradict each other")
	}
	return problems
}

func (op *contractOperation) requestContent() openapi3.Content {
	if op.RequestBody == nil {
		return nil
	}
	return op.RequestBody.Value.Content
}

func checkBody(content openapi3.Content, header http.Header, body []byte, required bool, as openapi3.SchemaValidationOption) error {
	if len(body) == 0 && !required {
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[media] == nil {
		return fmt.Errorf("Content-Type %q is not in the contract", header.Get("Content-Type"))
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	schema := content[media].Schema.Value
	if err := schema.VisitJSON(value, as, openapi3.MultiErrors()); err != nil {
		return err
	}
	return checkKnown("", schema, value)
}

// checkKnown finds members that an open schema lets pass although it does not name them.
func checkKnown(at string, schema *openapi3.Schema, value any) error {
	switch value := value.(type) {
	case map[string]any:
		properties, open := openapi3.Schemas{}, false
		var collect func(*openapi3.Schema)
		collect = func(part *openapi3.Schema) {
			maps.Copy(properties, part.Properties)
			open = open || part.AdditionalProperties.Has != nil && *part.AdditionalProperties.Has
			for _, ref := range part.AllOf {
				collect(ref.Value)
			}
		}
		collect(schema)
		for name, member := range value {
			switch {
			case properties[name] != nil:
				if err := checkKnown(at+"/"+name, properties[name].Value, member); err != nil {
					return err
				}
			case !open && (len(properties) > 0 || at == ""):
				return fmt.Errorf("%s/%s is not in the contract", at, name)
			}
		}
	case []any:
		if schema.Items == nil {
			return nil
		}
		for i, element := range value {
			if err := checkKnown(at+"/"+strconv.Itoa(i), schema.Items.Value, element); err != nil {
				return err
			}
		}
	}
	return nil
}
