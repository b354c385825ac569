package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

func TestReadyLine(t *testing.T) {
	t.Parallel()
	m := start(t)
	var line map[string]any
	if err := json.Unmarshal([]byte(m.line), &line); err != nil {
		t.Fatal(err)
	}
	port := strings.TrimSuffix(strings.TrimPrefix(m.URL, "http://127.0.0.1:"), "/api/v2")
	want := map[string]any{
		"url":            "http://127.0.0.1:" + port + "/api/v2",
		"userId":         1.0,
		"token":          "mock-api-token",
		"organizationId": "0123456789abcdef0123456789abcdef",
		"pid":            float64(os.Getpid()),
	}
	if !reflect.DeepEqual(line, want) {
		t.Errorf("ready line %s has members %q", m.line, slices.Sorted(maps.Keys(line)))
	}
	if port == "0" || strings.Count(m.line, "\n") != 1 {
		t.Errorf("ready line %q", m.line)
	}
	for _, shown := range []string{m.URL, m.Token, m.OrganizationID, m.root() + "/openapi.yaml", "Ctrl-C stops it.\n"} {
		if !strings.Contains(m.stderr.String(), shown) {
			t.Errorf("the welcome does not show %q:\n%s", shown, m.stderr)
		}
	}
	if strings.Contains(m.stderr.String(), "other machines") {
		t.Errorf("the welcome warns of other machines on a loopback address:\n%s", m.stderr)
	}
}

// The control token opens the control plane to callers by another name, as from another machine, and to nobody else.
func TestControlToken(t *testing.T) {
	t.Parallel()
	const token = "not-to-be-guessed"
	for _, test := range []struct {
		flags []string
		shown string
		want  int
	}{
		{nil, token, http.StatusForbidden},
		{[]string{"--control-token", token}, token, http.StatusOK},
		{[]string{"--control-token", token}, "another", http.StatusUnauthorized},
	} {
		m := start(t, test.flags...)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.root()+"/_mock/worlds", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "mock.example"
		r.Header.Set("Qcmock-Control-Token", test.shown)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%q: %d for %q, want %d", test.flags, resp.StatusCode, test.shown, test.want)
		}
		if strings.Contains(m.stderr.String()+m.line, token) {
			t.Errorf("the control token is printed:\n%s", m.stderr)
		}
	}
	if r := run(t, "serve", "--addr", "127.0.0.1:0", "--control-token", "short"); r.code != exitUsage || !strings.Contains(r.stderr, "16 or more") {
		t.Errorf("a short token: code %d\n%s", r.code, r.stderr)
	}
}

// What the ready line says is all that a client needs.
func TestReadyLineServesAClient(t *testing.T) {
	t.Parallel()
	m := start(t)
	c, err := client.New(client.WithBaseURL(m.URL), client.WithCredentials(client.Credentials{UserID: int64(m.UserID), Token: m.Token}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Authenticate(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Agents.List(t.Context(), m.OrganizationID); err != nil {
		t.Error(err)
	}
}

// The curl of the welcome is run as it is printed, in the shells that it names.
func TestWelcomeCurl(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"curl", "openssl", "date", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
	}
	for name, flags := range map[string][]string{
		"default": nil,
		"special characters": {
			"--user-id", "0", "--token", `a'b"c$d!e` + "`f\\g\\\\h %s *&;", "--organization", `o'r"g $HOME!x\n*`,
		},
		"any": {"--auth", "any", "--token", "____", "--organization", "____"},
		"off": {"--auth", "off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := start(t, flags...)
			_, command, _ := strings.Cut(m.stderr.String(), "Try it, in sh, bash or zsh:\n")
			command, _, ok := strings.Cut(command, "Ctrl-C")
			if !ok {
				t.Fatalf("the welcome has no curl:\n%s", m.stderr)
			}
			shells := map[string][]string{
				"sh":                {"sh"},
				"bash":              {"bash", "--norc"},
				"bash with history": {"bash", "--norc", "-o", "history", "-o", "histexpand"},
				"zsh":               {"zsh", "-f"},
			}
			for name, shell := range shells {
				if _, err := exec.LookPath(shell[0]); err != nil {
					t.Logf("%s is not here", shell[0])
					continue
				}
				cmd := exec.CommandContext(t.Context(), shell[0], shell[1:]...)
				cmd.Stdin = strings.NewReader(command)
				cmd.Env = childEnv(t)
				out, err := cmd.CombinedOutput()
				if err != nil || string(out) != `{"agents":[],"errors":[],"success":true}`+"\n" {
					t.Errorf("in %s: %v, %s\nit was: %s", name, err, out, command)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	const authenticate, list = "/authenticate", "/agents/list"
	expect := func(t *testing.T, what string, got answered, status int, success bool) {
		t.Helper()
		if got.status != status || got.field(t, "success") != success {
			t.Errorf("%s: status %d, %s", what, got.status, got.body)
		}
	}
	unsigned := func(t *testing.T, m *mock) answered {
		return m.do(t, http.MethodPost, m.URL+list, m.listAgents(), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
		})
	}
	const unknownMember = `{"organizationId":"0123456789abcdef0123456789abcdef","page":1}`
	for _, c := range []struct {
		flags string
		check func(t *testing.T, m *mock)
	}{
		{"--auth strict", func(t *testing.T, m *mock) {
			expect(t, "good credentials", m.post(t, list, m.listAgents()), 200, true)
			expect(t, "another token", m.postAs(t, m.UserID, "another", list, m.listAgents()), 401, false)
			expect(t, "another user", m.postAs(t, 2, m.Token, list, m.listAgents()), 401, false)
			expect(t, "no signature", unsigned(t, m), 401, false)
			expect(t, "foreign organization", m.post(t, list, `{"organizationId":"ffffffffffffffffffffffffffffffff"}`), 200, false)
		}},
		{"--auth any", func(t *testing.T, m *mock) {
			expect(t, "another token", m.postAs(t, m.UserID, "another", list, m.listAgents()), 200, true)
			expect(t, "another user and organization", m.postAs(t, 0, "____", list, `{"organizationId":"____"}`), 200, true)
			expect(t, "no signature", unsigned(t, m), 401, false)
			m.postAs(t, 7, "x", "/agents/create", `{"organizationId":"o","name":"mine"}`)
			if mine := m.postAs(t, 7, "x", list, `{"organizationId":"o"}`); !strings.Contains(mine.body, "mine") {
				t.Errorf("user 7 does not see its agent: %s", mine.body)
			}
			if theirs := m.postAs(t, 8, "x", list, `{"organizationId":"o"}`); strings.Contains(theirs.body, "mine") {
				t.Errorf("user 8 sees the agent of user 7: %s", theirs.body)
			}
		}},
		{"--auth off", func(t *testing.T, m *mock) {
			expect(t, "no signature", unsigned(t, m), 200, true)
		}},
		{"--auth-failures documented", func(t *testing.T, m *mock) {
			got := m.postAs(t, m.UserID, "another", authenticate, `{}`)
			expect(t, "another token", got, 401, false)
			if got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("no WWW-Authenticate: %v", got.header)
			}
		}},
		{"--auth-failures observed", func(t *testing.T, m *mock) {
			got := m.postAs(t, m.UserID, "another", authenticate, `{}`)
			expect(t, "another token", got, 200, false)
			if !strings.Contains(got.body, "Hash doesn't match.") || got.header.Get("WWW-Authenticate") != "" {
				t.Errorf("%v %s", got.header, got.body)
			}
		}},
		{"--contract strict", func(t *testing.T, m *mock) {
			got := m.post(t, list, unknownMember)
			expect(t, "unknown member", got, 200, false)
			if got.header.Get("Qcmock-Violation") != "unknown-field" {
				t.Errorf("%v", got.header)
			}
		}},
		{"--contract observe", func(t *testing.T, m *mock) {
			got := m.post(t, list, unknownMember)
			expect(t, "unknown member", got, 200, true)
			if got.header.Get("Qcmock-Violation") != "unknown-field" {
				t.Errorf("%v", got.header)
			}
		}},
		{"--contract off", func(t *testing.T, m *mock) {
			got := m.post(t, list, unknownMember)
			expect(t, "unknown member", got, 200, true)
			if got.header.Get("Qcmock-Violation") != "" {
				t.Errorf("%v", got.header)
			}
		}},
		{"--speed 1000000", func(t *testing.T, m *mock) {
			if status := m.status(t, m.deploy(t)); status != "Completed" {
				t.Errorf("status %v", status)
			}
		}},
		{"--speed 0", func(t *testing.T, m *mock) {
			if status := m.status(t, m.deploy(t)); status != "InQueue" {
				t.Errorf("status %v", status)
			}
		}},
		{"--seed x", func(t *testing.T, m *mock) {
			other := start(t, "--seed", "x")
			if one, two := m.deploy(t), other.deploy(t); one != two {
				t.Errorf("ids %s and %s", one, two)
			}
			if unlike := start(t, "--seed", "y"); unlike.deploy(t) == other.deploy(t) {
				t.Error("two seeds give one id")
			}
		}},
		{"--seed x --capacity 1", func(t *testing.T, m *mock) {
			one, two := m.deploy(t), m.deploy(t)
			if status := m.status(t, one); status != "Running" {
				t.Errorf("the first deployment is %v", status)
			}
			if status := m.status(t, two); status != "InQueue" {
				t.Errorf("the second deployment is %v", status)
			}
		}},
		{"--user-id 42", func(t *testing.T, m *mock) {
			if m.UserID != 42 {
				t.Errorf("ready line %s", m.line)
			}
			expect(t, "user 42", m.post(t, list, m.listAgents()), 200, true)
			expect(t, "user 1", m.postAs(t, 1, m.Token, list, m.listAgents()), 401, false)
		}},
		{"--token another", func(t *testing.T, m *mock) {
			if m.Token != "another" {
				t.Errorf("ready line %s", m.line)
			}
			expect(t, "its token", m.post(t, list, m.listAgents()), 200, true)
			expect(t, "the default token", m.postAs(t, 1, "mock-api-token", list, m.listAgents()), 401, false)
		}},
		{"--organization ours", func(t *testing.T, m *mock) {
			if m.OrganizationID != "ours" {
				t.Errorf("ready line %s", m.line)
			}
			expect(t, "its organization", m.post(t, list, m.listAgents()), 200, true)
			expect(t, "the default organization", m.post(t, list, `{"organizationId":"0123456789abcdef0123456789abcdef"}`), 200, false)
		}},
		{"--addr localhost:0", func(t *testing.T, m *mock) {
			expect(t, "localhost", m.post(t, list, m.listAgents()), 200, true)
		}},
		{"--addr [::1]:0", func(t *testing.T, m *mock) {
			if !strings.HasPrefix(m.URL, "http://[::1]:") {
				t.Errorf("ready line %s", m.line)
			}
			expect(t, "IPv6", m.post(t, list, m.listAgents()), 200, true)
		}},
		{"--addr :0", func(t *testing.T, m *mock) {
			if !strings.HasPrefix(m.URL, "http://127.0.0.1:") {
				t.Errorf("ready line %s", m.line)
			}
			if !strings.Contains(m.stderr.String(), "can be reached from other machines") {
				t.Errorf("no warning:\n%s", m.stderr)
			}
			expect(t, "every address", m.post(t, list, m.listAgents()), 200, true)
		}},
	} {
		t.Run(c.flags, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(c.flags, "::1") {
				l, err := net.Listen("tcp", "[::1]:0")
				if err != nil {
					t.Skip("this machine has no IPv6: ", err)
				}
				_ = l.Close()
			}
			c.check(t, start(t, strings.Fields(c.flags)...))
		})
	}
}

// deploy makes a task for agent 47 and runs it.
func (m *mock) deploy(t *testing.T) string {
	t.Helper()
	task := m.post(t, "/agents/tasks/create", fmt.Sprintf(
		`{"organizationId":%q,"agentId":47,"name":"T","prompt":"Backtest SPY.","projectPreference":"project-for-task"}`, m.OrganizationID))
	got := m.post(t, "/agents/deployments/create", fmt.Sprintf(`{"taskId":%v}`, task.field(t, "task.id")))
	id, _ := got.field(t, "deployment.deploymentId").(string)
	if id == "" {
		t.Fatalf("task %s, deployment %s", task.body, got.body)
	}
	return id
}

func (m *mock) status(t *testing.T, deploymentID string) any {
	t.Helper()
	return m.post(t, "/agents/deployments/read", fmt.Sprintf(`{"deploymentId":%q}`, deploymentID)).field(t, "deployment.status")
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	addr := strings.TrimPrefix(start(t).root(), "http://")
	got := run(t, "serve", "--addr", addr)
	if got.code != exitFailed || got.stdout != "" {
		t.Errorf("code %d, stdout %q", got.code, got.stdout)
	}
	for _, says := range []string{addr, "is another mock running there?", "--addr 127.0.0.1:0 takes a free port"} {
		if !strings.Contains(got.stderr, says) {
			t.Errorf("does not say %q: %s", says, got.stderr)
		}
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	t.Parallel()
	got := run(t, "serve", "--addr", "192.0.2.1:0") // for documentation, so nobody's
	if got.code != exitFailed || !strings.Contains(got.stderr, "this machine cannot listen there") {
		t.Errorf("%+v", got)
	}
}

func TestOwnEndpoints(t *testing.T) {
	t.Parallel()
	m := start(t)
	health := m.do(t, http.MethodGet, m.root()+"/_mock/health", "", nil)
	if health.status != 200 || health.field(t, "status") != "ok" || health.field(t, "version") == nil || health.field(t, "specVersion") == nil {
		t.Errorf("health: %d, %s", health.status, health.body)
	}
	contract, err := os.ReadFile("../../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.do(t, http.MethodGet, m.root()+"/openapi.yaml", "", nil); got.status != 200 || got.body != string(contract) {
		t.Errorf("/openapi.yaml: status %d, and %d bytes where the file has %d; is make generate due?", got.status, len(got.body), len(contract))
	}
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"", "", 200},
		{"localhost", "", 200},
		{"localhost:5612", "", 200},
		{"[::1]:5612", "", 200},
		{"evil.example", "", 403},
		{"evil.example:5612", "", 403},
		{"127.0.0.1.evil.example", "", 403},
		{"", "https://evil.example", 403},
		{"", "null", 403},
	} {
		got := m.do(t, http.MethodGet, m.root()+"/_mock/health", "", func(r *http.Request) {
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
		})
		if got.status != c.status || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("host %q, origin %q: status %d, header %v", c.host, c.origin, got.status, got.header)
		}
		if c.status == 403 && got.field(t, "success") != false {
			t.Errorf("host %q, origin %q: no envelope: %s", c.host, c.origin, got.body)
		}
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.post(t, "/agents/list", m.listAgents()) // leaves an idle connection
	if code := m.stop(); code != exitOK {
		t.Errorf("code %d", code)
	}
	if !strings.Contains(m.stderr.String(), "Stopping") {
		t.Errorf("it does not say that it stops:\n%s", m.stderr)
	}
	if conn, err := net.Dial("tcp", hostOf(t, m)); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}

// A connection on which nothing was asked, such as a browser opens, does not hold up the end.
func TestStopWithSilentConnection(t *testing.T) {
	t.Parallel()
	m := start(t)
	conn, err := net.Dial("tcp", hostOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m.post(t, "/agents/list", m.listAgents()) // on a later connection, so the first one has been accepted
	m.stop()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// An exchange under way when the end comes gets its answer.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	m := start(t)
	finish := underWay(t, m)
	m.cancel()
	if !m.stderr.until("Stopping") {
		t.Fatalf("it did not begin to stop:\n%s", m.stderr)
	}
	resp := finish()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", resp.StatusCode)
	}
	if code := m.stop(); code != exitOK {
		t.Errorf("code %d, stderr:\n%s", code, m.stderr)
	}
}

// One that does not end is cut off, and that is said.
func TestStopCutsOff(t *testing.T) {
	t.Parallel()
	m := begin(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		server, err := mockserver.New()
		if err != nil {
			t.Error(err)
			return exitFailed
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return exitFailed
		}
		if err := serve(ctx, server, listener, time.Millisecond, stdout, stderr); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("error %v", err)
		}
		return exitOK
	})
	underWay(t, m)
	m.stop()
}

// underWay begins a request and stops in the middle of its body, when the server has begun to read it. The function that
// it gives sends the rest.
func underWay(t *testing.T, m *mock) (finish func() *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", hostOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "POST /api/v2/authenticate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"+
		"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() *http.Response {
		fmt.Fprint(conn, "{}")
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
}

func hostOf(t *testing.T, m *mock) string {
	t.Helper()
	u, err := url.Parse(m.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// process is a qcmock serve in a process of its own.
type process struct {
	mock
	cmd   *exec.Cmd
	ended chan error
}

func startProcess(t *testing.T) *process {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	p := &process{mock: mock{stderr: newBuffer()}, cmd: exec.Command(os.Args[0], "serve", "--addr", "127.0.0.1:0"), ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = p.stderr
	out, stdout := io.Pipe()
	p.cmd.Stdout = stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.ended <- p.cmd.Wait()
		p.stderr.Close()
		_ = stdout.Close()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.line, p.ready = readLine(t, out, p.stderr)
	return p
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t)
			if p.PID != p.cmd.Process.Pid {
				t.Errorf("ready line %s, but its process is %d", p.line, p.cmd.Process.Pid)
			}
			finish := underWay(t, &p.mock)
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if !p.stderr.until("Stopping") {
				t.Fatalf("it did not begin to stop:\n%s", p.stderr)
			}
			finish()
			if err := <-p.ended; err != nil {
				t.Errorf("%v, stderr:\n%s", err, p.stderr)
			}
		})
	}
}

// A second signal does not wait for anything.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	underWay(t, &p.mock)
	for {
		select {
		case err := <-p.ended:
			exit := (*exec.ExitError)(nil)
			if !errors.As(err, &exit) || exit.Exited() {
				t.Errorf("it did not end by the signal: %v, stderr:\n%s", err, p.stderr)
			}
			return
		default:
			// A signal is lost between the first one's arrival and its effect, hence the repetition.
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			runtime.Gosched()
		}
	}
}

// A ready line that nobody can read is an error, not a mock that nobody finds.
func TestClosedStdout(t *testing.T) {
	t.Parallel()
	out, stdout := io.Pipe()
	_ = out.Close()
	var stderr strings.Builder
	code := Run(t.Context(), []string{"serve", "--addr", "127.0.0.1:0"}, strings.NewReader(""), stdout, &stderr, os.Getenv)
	if code != exitFailed || !strings.Contains(stderr.String(), "write the ready line") {
		t.Errorf("code %d, stderr:\n%s", code, &stderr)
	}
}
