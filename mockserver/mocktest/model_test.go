package mocktest_test

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver"
)

// The model restates what the mock does with slices and a clock that it steps itself: every change happens when its time
// has come, and nothing is worked out afterwards. It knows no HTTP, no persistent map and no index.

type model struct {
	now                              time.Time
	speed                            float64
	capacity                         int
	agents                           []modelAgent
	tasks                            []modelTask
	deployments                      []modelDeployment
	waiting                          []string // deployments, first come first
	lastAgent, lastTask, lastProject int
	gone                             []string // identifiers that were deleted
	goneAgents, goneTasks            []int
}

type modelAgent struct {
	id            int
	name, created string
}

type modelTask struct {
	id, agent, project    int
	name, prompt, created string
	shared                bool
}

type modelDeployment struct {
	id                   string
	task, agent, project int
	created, status      string
	since                time.Time // when the status was entered
	pending              []modelStep
	held                 bool
	tokens               int // as last read
	messages             int
}

type modelStep struct {
	after  time.Duration
	status string
}

var modelEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func newModel() *model {
	return &model{now: modelEpoch, speed: 1, lastAgent: 100, lastTask: 1000, lastProject: 20000000}
}

func (m *model) clone() *model {
	c := *m
	c.agents, c.tasks, c.waiting = slices.Clone(m.agents), slices.Clone(m.tasks), slices.Clone(m.waiting)
	c.gone, c.goneAgents, c.goneTasks = slices.Clone(m.gone), slices.Clone(m.goneAgents), slices.Clone(m.goneTasks)
	c.deployments = slices.Clone(m.deployments)
	for i := range c.deployments {
		c.deployments[i].pending = slices.Clone(c.deployments[i].pending)
	}
	return &c
}

// ends is how the work on a prompt ends; "" when it never begins.
func ends(prompt string) (string, time.Duration) {
	switch {
	case strings.Contains(prompt, "[mock:failed]"):
		return client.StatusFailed, 2 * time.Second
	case strings.Contains(prompt, "[mock:runtime-error]"):
		return client.StatusRuntimeError, 2 * time.Second
	case strings.Contains(prompt, "[mock:stuck-in-queue]"):
		return "", 0
	case strings.Contains(prompt, "[mock:long-running]"):
		return client.StatusCompleted, 2 * time.Hour
	}
	return client.StatusCompleted, 2 * time.Second
}

// work is the steps of a prompt, from the one that begins it.
func work(prompt string, after time.Duration) []modelStep {
	status, length := ends(prompt)
	if status == "" {
		return []modelStep{{after, client.StatusInQueue}}
	}
	return []modelStep{{after, client.StatusRunning}, {length, status}}
}

func (d *modelDeployment) over() bool { return len(d.pending) == 0 && client.IsFinal(d.status) }

func (d *modelDeployment) next() (time.Time, bool) {
	if d.held || len(d.pending) == 0 {
		return time.Time{}, false
	}
	return d.since.Add(d.pending[0].after), true
}

func (d *modelDeployment) enter(at time.Time) {
	d.status, d.since, d.pending = d.pending[0].status, at, d.pending[1:]
}

func (m *model) find(id string) *modelDeployment {
	if i := slices.IndexFunc(m.deployments, func(d modelDeployment) bool { return d.id == id }); i >= 0 {
		return &m.deployments[i]
	}
	return nil
}

func (m *model) task(id int) *modelTask {
	if i := slices.IndexFunc(m.tasks, func(t modelTask) bool { return t.id == id }); i >= 0 {
		return &m.tasks[i]
	}
	return nil
}

func (m *model) agent(id int) *modelAgent {
	if i := slices.IndexFunc(m.agents, func(a modelAgent) bool { return a.id == id }); i >= 0 {
		return &m.agents[i]
	}
	return nil
}

// full reports whether as many deployments are at work as may be.
func (m *model) full() bool {
	busy := 0
	for i := range m.deployments {
		if d := &m.deployments[i]; !d.held && !d.over() {
			busy++
		}
	}
	return m.capacity > 0 && busy >= m.capacity
}

// admit lets those who wait in, as far as there is room now.
func (m *model) admit() {
	for len(m.waiting) > 0 && !m.full() {
		d := m.find(m.waiting[0])
		m.waiting = m.waiting[1:]
		d.held, d.since = false, m.now
	}
}

// to lets time pass, one change after the other.
func (m *model) to(t time.Time) {
	for {
		var first *modelDeployment
		var at time.Time
		for i := range m.deployments {
			if next, ok := m.deployments[i].next(); ok && !next.After(t) && (first == nil || next.Before(at)) {
				first, at = &m.deployments[i], next
			}
		}
		if first == nil {
			m.now = t
			return
		}
		m.now = at
		first.enter(at)
		m.admit()
	}
}

func (m *model) step() { m.to(m.now.Add(time.Duration(m.speed * float64(500*time.Millisecond)))) }

func (m *model) stamp() string { return m.now.UTC().Format(time.RFC3339) }

func (m *model) deploy(taskID int, id string) {
	t := m.task(taskID)
	project := t.project
	if project == 0 {
		m.lastProject++
		project = m.lastProject
		if t.shared {
			t.project = project
		}
	}
	d := modelDeployment{
		id: id, task: t.id, agent: t.agent, project: project, created: m.stamp(), status: client.StatusInQueue, since: m.now,
		pending: work(t.prompt, time.Second), held: m.full(),
	}
	if status, _ := ends(t.prompt); status == "" {
		d.pending = nil
	}
	m.deployments = append(m.deployments, d)
	if d.held {
		m.waiting = append(m.waiting, id)
	}
}

func (m *model) prompt(d *modelDeployment, prompt string) {
	if d.over() {
		full := m.full()
		d.pending, d.since = work(prompt, 0), m.now
		if full {
			d.status, d.held = client.StatusInQueue, true
			m.waiting = append(m.waiting, d.id)
			return
		}
		d.enter(m.now)
		return
	}
	if last := len(d.pending) - 1; last >= 0 && d.pending[last].status == client.StatusCompleted {
		d.pending = append(d.pending[:last:last], work(prompt, d.pending[last].after)...)
	}
}

func (m *model) stop(d *modelDeployment) {
	if d.over() {
		return
	}
	d.status, d.since, d.pending, d.held = client.StatusStopped, m.now, nil, false
	m.unwait(d.id)
}

func (m *model) unwait(id string) {
	m.waiting = slices.DeleteFunc(m.waiting, func(other string) bool { return other == id })
	m.admit()
}

func (m *model) delete(id string) {
	m.deployments = slices.DeleteFunc(m.deployments, func(d modelDeployment) bool { return d.id == id })
	m.gone = append(m.gone, id)
	m.unwait(id)
}

func (m *model) settle() {
	for i := range m.deployments {
		d := &m.deployments[i]
		if d.held {
			d.held, d.since = false, m.now
		}
		for len(d.pending) > 0 {
			d.enter(m.now)
		}
	}
	m.waiting = nil
}

// side is a world, and the model of it.
type side struct {
	t      *rapid.T
	world  *mockserver.World
	client *client.Client
	model  *model
	origin *model // what a reset goes back to
	saved  []saved
	last   *mockserver.Entry
}

type saved struct {
	snapshot mockserver.Snapshot
	model    *model
}

var prompts = []string{
	"Build a buy and hold strategy for SPY.", "Mean reversion on EURUSD, daily.", "[mock:failed]", "[mock:runtime-error] Divide.",
	"[mock:stuck-in-queue]", "[mock:long-running]", "[mock:sub-agent]", "[mock:empty-conversation]", "[mock:compile-warning]",
}

// refusal is what a call should come to: "" or the class of its refusal.
func (s *side) check(what string, err error, refusal mockserver.Class, mismatch ...any) {
	s.t.Helper()
	class := mockserver.Class("")
	if err != nil {
		if !errors.Is(err, client.ErrRejected) {
			s.t.Fatalf("%s: %v", what, err)
		}
		if violations := s.last.Violations; len(violations) == 1 {
			class = violations[0].Class
		}
	}
	if (err != nil) != (refusal != "") || class != refusal {
		s.t.Fatalf("%s: got %v (%s), want %q", what, err, class, refusal)
	}
	for i := 0; refusal == "" && i+1 < len(mismatch); i += 2 {
		if got, want := mismatch[i], mismatch[i+1]; !reflect.DeepEqual(got, want) {
			s.t.Fatalf("%s: got %+v, want %+v", what, got, want)
		}
	}
}

// pick draws one of what there is, what is gone, or what never was.
func pick[T any](s *side, what string, there, gone []T, never T) T {
	return rapid.SampledFrom(slices.Concat(there, there, there, gone, []T{never})).Draw(s.t, what)
}

func (s *side) pickAgent() int {
	ids := []int{47}
	for _, a := range s.model.agents {
		ids = append(ids, a.id)
	}
	return pick(s, "agent", ids, s.model.goneAgents, 999)
}

func (s *side) pickTask() int {
	var ids []int
	for _, t := range s.model.tasks {
		ids = append(ids, t.id)
	}
	return pick(s, "task", ids, s.model.goneTasks, 9999)
}

func (s *side) pickDeployment() string {
	var ids []string
	for _, d := range s.model.deployments {
		ids = append(ids, d.id)
	}
	return pick(s, "deployment", ids, s.model.gone, "A-00000000000000000000000000000000")
}

func missing(there bool) mockserver.Class {
	if there {
		return ""
	}
	return mockserver.NotFound
}

func shortAgent(a *client.Agent) (short modelAgent) {
	if a != nil {
		short = modelAgent{a.ID, a.Name, *a.Created}
	}
	return short
}

func shortTask(t *client.Task) (short modelTask) {
	if t != nil {
		short = modelTask{
			id: t.ID, agent: *t.AgentID, name: t.Name, prompt: *t.Prompt, created: *t.Created,
			shared: *t.ProjectPreference == client.ProjectForTask,
		}
		if t.ProjectID != nil {
			short.project = *t.ProjectID
		}
	}
	return short
}

func shortDeployment(d *client.Deployment) (short modelDeployment) {
	if d != nil {
		short = modelDeployment{
			id: d.DeploymentID, task: *d.TaskID, agent: *d.AgentID, project: *d.ProjectID, created: *d.Created, status: d.Status,
		}
	}
	return short
}

// shown is of a deployment what an answer shows.
func (d *modelDeployment) shown() modelDeployment {
	return modelDeployment{id: d.id, task: d.task, agent: d.agent, project: d.project, created: d.created, status: d.status}
}

// calls are all operations of the API.
var calls = map[string]func(s *side){
	"authenticate": func(s *side) {
		s.model.step()
		s.check("authenticate", s.client.Authenticate(s.t.Context()), "")
	},
	"authenticateGet": func(s *side) {
		s.model.step()
		resp, err := s.client.Raw().AuthenticateGetWithResponse(s.t.Context())
		s.check("authenticateGet", err, "", resp.StatusCode(), http.StatusOK)
	},
	"createAgent": func(s *side) {
		m := s.model
		m.step()
		name := rapid.SampledFrom([]string{"Ada", " Grace  Hopper "}).Draw(s.t, "name")
		got, err := s.client.Agents.Create(s.t.Context(), client.CreateAgentRequest{OrganizationID: mockserver.DefaultOrganizationID, Name: name})
		m.lastAgent++
		m.agents = append(m.agents, modelAgent{m.lastAgent, strings.Join(strings.Fields(name), " "), m.stamp()})
		s.check("createAgent", err, "", shortAgent(got), m.agents[len(m.agents)-1])
	},
	"readAgent": func(s *side) {
		s.model.step()
		id := s.pickAgent()
		got, err := s.client.Agents.Read(s.t.Context(), id)
		if id == 47 {
			s.check("readAgent 47", err, "", got.ID, 47)
			return
		}
		a := s.model.agent(id)
		s.check("readAgent", err, missing(a != nil))
		if a != nil {
			s.check("readAgent", err, "", shortAgent(got), *a)
		}
	},
	"updateAgent": func(s *side) {
		s.model.step()
		id, name := s.pickAgent(), rapid.SampledFrom([]string{"Ada", "  Countess  "}).Draw(s.t, "name")
		err := s.client.Agents.Update(s.t.Context(), client.UpdateAgentRequest{AgentID: id, Name: &name})
		if id == 47 {
			s.check("updateAgent 47", err, mockserver.StateConflict)
			return
		}
		a := s.model.agent(id)
		s.check("updateAgent", err, missing(a != nil))
		if a != nil {
			a.name = name
		}
	},
	"deleteAgent": func(s *side) {
		m := s.model
		m.step()
		id := s.pickAgent()
		err := s.client.Agents.Delete(s.t.Context(), id)
		if id == 47 {
			s.check("deleteAgent 47", err, mockserver.StateConflict)
			return
		}
		s.check("deleteAgent", err, missing(m.agent(id) != nil))
		if m.agent(id) != nil {
			m.agents = slices.DeleteFunc(m.agents, func(a modelAgent) bool { return a.id == id })
			m.goneAgents = append(m.goneAgents, id)
		}
	},
	"listAgents": func(s *side) {
		s.model.step()
		s.lists()
	},
	"createTask": func(s *side) {
		m := s.model
		m.step()
		t := modelTask{
			agent: s.pickAgent(), name: "Task", prompt: rapid.SampledFrom(append(prompts, "[mock:nonsense]")).Draw(s.t, "prompt"),
			shared: rapid.Bool().Draw(s.t, "shared"),
		}
		preference := gen.ProjectPreference(client.ProjectEachTaskDeployment)
		if t.shared {
			preference = client.ProjectForTask
		}
		got, err := s.client.Tasks.Create(s.t.Context(), client.CreateAgentTaskRequest{
			OrganizationID: mockserver.DefaultOrganizationID, AgentID: t.agent, Name: t.name, Prompt: t.prompt, ProjectPreference: preference,
		})
		switch {
		case t.agent != 47 && m.agent(t.agent) == nil:
			s.check("createTask", err, mockserver.NotFound)
		case t.prompt == "[mock:nonsense]":
			s.check("createTask", err, mockserver.Enum)
		default:
			m.lastTask++
			t.id, t.created = m.lastTask, m.stamp()
			m.tasks = append(m.tasks, t)
			s.check("createTask", err, "", shortTask(got), t)
		}
	},
	"readTask": func(s *side) {
		s.model.step()
		id := s.pickTask()
		got, err := s.client.Tasks.Read(s.t.Context(), id)
		t := s.model.task(id)
		s.check("readTask", err, missing(t != nil))
		if t != nil {
			s.check("readTask", err, "", shortTask(got), *t)
		}
	},
	"updateTask": func(s *side) {
		s.model.step()
		id, name := s.pickTask(), rapid.SampledFrom([]string{"Task", " Renamed  task"}).Draw(s.t, "name")
		err := s.client.Tasks.Update(s.t.Context(), client.UpdateAgentTaskRequest{TaskID: id, Name: &name})
		t := s.model.task(id)
		s.check("updateTask", err, missing(t != nil))
		if t != nil {
			t.name = name
		}
	},
	"deleteTask": func(s *side) {
		m := s.model
		m.step()
		id := s.pickTask()
		err := s.client.Tasks.Delete(s.t.Context(), id)
		s.check("deleteTask", err, missing(m.task(id) != nil))
		if m.task(id) == nil {
			return
		}
		m.tasks = slices.DeleteFunc(m.tasks, func(t modelTask) bool { return t.id == id })
		m.goneTasks = append(m.goneTasks, id)
		// All of them go before anybody is let in for them.
		waiting := m.waiting
		m.waiting = nil
		for _, d := range slices.Clone(m.deployments) {
			if d.task == id {
				m.delete(d.id)
			}
		}
		m.waiting = slices.DeleteFunc(waiting, func(id string) bool { return m.find(id) == nil })
		m.admit()
	},
	"listTasks": func(s *side) {
		s.model.step()
		s.lists()
	},
	"createDeployment": func(s *side) {
		m := s.model
		m.step()
		id := s.pickTask()
		got, err := s.client.Deployments.Create(s.t.Context(), id)
		t := m.task(id)
		switch {
		case t == nil:
			s.check("createDeployment", err, mockserver.NotFound)
		case t.agent != 47 && m.agent(t.agent) == nil:
			s.check("createDeployment", err, mockserver.StateConflict)
		default:
			s.check("createDeployment", err, "")
			if m.find(got.DeploymentID) != nil {
				s.t.Fatalf("identifier %s is taken", got.DeploymentID)
			}
			m.deploy(id, got.DeploymentID)
			s.check("createDeployment", err, "", shortDeployment(got), m.deployments[len(m.deployments)-1].shown())
		}
	},
	"readDeployment": func(s *side) {
		s.model.step()
		id := s.pickDeployment()
		got, err := s.client.Deployments.Read(s.t.Context(), id)
		d := s.model.find(id)
		s.check("readDeployment", err, missing(d != nil))
		if d != nil {
			s.check("readDeployment", err, "", shortDeployment(got), d.shown())
		}
	},
	"promptDeployment": func(s *side) {
		s.model.step()
		id, prompt := s.pickDeployment(), rapid.SampledFrom(prompts).Draw(s.t, "prompt")
		err := s.client.Deployments.Prompt(s.t.Context(), id, prompt)
		d := s.model.find(id)
		s.check("promptDeployment", err, missing(d != nil))
		if d != nil {
			s.model.prompt(d, prompt)
		}
	},
	"listDeployments": func(s *side) {
		s.model.step()
		s.listDeployments(s.pickTask())
	},
	"stopDeployment": func(s *side) {
		s.model.step()
		id := s.pickDeployment()
		err := s.client.Deployments.Stop(s.t.Context(), id)
		d := s.model.find(id)
		s.check("stopDeployment", err, missing(d != nil))
		if d != nil {
			s.model.stop(d)
		}
	},
	"deleteDeployment": func(s *side) {
		s.model.step()
		id := s.pickDeployment()
		err := s.client.Deployments.Delete(s.t.Context(), id)
		s.check("deleteDeployment", err, missing(s.model.find(id) != nil))
		if s.model.find(id) != nil {
			s.model.delete(id)
		}
	},
	"readConversation": func(s *side) {
		s.model.step()
		id := s.pickDeployment()
		got, err := s.client.Deployments.ReadConversation(s.t.Context(), id)
		d := s.model.find(id)
		s.check("readConversation", err, missing(d != nil))
		if d == nil {
			return
		}
		tokens := 0
		if got.InputTokens != nil {
			tokens = *got.InputTokens + *got.OutputTokens
		}
		if tokens < d.tokens || len(got.Messages) < d.messages {
			s.t.Fatalf("conversation of %s fell from %d tokens and %d messages to %d and %d", id, d.tokens, d.messages, tokens, len(got.Messages))
		}
		d.tokens, d.messages = tokens, len(got.Messages)
	},
}

// verbs are those of a world.
var verbs = map[string]func(s *side){
	"freeze": func(s *side) {
		s.world.Freeze()
		s.model.speed = 0
	},
	"speed": func(s *side) {
		s.model.speed = rapid.SampledFrom([]float64{1, 2, 0.5}).Draw(s.t, "speed")
		s.check("SetSpeed", s.world.SetSpeed(s.model.speed), "")
	},
	"advance": func(s *side) {
		d := time.Duration(rapid.IntRange(0, 8).Draw(s.t, "half seconds")) * 500 * time.Millisecond
		now, err := s.world.Advance(d)
		s.model.to(s.model.now.Add(d))
		s.check("Advance", err, "", now, s.model.now)
	},
	"advance to next": func(s *side) {
		var next time.Time
		for i := range s.model.deployments {
			if at, ok := s.model.deployments[i].next(); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		now, ok := s.world.AdvanceToNext()
		if !next.IsZero() {
			s.model.to(next)
		}
		s.check("AdvanceToNext", nil, "", ok, !next.IsZero(), now, s.model.now)
	},
	"settle": func(s *side) {
		s.world.Settle()
		s.model.settle()
	},
	"capacity": func(s *side) {
		s.model.capacity = rapid.IntRange(0, 2).Draw(s.t, "capacity")
		s.check("SetCapacity", s.world.SetCapacity(s.model.capacity), "")
		s.model.admit()
	},
	"snapshot": func(s *side) {
		s.saved = append(s.saved, saved{s.world.Snapshot(), s.model.clone()})
	},
	"restore": func(s *side) {
		if len(s.saved) > 0 {
			to := rapid.SampledFrom(s.saved).Draw(s.t, "snapshot")
			s.world.Restore(to.snapshot)
			s.model = to.model.clone()
		}
	},
	"reset": func(s *side) {
		s.world.Reset()
		s.model = s.origin.clone()
		if entries := s.world.Journal(); len(entries) != 0 {
			s.t.Fatalf("the journal of a world that was reset has %d entries", len(entries))
		}
	},
}

// lists holds the lists of agents and tasks against the model.
func (s *side) lists() {
	agents, err := s.client.Agents.List(s.t.Context(), mockserver.DefaultOrganizationID)
	var gotAgents []modelAgent
	for _, a := range agents {
		gotAgents = append(gotAgents, shortAgent(&a))
	}
	s.check("listAgents", err, "", len(gotAgents), len(s.model.agents), append([]modelAgent{}, gotAgents...), append([]modelAgent{}, s.model.agents...))
	s.model.step()
	tasks, err := s.client.Tasks.List(s.t.Context(), mockserver.DefaultOrganizationID)
	var gotTasks []modelTask
	for _, t := range tasks {
		gotTasks = append(gotTasks, shortTask(&t))
	}
	s.check("listTasks", err, "", append([]modelTask{}, gotTasks...), append([]modelTask{}, s.model.tasks...))
}

func (s *side) listDeployments(taskID int) {
	deployments, err := s.client.Deployments.List(s.t.Context(), taskID)
	got, want := []modelDeployment{}, []modelDeployment{}
	for _, d := range deployments {
		got = append(got, shortDeployment(&d))
	}
	for _, d := range s.model.deployments {
		if d.task == taskID {
			want = append(want, d.shown())
		}
	}
	s.check("listDeployments", err, missing(s.model.task(taskID) != nil), got, want)
}

// all holds everything against the model.
func (s *side) all() {
	s.model.step()
	s.lists()
	for _, t := range s.model.tasks {
		s.model.step()
		s.listDeployments(t.id)
	}
	if now := s.world.Now(); !now.Equal(s.model.now) {
		s.t.Fatalf("it is %s, want %s", now, s.model.now)
	}
}

// sequences is how many random sequences are tried; the environment or -rapid.checks say otherwise.
func sequences(t *testing.T) {
	t.Helper()
	n := os.Getenv("QCAGENTS_SEQUENCES")
	switch {
	case n != "":
	case testing.Short():
		n = "200"
	case raceDetector:
		n = "1000"
	default:
		n = "10000"
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	before := flag.Lookup("rapid.checks").Value.String()
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", before) })
}

func TestRandomCallsDoWhatAPlainModelDoes(t *testing.T) {
	sequences(t)
	var names []string
	for name := range calls {
		names = append(names, name)
	}
	for name := range verbs {
		names = append(names, name)
	}
	// Most of what can go wrong is in deployments, and they need a task each.
	names = append(names, "createTask", "createTask", "createTask", "createDeployment", "createDeployment", "createDeployment",
		"createDeployment", "promptDeployment", "promptDeployment", "readDeployment", "readDeployment", "listDeployments", "fork")
	slices.Sort(names)
	choose := rapid.SampledFrom(names)

	entries := make(map[int]*mockserver.Entry)
	server, err := mockserver.New(mockserver.WithSeed("model"), mockserver.WithObserver(func(e mockserver.Entry) {
		if e.World != nil && entries[*e.World] != nil {
			*entries[*e.World] = e
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	transport := &http.Client{Transport: server.Transport()}
	lastUser := 1
	total := 0

	rapid.Check(t, func(rt *rapid.T) {
		clear(entries)
		add := func(create func(userID int) (*mockserver.World, error), m *model) *side {
			lastUser++
			world, err := create(lastUser)
			if err != nil {
				rt.Fatal(err)
			}
			c, err := client.New(client.WithCredentials(client.Credentials{UserID: int64(lastUser), Token: strconv.Itoa(lastUser)}),
				client.WithBaseURL("http://127.0.0.1:0/api/v2"), client.WithHTTPClient(transport))
			if err != nil {
				rt.Fatal(err)
			}
			s := &side{t: rt, world: world, client: c, model: m, origin: m.clone(), last: &mockserver.Entry{}}
			entries[lastUser] = s.last
			return s
		}
		sides := []*side{add(func(userID int) (*mockserver.World, error) {
			return server.NewWorld(mockserver.Account{
				UserID: userID, Token: strconv.Itoa(userID), Organizations: []string{mockserver.DefaultOrganizationID},
			})
		}, newModel())}
		defer func() {
			for _, s := range sides {
				if err := server.DeleteWorld(s.world); err != nil {
					rt.Error(err)
				}
			}
		}()
		for range rapid.IntRange(1, 25).Draw(rt, "length") {
			total++
			s := sides[0]
			if len(sides) > 1 {
				s = sides[rapid.IntRange(0, len(sides)-1).Draw(rt, "world")]
			}
			name := choose.Draw(rt, "do")
			switch {
			case name == "fork":
				if len(sides) < 3 {
					sides = append(sides, add(func(userID int) (*mockserver.World, error) {
						return s.world.Fork(userID, strconv.Itoa(userID))
					}, s.model.clone()))
				}
			case calls[name] != nil:
				calls[name](s)
			default:
				verbs[name](s)
			}
		}
		for _, s := range sides {
			s.all()
		}
	})
	t.Logf("%d steps", total)
}

// The model has to be asked about every operation that there is.
func TestModelKnowsEveryOperation(t *testing.T) {
	want := reflect.TypeFor[gen.ClientInterface]().NumMethod()
	// The generated client has two methods for each operation with a body, and all but authenticateGet have one.
	if got := 2*len(calls) - 1; got != want {
		t.Errorf("the calls make up %d methods, and the generated client has %d", got, want)
	}
}
