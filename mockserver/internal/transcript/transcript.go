// Package transcript is what an agent would have said: messages and parts, played from a script.
//
// A Script lists what happens in one turn and when; Conversation shows how far a deployment's turns have got. Compose
// and ComposeSubAgent write scripts that fit a prompt. The package knows the wire types of gen and nothing else: no
// HTTP, no clock, no randomness. The same arguments give the same bytes, whenever and wherever they are asked.
//
// What was observed of real transcripts is little: conversation.messages[].parts[], running totals inputTokens and
// outputTokens, parts of type dynamic-tool named create_file and edit_file with input.filePath and input.content, and
// output.structuredContent with success, errors and warnings, where the error "The backtest ended with a runtime
// error." is one that QuantConnect's own scripts look for. Everything else here is inferred: the remaining vocabulary
// is that of the Vercel AI SDK, and the words, timings, token counts and statistics are made up.
package transcript

import (
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// Cue is one thing that happens in a transcript: a part appears, or the part before it changes.
type Cue struct {
	// At is when it happens, counted from the moment the turn began to run.
	At time.Duration

	// Part is the part as it stands from then on. It is shared by everything rendered from the cue, so neither it nor
	// what it points to may be changed after the script is first used.
	Part gen.ConversationPart

	// Revises says that Part replaces the part before it: a tool call passes through its states, or a text that was
	// streaming grows or is done. With no part before it in the same turn, the part is simply added.
	Revises bool

	// InputTokens and OutputTokens are what this cue adds to the deployment's running totals. Below zero counts as zero.
	InputTokens, OutputTokens int
}

// Script is what an agent does with one prompt, in order of At.
type Script []Cue

// Length is the time from the beginning of the turn to its last cue; 0 for an empty script.
func (s Script) Length() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].At
}

// Scaled returns the same cues, stretched or squeezed so that the last of them falls at to. All cues of a script
// without length fall there. A time below zero counts as zero.
func (s Script) Scaled(to time.Duration) Script {
	return s.scaled(s.Length(), to)
}

// ScaledWith returns the same cues, stretched or squeezed by as much as other would be by other.Scaled(to). It keeps
// a sub-agent's script within the call that it answers.
func (s Script) ScaledWith(other Script, to time.Duration) Script {
	return s.scaled(other.Length(), to)
}

func (s Script) scaled(from, to time.Duration) Script {
	to = max(to, 0)
	scaled := make(Script, len(s))
	for i, cue := range s {
		if from <= 0 {
			cue.At = to
		} else {
			cue.At = ratio(max(cue.At, 0), to, from)
		}
		scaled[i] = cue
	}
	return scaled
}

// ratio is d*num/den without overflow on the way, for values that are not negative and den above zero.
func ratio(d, num, den time.Duration) time.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(num))
	if hi >= uint64(den) {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(hi, lo, uint64(den))
	return time.Duration(min(quotient, math.MaxInt64))
}

// Turn is a prompt and how much of the answer has been said.
type Turn struct {
	// Prompt is what the user said, shown as it is.
	Prompt string

	// Script is what the agent does with it.
	Script Script

	// Begun is false while the deployment still waits: only the prompt shows.
	Begun bool

	// Elapsed is how far the script has run: the cues with At <= Elapsed have happened.
	Elapsed time.Duration
}

// Conversation renders turns as the API gives them: for each a message of the user, and one of the assistant once
// anything has happened. id tells this transcript's messages from those of others; a message keeps its identifier
// however much is said after it.
//
// Token counts are set and no slice is nil. Messages and their slices belong to the caller. What parts point to
// (texts, inputs, outputs) is shared with the script and not to be changed.
func Conversation(id string, turns []Turn) gen.AgentConversation {
	totals := &struct{ input, output int }{}
	messages := make([]gen.ConversationMessage, 0, 2*len(turns))
	for i := range turns {
		turn := &turns[i]

		prompt := newVoice(id, 2*i+1, "user")
		prompt.text = turn.Prompt
		messages = append(messages, prompt.says([]gen.ConversationPart{{Type: "text", Text: &prompt.text}}))

		if said := turn.said(); len(said) > 0 {
			for j := range said {
				totals.input = plus(totals.input, said[j].InputTokens)
				totals.output = plus(totals.output, said[j].OutputTokens)
			}
			messages = append(messages, newVoice(id, 2*i+2, "assistant").says(said.parts()))
		}
	}
	return gen.AgentConversation{Messages: messages, InputTokens: &totals.input, OutputTokens: &totals.output}
}

// said is the beginning of the script that has happened.
func (t *Turn) said() Script {
	if !t.Begun {
		return nil
	}
	for i := range t.Script {
		if t.Script[i].At > t.Elapsed {
			return t.Script[:i]
		}
	}
	return t.Script
}

// parts is what there is to see once every cue of s has happened.
func (s Script) parts() []gen.ConversationPart {
	count := 0
	for i := range s {
		if count == 0 || !s[i].Revises {
			count++
		}
	}
	parts := make([]gen.ConversationPart, 0, count)
	for i := range s {
		if last := len(parts) - 1; last >= 0 && s[i].Revises {
			parts[last] = s[i].Part
		} else {
			parts = append(parts, s[i].Part)
		}
	}
	return parts
}

// voice holds the strings of one message together: one allocation, because every poll renders every message.
type voice struct{ id, role, text string }

func newVoice(id string, number int, role string) *voice {
	return &voice{id: id + "-" + strconv.Itoa(number), role: role}
}

func (v *voice) says(parts []gen.ConversationPart) gen.ConversationMessage {
	return gen.ConversationMessage{ID: &v.id, Role: &v.role, Parts: parts}
}

// plus adds tokens to a total, which never falls and never overflows.
func plus(total, tokens int) int {
	if tokens <= 0 {
		return total
	}
	if total > math.MaxInt-tokens {
		return math.MaxInt
	}
	return total + tokens
}
