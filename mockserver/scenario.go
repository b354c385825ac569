package mockserver

import (
	_ "embed"
	"slices"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/store"
	"github.com/qcagents/qcagents/mockserver/internal/transcript"
)

// Scenario is a world described as data: what it holds at first, and what becomes of the prompts that its agents are
// given. It is written as one YAML or JSON file, see [ReadScenario], or in Go. Everything in it may be left out.
//
//	accounts:
//	  - userId: 1
//	    token: mock-api-token
//	rules:
//	  - prompt: (?i)backtest
//	    plan: flaky
//	plans:
//	  flaky:
//	    steps:
//	      - status: InQueue
//	      - { status: Running, after: 2s }
//	      - { status: RuntimeError, reads: 3 }
//
// Members are named as in the API where the API has them. A Scenario must not be changed once it has been loaded.
type Scenario struct {
	// Schema is for editors: where the file's JSON Schema lies, see [ScenarioSchema].
	Schema string `json:"$schema,omitempty"`
	// Description is for readers.
	Description string `json:"description,omitempty"`
	// Accounts are the users of the world. Default: those that it has already.
	Accounts []Account `json:"accounts,omitempty"`
	// Clock is the time in the world. Default: the base clock's, at the server's speed.
	Clock *ScenarioClock `json:"clock,omitempty"`
	// Capacity is how many deployments work at once, 0 for no limit. Default: the server's.
	Capacity *int `json:"capacity,omitempty"`
	// Agents are the organizations' agents beside agent 47, which is always there. The ID is assigned when it is 0;
	// OrganizationID is by default the first organization of the first account.
	Agents []gen.Agent `json:"agents,omitempty"`
	// Tasks are the agents' tasks. The ID is assigned when it is 0; OrganizationID is by default that of the agent, or
	// the first organization of the first account; ProjectPreference is by default project-each-task-deployment.
	Tasks []gen.AgentTask `json:"tasks,omitempty"`
	// Deployments are runs of the tasks that have been started already.
	Deployments []ScenarioDeployment `json:"deployments,omitempty"`
	// Plans are the scenario's own plans, by the name that rules, deployments and markers in prompts call them. One with
	// the name of a built-in plan takes its place in rules and markers alike.
	Plans map[string]ScenarioPlan `json:"plans,omitempty"`
	// Rules choose the plans of prompts that hold no marker such as [mock:failed]. The first that matches counts;
	// without one it is success.
	Rules []ScenarioRule `json:"rules,omitempty"`
	// Faults are injected from the start, see [World.Inject].
	Faults []Fault `json:"faults,omitempty"`

	// places are where the members were read, by their paths; nil when the scenario was not read.
	places map[string]place
	file   string
}

// ScenarioClock is the time in a scenario's world.
type ScenarioClock struct {
	// Start is the time when the scenario is loaded. Default: the base clock's time.
	Start *time.Time `json:"start,omitempty"`
	// Speed is how many seconds pass for each second of the base clock; 0 is frozen. Default: the server's.
	Speed *float64 `json:"speed,omitempty"`
}

// ScenarioDeployment is a run of a task that has been started already, and may have ended.
type ScenarioDeployment struct {
	// DeploymentID is the deployment's identifier. Default: assigned.
	DeploymentID string `json:"deploymentId,omitempty"`
	// TaskID is the task that runs.
	TaskID int `json:"taskId"`
	// Plan is the plan of the task's own prompt. Default: by marker or rule.
	Plan string `json:"plan,omitempty"`
	// Age is how long ago it was started, in the time of the world. Default: just now.
	Age Duration `json:"age,omitzero"`
	// Prompts are the follow-up prompts that it was given.
	Prompts []ScenarioPrompt `json:"prompts,omitempty"`
}

// ScenarioPrompt is a follow-up prompt that a deployment was given.
type ScenarioPrompt struct {
	// Prompt is what the agent was asked.
	Prompt string `json:"prompt"`
	// After is when, counted from the start of the deployment and no later than now. Default: at once, so that it is taken
	// up when the work before it completes.
	After Duration `json:"after,omitzero"`
	// Plan is the prompt's plan. Default: by marker or rule.
	Plan string `json:"plan,omitempty"`
}

// ScenarioPlan is what becomes of a prompt: the statuses that the deployment passes through, and what its agent says.
type ScenarioPlan struct {
	// Description is for readers.
	Description string `json:"description,omitempty"`
	// Outcome is how the transcript ends that the mock composes: success, runtime-error, compile-warning or failed.
	// Default: what the last status says.
	Outcome string `json:"outcome,omitempty"`
	// Steps are the statuses, in any order and any spelling. Default: those of the built-in plan of the same outcome.
	Steps []ScenarioStep `json:"steps,omitempty"`
	// Transcript is what the agent says, in place of a transcript that the mock composes. An empty one says nothing.
	Transcript []ScenarioCue `json:"transcript,omitzero"`
	// Callables are the conversations of sub-agents, by callableId: the toolCallId of the call in the transcript.
	Callables map[string]ScenarioCallable `json:"callables,omitempty"`
	// Conversation is none for a deployment without a conversation, which is read as null.
	Conversation string `json:"conversation,omitempty"`
}

// ScenarioStep is a status and what leads to it from the step before: one of After, Reads and OnSettle, or nothing, and
// the step is entered together with the one before it.
type ScenarioStep struct {
	// Status is shown as it is written.
	Status string `json:"status"`
	// After enters the step once this time has passed since the step before it.
	After Duration `json:"after,omitzero"`
	// Reads enters the step at the nth read of the deployment since the step before it.
	Reads int `json:"reads,omitempty"`
	// OnSettle enters the step only when the world is settled, see [World.Settle].
	OnSettle bool `json:"onSettle,omitempty"`
}

// ScenarioCue is one thing that happens in a transcript: a part appears, or the part before it changes.
type ScenarioCue struct {
	// At is when it happens, counted from the moment when the deployment begins to work on the prompt. No cue comes before
	// the one above it.
	At Duration `json:"at,omitzero"`
	// Part is the part as it stands from then on, with whatever members.
	Part gen.ConversationPart `json:"part"`
	// Revises makes the part replace the one before it: a tool call passes through its states.
	Revises bool `json:"revises,omitempty"`
	// InputTokens is what this adds to the deployment's running total.
	InputTokens int `json:"inputTokens,omitempty"`
	// OutputTokens is what this adds to the deployment's running total.
	OutputTokens int `json:"outputTokens,omitempty"`
}

// ScenarioCallable is the conversation of a sub-agent.
type ScenarioCallable struct {
	// Prompt is what the sub-agent was asked.
	Prompt string `json:"prompt"`
	// Transcript is what it said. Its times count from the same moment as those of the main transcript.
	Transcript []ScenarioCue `json:"transcript,omitempty"`
}

// ScenarioRule chooses a plan for the prompts that match all of it.
type ScenarioRule struct {
	// AgentID is the agent of the task. Default: every agent.
	AgentID int `json:"agentId,omitempty"`
	// Name is a regular expression (RE2) that the task's name must match somewhere. Default: every name.
	Name string `json:"name,omitempty"`
	// Prompt is a regular expression (RE2) that the prompt must match somewhere. Default: every prompt.
	Prompt string `json:"prompt,omitempty"`
	// Plan is the name of one of the scenario's own plans, or of a built-in one.
	Plan string `json:"plan"`
}

//go:embed scenario.schema.json
var scenarioSchema []byte

// ScenarioSchema is the JSON Schema (draft-07) of scenario files, for editors.
func ScenarioSchema() []byte { return slices.Clone(scenarioSchema) }

// WithScenario loads a scenario into the default world at the start. The accounts of the scenario are then those of the
// default world; with [WithAccount], its first account stays the first of them. Default: a world that holds nothing but
// agent 47.
func WithScenario(scenario *Scenario) Option {
	return func(c *config) error {
		c.scenario = scenario
		return nil
	}
}

// Load makes the world what a scenario says, in place of everything that it held: its accounts if the scenario has some,
// its time, capacity and faults included. The journal is empty then, and [World.Reset] goes back to here. After an error
// the world is as it was.
func (w *World) Load(scenario *Scenario) error {
	accounts := scenario.accounts()
	if len(accounts) == 0 {
		accounts = w.Accounts()
	}
	return w.load(scenario, accounts)
}

func (w *World) load(scenario *Scenario, accounts []Account) error {
	c := scenarioChecker{scenario: scenario, accounts: accounts, ownsAll: w.ownsAll}
	plan := c.check()
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	for _, account := range accounts {
		if other := w.server.worlds[account.UserID]; other != nil && other != w {
			c.bad(c.accountPath(account.UserID), "user id %d belongs to another world; use one that is not taken, or leave the accounts out", account.UserID)
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	if plan.content.Capacity = w.server.capacity; scenario.Capacity != nil {
		plan.content.Capacity = *scenario.Capacity
	}

	clock := w.server.newClock(scenario.Clock)
	now := clock.Now(w.server.now())
	built, err := w.store.Build(plan.content, now)
	if err != nil {
		return err
	}
	for userID, other := range w.server.worlds {
		if other == w {
			delete(w.server.worlds, userID)
		}
	}
	for _, account := range accounts {
		w.server.worlds[account.UserID] = w
	}
	w.mu.Lock()
	w.accounts = accounts
	w.initial, w.anew = Snapshot{store: built, clock: clock, faults: plan.faults}, true
	w.loaded, w.loadedAt, w.clockOf = plan.content, now, scenario.Clock
	initial := w.initial
	w.mu.Unlock()
	w.Restore(initial)
	w.journal.clear()
	return nil
}

// accounts are the scenario's accounts with what was left out.
func (s *Scenario) accounts() []Account {
	accounts := slices.Clone(s.Accounts)
	for i := range accounts {
		a := &accounts[i]
		if a.Token == "" {
			a.Token = DefaultToken
		}
		if len(a.Organizations) == 0 {
			a.Organizations = []string{DefaultOrganizationID}
		}
		a.Organizations = slices.Clone(a.Organizations)
	}
	return accounts
}

// accountsWith are the accounts of a default world: those that the options gave come before the scenario's own.
func (s *Scenario) accountsWith(given []Account) []Account {
	var own []Account
	if s != nil {
		own = s.accounts()
	}
	if len(given) == 0 {
		if len(own) == 0 {
			own = []Account{DefaultAccount()}
		}
		return own
	}
	first := given[0]
	own = slices.DeleteFunc(own, func(a Account) bool { return a.UserID == first.UserID })
	return append([]Account{first}, own...)
}

// blueprint is a scenario that has been checked, as the store and the stages want it.
type blueprint struct {
	content store.Content
	faults  []armed
}

func script(cues []ScenarioCue) transcript.Script {
	if cues == nil {
		return nil
	}
	s := make(transcript.Script, len(cues))
	for i, cue := range cues {
		s[i] = transcript.Cue{
			At: time.Duration(cue.At), Part: cue.Part, Revises: cue.Revises,
			InputTokens: cue.InputTokens, OutputTokens: cue.OutputTokens,
		}
	}
	return s
}
