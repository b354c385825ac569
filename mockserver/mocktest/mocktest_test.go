package mocktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

// spy is a test that is watched by another one: what it would print and whether it would fail.
type spy struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
	name     string
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	s := &spy{TB: t, name: t.Name()}
	t.Cleanup(s.end)
	return s
}

func (s *spy) Name() string { return s.name }

func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// end runs the cleanups as package testing would.
func (s *spy) end() {
	for len(s.cleanups) > 0 {
		last := s.cleanups[len(s.cleanups)-1]
		s.cleanups = s.cleanups[:len(s.cleanups)-1]
		last()
	}
}

func (s *spy) say(failed bool, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = s.failed || failed
	s.said = append(s.said, text)
}

func (s *spy) Errorf(format string, args ...any) { s.say(true, fmt.Sprintf(format, args...)) }
func (s *spy) Log(args ...any)                   { s.say(false, fmt.Sprint(args...)) }

// Fatal panics with its text, since a spy cannot end the goroutine of the test that watches it.
func (s *spy) Fatal(args ...any) {
	s.say(true, fmt.Sprint(args...))
	panic(fmt.Sprint(args...))
}

func (s *spy) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *spy) text() string { return strings.Join(s.said, "\n") }

func newTask(srv *mocktest.World) client.CreateAgentTaskRequest {
	return client.CreateAgentTaskRequest{
		OrganizationID: srv.OrganizationID(), AgentID: 47, Name: "Buy and hold", Prompt: "Buy SPY and hold it.",
		ProjectPreference: client.ProjectEachTaskDeployment,
	}
}

// post sends a body as a program of any language would, signed for the world.
func post(t testing.TB, srv *mocktest.World, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	_ = (&client.Signer{Credentials: srv.Credentials()}).Edit(t.Context(), req)
	resp, err := srv.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// makers are the two ways to get a server.
var makers = map[string]func(testing.TB, ...mockserver.Option) *mocktest.Server{"New": mocktest.New, "Start": mocktest.Start}

func TestServerIsReadyForUse(t *testing.T) {
	for name, makeServer := range makers {
		t.Run(name, func(t *testing.T) {
			srv := makeServer(t)
			c := srv.Client()
			if err := c.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			organization, err := c.OrganizationID()
			if err != nil || organization != mockserver.DefaultOrganizationID {
				t.Errorf("organization %q, %v", organization, err)
			}
			task, err := c.Tasks.Create(t.Context(), newTask(srv.World))
			if err != nil {
				t.Fatal(err)
			}
			deployment, err := c.Deployments.Create(t.Context(), task.ID)
			if err != nil {
				t.Fatal(err)
			}
			srv.Freeze()
			srv.Advance(10 * time.Second)
			if deployment, err = c.Deployments.Read(t.Context(), deployment.DeploymentID); err != nil || deployment.Status != client.StatusCompleted {
				t.Errorf("deployment %+v, %v", deployment, err)
			}
			var operations []string
			for _, e := range srv.Journal() {
				operations = append(operations, e.Operation)
			}
			if want := []string{"authenticate", "createTask", "createDeployment", "readDeployment"}; !slices.Equal(operations, want) {
				t.Errorf("journal has %v, want %v", operations, want)
			}
		})
	}
}

func TestViolationsFailTheTest(t *testing.T) {
	cases := map[string]struct {
		call func(t *testing.T, srv *mocktest.Server)
		want []string // in what is said; none when the test does not fail
	}{
		"contract": {
			func(t *testing.T, srv *mocktest.Server) { post(t, srv.World, "/agents/read", `{"agentID": 47}`) },
			[]string{
				`readAgent broke the contract (wrong-case at /agentID): member "agentID" has the wrong case; write "agentId".`,
				`srv.AllowViolations("wrong-case")`,
			},
		},
		"no such endpoint": {
			func(t *testing.T, srv *mocktest.Server) { post(t, srv.World, "/agents/raed", `{}`) },
			[]string{"POST /api/v2/agents/raed broke the contract (unknown-operation): Endpoint not found: /api/v2/agents/raed; did you mean"},
		},
		"credentials of a known user": {
			func(t *testing.T, srv *mocktest.Server) {
				_ = srv.Client(client.WithCredentials(client.Credentials{UserID: 1, Token: "another"})).Authenticate(t.Context())
			},
			[]string{"authenticate broke the contract (auth-hash): Hash doesn't match."},
		},
		"credentials of nobody": {
			func(t *testing.T, srv *mocktest.Server) {
				_ = srv.Client(client.WithCredentials(client.Credentials{UserID: 7, Token: "another"})).Authenticate(t.Context())
			},
			[]string{"authenticate broke the contract (auth-user): UserID not valid", "exchanges that could not be told to belong to any account:"},
		},
		"not found": {
			func(t *testing.T, srv *mocktest.Server) { _, _ = srv.Client().Tasks.Read(t.Context(), 5) }, nil,
		},
		"cannot be done now": {
			func(t *testing.T, srv *mocktest.Server) { _ = srv.Client().Agents.Delete(t.Context(), 47) }, nil,
		},
		"faults": {
			func(t *testing.T, srv *mocktest.Server) {
				srv.Inject(
					mockserver.Fault{Effect: mockserver.Respond(http.StatusUnauthorized, "")},
					mockserver.Fault{Effect: mockserver.Reject("Hash doesn't match.")},
				)
				for range 2 {
					if err := srv.Client().Authenticate(t.Context()); !errors.Is(err, client.ErrUnauthorized) {
						t.Errorf("got %v", err)
					}
				}
			}, nil,
		},
		"allowed": {
			func(t *testing.T, srv *mocktest.Server) {
				srv.AllowViolations(mockserver.UnknownField, mockserver.MissingField)
				post(t, srv.World, "/agents/read", `{"number": 47}`)
			}, nil,
		},
		"another one than allowed": {
			func(t *testing.T, srv *mocktest.Server) {
				srv.AllowViolations(mockserver.UnknownField)
				post(t, srv.World, "/agents/read", `{"number": 47}`)
			}, []string{"missing-field at /agentId"},
		},
		"all allowed": {
			func(t *testing.T, srv *mocktest.Server) {
				srv.AllowViolations()
				post(t, srv.World, "/agents/read", `{"number": 47}`)
			}, nil,
		},
		"expected": {
			func(t *testing.T, srv *mocktest.Server) {
				srv.ExpectViolations(mockserver.Type, mockserver.NotFound)
				post(t, srv.World, "/agents/read", `{"agentId": "47"}`)
				post(t, srv.World, "/agents/read", `{"agentId": 48}`)
			}, nil,
		},
		"expected in vain": {
			func(t *testing.T, srv *mocktest.Server) {
				post(t, srv.World, "/agents/read", `{"agentId": 48}`)
				srv.ExpectViolations(mockserver.NotFound)
			}, []string{"was expected to break the contract (not-found) and did not"},
		},
		"with a cleared journal": {
			func(t *testing.T, srv *mocktest.Server) {
				post(t, srv.World, "/agents/read", `{}`)
				srv.Reset()
			}, []string{"missing-field at /agentId"},
		},
	}
	for name, c := range cases {
		for way, makeServer := range makers {
			t.Run(name+"/"+way, func(t *testing.T) {
				s := newSpy(t)
				c.call(t, makeServer(s))
				s.end()
				if s.Failed() != (c.want != nil) {
					t.Errorf("failed: %v", s.Failed())
				}
				for _, want := range c.want {
					if !strings.Contains(s.text(), want) {
						t.Errorf("%q is not in:\n%s", want, s.text())
					}
				}
				if c.want == nil && s.text() != "" {
					t.Errorf("the test does not fail and says:\n%s", s.text())
				}
			})
		}
	}
}

func TestTableIsPrintedWhenTheTestFailed(t *testing.T) {
	s := newSpy(t)
	srv := mocktest.New(s, mockserver.WithSeed("table"))
	c := srv.Client(client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))
	task, err := c.Tasks.Create(t.Context(), newTask(srv.World))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deployments.Create(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	srv.Inject(
		mockserver.Fault{Operation: "createTask", Phase: mockserver.AfterEffect, Effect: mockserver.Drop()},
		mockserver.Fault{Operation: "listTasks", Effect: mockserver.Respond(http.StatusBadGateway, "<html>\n<b>Bad\tgateway</b>")},
	)
	_, _ = c.Tasks.Create(t.Context(), newTask(srv.World))
	_, _ = c.Tasks.List(t.Context(), srv.OrganizationID())
	_, _ = c.Tasks.List(t.Context(), srv.OrganizationID())
	_, _ = c.Tasks.Read(t.Context(), 5)
	post(t, srv.World, "/agents/read", `{"agentID": 47}`)
	s.end()
	golden(t, "table.txt", s.said[len(s.said)-1])
}

// golden holds a text against a file of testdata, or writes the file when UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("got:\n%s\nwant (UPDATE_GOLDEN=1 writes it):\n%s", got, want)
	}
}

func TestMisusedVerbsEndTheTest(t *testing.T) {
	for name, misuse := range map[string]func(srv *mocktest.Server){
		"time goes forward only": func(srv *mocktest.Server) { srv.Advance(-time.Second) },
		"use a number from 0":    func(srv *mocktest.Server) { srv.SetSpeed(-1) },
		"use 0 (no limit)":       func(srv *mocktest.Server) { srv.SetCapacity(-1) },
		"inject fault": func(srv *mocktest.Server) {
			srv.Inject(mockserver.Fault{Operation: "creatTask", Effect: mockserver.Drop()})
		},
		"has no body": func(srv *mocktest.Server) {
			srv.Inject(mockserver.Fault{Effect: mockserver.Respond(http.StatusNoContent, "{}")})
		},
		"negative user id": func(srv *mocktest.Server) {
			srv.Client(client.WithCredentials(client.Credentials{UserID: -1, Token: "x"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpy(t)
			srv := mocktest.New(s)
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), name) {
					t.Errorf("ended with %v", v)
				}
			}()
			misuse(srv)
		})
	}
	t.Run("bad option", func(t *testing.T) {
		defer func() {
			if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "make mock server") {
				t.Errorf("ended with %v", v)
			}
		}()
		mocktest.New(newSpy(t), mockserver.WithAuth("none"))
	})
}

func TestForkBeginsAsTheOriginalIs(t *testing.T) {
	srv := mocktest.New(t)
	c := srv.Client()
	task, err := c.Tasks.Create(t.Context(), newTask(srv.World))
	if err != nil {
		t.Fatal(err)
	}
	fork := srv.Fork(t)
	if fork.Credentials() == srv.Credentials() {
		t.Fatal("both have the same credentials")
	}
	if err := fork.Client().Tasks.Delete(t.Context(), task.ID); err != nil {
		t.Errorf("the fork does not have the task: %v", err)
	}
	if _, err := c.Tasks.Read(t.Context(), task.ID); err != nil {
		t.Errorf("the original has lost the task: %v", err)
	}
	fork.Reset()
	if _, err := fork.Client().Tasks.Read(t.Context(), task.ID); err != nil {
		t.Errorf("a fork that was reset has lost the task: %v", err)
	}
}

func TestLateCallersDoNoHarm(t *testing.T) {
	for name, makeServer := range makers {
		t.Run(name, func(t *testing.T) {
			s := newSpy(t)
			srv := makeServer(s)
			c := srv.Client(client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))
			if err := c.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.end()
			if err := c.Authenticate(t.Context()); !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("after the end: %v", err)
			}
			if s.text() != "" {
				t.Errorf("said: %s", s.text())
			}
		})
	}
}

func TestStartCutsOffWhatFaultsHoldUp(t *testing.T) {
	s := newSpy(t)
	arrived := make(chan struct{}, 100) // the base clock is asked when a request arrives
	srv := mocktest.Start(s, mockserver.WithClock(func() time.Time {
		arrived <- struct{}{}
		return time.Now()
	}))
	srv.Inject(mockserver.Fault{Effect: mockserver.Delay(time.Hour)})
	c := srv.Client(client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))
	for len(arrived) > 0 {
		<-arrived
	}
	failed := make(chan error)
	go func() { failed <- c.Authenticate(t.Context()) }()
	<-arrived
	s.end()
	if err := <-failed; !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestServerFollowsABubblesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mocktest.New(t)
		c := srv.Client()
		task, err := c.Tasks.Create(t.Context(), newTask(srv.World))
		if err != nil {
			t.Fatal(err)
		}
		deployment, err := c.Deployments.Create(t.Context(), task.ID)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var statuses []string
		for d, err := range c.Deployments.Watch(t.Context(), deployment.DeploymentID, client.WithPace(500*time.Millisecond, time.Second)) {
			if err != nil {
				t.Fatal(err)
			}
			statuses = append(statuses, d.Status)
		}
		if want := []string{client.StatusInQueue, client.StatusRunning, client.StatusCompleted}; !slices.Equal(statuses, want) {
			t.Errorf("statuses %v, want %v", statuses, want)
		}
		if took := time.Since(begun); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("took %s of the bubble's time, want about 3s", took)
		}
		if at := srv.Now(); !at.Equal(time.Now()) {
			t.Errorf("the world's time is %s and the bubble's %s", at, time.Now())
		}
	})
}
