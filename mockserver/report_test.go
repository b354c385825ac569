package mockserver

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenReport compares with a file under testdata/reports.
func goldenReport(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "reports", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test ./mockserver -update writes it anew. Got:\n%s", file, got)
	}
}

// exchanged makes an entry of a journal. An answer that begins with a brace has status 200.
func exchanged(seq int, operation, request, answer string, violations ...Violation) Entry {
	user := 1
	e := Entry{
		Seq: seq, At: time.Date(2026, 11, 3, 14, 0, seq, 0, time.UTC), World: &user, Operation: operation, Auth: authAccepted,
		Request: Request{Method: "POST", Path: basePath + "/x", Body: request}, Violations: violations,
	}
	if answer != "" {
		e.Response = &Answer{Status: 200, Body: answer}
	}
	return e
}

const refusal = `{"success":false,"errors":["No."]}`

// passing is the journal of a consumer that keeps the contract, and failing of one that does not.
var (
	passing = []Entry{
		exchanged(1, "authenticateGet", "", `{"success":true}`),
		exchanged(2, "createTask", `{"organizationId":"o","agentId":47,"name":"n","prompt":"p","projectPreference":"project-for-task"}`,
			`{"success":true,"task":{"id":1001,"name":"n","agentId":47}}`),
		exchanged(3, "createDeployment", `{"taskId":1001}`, `{"success":true,"deployment":{"deploymentId":"A-1","status":"InQueue"}}`),
		exchanged(4, "readDeployment", `{"deploymentId":"A-1"}`, `{"success":true,"deployment":{"deploymentId":"A-1","status":"Running","taskId":1001}}`),
		exchanged(5, "readDeployment", `{"deploymentId":"A-1"}`, `{"success":true,"deployment":{"deploymentId":"A-1","status":"Completed","taskId":1001}}`),
		exchanged(6, "readDeployment", `{"deploymentId":"A-1"}`, ""),
	}
	unknownField = Violation{
		Class: UnknownField, Pointer: "/organisationId", Meant: "organizationId", Severity: SeverityError,
		Text: `member "organisationId" is not known; did you mean "organizationId"?`,
	}
	missingField = Violation{Class: MissingField, Pointer: "/organizationId", Severity: SeverityError, Text: `member "organizationId" is missing; it is required.`}
	failing      = []Entry{
		exchanged(1, "listAgents", `{"organizationId":"o"}`, `{"success":true,"agents":[]}`, Violation{
			Class: ContentType, Severity: SeverityWarning, Text: `the Content-Type is "text/plain"; send the body of listAgents as application/json.`,
		}),
		exchanged(2, "", "", refusal, Violation{Class: Method, Severity: SeverityError, Text: "Method GET is not allowed for /api/v2/agents/list; use POST."}),
		exchanged(3, "listAgents", `{"organisationId":"o"}`, refusal, unknownField, missingField),
		exchanged(4, "readAgent", `{"agentId":9999}`, refusal, Violation{Class: NotFound, Pointer: "/agentId", Severity: SeverityError, Text: "Agent 9999 not found."}),
		exchanged(5, "listAgents", `{"organisationId":"o"}`, refusal, unknownField, missingField),
	}
)

func reportOf(t *testing.T, entries []Entry, options ReportOptions) Report {
	t.Helper()
	r, err := NewReport(entries, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func threshold(t *testing.T, text string) Threshold {
	t.Helper()
	least, err := ParseThreshold(text)
	if err != nil {
		t.Fatal(err)
	}
	return least
}

// formats writes a report in every format, and proves JUnit and JSON.
func formats(t *testing.T, r Report) map[string][]byte {
	t.Helper()
	written := map[string][]byte{}
	for _, format := range []string{"text", "json", "markdown", "junit"} {
		var out bytes.Buffer
		if err := r.Write(&out, format); err != nil {
			t.Fatal(err)
		}
		written[format] = out.Bytes()
	}
	for _, problem := range junitProblems(written["junit"]) {
		t.Errorf("junit: %s:\n%s", problem, written["junit"])
	}
	// Only a journal from elsewhere has other classes.
	if !slices.ContainsFunc(r.Violations, func(f Finding) bool { return !slices.Contains(Classes, f.Class) }) {
		checkReportSchema(t, written["json"])
	}
	return written
}

func TestReports(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Report{
		"passing": reportOf(t, passing, ReportOptions{Consumer: "nightly"}),
		"failing": reportOf(t, failing, ReportOptions{Consumer: "nightly", MinOperations: threshold(t, "50%")}),
		"idle":    reportOf(t, nil, ReportOptions{}),
	} {
		for format, text := range formats(t, r) {
			goldenReport(t, name+map[string]string{"text": ".txt", "json": ".json", "markdown": ".md", "junit": ".xml"}[format], text)
		}
	}
}

// A report depends on its arguments alone, and leaves them as they are.
func TestReportIsPure(t *testing.T) {
	t.Parallel()
	for _, entries := range [][]Entry{passing, failing} {
		before := encode(entries)
		first := reportOf(t, entries, ReportOptions{})
		written := formats(t, first)
		for range 10 {
			again := reportOf(t, entries, ReportOptions{})
			if !reflect.DeepEqual(first, again) {
				t.Fatalf("the report is another one:\n%s\n%s", encode(first), encode(again))
			}
			if other := formats(t, again); !reflect.DeepEqual(written, other) {
				t.Fatal("the report is written in another way")
			}
		}
		if encode(entries) != before {
			t.Error("making a report changed the journal")
		}
	}
}

func TestReportSortsTheWorstFirst(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range reportOf(t, failing, ReportOptions{}).Violations {
		got = append(got, fmt.Sprintf("%s %s %d from %d", f.Severity, f.Class, f.Times, f.First))
		if f.Line > 0 != (f.Operation != "") {
			t.Errorf("%s of %q is about line %d", f.Class, f.Operation, f.Line)
		}
	}
	want := []string{"error unknown-field 2 from 3", "error missing-field 2 from 3", "error method 1 from 2", "error not-found 1 from 4", "warning content-type 1 from 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The numbers were counted by hand in the journal above.
func TestReportCoverage(t *testing.T) {
	t.Parallel()
	r := reportOf(t, passing, ReportOptions{})
	c := r.Coverage
	// authenticate, createTask, createDeployment and readDeployment were called; createTask has five members and both
	// others one; one of two project preferences was sent; only readDeployment was seen to fail.
	for name, got := range map[string][2]Count{
		"operations": {c.Operations, {4, 18}}, "members": {c.Members, {7, 7}}, "enum values": {c.EnumValues, {1, 2}}, "error paths": {c.ErrorPaths, {1, 4}},
	} {
		if got[0] != got[1] {
			t.Errorf("%s are %v, want %v", name, got[0], got[1])
		}
	}
	if want := []string{"InQueue", "Running", "Completed"}; !slices.Equal(c.States, want) {
		t.Errorf("the states are %v, want %v", c.States, want)
	}
	byOperation := map[string]OperationCoverage{}
	for _, o := range c.ByOperation {
		byOperation[o.Operation] = o
	}
	if o := byOperation["readDeployment"]; o.Calls != 3 || o.Outcomes[OutcomeSuccess] != 2 || o.Outcomes[OutcomeUnanswered] != 1 || o.Members[0].Present != 3 || o.Members[0].Absent != 0 {
		t.Errorf("readDeployment is covered so: %+v", o)
	}
	if o := byOperation["authenticate"]; o.Calls != 1 {
		t.Errorf("GET is no way to authenticate: %+v", o)
	}
	if o := byOperation["listAgents"]; o.Calls != 0 || o.Members[0].Present+o.Members[0].Absent != 0 {
		t.Errorf("listAgents is covered so: %+v", o)
	}
	relied := map[string]Reliance{}
	for _, fact := range r.Relied {
		relied[fact.Fact] = fact
	}
	for fact, times := range map[string]int{
		"agent-47": 1, "names-on-create": 1, "pace": 2, "deployment-both-ids": 1, "AgentDeployment.taskId": 2, "AgentTask.agentId": 1,
		"delete-running": 0, "AgentDeployment.projectId": 0, "not-found-text": 0,
	} {
		got := relied[fact]
		if got.Times != times || times > 0 && (got.Line > 0) == (got.Question != "") {
			t.Errorf("%s was relied on %d times, want %d: %+v", fact, got.Times, times, got)
		}
	}

	failed := reportOf(t, failing, ReportOptions{})
	if got, want := failed.Coverage.Members, (Count{2, 2}); got != want {
		t.Errorf("the failing consumer sent %v of its members, want %v", got, want)
	}
	for _, o := range failed.Coverage.ByOperation {
		if o.Operation == "listAgents" && (o.Members[0].Present != 1 || o.Members[0].Absent != 2) {
			t.Errorf("organizationId was counted so: %+v", o.Members[0])
		}
	}
	for _, fact := range []string{"not-found-text", "one-envelope"} { // the latter of a request to no operation
		if !slices.ContainsFunc(failed.Relied, func(r Reliance) bool { return r.Fact == fact && r.Times == 1 }) {
			t.Errorf("%s is not among %+v", fact, failed.Relied)
		}
	}
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		operations, members string
		verdict             Verdict
		short               int
	}{
		{"0", "0%", VerdictPassed, 0},
		{"4", "7", VerdictPassed, 0},
		{"22%", "100%", VerdictPassed, 0}, // 4 of 18 are 22.2 %
		{"5", "7", VerdictShort, 1},
		{"23%", "0", VerdictShort, 1},
		{"100%", "8", VerdictShort, 2},
	} {
		r := reportOf(t, passing, ReportOptions{MinOperations: threshold(t, c.operations), MinMembers: threshold(t, c.members)})
		if r.Verdict != c.verdict || len(r.Shortfalls) != c.short {
			t.Errorf("%s operations and %s members: %s, %q", c.operations, c.members, r.Verdict, r.Shortfalls)
		}
	}
	r := reportOf(t, failing, ReportOptions{MinOperations: threshold(t, "100%")})
	if r.Verdict != VerdictBroken || !slices.Equal(r.Shortfalls, []string{"consumer covered 2 of 18 operations (11 %); 100% are asked for."}) {
		t.Errorf("broken and short: %s, %q", r.Verdict, r.Shortfalls)
	}
	if r := reportOf(t, nil, ReportOptions{MinOperations: threshold(t, "1")}); r.Verdict != VerdictShort {
		t.Errorf("idle and short: %s", r.Verdict)
	}
	for _, text := range []string{"0", "12", "0%", "80%", "100%", "1000"} {
		if got := threshold(t, text).String(); got != text {
			t.Errorf("threshold %s is written %s", text, got)
		}
	}
	for _, text := range []string{"", "%", "-1", "101%", "-1%", "a", "1.5", "50 %", "5%%", "99999999999999999999"} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), "write a number such as 12, or a percentage such as 80%") {
			t.Errorf("threshold %q: %v", text, err)
		}
	}
}

// A warning is reported and breaks nothing; what is off is not even noted.
func TestReportSeverities(t *testing.T) {
	t.Parallel()
	for severity, verdict := range map[Severity]Verdict{SeverityError: VerdictBroken, SeverityWarning: VerdictPassed, SeverityOff: VerdictPassed} {
		server, err := New(WithClock(func() time.Time { return mutantTime }), WithSeverity(UnknownField, severity))
		if err != nil {
			t.Fatal(err)
		}
		deliver(t, server, "/agents/read", `{"agentId":47,"more":1}`)
		r, err := server.Report(ReportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if severity == SeverityOff {
			want = 0
		}
		if r.Verdict != verdict || len(r.Violations) != want || want == 1 && r.Violations[0].Severity != severity {
			t.Errorf("%s: %s, %+v", severity, r.Verdict, r.Violations)
		}
		if failed := bytes.Contains(formats(t, r)["junit"], []byte("<failure")); failed != (severity == SeverityError) {
			t.Errorf("%s: a case has failed: %t", severity, failed)
		}
	}
}

func TestReportColors(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]Entry{"passing": passing, "failing": failing, "idle": nil} {
		r := reportOf(t, entries, ReportOptions{MinMembers: threshold(t, "100%")})
		var plain, colored bytes.Buffer
		if err := errors.Join(r.WriteText(&plain, false), r.WriteText(&colored, true)); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(plain.Bytes(), '\x1b') || !bytes.ContainsRune(colored.Bytes(), '\x1b') {
			t.Errorf("%s: colors come unasked, or not when they are", name)
		}
		if stripped := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(colored.String(), ""); stripped != plain.String() {
			t.Errorf("%s: without its colors, the text is another one:\n%s", name, stripped)
		}
	}
}

func TestReportFormatsThatDoNotExist(t *testing.T) {
	t.Parallel()
	r := reportOf(t, passing, ReportOptions{})
	if err := r.Write(io.Discard, "yaml"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `"yaml"`) {
		t.Errorf("got %v", err)
	}
	for _, format := range []string{"text", "json", "markdown", "junit"} {
		if err := r.Write(fullDisk{}, format); !errors.Is(err, errFull) {
			t.Errorf("%s: a write that fails gives %v", format, err)
		}
	}
}

type fullDisk struct{}

var errFull = errors.New("full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// hostile is what a consumer could send to spoil a report.
const hostile = "\x1b[31mred\x1b]0;title\a\n\n## new | <img src=x onerror=y>`|` & *b* ]]> \u202e \u0085\r\x00 \"q\" \\ é"

func TestReportsOfHostileNames(t *testing.T) {
	t.Parallel()
	server, err := New(WithClock(func() time.Time { return mutantTime }))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, server, "/agents/read", `{"agentId":47,`+encode(hostile)+`:1}`)
	deliver(t, server, "/agents/"+hostile, "{}")
	sent := server.Default().Journal()
	if len(sent) != 2 || len(sent[0].Violations) != 1 || len(sent[1].Violations) != 1 {
		t.Fatalf("the journal is %+v", sent)
	}
	// A saved journal may say anything.
	saved := exchanged(1, hostile, hostile, hostile, Violation{Class: hostile, Pointer: hostile, Text: hostile, Meant: "x", Severity: hostile}, Violation{})
	status := exchanged(2, "readDeployment", "{}", `{"success":true,"deployment":{"status":`+encode(hostile)+`}}`)
	for name, entries := range map[string][]Entry{"sent": sent, "saved": {saved, status}} {
		r := reportOf(t, entries, ReportOptions{Consumer: hostile})
		written := formats(t, r)
		tidy := formats(t, reportOf(t, entries, ReportOptions{Consumer: "tidy"}))
		for format, text := range written {
			for _, r := range string(text) {
				if r != '\n' && visible(string(r)) != string(r) && (format != "json" || r < ' ') {
					t.Errorf("%s as %s has the character %U:\n%s", name, format, r, text)
					break
				}
			}
		}
		if got, want := bytes.Count(written["text"], []byte("\n")), bytes.Count(tidy["text"], []byte("\n")); got != want {
			t.Errorf("%s: the text has %d lines with a hostile name, %d without", name, got, want)
		}
		checkMarkdown(t, string(written["markdown"]))
		var back Report
		if err := json.Unmarshal(written["json"], &back); err != nil || back.Consumer != hostile {
			t.Errorf("%s: the JSON gives %v, and the consumer %q", name, err, back.Consumer)
		}
	}
	var junit junitSuites
	if err := xml.Unmarshal(formats(t, reportOf(t, []Entry{saved}, ReportOptions{}))["junit"], &junit); err != nil || junit.Failures != 1 {
		t.Errorf("%v; %d failures: what an operation of another contract broke is lost", err, junit.Failures)
	}
}

// checkMarkdown holds that all rows of a table have as many cells, and that nothing opens an element that is not ours.
func checkMarkdown(t *testing.T, text string) {
	t.Helper()
	cells, lines := 0, strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") {
			if cells = 0; i > 0 && strings.HasPrefix(line, "#") {
				t.Errorf("line %d is a heading: %s", i+1, line)
			}
			continue
		}
		n := strings.Count(strings.NewReplacer(`\\`, "", `\|`, "").Replace(line), "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("line %d has %d bars, want %d: %s", i+1, n, cells, line)
		}
	}
	ours := regexp.MustCompile(`</?(details|summary)>`)
	if rest := ours.ReplaceAllString(text, ""); strings.Contains(rest, "<") {
		t.Errorf("the markdown holds an element of somebody else:\n%s", rest)
	}
}

func checkReportSchema(t *testing.T, report []byte) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	schema, err := compiler.Compile(filepath.Join("testdata", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("the report breaks its schema: %v\n%s", err, report)
	}
}

// The schema refuses what no report is.
func TestReportSchemaIsClosed(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	good := string(formats(t, reportOf(t, failing, ReportOptions{}))["json"])
	for old, other := range map[string]string{
		`"verdict": "broken"`: `"verdict": "bad"`, `"consumer"`: `"consumers"`, `"class": "method"`: `"class": "methods"`, `"times": 2`: `"times": 0`,
		`"severity": "warning"`: `"severity": "off"`, `"covered": 2`: `"covered": -1`, `"calls": 3`: `"calls": "3"`, `"success": 1`: `"succes": 1`,
	} {
		bad := strings.Replace(good, old, other, 1)
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if bad == good || schema.Validate(value) == nil {
			t.Errorf("with %s in place of %s, or without the latter, the schema lets a report pass", other, old)
		}
	}
}

// junitElement is an element of JUnit XML: its attributes, true for those that have to be there, and what it may hold.
type junitElement struct {
	attributes map[string]bool
	children   []string
	text       bool
}

// junitElements say what the schema junit-10.xsd of Jenkins' xUnit plugin says, as far as reports have use for it:
// https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
var junitElements = map[string]junitElement{
	"testsuites": {map[string]bool{"name": false, "time": false, "tests": false, "failures": false, "errors": false}, []string{"testsuite"}, false},
	"testsuite": {map[string]bool{
		"name": true, "tests": true, "failures": true, "errors": true, "skipped": false, "time": false, "group": false, "timestamp": false,
		"hostname": false, "id": false, "package": false, "file": false, "log": false, "url": false,
	}, []string{"testsuite", "testcase", "system-out", "system-err"}, false},
	"testcase": {
		map[string]bool{"name": true, "time": false, "classname": false, "group": false},
		[]string{"skipped", "error", "failure", "system-out", "system-err"}, false,
	},
	"failure":    {map[string]bool{"type": false, "message": false}, nil, true},
	"error":      {map[string]bool{"type": false, "message": false}, nil, true},
	"skipped":    {map[string]bool{"type": false, "message": false}, nil, true},
	"system-out": {nil, nil, true},
	"system-err": {nil, nil, true},
}

var junitTime = regexp.MustCompile(`^[0-9]{0,3}(,?[0-9]{3})*(\.[0-9]*)?$`)

// junitProblems are the ways in which a document departs from the schema, and its counts from what it holds.
func junitProblems(document []byte) (problems []string) {
	note := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	decoder := xml.NewDecoder(bytes.NewReader(document))
	var open []string
	held := map[string]int{}
	counted := map[string]string{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			note("it is not XML: %v", err)
			return problems
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			element, ok := junitElements[name]
			switch {
			case !ok || token.Name.Space != "":
				note("there is no element %s", name)
			case len(open) == 0 && name != "testsuites" && name != "testsuite":
				note("%s is not to be the root", name)
			case len(open) > 0 && !slices.Contains(junitElements[open[len(open)-1]].children, name):
				note("%s is not to be in %s", name, open[len(open)-1])
			}
			has := map[string]bool{}
			for _, a := range token.Attr {
				if _, ok := element.attributes[a.Name.Local]; !ok || has[a.Name.Local] {
					note("%s has the attribute %s, or has it twice", name, a.Name.Local)
				}
				if a.Name.Local == "time" && name != "testcase" && !junitTime.MatchString(a.Value) {
					note("the time of %s is %q", name, a.Value)
				}
				has[a.Name.Local] = true
				if name == "testsuite" {
					counted[a.Name.Local] = a.Value
				}
			}
			for attribute, required := range element.attributes {
				if required && !has[attribute] {
					note("%s lacks the attribute %s", name, attribute)
				}
			}
			held[name]++
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" && (len(open) == 0 || !junitElements[open[len(open)-1]].text) {
				note("there is a text where none is to be: %q", text)
			}
		}
	}
	for attribute, element := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
		if counted[attribute] != fmt.Sprint(held[element]) {
			note("%s are %q, and there are %d", attribute, counted[attribute], held[element])
		}
	}
	return problems
}

// The check of JUnit XML finds what it is to find.
func TestJUnitProblems(t *testing.T) {
	t.Parallel()
	good := string(formats(t, reportOf(t, failing, ReportOptions{MinOperations: threshold(t, "100%")}))["junit"])
	for old, other := range map[string]string{
		`<testsuite name="consumer"`: "<testsuite", ` errors="0"`: "", `time="0">`: `time="soon">`, `<failure message`: `<failure text`,
		`<skipped message="never called"></skipped>`: "never called", `skipped="16"`: `skipped="15"`, `</testsuites>`: "", "testcase": "case",
	} {
		bad := strings.Replace(good, old, other, 1)
		if bad == good || len(junitProblems([]byte(bad))) == 0 {
			t.Errorf("with %s in place of %s, or without the latter, nothing is found in\n%s", other, old, good)
		}
	}
}
