package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// Content is what a store can be made to hold at once. It must hold together: identifiers that are given are unique and
// above 0, what is referred to is there, and nothing was prompted in the future.
type Content struct {
	// Agents have an owner in OrganizationID. An ID of 0 is assigned, as are a model and a time of creation.
	Agents []gen.Agent
	// Tasks have OrganizationID, AgentID, Prompt and ProjectPreference. An ID of 0 is assigned.
	Tasks       []gen.AgentTask
	Deployments []Deployment
	// Stories are those that there are beyond the built-in ones, by name.
	Stories map[string]*Story
	// Rules choose stories; the first that matches counts.
	Rules []Rule
	// Capacity is how many deployments work at once; 0 is no limit.
	Capacity int
}

// Timeless reports whether what is built of the content is the same at all times.
func (c Content) Timeless() bool {
	return len(c.Agents) == 0 && len(c.Tasks) == 0 && len(c.Deployments) == 0
}

// Deployment is a deployment that has been started.
type Deployment struct {
	// ID is assigned when it is empty.
	ID     string
	TaskID int
	// Age is how long ago it was started.
	Age time.Duration
	// Story is what becomes of it; nil means what markers and rules say.
	Story *Story
	// Prompts are the follow-up prompts that it was given.
	Prompts []FollowUp
}

// FollowUp is a prompt that a deployment was given.
type FollowUp struct {
	Prompt string
	// After is when, counted from the start of the deployment.
	After time.Duration
	// Story is what becomes of it; nil means what markers and rules say.
	Story *Story
}

// Build makes what the store would hold with this content and nothing else at a time: deployments were started and
// prompted in the order of time, each finding the room that there was. The store itself stays as it is.
func (s *Store) Build(content Content, now time.Time) (Snapshot, error) {
	at := now
	built := New(Config{Now: func() time.Time { return at }, Seed: s.seed})
	built.state.stories, built.state.rules = content.Stories, content.Rules
	built.state.capacity = content.Capacity
	for _, a := range content.Agents {
		built.state.lastAgent = max(built.state.lastAgent, a.ID)
	}
	for _, a := range content.Agents {
		built.addAgent(a)
	}
	for _, t := range content.Tasks {
		built.state.lastTask = max(built.state.lastTask, t.ID)
		if t.ProjectID != nil {
			built.state.lastProject = max(built.state.lastProject, *t.ProjectID)
		}
	}
	for _, t := range content.Tasks {
		built.addTask(t)
	}

	type event struct {
		at       time.Time
		of       *Deployment
		followUp *FollowUp // nil for the start
	}
	var events []event
	for i := range content.Deployments {
		d := &content.Deployments[i]
		start := now.Add(-d.Age)
		events = append(events, event{at: start, of: d})
		for j := range d.Prompts {
			events = append(events, event{at: start.Add(d.Prompts[j].After), of: d, followUp: &d.Prompts[j]})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	ids := map[*Deployment]string{}
	for _, e := range events {
		at = e.at
		if e.followUp != nil {
			d, ok := built.state.deployments.Get(ids[e.of])
			if !ok {
				return Snapshot{}, fmt.Errorf("deployment of task %d: it is prompted before it starts", e.of.TaskID)
			}
			built.giveRoom(at)
			d, _ = built.state.deployments.Get(d.id)
			built.prompt(d, turn{e.followUp.Prompt, cmp.Or(e.followUp.Story, built.story(d.task, e.followUp.Prompt))}, at)
			continue
		}
		t, ok := built.state.tasks.Get(e.of.TaskID)
		if !ok {
			return Snapshot{}, fmt.Errorf("deployment of task %d: there is no such task", e.of.TaskID)
		}
		d := built.deploy(t, e.of.ID, cmp.Or(e.of.Story, built.story(t, t.prompt)), at)
		ids[e.of] = d.id
	}
	return built.Snapshot(), nil
}

func (s *Store) addAgent(sent gen.Agent) {
	a := &agent{organization: *sent.OrganizationID, Agent: sent}
	if a.ID == 0 {
		s.state.lastAgent++
		a.ID = s.state.lastAgent
	}
	organization := gen.AgentOrganization{}
	if sent.Organization != nil {
		organization = *sent.Organization
	}
	organization.ID = sent.OrganizationID
	a.Organization = &organization
	a.Name = normalized(a.Name)
	a.Model = cmp.Or(a.Model, defaultModel)
	a.Node = cmp.Or(a.Node, &gen.AgentNode{ID: new(0)})
	a.Created = cmp.Or(a.Created, s.timestamp())
	a.ReasoningEffort = cmp.Or(a.ReasoningEffort, new(string(gen.ReasoningEffortHigh)))
	a.MaxTurns = cmp.Or(a.MaxTurns, new(100))
	a.ToolChoice = cmp.Or(a.ToolChoice, new("auto"))
	apply(&a.Agent, gen.AgentSettings{Token: sent.Token})
	s.state.agents.Set(a.ID, a)
	s.state.agentsOf.Set(owned{a.organization, a.ID})
}

func (s *Store) addTask(sent gen.AgentTask) {
	t := &task{
		AgentTask:     sent,
		organization:  *sent.OrganizationID,
		agentID:       *sent.AgentID,
		prompt:        *sent.Prompt,
		sharesProject: *sent.ProjectPreference == string(gen.ProjectPreferenceProjectForTask),
	}
	if t.ID == 0 {
		s.state.lastTask++
		t.ID = s.state.lastTask
	}
	t.Name = normalized(t.Name)
	t.Created = cmp.Or(t.Created, s.timestamp())
	s.state.tasks.Set(t.ID, t)
	s.state.tasksOf.Set(owned{t.organization, t.ID})
}
