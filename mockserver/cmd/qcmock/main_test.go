package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asProgram in its environment makes the test binary be qcmock, so that signals have a process to go to.
const asProgram = "QCMOCK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	flag.Parse()
	os.Exit(m.Run())
}

// golden compares with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test ./mockserver/cmd/qcmock -update writes it anew. Got:\n%s", file, got)
	}
}

// result is what a command that ended leaves behind.
type result struct {
	code           int
	stdout, stderr string
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, func(string) string { return "" })
	return result{code, stdout.String(), stderr.String()}
}

// buffer is a bytes.Buffer that one goroutine writes and another one waits for.
type buffer struct {
	mu      sync.Mutex
	changed sync.Cond
	text    strings.Builder
	closed  bool
}

func newBuffer() *buffer {
	b := &buffer{}
	b.changed.L = &b.mu
	return b
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed.Broadcast()
	return b.text.Write(p)
}

func (b *buffer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed.Broadcast()
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// until waits for a text, and reports whether it came before the end.
func (b *buffer) until(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !strings.Contains(b.text.String(), text) {
		if b.closed {
			return false
		}
		b.changed.Wait()
	}
	return true
}

// mock is a qcmock serve that runs in this process.
type mock struct {
	ready
	line   string // the ready line as it was written
	stderr *buffer
	cancel func()
	code   chan int
}

// start runs qcmock serve on a free port, and holds it to ending well.
func start(t *testing.T, flags ...string) *mock {
	t.Helper()
	m := begin(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		args := append([]string{"serve", "--addr", "127.0.0.1:0"}, flags...)
		return Run(ctx, args, strings.NewReader(""), stdout, stderr, func(string) string { return "" })
	})
	t.Cleanup(func() {
		if code := m.stop(); code != exitOK {
			t.Errorf("qcmock serve ended with code %d and said:\n%s", code, m.stderr)
		}
	})
	return m
}

// begin runs a program that serves, until its ready line.
func begin(t *testing.T, program func(ctx context.Context, stdout, stderr io.Writer) int) *mock {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	m := &mock{stderr: newBuffer(), cancel: cancel, code: make(chan int, 1)}
	out, stdout := io.Pipe()
	go func() {
		m.code <- program(ctx, stdout, m.stderr)
		m.stderr.Close()
		_ = stdout.Close()
	}()
	m.line, m.ready = readLine(t, out, m.stderr)
	return m
}

func (m *mock) stop() int {
	m.cancel()
	code := <-m.code
	m.code <- code
	return code
}

// post sends a signed request and gives the answer's status, header and body.
func (m *mock) post(t *testing.T, path, body string) answered {
	t.Helper()
	return m.postAs(t, m.UserID, m.Token, path, body)
}

type answered struct {
	status int
	header http.Header
	body   string
}

// field reads a value of the body by its path, such as deployment.status.
func (a answered) field(t *testing.T, path string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		t.Fatalf("answer %q: %v", a.body, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

func (m *mock) postAs(t *testing.T, userID int, token, path, body string) answered {
	t.Helper()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	hash := sha256.Sum256([]byte(token + ":" + now))
	return m.do(t, http.MethodPost, m.URL+path, body, func(r *http.Request) {
		r.SetBasicAuth(strconv.Itoa(userID), hex.EncodeToString(hash[:]))
		r.Header.Set("Timestamp", now)
		r.Header.Set("Content-Type", "application/json")
	})
}

func (m *mock) do(t *testing.T, method, url, body string, edit func(*http.Request)) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(got)}
}

// root is the mock's address without the API's base path.
func (m *mock) root() string { return strings.TrimSuffix(m.URL, "/api/v2") }

// listAgents is the body of a listing in the mock's own organization.
func (m *mock) listAgents() string { return fmt.Sprintf(`{"organizationId":%q}`, m.OrganizationID) }

// readLine reads the ready line. There must be nothing else on stdout.
func readLine(t *testing.T, stdout io.Reader, stderr *buffer) (string, ready) {
	t.Helper()
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v; stderr:\n%s", err, stderr)
	}
	var r ready
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("ready line %q: %v", line, err)
	}
	rest := make(chan string)
	go func() {
		more, _ := io.ReadAll(lines)
		rest <- string(more)
	}()
	t.Cleanup(func() {
		if more := <-rest; more != "" {
			t.Errorf("after the ready line, stdout has:\n%s", more)
		}
	})
	return line, r
}
