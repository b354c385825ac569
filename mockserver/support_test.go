package mockserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// baseURL is where the mock answers in memory; the host plays no part.
const baseURL = "http://qcmock.test/api/v2"

const (
	organization = mockserver.DefaultOrganizationID
	// strangers is an organization that the default account does not belong to.
	strangers = "fedcba9876543210fedcba9876543210"
)

var credentials = client.Credentials{UserID: mockserver.DefaultUserID, Token: mockserver.DefaultToken}

// testClock is a base clock that stands still until the test moves it. It begins at the machine's time, because the client
// signs by that.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// mock is a server whose time only the test moves.
type mock struct {
	*mockserver.Server
	clock *testClock
}

func newMock(t testing.TB, opts ...mockserver.Option) *mock {
	t.Helper()
	clock := &testClock{now: time.Now().Truncate(time.Second)}
	server, err := mockserver.New(append([]mockserver.Option{mockserver.WithClock(clock.Now)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &mock{Server: server, clock: clock}
}

// client makes a client that talks to the mock through a transport, and tries everything once.
func (m *mock) client(t testing.TB, by client.Credentials, rt http.RoundTripper) *client.Client {
	t.Helper()
	c, err := client.New(
		client.WithCredentials(by),
		client.WithBaseURL(baseURL),
		client.WithHTTPClient(&http.Client{Transport: rt}),
		client.WithRetry(client.RetryPolicy{MaxAttempts: 1}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// advance moves the time of a world, so that deployments go on while signatures stay fresh.
func advance(t testing.TB, w *mockserver.World, d time.Duration) {
	t.Helper()
	if _, err := w.Advance(d); err != nil {
		t.Fatal(err)
	}
}

// edit changes a request before it is sent.
type edit func(*http.Request)

// signedAt signs as a user at a time. Without it a request is signed as the default user by the mock's clock.
func signedAt(by client.Credentials, at time.Time) edit {
	return func(r *http.Request) {
		signer := client.Signer{Credentials: by, Now: func() time.Time { return at }}
		_ = signer.Edit(r.Context(), r)
	}
}

// with sets a header, or takes it away when there is no value.
func with(name string, values ...string) edit {
	return func(r *http.Request) {
		r.Header.Del(name)
		if len(values) > 0 {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// chunked sends the body without saying how long it is.
func chunked(r *http.Request) {
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(io.MultiReader(r.Body)), -1, nil
}

// request makes a signed JSON request. A path that begins with a slash is below the base.
func (m *mock) request(t testing.TB, method, path, body string, edits ...edit) *http.Request {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = baseURL + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	signedAt(credentials, m.clock.Now())(r)
	r.Header.Set("Content-Type", "application/json")
	for _, e := range edits {
		e(r)
	}
	return r
}

// reply is an answer, read to its end, and what its envelope says.
type reply struct {
	status int
	header http.Header
	body   []byte

	Success *bool
	Errors  []string
}

// send sends a request in memory.
func (m *mock) send(t testing.TB, r *http.Request) reply {
	t.Helper()
	return readReply(t)(m.Transport().RoundTrip(r))
}

// post sends a signed JSON request to a path below the base.
func (m *mock) post(t testing.TB, path, body string, edits ...edit) reply {
	t.Helper()
	return m.send(t, m.request(t, http.MethodPost, path, body, edits...))
}

func readReply(t testing.TB) func(*http.Response, error) reply {
	return func(resp *http.Response, err error) reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		r := reply{status: resp.StatusCode, header: resp.Header, body: body}
		_ = json.Unmarshal(body, &r)
		return r
	}
}

// mustSucceed fails the test unless the answer says success.
func (r reply) mustSucceed(t testing.TB) reply {
	t.Helper()
	if r.status != http.StatusOK || r.Success == nil || !*r.Success || len(r.Errors) != 0 || r.header.Get("Qcmock-Violation") != "" {
		t.Fatalf("want success, got %s", r)
	}
	return r
}

// mustRefuse fails the test unless the answer is a refusal in the envelope: with this status, its class in the header, and
// sentences.
func (r reply) mustRefuse(t testing.TB, status int, class mockserver.Class) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("status is %d, want %d: %s", r.status, status, r)
	}
	if got := r.header.Get("Qcmock-Violation"); got != string(class) {
		t.Errorf("Qcmock-Violation is %q, want %q: %s", got, class, r)
	}
	r.mustWearEnvelope(t)
	return r
}

// mustWearEnvelope fails the test unless the answer is JSON with success false and sentences.
func (r reply) mustWearEnvelope(t testing.TB) {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, want application/json", got)
	}
	if r.Success == nil || *r.Success || len(r.Errors) == 0 {
		t.Errorf("want an envelope with success false and errors, got %s", r)
	}
	for _, sentence := range r.Errors {
		if len(strings.Fields(sentence)) < 3 || !strings.HasSuffix(sentence, ".") && !strings.HasSuffix(sentence, "?") {
			t.Errorf("%q is not a sentence", sentence)
		}
	}
}

// mustSay fails the test unless the errors hold each of the words.
func (r reply) mustSay(t testing.TB, words ...string) reply {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(strings.Join(r.Errors, "\n"), word) {
			t.Errorf("the errors do not say %q: %s", word, r)
		}
	}
	return r
}

// String is the answer in short.
func (r reply) String() string {
	const enough = 600
	body := bytes.TrimSpace(r.body)
	if len(body) > enough {
		body = append(slices.Clip(body[:enough]), "…"...)
	}
	return http.StatusText(r.status) + " " + string(body)
}

// exchange is a request and its answer as they were on the wire.
type exchange struct {
	method, path  string
	header        http.Header
	body          []byte
	status        int
	answerHeader  http.Header
	answer        []byte
	answerMissing error
}

// recorder keeps every exchange that passes through it.
type recorder struct {
	next http.RoundTripper

	mu        sync.Mutex
	exchanges []exchange
}

func (rec *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	ex := exchange{method: r.Method, path: r.URL.Path, header: r.Header.Clone()}
	if r.Body != nil {
		ex.body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(ex.body))
	}
	resp, err := rec.next.RoundTrip(r)
	if err == nil {
		ex.status, ex.answerHeader = resp.StatusCode, resp.Header.Clone()
		ex.answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(ex.answer))
	}
	ex.answerMissing = err
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.exchanges = append(rec.exchanges, ex)
	return resp, err
}

// take gives the exchanges so far and forgets them.
func (rec *recorder) take() []exchange {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	taken := rec.exchanges
	rec.exchanges = nil
	return taken
}
