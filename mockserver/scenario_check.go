package mockserver

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
	"github.com/qcagents/qcagents/mockserver/internal/store"
	"github.com/qcagents/qcagents/mockserver/internal/transcript"
)

// The bounds of a scenario, beside those of the file.
const (
	maxScenarioID       = 1<<31 - 1
	maxScenarioDuration = Duration(8760 * time.Hour)
	maxScenarioSteps    = 100
	maxScenarioPattern  = 1000
	maxScenarioProblems = 10
)

// ScenarioError is a mistake in a scenario.
type ScenarioError struct {
	// File is the file's name; empty when the scenario was not read from a file.
	File string
	// Line and Column count from 1; they are 0 when the scenario was not read but made.
	Line, Column int
	// Path is the member, such as plans.slow.steps[1].after; empty for the whole.
	Path string
	// Text is one sentence that says what to do.
	Text string
}

// Error is written as compilers do, so that editors find the place.
func (e *ScenarioError) Error() string {
	var text strings.Builder
	if e.File != "" {
		text.WriteString(e.File + ":")
	}
	if e.Line > 0 {
		fmt.Fprintf(&text, "%d:%d:", e.Line, e.Column)
	}
	if text.Len() > 0 {
		text.WriteString(" ")
	}
	if e.Path != "" {
		text.WriteString(e.Path + ": ")
	}
	return text.String() + e.Text
}

// place is where something stands in a file.
type place struct{ line, column int }

// problems collects mistakes, so that a reader sees more than the first.
type problems struct {
	file  string
	found []*ScenarioError
}

func (p *problems) add(at place, path, text string) {
	p.found = append(p.found, &ScenarioError{File: p.file, Line: at.line, Column: at.column, Path: path, Text: text})
}

// err is the mistakes in the order of the file; nil when there are none.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	slices.SortStableFunc(p.found, func(a, b *ScenarioError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var errs []error
	for i, e := range p.found {
		if i == maxScenarioProblems {
			errs = append(errs, &ScenarioError{File: e.File, Line: e.Line, Column: e.Column,
				Text: fmt.Sprintf("and %d more; mend those above first", len(p.found)-i)})
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// scenarioChecker holds a scenario against everything that its shape does not say.
type scenarioChecker struct {
	problems
	scenario *Scenario
	// accounts are those that the world will have; nil when that is not known yet.
	accounts []Account
	ownsAll  bool

	agents  map[int]string // the organization of each agent that has a number
	tasks   map[int]bool
	stories map[string]*store.Story
}

func (c *scenarioChecker) bad(path, format string, args ...any) {
	at, ok := c.scenario.places[path]
	for inner := path; !ok && inner != "" && c.scenario.places != nil; at, ok = c.scenario.places[inner] {
		// What is missing has no place; what it is missing from has.
		inner = inner[:max(0, strings.LastIndexAny(inner, ".["))]
	}
	c.add(at, path, fmt.Sprintf(format, args...))
}

// has reports whether a member was written; in a scenario that was not read, nobody knows.
func (c *scenarioChecker) has(path string) bool {
	_, ok := c.scenario.places[path]
	return ok
}

// missing reports whether a member that must be there was left out of a file.
func (c *scenarioChecker) missing(path string) bool { return c.scenario.places != nil && !c.has(path) }

func entry(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// member is the path of a member of a map, whose name may be anything.
func member(path, name string) string {
	if strings.ContainsAny(name, ".[]\" \t\n") || name == "" {
		name = fmt.Sprintf("%q", short(name))
	} else {
		name = short(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func (c *scenarioChecker) check() blueprint {
	s := c.scenario
	c.file = s.file
	c.agents, c.tasks, c.stories = map[int]string{store.PredefinedAgent: ""}, map[int]bool{}, map[string]*store.Story{}
	c.checkAccounts()
	c.checkClock()
	if s.Capacity != nil && *s.Capacity < 0 {
		c.bad("capacity", "%d is below 0; use 0 (no limit) or more", *s.Capacity)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Plans)) {
		c.stories[name] = c.story(name)
	}
	b := blueprint{content: store.Content{Stories: c.stories}}
	b.content.Agents = c.checkAgents()
	b.content.Rules = c.checkRules()
	b.content.Tasks = c.checkTasks()
	b.content.Deployments = c.checkDeployments()
	b.faults = c.checkFaults()
	return b
}

func (c *scenarioChecker) accountPath(userID int) string {
	i := slices.IndexFunc(c.scenario.Accounts, func(a Account) bool { return a.UserID == userID })
	if i < 0 {
		return "accounts"
	}
	return entry("accounts", i) + ".userId"
}

func (c *scenarioChecker) checkAccounts() {
	seen := map[int]bool{}
	for i, a := range c.scenario.Accounts {
		path := entry("accounts", i)
		switch {
		case c.missing(path + ".userId"):
			c.bad(path, "userId is missing; give a number")
		case a.UserID < 0:
			c.bad(path+".userId", "%d is below 0; use 0 or more", a.UserID)
		case seen[a.UserID]:
			c.bad(path+".userId", "there are two accounts with user id %d; leave one out", a.UserID)
		}
		seen[a.UserID] = true
		if a.Token == "" && c.has(path+".token") {
			c.bad(path+".token", "it is empty; give a text, or leave it out for %s", DefaultToken)
		}
		if len(a.Organizations) == 0 && c.has(path+".organizations") {
			c.bad(path+".organizations", "it is empty; name an organization, or leave it out for %s", DefaultOrganizationID)
		}
		for j, organization := range a.Organizations {
			if strings.TrimSpace(organization) == "" {
				c.bad(entry(path+".organizations", j), "it is empty; give the organization's identifier")
			}
		}
	}
}

func (c *scenarioChecker) checkClock() {
	clock := c.scenario.Clock
	if clock == nil {
		return
	}
	if clock.Start != nil && (clock.Start.Year() < 1971 || clock.Start.Year() > 2199) {
		c.bad("clock.start", "the year %d is out of range; use 1971 to 2199", clock.Start.Year())
	}
	if clock.Speed != nil {
		if err := checkSpeed(*clock.Speed); err != nil {
			c.bad("clock.speed", "%v", err)
		}
	}
}

// duration refuses times that no test needs and arithmetic does not bear.
func (c *scenarioChecker) duration(path string, d Duration) {
	switch {
	case d < 0:
		c.bad(path, "%s is below 0; use 0s or more", time.Duration(d))
	case d > maxScenarioDuration:
		c.bad(path, "%s is too long; use 8760h, which is a year, or less", time.Duration(d))
	}
}

func (c *scenarioChecker) number(path string, id int) {
	if id < 0 || id > maxScenarioID {
		c.bad(path, "%d is out of range; use 1 to %d, or leave it out", id, maxScenarioID)
	}
}

// home is the organization that owns something.
func (c *scenarioChecker) home(path string, sent *string, otherwise string) string {
	if sent == nil {
		if otherwise == "" && len(c.accounts) > 0 {
			if len(c.accounts[0].Organizations) == 0 {
				c.bad(path, "organizationId is missing, and the first account has no organization to stand in; give it")
				return ""
			}
			return c.accounts[0].Organizations[0]
		}
		return otherwise
	}
	if strings.TrimSpace(*sent) == "" {
		c.bad(path+".organizationId", "it is empty; give the organization's identifier, or leave it out for the first account's")
		return ""
	}
	if c.ownsAll || len(c.accounts) == 0 {
		return *sent
	}
	var known []string
	for _, a := range c.accounts {
		known = append(known, a.Organizations...)
	}
	if !slices.Contains(known, *sent) {
		c.bad(path+".organizationId", "no account belongs to organization %q%s; name one that an account has, or add it to an account",
			short(*sent), meant(*sent, known))
	}
	return *sent
}

// meant is a question for the end of a sentence's first half.
func meant(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func (c *scenarioChecker) checkAgents() []gen.Agent {
	agents := slices.Clone(c.scenario.Agents)
	for i := range agents {
		a, path := &agents[i], entry("agents", i)
		c.number(path+".id", a.ID)
		if strings.TrimSpace(a.Name) == "" {
			c.bad(path+".name", "the agent has no name; give it one with a visible character")
		}
		a.OrganizationID = new(c.home(path, a.OrganizationID, ""))
		if a.ID == 0 {
			continue
		}
		if _, taken := c.agents[a.ID]; taken && a.ID == store.PredefinedAgent {
			c.bad(path+".id", "agent %d is QuantConnect's own and always there; use another number, or leave it out", a.ID)
		} else if taken {
			c.bad(path+".id", "there are two agents with the number %d; use another, or leave it out", a.ID)
		} else {
			c.agents[a.ID] = *a.OrganizationID
		}
	}
	for i, a := range agents {
		for j, chained := range a.ChainedAgents {
			c.knownAgent(entry(entry("agents", i)+".chainedAgents", j), chained.AgentID)
		}
		for j, sub := range a.SubAgents {
			c.knownAgent(entry(entry("agents", i)+".subAgents", j), sub.AgentID)
		}
	}
	return agents
}

func (c *scenarioChecker) knownAgent(path string, id int) (organization string, ok bool) {
	organization, ok = c.agents[id]
	if !ok {
		c.bad(path+".agentId", "%s; use the id of one of agents, or %d", orMissing(id, "there is no agent %d", "agentId is missing"), store.PredefinedAgent)
	}
	return organization, ok
}

func orMissing(id int, unknown, missing string) string {
	if id == 0 {
		return missing
	}
	return fmt.Sprintf(unknown, id)
}

func (c *scenarioChecker) checkTasks() []gen.AgentTask {
	tasks := slices.Clone(c.scenario.Tasks)
	for i := range tasks {
		t, path := &tasks[i], entry("tasks", i)
		c.number(path+".id", t.ID)
		if t.ID != 0 && c.tasks[t.ID] {
			c.bad(path+".id", "there are two tasks with the number %d; use another, or leave it out", t.ID)
		}
		c.tasks[t.ID] = true
		if strings.TrimSpace(t.Name) == "" {
			c.bad(path+".name", "the task has no name; give it one with a visible character")
		}
		if t.Prompt == nil || *t.Prompt == "" {
			c.bad(path+".prompt", "the task has no prompt; say what the agent is asked to do")
		} else {
			c.marker(path+".prompt", *t.Prompt)
		}
		if t.AgentID == nil {
			t.AgentID = new(0)
		}
		owner, ok := c.knownAgent(path, *t.AgentID)
		home := c.home(path, t.OrganizationID, owner)
		if ok && owner != "" && home != "" && owner != home {
			c.bad(path+".agentId", "agent %d belongs to organization %q and the task to %q; name an agent of the same one", *t.AgentID, short(owner), short(home))
		}
		t.OrganizationID = &home
		preferences := []string{string(gen.ProjectPreferenceProjectEachTaskDeployment), string(gen.ProjectPreferenceProjectForTask)}
		if t.ProjectPreference == nil {
			t.ProjectPreference = &preferences[0]
		}
		c.choice(path+".projectPreference", *t.ProjectPreference, preferences)
		if t.ProjectID != nil {
			c.number(path+".projectId", *t.ProjectID)
		}
	}
	return tasks
}

func (c *scenarioChecker) choice(path, choice string, among []string) {
	if !slices.Contains(among, choice) {
		c.bad(path, "%q is not known%s; use %s", short(choice), meant(choice, among), strings.Join(among, ", "))
	}
}

func (c *scenarioChecker) planNames() []string {
	return slices.Sorted(maps.Keys(union(c.stories, store.Stories)))
}

func union(a, b map[string]*store.Story) map[string]*store.Story {
	both := maps.Clone(b)
	maps.Copy(both, a)
	return both
}

// named finds a plan that is chosen by name; empty is none.
func (c *scenarioChecker) named(path, name string) *store.Story {
	if name == "" {
		if c.has(path) {
			c.bad(path, "it is empty; name a plan, or leave it out")
		}
		return nil
	}
	if story := cmp.Or(c.stories[name], store.Stories[name]); story != nil {
		return story
	}
	c.bad(path, "there is no plan %q%s; use one of plans, or %s", short(name), meant(name, c.planNames()),
		strings.Join(slices.Sorted(maps.Keys(store.Stories)), ", "))
	return nil
}

// marker refuses a prompt whose marker names no plan.
func (c *scenarioChecker) marker(path, prompt string) {
	name, ok := store.Marker(prompt)
	if known := c.planNames(); ok && !slices.Contains(known, name) {
		c.bad(path, "the marker [mock:%s] names no plan%s; use one of plans, or %s", short(name), meant(name, known),
			strings.Join(slices.Sorted(maps.Keys(store.Stories)), ", "))
	}
}

func (c *scenarioChecker) checkDeployments() []store.Deployment {
	var deployments []store.Deployment
	seen := map[string]bool{}
	for i, d := range c.scenario.Deployments {
		path := entry("deployments", i)
		if d.DeploymentID != "" && seen[d.DeploymentID] {
			c.bad(path+".deploymentId", "there are two deployments with this identifier; use another, or leave it out")
		}
		if d.DeploymentID == "" && c.has(path+".deploymentId") {
			c.bad(path+".deploymentId", "it is empty; use A- and 32 hexadecimal digits, or leave it out")
		}
		seen[d.DeploymentID] = true
		if !c.tasks[d.TaskID] || d.TaskID == 0 {
			c.bad(path+".taskId", "%s; use the id of one of tasks", orMissing(d.TaskID, "there is no task %d", "taskId is missing"))
		}
		c.duration(path+".age", d.Age)
		deployment := store.Deployment{
			ID: d.DeploymentID, TaskID: d.TaskID, Age: time.Duration(d.Age), Story: c.named(path+".plan", d.Plan),
		}
		last := Duration(0)
		for j, p := range d.Prompts {
			path := entry(path+".prompts", j)
			c.duration(path+".after", p.After)
			switch {
			case p.After > d.Age:
				c.bad(path+".after", "%s after its start is still to come for a deployment of age %s; use that or less", time.Duration(p.After), time.Duration(d.Age))
			case p.After < last:
				c.bad(path+".after", "it comes before the prompt above it; put them in the order of time")
			}
			last = p.After
			if p.Prompt == "" {
				c.bad(path+".prompt", "there is no prompt; say what the agent was asked")
			} else {
				c.marker(path+".prompt", p.Prompt)
			}
			deployment.Prompts = append(deployment.Prompts, store.FollowUp{
				Prompt: p.Prompt, After: time.Duration(p.After), Story: c.named(path+".plan", p.Plan),
			})
		}
		deployments = append(deployments, deployment)
	}
	return deployments
}

func (c *scenarioChecker) checkRules() []store.Rule {
	var rules []store.Rule
	for i, r := range c.scenario.Rules {
		path := entry("rules", i)
		if r.AgentID != 0 || c.has(path+".agentId") {
			c.knownAgent(path, r.AgentID)
		}
		if r.Plan == "" && !c.has(path+".plan") {
			c.bad(path+".plan", "plan is missing; name the plan that the rule chooses")
		}
		rules = append(rules, store.Rule{
			AgentID: r.AgentID, Name: c.pattern(path+".name", r.Name), Prompt: c.pattern(path+".prompt", r.Prompt),
			Story: c.named(path+".plan", r.Plan),
		})
	}
	return rules
}

func (c *scenarioChecker) pattern(path, pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	if len(pattern) > maxScenarioPattern {
		c.bad(path, "the regular expression has %d bytes; use %d or fewer", len(pattern), maxScenarioPattern)
		return nil
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		c.bad(path, "%v; write a regular expression in RE2's syntax", err)
		return nil
	}
	return compiled
}

// outcomes are the ways in which a composed transcript ends, and the statuses that speak of them.
var outcomes = []struct {
	is     transcript.Outcome
	status string
}{
	{transcript.Success, lifecycle.Completed},
	{transcript.RuntimeError, lifecycle.RuntimeError},
	{transcript.CompileWarning, lifecycle.Completed},
	{transcript.Failed, lifecycle.Failed},
}

func (c *scenarioChecker) story(name string) *store.Story {
	plan, path := c.scenario.Plans[name], member("plans", name)
	if strings.TrimSpace(name) != name || name == "" || strings.ContainsAny(name, "[]") {
		c.bad(path, "a plan cannot have this name; use one without brackets and without spaces at its ends")
	}
	story := &store.Story{Name: name, Script: c.script(path+".transcript", plan.Transcript)}
	story.Outcome = c.outcome(path+".outcome", plan)
	if len(plan.Steps) == 0 && !c.has(path+".steps") {
		story.Plan = store.Stories[story.Outcome.String()].Plan
	} else {
		story.Plan = c.plan(path+".steps", plan.Steps)
	}
	switch {
	case plan.Conversation == "none":
		story.Silent = true
		if plan.Transcript != nil || plan.Callables != nil {
			c.bad(path+".conversation", "the plan has no conversation, but says what is in it; leave out conversation, or transcript and callables")
		}
	case plan.Conversation != "" || c.has(path+".conversation"):
		c.bad(path+".conversation", "%q is not known; use none, or leave it out", short(plan.Conversation))
	}
	for _, id := range slices.Sorted(maps.Keys(plan.Callables)) {
		callable, path := plan.Callables[id], member(path+".callables", id)
		if id == "" {
			c.bad(path, "a callableId cannot be empty; use the toolCallId of the call")
		}
		if callable.Prompt == "" {
			c.bad(path+".prompt", "there is no prompt; say what the sub-agent was asked")
		}
		if story.Callables == nil {
			story.Callables = map[string]store.Callable{}
		}
		story.Callables[id] = store.Callable{Prompt: callable.Prompt, Script: c.script(path+".transcript", callable.Transcript)}
	}
	return story
}

func (c *scenarioChecker) outcome(path string, plan ScenarioPlan) transcript.Outcome {
	if plan.Outcome == "" && !c.has(path) {
		for i := len(plan.Steps) - 1; i >= 0; i-- {
			for _, outcome := range outcomes {
				if strings.EqualFold(outcome.status, plan.Steps[i].Status) {
					return outcome.is
				}
			}
		}
		return transcript.Success
	}
	var known []string
	for _, outcome := range outcomes {
		if outcome.is.String() == plan.Outcome {
			return outcome.is
		}
		known = append(known, outcome.is.String())
	}
	c.choice(path, plan.Outcome, known)
	return transcript.Success
}

func (c *scenarioChecker) plan(path string, steps []ScenarioStep) lifecycle.Plan {
	if len(steps) == 0 || len(steps) > maxScenarioSteps {
		c.bad(path, "there are %d steps; use 1 to %d, or leave steps out", len(steps), maxScenarioSteps)
	}
	var plan lifecycle.Plan
	for i, s := range steps {
		path := entry(path, i)
		if strings.TrimSpace(s.Status) == "" {
			c.bad(path+".status", "the step has no status; give one, such as Running")
		}
		step, triggers := lifecycle.Step{Status: s.Status}, 0
		if s.After != 0 {
			triggers++
			c.duration(path+".after", s.After)
			step.Trigger = lifecycle.AfterTime(time.Duration(s.After))
		}
		if s.Reads != 0 || c.has(path+".reads") {
			triggers++
			if s.Reads < 1 || s.Reads > maxScenarioID {
				c.bad(path+".reads", "%d is out of range; use 1 to %d", s.Reads, maxScenarioID)
			}
			step.Trigger = lifecycle.AfterReads(s.Reads)
		}
		if s.OnSettle {
			triggers++
			step.Trigger = lifecycle.OnSettle()
		}
		if triggers > 1 {
			c.bad(path, "the step has more than one trigger; keep one of after, reads and onSettle")
		}
		plan = append(plan, step)
	}
	return plan
}

func (c *scenarioChecker) script(path string, cues []ScenarioCue) transcript.Script {
	last := Duration(0)
	for i, cue := range cues {
		path := entry(path, i)
		c.duration(path+".at", cue.At)
		if cue.At < last {
			c.bad(path+".at", "%s comes before the cue above it, at %s; put them in the order of time", time.Duration(cue.At), time.Duration(last))
		}
		last = max(last, cue.At)
		if cue.Revises && i == 0 {
			c.bad(path+".revises", "there is no part above it that it could revise; leave it out")
		}
		if cue.Part.Type == "" {
			c.bad(path+".part.type", "the part has no type; give one, such as text or dynamic-tool")
		}
		for _, count := range []struct {
			name  string
			value int
		}{{"inputTokens", cue.InputTokens}, {"outputTokens", cue.OutputTokens}} {
			if count.value < 0 || count.value > maxScenarioID {
				c.bad(path+"."+count.name, "%d is out of range; use 0 to %d", count.value, maxScenarioID)
			}
		}
	}
	return script(cues)
}

func (c *scenarioChecker) checkFaults() []armed {
	table, err := loadContract()
	if err != nil {
		c.bad("faults", "%v", err)
		return nil
	}
	var faults []armed
	for i, f := range c.scenario.Faults {
		path := entry("faults", i)
		c.duration(path+".effect.delay", f.Effect.Delay)
		if err := f.check(table); err != nil {
			c.bad(path+faultMember(err.Error()), "%v", err)
		}
		if f.UserID != nil && len(c.accounts) > 0 && !slices.ContainsFunc(c.accounts, func(a Account) bool { return a.UserID == *f.UserID }) {
			c.bad(path+".userId", "the world has no account with user id %d; use one of accounts, or leave it out for all", *f.UserID)
		}
		faults = append(faults, armed{Fault: f})
	}
	return faults
}

// faultMember is the member that a refusal of a fault begins with.
func faultMember(text string) string {
	name := strings.TrimRight(strings.SplitN(text, " ", 2)[0], ":")
	switch name {
	case "operation", "phase", "skip", "effect":
		return "." + name
	case "respond":
		return ".effect.respond.status"
	case "delay", "reject", "garble":
		return ".effect." + name
	}
	return ""
}
