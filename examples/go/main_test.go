package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// A timed writer notes when each piece of output came.
type timed struct {
	began time.Time
	lines []string
	at    []time.Duration
}

func (w *timed) Write(p []byte) (int, error) {
	w.lines = append(w.lines, strings.TrimSuffix(string(p), "\n"))
	w.at = append(w.at, time.Since(w.began))
	return len(p), nil
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// against runs test in a bubble of time, with a mock server wherever the example goes. disturb may keep a request from
// it; nil does not.
func against(t *testing.T, disturb func(operation string) error, test func(t *testing.T, world *mockserver.World)) {
	for name, value := range map[string]string{
		client.EnvUserID:         fmt.Sprint(mockserver.DefaultUserID),
		client.EnvAPIToken:       mockserver.DefaultToken,
		client.EnvOrganizationID: mockserver.DefaultOrganizationID,
		client.EnvBaseURL:        "http://mock.test/api/v2",
	} {
		t.Setenv(name, value)
	}
	original := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = original })
	synctest.Test(t, func(t *testing.T) {
		server, err := mockserver.New()
		if err != nil {
			t.Fatal(err)
		}
		service := server.Transport()
		http.DefaultTransport = transport(func(req *http.Request) (*http.Response, error) {
			if disturb != nil {
				operation := path.Base(path.Dir(req.URL.Path)) + "/" + path.Base(req.URL.Path)
				if err := disturb(operation); err != nil {
					return nil, err
				}
			}
			return service.RoundTrip(req)
		})
		test(t, server.Default())
	})
}

// leftovers says what the example made and did not remove.
func leftovers(t *testing.T) []string {
	t.Helper()
	c, err := client.New()
	if err != nil {
		t.Fatal(err)
	}
	agents, err := c.Agents.List(t.Context(), mockserver.DefaultOrganizationID)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := c.Tasks.List(t.Context(), mockserver.DefaultOrganizationID)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, agent := range agents {
		left = append(left, "agent "+agent.Name)
	}
	for _, task := range tasks {
		left = append(left, "task "+task.Name)
	}
	return left
}

func TestTheExampleShowsItsProgressAndLeavesNothing(t *testing.T) {
	against(t, nil, func(t *testing.T, world *mockserver.World) {
		out := &timed{began: time.Now()}
		if err := run(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`^Credentials accepted by http://mock\.test/api/v2$`,
			`^0 agents so far$`,
			`^Agent \d+ is called My Claude and runs on claude-opus-4-7$`,
			`^Task \d+ is ready$`,
			`^Deployment A-[0-9a-f]{32}: InQueue$`,
			`^Deployment A-[0-9a-f]{32}: Running$`,
			`^Deployment A-[0-9a-f]{32}: Completed$`,
			`^  Build a buy and hold strategy for SPY$`,
			`^  \[create_file output-available\]$`,
			`^Prompted; what comes now is the answer$`,
			`^  Use QQQ instead of SPY$`,
			`QQQ`,
		}
		var at []time.Duration
		next := 0
		for i, line := range out.lines {
			if next < len(want) && regexp.MustCompile(want[next]).MatchString(line) {
				next++
				at = append(at, out.at[i])
			}
		}
		if next < len(want) {
			t.Fatalf("there is no %s, in its place, in:\n%s", want[next], strings.Join(out.lines, "\n"))
		}
		// The states are shown as they come, not all at the end.
		if queued, running, completed := at[4], at[5], at[6]; queued != 0 || running <= queued || completed <= running {
			t.Errorf("queued at %s, running at %s, completed at %s", queued, running, completed)
		}
		if left := leftovers(t); len(left) > 0 {
			t.Errorf("left %q", left)
		}
		for _, entry := range world.Journal() {
			if len(entry.Violations) > 0 {
				t.Errorf("%s breaks the contract: %v", entry.Operation, entry.Violations)
			}
		}
	})
}

// However early the example ends, it removes what it has made.
func TestTheExampleCleansUpAfterAnInterrupt(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			against(t, nil, func(t *testing.T, _ *mockserver.World) {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				if err := run(ctx, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("ended with %v", err)
				}
				if left := leftovers(t); len(left) > 0 {
					t.Errorf("left %q", left)
				}
			})
		})
	}
}

func TestTheExampleCleansUpAfterAFailure(t *testing.T) {
	operations := []string{
		"v2/authenticate", "agents/list", "agents/create", "agents/update", "agents/read",
		"tasks/create", "tasks/update", "deployments/create", "deployments/read",
		"conversation/read", "deployments/prompt", "deployments/stop",
	}
	for _, broken := range operations {
		t.Run(broken, func(t *testing.T) {
			errBroken := errors.New("broken")
			mending := false
			against(t, func(operation string) error {
				if operation == broken && !mending {
					return errBroken
				}
				return nil
			}, func(t *testing.T, _ *mockserver.World) {
				if err := run(t.Context(), io.Discard); !errors.Is(err, errBroken) {
					t.Errorf("ended with %v", err)
				}
				mending = true
				if left := leftovers(t); len(left) > 0 {
					t.Errorf("left %q", left)
				}
			})
		})
	}
}
