package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/mockserver"
)

// consumer is a small program that speaks to the API as its environment tells it to.
type consumer struct {
	base, user, token, organization string
	now                             time.Time
}

func newConsumer() consumer {
	return consumer{
		base: os.Getenv("QUANTCONNECT_API_BASE_URL"), user: os.Getenv("QUANTCONNECT_USER_ID"), token: os.Getenv("QUANTCONNECT_API_TOKEN"),
		organization: os.Getenv("QUANTCONNECT_ORGANIZATION_ID"),
		now:          time.Now(),
	}
}

// sign signs a request as a user, with a token, at a time.
func sign(r *http.Request, user, token string, at time.Time) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	r.Header.Set("Authorization", basic(user, fmt.Sprintf("%x", sha256.Sum256([]byte(token+":"+stamp)))))
	r.Header.Set("Timestamp", stamp)
}

func basic(user, hash string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+hash))
}

// post sends a signed request and gives its answer. ORGANIZATION in the body stands for the account's.
func (c consumer) post(path, body string, edits ...func(*http.Request)) []byte {
	body = strings.ReplaceAll(body, "ORGANIZATION", c.organization)
	r, err := http.NewRequest(http.MethodPost, c.base+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	sign(r, c.user, c.token, c.now)
	r.Header.Set("Content-Type", "application/json")
	for _, edit := range edits {
		edit(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return answer
}

// breach is one way to break the contract.
type breach struct {
	class mockserver.Class
	// operation is the one that the report names; empty when there is none.
	operation string
	// answer is how the sentence in the answer begins, and says what the report says of it.
	answer, says string
	commit       func(c consumer) []byte
}

// observed are the texts that live servers were seen to begin with.
const (
	observedArgument  = "Invalid argument: "
	observedHash      = "Hash doesn't match."
	observedUser      = "UserID not valid"
	observedTimestamp = "Invalid timestamp, value received: "
)

const task = `{"organizationId":"ORGANIZATION","agentId":47,"name":"a","prompt":"b","projectPreference":"project-for-task"}`

func sends(path, body string, edits ...func(*http.Request)) func(consumer) []byte {
	return func(c consumer) []byte { return c.post(path, body, edits...) }
}

func sets(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
	}
}

// breaches has a way for every class that a request can be of today.
var breaches = []breach{
	{
		mockserver.UnknownOperation, "", "Endpoint not found: /api/v2/agents/lst; did you mean /api/v2/agents/list?",
		"Endpoint not found: /api/v2/agents/lst; did you mean /api/v2/agents/list?", sends("/agents/lst", organized),
	},
	{
		mockserver.Method, "", "Method PUT is not allowed for /api/v2/agents/list; use POST.",
		"Method PUT is not allowed for /api/v2/agents/list; use POST.",
		sends(listAgents, organized, func(r *http.Request) { r.Method = http.MethodPut }),
	},
	{
		mockserver.ContentType, "listAgents", observedArgument, `The Content-Type is "text/plain"; send the body of listAgents as application/json.`,
		sends(listAgents, organized, sets("Content-Type", "text/plain")),
	},
	{mockserver.BodyNotJSON, "listAgents", observedArgument, "The body is not JSON: at byte 1, invalid character 'o' looking for beginning of value.", sends(listAgents, "organizationId=1")},
	{mockserver.TrailingData, "listAgents", observedArgument, "Something follows the JSON value, from byte", sends(listAgents, organized+"{}")},
	{
		mockserver.DuplicateKey, "listAgents", observedArgument, `Member "organizationId" appears twice in one object; send it once.`,
		sends(listAgents, `{"organizationId":"1","organizationId":"ORGANIZATION"}`),
	},
	{
		mockserver.WrongCase, "listAgents", observedArgument, `Member "organizationID" has the wrong case; write "organizationId".`,
		sends(listAgents, `{"organizationID":"ORGANIZATION"}`),
	},
	{mockserver.UnknownField, "listAgents", observedArgument, `Member "organisationId" is not known; did you mean "organizationId"?`, sends(listAgents, misspelled)},
	{mockserver.MissingField, "listAgents", observedArgument, `Member "organizationId" is missing; it is required.`, sends(listAgents, "{}")},
	{mockserver.Type, "readAgent", observedArgument, `Member "agentId" has the wrong type; send a whole number.`, sends("/agents/read", `{"agentId":"47"}`)},
	{
		mockserver.Enum, "createTask", observedArgument, `Member "projectPreference" has a value that is not allowed; send one of`,
		sends("/agents/tasks/create", strings.ReplaceAll(task, "project-for-task", "project-per-task")),
	},
	{
		mockserver.Bound, "createTask", observedArgument, `Member "prompt" is too short; send a text that is not empty.`,
		sends("/agents/tasks/create", strings.ReplaceAll(task, `"prompt":"b"`, `"prompt":""`)),
	},
	{mockserver.Null, "readAgent", observedArgument, `Member "agentId" is null; send a whole number, or leave it out if it is optional.`, sends("/agents/read", `{"agentId":null}`)},
	{
		mockserver.AuthMissing, "listAgents", observedUser, "UserID not valid (None): the header Authorization is missing; send Basic",
		sends(listAgents, organized, sets("Authorization", "")),
	},
	{
		mockserver.AuthMalformed, "listAgents", observedHash, "Hash doesn't match. UID: 1: the hash is not 64 lower-case hexadecimal digits; send the SHA-256",
		sends(listAgents, organized, sets("Authorization", basic("1", "mock-api-token"))),
	},
	{
		mockserver.AuthStale, "listAgents", observedTimestamp, "the signature is 3h0m0s old and 2h0m0s is the limit; sign each request afresh",
		func(c consumer) []byte {
			c.now = c.now.Truncate(time.Second).Add(-3 * time.Hour)
			return c.post(listAgents, organized)
		},
	},
	{
		mockserver.AuthFuture, "listAgents", observedTimestamp, "the time is in milliseconds or finer; send whole seconds, and make the hash with them.",
		func(c consumer) []byte {
			c.now = time.Unix(c.now.UnixMilli(), 0)
			return c.post(listAgents, organized)
		},
	},
	{
		mockserver.AuthHash, "listAgents", observedHash, "Hash doesn't match. UID: 1: the token is another one, or the hash is not the lower-case hexadecimal SHA-256 of <token>:<timestamp>",
		func(c consumer) []byte {
			c.token = "another"
			return c.post(listAgents, organized)
		},
	},
	{
		mockserver.AuthUser, "listAgents", observedUser, "UserID not valid (2): the mock knows no such user",
		func(c consumer) []byte {
			c.user = "2"
			return c.post(listAgents, organized)
		},
	},
	{
		mockserver.StateConflict, "deleteAgent", "Agent 47 belongs to QuantConnect and cannot be changed or deleted",
		"Agent 47 belongs to QuantConnect and cannot be changed or deleted; create an agent of your own", sends("/agents/delete", `{"agentId":47}`),
	},
	{
		mockserver.NotFound, "readAgent", "Agent 9999 not found", "Agent 9999 not found: no organization of user 1 has it; list its agents with /agents/list.",
		sends("/agents/read", `{"agentId":9999}`),
	},
	{
		mockserver.TooLarge, "listAgents", "The body is larger than 1048576 bytes", "The body is larger than 1048576 bytes; send a smaller one.",
		sends(listAgents, `{"organizationId":"`+strings.Repeat("0", 1<<20)+`"}`),
	},
}

// unreachable are the classes that no request is of today, and where else they are tested.
var unreachable = map[mockserver.Class]string{
	mockserver.Format: "the contract asks for no form; the checker is tested by itself, in TestFormat",
}

func breachOf(class mockserver.Class) (breach, bool) {
	i := slices.IndexFunc(breaches, func(b breach) bool { return b.class == class })
	if i < 0 {
		return breach{}, false
	}
	return breaches[i], true
}

// commit breaks the contract in the way of a class, prints the sentence that it was answered with, and succeeds: that it
// got a refusal is nothing to this program.
func commit(args []string) int {
	b, ok := breachOf(mockserver.Class(args[0]))
	if !ok {
		panic("no way to commit " + args[0])
	}
	var envelope struct {
		Success bool
		Errors  []string
	}
	if answer := b.commit(newConsumer()); json.Unmarshal(answer, &envelope) != nil || envelope.Success || len(envelope.Errors) == 0 {
		panic(fmt.Sprintf("the answer is no refusal: %s", answer))
	}
	fmt.Print(envelope.Errors[0])
	return 0
}

// TestClasses runs a consumer for every class of violation: what it is answered with, the exit code that its run comes to,
// and what the reports say.
func TestClasses(t *testing.T) {
	for _, class := range mockserver.Classes {
		t.Run(string(class), func(t *testing.T) {
			b, ok := breachOf(class)
			if why := unreachable[class]; why != "" {
				t.Skip(why)
			}
			if !ok {
				t.Fatal("nobody commits this class; write a breach for it")
			}
			dir := t.TempDir()
			r := runOf(t, []string{"--report", dir}, "commit", string(class))
			where := b.operation
			if where == "" {
				where = "no operation"
			}
			r.wants(t, exitBroken, "BROKEN", "error    "+string(class)+"  "+where, b.says, "exit code 3: the command succeeded, but broke the contract")
			if !strings.HasPrefix(r.stdout, b.answer) {
				t.Errorf("the answer says %q, want it to begin with %q", r.stdout, b.answer)
			}
			checkReports(t, dir, b)
		})
	}
}

func checkReports(t *testing.T, dir string, b breach) {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	text := string(read("report.txt"))
	for _, want := range []string{string(b.class), b.operation, b.says} {
		if !strings.Contains(text, want) {
			t.Errorf("report.txt lacks %q:\n%s", want, text)
		}
	}
	var report mockserver.Report
	if err := json.Unmarshal(read("report.json"), &report); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(report.Violations, func(f mockserver.Finding) bool { return f.Class == b.class })
	want := 1
	if b.class == mockserver.UnknownField {
		want = 2 // the member that was meant is missing then, which is said after its cause
	}
	if i != 0 || len(report.Violations) != want {
		t.Fatalf("report.json has %+v, want %d, the first of %s", report.Violations, want, b.class)
	}
	f := report.Violations[0]
	if f.Operation != b.operation || f.Times != 1 || f.First != 1 || f.Severity != mockserver.SeverityError || f.Line > 0 != (b.operation != "") {
		t.Errorf("report.json has %+v", f)
	}
	line := regexp.MustCompile(`openapi\.yaml:[1-9][0-9]*\b`).FindString(text)
	if want := fmt.Sprintf("openapi.yaml:%d", f.Line); b.operation != "" && line != want || b.operation == "" && line != "" {
		t.Errorf("report.txt names the line %q, and report.json %d", line, f.Line)
	}
	var junit struct {
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Type string `xml:"type,attr"`
				Text string `xml:",chardata"`
			} `xml:"failure"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(read("junit.xml"), &junit); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, c := range junit.Cases {
		if c.Failure == nil {
			continue
		}
		failures++
		if b.operation != "" && c.Name != b.operation || c.Failure.Type != string(b.class) || !strings.Contains(c.Failure.Text, b.says) {
			t.Errorf("junit.xml has %s failed with %+v", c.Name, *c.Failure)
		}
	}
	if junit.Failures != 1 || failures != 1 {
		t.Errorf("junit.xml counts %d failures and has %d, want 1", junit.Failures, failures)
	}
	if md := string(read("report.md")); !strings.Contains(md, "`"+string(b.class)+"`") || !strings.Contains(md, b.operation) {
		t.Errorf("report.md has\n%s", md)
	}
}

// TestClassesAreAllCommitted keeps the list above complete, and free of what no longer exists.
func TestClassesAreAllCommitted(t *testing.T) {
	t.Parallel()
	for _, class := range mockserver.Classes {
		if _, ok := breachOf(class); ok == (unreachable[class] != "") {
			t.Errorf("%s: have a breach, or else a reason why there is none", class)
		}
	}
	if got, want := len(breaches)+len(unreachable), len(mockserver.Classes); got != want {
		t.Errorf("there are %d cases for %d classes", got, want)
	}
}

// keep calls every operation with all its members, but for readConversation, one member of which takes a sub-agent.
func keep([]string) int {
	c := newConsumer()
	call := func(path, body string) (ids struct {
		Agent      struct{ ID int }
		Task       struct{ ID int }
		Deployment struct{ DeploymentID string }
	}) {
		answer := c.post(path, body)
		var envelope struct{ Success bool }
		if json.Unmarshal(answer, &envelope) != nil || !envelope.Success || json.Unmarshal(answer, &ids) != nil {
			panic(fmt.Sprintf("%s: %s", path, answer))
		}
		return ids
	}
	const settings = `"name":"a","description":"b","profileImage":"c.png","systemPrompt":"d","reasoningEffort":"high","maxTurns":5,
		"toolChoice":"auto","tools":["create_compile"],"public":false,"model":"claude-opus-4-7","chainedAgents":[{"agentId":47,"step":1,"agent":{}}],
		"subAgents":[{"agentId":47,"callableCount":1}],"token":{"llmProviderApi":"anthropic","llmApiTokenUser":"not-a-real-key"},"useQCC":true,
		"pipeline":"e","author":{"publicId":"f","name":"g","image":"h.png"},"organization":{"id":"ORGANIZATION","name":"i","profile":"j.png"},
		"node":{"id":0,"sku":"A-8"}`
	call("/authenticate", "")
	agent := fmt.Sprintf(`{"agentId":%d}`, call("/agents/create", `{"organizationId":"ORGANIZATION",`+settings+"}").Agent.ID)
	call("/agents/read", agent)
	call("/agents/update", strings.TrimSuffix(agent, "}")+","+settings+"}")
	call(listAgents, organized)
	taskID := call("/agents/tasks/create", task).Task.ID
	one := fmt.Sprintf(`{"taskId":%d}`, taskID)
	call("/agents/tasks/read", one)
	call("/agents/tasks/update", fmt.Sprintf(`{"taskId":%d,"name":"k"}`, taskID))
	call("/agents/tasks/list", organized)
	id := call("/agents/deployments/create", one).Deployment.DeploymentID
	run := fmt.Sprintf(`{"deploymentId":%q}`, id)
	call("/agents/deployments/read", run)
	call("/agents/deployments/prompt", fmt.Sprintf(`{"deploymentId":%q,"prompt":"l"}`, id))
	call("/agents/deployments/list", one)
	call("/agents/deployments/stop", run)
	call("/agents/deployments/delete", run)
	call("/agents/tasks/delete", one)
	call("/agents/delete", agent)
	return 0
}

// TestCleanConsumer has a consumer that keeps the contract: nothing is found, and it gets credit for all that it used.
func TestCleanConsumer(t *testing.T) {
	dir := t.TempDir()
	r := runOf(t, []string{"--report", dir, "--min-operations", "17", "--min-members", "100%"}, "keep")
	r.wants(t, exitOK, "PASSED", "operations       17 of 18", "(100 %)", "never called: readConversation")
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report mockserver.Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != mockserver.VerdictPassed || len(report.Violations) != 0 || report.Coverage.Members.Percent() != 100 || report.Coverage.Members.Total < 60 {
		t.Errorf("the report has %s, %+v and %+v", report.Verdict, report.Violations, report.Coverage.Members)
	}
	for _, o := range report.Coverage.ByOperation {
		if o.Outcomes[mockserver.OutcomeSuccess] != o.Calls {
			t.Errorf("%s had %v", o.Operation, o.Outcomes)
		}
		for _, m := range o.Members {
			if o.Calls > 0 && (m.Present != o.Calls || m.Absent != 0) {
				t.Errorf("%s: %s was sent in %d of %d calls, and missing in %d", o.Operation, m.Pointer, m.Present, o.Calls, m.Absent)
			}
		}
	}
	junit, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil || strings.Contains(string(junit), "<failure") {
		t.Errorf("%v; junit.xml has\n%s", err, junit)
	}
}
