package mockserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// remote drives a mock as a program in another language does: by HTTP alone.
type remote struct {
	t      *testing.T
	server *mockserver.Server
	http   *http.Client
}

// driven is a mock with a seed, whose times and identifiers are therefore known.
func driven(t *testing.T, opts ...mockserver.Option) *remote {
	t.Helper()
	server, err := mockserver.New(append([]mockserver.Option{mockserver.WithSeed("control")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return &remote{t: t, server: server, http: &http.Client{Transport: server.Transport()}}
}

// answered is an answer of the control plane.
type answered struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answered) errors() string {
	var sentences []string
	list, _ := a.body["errors"].([]any)
	for _, one := range list {
		sentences = append(sentences, fmt.Sprint(one))
	}
	return strings.Join(sentences, " | ")
}

func (m *remote) send(r *http.Request) answered {
	m.t.Helper()
	resp, err := m.http.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	a := answered{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if resp.Header.Get("Content-Type") == "application/json" && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			m.t.Errorf("%s %s answers no JSON object: %v: %s", r.Method, r.URL.Path, err, raw)
		}
	}
	return a
}

// request is a call of the control plane: a method and path, and a body unless it is empty.
func request(t *testing.T, call, body string) *http.Request {
	t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:5612/_mock"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// call wants a success.
func (m *remote) call(call, body string) map[string]any {
	m.t.Helper()
	a := m.send(request(m.t, call, body))
	if a.status >= 300 {
		m.t.Fatalf("%s %.200s: %d %s", call, body, a.status, a.raw)
	}
	return a.body
}

// refused wants a refusal of this status that says this.
func (m *remote) refused(status int, says, call, body string) answered {
	m.t.Helper()
	a := m.send(request(m.t, call, body))
	if a.status != status || !strings.Contains(a.errors(), says) {
		m.t.Errorf("%s %.200s: %d %s; want %d and %q", call, body, a.status, a.raw, status, says)
	}
	if a.body["success"] != false || len(a.body) != 2 {
		m.t.Errorf("%s %s: refusal without its envelope: %s", call, body, a.raw)
	}
	return a
}

// consumer is a client of the mock with the credentials that a world was given.
func (m *remote) consumer(world map[string]any) *client.Client {
	m.t.Helper()
	c, err := client.New(
		client.WithBaseURL(world["url"].(string)),
		client.WithCredentials(client.Credentials{UserID: int64(world["userId"].(float64)), Token: world["token"].(string)}),
		client.WithOrganization(world["organizationId"].(string)),
		client.WithHTTPClient(m.http),
		client.WithRetry(client.RetryPolicy{MaxAttempts: 1}),
	)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *remote) defaultConsumer() *client.Client {
	return m.consumer(m.call("GET /worlds/default", ""))
}

// deployed has an agent, a task and a deployment made.
func deployed(t *testing.T, c *client.Client) *client.Deployment {
	t.Helper()
	task, err := c.Tasks.Create(t.Context(), client.CreateAgentTaskRequest{AgentID: 47, Name: "a task", Prompt: "Buy low.", OrganizationID: mockserver.DefaultOrganizationID, ProjectPreference: "project-for-task"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Deployments.Create(t.Context(), task.ID)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (m *remote) deployments() map[string]any {
	m.t.Helper()
	return m.call("GET /worlds/default", "")["deployments"].(map[string]any)
}

func (m *remote) time(answer map[string]any) time.Time {
	m.t.Helper()
	at, err := time.Parse(time.RFC3339, answer["now"].(string))
	if err != nil {
		m.t.Fatal(err)
	}
	return at
}

func TestControlMakesWorlds(t *testing.T) {
	t.Parallel()
	m := driven(t)

	fresh := m.call("POST /worlds", "")
	if fresh["url"] != "http://127.0.0.1:5612/api/v2" {
		t.Errorf("url is %v", fresh["url"])
	}
	if err := m.consumer(fresh).Authenticate(t.Context()); err != nil {
		t.Errorf("the credentials that were handed out do not work: %v", err)
	}
	if _, err := m.consumer(fresh).Agents.List(t.Context(), fresh["organizationId"].(string)); err != nil {
		t.Errorf("the organization that was handed out does not work: %v", err)
	}
	if other := m.call("POST /worlds", "{}"); other["userId"] == fresh["userId"] || other["token"] == fresh["token"] || other["organizationId"] == fresh["organizationId"] {
		t.Errorf("two worlds were handed out with the same credentials: %v, %v", fresh, other)
	}
	if again := driven(t).call("POST /worlds", ""); again["userId"] != fresh["userId"] || again["token"] != fresh["token"] || again["organizationId"] != fresh["organizationId"] {
		t.Errorf("one seed gives different credentials: %v, %v", fresh, again)
	}

	chosen := m.call("POST /worlds", `{"userId":5,"token":"my-token","organizations":["a","b"]}`)
	if chosen["userId"] != 5.0 || chosen["token"] != "my-token" || chosen["organizationId"] != "a" {
		t.Errorf("chosen world is %v", chosen)
	}
	if partly := m.call("POST /worlds", `{"userId":0}`); partly["userId"] != 0.0 || partly["token"] == "" || partly["organizationId"] == "" {
		t.Errorf("world of user 0 is %v", partly)
	}
	m.refused(http.StatusConflict, "user id 5 is taken; use another.", "POST /worlds", `{"userId":5}`)
	m.refused(http.StatusConflict, "user id 1 is taken; use another.", "POST /worlds/default/fork", `{"userId":1}`)
	m.refused(http.StatusBadRequest, `Member "userId" is too small; send 0 or more.`, "POST /worlds", `{"userId":-1}`)

	var ids []float64
	for _, w := range m.call("GET /worlds", "")["worlds"].([]any) {
		ids = append(ids, w.(map[string]any)["userId"].(float64))
	}
	if want := []float64{0, 1, 5, 100001, 100002}; !slices.Equal(ids, want) {
		t.Errorf("worlds are of %v, want %v", ids, want)
	}

	if gone := m.call("DELETE /worlds/5", ""); gone["deleted"] != 5.0 {
		t.Errorf("delete answers %v", gone)
	}
	m.refused(http.StatusNotFound, "There is no world of user 5; GET /_mock/worlds lists", "GET /worlds/5", "")
	m.refused(http.StatusConflict, "the default world stays; reset it instead.", "DELETE /worlds/default", "")
	m.refused(http.StatusNotFound, "There is no world of user somebody", "POST /worlds/somebody/reset", "")
}

func TestControlRefusesMoreWorldsThanAllowed(t *testing.T) {
	t.Parallel()
	m := driven(t, mockserver.WithMaxWorlds(2))
	m.call("POST /worlds", "")
	m.refused(http.StatusConflict, "there are 2 already, which is the limit", "POST /worlds", "")
}

func TestFreshAccountsAvoidTakenUserIDs(t *testing.T) {
	t.Parallel()
	m := driven(t)
	m.call("POST /worlds", `{"userId":100001}`)
	if w := m.call("POST /worlds", ""); w["userId"] != 100002.0 {
		t.Errorf("user id %v was handed out, want 100002", w["userId"])
	}
}

func TestControlTellsWhatAWorldIs(t *testing.T) {
	t.Parallel()
	m := driven(t)
	c := m.defaultConsumer()
	if _, err := c.Agents.Create(t.Context(), client.CreateAgentRequest{Name: "an agent", OrganizationID: mockserver.DefaultOrganizationID}); err != nil {
		t.Fatal(err)
	}
	deployed(t, c)
	m.call("POST /worlds/default/faults", `{"operation":"createTask","effect":{"drop":true}}`)
	m.call("POST /worlds/default/snapshots", "")
	w := m.call("GET /worlds/default", "")
	for name, want := range map[string]string{
		"userId": "1", "token": "mock-api-token", "speed": "1", "capacity": "0", "agents": "1", "tasks": "1",
		"deployments": "map[InQueue:1]", "faults": "1", "snapshots": "[s1]",
		"accounts": "[map[organizations:[0123456789abcdef0123456789abcdef] token:mock-api-token userId:1]]",
	} {
		if got := fmt.Sprint(w[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if again := m.call("GET /worlds/1/", ""); fmt.Sprint(again) != fmt.Sprint(w) {
		t.Errorf("the default world by its number, with a slash at the end, is %v; want %v", again, w)
	}
}

func TestControlMovesTime(t *testing.T) {
	t.Parallel()
	m := driven(t)
	d := deployed(t, m.defaultConsumer())
	before := m.time(m.call("GET /worlds/default", ""))

	if next := m.call("POST /worlds/default/advance-to-next", ""); next["changed"] != true || !m.time(next).After(before) {
		t.Errorf("advance-to-next answers %v", next)
	}
	if got := fmt.Sprint(m.deployments()); got != "map[Running:1]" {
		t.Errorf("deployments are %s after the first change", got)
	}
	before = m.time(m.call("GET /worlds/default", ""))
	if then := m.time(m.call("POST /worlds/default/advance", `{"by":"1m30s"}`)); then.Sub(before) != 90*time.Second {
		t.Errorf("advancing by 90s went from %s to %s", before, then)
	}
	read, err := m.defaultConsumer().Deployments.Read(t.Context(), d.DeploymentID)
	if err != nil || read.Status != "Completed" {
		t.Errorf("the deployment is %v, %v after 90s", read, err)
	}
	if next := m.call("POST /worlds/default/advance-to-next", ""); next["changed"] != false {
		t.Errorf("advance-to-next answers %v when nothing is left to change", next)
	}

	m.refused(http.StatusBadRequest, "Advance by -1s: time goes forward only.", "POST /worlds/default/advance", `{"by":"-1s"}`)
	m.refused(http.StatusBadRequest, `Read duration "soon": write it as 1.5s, 2m or 1h30m.`, "POST /worlds/default/advance", `{"by":"soon"}`)
	m.refused(http.StatusBadRequest, `Member "by" has the wrong type; send a string.`, "POST /worlds/default/advance", `{"by":90}`)
	m.refused(http.StatusBadRequest, `Member "by" is missing; it is required.`, "POST /worlds/default/advance", `{}`)
}

func TestControlCannotAdvanceToATimeThatNoAnswerCanWrite(t *testing.T) {
	t.Parallel()
	m := driven(t)
	refusals := 0
	for range 40 {
		if a := m.send(request(t, "POST /worlds/default/advance", `{"by":"2500000h"}`)); a.status != http.StatusOK {
			refusals++
			if a.status != http.StatusBadRequest || !strings.Contains(a.errors(), "beyond the year 9999") {
				t.Fatalf("answer is %d %s", a.status, a.raw)
			}
		}
	}
	if refusals == 0 {
		t.Error("no refusal before the year 10000")
	}
	if err := m.defaultConsumer().Authenticate(t.Context()); err != nil {
		t.Errorf("the world does not answer any more: %v", err)
	}
}

func TestControlSetsTheSpeed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	server, err := mockserver.New(mockserver.WithClock(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}))
	if err != nil {
		t.Fatal(err)
	}
	m := &remote{t: t, server: server, http: &http.Client{Transport: server.Transport()}}

	start := m.time(m.call("GET /worlds/default", ""))
	if a := m.call("POST /worlds/default/speed", `{"speed":60}`); a["speed"] != 60.0 {
		t.Errorf("speed answers %v", a)
	}
	pass(time.Second)
	if a := m.call("POST /worlds/default/freeze", ""); a["speed"] != 0.0 || m.time(a).Sub(start) != time.Minute {
		t.Errorf("freeze answers %v after a second at speed 60 since %s", a, start)
	}
	pass(time.Hour)
	if a := m.call("GET /worlds/default", ""); m.time(a).Sub(start) != time.Minute {
		t.Errorf("a frozen world went on to %v", a["now"])
	}
	m.refused(http.StatusBadRequest, `Member "speed" is too small; send 0 or more.`, "POST /worlds/default/speed", `{"speed":-1}`)
	m.refused(http.StatusBadRequest, "use a number from 0 (time stands still) to 1000000.", "POST /worlds/default/speed", `{"speed":1000001}`)
	m.refused(http.StatusBadRequest, `Member "speed" has the wrong type; send a number.`, "POST /worlds/default/speed", `{"speed":"fast"}`)
}

func TestControlSettlesAndLimitsCapacity(t *testing.T) {
	t.Parallel()
	m := driven(t)
	if a := m.call("POST /worlds/default/capacity", `{"capacity":1}`); a["capacity"] != 1.0 {
		t.Errorf("capacity answers %v", a)
	}
	c := m.defaultConsumer()
	m.call("POST /worlds/default/freeze", "")
	deployed(t, c)
	deployed(t, c)
	m.call("POST /worlds/default/advance-to-next", "")
	if got := fmt.Sprint(m.deployments()); got != "map[InQueue:1 Running:1]" {
		t.Errorf("deployments are %s with a capacity of 1", got)
	}
	m.call("POST /worlds/default/settle", "")
	if got := fmt.Sprint(m.deployments()); got != "map[Completed:2]" {
		t.Errorf("deployments are %s when settled", got)
	}
	m.refused(http.StatusBadRequest, `Member "capacity" is too small; send 0 or more.`, "POST /worlds/default/capacity", `{"capacity":-1}`)
	m.refused(http.StatusBadRequest, `Member "capacity" has a fraction or an exponent`, "POST /worlds/default/capacity", `{"capacity":1.5}`)
}

func TestControlTakesWorldsBack(t *testing.T) {
	t.Parallel()
	m := driven(t)
	c := m.defaultConsumer()
	deployed(t, c)
	kept := m.call("POST /worlds/default/snapshots", "")
	if kept["snapshot"] != "s1" {
		t.Errorf("snapshot answers %v", kept)
	}
	deployed(t, c)
	m.call("POST /worlds/default/advance", `{"by":"1h"}`)

	if a := m.call("POST /worlds/default/restore", `{"snapshot":"s1"}`); a["now"] != kept["now"] {
		t.Errorf("restore answers %v, want the time of the snapshot, %v", a, kept["now"])
	}
	if w := m.call("GET /worlds/default", ""); w["tasks"] != 1.0 {
		t.Errorf("%v tasks after restoring a world of one", w["tasks"])
	}
	m.call("POST /worlds/default/reset", "")
	if w := m.call("GET /worlds/default", ""); w["tasks"] != 0.0 || w["exchanges"] != 0.0 || w["now"] != "2026-01-01T00:00:00Z" {
		t.Errorf("after a reset the world is %v", w)
	}
	m.call("POST /worlds/default/restore", `{"snapshot":"s1"}`)
	if w := m.call("GET /worlds/default", ""); w["tasks"] != 1.0 {
		t.Error("a snapshot is lost by a reset")
	}

	if a := m.call("DELETE /worlds/default/snapshots/s1", ""); a["deleted"] != "s1" {
		t.Errorf("forgetting answers %v", a)
	}
	m.refused(http.StatusNotFound, `This world has no snapshot "s1"; GET /_mock/worlds/1 names those it has.`, "POST /worlds/default/restore", `{"snapshot":"s1"}`)
	m.refused(http.StatusNotFound, `This world has no snapshot "s1"`, "DELETE /worlds/default/snapshots/s1", "")
}

func TestControlKeepsABoundedNumberOfSnapshots(t *testing.T) {
	t.Parallel()
	m := driven(t)
	for range 100 {
		m.call("POST /worlds/default/snapshots", "")
	}
	m.refused(http.StatusConflict, "100 are kept already, which is the limit; DELETE one of them", "POST /worlds/default/snapshots", "")
	m.call("DELETE /worlds/default/snapshots/s7", "")
	if a := m.call("POST /worlds/default/snapshots", ""); a["snapshot"] != "s101" {
		t.Errorf("the next snapshot is %v; a name must not be given twice", a["snapshot"])
	}
	names := m.call("GET /worlds/default", "")["snapshots"].([]any)
	if len(names) != 100 || names[0] != "s1" || names[6] != "s8" || names[99] != "s101" {
		t.Errorf("the snapshots are %v", names)
	}
}

func TestControlLoadsScenarios(t *testing.T) {
	t.Parallel()
	m := driven(t)
	deployed(t, m.defaultConsumer())
	const load = "POST /worlds/default/load"
	if w := m.call(load, `{"capacity":3,"rules":[{"plan":"stuck-in-queue"}]}`); w["capacity"] != 3.0 || w["tasks"] != 0.0 || w["exchanges"] != 0.0 {
		t.Errorf("the world is %v", w)
	}
	deployed(t, m.defaultConsumer())
	m.call("POST /worlds/default/advance", `{"by":"24h"}`)
	if got := fmt.Sprint(m.deployments()); got != "map[InQueue:1]" {
		t.Errorf("deployments are %s under the scenario's rule", got)
	}

	yaml := request(t, load, "accounts:\n  - userId: 8\n    token: eight\nfaults:\n  - effect: { drop: true }\n")
	yaml.Header.Set("Content-Type", "application/yaml")
	if a := m.send(yaml); a.status != http.StatusOK || a.body["userId"] != 8.0 || a.body["token"] != "eight" || a.body["faults"] != 1.0 {
		t.Errorf("a scenario in YAML: %d %s", a.status, a.raw)
	}
	if w := m.call("GET /worlds/8", ""); w["userId"] != 8.0 {
		t.Errorf("the world of the scenario's account is %v", w)
	}

	m.refused(http.StatusBadRequest, "did you mean", load, `{"capacty":3}`)
	m.refused(http.StatusUnsupportedMediaType, "Content-Type is missing; send the body as application/json or application/yaml.", load, "")
	if a := m.refused(http.StatusBadRequest, " | ", load, `{"capacity":-1,"rules":[{"plan":"no-such-plan"}]}`); !strings.Contains(a.errors(), "no-such-plan") {
		t.Errorf("two mistakes: %s", a.raw)
	}
	m.call("POST /worlds", `{"userId":9}`)
	m.refused(http.StatusBadRequest, "belongs to another world", load, `{"accounts":[{"userId":9}]}`)
	if w := m.call("GET /worlds/8", ""); w["faults"] != 1.0 {
		t.Errorf("a refused scenario changed the world to %v", w)
	}
	// A scenario may be larger than a request of a consumer.
	m = driven(t, mockserver.WithMaxBody(1000))
	m.call(load, `{"description":"`+strings.Repeat("x", 1<<19)+`"}`)
	m.refused(http.StatusRequestEntityTooLarge, "larger than", load, `{"description":"`+strings.Repeat("x", 1<<20)+`"}`)
}

func TestControlForksWorlds(t *testing.T) {
	t.Parallel()
	m := driven(t)
	deployed(t, m.defaultConsumer())
	fork := m.call("POST /worlds/default/fork", "")
	if fork["tasks"] != 1.0 || fork["organizationId"] != mockserver.DefaultOrganizationID || fork["userId"] == 1.0 {
		t.Errorf("the fork is %v", fork)
	}
	deployed(t, m.consumer(fork))
	if w := m.call("GET /worlds/default", ""); w["tasks"] != 1.0 {
		t.Errorf("what happens in a fork shows in the original: %v", w)
	}
	if chosen := m.call("POST /worlds/default/fork", `{"userId":6,"token":"other"}`); chosen["userId"] != 6.0 || chosen["token"] != "other" {
		t.Errorf("the fork for chosen credentials is %v", chosen)
	}
}

func TestControlInjectsFaults(t *testing.T) {
	t.Parallel()
	m := driven(t)
	c := m.defaultConsumer()
	m.call("POST /worlds/default/faults", `{"operation":"listAgents","skip":1,"times":2,"effect":{"respond":{"status":500,"header":{"X-Cause":"fault"},"body":""}}}`)
	failures := ""
	for range 5 {
		_, err := c.Agents.List(t.Context(), mockserver.DefaultOrganizationID)
		failures += fmt.Sprint(errors.Is(err, client.ErrUnavailable))[:1]
	}
	if failures != "fttff" {
		t.Errorf("the fault struck %s, want fttff", failures)
	}
	faults := m.call("GET /worlds/default/faults", "")["faults"].([]any)
	if f := faults[0].(map[string]any); len(faults) != 1 || f["seen"] != 3.0 || f["struck"] != 2.0 || f["phase"] != "before-effect" {
		t.Errorf("the faults are %v", faults)
	}
	if left := m.call("DELETE /worlds/default/faults", "")["faults"].([]any); len(left) != 0 {
		t.Errorf("%v is left of the faults", left)
	}

	inject := "POST /worlds/default/faults"
	m.refused(http.StatusBadRequest, `Inject fault: operation "listAgent" is not known; did you mean "listAgents"?`, inject, `{"operation":"listAgent","effect":{"drop":true}}`)
	m.refused(http.StatusBadRequest, `Inject fault: effect: set one of delay, respond, reject, garble, drop.`, inject, `{"effect":{"drop":true,"garble":"truncate"}}`)
	m.refused(http.StatusBadRequest, `Member "effekt" is not known; did you mean "effect"?`, inject, `{"effekt":{"drop":true}}`)
	m.refused(http.StatusBadRequest, `Member "Drop" has the wrong case; write "drop".`, inject, `{"effect":{"Drop":true}}`)
	m.refused(http.StatusBadRequest, `send one of before-effect, after-effect.`, inject, `{"phase":"before","effect":{"drop":true}}`)
	m.refused(http.StatusBadRequest, "Inject fault: respond: status 600: use 200 to 599.", inject, `{"effect":{"respond":{"status":600}}}`)
	if len(m.call("GET /worlds/default/faults", "")["faults"].([]any)) != 0 {
		t.Error("a refused fault was added")
	}
}

// What drives the mock is not part of what is tested: it is neither journalled nor disturbed, and does not move a world
// that goes by exchanges.
func TestControlCallsAreNoExchanges(t *testing.T) {
	t.Parallel()
	m := driven(t)
	m.call("POST /worlds/default/faults", `{"times":-1,"effect":{"drop":true}}`)
	for range 3 {
		m.call("GET /worlds/default", "")
		m.call("GET /health", "")
		m.refused(http.StatusBadRequest, "speed", "POST /worlds/default/speed", `{}`)
	}
	w := m.call("GET /worlds/default", "")
	if w["exchanges"] != 0.0 || w["now"] != "2026-01-01T00:00:00Z" {
		t.Errorf("control calls show in the world: %v", w)
	}
	if f := m.call("GET /worlds/default/faults", "")["faults"].([]any)[0].(map[string]any); f["seen"] != 0.0 {
		t.Errorf("a fault counts control calls: %v", f)
	}
	if entries := m.call("GET /journal", "")["entries"].([]any); len(entries) != 0 {
		t.Errorf("control calls are in the journal: %v", entries)
	}
	if len(m.server.Journal()) != 0 || len(m.server.Default().Journal()) != 0 {
		t.Error("control calls are in the journal")
	}
}

func TestControlShowsTheJournal(t *testing.T) {
	t.Parallel()
	m := driven(t)
	c := m.defaultConsumer()
	if _, err := c.Agents.List(t.Context(), mockserver.DefaultOrganizationID); err != nil {
		t.Fatal(err)
	}
	entries := m.call("GET /worlds/default/journal", "")["entries"].([]any)
	if len(entries) != 1 || entries[0].(map[string]any)["operation"] != "listAgents" {
		t.Errorf("the world's journal is %v", entries)
	}
	deployed(t, c)
	for query, want := range map[string]float64{
		"": 3, "operation=createTask": 1, "operation=createTask&with.agentId=47": 1, "operation=createTask&with.agentId=48": 0,
		"outcome=success": 3, "outcome=refused": 0, "after=2": 1, "faulty=true": 0,
	} {
		if a := m.call("GET /worlds/default/called?"+query, ""); a["called"] != want {
			t.Errorf("called?%s answers %v, want %v", query, a, want)
		}
		if entries := m.call("GET /worlds/default/journal?"+query, "")["entries"].([]any); len(entries) != int(want) {
			t.Errorf("journal?%s has %d entries, want %v", query, len(entries), want)
		}
	}
	m.refused(http.StatusBadRequest, `did you mean "createTask"?`, "GET /worlds/default/called?operation=createtask", "")
	m.refused(http.StatusBadRequest, "Query operatoin: it is not known; use operation,", "GET /worlds/default/journal?operatoin=createTask", "")
	m.refused(http.StatusBadRequest, "Read the query", "GET /worlds/default/journal?operation=%zz", "")

	stranger := request(t, "GET /x", "")
	stranger.URL.Path = "/api/v2/authenticate"
	m.send(stranger)
	everything := m.call("GET /journal", "")["entries"].([]any)
	if everything[0].(map[string]any)["auth"] != "auth-missing" {
		t.Errorf("the journal of all worlds does not begin with who has none: %v", everything)
	}
	if own := m.call("GET /worlds/default/journal", "")["entries"].([]any); len(everything) != len(own)+1 {
		t.Errorf("the journal of all worlds has %d entries, want %d and one", len(everything), len(own))
	}
}

func TestControlRefusesBodiesThatItCannotUse(t *testing.T) {
	t.Parallel()
	m := driven(t, mockserver.WithMaxBody(1000))
	speed := "POST /worlds/default/speed"
	for _, test := range []struct{ body, says string }{
		{`{"speed":2`, "The body is not JSON: at byte"},
		{`{"speed":2} {}`, "Something follows the JSON value"},
		{`{"speed":2,"speed":3}`, `Member "speed" appears twice in one object; send it once.`},
		{`{"speed":2,"sped":3}`, `Member "sped" is not known; leave it out`},
		{`{"spede":2}`, `Member "spede" is not known; did you mean "speed"?`},
		{`{"speed":null}`, `Member "speed" is null; send a number`},
		{`{"speed":1e999}`, `speed`},
		{`[]`, "The body has the wrong type; send an object."},
		{`null`, "The body is null; send an object"},
		{"{\"speed\":\"\xff\"}", "The body is not UTF-8"},
		{" ", "The body is empty; send a JSON object."},
		{"", "Content-Type is missing"},
	} {
		status := http.StatusBadRequest
		if test.body == "" {
			status = http.StatusUnsupportedMediaType
		}
		m.refused(status, test.says, speed, test.body)
	}
	if m.call("GET /worlds/default", "")["speed"] != 1.0 {
		t.Error("a refused body has changed the speed")
	}
	m.refused(http.StatusRequestEntityTooLarge, "The body is larger than 1000 bytes; send a smaller one.", speed, `{"speed":1,"x":"`+strings.Repeat("x", 1000)+`"}`)

	// A verb that needs nothing says so, and forgives an empty object.
	m.refused(http.StatusBadRequest, `Member "by" is not known; leave it out.`, "POST /worlds/default/reset", `{"by":"1s"}`)
	m.call("POST /worlds/default/reset", `{}`)
	m.refused(http.StatusBadRequest, "POST /_mock/worlds takes no query; see /_mock/openapi.yaml for what it takes.", "POST /worlds?userId=5", "")

	for sent, status := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "Application/JSON": 200,
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "application/json; charset=latin1": 415, "application/yaml": 415, "nonsense;;": 415,
	} {
		r := request(t, speed, `{"speed":1}`)
		r.Header.Del("Content-Type")
		if sent != "" {
			r.Header.Set("Content-Type", sent)
		}
		if a := m.send(r); a.status != status || status == 415 && !strings.Contains(a.errors(), "send the body as application/json.") {
			t.Errorf("Content-Type %q: %d %s, want %d", sent, a.status, a.raw, status)
		}
	}
}

func TestControlRefusesOtherMethodsAndPaths(t *testing.T) {
	t.Parallel()
	m := driven(t)
	for call, allow := range map[string]string{
		"GET /worlds/default/reset":    "POST",
		"GET /worlds/default/advance":  "POST",
		"OPTIONS /worlds/default/fork": "POST",
		"POST /health":                 "GET, HEAD",
		"POST /worlds/default":         "DELETE, GET, HEAD",
		"PUT /worlds/default/faults":   "DELETE, GET, HEAD, POST",
	} {
		if got := m.refused(http.StatusMethodNotAllowed, "use "+allow+".", call, "").header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", call, got, allow)
		}
	}
	if a := m.send(request(t, "HEAD /worlds", "")); a.status != http.StatusOK || a.raw != "" {
		t.Errorf("HEAD: %d %q", a.status, a.raw)
	}
	for call, says := range map[string]string{
		"GET ":                              "see /_mock/openapi.yaml for what there is",
		"GET /heath":                        "did you mean /_mock/health?",
		"POST /worlds/default/advance_next": "did you mean /_mock/worlds/{userId}/advance-to-next?",
		"POST /worlds/default/setle":        "did you mean /_mock/worlds/{userId}/settle?",
		"POST /worlds/1/2/3/4/5":            "Not found",
	} {
		m.refused(http.StatusNotFound, says, call, "")
	}
}

func TestControlRefusesBrowsersAndStrangers(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-some-length"
	type headers = map[string]string
	for _, test := range []struct {
		name, host, remote, token string
		header                    headers
		status                    int
	}{
		{name: "loopback", host: "127.0.0.1:5612", status: 200},
		{name: "another loopback address", host: "127.9.9.9", status: 200},
		{name: "localhost", host: "LocalHost:80", status: 200},
		{name: "IPv6", host: "[::1]:5612", remote: "[::1]:999", status: 200},
		{name: "IPv6 without a port", host: "[::1]", status: 200},
		{name: "IPv4 in IPv6", host: "[::ffff:127.0.0.1]:5612", remote: "[::ffff:127.0.0.1]:9", status: 200},
		{name: "Unix socket", host: "localhost", remote: "@", status: 200},
		{name: "typed into a browser", host: "localhost", header: headers{"Sec-Fetch-Site": "none"}, status: 200},
		{name: "rebound name", host: "evil.example:5612", status: 403},
		{name: "rebound name that looks like loopback", host: "127.0.0.1.evil.example", status: 403},
		{name: "name that ends in localhost", host: "evil-localhost", status: 403},
		{name: "any address", host: "0.0.0.0:5612", status: 403},
		{name: "no host", host: "", status: 403},
		{name: "origin", host: "localhost", header: headers{"Origin": "https://evil.example"}, status: 403},
		{name: "own origin", host: "localhost:5612", header: headers{"Origin": "http://localhost:5612"}, status: 403},
		{name: "null origin", host: "localhost", header: headers{"Origin": "null"}, status: 403},
		{name: "cross-site", host: "localhost", header: headers{"Sec-Fetch-Site": "cross-site"}, status: 403},
		{name: "same-site", host: "localhost", header: headers{"Sec-Fetch-Site": "same-site"}, status: 403},
		{name: "other computer", host: "127.0.0.1", remote: "192.0.2.7:4000", status: 403},
		{name: "address that cannot be read", host: "127.0.0.1", remote: "somewhere", status: 403},
		{name: "forwarded", host: "127.0.0.1", header: headers{"X-Forwarded-For": "192.0.2.7"}, status: 403},
		{name: "a token that was not asked for", host: "mock.example", header: headers{"Qcmock-Control-Token": ""}, status: 403},

		{name: "loopback needs no token", host: "localhost", token: token, status: 200},
		{name: "other computer without the token", host: "localhost", remote: "192.0.2.7:4000", token: token, status: 401},
		{name: "other computer with the token", host: "mock.example", remote: "192.0.2.7:4000", token: token, header: headers{"Qcmock-Control-Token": token}, status: 200},
		{name: "bearer", host: "mock.example", remote: "192.0.2.7:4000", token: token, header: headers{"Authorization": "bearer " + token}, status: 200},
		{name: "wrong token", host: "mock.example", token: token, header: headers{"Authorization": "Bearer " + token + "x"}, status: 401},
		{name: "basic", host: "mock.example", token: token, header: headers{"Authorization": "Basic " + token}, status: 401},
		{name: "browser with the token", host: "mock.example", token: token, header: headers{"Qcmock-Control-Token": token, "Origin": "https://evil.example"}, status: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var opts []mockserver.Option
			if test.token != "" {
				opts = append(opts, mockserver.WithControlToken(test.token))
			}
			server, err := mockserver.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/_mock/health", "/_mock/openapi.yaml", "/_mock/worlds", "//_mock//worlds", "/_mock/nowhere"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, http.NoBody)
				r.Host, r.RemoteAddr = test.host, "127.0.0.1:4000"
				if test.remote != "" {
					r.RemoteAddr = test.remote
				}
				for name, value := range test.header {
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				want := test.status
				if want == http.StatusOK && path == "/_mock/nowhere" {
					want = http.StatusNotFound
				}
				if w.Code != want {
					t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
				}
				if strings.Contains(w.Body.String(), token) || strings.Contains(fmt.Sprint(w.Header()), token) {
					t.Errorf("%s shows the control token", path)
				}
				if (w.Code == http.StatusUnauthorized) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Errorf("%s: %d with WWW-Authenticate %q", path, w.Code, w.Header().Get("WWW-Authenticate"))
				}
				for name := range w.Header() {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s: header %s", path, name)
					}
				}
			}
		})
	}
}

func TestControlTokenMustBeWorthIt(t *testing.T) {
	t.Parallel()
	for token, ok := range map[string]bool{"": false, "short": false, "exactly-16-bytes": true, "with a space inside it": false, "with-ümlaut-inside-it": false} {
		if _, err := mockserver.New(mockserver.WithControlToken(token)); (err == nil) != ok {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

func TestControlOverTCP(t *testing.T) {
	t.Parallel()
	m := driven(t)
	listening := httptest.NewServer(m.server)
	defer listening.Close()
	resp, err := listening.Client().Post(listening.URL+"/_mock/worlds", "application/json", bytes.NewReader([]byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var world struct{ URL string }
	if err := json.NewDecoder(resp.Body).Decode(&world); err != nil || world.URL != listening.URL+"/api/v2" {
		t.Errorf("%d, url %q, %v; want %s/api/v2", resp.StatusCode, world.URL, err, listening.URL)
	}
}

func TestControlAnswersNothingWhileStopping(t *testing.T) {
	t.Parallel()
	m := driven(t)
	if err := m.server.Close(); err != nil {
		t.Fatal(err)
	}
	m.refused(http.StatusServiceUnavailable, "The mock is stopping", "GET /health", "")
}

// Worlds come and go while others are used, and each sees its own exchanges alone.
func TestWorldsAreMadeWhileOthersAreUsed(t *testing.T) {
	t.Parallel()
	all := driven(t)
	var mu sync.Mutex
	seen := map[float64]bool{}
	t.Cleanup(func() {
		if n := len(all.server.Worlds()); n != 41 {
			t.Errorf("%d worlds are left, want 41", n)
		}
	})
	for i := range 40 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			m := &remote{t: t, server: all.server, http: all.http}
			w := m.call("POST /worlds", "")
			userID := w["userId"].(float64)
			path := fmt.Sprintf("/worlds/%.0f", userID)
			mu.Lock()
			if seen[userID] {
				t.Errorf("user id %v was handed out twice", userID)
			}
			seen[userID] = true
			mu.Unlock()
			c := m.consumer(w)
			for range 5 {
				if err := c.Authenticate(t.Context()); err != nil {
					t.Error(err)
				}
				m.call("POST "+path+"/snapshots", "")
				m.call("POST "+path+"/advance", `{"by":"1s"}`)
				m.call("GET /worlds", "")
			}
			if got := m.call("GET "+path, ""); got["exchanges"] != 5.0 || got["now"] != "2026-01-01T00:00:07.5Z" {
				t.Errorf("world %v is %v", userID, got)
			}
			if i%2 == 0 {
				m.call("POST "+path+"/fork", "")
				m.call("DELETE "+path, "")
			}
		})
	}
}
