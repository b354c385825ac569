package mockserver_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/qcagents/qcagents/mockserver"
)

// What a consumer sees must not depend on whether there is a connection.
func TestBothTransportsGiveTheSameAnswer(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]struct {
		method, path, body string
		edit               edit
		fault              mockserver.Effect
	}{
		"success":                 {method: http.MethodPost, path: "/agents/read", body: `{"agentId":47}`},
		"chunked":                 {method: http.MethodPost, path: "/agents/read", body: `{"agentId":47}`, edit: chunked},
		"doubled slash":           {method: http.MethodPost, path: baseURL + "//agents//read", body: `{"agentId":47}`},
		"unauthorized":            {method: http.MethodPost, path: "/agents/read", body: `{"agentId":47}`, edit: with("Authorization")},
		"unknown path":            {method: http.MethodPost, path: "/agents/reed", body: `{"agentId":47}`},
		"method":                  {method: http.MethodGet, path: "/agents/read"},
		"head":                    {method: http.MethodHead, path: "/agents/read"},
		"options":                 {method: http.MethodOptions, path: "/agents/read"},
		"own method":              {method: "BREW", path: "/agents/read"},
		"too large":               {method: http.MethodPost, path: "/agents/read", body: strings.Repeat(" ", 2<<20)},
		"contract":                {method: http.MethodGet, path: "http://qcmock.test/openapi.yaml"},
		"head of the contract":    {method: http.MethodHead, path: "http://qcmock.test/openapi.yaml"},
		"status without a body":   {method: http.MethodPost, path: "/agents/read", fault: mockserver.Respond(http.StatusNoContent, "")},
		"not modified":            {method: http.MethodPost, path: "/agents/read", fault: mockserver.Respond(http.StatusNotModified, "")},
		"headers of any spelling": {method: http.MethodPost, path: "/agents/read", fault: mockserver.Respond(http.StatusOK, "{}", "x-ONE_two", "3")},
		"throttled":               {method: http.MethodPost, path: "/agents/read", fault: mockserver.Respond(http.StatusTooManyRequests, "", "Retry-After", "3")},
		"broken off":              {method: http.MethodPost, path: "/agents/read", fault: mockserver.Drop()},
		"cut in the middle":       {method: http.MethodPost, path: "/agents/read", body: `{"agentId":47}`, fault: mockserver.Garble(mockserver.Truncate)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMock(t)
			if send.fault.String() != "nothing" {
				if err := m.Default().Inject(mockserver.Fault{Effect: send.fault, Times: -1}); err != nil {
					t.Fatal(err)
				}
			}
			if send.edit == nil {
				send.edit = func(*http.Request) {}
			}
			tcp := httptest.NewServer(m)
			t.Cleanup(tcp.Close)
			inMemory := seen(m.Transport().RoundTrip(m.request(t, send.method, send.path, send.body, send.edit)))
			over := m.request(t, send.method, send.path, send.body, send.edit)
			over.URL.Host = strings.TrimPrefix(tcp.URL, "http://")
			overTCP := seen(tcp.Client().Transport.RoundTrip(over))
			if inMemory.failed != overTCP.failed {
				t.Fatalf("in memory failed: %t; over TCP: %t", inMemory.failed, overTCP.failed)
			}
			if inMemory.bodyFailed != overTCP.bodyFailed || inMemory.body != overTCP.body {
				t.Errorf("in memory the body is %.200q (broken: %t); over TCP it is %.200q (broken: %t)",
					inMemory.body, inMemory.bodyFailed, overTCP.body, overTCP.bodyFailed)
			}
			if inMemory.status != overTCP.status || inMemory.length != overTCP.length {
				t.Errorf("in memory: status %d, length %d; over TCP: status %d, length %d",
					inMemory.status, inMemory.length, overTCP.status, overTCP.length)
			}
			if !maps.EqualFunc(inMemory.header, overTCP.header, slices.Equal) {
				t.Errorf("headers in memory:\n%v\nover TCP:\n%v", inMemory.header, overTCP.header)
			}
		})
	}
}

// sight is what a consumer sees of an exchange.
type sight struct {
	failed     bool
	status     int
	header     http.Header
	length     int64
	body       string
	bodyFailed bool
}

func seen(resp *http.Response, err error) sight {
	if err != nil {
		return sight{failed: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return sight{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, body: string(body), bodyFailed: err != nil}
}

func TestInMemoryARequestWhoseContextHasEndedIsNotServed(t *testing.T) {
	m := newMock(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Transport().RoundTrip(m.request(t, http.MethodPost, "/agents/create", `{"organizationId":"`+organization+`","name":"n"}`).WithContext(ctx))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if entries := m.Default().Journal(); len(entries) != 0 {
		t.Errorf("the mock saw %+v", entries)
	}
}

// A RoundTripper must close the body and leave the request as it is.
func TestInMemoryTheRequestIsClosedAndLeftAsItIs(t *testing.T) {
	m := newMock(t)
	r := m.request(t, http.MethodPost, baseURL+"//agents//read", `{"agentId":47}`)
	body := &closing{Reader: r.Body}
	r.Body = body
	header, address := r.Header.Clone(), r.URL.String()
	m.send(t, r).mustSucceed(t)
	if !body.closed {
		t.Error("the body was not closed")
	}
	if r.URL.String() != address || r.Body != body || !maps.EqualFunc(r.Header, header, slices.Equal) {
		t.Errorf("the request was changed: %s %v", r.URL, r.Header)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}
