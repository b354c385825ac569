package store

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
	"github.com/qcagents/qcagents/mockserver/internal/transcript"
)

// The default pace: about a second in the queue and two at work, so that a consumer that polls sees every status without
// waiting long.
const (
	queueTime = 1 * time.Second
	workTime  = 2 * time.Second
	// longWorkTime is how long a long-running deployment works: long enough for every client to give up first.
	longWorkTime = 2 * time.Hour
)

// Story is what becomes of a prompt: the statuses that the deployment passes through, and what its agent says.
type Story struct {
	// Name is how rules and markers call it.
	Name string
	// Plan is the statuses. A follow-up prompt begins at the plan's first step beyond the queue.
	Plan lifecycle.Plan
	// Outcome is how the composed transcript ends. It is not used when there is a Script.
	Outcome transcript.Outcome
	// Script is the transcript's own script; nil means that one is composed for the prompt.
	Script transcript.Script
	// SubAgent makes the composed transcript leave the work to a sub-agent, whose conversation has a callableId.
	SubAgent bool
	// Callables are the scripted conversations of sub-agents, by callableId.
	Callables map[string]Callable
	// Silent means that there is no conversation: null, with null counts.
	Silent bool
}

// Callable is the conversation of a sub-agent's call.
type Callable struct {
	Prompt string
	Script transcript.Script
}

func working(status string, d time.Duration) lifecycle.Plan {
	return lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterTime(queueTime)},
		{Status: status, Trigger: lifecycle.AfterTime(d)},
	}
}

// Stories are the built-in ones, by name. The caller must not change them.
var Stories = func() map[string]*Story {
	byName := map[string]*Story{}
	for _, s := range []*Story{
		{Name: "success", Plan: working(lifecycle.Completed, workTime)},
		{Name: "runtime-error", Plan: working(lifecycle.RuntimeError, workTime), Outcome: transcript.RuntimeError},
		{Name: "compile-warning", Plan: working(lifecycle.Completed, workTime), Outcome: transcript.CompileWarning},
		{Name: "failed", Plan: working(lifecycle.Failed, workTime), Outcome: transcript.Failed},
		{Name: "stuck-in-queue", Plan: lifecycle.Plan{{Status: lifecycle.InQueue}}},
		{Name: "long-running", Plan: working(lifecycle.Completed, longWorkTime)},
		{Name: "sub-agent", Plan: working(lifecycle.Completed, workTime), SubAgent: true},
		{Name: "empty-conversation", Plan: working(lifecycle.Completed, workTime), Silent: true},
	} {
		byName[s.Name] = s
	}
	return byName
}()

// Rule chooses a story for the prompts that match all of it. The zero Rule matches every prompt.
type Rule struct {
	// AgentID is the agent of the task; 0 matches every one.
	AgentID int
	// Name matches the task's name, and Prompt the prompt; nil matches every one.
	Name, Prompt *regexp.Regexp
	Story        *Story
}

func (r Rule) matches(t *task, prompt string) bool {
	return (r.AgentID == 0 || r.AgentID == t.agentID) &&
		(r.Name == nil || r.Name.MatchString(t.Name)) &&
		(r.Prompt == nil || r.Prompt.MatchString(prompt))
}

// marker is how a prompt itself chooses its story.
var marker = regexp.MustCompile(`\[mock:([^\[\]]*)\]`)

// Marker is the name of the story that a prompt itself chooses, which may be one that there is not; false if it chooses
// none.
func Marker(prompt string) (string, bool) {
	name := marker.FindStringSubmatch(prompt)
	if name == nil {
		return "", false
	}
	return name[1], true
}

// story chooses what becomes of a prompt: by the marker in it, by the first rule that matches, or success.
func (s *Store) story(t *task, prompt string) *Story {
	if name, ok := Marker(prompt); ok {
		if story := s.named(name); story != nil {
			return story
		}
	}
	for _, rule := range s.state.rules {
		if rule.matches(t, prompt) {
			return rule.Story
		}
	}
	return Stories["success"]
}

func (s *Store) named(name string) *Story {
	if story := s.state.stories[name]; story != nil {
		return story
	}
	return Stories[name]
}

// checkMarker refuses a prompt whose marker names no story, since it would pass for a success.
func (s *Store) checkMarker(prompt string) error {
	name, ok := Marker(prompt)
	if !ok || s.named(name) != nil {
		return nil
	}
	var known []string
	for name := range Stories {
		known = append(known, name)
	}
	for name := range s.state.stories {
		known = append(known, name)
	}
	slices.Sort(known)
	return &Error{Class: "enum", Pointer: "/prompt", Text: fmt.Sprintf(
		"Invalid argument: the prompt's marker [mock:%s] names no plan; write one of %s.", quoted(name), strings.Join(slices.Compact(known), ", "))}
}

// turn is a prompt and what becomes of it.
type turn struct {
	prompt string
	story  *Story
}

func (d *deployment) turns() []turn {
	return append([]turn{{d.task.prompt, d.story}}, d.followUps...)
}

// script is what the agent says in the last of the turns so far.
func (d *deployment) script(turns []turn) (main, sub transcript.Script, callableID string) {
	story := turns[len(turns)-1].story
	if story.Script != nil {
		return story.Script, nil, ""
	}
	prompts := promptsOf(turns)
	length := story.Plan.WorkTime()
	if length == 0 {
		length = workTime
	}
	if !story.SubAgent {
		return transcript.Compose(d.id, prompts, story.Outcome).Scaled(length), nil, ""
	}
	main, callableID, sub = transcript.ComposeSubAgent(d.id, prompts)
	return main.Scaled(length), sub.ScaledWith(main, length), callableID
}

func promptsOf(turns []turn) []string {
	prompts := make([]string, len(turns))
	for i, t := range turns {
		prompts[i] = t.prompt
	}
	return prompts
}

// conversation tells the deployment's story as far as it has got, or a sub-agent's part of it. It is written anew each
// time, which is cheaper than to keep it for every deployment that nobody reads. It is nil when there is none.
func (d *deployment) conversation(now time.Time, callableID *string) (*gen.AgentConversation, error) {
	turns := d.turns()
	own := make([]transcript.Turn, len(turns))
	silent := true
	for i, t := range turns {
		work := d.run.Work(i, now)
		own[i] = transcript.Turn{Prompt: t.prompt, Begun: work.Begun, Elapsed: work.Elapsed}
		silent = silent && t.story.Silent
		if !work.Begun || t.story.Silent {
			continue
		}
		script, sub, id := d.script(turns[:i+1])
		if work.Done {
			own[i].Elapsed = max(work.Elapsed, script.Length())
		}
		own[i].Script = script
		if callableID == nil {
			continue
		}
		asked := Callable{Prompt: transcript.SubAgentPrompt(promptsOf(turns[:i+1])), Script: sub}
		if called, ok := t.story.Callables[*callableID]; ok {
			asked, id = called, *callableID
		}
		if id == *callableID && calledBy(script, id, own[i].Elapsed) {
			if work.Done {
				// What is scripted is said, even if the deployment was quicker.
				own[i].Elapsed = max(own[i].Elapsed, asked.Script.Length())
			}
			c := transcript.Conversation(d.id+"-"+id, []transcript.Turn{{
				Prompt: asked.Prompt, Script: asked.Script, Begun: true, Elapsed: own[i].Elapsed,
			}})
			return &c, nil
		}
	}
	if callableID != nil {
		return nil, notFound("/callableId", "Callable %s not found: this deployment has made no such call so far; take the toolCallId of a sub-agent's call from its conversation, or leave callableId out.",
			quoted(*callableID))
	}
	if silent {
		return nil, nil
	}
	c := transcript.Conversation(d.id, own)
	return &c, nil
}

// calledBy reports whether a script has made a call by a time. A script that shows no such call has always made it.
func calledBy(script transcript.Script, callableID string, elapsed time.Duration) bool {
	for _, cue := range script {
		if id := cue.Part.ToolCallID; id != nil && *id == callableID {
			return cue.At <= elapsed
		}
	}
	return true
}
