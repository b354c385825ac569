package mocktest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
	"github.com/qcagents/qcagents/mockserver/mocktest"
)

const page = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"

// disturbances are every effect, with what a consumer has to make of it.
var disturbances = []struct {
	name   string
	effect mockserver.Effect
	// kind is the client's error; nil for success.
	kind error
	// blind is true when the answer leaves open whether the request took effect.
	blind bool
	// bare is what a plain HTTP client sees, if that is not the operation's own answer.
	bare string
	// outside is true when the contract does not allow for it.
	outside bool
}{
	{name: "delay", effect: mockserver.Delay(time.Millisecond)},
	{
		name:   "401",
		effect: mockserver.Respond(401, `{"success":false,"errors":["Hash doesn't match."]}`, "WWW-Authenticate", "Basic"),
		kind:   client.ErrUnauthorized, bare: "401 application/json, refused",
	},
	{
		name:   "429",
		effect: mockserver.Respond(429, `{"success":false,"errors":["Slow down."]}`, "Retry-After", "7"),
		kind:   client.ErrThrottled, bare: "429 application/json, refused, retry after 7", outside: true,
	},
	{
		name: "empty 500", effect: mockserver.Respond(500, ""),
		kind: client.ErrUnavailable, blind: true, bare: "500 application/json, empty", outside: true,
	},
	{
		name: "503 of a proxy", effect: mockserver.Respond(503, page, "Content-Type", "text/html"),
		kind: client.ErrUnavailable, blind: true, bare: "503 text/html, not JSON", outside: true,
	},
	{
		name: "200 of a proxy", effect: mockserver.Respond(200, page, "Content-Type", "text/html"),
		kind: client.ErrUnexpectedBody, blind: true, bare: "200 text/html, not JSON", outside: true,
	},
	{
		name: "204", effect: mockserver.Respond(204, ""),
		kind: client.ErrUnexpectedBody, blind: true, bare: "204 application/json, empty", outside: true,
	},
	{
		name: "reject", effect: mockserver.Reject("All nodes are busy.", "Try again later."),
		kind: client.ErrRejected, bare: "200 application/json, refused",
	},
	{
		name: "truncate", effect: mockserver.Garble(mockserver.Truncate),
		kind: client.ErrUnavailable, blind: true, bare: "200 application/json, breaks off", outside: true,
	},
	{
		name: "not JSON", effect: mockserver.Garble(mockserver.NotJSON),
		kind: client.ErrUnexpectedBody, blind: true, bare: "200 application/json, not JSON", outside: true,
	},
	{
		name: "wrong content type", effect: mockserver.Garble(mockserver.WrongContentType),
		kind: client.ErrUnexpectedBody, blind: true, bare: "200 text/html, success", outside: true,
	},
	{
		name: "drop", effect: mockserver.Drop(),
		kind: client.ErrUnavailable, blind: true, bare: "no answer", outside: true,
	},
}

// scene is a server with a task and a deployment of it that has ended.
type scene struct {
	*mocktest.World
	client     *client.Client
	taskID     int
	deployment string
}

func newScene(t *testing.T, srv *mocktest.World) *scene {
	t.Helper()
	s := &scene{World: srv, client: srv.Client(client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))}
	task, err := s.client.Tasks.Create(t.Context(), newTask(srv))
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := s.client.Deployments.Create(t.Context(), task.ID)
	if err != nil {
		t.Fatal(err)
	}
	srv.Freeze()
	srv.Advance(time.Minute)
	s.taskID, s.deployment = task.ID, deployment.DeploymentID
	return s
}

// did counts what disturbed calls have left behind: further tasks, and prompts in the transcript.
func (s *scene) did(t *testing.T, operation string) int {
	t.Helper()
	switch operation {
	case "createTask":
		tasks, err := s.client.Tasks.List(t.Context(), s.OrganizationID())
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks) - 1
	case "promptDeployment":
		s.Settle()
		conversation, err := s.client.Deployments.ReadConversation(t.Context(), s.deployment)
		if err != nil {
			t.Fatal(err)
		}
		prompts := 0
		for _, m := range conversation.Messages {
			if *m.Role == client.RoleUser {
				prompts++
			}
		}
		return prompts - 1
	}
	return 0
}

// consumers call an operation and say what came of it, in words that do not depend on the transport.
var consumers = map[string]func(ctx context.Context, s *scene, operation string) string{
	"client": func(ctx context.Context, s *scene, operation string) string {
		var err error
		switch operation {
		case "createTask":
			_, err = s.client.Tasks.Create(ctx, newTask(s.World))
		case "readDeployment":
			_, err = s.client.Deployments.Read(ctx, s.deployment)
		case "promptDeployment":
			err = s.client.Deployments.Prompt(ctx, s.deployment, "Now with leverage.")
		}
		return told(err)
	},
	"plain HTTP": func(ctx context.Context, s *scene, operation string) string {
		path, body := "/agents/tasks/create", any(newTask(s.World))
		switch operation {
		case "readDeployment":
			path, body = "/agents/deployments/read", map[string]string{"deploymentId": s.deployment}
		case "promptDeployment":
			path, body = "/agents/deployments/prompt", map[string]string{"deploymentId": s.deployment, "prompt": "Now with leverage."}
		}
		sent, _ := json.Marshal(body)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+path, strings.NewReader(string(sent)))
		if err != nil {
			return err.Error()
		}
		req.Header.Set("Content-Type", "application/json")
		_ = (&client.Signer{Credentials: s.Credentials()}).Edit(ctx, req)
		return seen(s.HTTPClient().Do(req))
	},
}

// told puts a client's error into words.
func told(err error) string {
	failure, ok := errors.AsType[*client.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	var kinds []string
	for kind, name := range map[error]string{
		client.ErrUnauthorized: "unauthorized", client.ErrRejected: "rejected", client.ErrThrottled: "throttled",
		client.ErrUnavailable: "unavailable", client.ErrUnexpectedBody: "unexpected body",
		context.Canceled: "canceled", context.DeadlineExceeded: "deadline exceeded",
	} {
		if errors.Is(err, kind) {
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	return fmt.Sprintf("%s, status %d, messages %q, retry after %s, blind %v, attempts %d",
		strings.Join(kinds, " "), failure.StatusCode, failure.Messages, failure.RetryAfter, failure.MayHaveTakenEffect, failure.Attempts)
}

// seen puts what a plain HTTP client gets into words.
func seen(resp *http.Response, err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.Is(err, io.EOF):
		return "no answer"
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	text := fmt.Sprintf("%d %s, ", resp.StatusCode, media)
	var envelope struct{ Success *bool }
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		text += "breaks off"
	case err != nil:
		text += err.Error()
	case len(body) == 0:
		text += "empty"
	case json.Unmarshal(body, &envelope) != nil || envelope.Success == nil:
		text += "not JSON"
	case *envelope.Success:
		text += "success"
	default:
		text += "refused"
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		text += ", retry after " + after
	}
	return text
}

func TestFaultsAreTheSameOnBothTransports(t *testing.T) {
	t.Parallel()
	for _, d := range disturbances {
		for _, phase := range []mockserver.Phase{mockserver.BeforeEffect, mockserver.AfterEffect} {
			for _, operation := range []string{"createTask", "readDeployment", "promptDeployment"} {
				for name, consume := range consumers {
					t.Run(strings.Join([]string{d.name, string(phase), operation, name}, "/"), func(t *testing.T) {
						t.Parallel()
						want := cmp.Or(d.bare, "200 application/json, success")
						if name == "client" && d.kind == nil {
							want = "<nil>"
						}
						wantDone := 1
						if operation == "readDeployment" || d.kind != nil && phase == mockserver.BeforeEffect {
							wantDone = 0
						}
						journals := map[string]string{}
						for way, makeServer := range makers {
							s := newScene(t, makeServer(t, mockserver.WithSeed("faults")).World)
							s.Inject(mockserver.Fault{Operation: operation, Phase: phase, Effect: d.effect})
							got := consume(t.Context(), s, operation)
							if name == "client" && d.kind != nil {
								want = got // judged by its parts
								wantBlind := d.blind && operation != "readDeployment"
								if !strings.HasPrefix(got, d.kind.Error()+",") || strings.Contains(got, "blind true") != wantBlind {
									t.Errorf("%s: got %s; want %v, blind %v", way, got, d.kind, wantBlind)
								}
							}
							if got != want {
								t.Errorf("%s: got %s, want %s", way, got, want)
							}
							if done := s.did(t, operation); done != wantDone {
								t.Errorf("%s: it was done %d times, want %d", way, done, wantDone)
							}
							struck := s.Journal()[2].Fault
							switch {
							case struck == nil:
								t.Errorf("%s: the journal knows of no fault", way)
							case struck.Phase != phase || struck.Effect != d.effect.String() || (struck.OutsideContract != "") != d.outside:
								t.Errorf("%s: the journal has %+v; outside the contract: want %v", way, *struck, d.outside)
							}
							// The next one is spared.
							if got := consumers["plain HTTP"](t.Context(), s, operation); got != "200 application/json, success" {
								t.Errorf("%s: afterwards: %s", way, got)
							}
							journal, err := json.MarshalIndent(s.Journal(), "", "  ")
							if err != nil {
								t.Fatal(err)
							}
							journals[way] = string(journal)
						}
						if journals["New"] != journals["Start"] {
							t.Errorf("in memory:\n%s\nover TCP:\n%s", journals["New"], journals["Start"])
						}
					})
				}
			}
		}
	}
}

// noticing tells when somebody waits for a context to end, as a fault that delays does.
type noticing struct {
	context.Context
	once   *sync.Once
	waited chan struct{}
}

func (n noticing) Done() <-chan struct{} {
	n.once.Do(func() { close(n.waited) })
	return n.Context.Done()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDelayHearsTheConsumer(t *testing.T) {
	for name, consume := range consumers {
		for _, phase := range []mockserver.Phase{mockserver.BeforeEffect, mockserver.AfterEffect} {
			for _, way := range []string{"New", "Start"} {
				t.Run(strings.Join([]string{name, string(phase), way}, "/"), func(t *testing.T) {
					waited := make(chan struct{})
					written := make(chan mockserver.Entry, 1)
					srv := mocktest.New(t, mockserver.WithObserver(func(e mockserver.Entry) {
						if e.Fault != nil {
							written <- e
						}
					}))
					s := newScene(t, srv.World)
					s.Inject(mockserver.Fault{Phase: phase, Effect: mockserver.Delay(time.Hour)})
					watched := func(r *http.Request) *http.Request {
						return r.WithContext(noticing{r.Context(), new(sync.Once), waited})
					}
					world := s.World
					var transport http.RoundTripper = roundTripper(func(r *http.Request) (*http.Response, error) {
						return srv.Transport().RoundTrip(watched(r))
					})
					if way == "Start" {
						listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							srv.Server().ServeHTTP(w, watched(r))
						}))
						defer listening.Close()
						transport = roundTripper(func(r *http.Request) (*http.Response, error) {
							r = r.Clone(r.Context())
							r.URL.Host = strings.TrimPrefix(listening.URL, "http://")
							return listening.Client().Transport.RoundTrip(r)
						})
					}
					s.World = world
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						<-waited
						cancel()
					}()
					s.client = s.Client(client.WithHTTPClient(&http.Client{Transport: transport}))
					if name == "client" {
						got := consume(ctx, s, "createTask")
						if want := `canceled, status 0, messages [], retry after 0s, blind true, attempts 1`; got != want {
							t.Errorf("got %s, want %s", got, want)
						}
					} else {
						body, _ := json.Marshal(newTask(s.World))
						req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/agents/tasks/create", strings.NewReader(string(body)))
						req.Header.Set("Content-Type", "application/json")
						_ = (&client.Signer{Credentials: s.Credentials()}).Edit(ctx, req)
						if got := seen((&http.Client{Transport: transport}).Do(req)); got != "canceled" {
							t.Errorf("got %s, want canceled", got)
						}
					}
					e := <-written
					if e.Response != nil {
						t.Errorf("the journal has an answer: %+v", e.Response)
					}
					s.client = srv.Client()
					want := 0
					if phase == mockserver.AfterEffect {
						want = 1
					}
					if done := s.did(t, "createTask"); done != want {
						t.Errorf("it was done %d times, want %d", done, want)
					}
				})
			}
		}
	}
}

// A deadline is told from a lost connection on both transports, in time that does not pass.
func TestDelayOutlastsADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mocktest.New(t)
		s := newScene(t, srv.World)
		s.Inject(mockserver.Fault{Times: 2, Effect: mockserver.Delay(time.Hour)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.client = srv.Client(client.WithTimeout(0))
		if got := consumers["client"](ctx, s, "readDeployment"); !strings.HasPrefix(got, "deadline exceeded, status 0") {
			t.Errorf("got %s", got)
		}
		// One attempt times out, the next one is answered.
		s.client = srv.Client(client.WithTimeout(time.Second))
		if got := consumers["client"](t.Context(), s, "readDeployment"); got != "<nil>" {
			t.Errorf("got %s", got)
		}
	})
}

func TestFaultsAreCounted(t *testing.T) {
	always := mockserver.Reject("no")
	other := 2
	one := 1
	cases := map[string]struct {
		faults []mockserver.Fault
		want   string // of ten calls of readAgent: . is spared, R rejected, D dropped, T throttled
	}{
		"once by default":        {[]mockserver.Fault{{Effect: always}}, "R........."},
		"times":                  {[]mockserver.Fault{{Effect: always, Times: 3}}, "RRR......."},
		"always":                 {[]mockserver.Fault{{Effect: always, Times: -1}}, "RRRRRRRRRR"},
		"the fourth":             {[]mockserver.Fault{{Effect: always, Skip: 3}}, "...R......"},
		"from the fifth on":      {[]mockserver.Fault{{Effect: always, Skip: 4, Times: -1}}, "....RRRRRR"},
		"fifth and sixth":        {[]mockserver.Fault{{Effect: always, Skip: 4, Times: 2}}, "....RR...."},
		"this operation":         {[]mockserver.Fault{{Effect: always, Operation: "readAgent"}}, "R........."},
		"another operation":      {[]mockserver.Fault{{Effect: always, Operation: "listAgents", Times: -1}}, ".........."},
		"this user":              {[]mockserver.Fault{{Effect: always, UserID: &one}}, "R........."},
		"another user":           {[]mockserver.Fault{{Effect: always, UserID: &other, Times: -1}}, ".........."},
		"one after another":      {[]mockserver.Fault{{Effect: always}, {Effect: mockserver.Drop()}}, "RD........"},
		"the first and the next": {[]mockserver.Fault{{Effect: always}, {Effect: mockserver.Drop(), Skip: 1}}, "RD........"},
		"the third and the first": {[]mockserver.Fault{
			{Effect: always, Skip: 2}, {Effect: mockserver.Drop()},
		}, "D.R......."},
		"one among all": {[]mockserver.Fault{
			{Effect: mockserver.Respond(429, ""), Skip: 3}, {Effect: always, Times: -1},
		}, "RRRTRRRRRR"},
		"both phases": {[]mockserver.Fault{
			{Effect: always, Phase: mockserver.AfterEffect, Skip: 1}, {Effect: mockserver.Drop(), Phase: mockserver.BeforeEffect},
		}, "D.R......."},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			srv := mocktest.New(t)
			calls := srv.Client(client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))
			srv.Inject(c.faults...)
			got := ""
			for range 10 {
				switch _, err := calls.Agents.Read(t.Context(), 47); {
				case err == nil:
					got += "."
				case errors.Is(err, client.ErrRejected):
					got += "R"
				case errors.Is(err, client.ErrThrottled):
					got += "T"
				default:
					got += "D"
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What is refused before it was carried out is not counted by faults that strike afterwards.
func TestFaultsAfterTheEffectCountEffectsAlone(t *testing.T) {
	srv := mocktest.New(t)
	srv.AllowViolations(mockserver.MissingField, mockserver.AuthHash)
	srv.Inject(mockserver.Fault{Operation: "readAgent", Phase: mockserver.AfterEffect, Effect: mockserver.Respond(http.StatusTeapot, "")})
	post(t, srv.World, "/agents/read", `{}`)
	stranger := srv.Client(client.WithCredentials(client.Credentials{UserID: 1, Token: "another"}))
	if _, err := stranger.Agents.Read(t.Context(), 47); !errors.Is(err, client.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	if resp := post(t, srv.World, "/agents/read", `{"agentId":47}`); resp.StatusCode != http.StatusTeapot {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The client's own repeating, against faults that pass: nothing is ever made twice.
func TestClientGetsOverFaultsThatPass(t *testing.T) {
	for name, c := range map[string]struct {
		effect    mockserver.Effect
		phase     mockserver.Phase
		operation string
		want      string
		done      int
	}{
		"throttled creation":  {mockserver.Respond(429, "", "Retry-After", "30"), mockserver.BeforeEffect, "createTask", "<nil>", 1},
		"throttled prompt":    {mockserver.Respond(429, ""), mockserver.BeforeEffect, "promptDeployment", "<nil>", 1},
		"unavailable reading": {mockserver.Respond(503, page), mockserver.AfterEffect, "readDeployment", "<nil>", 0},
		"dropped reading":     {mockserver.Drop(), mockserver.AfterEffect, "readDeployment", "<nil>", 0},
		"lost creation":       {mockserver.Drop(), mockserver.AfterEffect, "createTask", "unavailable", 1},
		"dropped creation":    {mockserver.Drop(), mockserver.BeforeEffect, "createTask", "unavailable", 0},
		"cut prompt":          {mockserver.Garble(mockserver.Truncate), mockserver.AfterEffect, "promptDeployment", "unavailable", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, mocktest.New(t).World)
				s.client = s.Client()
				s.Inject(mockserver.Fault{Operation: c.operation, Phase: c.phase, Times: 2, Effect: c.effect})
				if got := consumers["client"](t.Context(), s, c.operation); !strings.HasPrefix(got, c.want) {
					t.Errorf("got %s, want %s", got, c.want)
				}
				s.ClearFaults()
				if done := s.did(t, c.operation); done != c.done {
					t.Errorf("it was done %d times, want %d", done, c.done)
				}
			})
		})
	}
}
