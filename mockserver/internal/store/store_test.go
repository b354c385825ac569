package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// world is a store whose time only the test moves, and the account that most calls are made for.
type world struct {
	testing.TB
	*store.Store
	now time.Time
	by  store.Account
}

func newWorld(t testing.TB) *world { return newSeededWorld(t, "seed") }

func newSeededWorld(t testing.TB, seed string) *world {
	w := &world{TB: t, now: time.Date(2026, time.November, 3, 12, 0, 0, 0, time.UTC), by: store.Account{UserID: 1, Organizations: []string{"o"}}}
	w.Store = store.New(store.Config{Now: func() time.Time { return w.now }, Seed: seed})
	return w
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func ok[T any](w *world) func(T, error) T {
	return func(value T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return value
	}
}

func (w *world) done(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// refused fails the test unless the error is a refusal of a class about a member, and a sentence.
func (w *world) refused(class store.Class, pointer string, err error) {
	w.Helper()
	refusal, isRefusal := errors.AsType[*store.Error](err)
	if !isRefusal || refusal.Class != class || refusal.Pointer != pointer || !strings.HasSuffix(refusal.Text, ".") || refusal.Error() != refusal.Text {
		w.Errorf("got %#v, want a refusal: %s of %s", err, class, pointer)
	}
}

func (w *world) newAgent() int {
	w.Helper()
	return ok[gen.Agent](w)(w.CreateAgent(w.by, gen.CreateAgentRequest{OrganizationID: "o", Name: "agent"})).ID
}

func taskOf(agent int, prompt string) gen.CreateAgentTaskRequest {
	return gen.CreateAgentTaskRequest{
		OrganizationID: "o", AgentID: agent, Name: "task", Prompt: prompt, ProjectPreference: gen.ProjectPreferenceProjectEachTaskDeployment,
	}
}

func (w *world) newTask(prompt string) int {
	w.Helper()
	return ok[gen.AgentTask](w)(w.CreateTask(w.by, taskOf(47, prompt))).ID
}

func (w *world) deploy(task int) string {
	w.Helper()
	return ok[gen.AgentDeployment](w)(w.CreateDeployment(w.by, gen.CreateAgentDeploymentRequest{TaskID: task})).DeploymentID
}

func (w *world) read(id string) gen.AgentDeployment {
	w.Helper()
	return ok[gen.AgentDeployment](w)(w.ReadDeployment(w.by, gen.ReadAgentDeploymentRequest{DeploymentID: id}))
}

func (w *world) conversation(id string) *gen.AgentConversation {
	w.Helper()
	return ok[*gen.AgentConversation](w)(w.ReadConversation(w.by, gen.ReadAgentConversationRequest{DeploymentID: id}))
}

func (w *world) prompt(id, prompt string) gen.AgentDeployment {
	w.Helper()
	return ok[gen.AgentDeployment](w)(w.PromptDeployment(w.by, gen.UpdateAgentDeploymentRequest{DeploymentID: id, Prompt: prompt}))
}

func (w *world) stop(id string) {
	w.Helper()
	w.done(w.StopDeployment(w.by, gen.StopAgentDeploymentRequest{DeploymentID: id}))
}

func (w *world) wantStatus(id, want string) {
	w.Helper()
	if got := w.read(id).Status; got != want {
		w.Errorf("it is %s, want %s", got, want)
	}
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// ---- identifiers ------------------------------------------------------------------------------------------------------

func TestIdentifiersLookAsTheServicesDo(t *testing.T) {
	w := newWorld(t)
	agents, tasks, runs, projects := map[int]bool{47: true}, map[int]bool{}, map[string]bool{}, map[int]bool{}
	for range 20 {
		agent := w.newAgent()
		task := ok[gen.AgentTask](w)(w.CreateTask(w.by, taskOf(agent, "p"))).ID
		run := w.read(w.deploy(task))
		if agents[agent] || agent < 1 || tasks[task] || task < 1 || runs[run.DeploymentID] || projects[*run.ProjectID] || *run.ProjectID < 1e7 {
			t.Fatalf("agent %d, task %d, run %s, project %d: used before or out of shape", agent, task, run.DeploymentID, *run.ProjectID)
		}
		agents[agent], tasks[task], runs[run.DeploymentID], projects[*run.ProjectID] = true, true, true, true
		if !regexp.MustCompile(`^A-[0-9a-f]{32}$`).MatchString(run.DeploymentID) {
			t.Errorf("got %q", run.DeploymentID)
		}
		if *run.TaskID != task || *run.AgentID != agent {
			t.Errorf("got %s", asJSON(run))
		}
		// An identifier is not given out again, even if its thing is gone.
		w.done(w.DeleteDeployment(w.by, gen.DeleteAgentDeploymentRequest{DeploymentID: run.DeploymentID}))
		w.done(w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
		w.done(w.DeleteAgent(w.by, gen.DeleteAgentRequest{AgentID: agent}))
	}
}

func TestOneSeedGivesTheSameAndAnotherSeedGivesOthers(t *testing.T) {
	live := func(seed string) (string, string) {
		w := newSeededWorld(t, seed)
		agent := w.newAgent()
		id := w.deploy(ok[gen.AgentTask](w)(w.CreateTask(w.by, taskOf(agent, "Buy SPY"))).ID)
		w.pass(time.Hour)
		return id, asJSON(w.read(id)) + asJSON(w.conversation(id))
	}
	id, said := live("one")
	if again, saidAgain := live("one"); again != id || saidAgain != said {
		t.Errorf("one seed gives %s and %s", id, again)
	}
	if other, _ := live("other"); other == id {
		t.Error("another seed gives the same")
	}
}

// ---- ownership --------------------------------------------------------------------------------------------------------

func TestNobodySeesWhatIsOfAnotherOrganization(t *testing.T) {
	w := newWorld(t)
	agent := w.newAgent()
	task := w.newTask("p")
	run := w.deploy(task)
	for name, stranger := range map[string]store.Account{
		"another organization": {UserID: 2, Organizations: []string{"other"}},
		"no organization":      {UserID: 3, Organizations: []string{}},
		"another case":         {UserID: 4, Organizations: []string{"O"}},
		"nothing's name":       {UserID: 5, Organizations: []string{"", " "}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{TB: t, Store: w.Store}
			refused := func(pointer string, err error) { t.Helper(); w.refused(store.NotFound, pointer, err) }
			second := func(_ any, err error) error { return err }
			refused("/agentId", second(w.ReadAgent(stranger, gen.ReadAgentRequest{AgentID: agent})))
			refused("/agentId", w.UpdateAgent(stranger, gen.UpdateAgentRequest{AgentID: agent}))
			refused("/agentId", w.DeleteAgent(stranger, gen.DeleteAgentRequest{AgentID: agent}))
			refused("/organizationId", second(w.ListAgents(stranger, gen.ListAgentsRequest{OrganizationID: "o"})))
			refused("/organizationId", second(w.CreateAgent(stranger, gen.CreateAgentRequest{OrganizationID: "o", Name: "n"})))
			refused("/organizationId", second(w.CreateTask(stranger, taskOf(47, "p"))))
			refused("/taskId", second(w.ReadTask(stranger, gen.ReadAgentTaskRequest{TaskID: task})))
			refused("/taskId", second(w.UpdateTask(stranger, gen.UpdateAgentTaskRequest{TaskID: task})))
			refused("/taskId", w.DeleteTask(stranger, gen.DeleteAgentTaskRequest{TaskID: task}))
			refused("/organizationId", second(w.ListTasks(stranger, gen.ListAgentTasksRequest{OrganizationID: "o"})))
			refused("/taskId", second(w.CreateDeployment(stranger, gen.CreateAgentDeploymentRequest{TaskID: task})))
			refused("/taskId", second(w.ListDeployments(stranger, gen.ListAgentDeploymentsRequest{TaskID: task})))
			refused("/deploymentId", second(w.ReadDeployment(stranger, gen.ReadAgentDeploymentRequest{DeploymentID: run})))
			refused("/deploymentId", second(w.PromptDeployment(stranger, gen.UpdateAgentDeploymentRequest{DeploymentID: run, Prompt: "p"})))
			refused("/deploymentId", second(w.ReadConversation(stranger, gen.ReadAgentConversationRequest{DeploymentID: run})))
			refused("/deploymentId", w.StopDeployment(stranger, gen.StopAgentDeploymentRequest{DeploymentID: run}))
			refused("/deploymentId", w.DeleteDeployment(stranger, gen.DeleteAgentDeploymentRequest{DeploymentID: run}))
		})
	}
	w.wantStatus(run, lifecycle.InQueue)
}

func TestColleaguesShareWhatIsOfTheirOrganization(t *testing.T) {
	w := newWorld(t)
	run := w.deploy(w.newTask("p"))
	colleague := store.Account{UserID: 2, Organizations: []string{"other", "o"}}
	if _, err := w.ReadDeployment(colleague, gen.ReadAgentDeploymentRequest{DeploymentID: run}); err != nil {
		t.Error(err)
	}
}

// An account without a list of organizations is of every one that it names, each for itself.
func TestWhoIsOfEveryOrganizationOwnsAllButWhatIsQuantConnects(t *testing.T) {
	w := newWorld(t)
	w.by = store.Account{UserID: 0}
	for _, organization := range []string{"o", "____", "another"} {
		ok[gen.Agent](w)(w.CreateAgent(w.by, gen.CreateAgentRequest{OrganizationID: organization, Name: organization}))
		agents := ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: organization}))
		if len(agents) != 1 || agents[0].Name != organization {
			t.Errorf("%s has %s", organization, asJSON(agents))
		}
	}
	_, err := w.ListAgents(w.by, gen.ListAgentsRequest{})
	w.refused(store.NotFound, "/organizationId", err)
	w.refused(store.StateConflict, "/agentId", w.DeleteAgent(w.by, gen.DeleteAgentRequest{AgentID: 47}))
}

func TestATaskIsForAnAgentOfItsOwnOrganization(t *testing.T) {
	w := newWorld(t)
	w.by.Organizations = []string{"o", "second"}
	agent := w.newAgent()
	request := taskOf(agent, "p")
	request.OrganizationID = "second"
	_, err := w.CreateTask(w.by, request)
	w.refused(store.NotFound, "/agentId", err)
	request.AgentID = 47
	ok[gen.AgentTask](w)(w.CreateTask(w.by, request))
}

func TestAgent47IsEverybodysAndNobodysToChange(t *testing.T) {
	w := newWorld(t)
	for _, by := range []store.Account{w.by, {UserID: 2, Organizations: []string{"other"}}, {UserID: 3, Organizations: []string{}}, {UserID: 0}} {
		agent := ok[gen.Agent](w)(w.ReadAgent(by, gen.ReadAgentRequest{AgentID: 47}))
		if agent.ID != 47 || agent.Name == "" || agent.Model == "" || agent.OrganizationID != nil {
			t.Errorf("got %s", asJSON(agent))
		}
		w.refused(store.StateConflict, "/agentId", w.UpdateAgent(by, gen.UpdateAgentRequest{AgentID: 47, Name: new("mine")}))
		w.refused(store.StateConflict, "/agentId", w.DeleteAgent(by, gen.DeleteAgentRequest{AgentID: 47}))
	}
	if agents := ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: "o"})); len(agents) != 0 {
		t.Errorf("it is listed: %s", asJSON(agents))
	}
	w.wantStatus(w.deploy(w.newTask("p")), lifecycle.InQueue)
}

// ---- agents and tasks -------------------------------------------------------------------------------------------------

func TestNamesAreTidiedOnCreationAndKeptOnUpdate(t *testing.T) {
	w := newWorld(t)
	for sent, want := range map[string]string{
		"plain": "plain", "  around \t": "around", "in  the\t\nmiddle": "in the middle", "Ünïcode ✓": "Ünïcode ✓", "\u2003wide\u00a0space\u2003": "wide space",
	} {
		agent := ok[gen.Agent](w)(w.CreateAgent(w.by, gen.CreateAgentRequest{OrganizationID: "o", Name: sent}))
		request := taskOf(47, "p")
		request.Name = sent
		task := ok[gen.AgentTask](w)(w.CreateTask(w.by, request))
		if agent.Name != want || task.Name != want {
			t.Errorf("%q became %q and %q, want %q", sent, agent.Name, task.Name, want)
		}
		w.done(w.UpdateAgent(w.by, gen.UpdateAgentRequest{AgentID: agent.ID, Name: new(sent)}))
		if got := ok[gen.Agent](w)(w.ReadAgent(w.by, gen.ReadAgentRequest{AgentID: agent.ID})).Name; got != sent {
			t.Errorf("updated to %q, the agent is called %q", sent, got)
		}
		if got := ok[gen.AgentTask](w)(w.UpdateTask(w.by, gen.UpdateAgentTaskRequest{TaskID: task.ID, Name: new(sent)})).Name; got != sent {
			t.Errorf("updated to %q, the task is called %q", sent, got)
		}
		if got := ok[gen.AgentTask](w)(w.UpdateTask(w.by, gen.UpdateAgentTaskRequest{TaskID: task.ID})).Name; got != sent {
			t.Errorf("an update without a name made it %q", got)
		}
	}
	for _, blank := range []string{"", " ", "\t\n", "\u2003"} {
		_, err := w.CreateAgent(w.by, gen.CreateAgentRequest{OrganizationID: "o", Name: blank})
		w.refused("bound", "/name", err)
		request := taskOf(47, "p")
		request.Name = blank
		_, err = w.CreateTask(w.by, request)
		w.refused("bound", "/name", err)
	}
}

// updates changes each setting alone. A setting that is missing here fails the test below.
func updates(id int) map[string]gen.UpdateAgentRequest {
	effort := gen.ReasoningEffortLow
	return map[string]gen.UpdateAgentRequest{
		"name":            {AgentID: id, Name: new("other")},
		"description":     {AgentID: id, Description: new("")},
		"profileImage":    {AgentID: id, ProfileImage: new("other.png")},
		"systemPrompt":    {AgentID: id, SystemPrompt: new("Other.")},
		"reasoningEffort": {AgentID: id, ReasoningEffort: &effort},
		"maxTurns":        {AgentID: id, MaxTurns: new(1)},
		"toolChoice":      {AgentID: id, ToolChoice: new("none")},
		"tools":           {AgentID: id, Tools: []string{}},
		"public":          {AgentID: id, Public: new(false)},
		"model":           {AgentID: id, Model: new("other-model")},
		"chainedAgents":   {AgentID: id, ChainedAgents: []gen.AgentChainedEntry{}},
		"subAgents":       {AgentID: id, SubAgents: []gen.AgentSubAgentEntry{{AgentID: 47}}},
		"token":           {AgentID: id, Token: &gen.AgentToken{LLMProviderAPI: new("other")}},
		"useQCC":          {AgentID: id, UseQCC: new(false)},
		"pipeline":        {AgentID: id, Pipeline: new("other")},
		"author":          {AgentID: id, Author: &gen.AgentTaskOwner{Name: new("ignored")}},
		"organization":    {AgentID: id, Organization: &gen.AgentOrganization{Name: new("ignored")}},
		"node":            {AgentID: id, Node: &gen.AgentNode{ID: new(9)}},
	}
}

func wholeAgent() gen.CreateAgentRequest {
	effort := gen.ReasoningEffortMedium
	return gen.CreateAgentRequest{
		OrganizationID: "o", Name: "whole", Description: new("d"), ProfileImage: new("p.png"), SystemPrompt: new("s"),
		ReasoningEffort: &effort, MaxTurns: new(9), ToolChoice: new("auto"), Tools: []string{"create_compile"}, Public: new(true),
		Model: new("m"), ChainedAgents: []gen.AgentChainedEntry{{AgentID: 47, Step: 1}}, SubAgents: []gen.AgentSubAgentEntry{},
		Token:  &gen.AgentToken{LLMProviderAPI: new("anthropic"), LLMAPITokenUser: new("not-a-real-key")},
		UseQCC: new(true), Pipeline: new("research"),
	}
}

func TestAnUpdateChangesWhatIsSentAndNothingElse(t *testing.T) {
	members := func(w *world, id int) map[string]string {
		decoded := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(asJSON(ok[gen.Agent](w)(w.ReadAgent(w.by, gen.ReadAgentRequest{AgentID: id})))), &decoded); err != nil {
			w.Fatal(err)
		}
		texts := map[string]string{}
		for name, value := range decoded {
			texts[name] = string(value)
		}
		return texts
	}
	want := map[string]string{
		"name": `"other"`, "description": `""`, "profileImage": `"other.png"`, "systemPrompt": `"Other."`, "reasoningEffort": `"low"`,
		"maxTurns": "1", "toolChoice": `"none"`, "tools": "[]", "public": "false", "model": `"other-model"`, "chainedAgents": "[]",
		"subAgents": `[{"agentId":47}]`, "token": `{"llmProviderApi":"other"}`, "useQCC": "false", "pipeline": `"other"`,
	}
	for name, update := range updates(0) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := ok[gen.Agent](w)(w.CreateAgent(w.by, wholeAgent())).ID
			expected := members(w, id)
			if value, changes := want[name]; changes {
				if expected[name] == value {
					t.Fatal("it is so from the beginning, so this proves nothing")
				}
				expected[name] = value
			}
			update.AgentID = id
			w.done(w.UpdateAgent(w.by, update))
			if got := members(w, id); !maps.Equal(got, expected) {
				t.Errorf("got  %v\nwant %v", got, expected)
			}
			w.done(w.UpdateAgent(w.by, gen.UpdateAgentRequest{AgentID: id}))
			if got := members(w, id); !maps.Equal(got, expected) {
				t.Errorf("an update of nothing made it %v", got)
			}
		})
	}
	fields := reflect.TypeFor[gen.UpdateAgentRequest]()
	if fields.NumField()-1 != len(updates(0)) {
		t.Errorf("an update has %d members beside agentId, and %d are tested", fields.NumField()-1, len(updates(0)))
	}
}

func TestAbsentAndEmptyListsAreKeptApart(t *testing.T) {
	w := newWorld(t)
	agent := ok[gen.Agent](w)(w.CreateAgent(w.by, gen.CreateAgentRequest{OrganizationID: "o", Name: "n"}))
	if agent.Tools != nil || strings.Contains(asJSON(agent), "tools") {
		t.Errorf("absent tools came back: %s", asJSON(agent))
	}
	w.done(w.UpdateAgent(w.by, gen.UpdateAgentRequest{AgentID: agent.ID, Tools: []string{}}))
	if got := asJSON(ok[gen.Agent](w)(w.ReadAgent(w.by, gen.ReadAgentRequest{AgentID: agent.ID}))); !strings.Contains(got, `"tools":[]`) {
		t.Errorf("empty tools did not come back: %s", got)
	}
}

func TestAProvidersKeyIsForgottenOnArrival(t *testing.T) {
	w := newWorld(t)
	created := ok[gen.Agent](w)(w.CreateAgent(w.by, wholeAgent()))
	w.done(w.UpdateAgent(w.by, gen.UpdateAgentRequest{AgentID: created.ID, Token: &gen.AgentToken{LLMAPITokenUser: new("not-a-real-key-2")}}))
	read := ok[gen.Agent](w)(w.ReadAgent(w.by, gen.ReadAgentRequest{AgentID: created.ID}))
	listed := ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: "o"}))
	for _, shown := range []string{asJSON(created), asJSON(read), asJSON(listed), fmt.Sprintf("%#v", w.Snapshot())} {
		if strings.Contains(shown, "not-a-real-key") {
			t.Errorf("it shows in %s", shown)
		}
	}
	if *created.Token.LLMAPITokenUser != "********" || *read.Token.LLMAPITokenUser != "********" {
		t.Errorf("it is not masked: %s", asJSON(read))
	}
}

func TestTheProjectPreferenceDecidesWhoSharesAProject(t *testing.T) {
	for preference, shared := range map[gen.ProjectPreference]bool{
		gen.ProjectPreferenceProjectEachTaskDeployment: false,
		gen.ProjectPreferenceProjectForTask:            true,
	} {
		w := newWorld(t)
		request := taskOf(47, "p")
		request.ProjectPreference = preference
		task := ok[gen.AgentTask](w)(w.CreateTask(w.by, request))
		if task.ProjectID != nil || *task.ProjectPreference != string(preference) {
			t.Errorf("%s: created, it is %s", preference, asJSON(task))
		}
		first, second := *w.read(w.deploy(task.ID)).ProjectID, *w.read(w.deploy(task.ID)).ProjectID
		if (first == second) != shared {
			t.Errorf("%s: the projects are %d and %d", preference, first, second)
		}
		after := ok[gen.AgentTask](w)(w.ReadTask(w.by, gen.ReadAgentTaskRequest{TaskID: task.ID}))
		if shared != (after.ProjectID != nil) || shared && *after.ProjectID != first {
			t.Errorf("%s: deployed, it is %s", preference, asJSON(after))
		}
		renamed := ok[gen.AgentTask](w)(w.UpdateTask(w.by, gen.UpdateAgentTaskRequest{TaskID: task.ID, Name: new("n")}))
		if third := *w.read(w.deploy(task.ID)).ProjectID; shared && (third != first || *renamed.ProjectID != first) || !shared && (third == first || third == second) {
			t.Errorf("%s: renamed, its next project is %d after %d and %d", preference, third, first, second)
		}
		request.Name = "other"
		other := ok[gen.AgentTask](w)(w.CreateTask(w.by, request))
		if project := *w.read(w.deploy(other.ID)).ProjectID; project == first || project == second {
			t.Errorf("%s: another task works in the same project, %d", preference, project)
		}
	}
}

// ---- what may be done in which state ----------------------------------------------------------------------------------

// states bring a new deployment to each state.
var states = map[string]struct {
	prompt string
	bring  func(w *world, id string)
	status string
}{
	"queued":            {"p", func(*world, string) {}, lifecycle.InQueue},
	"running":           {"p", func(w *world, _ string) { w.pass(2 * time.Second) }, lifecycle.Running},
	"completed":         {"p", func(w *world, _ string) { w.pass(time.Minute) }, lifecycle.Completed},
	"stopped in queue":  {"p", func(w *world, id string) { w.stop(id); w.pass(time.Minute) }, lifecycle.Stopped},
	"stopped at work":   {"p", func(w *world, id string) { w.pass(2 * time.Second); w.stop(id); w.pass(time.Minute) }, lifecycle.Stopped},
	"failed":            {"[mock:failed]", func(w *world, _ string) { w.pass(time.Minute) }, lifecycle.Failed},
	"with an error":     {"[mock:runtime-error]", func(w *world, _ string) { w.pass(time.Minute) }, lifecycle.RuntimeError},
	"stuck":             {"[mock:stuck-in-queue]", func(w *world, _ string) { w.pass(time.Hour) }, lifecycle.InQueue},
	"working for hours": {"[mock:long-running]", func(w *world, _ string) { w.pass(time.Hour) }, lifecycle.Running},
	"settled":           {"p", func(w *world, _ string) { w.Settle() }, lifecycle.Completed},
}

// eachState runs a test of a deployment in each state.
func eachState(t *testing.T, test func(t *testing.T, w *world, id, status string)) {
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.deploy(w.newTask(state.prompt))
			state.bring(w, id)
			w.wantStatus(id, state.status)
			test(t, w, id, state.status)
		})
	}
}

func TestADeploymentMayBeStoppedInEveryState(t *testing.T) {
	eachState(t, func(t *testing.T, w *world, id, status string) {
		want, said := status, asJSON(w.conversation(id))
		if status == lifecycle.InQueue || status == lifecycle.Running {
			want = lifecycle.Stopped
		}
		for range 2 {
			w.stop(id)
			w.wantStatus(id, want)
			w.pass(24 * time.Hour)
			w.wantStatus(id, want)
		}
		if now := asJSON(w.conversation(id)); now != said {
			t.Errorf("it went on talking:\n%s\n%s", said, now)
		}
	})
}

func TestADeploymentMayBeDeletedInEveryState(t *testing.T) {
	eachState(t, func(t *testing.T, w *world, id, _ string) {
		task := *w.read(id).TaskID
		other := w.deploy(task)
		w.done(w.DeleteDeployment(w.by, gen.DeleteAgentDeploymentRequest{DeploymentID: id}))
		for range 2 {
			second := func(_ any, err error) error { return err }
			w.refused(store.NotFound, "/deploymentId", second(w.ReadDeployment(w.by, gen.ReadAgentDeploymentRequest{DeploymentID: id})))
			w.refused(store.NotFound, "/deploymentId", second(w.ReadConversation(w.by, gen.ReadAgentConversationRequest{DeploymentID: id})))
			w.refused(store.NotFound, "/deploymentId", second(w.PromptDeployment(w.by, gen.UpdateAgentDeploymentRequest{DeploymentID: id, Prompt: "p"})))
			w.refused(store.NotFound, "/deploymentId", w.StopDeployment(w.by, gen.StopAgentDeploymentRequest{DeploymentID: id}))
			w.refused(store.NotFound, "/deploymentId", w.DeleteDeployment(w.by, gen.DeleteAgentDeploymentRequest{DeploymentID: id}))
			w.Settle()
		}
		left := ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: task}))
		if len(left) != 1 || left[0].DeploymentID != other {
			t.Errorf("left are %s", asJSON(left))
		}
	})
}

func TestADeploymentMayBePromptedInEveryState(t *testing.T) {
	eachState(t, func(t *testing.T, w *world, id, status string) {
		before := w.conversation(id)
		prompted := w.prompt(id, "Use QQQ instead")
		after := w.conversation(id)
		if want := len(before.Messages) + 1; len(after.Messages) < want || !shows(after, "Use QQQ instead") {
			t.Errorf("the prompt does not show: %s", asJSON(after))
		}
		keeps(t, before, after)
		ended := lifecycle.Terminal(status)
		switch {
		case ended && prompted.Status != lifecycle.Running:
			t.Errorf("ended as %s, it is %s", status, prompted.Status)
		case !ended && prompted.Status != status:
			t.Errorf("under way, it went from %s to %s", status, prompted.Status)
		}
		w.pass(2 * time.Hour)
		w.pass(time.Minute)
		if status == lifecycle.InQueue && w.read(id).Status == lifecycle.InQueue {
			return // stuck: nothing is ever taken up
		}
		w.wantStatus(id, lifecycle.Completed)
		last := w.conversation(id)
		keeps(t, after, last)
		if role := *last.Messages[len(last.Messages)-1].Role; role != "assistant" {
			t.Errorf("it was not answered: %s", asJSON(last))
		}
	})
}

func TestAPromptChoosesItsOwnStory(t *testing.T) {
	for marker, want := range map[string]string{"failed": lifecycle.Failed, "runtime-error": lifecycle.RuntimeError, "success": lifecycle.Completed} {
		w := newWorld(t)
		id := w.deploy(w.newTask("p"))
		w.pass(time.Minute)
		w.prompt(id, "Go on [mock:"+marker+"]")
		w.wantStatus(id, lifecycle.Running)
		w.pass(time.Minute)
		w.wantStatus(id, want)
	}
	w := newWorld(t)
	id := w.deploy(w.newTask("p"))
	_, err := w.PromptDeployment(w.by, gen.UpdateAgentDeploymentRequest{DeploymentID: id, Prompt: "[mock:unheard-of]"})
	w.refused("enum", "/prompt", err)
	_, err = w.CreateTask(w.by, taskOf(47, "[mock:unheard-of]"))
	w.refused("enum", "/prompt", err)
	if shows(w.conversation(id), "unheard-of") {
		t.Error("a refused prompt shows in the transcript")
	}
}

// ---- what goes with what ----------------------------------------------------------------------------------------------

func TestDeletingATaskDeletesItsDeployments(t *testing.T) {
	eachState(t, func(t *testing.T, w *world, id, _ string) {
		task := *w.read(id).TaskID
		kept := w.deploy(w.newTask("kept"))
		more := w.deploy(task)
		w.done(w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
		for _, gone := range []string{id, more} {
			_, err := w.ReadDeployment(w.by, gen.ReadAgentDeploymentRequest{DeploymentID: gone})
			w.refused(store.NotFound, "/deploymentId", err)
		}
		_, err := w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: task})
		w.refused(store.NotFound, "/taskId", err)
		w.refused(store.NotFound, "/taskId", w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
		w.read(kept)
		if tasks := ok[[]gen.AgentTask](w)(w.ListTasks(w.by, gen.ListAgentTasksRequest{OrganizationID: "o"})); len(tasks) != 1 {
			t.Errorf("left are %s", asJSON(tasks))
		}
	})
}

func TestDeletingAnAgentLeavesWhatItWorksOnAndNothingNewBegins(t *testing.T) {
	w := newWorld(t)
	agent := w.newAgent()
	task := ok[gen.AgentTask](w)(w.CreateTask(w.by, taskOf(agent, "p"))).ID
	id := w.deploy(task)
	w.done(w.DeleteAgent(w.by, gen.DeleteAgentRequest{AgentID: agent}))
	w.pass(time.Minute)
	w.wantStatus(id, lifecycle.Completed)
	ok[gen.AgentTask](w)(w.ReadTask(w.by, gen.ReadAgentTaskRequest{TaskID: task}))
	ok[gen.AgentTask](w)(w.UpdateTask(w.by, gen.UpdateAgentTaskRequest{TaskID: task, Name: new("n")}))
	_, err := w.CreateDeployment(w.by, gen.CreateAgentDeploymentRequest{TaskID: task})
	w.refused(store.StateConflict, "/taskId", err)
	_, err = w.CreateTask(w.by, taskOf(agent, "p"))
	w.refused(store.NotFound, "/agentId", err)
	w.done(w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
}

// ---- lists ------------------------------------------------------------------------------------------------------------

func TestListsAreWhatWasCreatedLessWhatWasDeletedOldestFirst(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var agents, tasks []int
	runs := map[int][]string{}
	drop := func(ids []int, i int) []int { return slices.Delete(ids, i, i+1) }
	for range 2000 {
		w.pass(time.Duration(rng.IntN(1000)) * time.Millisecond)
		switch rng.IntN(8) {
		case 0, 1:
			agents = append(agents, w.newAgent())
		case 2, 3:
			tasks = append(tasks, w.newTask("p"))
		case 4, 5:
			if len(tasks) > 0 {
				task := tasks[rng.IntN(len(tasks))]
				runs[task] = append(runs[task], w.deploy(task))
			}
		case 6:
			if len(agents) > 0 {
				i := rng.IntN(len(agents))
				w.done(w.DeleteAgent(w.by, gen.DeleteAgentRequest{AgentID: agents[i]}))
				agents = drop(agents, i)
			}
		case 7:
			if len(tasks) == 0 {
				continue
			}
			i := rng.IntN(len(tasks))
			task := tasks[i]
			if n := len(runs[task]); n > 0 {
				j := rng.IntN(n)
				w.done(w.DeleteDeployment(w.by, gen.DeleteAgentDeploymentRequest{DeploymentID: runs[task][j]}))
				runs[task] = slices.Delete(runs[task], j, j+1)
			} else {
				w.done(w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
				tasks = drop(tasks, i)
			}
		}
	}
	var gotAgents, gotTasks []int
	for _, agent := range ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: "o"})) {
		gotAgents = append(gotAgents, agent.ID)
	}
	for _, task := range ok[[]gen.AgentTask](w)(w.ListTasks(w.by, gen.ListAgentTasksRequest{OrganizationID: "o"})) {
		gotTasks = append(gotTasks, task.ID)
		var got []string
		for _, run := range ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: task.ID})) {
			got = append(got, run.DeploymentID)
		}
		if !slices.Equal(got, runs[task.ID]) {
			t.Errorf("task %d has %v, want %v", task.ID, got, runs[task.ID])
		}
	}
	if !slices.Equal(gotAgents, agents) || !slices.Equal(gotTasks, tasks) {
		t.Errorf("got agents %v and tasks %v, want %v and %v", gotAgents, gotTasks, agents, tasks)
	}
}

func TestEmptyListsAreNotNil(t *testing.T) {
	w := newWorld(t)
	agents := ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: "o"}))
	tasks := ok[[]gen.AgentTask](w)(w.ListTasks(w.by, gen.ListAgentTasksRequest{OrganizationID: "o"}))
	runs := ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: w.newTask("p")}))
	if agents == nil || tasks == nil || runs == nil || len(agents)+len(tasks)+len(runs) != 0 {
		t.Errorf("got %#v, %#v, %#v", agents, tasks, runs)
	}
}

func TestTimesAreRFC3339InUTC(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.In(time.FixedZone("east", 7200))
	agent := ok[gen.Agent](w)(w.ReadAgent(w.by, gen.ReadAgentRequest{AgentID: w.newAgent()}))
	if *agent.Created != "2026-11-03T12:00:00Z" {
		t.Errorf("got %q", *agent.Created)
	}
}

// ---- transcripts ------------------------------------------------------------------------------------------------------

func shows(c *gen.AgentConversation, text string) bool { return strings.Contains(asJSON(c), text) }

func tokens(c *gen.AgentConversation) (input, output int) {
	if c.InputTokens == nil || c.OutputTokens == nil {
		return 0, 0
	}
	return *c.InputTokens, *c.OutputTokens
}

// keeps fails the test unless what was said before is still there later: the messages under their identifiers and in
// their order, though an answer may come in between; their parts in their places; no fewer tokens.
func keeps(t testing.TB, before, later *gen.AgentConversation) {
	t.Helper()
	if before == nil {
		return
	}
	if later == nil {
		t.Fatalf("nothing is left of %s", asJSON(before))
	}
	beforeIn, beforeOut := tokens(before)
	laterIn, laterOut := tokens(later)
	if laterIn < beforeIn || laterOut < beforeOut {
		t.Fatalf("tokens fell from %d and %d to %d and %d", beforeIn, beforeOut, laterIn, laterOut)
	}
	rest := later.Messages
	for i, m := range before.Messages {
		at := slices.IndexFunc(rest, func(n gen.ConversationMessage) bool { return *n.ID == *m.ID })
		if at < 0 || *rest[at].Role != *m.Role || len(rest[at].Parts) < len(m.Parts) {
			t.Fatalf("message %d is gone, or less, or elsewhere: %s in %s", i, asJSON(m), asJSON(later))
		}
		for j, p := range m.Parts {
			q := rest[at].Parts[j]
			if p.Type != q.Type || p.ToolCallID != nil && *p.ToolCallID != *q.ToolCallID {
				t.Fatalf("part %d of message %d went from %s to %s", j, i, asJSON(p), asJSON(q))
			}
			if p.Text != nil && (q.Text == nil || !strings.HasPrefix(*q.Text, *p.Text)) {
				t.Fatalf("part %d of message %d took back its text", j, i)
			}
		}
		rest = rest[at+1:]
	}
}

func TestATranscriptGrowsWhileTheDeploymentRuns(t *testing.T) {
	for _, prompt := range []string{
		"Build a buy and hold strategy for SPY", "[mock:runtime-error]", "[mock:failed]", "[mock:compile-warning]", "[mock:sub-agent]", "[mock:long-running]",
	} {
		t.Run(prompt, func(t *testing.T) {
			w := newWorld(t)
			id := w.deploy(w.newTask(prompt))
			step, said := 20*time.Millisecond, w.conversation(id)
			if len(said.Messages) != 1 || !shows(said, "user") {
				t.Errorf("in the queue it says %s", asJSON(said))
			}
			if prompt == "[mock:long-running]" {
				step = time.Minute
			}
			grown := 0
			for !lifecycle.Terminal(w.read(id).Status) {
				w.pass(step)
				now := w.conversation(id)
				keeps(t, said, now)
				if asJSON(now) != asJSON(said) {
					grown++
				}
				said = now
				if again := w.conversation(id); !reflect.DeepEqual(again, now) {
					t.Fatal("read twice at one time, it says something else")
				}
			}
			if in, out := tokens(said); grown < 10 || in == 0 || out == 0 {
				t.Errorf("it grew %d times and cost %d and %d tokens", grown, in, out)
			}
			quiet := asJSON(said)
			if strings.Contains(quiet, "streaming") {
				t.Errorf("ended, it is still being written: %s", quiet)
			}
			w.pass(time.Hour)
			if asJSON(w.conversation(id)) != quiet {
				t.Error("it went on after the end")
			}
		})
	}
}

// Whatever prompts, stops and time do to a deployment, nothing that was said is taken back.
func TestNothingThatWasSaidIsTakenBack(t *testing.T) {
	prompts := []string{"Use QQQ instead", "[mock:failed]", "[mock:runtime-error]", "[mock:sub-agent]", "[mock:stuck-in-queue]", "[mock:empty-conversation]", "Add a stop loss"}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t)
		w.SetCapacity(rng.IntN(2))
		id := w.deploy(w.newTask("Build a strategy for SPY"))
		w.deploy(w.newTask("Stand in line"))
		said, sent := w.conversation(id), 1
		for range 60 {
			w.pass(time.Duration(rng.IntN(500)) * time.Millisecond)
			switch rng.IntN(12) {
			case 0:
				w.prompt(id, prompts[rng.IntN(len(prompts))])
				sent++
			case 1:
				w.stop(id)
			case 2:
				if rng.IntN(10) == 0 {
					w.Settle()
				}
			}
			now := w.conversation(id)
			if asked := slices.DeleteFunc(slices.Clone(now.Messages), func(m gen.ConversationMessage) bool { return *m.Role != "user" }); len(asked) != sent {
				t.Fatalf("seed %d: %d prompts show, of %d", seed, len(asked), sent)
			}
			keeps(t, said, now)
			said = now
		}
	}
}

// A prompt that waited in vain shows without an answer, also when a later one is answered.
func TestAPromptThatWasNeverTakenUpHasNoAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.deploy(w.newTask("Build a strategy for SPY"))
	w.pass(2 * time.Second)
	w.prompt(id, "In vain")
	w.stop(id)
	w.prompt(id, "Use QQQ instead")
	w.pass(time.Minute)
	w.wantStatus(id, lifecycle.Completed)
	var roles []string
	for _, m := range w.conversation(id).Messages {
		roles = append(roles, *m.Role)
	}
	if want := []string{"user", "assistant", "user", "user", "assistant"}; !slices.Equal(roles, want) {
		t.Errorf("got %v, want %v", roles, want)
	}
}

func TestAConversationMayBeMissing(t *testing.T) {
	w := newWorld(t)
	id := w.deploy(w.newTask("[mock:empty-conversation]"))
	for range 5 {
		if c := w.conversation(id); c != nil {
			t.Errorf("got %s", asJSON(c))
		}
		w.pass(time.Second)
	}
	w.prompt(id, "Speak up")
	w.pass(time.Minute)
	if c := w.conversation(id); c == nil || len(c.Messages) != 3 {
		t.Errorf("got %s", asJSON(c))
	}
}

func TestASubAgentsConversationIsFoundByItsCall(t *testing.T) {
	w := newWorld(t)
	id := w.deploy(w.newTask("[mock:sub-agent]"))
	callable := func(call string) (*gen.AgentConversation, error) {
		return w.ReadConversation(w.by, gen.ReadAgentConversationRequest{DeploymentID: id, CallableID: &call})
	}
	w.pass(time.Minute)
	call := regexp.MustCompile(`"toolCallId":"([^"]+)","toolName":"call_agent"`).FindStringSubmatch(asJSON(w.conversation(id)))
	if call == nil {
		t.Fatalf("there is no call in %s", asJSON(w.conversation(id)))
	}
	if c := ok[*gen.AgentConversation](w)(callable(call[1])); len(c.Messages) != 2 {
		t.Errorf("got %s", asJSON(c))
	}
	for _, other := range []string{"", "call-1", call[1] + "x", id} {
		_, err := callable(other)
		w.refused(store.NotFound, "/callableId", err)
	}
}

// ---- triggers, settling and looking -----------------------------------------------------------------------------------

// with makes the store hold a story of the name custom.
func (w *world) with(story store.Story) {
	w.Helper()
	story.Name = "custom"
	w.Restore(ok[store.Snapshot](w)(w.Build(store.Content{Stories: map[string]*store.Story{"custom": &story}}, w.now)))
}

func TestOnlyReadsOfTheDeploymentBringItOn(t *testing.T) {
	w := newWorld(t)
	w.with(store.Story{Plan: lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterReads(2)},
		{Status: lifecycle.Completed, Trigger: lifecycle.AfterReads(1)},
	}})
	task := w.newTask("[mock:custom]")
	id, other := w.deploy(task), w.deploy(task)
	look := func() {
		w.conversation(id)
		w.read(other)
		_, _ = w.NextChange()
		w.Snapshot()
		ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: task}))
		ok[gen.AgentTask](w)(w.ReadTask(w.by, gen.ReadAgentTaskRequest{TaskID: task}))
	}
	for _, want := range []string{lifecycle.InQueue, lifecycle.Running, lifecycle.Completed} {
		look()
		w.pass(time.Hour)
		look()
		w.wantStatus(id, want)
	}
}

func TestWhatWaitsForSettlingWaitsUntilThen(t *testing.T) {
	w := newWorld(t)
	w.with(store.Story{Plan: lifecycle.Plan{
		{Status: lifecycle.Running}, {Status: lifecycle.Failed, Trigger: lifecycle.OnSettle()},
	}})
	id := w.deploy(w.newTask("[mock:custom]"))
	w.pass(1000 * time.Hour)
	w.wantStatus(id, lifecycle.Running)
	if at, will := w.NextChange(); will {
		t.Errorf("it is said to change at %s", at)
	}
	w.Settle()
	w.wantStatus(id, lifecycle.Failed)
}

func TestNextChangeIsTheFirstOfAll(t *testing.T) {
	w := newWorld(t)
	if _, will := w.NextChange(); will {
		t.Error("an empty store changes")
	}
	begun := w.now
	w.deploy(w.newTask("[mock:long-running]"))
	w.pass(500 * time.Millisecond)
	id := w.deploy(w.newTask("p"))
	for _, want := range []int64{1000, 1500, 3500, 7201000} {
		at, will := w.NextChange()
		if !will || at.Sub(begun).Milliseconds() != want {
			t.Fatalf("the next change is at %s (%t), want %d ms", at.Sub(begun), will, want)
		}
		w.now = at
	}
	w.wantStatus(id, lifecycle.Completed)
	if _, will := w.NextChange(); will {
		t.Error("it changes although all has ended")
	}
}

// Each change of status is told to the first call that sees it, and to no other.
func TestEachTransitionIsSeenOnce(t *testing.T) {
	w := newWorld(t)
	var seen []store.Transition
	w.by.Saw = &seen
	begun := w.now
	id := w.deploy(w.newTask("p"))
	for range 50 {
		w.pass(100 * time.Millisecond)
		w.read(id)
		ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: 1001}))
	}
	w.prompt(id, "again")
	w.pass(time.Second)
	w.stop(id)
	w.stop(id)
	w.read(id)
	var got []string
	for _, s := range seen {
		if s.DeploymentID != id {
			t.Errorf("got %+v", s)
		}
		got = append(got, fmt.Sprintf("%s@%v", s.Status, s.At.Sub(begun).Seconds()))
	}
	if want := "InQueue@0 Running@1 Completed@3 Running@5 Stopped@6"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

func TestASnapshotIsNotChangedByWhatComesAfter(t *testing.T) {
	w := newWorld(t)
	agent, task := w.newAgent(), w.newTask("p")
	id := w.deploy(task)
	everything := func() string {
		return asJSON(ok[[]gen.Agent](w)(w.ListAgents(w.by, gen.ListAgentsRequest{OrganizationID: "o"}))) +
			asJSON(ok[[]gen.AgentTask](w)(w.ListTasks(w.by, gen.ListAgentTasksRequest{OrganizationID: "o"}))) +
			asJSON(ok[[]gen.AgentDeployment](w)(w.ListDeployments(w.by, gen.ListAgentDeploymentsRequest{TaskID: task}))) + asJSON(w.conversation(id))
	}
	w.pass(1500 * time.Millisecond)
	begun, was, snapshot := w.now, everything(), w.Snapshot()
	for range 3 {
		w.prompt(id, "more")
		w.done(w.UpdateAgent(w.by, gen.UpdateAgentRequest{AgentID: agent, Name: new("other"), Tools: []string{"x"}}))
		w.newAgent()
		next := w.deploy(task)
		w.pass(time.Hour)
		w.done(w.DeleteTask(w.by, gen.DeleteAgentTaskRequest{TaskID: task}))
		w.done(w.DeleteAgent(w.by, gen.DeleteAgentRequest{AgentID: agent}))
		w.now = begun
		w.Restore(snapshot)
		if got := everything(); got != was {
			t.Fatalf("restored, it is\n%s\nwant\n%s", got, was)
		}
		// What is made after a restoration is what would have been made then.
		if again := w.deploy(task); again != next {
			t.Errorf("got %s, want %s", again, next)
		}
		w.Restore(snapshot)
	}
}
