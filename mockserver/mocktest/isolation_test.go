package mocktest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
	"github.com/qcagents/qcagents/mockserver/mocktest"
)

// A thousand Go tests and sixteen Python programs use one server at the same time. That none leaves a goroutine behind is
// seen to by TestMain.
func TestWorldsDoNotInterfere(t *testing.T) {
	srv := mocktest.Start(t, mockserver.WithAuth(mockserver.AuthAny), mockserver.WithSeed("isolation"))
	begun := time.Now()
	t.Run("side by side", func(t *testing.T) {
		t.Run("python", func(t *testing.T) {
			t.Parallel()
			sixteenPrograms(t, srv)
		})
		for i := range 1000 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				world := srv.NewWorld(t)
				options := []client.Option{client.WithRetry(client.RetryPolicy{MaxAttempts: 1})}
				if i%2 == 0 { // half of them in memory, the others over TCP
					options = append(options, client.WithHTTPClient(&http.Client{Transport: srv.Server().Transport()}))
				}
				liveAlone(t, world, world.Client(options...), i)
			})
		}
	})
	if len(srv.Journal()) > 0 || len(srv.Server().Journal()) > 0 {
		t.Error("exchanges have come into the default world, or into none")
	}
	if worlds := len(srv.Server().Worlds()); worlds != 1 && worlds != 1+programs {
		t.Errorf("%d worlds are left", worlds)
	}
	t.Logf("took %s", time.Since(begun).Round(time.Millisecond))
}

// liveAlone does what would show if anybody else were there.
func liveAlone(t *testing.T, world *mocktest.World, c *client.Client, i int) {
	ctx := t.Context()
	world.Freeze()
	start := world.Advance(time.Duration(i) * time.Minute)
	world.SetCapacity(1)
	world.Inject(mockserver.Fault{Operation: "deleteTask", Effect: mockserver.Reject(fmt.Sprint("fault of ", i))})

	request := newTask(world)
	var names []string
	for n := range 1 + i%3 {
		request.Name = fmt.Sprintf("task %d of %d", n, i)
		task, err := c.Tasks.Create(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		if task.ID != 1001+n {
			t.Errorf("task %d is not the world's own %d", task.ID, 1001+n)
		}
		names = append(names, task.Name)
	}
	tasks, err := c.Tasks.List(ctx, world.OrganizationID())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(tasks, names, func(task client.Task, name string) bool { return task.Name == name }) {
		t.Errorf("tasks %+v, want %v", tasks, names)
	}
	deployment, err := c.Deployments.Create(ctx, 1001)
	if err != nil {
		t.Fatal(err)
	}
	world.Advance(10 * time.Second)
	if deployment, err = c.Deployments.Read(ctx, deployment.DeploymentID); err != nil || deployment.Status != client.StatusCompleted {
		t.Errorf("deployment %+v, %v", deployment, err)
	}
	err = c.Tasks.Delete(ctx, 1001)
	if failure, ok := errors.AsType[*client.Error](err); !ok || !slices.Equal(failure.Messages, []string{fmt.Sprint("fault of ", i)}) {
		t.Errorf("got %v", err)
	}
	if now := world.Now(); !now.Equal(start.Add(10 * time.Second)) {
		t.Errorf("it is %s, want ten seconds after %s", now, start)
	}
	if entries, want := world.Journal(), 5+i%3; len(entries) != want {
		t.Errorf("the journal has %d entries, want %d", len(entries), want)
	}
}

const programs = 16

func sixteenPrograms(t *testing.T, srv *mocktest.Server) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 to run")
	}
	type result struct {
		Task               int
		Tasks              []string
		Deployment, Status string
		err                error
	}
	results := make([]chan result, programs)
	for i := range results {
		results[i] = make(chan result, 1)
		user := strconv.Itoa(i)
		if i == 1 {
			user = strconv.Itoa(programs) // 1 is the default world's
		}
		go func() {
			cmd := exec.CommandContext(t.Context(), python, "testdata/five_calls.py", srv.URL(), user)
			var r result
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &r)
			}
			if err != nil {
				r.err = fmt.Errorf("%w\n%s", err, stderr.String())
			}
			results[i] <- r
		}()
	}
	identifiers := map[string]bool{}
	for i := range results {
		r := <-results[i]
		user := i
		if i == 1 {
			user = programs
		}
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		if want := fmt.Sprint("task of ", user); r.Task != 1001 || !slices.Equal(r.Tasks, []string{want}) || identifiers[r.Deployment] {
			t.Errorf("program of user %d got %+v", user, r)
		}
		identifiers[r.Deployment] = true
		world := srv.Server().World(user)
		if world == nil || len(world.Journal()) != 5 {
			t.Errorf("the world of user %d does not have five exchanges", user)
		}
	}
}

// The same calls in the same order leave the same journal, byte for byte.
func TestSeedMakesJournalsIdentical(t *testing.T) {
	play := func(t *testing.T, seed string, tcp, busy bool) string {
		t.Helper()
		srv := mocktest.New(t, mockserver.WithSeed(seed))
		transport := srv.Transport()
		if tcp {
			listening := httptest.NewServer(srv.Server())
			defer listening.Close()
			transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.URL.Host = strings.TrimPrefix(listening.URL, "http://")
				return listening.Client().Transport.RoundTrip(r)
			})
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		if busy {
			other := srv.NewWorld(t)
			go func() {
				defer close(stopped)
				c := other.Client()
				for range 200 {
					select {
					case <-stop:
						return
					default:
						if task, err := c.Tasks.Create(t.Context(), newTask(other)); err == nil {
							_, _ = c.Deployments.Create(t.Context(), task.ID)
						}
						other.Advance(time.Second)
					}
				}
			}()
		} else {
			close(stopped)
		}
		journals := everything(t, srv, transport)
		close(stop)
		<-stopped
		return journals
	}
	want := play(t, "a", false, false)
	for name, way := range map[string]struct{ tcp, busy bool }{
		"again": {}, "over TCP": {tcp: true}, "beside others": {busy: true}, "over TCP beside others": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := play(t, "a", way.tcp, way.busy); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	if other := play(t, "b", false, false); other == want {
		t.Error("another seed gives the same journal")
	}
}

// everything makes a fixed sequence of calls in three worlds, and gives their journals.
func everything(t *testing.T, srv *mocktest.Server, transport http.RoundTripper) string {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	options := []client.Option{
		client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetry(client.RetryPolicy{MinDelay: time.Nanosecond}),
	}
	live := func(world *mocktest.World) {
		c := world.Client(options...)
		world.Inject(
			mockserver.Fault{Operation: "readAgent", Effect: mockserver.Respond(503, "")},
			mockserver.Fault{Operation: "listTasks", Effect: mockserver.Garble(mockserver.Truncate), Phase: mockserver.AfterEffect},
			mockserver.Fault{Operation: "createTask", Effect: mockserver.Drop(), Phase: mockserver.AfterEffect, Skip: 2},
		)
		must(c.Authenticate(ctx))
		agent, err := c.Agents.Create(ctx, client.CreateAgentRequest{
			OrganizationID: world.OrganizationID(), Name: "Agent",
			Token: &client.AgentToken{LLMProviderAPI: new("openai"), LLMAPITokenUser: new("sk-secret")},
		})
		must(err)
		_, err = c.Agents.Read(ctx, agent.ID)
		must(err)
		request := newTask(world)
		request.AgentID = agent.ID
		for _, prompt := range []string{"Buy SPY and hold it.", "[mock:sub-agent] Research momentum.", "Lost."} {
			request.Prompt = prompt
			task, err := c.Tasks.Create(ctx, request)
			if prompt == "Lost." {
				if failure, ok := errors.AsType[*client.Error](err); !ok || !failure.MayHaveTakenEffect {
					t.Fatalf("got %v", err)
				}
				continue
			}
			must(err)
			deployment, err := c.Deployments.Create(ctx, task.ID)
			must(err)
			for range 8 {
				_, err = c.Deployments.Read(ctx, deployment.DeploymentID)
				must(err)
				_, err = c.Deployments.ReadConversation(ctx, deployment.DeploymentID)
				must(err)
			}
			must(c.Deployments.Prompt(ctx, deployment.DeploymentID, "Now with leverage."))
			world.Advance(1500 * time.Millisecond)
			_, err = c.Deployments.ReadConversation(ctx, deployment.DeploymentID)
			must(err)
			must(c.Deployments.Stop(ctx, deployment.DeploymentID))
			_, err = c.Deployments.List(ctx, task.ID)
			must(err)
		}
		_, err = c.Tasks.List(ctx, world.OrganizationID())
		must(err)
		if _, err = c.Tasks.Read(ctx, 9999); !errors.Is(err, client.ErrRejected) {
			t.Fatalf("got %v", err)
		}
		must(c.Agents.Delete(ctx, agent.ID))
	}
	journal := func(world *mocktest.World) string {
		text, err := json.MarshalIndent(world.Journal(), "", " ")
		must(err)
		if strings.Contains(string(text), "sk-secret") {
			t.Error("the journal has the provider's key")
		}
		return string(text)
	}
	own := srv.NewWorld(named{t, "a test of a fixed name"})
	live(srv.World)
	live(own)
	fork := srv.Fork(named{t, "a fork of a fixed name"})
	live(fork)
	journals := []string{journal(srv.World), journal(own), journal(fork)}
	srv.Reset()
	live(srv.World)
	if again := journal(srv.World); again != journals[0] {
		t.Errorf("after a reset:\n%s\nbefore:\n%s", again, journals[0])
	}
	return strings.Join(journals, "\n")
}

// named is a test under another name.
type named struct {
	testing.TB
	name string
}

func (n named) Name() string { return n.name }
