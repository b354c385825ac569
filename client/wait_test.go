package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
)

// A run is a deployment that changes with the bubble's time. It answers readings of the deployment and of its
// conversation; what it has no answer for fails the way the last entry of its script says.
type run struct {
	began    time.Time
	statuses []span
	said     []span
	reads    []time.Duration // when the deployment was read
	callable string          // asked for last
}

// A span is what holds up to a moment. A text that is no status begins with an HTTP status code.
type span struct {
	until time.Duration
	text  string
}

func (r *run) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	since := time.Since(r.began)
	at := func(spans []span) string {
		for _, s := range spans {
			if since < s.until || s.until == 0 {
				return s.text
			}
		}
		return ""
	}
	if path.Base(path.Dir(req.URL.Path)) == "conversation" {
		body := make([]byte, 1000)
		n, _ := req.Body.Read(body)
		r.callable = string(body[:n])
		text := at(r.said)
		if strings.HasPrefix(text, "503") {
			return respond(req, 503, ""), nil
		}
		return respond(req, 200, `{"success":true,"conversation":`+text+`}`), nil
	}
	r.reads = append(r.reads, since)
	status := at(r.statuses)
	switch {
	case strings.HasPrefix(status, "503"), strings.HasPrefix(status, "429"):
		return respond(req, 503, ""), nil
	case strings.HasPrefix(status, "200 "):
		return respond(req, 200, strings.TrimPrefix(status, "200 ")), nil
	}
	return respond(req, 200, fmt.Sprintf(`{"success":true,"deployment":{"deploymentId":%q,"status":%q}}`, testDeployment, status)), nil
}

// once turns the client's own retries off, to count readings.
var once = client.WithRetry(client.RetryPolicy{MaxAttempts: 1})

const rejection = `200 {"success":false,"errors":["no such deployment"]}`

func TestWait(t *testing.T) {
	minute := client.WithPace(time.Minute, time.Minute)
	for _, row := range []struct {
		name     string
		statuses []span
		opts     []client.WaitOption
		within   time.Duration
		final    string
		kind     error
		says     string
		last     string
		reads    int
	}{
		{name: "done at once", statuses: []span{{0, "Completed"}}, final: "Completed", reads: 1},
		{
			name:     "queue, run, end",
			statuses: []span{{time.Second, "InQueue"}, {5 * time.Minute, "Running"}, {0, "Completed"}},
			opts:     []client.WaitOption{minute}, final: "Completed", reads: 6,
		},
		{
			name: "another case", statuses: []span{{time.Minute, "RUNNING"}, {0, "runtimeerror"}},
			opts: []client.WaitOption{minute}, final: "runtimeerror", reads: 2,
		},
		{
			name: "statuses nobody knows", statuses: []span{{time.Minute, ""}, {2 * time.Minute, "Pondering"}, {0, "Failed"}},
			opts: []client.WaitOption{minute}, final: "Failed", reads: 3,
		},
		{
			name: "the context ends while it runs", statuses: []span{{0, "Running"}}, opts: []client.WaitOption{minute},
			within: 150 * time.Second, kind: context.DeadlineExceeded,
			says: "wait for deployment " + testDeployment + ": still Running after 2m30s: context deadline exceeded",
			last: "Running", reads: 3,
		},
		{
			name: "deleted", statuses: []span{{time.Minute, "Running"}, {0, rejection}}, opts: []client.WaitOption{minute},
			kind: client.ErrGone,
			says: "wait for deployment " + testDeployment + ": gone, last seen Running: read deployment: rejected: no such deployment",
			last: "Running", reads: 2,
		},
		{
			name: "deleted before it had a status", statuses: []span{{time.Minute, ""}, {0, rejection}},
			opts: []client.WaitOption{minute}, kind: client.ErrGone, says: "last seen without a status", reads: 2,
		},
		{
			name: "never there", statuses: []span{{0, rejection}}, kind: client.ErrRejected,
			says: "wait for deployment " + testDeployment + ": read deployment: rejected: no such deployment", reads: 1,
		},
		{name: "never available", statuses: []span{{0, "503"}}, kind: client.ErrUnavailable, reads: 1},
		{
			name: "unavailable for a while", statuses: []span{{time.Minute, "Running"}, {6 * time.Minute, "503"}, {0, "Stopped"}},
			opts: []client.WaitOption{minute}, final: "Stopped", reads: 7,
		},
		{
			name: "unavailable, back, unavailable, back",
			statuses: []span{
				{time.Minute, "Running"}, {6 * time.Minute, "503"}, {7 * time.Minute, "Running"}, {12 * time.Minute, "503"}, {0, "Stopped"},
			},
			opts: []client.WaitOption{minute}, final: "Stopped", reads: 13,
		},
		{
			name: "unavailable for good", statuses: []span{{time.Minute, "Running"}, {0, "503"}}, opts: []client.WaitOption{minute},
			kind: client.ErrUnavailable, says: "still Running after 6m0s", last: "Running", reads: 7,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &run{statuses: row.statuses}
				c := newClient(t, service, once)
				ctx := t.Context()
				if row.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.within)
					defer cancel()
				}
				got, err := c.Deployments.Wait(ctx, testDeployment, row.opts...)
				if len(service.reads) != row.reads {
					t.Errorf("%d readings, want %d", len(service.reads), row.reads)
				}
				if row.kind == nil {
					if err != nil || got.Status != row.final {
						t.Fatalf("got %+v, %v", got, err)
					}
					return
				}
				failure, ok := errors.AsType[*client.WaitError](err)
				if !ok || got != nil || !errors.Is(err, row.kind) || !strings.Contains(err.Error(), row.says) {
					t.Fatalf("got %v, %v", got, err)
				}
				if failure.DeploymentID != testDeployment || (failure.Last == nil) != (row.last == "" && !errors.Is(row.kind, client.ErrGone)) {
					t.Errorf("got %+v", failure)
				}
				if failure.Last != nil && failure.Last.Status != row.last {
					t.Errorf("last seen %s", failure.Last.Status)
				}
				if errors.Is(row.kind, client.ErrGone) && !errors.Is(err, client.ErrRejected) {
					t.Error("the refusal is lost")
				}
			})
		})
	}
}

// The pace slows down, from a second to ten.
func TestPace(t *testing.T) {
	for _, row := range []struct {
		opts []client.WaitOption
		want string
	}{
		{nil, "[0s 1s 2.5s 4.75s 8.125s 13.1875s 20.78125s 30.78125s 40.78125s]"},
		{[]client.WaitOption{client.WithPace(20*time.Second, time.Second)}, "[0s 20s 40s]"},
		{[]client.WaitOption{client.WithPace(-1, 16*time.Second)}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			service := &run{statuses: []span{{40 * time.Second, "Running"}, {0, "Completed"}}}
			if _, err := newClient(t, service).Deployments.Wait(t.Context(), testDeployment, row.opts...); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(service.reads); row.want != "" && got != row.want {
				t.Errorf("read at %s, want %s", got, row.want)
			}
			if len(service.reads) > 50 {
				t.Errorf("%d readings", len(service.reads))
			}
		})
	}
}

func TestWatchGivesEachNewState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &run{statuses: []span{
			{3 * time.Second, "InQueue"}, {20 * time.Second, "Running"}, {40 * time.Second, "running"}, {0, "Completed"},
		}}
		watch := newClient(t, service).Deployments.Watch(t.Context(), testDeployment)
		var seen []string
		for deployment, err := range watch {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, deployment.Status)
		}
		if !slices.Equal(seen, []string{"InQueue", "Running", "Completed"}) {
			t.Errorf("saw %q", seen)
		}
		// An iterator can be used again, and be left early.
		for deployment, err := range watch {
			if err != nil || deployment.Status != "Completed" {
				t.Errorf("saw %+v, %v", deployment, err)
			}
			break
		}
	})
}

func message(id string, parts ...string) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return `{` + id + `"role":"assistant","parts":[` + strings.Join(parts, ",") + `]}`
}

func conversation(messages ...string) string {
	return `{"messages":[` + strings.Join(messages, ",") + `]}`
}

func text(s string) string { return `{"type":"text","text":"` + s + `"}` }

func TestFollow(t *testing.T) {
	call := `{"type":"dynamic-tool","toolName":"create_file","state":"input-available"}`
	answered := `{"type":"dynamic-tool","toolName":"create_file","state":"output-available","output":1}`
	for _, row := range []struct {
		name     string
		statuses []span
		said     []span
		opts     []client.WaitOption
		want     []string
		fails    string
		asks     string
	}{
		{
			name:     "parts appear and change",
			statuses: []span{{2 * time.Minute, "Running"}, {0, "Completed"}},
			said: []span{
				{time.Minute, "null"},
				{90 * time.Second, conversation(message("a", text("one"), call))},
				{0, conversation(message("a", text("one"), answered), message("b", text("two")))},
			},
			want: []string{"a0.0 text one", "a0.1 input-available", "a0.1 output-available again", "b1.0 text two"},
		},
		{
			name:     "what comes between the last look and the end",
			statuses: []span{{time.Second, "Running"}, {0, "Stopped"}},
			said:     []span{{time.Second, conversation()}, {0, conversation(message("", text("last")))}},
			want:     []string{"0.0 text last"},
		},
		{
			name:     "earlier messages fall away",
			statuses: []span{{time.Minute, "Running"}, {0, "Completed"}},
			said: []span{
				{time.Minute, conversation(message("a", text("one")), message("b", text("two")))},
				{0, conversation(message("b", text("two")), message("c", text("three")))},
			},
			want: []string{"a0.0 text one", "b1.0 text two", "c1.0 text three"},
		},
		{
			name:     "messages without ids, or with the same",
			statuses: []span{{time.Minute, "Running"}, {0, "Completed"}},
			said: []span{{0, conversation(message("", text("one")), message("", text("two")), message("x", text("three")),
				message("x", text("four")))}},
			want: []string{"0.0 text one", "1.0 text two", "x2.0 text three", "x3.0 text four"},
		},
		{
			name:     "only what comes after",
			statuses: []span{{0, "Completed"}},
			said:     []span{{0, conversation(message("a", text("one"), text("two")))}},
			opts: []client.WaitOption{client.After(nil), client.After(&client.Conversation{
				Messages: []client.Message{{ID: new("a"), Parts: []client.Part{{Type: "text", Text: new("one")}}}},
			})},
			want: []string{"a0.1 text two"},
		},
		{
			name: "of a sub-agent", statuses: []span{{0, "Completed"}}, said: []span{{0, conversation()}},
			opts: []client.WaitOption{client.OfCallable("call-1")},
			asks: `{"callableId":"call-1","deploymentId":"` + testDeployment + `"}`,
		},
		{
			name: "the deployment is gone", statuses: []span{{time.Second, "Running"}, {0, rejection}},
			said: []span{{0, conversation(message("", text("one")))}}, want: []string{"0.0 text one"}, fails: "gone, last seen Running",
		},
		{
			name: "the transcript is unavailable for a while", statuses: []span{{0, "Completed"}},
			said: []span{{5 * time.Second, "503"}, {0, conversation(message("", text("one")))}}, want: []string{"0.0 text one"},
		},
		{
			name: "the transcript is unavailable for a while, twice", statuses: []span{{50 * time.Second, "Running"}, {0, "Completed"}},
			said: []span{
				{5 * time.Second, "503"}, {10 * time.Second, conversation()}, {45 * time.Second, "503"},
				{0, conversation(message("", text("one")))},
			},
			want: []string{"0.0 text one"},
		},
		{
			name: "the transcript is unavailable for good", statuses: []span{{0, "Running"}}, said: []span{{0, "503"}},
			fails: "still Running after 13.188s: read conversation: unavailable",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &run{statuses: row.statuses, said: row.said}
				var got []string
				var failure error
				for part, err := range newClient(t, service, once).Deployments.Follow(t.Context(), testDeployment, row.opts...) {
					if failure != nil {
						t.Fatal("goes on after an error")
					}
					if err != nil {
						failure = err
						continue
					}
					line := fmt.Sprintf("%s%d.%d ", part.MessageID, part.Message, part.Index)
					switch view := part.View().(type) {
					case client.TextPart:
						line += "text " + view.Text
					case client.ToolCall:
						line += view.State
					}
					if part.Revised {
						line += " again"
					}
					if part.Role != client.RoleAssistant {
						t.Errorf("said by %q", part.Role)
					}
					got = append(got, line)
				}
				if !slices.Equal(got, row.want) {
					t.Errorf("followed %q, want %q", got, row.want)
				}
				if (failure == nil) != (row.fails == "") || failure != nil && !strings.Contains(failure.Error(), row.fails) {
					t.Errorf("failed with %v, want %q", failure, row.fails)
				}
				if row.asks != "" && service.callable != row.asks {
					t.Errorf("asked %s", service.callable)
				}
			})
		})
	}
	t.Run("left early", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			service := &run{
				statuses: []span{{0, "Running"}}, said: []span{{0, conversation(message("", text("one"), text("two")))}},
			}
			for part, err := range newClient(t, service).Deployments.Follow(t.Context(), testDeployment) {
				if err != nil || part.Index != 0 {
					t.Errorf("got %+v, %v", part, err)
				}
				break
			}
		})
	})
	t.Run("left by the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			service := &run{statuses: []span{{0, "Running"}}, said: []span{{0, conversation()}}}
			for _, err := range newClient(t, service).Deployments.Follow(ctx, testDeployment) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			}
		})
	})
}

func TestFinalStatuses(t *testing.T) {
	for status, want := range map[string][2]bool{
		client.StatusInQueue: {false, false}, client.StatusRunning: {false, false}, client.StatusCompleted: {true, false},
		client.StatusStopped: {true, false}, client.StatusFailed: {true, true}, client.StatusRuntimeError: {true, true},
		"DeployError": {true, true}, "Deleted": {true, false}, "COMPLETED": {true, false}, "failed": {true, true},
		"": {false, false}, "Pondering": {false, false}, "Initializing": {false, false},
	} {
		if got := [2]bool{client.IsFinal(status), client.IsFailure(status)}; got != want {
			t.Errorf("%q: final, failure %v, want %v", status, got, want)
		}
	}
}
