package client_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
)

const (
	testToken        = "mock-api-token"
	testOrganization = "0123456789abcdef0123456789abcdef"
	testDeployment   = "A-0123456789abcdef0123456789abcdef"
)

var testCredentials = client.Credentials{UserID: 1, Token: testToken}

// TestMain makes it impossible for a test to reach production, or to pick up the developer's own credentials: the
// environment is emptied, the home directory is elsewhere, and the default transport goes nowhere but to this machine.
func TestMain(m *testing.M) {
	for _, name := range []string{
		client.EnvUserID, client.EnvAPIToken, client.EnvOrganizationID, client.EnvBaseURL,
		"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
	} {
		_ = os.Unsetenv(name)
	}
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("HOME", home)
	_ = os.Setenv("USERPROFILE", home)
	http.DefaultTransport = loopbackOnly{http.DefaultTransport}
	code := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(code)
}

type loopbackOnly struct{ next http.RoundTripper }

func (l loopbackOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if ip := net.ParseIP(req.URL.Hostname()); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("a test tried to reach %s: give its client a transport of the test's own", req.URL.Host)
	}
	return l.next.RoundTrip(req)
}

func TestTestsCannotReachProduction(t *testing.T) {
	c, err := client.New(client.WithCredentials(testCredentials), client.WithRetry(client.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Authenticate(t.Context()); err == nil || !strings.Contains(err.Error(), "a test tried to reach") {
		t.Fatalf("got %v", err)
	}
}

// transport is a function as an http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newClient makes a client with the test credentials over rt.
func newClient(t testing.TB, rt http.RoundTripper, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(append([]client.Option{
		client.WithCredentials(testCredentials),
		client.WithBaseURL("http://quantconnect.test/api/v2"),
		client.WithHTTPClient(&http.Client{Transport: rt}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// respond makes a JSON answer.
func respond(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(body)),
		Request:    req,
	}
}

// always answers every request alike, with status 200.
func always(body string) transport {
	return func(req *http.Request) (*http.Response, error) { return respond(req, http.StatusOK, body), nil }
}

// inTurn answers with one body after the other, and with the last one from then on.
func inTurn(bodies ...string) transport {
	var mu sync.Mutex
	return func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		body := bodies[0]
		if len(bodies) > 1 {
			bodies = bodies[1:]
		}
		return respond(req, http.StatusOK, body), nil
	}
}

// A received is a request as the wire server saw it.
type received struct {
	at     time.Time
	method string
	path   string
	header http.Header
	body   string
}

// A beat is what the wire server does with one connection: refuse it, or take a request and misbehave.
type beat struct {
	dial  func(ctx context.Context) error
	serve func(conn net.Conn, req *http.Request)
}

// A wire is a server at the other end of net.Pipe, below HTTP: it writes whatever bytes a test wants it to, and
// everything happens inside the test's time bubble. Each connection takes the next beat, the last one from then on.
type wire struct {
	mu    sync.Mutex
	beats []beat
	dials int
	seen  []received
	*http.Transport
}

func newWire(beats ...beat) *wire {
	w := &wire{beats: beats}
	w.Transport = &http.Transport{DialContext: w.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 16}
	return w
}

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	b := w.beats[min(w.dials, len(w.beats)-1)]
	w.dials++
	w.mu.Unlock()
	if b.dial != nil {
		return nil, b.dial(ctx)
	}
	near, far := net.Pipe()
	go func() {
		defer func() { _ = far.Close() }()
		req, err := http.ReadRequest(bufio.NewReader(far))
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.seen = append(w.seen, received{time.Now(), req.Method, req.URL.Path, req.Header, string(body)})
		w.mu.Unlock()
		b.serve(far, req)
	}()
	return near, nil
}

// raw writes bytes and hangs up.
func raw(text string) beat {
	return beat{serve: func(conn net.Conn, _ *http.Request) { _, _ = io.WriteString(conn, text) }}
}

// answered writes a whole, well-formed answer, with header lines besides those it needs.
func answered(status int, contentType, body string, header ...string) beat {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", status, http.StatusText(status), len(body))
	if contentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", contentType)
	}
	for _, line := range header {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	return raw(b.String() + "\r\n" + body)
}

// jsonAnswer is answered for what this API should send.
func jsonAnswer(status int, body string, header ...string) beat {
	return answered(status, "application/json", body, header...)
}

// requests gives what has arrived so far.
func (w *wire) requests() []received {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}
