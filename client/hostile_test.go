package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
)

const (
	goodTask  = `{"task":{"id":1001,"name":"Buy and hold SPY"},"success":true,"errors":[]}`
	errorPage = "<html><body><h1>Something went wrong</h1></body></html>"
)

// The three sorts of call, by what may be repeated.
var (
	readIt = func(ctx context.Context, c *client.Client) error {
		_, err := c.Tasks.Read(ctx, 1001)
		return err
	}
	updateIt = func(ctx context.Context, c *client.Client) error {
		return c.Tasks.Update(ctx, client.UpdateAgentTaskRequest{TaskID: 1001, Name: new("Renamed")})
	}
	createIt = func(ctx context.Context, c *client.Client) error {
		_, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
			OrganizationID: testOrganization, AgentID: 47, Name: "Buy and hold SPY", Prompt: "Buy SPY",
			ProjectPreference: client.ProjectForTask,
		})
		return err
	}
)

func dialFails(err error) beat {
	return beat{dial: func(context.Context) error { return err }}
}

var (
	refused    = dialFails(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
	noSuchHost = dialFails(&net.DNSError{Err: "no such host", Name: "quantconnect.test", IsNotFound: true})
	blackHole  = beat{dial: func(context.Context) error { time.Sleep(2 * time.Minute); return syscall.ETIMEDOUT }}
	hangUp     = beat{serve: func(net.Conn, *http.Request) {}}
	silence    = beat{serve: func(conn net.Conn, _ *http.Request) { _, _ = conn.Read(make([]byte, 1)) }}
)

// after waits before it does what b does.
func after(d time.Duration, b beat) beat {
	return beat{serve: func(conn net.Conn, req *http.Request) {
		time.Sleep(d)
		b.serve(conn, req)
	}}
}

// trickle sends a byte a second and never ends.
var trickle = beat{serve: func(conn net.Conn, _ *http.Request) {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
	for err == nil {
		time.Sleep(time.Second)
		_, err = io.WriteString(conn, " ")
	}
}}

// stallInBody sends half an answer and then nothing.
var stallInBody = beat{serve: func(conn net.Conn, req *http.Request) {
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"succ")
	silence.serve(conn, req)
}}

// flood sends spaces without end.
var flood = beat{serve: func(conn net.Conn, _ *http.Request) {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
	for err == nil {
		_, err = io.WriteString(conn, strings.Repeat(" ", 4096))
	}
}}

// byClock refuses signatures that are more than two hours off the server's clock, which is off the local one by ahead,
// and does then otherwise.
func byClock(ahead time.Duration, refusal string, then beat) beat {
	return beat{serve: func(conn net.Conn, req *http.Request) {
		now := time.Now().Add(ahead)
		date := "Date: " + now.UTC().Format(http.TimeFormat)
		signed, _ := time.ParseDuration(req.Header.Get("Timestamp") + "s")
		if off := now.Sub(time.Unix(int64(signed.Seconds()), 0)); off.Abs() > 2*time.Hour {
			if refusal == "" {
				answered(http.StatusUnauthorized, "", "", date).serve(conn, req)
				return
			}
			jsonAnswer(http.StatusOK, refusal, date).serve(conn, req)
			return
		}
		then.serve(conn, req)
	}}
}

// dated stamps an answer with a clock that is off by ahead.
func dated(ahead time.Duration, status int, body string) beat {
	return beat{serve: func(conn net.Conn, req *http.Request) {
		jsonAnswer(status, body, "Date: "+time.Now().Add(ahead).UTC().Format(http.TimeFormat)).serve(conn, req)
	}}
}

// retryAt asks to come back at a moment of the server's own clock, which is off by ahead.
func retryAt(ahead, in time.Duration) beat {
	return beat{serve: func(conn net.Conn, req *http.Request) {
		now := time.Now().Add(ahead).UTC()
		jsonAnswer(http.StatusTooManyRequests, "{}", "Date: "+now.Format(http.TimeFormat),
			"Retry-After: "+now.Add(in).Format(http.TimeFormat)).serve(conn, req)
	}}
}

// Each row is a way for a service, or for what stands before it, to misbehave. All of it happens on a wire in memory and
// in the bubble's time, so that minutes of waiting take none.
func TestHostileServer(t *testing.T) {
	sequence := func(beats ...beat) []beat { return beats }
	hash := `{"errors":["Hash doesn't match. UID: 1 Hash: 0 Timestamp: ''"],"success":false}`
	rows := []struct {
		name     string
		call     func(context.Context, *client.Client) error
		beats    []beat
		opts     []client.Option
		within   time.Duration // the context's deadline
		kind     error         // nil for success
		also     error         // what else errors.Is finds
		attempts int
		perhaps  bool     // MayHaveTakenEffect
		says     []string // in the error's text
		messages []string
		took     [2]time.Duration // at least, at most
	}{
		// The service says no.
		{
			name: "refusal", call: createIt,
			beats:    sequence(jsonAnswer(200, `{"errors":["name already used","and too long"],"success":false}`)),
			kind:     client.ErrRejected,
			attempts: 1, says: []string{"create task: rejected: name already used; and too long"},
			messages: []string{"name already used", "and too long"},
		},
		{
			name: "refusal without a word", call: createIt, beats: sequence(jsonAnswer(200, `{"success":false}`)),
			kind: client.ErrRejected, attempts: 1, says: []string{"did not say why"},
		},
		{
			name: "refusal in messages", call: readIt,
			beats: sequence(jsonAnswer(200, `{"success":false,"messages":["no such task"]}`)),
			kind:  client.ErrRejected, attempts: 1, messages: []string{"no such task"},
		},
		{
			name: "refusal in Message alone", call: readIt,
			beats: sequence(jsonAnswer(200, `{"Message":"Internal Error 21"}`)),
			kind:  client.ErrRejected, attempts: 1, messages: []string{"Internal Error 21"},
		},
		{
			name: "refusal with a string for errors", call: readIt,
			beats: sequence(jsonAnswer(200, `{"success":false,"errors":"no such task"}`)),
			kind:  client.ErrRejected, attempts: 1, messages: []string{"no such task"},
		},
		{
			name: "refusal with objects for errors", call: readIt,
			beats: sequence(jsonAnswer(200, `{"success":false,"errors":[{"code":7},null,""]}`)),
			kind:  client.ErrRejected, attempts: 1, messages: []string{`{"code":7}`},
		},
		{
			name: "refusal that brings a payload", call: readIt,
			beats: sequence(jsonAnswer(200, `{"success":false,"errors":["no"],"task":{"id":1001}}`)),
			kind:  client.ErrRejected, attempts: 1,
		},
		{
			name: "unknown endpoint", call: readIt,
			beats: sequence(jsonAnswer(404, `{"errors":["Endpoint not found"],"success":false}`)),
			kind:  client.ErrRejected, attempts: 1, messages: []string{"Endpoint not found"},
		},
		{
			name: "forbidden", call: createIt, beats: sequence(jsonAnswer(403, `{"errors":["not yours"],"success":false}`)),
			kind: client.ErrRejected, attempts: 1,
		},
		{
			name: "request too large for the proxy", call: createIt, beats: sequence(answered(413, "text/html", errorPage)),
			kind: client.ErrRejected, attempts: 1, says: []string{"413 Request Entity Too Large"},
		},

		// Credentials.
		{
			name: "401 without a body", call: readIt, beats: sequence(answered(401, "", "")),
			kind: client.ErrUnauthorized, attempts: 1, says: []string{"read task: unauthorized: 401 Unauthorized"},
		},
		{
			name: "401 with the envelope", call: createIt, beats: sequence(jsonAnswer(401, hash)),
			kind: client.ErrUnauthorized, attempts: 1, says: []string{"Hash doesn't match."},
		},
		{
			name: "401 with a page", call: readIt, beats: sequence(answered(401, "text/html", errorPage)),
			kind: client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "200 for a wrong hash", call: readIt, beats: sequence(jsonAnswer(200, hash)),
			kind: client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "200 for an unknown user", call: createIt,
			beats: sequence(jsonAnswer(200, `{"errors":["UserID not valid (None) REF #7"],"success":false}`)),
			kind:  client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "200 for a bad timestamp", call: readIt,
			beats: sequence(jsonAnswer(200, `{"errors":["Invalid timestamp, value received: 0"],"success":false}`)),
			kind:  client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "500 for a wrong hash", call: readIt, beats: sequence(jsonAnswer(500, hash)),
			kind: client.ErrUnauthorized, attempts: 1,
		},

		// Clocks.
		{
			name: "local clock three hours behind", call: readIt,
			beats: sequence(byClock(3*time.Hour, "", jsonAnswer(200, goodTask))), attempts: 2, took: [2]time.Duration{0, 0},
		},
		{
			name: "local clock years ahead, said with 200, to a creation", call: createIt,
			beats: sequence(byClock(-30000*time.Hour, hash, jsonAnswer(200, goodTask))), attempts: 2,
		},
		{
			name: "clock behind and a wrong token too", call: createIt,
			beats: sequence(byClock(3*time.Hour, hash, dated(3*time.Hour, 401, hash))),
			kind:  client.ErrUnauthorized, attempts: 2,
			says: []string{"the local clock is 3h0m0s behind the server's, and a signature corrected for that was refused too"},
		},
		{
			name: "a Date that jumps", call: readIt,
			beats: sequence(dated(5*time.Hour, 401, "{}"), dated(50*time.Hour, 401, "{}"), dated(500*time.Hour, 401, "{}")),
			kind:  client.ErrUnauthorized, attempts: 2, says: []string{"50h0m0s behind"},
		},
		{
			name: "a Date that is none", call: readIt, beats: sequence(jsonAnswer(401, "{}", "Date: yesterday")),
			kind: client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "clocks that agree", call: readIt, beats: sequence(dated(5*time.Second, 401, "{}")),
			kind: client.ErrUnauthorized, attempts: 1,
		},
		{
			name: "clock off, retries off", call: readIt, beats: sequence(dated(-3*time.Hour, 401, "{}")),
			opts: []client.Option{client.WithRetry(client.RetryPolicy{MaxAttempts: 1})},
			kind: client.ErrUnauthorized, attempts: 1, says: []string{"the local clock is 3h0m0s ahead of the server's"},
		},

		// Too many requests.
		{
			name: "throttled for ever", call: readIt, beats: sequence(jsonAnswer(429, `{"errors":["slow down"]}`)),
			kind: client.ErrThrottled, attempts: 4, says: []string{"slow down", "(4 attempts)"},
			took: [2]time.Duration{1750 * time.Millisecond, 3500 * time.Millisecond},
		},
		{
			name: "throttled creation, then let through", call: createIt,
			beats: sequence(answered(429, "text/plain", "slow down"), answered(429, "", ""), jsonAnswer(200, goodTask)), attempts: 3,
		},
		{
			name: "Retry-After in seconds", call: createIt,
			beats:    sequence(jsonAnswer(429, "{}", "Retry-After: 30"), jsonAnswer(200, goodTask)),
			attempts: 2, took: [2]time.Duration{30 * time.Second, 30 * time.Second},
		},
		{
			name: "Retry-After as a date by a clock that is a day off", call: readIt,
			beats:    sequence(retryAt(24*time.Hour, 20*time.Second), jsonAnswer(200, goodTask)),
			attempts: 2, took: [2]time.Duration{20 * time.Second, 20 * time.Second},
		},
		{
			name: "Retry-After as a date gone by", call: readIt,
			beats:    sequence(retryAt(0, -time.Hour), jsonAnswer(200, goodTask)),
			attempts: 2, took: [2]time.Duration{250 * time.Millisecond, 500 * time.Millisecond},
		},
		{
			name: "Retry-After of an hour", call: readIt, beats: sequence(jsonAnswer(429, "{}", "Retry-After: 3600")),
			kind: client.ErrThrottled, attempts: 1, says: []string{"retry after 1h0m0s"}, took: [2]time.Duration{0, 0},
		},
		{
			name: "Retry-After of ages", call: readIt,
			beats: sequence(jsonAnswer(429, "{}", "Retry-After: 99999999999999999999999")),
			kind:  client.ErrThrottled, attempts: 1,
		},
		{
			name: "Retry-After of nonsense", call: readIt,
			beats:    sequence(jsonAnswer(429, "{}", "Retry-After: -5"), jsonAnswer(503, "{}", "Retry-After: soon"), jsonAnswer(200, goodTask)),
			attempts: 3, took: [2]time.Duration{750 * time.Millisecond, 1500 * time.Millisecond},
		},
		{
			name: "the caller leaves while waiting", call: readIt, beats: sequence(jsonAnswer(429, "{}", "Retry-After: 30")),
			within: 10 * time.Second, kind: client.ErrThrottled, also: context.DeadlineExceeded, attempts: 1,
			says: []string{"gave up waiting"}, took: [2]time.Duration{10 * time.Second, 10 * time.Second},
		},

		// The server's own trouble.
		{
			name: "empty 500", call: readIt, beats: sequence(answered(500, "", "")),
			kind: client.ErrUnavailable, attempts: 4, says: []string{"500 Internal Server Error with an empty body", "bad credentials"},
		},
		{
			name: "empty 500 to a creation", call: createIt, beats: sequence(answered(500, "text/html", " \n")),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true, says: []string{"bad credentials", "may have taken effect"},
		},
		{
			name: "500 with words", call: updateIt, beats: sequence(jsonAnswer(500, `{"Message":"Internal Error 21"}`)),
			kind: client.ErrUnavailable, attempts: 4, perhaps: true, says: []string{"Internal Error 21"},
		},
		{
			name: "500 that claims success", call: createIt, beats: sequence(jsonAnswer(500, goodTask)),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "bad gateway, then well", call: readIt,
			beats: sequence(answered(502, "text/html", errorPage), jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "bad gateway to an update, then well", call: updateIt,
			beats: sequence(answered(502, "text/html", errorPage), jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "update lost, then refused", call: updateIt,
			beats: sequence(hangUp, jsonAnswer(200, `{"errors":["no such task"],"success":false}`)),
			kind:  client.ErrRejected, attempts: 2, perhaps: true,
		},
		{
			name: "service unavailable with Retry-After", call: updateIt,
			beats:    sequence(answered(503, "", "", "Retry-After: 7"), jsonAnswer(200, goodTask)),
			attempts: 2, took: [2]time.Duration{7 * time.Second, 7 * time.Second},
		},
		{
			name: "gateway timeout to a creation", call: createIt, beats: sequence(answered(504, "text/html", errorPage)),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "request timeout", call: readIt, beats: sequence(answered(408, "", ""), jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "a status nobody knows", call: readIt, beats: sequence(answered(599, "", "")),
			kind: client.ErrUnavailable, attempts: 4, says: []string{"status 599"},
		},

		// Something else than the API.
		{
			name: "page with status 200", call: createIt, beats: sequence(answered(200, "text/html; charset=utf-8", errorPage)),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true, says: []string{`content type "text/html; charset=utf-8"`},
		},
		{
			name: "page that is called JSON", call: readIt, beats: sequence(jsonAnswer(200, errorPage)),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"is not JSON"},
		},
		{
			name: "JSON that is called a page", call: readIt, beats: sequence(answered(200, "text/html", goodTask)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "content type nobody can read", call: readIt, beats: sequence(answered(200, "application json;;=", goodTask)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "JSON with a broken parameter", call: readIt, beats: sequence(answered(200, "application/json; charset", goodTask)),
			attempts: 1,
		},
		{name: "JSON without a content type", call: readIt, beats: sequence(answered(200, "", goodTask)), attempts: 1},
		{name: "JSON of another kind", call: readIt, beats: sequence(answered(201, "application/hal+json", goodTask)), attempts: 1},
		{
			name: "empty 200", call: readIt, beats: sequence(jsonAnswer(200, "")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"is empty"},
		},
		{
			name: "no content", call: createIt, beats: sequence(raw("HTTP/1.1 204 No Content\r\n\r\n")),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true,
		},
		{
			name: "JSON that breaks off", call: createIt, beats: sequence(jsonAnswer(200, goodTask[:30])),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true, says: []string{"breaks off"},
		},
		{
			name: "more after the JSON", call: readIt, beats: sequence(jsonAnswer(200, goodTask+"<!-- cached -->")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"is not valid JSON"},
		},
		{
			name: "a JSON list", call: readIt, beats: sequence(jsonAnswer(200, "[]")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"is not a JSON object"},
		},
		{
			name: "null", call: readIt, beats: sequence(jsonAnswer(200, "null")), kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "neither success nor failure", call: createIt, beats: sequence(jsonAnswer(200, `{"task":{"id":1001}}`)),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true, says: []string{"neither success nor failure"},
		},
		{
			name: "success null", call: readIt, beats: sequence(jsonAnswer(200, `{"success":null,"task":{"id":1}}`)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "success as a word", call: readIt, beats: sequence(jsonAnswer(200, `{"success":"true","task":{"id":1}}`)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "success without a task", call: createIt, beats: sequence(jsonAnswer(200, `{"success":true,"errors":[]}`)),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true, says: []string{"no task"},
		},
		{
			name: "success with a null task", call: readIt, beats: sequence(jsonAnswer(200, `{"success":true,"task":null}`)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "success with a task of the wrong type", call: createIt, beats: sequence(jsonAnswer(200, `{"success":true,"task":[1]}`)),
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true,
		},
		{
			name: "forbidden by a firewall's page", call: createIt, beats: sequence(answered(403, "text/html", errorPage)),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"403 Forbidden", "text/html"},
		},
		{
			name: "not found, without a word", call: readIt, beats: sequence(answered(404, "", "")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"404 Not Found with an empty body"},
		},
		{
			name: "bad request that claims success", call: createIt, beats: sequence(answered(400, "", `{"success":true}`)),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "moved", call: createIt, beats: sequence(answered(301, "text/html", errorPage, "Location: https://elsewhere.test/")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"301 Moved Permanently to https://elsewhere.test/"},
		},
		{
			name: "redirected with the body", call: createIt, beats: sequence(answered(307, "", "", "Location: /login")),
			kind: client.ErrUnexpectedBody, attempts: 1, says: []string{"/login"},
		},
		{
			name: "redirected nowhere", call: readIt, beats: sequence(answered(302, "", "")),
			kind: client.ErrUnexpectedBody, attempts: 1,
		},
		{
			name: "larger than the limit", call: createIt, beats: sequence(jsonAnswer(200, goodTask+strings.Repeat(" ", 1000))),
			opts: []client.Option{client.WithMaxResponseBytes(1000)},
			kind: client.ErrUnexpectedBody, attempts: 1, perhaps: true, says: []string{"larger than 1000 bytes"},
		},
		{
			name: "larger than the limit without end", call: readIt, beats: sequence(flood),
			opts: []client.Option{client.WithMaxResponseBytes(1 << 20)}, kind: client.ErrUnexpectedBody, attempts: 1,
		},

		// Time.
		{
			name: "slow", call: createIt, beats: sequence(after(59*time.Second, jsonAnswer(200, goodTask))),
			attempts: 1, took: [2]time.Duration{59 * time.Second, 59 * time.Second},
		},
		{
			name: "silent to a reading", call: readIt, beats: sequence(silence, silence, jsonAnswer(200, goodTask)),
			attempts: 3, took: [2]time.Duration{2 * time.Minute, 2*time.Minute + 1500*time.Millisecond},
		},
		{
			name: "silent to a creation", call: createIt, beats: sequence(silence),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true, says: []string{"no answer within 1m0s"},
			took: [2]time.Duration{time.Minute, time.Minute},
		},
		{
			name: "silent, and the caller has less time", call: createIt, beats: sequence(silence), within: 5 * time.Second,
			also: context.DeadlineExceeded, attempts: 1, perhaps: true, took: [2]time.Duration{5 * time.Second, 5 * time.Second},
		},
		{
			name: "stalls within the answer", call: readIt, beats: sequence(stallInBody, jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "trickles", call: createIt, beats: sequence(trickle), opts: []client.Option{client.WithTimeout(20 * time.Second)},
			kind: client.ErrUnavailable, attempts: 1, perhaps: true, took: [2]time.Duration{20 * time.Second, 20 * time.Second},
		},

		// Connections.
		{
			name: "refuses the connection", call: createIt, beats: sequence(refused),
			kind: client.ErrUnavailable, also: syscall.ECONNREFUSED, attempts: 4, says: []string{"connection refused"},
		},
		{
			name: "refuses the connection once", call: createIt, beats: sequence(refused, jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "has no address", call: createIt, beats: sequence(noSuchHost),
			kind: client.ErrUnavailable, attempts: 4, says: []string{"no such host"},
		},
		{
			name: "swallows the connection", call: createIt, beats: sequence(blackHole),
			kind: client.ErrUnavailable, attempts: 4, took: [2]time.Duration{4 * time.Minute, 5 * time.Minute},
		},
		{
			name: "swallows the connection, and the caller has less time", call: createIt, beats: sequence(blackHole),
			within: time.Second, also: context.DeadlineExceeded, attempts: 1,
		},
		{
			name: "hangs up on a reading", call: readIt, beats: sequence(hangUp),
			kind: client.ErrUnavailable, attempts: 4, says: []string{"EOF"},
		},
		{
			name: "hangs up on a creation", call: createIt, beats: sequence(hangUp),
			kind: client.ErrUnavailable, also: io.EOF, attempts: 1, perhaps: true,
		},
		{
			name: "hangs up on a creation after a refused connection", call: createIt, beats: sequence(refused, hangUp),
			kind: client.ErrUnavailable, attempts: 2, perhaps: true,
		},
		{
			name: "hangs up within the header", call: createIt, beats: sequence(raw("HTTP/1.1 200 OK\r\nContent-Ty")),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "hangs up within the body", call: createIt,
			beats: sequence(raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + goodTask)),
			kind:  client.ErrUnavailable, also: io.ErrUnexpectedEOF, attempts: 1, perhaps: true,
		},
		{
			name: "hangs up within the body of a reading", call: readIt,
			beats: sequence(raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), jsonAnswer(200, goodTask)), attempts: 2,
		},
		{
			name: "breaks the chunks", call: readIt,
			beats: sequence(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")),
			kind:  client.ErrUnavailable, attempts: 4,
		},
		{
			name: "calls its answer compressed", call: createIt,
			beats: sequence(jsonAnswer(200, goodTask, "Content-Encoding: gzip")),
			kind:  client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "does not speak HTTP", call: createIt, beats: sequence(raw("220 mail.test ESMTP\r\n")),
			kind: client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "contradicts itself on the length", call: createIt,
			beats: sequence(raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}")),
			kind:  client.ErrUnavailable, attempts: 1, perhaps: true,
		},
		{
			name: "sends a header without end", call: readIt,
			beats: sequence(answered(200, "application/json", goodTask, "X-Padding: "+strings.Repeat("x", 1<<17))),
			kind:  client.ErrUnavailable, attempts: 4,
		},
		{
			name: "says hello first", call: readIt,
			beats:    sequence(raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + goodTask)),
			attempts: 1,
		},
	}
	if len(rows) < 30 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(3 * time.Minute) // for the server to notice that it is alone
				server := newWire(row.beats...)
				c := newClient(t, server, row.opts...)
				ctx := t.Context()
				if row.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.within)
					defer cancel()
				}
				began := time.Now()
				err := row.call(ctx, c)
				took := time.Since(began)

				if got := server.connections(); got != row.attempts {
					t.Errorf("%d requests, want %d", got, row.attempts)
				}
				if row.took != [2]time.Duration{} && (took < row.took[0] || took > row.took[1]) {
					t.Errorf("took %v, want %v to %v", took, row.took[0], row.took[1])
				}
				requests := server.requests()
				for _, request := range requests {
					if request.body != requests[0].body || request.body == "" {
						t.Errorf("body %q, first sent as %q", request.body, requests[0].body)
					}
				}
				if row.kind == nil && row.also == nil {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				checkFailure(t, err, row.kind, row.also, row.attempts, row.perhaps)
				for _, text := range row.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%q does not say %q", err, text)
					}
				}
				failure, _ := errors.AsType[*client.Error](err)
				if row.messages != nil && strings.Join(row.messages, "\n") != strings.Join(failure.Messages, "\n") {
					t.Errorf("messages %q, want %q", failure.Messages, row.messages)
				}
			})
		})
	}
	t.Logf("%d misbehaviours", len(rows))
}

var kinds = []error{
	client.ErrNoCredentials, client.ErrUnauthorized, client.ErrRejected, client.ErrThrottled, client.ErrUnavailable,
	client.ErrUnexpectedBody,
}

// checkFailure wants one kind and no other.
func checkFailure(t *testing.T, err, kind, also error, attempts int, perhaps bool) {
	t.Helper()
	failure, ok := errors.AsType[*client.Error](err)
	if !ok {
		t.Fatalf("got %v, not a *client.Error", err)
	}
	for _, k := range kinds {
		if errors.Is(err, k) != errors.Is(k, kind) {
			t.Errorf("%q: is %v: %t", err, k, errors.Is(err, k))
		}
	}
	if also != nil && !errors.Is(err, also) {
		t.Errorf("%q is not %v", err, also)
	}
	if failure.Attempts != attempts {
		t.Errorf("%q: attempts %d, want %d", err, failure.Attempts, attempts)
	}
	if failure.MayHaveTakenEffect != perhaps {
		t.Errorf("%q: MayHaveTakenEffect is %t", err, failure.MayHaveTakenEffect)
	}
}

// What goes wrong with TLS stays wrong, and comes before the request.
func TestHostileTLS(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	config := certified.TLS
	certified.Close()

	for name, serve := range map[string]func(context.Context, net.Conn){
		"a certificate nobody signed": func(ctx context.Context, conn net.Conn) {
			_ = tls.Server(conn, config).HandshakeContext(ctx)
		},
		"plain HTTP on the TLS port": func(_ context.Context, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<12))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dials := 0
				rt := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
					dials++
					near, far := net.Pipe()
					go func() { defer func() { _ = far.Close() }(); serve(t.Context(), far) }()
					return near, nil
				}}
				c := newClient(t, rt, client.WithBaseURL("https://quantconnect.test/api/v2"))
				err := createIt(t.Context(), c)
				checkFailure(t, err, client.ErrUnavailable, nil, 1, false)
				if dials != 1 {
					t.Errorf("%d connections", dials)
				}
				_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
				_, record := errors.AsType[tls.RecordHeaderError](err)
				if !certificate && !record && !errors.Is(err, http.ErrSchemeMismatch) {
					t.Errorf("the cause of %q cannot be had", err)
				}
			})
		})
	}
}
