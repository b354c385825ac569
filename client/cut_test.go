package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// A cut is a way for a connection to break. The tests hold it against the mock server, whose own faults are not used:
// what it did is read from it afterwards, over a connection that nobody cuts.
type cut struct {
	name string
	// arrives says that the request reaches the service whole.
	arrives bool
	// harmless says that the client can tell that the request never ran.
	harmless bool
	// unseen says that the answer looks whole, so that nothing tells of a cut but its contents.
	unseen bool
	by     func(req *http.Request, service http.RoundTripper) (*http.Response, error)
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

var cuts = []cut{
	{name: "no connection comes about", harmless: true, by: func(*http.Request, http.RoundTripper) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}},
	{name: "the name cannot be found", harmless: true, by: func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return nil, &net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true}
	}},
	{name: "before the request", by: func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errReset }},
	{name: "in the middle of the request", by: func(req *http.Request, service http.RoundTripper) (*http.Response, error) {
		if req.Body == nil {
			return nil, errReset
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		torn := req.Clone(req.Context())
		torn.Body = ending(body[:len(body)/2], io.ErrUnexpectedEOF)
		if resp, err := service.RoundTrip(torn); err == nil {
			_ = resp.Body.Close()
		}
		return nil, errReset
	}},
	{name: "silence before the effect", by: func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}},
	{name: "after the effect", arrives: true, by: answering(func(*http.Request, *http.Response, []byte) error { return errReset })},
	{name: "after the effect, without an error", arrives: true, by: answering(func(*http.Request, *http.Response, []byte) error { return io.EOF })},
	{name: "after the head", arrives: true, by: keeping(func(int) int { return 0 }, io.ErrUnexpectedEOF)},
	{name: "in the middle of the body", arrives: true, by: keeping(func(n int) int { return n / 2 }, io.ErrUnexpectedEOF)},
	{name: "before the last byte", arrives: true, by: keeping(func(n int) int { return n - 1 }, errReset)},
	{name: "after the last byte, before the end", arrives: true, by: keeping(func(n int) int { return n }, errReset)},
	{name: "after the head, unseen", arrives: true, unseen: true, by: keeping(func(int) int { return 0 }, io.EOF)},
	{name: "in the middle of the body, unseen", arrives: true, unseen: true, by: keeping(func(n int) int { return n / 2 }, io.EOF)},
	{name: "silence after the effect", arrives: true, by: answering(func(req *http.Request, _ *http.Response, _ []byte) error {
		<-req.Context().Done()
		return req.Context().Err()
	})},
	{name: "silence in the middle of the body", arrives: true, by: answering(func(req *http.Request, resp *http.Response, body []byte) error {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), silent{req.Context()}))
		return nil
	})},
	{name: "a gateway gives up on the answer", arrives: true, by: answering(func(_ *http.Request, resp *http.Response, _ []byte) error {
		resp.StatusCode, resp.Header = http.StatusGatewayTimeout, http.Header{"Content-Type": {"text/html"}}
		resp.Body = io.NopCloser(strings.NewReader(errorPage))
		return nil
	})},
	{name: "a page to see instead of the answer", arrives: true, unseen: true, by: answering(func(_ *http.Request, resp *http.Response, _ []byte) error {
		resp.StatusCode, resp.Header = http.StatusSeeOther, http.Header{"Location": {"/done"}}
		resp.Body = http.NoBody
		return nil
	})},
}

// answering lets the service do its work, and then does something to the answer on its way.
func answering(
	spoil func(*http.Request, *http.Response, []byte) error,
) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(req *http.Request, service http.RoundTripper) (*http.Response, error) {
		resp, err := service.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		if err := spoil(req, resp, body); err != nil {
			return nil, err
		}
		return resp, nil
	}
}

// keeping hands on so much of the answer's body, and then err.
func keeping(size func(whole int) int, err error) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return answering(func(_ *http.Request, resp *http.Response, body []byte) error {
		resp.Body = ending(body[:size(len(body))], err)
		return nil
	})
}

func ending(body []byte, err error) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(err)))
}

// silent is a body that nothing more comes of.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// scissors stand between a client and the service.
type scissors struct {
	service http.RoundTripper
	// next chooses how to cut the request of that number, counted from 1; nil lets it pass.
	next func(number int, req *http.Request) *cut

	mu            sync.Mutex
	sent, arrived int
}

func (s *scissors) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.sent++
	c := s.next(s.sent, req)
	if c == nil || c.arrives {
		s.arrived++
	}
	s.mu.Unlock()
	if c == nil {
		return s.service.RoundTrip(req)
	}
	return c.by(req, s.service)
}

func atFirst(c cut) func(int, *http.Request) *cut {
	return func(number int, _ *http.Request) *cut {
		if number == 1 {
			return &c
		}
		return nil
	}
}

func atEach(c cut) func(int, *http.Request) *cut { return func(int, *http.Request) *cut { return &c } }

func newMock(t testing.TB) http.RoundTripper {
	t.Helper()
	server, err := mockserver.New()
	if err != nil {
		t.Fatal(err)
	}
	return server.Transport()
}

// A stage is what there is before a call under test: an agent with a task that was run to its end and is running again.
type stage struct {
	agent          *client.Agent
	task           *client.Task
	ended, running string
}

func setStage(t *testing.T, c *client.Client) stage {
	t.Helper()
	agent, err := c.Agents.Create(t.Context(), client.CreateAgentRequest{OrganizationID: testOrganization, Name: "Agent before"})
	if err != nil {
		t.Fatal(err)
	}
	taskFor := func(prompt string) *client.Task {
		task, err := c.Tasks.Create(t.Context(), newTask("Task before", agent.ID, prompt))
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	deploy := func(task *client.Task) string {
		deployment, err := c.Deployments.Create(t.Context(), task.ID)
		if err != nil {
			t.Fatal(err)
		}
		return deployment.DeploymentID
	}
	s := stage{agent: agent, task: taskFor("Buy SPY")}
	s.ended = deploy(s.task)
	s.running = deploy(taskFor("[mock:long-running] Buy SPY"))
	time.Sleep(10 * time.Second)
	return s
}

func newTask(name string, agentID int, prompt string) client.CreateAgentTaskRequest {
	return client.CreateAgentTaskRequest{
		OrganizationID: testOrganization, AgentID: agentID, Name: name, Prompt: prompt, ProjectPreference: client.ProjectForTask,
	}
}

// What may be done to a request whose answer does not come.
type handling string

const (
	isRead    handling = "read"     // changes nothing, so it is repeated
	isSetting handling = "settings" // the same however often it is done, so it is repeated
	isAct     handling = "act"      // done once or not at all
)

// A call is an operation, and how to tell from the service's state how often it was carried out.
type call struct {
	operation string
	handling  handling
	do        func(context.Context, *client.Client, stage) (any, error)
	done      func(testing.TB, *client.Client, stage) int // nil for reads
}

func act(do func(context.Context, *client.Client, stage) error) func(context.Context, *client.Client, stage) (any, error) {
	return func(ctx context.Context, c *client.Client, s stage) (any, error) { return nil, do(ctx, c, s) }
}

const secondPrompt = "Use QQQ instead"

var calls = []call{
	{operation: "authenticate", handling: isRead, do: act(func(ctx context.Context, c *client.Client, _ stage) error {
		return c.Authenticate(ctx)
	})},
	{operation: "authenticateGet", handling: isRead, do: act(func(ctx context.Context, c *client.Client, _ stage) error {
		resp, err := c.Raw().AuthenticateGetWithResponse(ctx)
		if err == nil && (resp.JSON200 == nil || !resp.JSON200.Success) {
			return errors.New("not accepted")
		}
		return err
	})},
	{operation: "createAgent", handling: isAct, do: func(ctx context.Context, c *client.Client, _ stage) (any, error) {
		return c.Agents.Create(ctx, client.CreateAgentRequest{OrganizationID: testOrganization, Name: "The agent"})
	}, done: func(t testing.TB, c *client.Client, _ stage) int { return len(agentsNamed(t, c, "The agent")) }},
	{operation: "readAgent", handling: isRead, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Agents.Read(ctx, s.agent.ID)
	}},
	{operation: "updateAgent", handling: isSetting, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Agents.Update(ctx, client.UpdateAgentRequest{AgentID: s.agent.ID, Name: new("Renamed")})
	}), done: func(t testing.TB, c *client.Client, _ stage) int { return len(agentsNamed(t, c, "Renamed")) }},
	{operation: "deleteAgent", handling: isAct, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Agents.Delete(ctx, s.agent.ID)
	}), done: func(t testing.TB, c *client.Client, s stage) int { return 1 - len(agentsNamed(t, c, s.agent.Name)) }},
	{operation: "listAgents", handling: isRead, do: func(ctx context.Context, c *client.Client, _ stage) (any, error) {
		return c.Agents.List(ctx, testOrganization)
	}},

	{operation: "createTask", handling: isAct, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Tasks.Create(ctx, newTask("The task", s.agent.ID, "Buy SPY"))
	}, done: func(t testing.TB, c *client.Client, _ stage) int { return len(tasksNamed(t, c, "The task")) }},
	{operation: "readTask", handling: isRead, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Tasks.Read(ctx, s.task.ID)
	}},
	{operation: "updateTask", handling: isSetting, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Tasks.Update(ctx, client.UpdateAgentTaskRequest{TaskID: s.task.ID, Name: new("Renamed")})
	}), done: func(t testing.TB, c *client.Client, _ stage) int { return len(tasksNamed(t, c, "Renamed")) }},
	{operation: "deleteTask", handling: isAct, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Tasks.Delete(ctx, s.task.ID)
	}), done: func(t testing.TB, c *client.Client, s stage) int { return 2 - len(tasksNamed(t, c, s.task.Name)) }},
	{operation: "listTasks", handling: isRead, do: func(ctx context.Context, c *client.Client, _ stage) (any, error) {
		return c.Tasks.List(ctx, testOrganization)
	}},

	{operation: "createDeployment", handling: isAct, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Deployments.Create(ctx, s.task.ID)
	}, done: func(t testing.TB, c *client.Client, s stage) int { return len(deploymentsOf(t, c, s.task.ID)) - 1 }},
	{operation: "readDeployment", handling: isRead, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Deployments.Read(ctx, s.ended)
	}},
	{operation: "promptDeployment", handling: isAct, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Deployments.Prompt(ctx, s.ended, secondPrompt)
	}), done: func(t testing.TB, c *client.Client, s stage) int { return timesSaid(t, c, s.ended, secondPrompt) }},
	{operation: "listDeployments", handling: isRead, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Deployments.List(ctx, s.task.ID)
	}},
	{operation: "stopDeployment", handling: isAct, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Deployments.Stop(ctx, s.running)
	}), done: func(t testing.TB, c *client.Client, s stage) int {
		deployment, err := c.Deployments.Read(t.Context(), s.running)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]int{client.StatusRunning: 0, client.StatusStopped: 1}[deployment.Status]
	}},
	{operation: "deleteDeployment", handling: isAct, do: act(func(ctx context.Context, c *client.Client, s stage) error {
		return c.Deployments.Delete(ctx, s.ended)
	}), done: func(t testing.TB, c *client.Client, s stage) int { return 1 - len(deploymentsOf(t, c, s.task.ID)) }},
	{operation: "readConversation", handling: isRead, do: func(ctx context.Context, c *client.Client, s stage) (any, error) {
		return c.Deployments.ReadConversation(ctx, s.ended)
	}},
}

func agentsNamed(t testing.TB, c *client.Client, name string) []client.Agent {
	t.Helper()
	agents, err := c.Agents.List(t.Context(), testOrganization)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(agents, func(a client.Agent) bool { return a.Name != name })
}

func tasksNamed(t testing.TB, c *client.Client, name string) []client.Task {
	t.Helper()
	tasks, err := c.Tasks.List(t.Context(), testOrganization)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(tasks, func(a client.Task) bool { return a.Name != name })
}

func deploymentsOf(t testing.TB, c *client.Client, taskID int) []client.Deployment {
	t.Helper()
	deployments, err := c.Deployments.List(t.Context(), taskID)
	if err != nil {
		t.Fatal(err)
	}
	return deployments
}

func timesSaid(t testing.TB, c *client.Client, deploymentID, prompt string) int {
	t.Helper()
	conversation, err := c.Deployments.ReadConversation(t.Context(), deploymentID)
	if err != nil {
		t.Fatal(err)
	}
	return said(conversation, prompt)
}

// said counts how often the user said something.
func said(conversation *client.Conversation, prompt string) int {
	times := 0
	for _, message := range conversation.Messages {
		for _, part := range message.Parts {
			text, ok := client.ViewPart(part).(client.TextPart)
			if ok && message.Role != nil && *message.Role == client.RoleUser && text.Text == prompt {
				times++
			}
		}
	}
	return times
}

func TestEveryOperationIsCut(t *testing.T) {
	contract, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, found := range regexp.MustCompile(`(?m)^ +operationId: *(\w+)$`).FindAllSubmatch(contract, -1) {
		missing = append(missing, string(found[1]))
	}
	if len(missing) < len(calls) {
		t.Fatalf("the contract has only the operations %q", missing)
	}
	for _, call := range calls {
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == call.operation })
	}
	if len(missing) > 0 {
		t.Errorf("no call cuts %q", missing)
	}
}

// Every operation meets every cut, at its first request or at each. Whatever happens, nothing is done twice and nothing
// that was done is reported as certainly undone; and what can be had by repeating is had.
func TestCutConnections(t *testing.T) {
	for _, call := range calls {
		for _, c := range cuts {
			t.Run(call.operation+"/"+c.name+"/once", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCut(t, call, c, false) })
			})
			t.Run(call.operation+"/"+c.name+"/always", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCut(t, call, c, true) })
			})
		}
	}
}

func testCut(t *testing.T, call call, c cut, forever bool) {
	service := newMock(t)
	untouched := newClient(t, service)
	stage := setStage(t, untouched)
	between := &scissors{service: service, next: atFirst(c)}
	if forever {
		between.next = atEach(c)
	}

	got, err := call.do(t.Context(), newClient(t, between), stage)

	done := 0
	if call.done != nil {
		done = call.done(t, untouched, stage)
	}
	// The raw client hands on whatever answer arrives.
	raw := call.operation == "authenticateGet"
	failure, failed := errors.AsType[*client.Error](err)
	if err != nil && !failed && !raw {
		t.Fatalf("failed with %T: %v", err, err)
	}

	// What holds whatever the cut.
	if done < 0 || done > 1 {
		t.Errorf("done %d times", done)
	}
	if call.handling == isAct && between.arrived > 1 {
		t.Errorf("arrived %d times", between.arrived)
	}
	if failed && done > 0 && !failure.MayHaveTakenEffect {
		t.Errorf("it happened and is reported as lost: %v", err)
	}
	if !failed && call.done != nil && done != 1 {
		t.Error("reported as done and is not")
	}
	if failed && failure.Attempts != between.sent {
		t.Errorf("reports %d attempts of %d", failure.Attempts, between.sent)
	}
	if failed && failure.Operation != call.operation {
		t.Errorf("reports %s", failure.Operation)
	}

	// What this cut means for this operation.
	repeated := call.handling != isAct || c.harmless
	kind := client.ErrUnavailable
	if c.unseen {
		repeated, kind = false, client.ErrUnexpectedBody
	}
	switch {
	case repeated && !forever:
		if err != nil || between.sent != 2 {
			t.Fatalf("%d requests: %v", between.sent, err)
		}
		if call.handling == isRead {
			want, err := call.do(t.Context(), untouched, stage)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("read %v, want %v, %v", got, want, err)
			}
		}
	case err == nil:
		t.Fatal("succeeded")
	case raw && !failed:
	default:
		want := 1
		if repeated {
			want = 4
		}
		if !errors.Is(err, kind) || between.sent != want {
			t.Errorf("%d requests, want %d: %v", between.sent, want, err)
		}
		if open := call.handling != isRead && !c.harmless; failure.MayHaveTakenEffect != open {
			t.Errorf("MayHaveTakenEffect is %t: %v", failure.MayHaveTakenEffect, err)
		}
		if call.handling != isRead && (done == 1) != c.arrives {
			t.Errorf("done %d times", done)
		}
	}
}

// A caller who stops waiting hears whether something was under way, not just that time is up.
func TestGivingUpOnAnAnswerLeavesItOpen(t *testing.T) {
	for _, call := range calls {
		for _, c := range cuts {
			if !strings.HasPrefix(c.name, "silence") || call.handling == isRead {
				continue
			}
			t.Run(call.operation+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					service := newMock(t)
					untouched := newClient(t, service)
					stage := setStage(t, untouched)
					between := &scissors{service: service, next: atEach(c)}
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					_, err := call.do(ctx, newClient(t, between), stage)
					failure, ok := errors.AsType[*client.Error](err)
					if !ok || !errors.Is(err, context.DeadlineExceeded) || between.sent != 1 {
						t.Fatalf("%d requests: %v", between.sent, err)
					}
					if !failure.MayHaveTakenEffect {
						t.Errorf("reported as lost: %v", err)
					}
					if got := call.done(t, untouched, stage); (got == 1) != c.arrives {
						t.Errorf("done %d times", got)
					}
				})
			})
		}
	}
}

// unsteady cuts two requests of every three.
func unsteady(c cut) func(int, *http.Request) *cut {
	return func(number int, _ *http.Request) *cut {
		if number%3 != 0 {
			return &c
		}
		return nil
	}
}

// seenCuts are those that a client can notice, and so repair by reading again.
func seenCuts() []cut {
	return slices.DeleteFunc(slices.Clone(cuts), func(c cut) bool { return c.unseen })
}

func TestWaitingSeesTheEndThroughCutConnections(t *testing.T) {
	for _, c := range seenCuts() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				stage := setStage(t, newClient(t, service))
				deployment, err := newClient(t, service).Deployments.Create(t.Context(), stage.task.ID)
				if err != nil {
					t.Fatal(err)
				}
				cutOff := newClient(t, &scissors{service: service, next: unsteady(c)})
				var statuses []string
				for state, err := range cutOff.Deployments.Watch(t.Context(), deployment.DeploymentID) {
					if err != nil {
						t.Fatal(err)
					}
					statuses = append(statuses, state.Status)
				}
				all := []string{client.StatusInQueue, client.StatusRunning, client.StatusCompleted}
				places := make([]int, len(statuses))
				for i, status := range statuses {
					places[i] = slices.Index(all, status)
				}
				if len(places) == 0 || places[len(places)-1] != 2 || places[0] < 0 || !slices.IsSorted(places) ||
					len(slices.Compact(places)) != len(statuses) {
					t.Errorf("watched %q", statuses)
				}
				final, err := cutOff.Deployments.Wait(t.Context(), deployment.DeploymentID)
				if err != nil || final.Status != client.StatusCompleted {
					t.Errorf("waited for %v, %v", final, err)
				}
			})
		})
	}
}

func TestWaitingBearsWithAnOutage(t *testing.T) {
	for _, c := range seenCuts() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				stage := setStage(t, newClient(t, service))
				// The second to fifth readings fail, with all their attempts.
				outage := func(number int, _ *http.Request) *cut {
					if number > 1 && number <= 1+4*4 {
						return &c
					}
					return nil
				}
				between := &scissors{service: service, next: outage}
				final, err := newClient(t, between).Deployments.Wait(t.Context(), stage.running, client.WithPace(time.Hour, time.Hour))
				if err != nil || final.Status != client.StatusCompleted {
					t.Fatalf("waited for %v, %v", final, err)
				}
				if between.sent != 18 {
					t.Errorf("%d requests", between.sent)
				}
			})
		})
	}
}

func TestWaitingGivesUpOnALastingOutage(t *testing.T) {
	for _, c := range seenCuts() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				stage := setStage(t, newClient(t, service))
				between := &scissors{service: service, next: func(number int, _ *http.Request) *cut {
					if number > 1 {
						return &c
					}
					return nil
				}}
				_, err := newClient(t, between).Deployments.Wait(t.Context(), stage.running)
				failure, ok := errors.AsType[*client.WaitError](err)
				if !ok || !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrGone) {
					t.Fatalf("failed with %v", err)
				}
				if failure.Last == nil || failure.Last.Status != client.StatusRunning {
					t.Errorf("last seen %v", failure.Last)
				}
				if inner, ok := errors.AsType[*client.Error](err); !ok || inner.MayHaveTakenEffect {
					t.Errorf("a reading that may have taken effect: %v", err)
				}
			})
		})
	}
}

// A partPlace is where a part stands in a transcript.
type partPlace struct {
	message string
	index   int
}

func TestFollowingGivesTheWholeTranscriptThroughCutConnections(t *testing.T) {
	for _, c := range seenCuts() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				untouched := newClient(t, service)
				stage := setStage(t, untouched)
				deployment, err := untouched.Deployments.Create(t.Context(), stage.task.ID)
				if err != nil {
					t.Fatal(err)
				}
				cutOff := newClient(t, &scissors{service: service, next: unsteady(c)})

				whole := follow(t, cutOff, deployment.DeploymentID)
				compareTranscripts(t, whole, read(t, untouched, deployment.DeploymentID))

				before, err := cutOff.Deployments.ReadConversation(t.Context(), deployment.DeploymentID)
				if err != nil {
					t.Fatal(err)
				}
				if err := untouched.Deployments.Prompt(t.Context(), deployment.DeploymentID, secondPrompt); err != nil {
					t.Fatal(err)
				}
				answer := follow(t, cutOff, deployment.DeploymentID, client.After(before))
				for at := range answer {
					if _, known := whole[at]; known {
						t.Errorf("gave %v again", at)
					}
				}
				maps.Copy(answer, whole)
				compareTranscripts(t, answer, read(t, untouched, deployment.DeploymentID))
			})
		})
	}
}

// follow puts the parts together that Follow gives, each of which must be new or say that it is not.
func follow(t *testing.T, c *client.Client, deploymentID string, opts ...client.WaitOption) map[partPlace]client.Part {
	t.Helper()
	parts := map[partPlace]client.Part{}
	for part, err := range c.Deployments.Follow(t.Context(), deploymentID, opts...) {
		if err != nil {
			t.Fatal(err)
		}
		at := partPlace{part.MessageID, part.Index}
		before, known := parts[at]
		if known != part.Revised {
			t.Errorf("%v: known %t, revised %t", at, known, part.Revised)
		}
		if known && reflect.DeepEqual(before, part.Part) {
			t.Errorf("%v: given twice", at)
		}
		parts[at] = part.Part
	}
	return parts
}

func read(t *testing.T, c *client.Client, deploymentID string) map[partPlace]client.Part {
	t.Helper()
	conversation, err := c.Deployments.ReadConversation(t.Context(), deploymentID)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[partPlace]client.Part{}
	for _, message := range conversation.Messages {
		for i, part := range message.Parts {
			parts[partPlace{*message.ID, i}] = part
		}
	}
	return parts
}

func compareTranscripts(t *testing.T, got, want map[partPlace]client.Part) {
	t.Helper()
	if len(want) < 2 {
		t.Errorf("there are only %d parts to compare", len(want))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("followed %d parts %v, want %d %v", len(got), got, len(want), want)
	}
}

// The raw client goes the same way as the services, so it is as careful.
func TestTheRawClientCreatesNothingTwice(t *testing.T) {
	for _, c := range cuts {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				untouched := newClient(t, service)
				between := &scissors{service: service, next: atFirst(c)}
				body := newTask("The task", 47, "Buy SPY")
				resp, err := newClient(t, between).Raw().CreateTask(t.Context(), body)
				if err == nil {
					_ = resp.Body.Close()
				}
				there := len(tasksNamed(t, untouched, "The task"))
				want := 0
				if c.arrives || c.harmless {
					want = 1
				}
				if there != want || between.arrived > 1 {
					t.Errorf("%d tasks from %d arrivals, want %d", there, between.arrived, want)
				}
				failure, failed := errors.AsType[*client.Error](err)
				if failed && there > 0 && !failure.MayHaveTakenEffect {
					t.Errorf("it happened and is reported as lost: %v", err)
				}
			})
		})
	}
}

// sure gets something done exactly once, as the documentation advises: where a request may have taken effect, it looks,
// and sends again only what is not there.
func sure[T any](do func() (T, error), look func() (T, bool, error)) (T, error) {
	for {
		got, err := do()
		if err == nil {
			return got, nil
		}
		failure, ok := errors.AsType[*client.Error](err)
		if !ok || !failure.MayHaveTakenEffect && !errors.Is(err, client.ErrUnavailable) {
			return got, err
		}
		if !failure.MayHaveTakenEffect {
			continue
		}
		type sight struct {
			what  T
			there bool
		}
		seen, err := insist(func() (sight, error) {
			what, there, err := look()
			return sight{what, there}, err
		})
		if err != nil || seen.there {
			return seen.what, err
		}
	}
}

// insist reads until there is an answer.
func insist[T any](read func() (T, error)) (T, error) {
	for {
		got, err := read()
		if err == nil || !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrUnexpectedBody) {
			return got, err
		}
	}
}

// wholeFlow creates, runs, follows, prompts, stops and deletes, over connections that break all the time. Between the
// steps, untouched looks whether everything is there exactly once.
func wholeFlow(t *testing.T, c, untouched *client.Client) {
	ctx := t.Context()
	must := func(step string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	exactly := func(want, got int, what string) {
		t.Helper()
		if got != want {
			t.Fatalf("%d %s, want %d", got, what, want)
		}
	}
	first := func(agents []client.Agent, err error) (*client.Agent, bool, error) {
		for _, a := range agents {
			if a.Name == "The agent" {
				return &a, true, nil
			}
		}
		return nil, false, err
	}
	agent, err := sure(func() (*client.Agent, error) {
		return c.Agents.Create(ctx, client.CreateAgentRequest{OrganizationID: testOrganization, Name: "The agent"})
	}, func() (*client.Agent, bool, error) { return first(c.Agents.List(ctx, testOrganization)) })
	must("create agent", err)
	exactly(1, len(agentsNamed(t, untouched, "The agent")), "agents")

	task, err := sure(func() (*client.Task, error) {
		return c.Tasks.Create(ctx, newTask("The task", agent.ID, "Buy SPY"))
	}, func() (*client.Task, bool, error) {
		tasks, err := c.Tasks.List(ctx, testOrganization)
		if len(tasks) > 0 {
			return &tasks[0], true, nil
		}
		return nil, false, err
	})
	must("create task", err)
	exactly(1, len(tasksNamed(t, untouched, "The task")), "tasks")

	deployment, err := sure(func() (*client.Deployment, error) {
		return c.Deployments.Create(ctx, task.ID)
	}, func() (*client.Deployment, bool, error) {
		deployments, err := c.Deployments.List(ctx, task.ID)
		if len(deployments) > 0 {
			return &deployments[0], true, nil
		}
		return nil, false, err
	})
	must("create deployment", err)
	exactly(1, len(deploymentsOf(t, untouched, task.ID)), "deployments")
	id := deployment.DeploymentID

	final, err := insist(func() (*client.Deployment, error) { return c.Deployments.Wait(ctx, id) })
	must("wait", err)
	if final.Status != client.StatusCompleted {
		t.Fatalf("ended as %s", final.Status)
	}

	none := struct{}{}
	_, err = sure(func() (struct{}, error) {
		return none, c.Deployments.Prompt(ctx, id, secondPrompt)
	}, func() (struct{}, bool, error) {
		conversation, err := c.Deployments.ReadConversation(ctx, id)
		return none, err == nil && said(conversation, secondPrompt) > 0, err
	})
	must("prompt", err)
	exactly(1, timesSaid(t, untouched, id, secondPrompt), "prompts")

	transcript, err := insist(func() (map[partPlace]client.Part, error) {
		parts := map[partPlace]client.Part{}
		for part, err := range c.Deployments.Follow(ctx, id) {
			if err != nil {
				return nil, err
			}
			parts[partPlace{part.MessageID, part.Index}] = part.Part
		}
		return parts, nil
	})
	must("follow", err)
	compareTranscripts(t, transcript, read(t, untouched, id))

	running, err := untouched.Deployments.Create(ctx, task.ID)
	must("run once more", err)
	must("run for long", untouched.Deployments.Prompt(ctx, running.DeploymentID, "[mock:long-running] Buy more"))
	time.Sleep(5 * time.Second)
	_, err = sure(func() (struct{}, error) {
		return none, c.Deployments.Stop(ctx, running.DeploymentID)
	}, func() (struct{}, bool, error) {
		state, err := c.Deployments.Read(ctx, running.DeploymentID)
		return none, err == nil && client.IsFinal(state.Status), err
	})
	must("stop", err)
	stopped, err := untouched.Deployments.Read(ctx, running.DeploymentID)
	must("look at what was stopped", err)
	if stopped.Status != client.StatusStopped {
		t.Fatalf("%s instead of stopped", stopped.Status)
	}

	_, err = sure(func() (struct{}, error) {
		return none, c.Deployments.Delete(ctx, id)
	}, func() (struct{}, bool, error) {
		left, err := c.Deployments.List(ctx, task.ID)
		gone := !slices.ContainsFunc(left, func(d client.Deployment) bool { return d.DeploymentID == id })
		return none, err == nil && gone, err
	})
	must("delete deployment", err)
	exactly(1, len(deploymentsOf(t, untouched, task.ID)), "deployments")

	_, err = sure(func() (struct{}, error) {
		return none, c.Tasks.Delete(ctx, task.ID)
	}, func() (struct{}, bool, error) {
		left, err := c.Tasks.List(ctx, testOrganization)
		return none, err == nil && len(left) == 0, err
	})
	must("delete task", err)
	exactly(0, len(tasksNamed(t, untouched, "The task")), "tasks")

	_, err = sure(func() (struct{}, error) {
		return none, c.Agents.Delete(ctx, agent.ID)
	}, func() (struct{}, bool, error) {
		_, there, err := first(c.Agents.List(ctx, testOrganization))
		return none, err == nil && !there, err
	})
	must("delete agent", err)
	exactly(0, len(agentsNamed(t, untouched, "The agent")), "agents")
}

func TestWholeFlowWithEveryFirstRequestCut(t *testing.T) {
	for _, c := range cuts {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				met := map[string]bool{}
				between := &scissors{service: service, next: func(_ int, req *http.Request) *cut {
					if met[req.URL.Path] {
						return nil
					}
					met[req.URL.Path] = true
					return &c
				}}
				wholeFlow(t, newClient(t, between), newClient(t, service))
				if len(met) < 10 {
					t.Errorf("only %d operations met the cut", len(met))
				}
			})
		})
	}
}

// Cuts of all sorts in one life: two requests of five, in an order that the seed fixes.
func TestWholeFlowAmongRandomCuts(t *testing.T) {
	seeds := uint64(25)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newMock(t)
				chance := rand.New(rand.NewPCG(seed, 0))
				between := &scissors{service: service, next: func(int, *http.Request) *cut {
					if chance.IntN(5) < 2 {
						return &cuts[chance.IntN(len(cuts))]
					}
					return nil
				}}
				wholeFlow(t, newClient(t, between), newClient(t, service))
			})
		})
	}
}

func TestWholeFlowOverAWholeConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		between := &scissors{service: newMock(t), next: func(int, *http.Request) *cut { return nil }}
		wholeFlow(t, newClient(t, between), newClient(t, between.service))
		if between.sent == 0 || between.sent != between.arrived {
			t.Errorf("%d sent, %d arrived", between.sent, between.arrived)
		}
	})
}

// A caller's own HTTP client may follow redirects. What fails on the way there says nothing of the request that was
// redirected, least of all that it never ran.
func TestAFailedRedirectCreatesNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newMock(t)
		followed := 0
		moving := transport(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				followed++
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			resp, err := service.RoundTrip(req)
			if err == nil {
				resp.StatusCode = http.StatusSeeOther
				resp.Header.Set("Location", req.URL.String()) // the result of a form is often at the form's own address
			}
			return resp, err
		})
		following := client.WithHTTPClient(&http.Client{
			Transport: moving, CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
		})
		_, err := newClient(t, nil, following).Tasks.Create(t.Context(), newTask("The task", 47, "Buy SPY"))
		if got := len(tasksNamed(t, newClient(t, service), "The task")); got != 1 {
			t.Errorf("created %d times", got)
		}
		failure, ok := errors.AsType[*client.Error](err)
		if !ok || !errors.Is(err, client.ErrUnavailable) || !failure.MayHaveTakenEffect || followed != 1 {
			t.Errorf("followed %d times: %v", followed, err)
		}
	})
}

// What the first attempt left open stays open, however clear the failures after it are.
func TestALaterFailureDoesNotMakeAnEarlierEffectUndone(t *testing.T) {
	for _, call := range calls {
		for _, c := range cuts {
			if call.handling != isSetting || !c.arrives || c.unseen {
				continue
			}
			t.Run(call.operation+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					service := newMock(t)
					untouched := newClient(t, service)
					stage := setStage(t, untouched)
					between := &scissors{service: service, next: func(number int, _ *http.Request) *cut {
						if number == 1 {
							return &c
						}
						return &cuts[0] // no connection comes about
					}}
					_, err := call.do(t.Context(), newClient(t, between), stage)
					failure, ok := errors.AsType[*client.Error](err)
					if !ok || !errors.Is(err, client.ErrUnavailable) || between.sent != 4 || call.done(t, untouched, stage) != 1 {
						t.Fatalf("%d requests: %v", between.sent, err)
					}
					if !failure.MayHaveTakenEffect {
						t.Errorf("it happened and is reported as lost: %v", err)
					}
				})
			})
		}
	}
}
