package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/qcagents/qcagents/mockserver"
)

const (
	listAgents = "/agents/list"
	organized  = `{"organizationId":"ORGANIZATION"}`
	misspelled = `{"organisationId":"ORGANIZATION"}`
)

func TestRunExitCodes(t *testing.T) {
	none := []string(nil)
	for _, test := range []struct {
		name    string
		flags   []string
		command []string
		code    int
		says    []string
	}{
		{"clean", none, []string{"call", listAgents, organized}, exitOK, []string{"PASSED"}},
		{"broken", none, []string{"call", listAgents, misspelled}, exitBroken, []string{"BROKEN", "unknown-field", "organizationId", "exit code 3: the command succeeded, but broke the contract"}},
		{"broken, by observation alone", []string{"--contract", "observe"}, []string{"call", listAgents, `{"organizationId":"ORGANIZATION","more":1}`}, exitBroken, []string{"unknown-field"}},
		{"a warning", []string{"--severity", "unknown-field=warning"}, []string{"call", listAgents, `{"organizationId":"ORGANIZATION","more":1}`}, exitOK, []string{"warning"}},
		{"failed", none, []string{"exit", "1"}, 1, []string{"exit code 1: it is the command's own"}},
		{"failed with 2", none, []string{"exit", "2"}, 2, []string{"exit code 2: it is the command's own"}},
		{"failed with 3", none, []string{"exit", "3"}, 3, []string{"exit code 3: it is the command's own"}},
		{"failed with 4", none, []string{"exit", "4"}, 4, []string{"exit code 4: it is the command's own"}},
		{"called nothing", none, []string{"exit", "0"}, exitOK, []string{"NO request", "QUANTCONNECT_API_BASE_URL", "http://127.0.0.1:"}},
		{"called nothing, and something was asked for", []string{"--min-operations", "1"}, []string{"exit", "0"}, exitShort, []string{"NO request", "exit code 4"}},
		{"too few operations", []string{"--min-operations", "100%"}, []string{"call", listAgents, organized}, exitShort, []string{"SHORT", "exit code 4: the command succeeded, but covered less than was asked for"}},
		{"enough", []string{"--min-operations", "1", "--min-members", "100%"}, []string{"call", listAgents, organized}, exitOK, []string{"PASSED"}},
		{"broken and short", []string{"--min-operations", "100%"}, []string{"call", listAgents, misspelled}, exitBroken, []string{"covered 1 of 18"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			runOf(t, test.flags, test.command...).wants(t, test.code, test.says...)
		})
	}
}

func TestRunCannotRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"not found", []string{"run", "--", "no-such-program"}, exitNotFound, []string{"cannot run no-such-program", "not found", "exit code 127"}},
		{"not found by its path", []string{"run", "--", filepath.Join(dir, "no-such-program")}, exitNotFound, []string{"exit code 127"}},
		{"not executable", []string{"run", "--", file}, exitNotExecutable, []string{"permission denied", "exit code 126"}},
		{"a directory", []string{"run", "--", dir}, exitNotExecutable, []string{"exit code 126"}},
		{"no command", []string{"run"}, exitUsage, []string{"a command is missing", "--help"}},
		{"unknown flag", []string{"run", "--nonsense", "--", "true"}, exitUsage, []string{"nonsense"}},
		{"threshold", []string{"run", "--min-members", "101%", "--", "true"}, exitUsage, []string{"threshold"}},
		{"severity without a level", []string{"run", "--severity", "enum", "--", "true"}, exitUsage, []string{"CLASS=error"}},
		{"severity of an unknown class", []string{"run", "--severity", "enumm=off", "--", "true"}, exitUsage, []string{"enumm"}},
		{"speed", []string{"run", "--speed", "-1", "--", "true"}, exitUsage, []string{"speed"}},
		{"report under a file", []string{"run", "--report", filepath.Join(file, "reports"), "--", os.Args[0]}, exitFailed, []string{"report's directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runProgram(t, nil, test.args...)
			r.wants(t, test.code, test.says...)
			if r.stdout != "" {
				t.Errorf("stdout is the command's, but has %q", r.stdout)
			}
		})
	}
}

func TestRunNotExecutableForWantOfAFormat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("echo no first line says who reads this\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	runProgram(t, nil, "run", "--", file).wants(t, exitNotExecutable, "exec format error")
}

func TestRunFlagsEndAtTheCommand(t *testing.T) {
	t.Setenv(asCommand, "1")
	runProgram(t, nil, "run", "--seed", "x", os.Args[0], "exit", "7").wants(t, 7)
	// What follows belongs to the command, even if it looks like a flag of qcmock.
	r := runProgram(t, nil, "run", os.Args[0], "environment", "--seed")
	if r.wants(t, exitOK); r.stdout != "--seed=\n" {
		t.Errorf("stdout is %q", r.stdout)
	}
}

func TestRunEnvironment(t *testing.T) {
	t.Setenv("QUANTCONNECT_API_TOKEN", "the real one, which must not get there")
	t.Setenv("HTTP_PROXY", "")
	r := runOf(t, nil, "environment", "QUANTCONNECT_USER_ID", "QUANTCONNECT_API_TOKEN", "QUANTCONNECT_ORGANIZATION_ID", "QUANTCONNECT_API_BASE_URL")
	r.wants(t, exitOK)
	want := `^QUANTCONNECT_USER_ID=1
QUANTCONNECT_API_TOKEN=mock-api-token
QUANTCONNECT_ORGANIZATION_ID=0123456789abcdef0123456789abcdef
QUANTCONNECT_API_BASE_URL=http://127\.0\.0\.1:[1-9][0-9]*/api/v2
$`
	if !regexp.MustCompile(want).MatchString(r.stdout) {
		t.Errorf("the command's environment has\n%s", r.stdout)
	}
}

func TestRunKeepsProxiesAway(t *testing.T) {
	t.Setenv("http_proxy", "http://proxy.example:3128")
	t.Setenv("NO_PROXY", "internal.example")
	t.Setenv("no_proxy", "")
	r := runOf(t, nil, "environment", "NO_PROXY", "no_proxy", "http_proxy")
	want := "NO_PROXY=internal.example,127.0.0.1\nno_proxy=internal.example,127.0.0.1\nhttp_proxy=http://proxy.example:3128\n"
	if r.wants(t, exitOK); r.stdout != want {
		t.Errorf("the command's environment has\n%s", r.stdout)
	}
}

func TestRunLeanHome(t *testing.T) {
	r := runOf(t, []string{"--lean-home"}, "show", "$"+homeVariable()+"/.lean/credentials")
	r.wants(t, exitOK)
	mode, rest, _ := strings.Cut(r.stdout, "\n")
	end := strings.LastIndex(rest, "}") + 1
	var credentials map[string]string
	if err := json.Unmarshal([]byte(rest[:end]), &credentials); err != nil {
		t.Fatalf("%v in %s", err, rest)
	}
	if credentials["user-id"] != "1" || credentials["api-token"] != mockserver.DefaultToken || credentials["organization-id"] != mockserver.DefaultOrganizationID || len(credentials) != 3 {
		t.Errorf("the file has %v", credentials)
	}
	if mode != "-rw-------" {
		t.Errorf("the file's mode is %s", mode)
	}
	if home := strings.TrimSpace(rest[end:]); home == "" {
		t.Error("there is no home")
	} else if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("the home %s is still there: %v", home, err)
	}
}

func TestRunPassesInputThrough(t *testing.T) {
	t.Setenv(asCommand, "1")
	const text = "line 1\n\x00\xff and no newline at the end"
	for name, stdin := range map[string]io.Reader{"a reader": strings.NewReader(text), "a file": pipe(t, text)} {
		r := runProgram(t, stdin, "run", "--", os.Args[0], "cat")
		if r.wants(t, exitOK); r.stdout != text {
			t.Errorf("%s: stdout is %q", name, r.stdout)
		}
	}
}

// pipe gives a file that text can be read from.
func pipe(t *testing.T, text string) *os.File {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	go func() {
		_, _ = out.WriteString(text)
		out.Close()
	}()
	return in
}

func TestRunDoesNotWaitForInput(t *testing.T) {
	t.Setenv(asCommand, "1")
	in, out, err := os.Pipe() // nothing is ever written to it
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	runProgram(t, in, "run", "--", os.Args[0], "exit", "7").wants(t, 7)
}

func TestRunPassesOutputThrough(t *testing.T) {
	t.Setenv(asCommand, "1")
	const size = 100 << 20
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		code <- Run(context.Background(), []string{"run", "--", os.Args[0], "shout", "104857600"}, nil, out, &stderr, os.Getenv)
		out.Close()
	}()
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, in)
	if err != nil {
		t.Fatal(err)
	}
	for range size / 16 {
		want.Write([]byte("0123456789abcde\n"))
	}
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d: %s", c, stderr.String())
	}
	if n != size || !slices.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes came through, or they are others", n)
	}
}

func TestRunSaysNothingBeforeTheEnd(t *testing.T) {
	// The command's output and qcmock's go to one file here: qcmock's has to come after it.
	t.Setenv(asCommand, "1")
	file, err := os.Create(filepath.Join(t.TempDir(), "both"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	Run(t.Context(), []string{"run", "--", os.Args[0], "environment", "QUANTCONNECT_USER_ID"}, nil, file, file, func(string) string { return "" })
	text, err := os.ReadFile(file.Name())
	if err != nil || !strings.HasPrefix(string(text), "QUANTCONNECT_USER_ID=1\n\n") {
		t.Errorf("%v; the file has\n%s", err, text)
	}
}

func TestRunReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	runOf(t, []string{"--report", dir, "--consumer", "nightly"}, "call", listAgents, misspelled).wants(t, exitBroken)
	for name, check := range map[string]func([]byte) bool{
		"report.txt":  func(text []byte) bool { return strings.Contains(string(text), "BROKEN  nightly") },
		"report.md":   func(text []byte) bool { return strings.Contains(string(text), "unknown-field") },
		"report.json": func(text []byte) bool { return json.Unmarshal(text, &mockserver.Report{}) == nil },
		"junit.xml":   func(text []byte) bool { return xml.Unmarshal(text, new(any)) == nil },
		"journal.json": func(text []byte) bool {
			var entries []mockserver.Entry
			return json.Unmarshal(text, &entries) == nil && len(entries) == 1 && entries[0].Operation == "listAgents"
		},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if !check(text) {
			t.Errorf("%s has\n%s", name, text)
		}
	}
}

func TestRunReportThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "report.md"), 0o700); err != nil {
		t.Fatal(err)
	}
	runOf(t, []string{"--report", dir}, "call", listAgents, organized).wants(t, exitFailed, "report.md", "the report could not be written")
	// The command's own failure matters more.
	runOf(t, []string{"--report", dir}, "exit", "9").wants(t, 9, "report.md")
}

func TestRunSeeded(t *testing.T) {
	create := []string{"call", "/agents/tasks/create", `{"organizationId":"ORGANIZATION","agentId":47,"name":"a","prompt":"b","projectPreference":"project-each-task-deployment"}`}
	first, second := runOf(t, []string{"--seed", "s"}, create...), runOf(t, []string{"--seed", "s"}, create...)
	if first.stdout != second.stdout || !strings.Contains(first.stdout, `"success":true`) {
		t.Errorf("two runs with one seed gave\n%s\n%s", first.stdout, second.stdout)
	}
}

// What a test does to the journals of its mock takes nothing away from the verdict.
func TestRunRemembersWhatWasReset(t *testing.T) {
	r := runOf(t, nil, "call", listAgents, misspelled, "/_mock/worlds/1/reset", "", listAgents, organized)
	r.wants(t, exitBroken, "unknown-field", "in 2 exchanges")
	if strings.Contains(r.stdout, "not found") || !strings.Contains(r.stdout, `"success":true`) {
		t.Errorf("stdout is %s", r.stdout)
	}
}

func TestRunScenario(t *testing.T) {
	file := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(file, []byte("accounts:\n  - {userId: 7, token: seven, organizations: [seven]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runOf(t, []string{"--scenario", file}, "environment", "QUANTCONNECT_USER_ID", "QUANTCONNECT_API_TOKEN", "QUANTCONNECT_ORGANIZATION_ID")
	if r.wants(t, exitOK); r.stdout != "QUANTCONNECT_USER_ID=7\nQUANTCONNECT_API_TOKEN=seven\nQUANTCONNECT_ORGANIZATION_ID=seven\n" {
		t.Errorf("the environment has\n%s", r.stdout)
	}
	runOf(t, []string{"--scenario", file}, "call", listAgents, organized).wants(t, exitOK, "PASSED")
}

func TestRecordForgetsWhatKeptTheContractFirst(t *testing.T) {
	t.Parallel()
	r := &record{limit: 5000}
	for range 100 {
		r.add(mockserver.Entry{})
		r.add(mockserver.Entry{Violations: []mockserver.Violation{{Class: mockserver.Enum}}})
	}
	entries, forgotten := r.all()
	broken := slices.DeleteFunc(slices.Clone(entries), func(e mockserver.Entry) bool { return len(e.Violations) == 0 })
	if len(entries) != 10 || len(broken) < 7 || forgotten != 190 {
		t.Errorf("%d entries, of which %d broken, and %d forgotten", len(entries), len(broken), forgotten)
	}
}
