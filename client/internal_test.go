package client

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/qcagents/qcagents/gen"
)

func TestOperationsAreTheContracts(t *testing.T) {
	data, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Paths map[string]map[string]struct {
			OperationID string `yaml:"operationId"`
		}
	}
	if err := yaml.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, op := range operations {
		known[op.id] = true
		if got := spec.Paths[op.path][strings.ToLower(op.method)].OperationID; got != op.id {
			t.Errorf("openapi.yaml calls %s %s %q, this package %q", op.method, op.path, got, op.id)
		}
		if got := operationOf(op.method, "/api/v2"+op.path, "/api/v2/"); got != op {
			t.Errorf("the request of %s is taken for %+v", op.id, got)
		}
	}
	for path, methods := range spec.Paths {
		for method, op := range methods {
			if !known[op.OperationID] {
				t.Errorf("%s %s, %q, is unknown to this package", method, path, op.OperationID)
			}
		}
	}
}

// What may be repeated is a decision about each operation; this is its second writing.
func TestEffects(t *testing.T) {
	for _, op := range operations {
		var want effect
		switch {
		case strings.HasPrefix(op.id, "create"), strings.HasPrefix(op.id, "prompt"), strings.HasPrefix(op.id, "stop"),
			strings.HasPrefix(op.id, "delete"):
			want = acts
		case strings.HasPrefix(op.id, "update"):
			want = sets
		}
		if op.effect != want {
			t.Errorf("%s has effect %d, want %d", op.id, op.effect, want)
		}
	}
}

func TestBackoffGrowsToItsCapAndNeverBeyond(t *testing.T) {
	policy := RetryPolicy{MinDelay: 100 * time.Millisecond, MaxDelay: time.Second}
	for i, milliseconds := range []int{100, 200, 400, 800, 1000, 1000} {
		want := time.Duration(milliseconds) * time.Millisecond
		least, most := want, time.Duration(0)
		for range 200 {
			got := policy.backoff(i + 1)
			if got < want/2 || got > want {
				t.Fatalf("after attempt %d: %v, want %v to %v", i+1, got, want/2, want)
			}
			least, most = min(least, got), max(most, got)
		}
		if least == most {
			t.Errorf("after attempt %d: no jitter", i+1)
		}
	}
	if got := policy.backoff(1000); got > time.Second {
		t.Errorf("after attempt 1000: %v", got)
	}
	small := RetryPolicy{MinDelay: time.Second, MaxDelay: time.Millisecond}
	if got := small.backoff(1); got > time.Millisecond {
		t.Errorf("the cap is under the first delay: %v", got)
	}
}

func TestModuleVersion(t *testing.T) {
	const module = "github.com/qcagents/qcagents"
	for _, row := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "devel"},
		{&debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"}}, "devel"},
		{&debug.BuildInfo{Main: debug.Module{Path: module, Version: "v1.2.3"}}, "v1.2.3"},
		{&debug.BuildInfo{Main: debug.Module{Path: "other"}, Deps: []*debug.Module{{Path: module, Version: "v0.4.0"}}}, "v0.4.0"},
	} {
		if got := moduleVersion(row.info); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

func TestRetryAfterReadsSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{" 7 ", "", 7 * time.Second},
		{"1.5", "", 0},
		{"-1", "", 0},
		{"+1", "", 0},
		{"Tue, 03 Nov 2026 14:00:09 GMT", "", 9 * time.Second},
		{"Tue, 03 Nov 2026 13:59:09 GMT", "", 0},
		{"Tuesday, 03-Nov-26 14:00:09 GMT", "", 9 * time.Second},
		{"Tue, 03 Nov 2026 18:00:09 GMT", "Tue, 03 Nov 2026 18:00:00 GMT", 9 * time.Second},
		{"Tue, 03 Nov 2026 14:00:09 GMT", "not a date", 9 * time.Second},
	} {
		header := http.Header{"Retry-After": {row.value}, "Date": {row.date}}
		if got := retryAfter(header, now); got != row.want {
			t.Errorf("%q at %q: %v, want %v", row.value, row.date, got, row.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "30", "-1", "1.5", "9223372036854775807", "99999999999999999999", "Tue, 03 Nov 2026 14:00:09 GMT",
		"Tuesday, 03-Nov-26 14:00:09 GMT", "Tue Nov  3 14:00:09 2026", "Tue, 03 Nov 9999 14:00:09 GMT", "soon", "１２",
	} {
		f.Add(seed, "")
		f.Add(seed, "Tue, 03 Nov 2026 14:00:00 GMT")
	}
	now := time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if got < 0 {
			t.Errorf("%q at %q: %v", value, date, got)
		}
		if strings.Trim(value, "0123456789") == "" && got%time.Second != 0 {
			t.Errorf("%q: %v", value, got)
		}
	})
}

// However odd an answer is, it is a success only when it is JSON that says so, and its failure has exactly one kind.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", "{}", `"text"`, "<html>", `{"success":true}`, `{"success":true,"errors":[]}`,
		`{"errors":["Invalid argument"],"success":false}`, `{"success":false,"messages":["no"]}`,
		`{"Message":"Internal Error 21"}`, `{"errors":"no","success":false}`, `{"errors":[{"code":1},null,7],"success":false}`,
		`{"errors":["Hash doesn't match. UID: 1 Hash: 0 Timestamp: ''"],"success":false}`, `{"success":true`,
		`{"success":"true"}`, `{"success":true}}`, `{"success":false,"success":true}`, "\ufeff{\"success\":true}",
		`{"success":true,"conversation":{"messages":[{"parts":[{"type":"text","text":"hi"},null,7]}]}}`,
	} {
		for _, status := range []int{200, 401, 404, 429, 500} {
			f.Add(status, "application/json", []byte(seed))
		}
		f.Add(200, "text/html", []byte(seed))
		f.Add(200, "", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		ans := &answer{status: status, header: http.Header{"Content-Type": {contentType}}, body: body}
		failure := judge(ans)
		if failure == nil {
			var envelope struct{ Success bool }
			if err := json.Unmarshal(body, &envelope); err != nil || !envelope.Success || status < 200 || status > 299 {
				t.Fatalf("status %d, body %q is taken for a success (%v)", status, body, err)
			}
			decode[conversationAnswer](body).conversation()
			decode[gen.AgentResponse](body)
			decode[gen.AgentDeploymentListResponse](body)
			return
		}
		n := 0
		for _, kind := range []error{
			ErrNoCredentials, ErrUnauthorized, ErrRejected, ErrThrottled, ErrUnavailable, ErrUnexpectedBody,
		} {
			if errors.Is(failure, kind) {
				n++
			}
		}
		if n != 1 || failure.Error() == "" {
			t.Fatalf("status %d, body %q: %d kinds: %v", status, body, n, failure)
		}
	})
}

// No credentials file makes the parser panic, tell its content, or come up with credentials that are not in it.
func FuzzCredentialsFile(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"user-id":"1","api-token":"mock-api-token"}`,
		`{"user-id":1,"api-token":"mock-api-token","organization-id":"0123456789abcdef0123456789abcdef"}`,
		`{"user-id":1.5,"api-token":"mock-api-token"}`, `{"user-id":"-1","api-token":"mock-api-token"}`,
		`{"user-id":"mock-api-token","api-token":"1"}`, `{"user-id":{},"api-token":[]}`, `{"user-id":1e3,"api-token":"x"}`,
		`{"api-token":"mock-api-token"}`, `{"user-id":"1"}`, "user-id: 1", `{"user-id":"1","api-token":"mock-api-token"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseLeanFile(data)
		var creds *Credentials
		if err == nil {
			creds, err = file.credentials()
		}
		if err != nil {
			switch strings.TrimPrefix(err.Error(), "user-id ") {
			case "is too large to be a credentials file", "is not a JSON object", "has neither user-id nor api-token",
				"has no user-id", "has no api-token", "is not a number":
			default:
				t.Fatalf("%q: the error may tell what is in the file: %v", data, err)
			}
			return
		}
		if creds.Token == "" || creds.UserID < 0 || !json.Valid(data) {
			t.Fatalf("%q: got %d and a token of %d bytes", data, creds.UserID, len(creds.Token))
		}
	})
}

func TestFileReasonsLeaveThePathOut(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "p", Err: fs.ErrNotExist}, "there is no such file"},
		{&fs.PathError{Op: "open", Path: "p", Err: fs.ErrPermission}, "may not be read"},
		{&fs.PathError{Op: "read", Path: "p", Err: fs.ErrClosed}, "file already closed"},
		{errors.New("broken"), "broken"},
	} {
		if got := fileReason(row.err).Error(); got != row.want {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}
