package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	kept   = `{"seq":1,"at":"2026-11-03T14:00:00Z","world":1,"operation":"listAgents","request":{"method":"POST","path":"/api/v2/agents/list","body":"{\"organizationId\":\"o\"}"},"response":{"status":200,"body":"{\"success\":true,\"agents\":[]}"},"auth":"accepted"}`
	broken = `{"seq":2,"at":"2026-11-03T14:00:01Z","world":1,"operation":"listAgents","request":{"method":"POST","path":"/api/v2/agents/list","body":"{}"},"response":{"status":200,"body":"{\"success\":false,\"errors\":[\"No.\"]}"},"auth":"accepted","violations":[{"class":"missing-field","pointer":"/organizationId","text":"member \"organizationId\" is missing; it is required.","severity":"error"}]}`
)

// A journal is read in every form that the mock writes one in.
func TestReportReadsJournals(t *testing.T) {
	t.Parallel()
	for name, journal := range map[string]string{
		"array": "[" + kept + "," + broken + "]", "object": `{"entries":[` + kept + "," + broken + "]}", "lines": kept + "\n" + broken + "\n",
		"objects": " {\"entries\":[" + kept + "]}\n\n{\"entries\":[" + broken + "]}", "one line": kept + broken, "with an empty one": "[]" + kept + "[" + broken + "]",
	} {
		file := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(file, []byte(journal), 0o600); err != nil {
			t.Fatal(err)
		}
		r := run(t, "report", "--consumer", "nightly", file)
		if r.code != exitBroken || !strings.Contains(r.stdout, "BROKEN  nightly broke the contract in 1 way, in 2 exchanges.") {
			t.Errorf("%s: code %d, %s%s", name, r.code, r.stdout, r.stderr)
		}
		if piped := runProgram(t, strings.NewReader(journal), "report", "--consumer", "nightly", "-"); piped != r {
			t.Errorf("%s: from standard input it is another report: %+v", name, piped)
		}
	}
}

func TestReportExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		journal, flags string
		code           int
		says           string
	}{
		{kept, "", exitOK, "PASSED"},
		{kept, "--min-operations 1 --min-members 100%", exitOK, "PASSED"},
		{kept, "--min-operations 2", exitShort, "SHORT"},
		{broken, "--min-operations 2", exitBroken, "BROKEN"},
		{"[]", "", exitOK, "IDLE"},
		{kept, "--format json", exitOK, `"verdict": "passed"`},
		{broken, "--format markdown", exitBroken, "## Consumer broke the contract"},
		{broken, "--format junit", exitBroken, "<failure"},
	} {
		args := append([]string{"report"}, append(strings.Fields(c.flags), "-")...)
		if r := runProgram(t, strings.NewReader(c.journal), args...); r.code != c.code || !strings.Contains(r.stdout, c.says) {
			t.Errorf("%q: code %d, want %d: %s%s", args, r.code, c.code, r.stdout, r.stderr)
		}
	}
}

// What is no journal is not taken for one of a consumer that did nothing wrong.
func TestReportSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for journal, says := range map[string]string{
		"x": "it is not JSON", "]": "it is not JSON", "}": "it is not JSON", kept + "]": "it is not JSON", kept[:50]: "it is not JSON",
		"{}": "it holds no journal entries", "[{}]": "it holds no journal entries", "1": "it holds no journal entries", "null": "it holds no journal entries",
		"[1]": "it holds no journal entries", `"x"`: "it holds no journal entries", `{"entries":1}`: "it holds no journal entries",
		`{"entries":[{"name":"x"}]}`: "it holds no journal entries", `{"consumer":"x","exchanges":1,"verdict":"passed"}`: "it holds no journal entries",
		strings.Replace(kept, `"seq":1`, `"seq":"1"`, 1): "it holds no journal entries",
	} {
		r := runProgram(t, strings.NewReader(journal), "report", "-")
		if r.code != exitFailed || r.stdout != "" || !strings.Contains(r.stderr, "read journal -: "+says) {
			t.Errorf("%s: code %d, %s%s", journal, r.code, r.stdout, r.stderr)
		}
	}
	for _, c := range []struct{ args, says string }{
		{"report", "name one journal, or - for standard input"}, {"report a b", "name one journal"},
		{"report --format yaml -", "use text, json, markdown or junit"}, {"report --min-members 1.5 -", "threshold"},
	} {
		if r := runProgram(t, strings.NewReader(kept), strings.Fields(c.args)...); r.code != exitUsage || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: code %d, %s", c.args, r.code, r.stderr)
		}
	}
	if r := run(t, "report", filepath.Join(t.TempDir(), "nothing")); r.code != exitFailed || !strings.Contains(r.stderr, "nothing") {
		t.Errorf("a file that is not there: code %d, %s", r.code, r.stderr)
	}
}

// Colors are for a terminal, and not for one whose owner wants none. The null device is one as far as that goes.
func TestColored(t *testing.T) {
	t.Parallel()
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	with := func(set map[string]string) func(string) string { return func(name string) string { return set[name] } }
	if !colored(device, with(nil)) || !colored(device, with(map[string]string{"NO_COLOR": "", "TERM": "xterm"})) {
		t.Error("a terminal gets no colors")
	}
	for _, set := range []map[string]string{{"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"TERM": "dumb"}} {
		if colored(device, with(set)) {
			t.Errorf("a terminal gets colors with %v", set)
		}
	}
	if colored(file, with(nil)) || colored(&bytes.Buffer{}, with(nil)) {
		t.Error("what is no terminal gets colors")
	}
}
