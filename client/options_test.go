package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
)

// atSecond is a clock that stands still at a Timestamp header's value.
func atSecond(t *testing.T, timestamp string) func() time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return func() time.Time { return time.Unix(seconds, 0) }
}

func TestOptionsRefuseWhatMakesNoSense(t *testing.T) {
	for name, opt := range map[string]client.Option{
		"nothing":             client.WithBaseURL(""),
		"a path":              client.WithBaseURL("/api/v2"),
		"another scheme":      client.WithBaseURL("ftp://quantconnect.test/api/v2"),
		"no host":             client.WithBaseURL("https:///api/v2"),
		"control characters":  client.WithBaseURL("https://quantconnect.test/\x7f"),
		"a password":          client.WithBaseURL("https://user:secret-secret@quantconnect.test/"),
		"a query":             client.WithBaseURL("https://quantconnect.test/?token=secret-secret"),
		"a fragment":          client.WithBaseURL("https://quantconnect.test/#secret-secret"),
		"no HTTP client":      client.WithHTTPClient(nil),
		"no editor":           client.WithRequestEditor(nil),
		"no application":      client.WithApplication("", "1"),
		"a broken name":       client.WithApplication("app\r\nX-Evil: 1", ""),
		"a broken user agent": client.WithUserAgent("a\nb"),
		"a negative timeout":  client.WithTimeout(-1),
		"a limit of nothing":  client.WithMaxResponseBytes(0),
		"negative attempts":   client.WithRetry(client.RetryPolicy{MaxAttempts: -1}),
		"a negative delay":    client.WithRetry(client.RetryPolicy{MinDelay: -1}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.New(opt)
			if err == nil || !strings.HasPrefix(err.Error(), "new client: ") || strings.Contains(err.Error(), "secret-secret") {
				t.Errorf("got %v", err)
			}
			c, err := newClient(t, always("{}")).Clone(opt)
			if c != nil || err == nil || !strings.HasPrefix(err.Error(), "clone client: ") {
				t.Errorf("clone: got %v, %v", c, err)
			}
		})
	}
	if _, err := client.New(nil, client.WithCredentials(testCredentials)); err != nil {
		t.Errorf("a nil option: %v", err)
	}
}

func TestBaseURLIsFoundInOrder(t *testing.T) {
	for _, row := range []struct{ option, environment, want string }{
		{"http://127.0.0.1:5612/api/v2", "http://127.0.0.1:1/", "http://127.0.0.1:5612/api/v2"},
		{"http://127.0.0.1:5612/api/v2//", "", "http://127.0.0.1:5612/api/v2"},
		{"https://quantconnect.test", "", "https://quantconnect.test"},
		{"https://quantconnect.test/a%2Fb/", "", "https://quantconnect.test/a%2Fb"},
		{"", " http://127.0.0.1:1/api/v2/ ", "http://127.0.0.1:1/api/v2"},
		{"", "", client.ProductionURL},
	} {
		t.Setenv(client.EnvBaseURL, row.environment)
		var opts []client.Option
		if row.option != "" {
			opts = append(opts, client.WithBaseURL(row.option))
		}
		var asked string
		c, err := client.New(append(opts, client.WithCredentials(testCredentials), client.WithHTTPClient(
			&http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
				asked = req.URL.String()
				return respond(req, 200, `{"success":true}`), nil
			})}))...)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.BaseURL(); got != row.want {
			t.Errorf("%+v: got %s", row, got)
		}
		if err := c.Authenticate(t.Context()); err != nil || asked != row.want+"/authenticate" {
			t.Errorf("asked %s, %v", asked, err)
		}
	}
	t.Setenv(client.EnvBaseURL, "127.0.0.1:5612")
	if _, err := client.New(); err == nil || !strings.HasPrefix(err.Error(), "new client: QUANTCONNECT_API_BASE_URL: base URL: ") {
		t.Errorf("got %v", err)
	}
}

func TestHTTPClientIsCopied(t *testing.T) {
	followed := false
	mine := &http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/there" {
			return respond(req, 200, `{"success":true}`), nil
		}
		answer := respond(req, http.StatusTemporaryRedirect, "")
		answer.Header.Set("Location", "/there")
		return answer, nil
	})}
	c, err := client.New(client.WithCredentials(testCredentials), client.WithHTTPClient(mine))
	if err != nil {
		t.Fatal(err)
	}
	if mine.CheckRedirect != nil {
		t.Error("the original was edited")
	}
	if err := c.Authenticate(t.Context()); !errors.Is(err, client.ErrUnexpectedBody) {
		t.Errorf("got %v", err)
	}
	mine.CheckRedirect = func(*http.Request, []*http.Request) error { followed = true; return nil }
	if err := c.Authenticate(t.Context()); !errors.Is(err, client.ErrUnexpectedBody) || followed {
		t.Errorf("the copy followed the original: %v", err)
	}
	if c, err = c.Clone(client.WithHTTPClient(mine)); err != nil {
		t.Fatal(err)
	}
	if err := c.Authenticate(t.Context()); err != nil || !followed {
		t.Errorf("a CheckRedirect of one's own is not asked: %v", err)
	}
}

func TestHeaders(t *testing.T) {
	var got http.Header
	record := transport(func(req *http.Request) (*http.Response, error) {
		got = req.Header
		return respond(req, 200, `{"success":true}`), nil
	})
	agent := func(opts ...client.Option) string {
		t.Helper()
		if err := newClient(t, record, opts...).Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return got.Get("User-Agent")
	}
	if ua := agent(); !strings.HasPrefix(ua, "qcagents-go/") {
		t.Errorf("default: %q", ua)
	}
	if ua := agent(client.WithUserAgent("other")); ua != "other" {
		t.Errorf("WithUserAgent: %q", ua)
	}
	if ua := agent(client.WithApplication("app", "1.2"), client.WithUserAgent("other")); ua != "app/1.2 other" {
		t.Errorf("WithApplication: %q", ua)
	}
	if ua := agent(client.WithApplication("app", ""), client.WithUserAgent("other")); ua != "app other" {
		t.Errorf("WithApplication without a version: %q", ua)
	}
}

func TestRequestEditors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newWire(refused, jsonAnswer(429, "{}"), jsonAnswer(200, goodTask))
		runs := 0
		c := newClient(t, server,
			client.WithRequestEditor(func(_ context.Context, req *http.Request) error {
				runs++
				req.Header.Add("X-Run", strconv.Itoa(runs))
				req.Header.Set("Authorization", "Bearer of another kind")
				return nil
			}),
			client.WithRequestEditor(func(_ context.Context, req *http.Request) error {
				req.Header.Set("X-Run", req.Header.Get("X-Run")+"!")
				return nil
			}))
		if err := createIt(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		requests := server.requests()
		last := requests[len(requests)-1].header
		if runs != 3 || last.Get("X-Run") != "3!" || len(last.Values("X-Run")) != 1 {
			t.Errorf("%d runs, header %q", runs, last.Values("X-Run"))
		}
		if !strings.HasPrefix(last.Get("Authorization"), "Basic ") {
			t.Error("the signature does not have the last word")
		}
	})

	editing := client.WithRequestEditor(func(context.Context, *http.Request) error { return errBroken })
	c := newClient(t, always(goodTask), editing)
	err := createIt(t.Context(), c)
	checkFailure(t, err, nil, errBroken, 0, false)
	if err.Error() != "create task: request editor: broken" {
		t.Error(err)
	}
}

// Every attempt carries its own time, and a correction of the clock serves the calls that follow, and the clones.
func TestAttemptsAreSignedAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newWire(byClock(3*time.Hour, "", jsonAnswer(200, goodTask)), jsonAnswer(503, "", "Retry-After: 40"),
			byClock(3*time.Hour, "", jsonAnswer(200, goodTask)))
		c := newClient(t, server)
		began := time.Now()
		if err := readIt(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		clone, err := c.Clone(client.WithTimeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := readIt(t.Context(), clone); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 3 * time.Hour, 3*time.Hour + 40*time.Second, 3*time.Hour + 40*time.Second}
		for i, request := range server.requests() {
			signed := atSecond(t, request.header.Get("Timestamp"))()
			if got := signed.Sub(began); got != want[i] {
				t.Errorf("request %d signed at %v, want %v", i, got, want[i])
			}
		}
	})
}

func TestRetryPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newWire(hangUp)
		c := newClient(t, server, client.WithRetry(client.RetryPolicy{
			MaxAttempts: 6, MinDelay: 10 * time.Second, MaxDelay: 20 * time.Second, MaxRetryAfter: time.Hour,
		}))
		began := time.Now()
		checkFailure(t, readIt(t.Context(), c), client.ErrUnavailable, nil, 6, false)
		if took := time.Since(began); took < 45*time.Second || took > 90*time.Second {
			t.Errorf("took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newWire(jsonAnswer(429, "{}", "Retry-After: 600"), jsonAnswer(200, goodTask)),
			client.WithRetry(client.RetryPolicy{MaxRetryAfter: time.Hour}))
		if err := readIt(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newWire(jsonAnswer(429, "{}", "Retry-After: 600")))
		err := readIt(t.Context(), c)
		failure, ok := errors.AsType[*client.Error](err)
		if !ok || failure.RetryAfter != 10*time.Minute || failure.StatusCode != http.StatusTooManyRequests {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newWire(after(24*time.Hour, jsonAnswer(200, goodTask))), client.WithTimeout(0))
		if err := createIt(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

func TestContextIsHeardBeforeSending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newClient(t, newWire(jsonAnswer(200, goodTask)))
	err := createIt(ctx, c)
	checkFailure(t, err, nil, context.Canceled, 0, false)
	if err.Error() != "create task: context canceled" {
		t.Error(err)
	}
}

func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c := newClient(t, newWire(jsonAnswer(429, `{"errors":["slow down"]}`), jsonAnswer(200, goodTask)), client.WithLogger(logger))
		if err := createIt(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			"level=DEBUG msg=\"quantconnect request\" operation=createTask attempt=1 status=429",
			"level=WARN msg=\"quantconnect request will be repeated\" operation=createTask attempt=1 in=",
			"slow down", "attempt=2 status=200",
		} {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s\ndoes not say %s", &out, text)
			}
		}
	})
}
