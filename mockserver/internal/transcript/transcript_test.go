package transcript

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
)

func text(s string) gen.ConversationPart { return gen.ConversationPart{Type: "text", Text: &s} }

func TestConversationShowsWhatHasHappened(t *testing.T) {
	script := Script{
		{At: 1 * time.Second, Part: text("a"), InputTokens: 10, OutputTokens: 1},
		{At: 2 * time.Second, Part: text("ab"), Revises: true, OutputTokens: 1},
		{At: 3 * time.Second, Part: text("c"), InputTokens: 20, OutputTokens: 2},
	}
	for _, test := range []struct {
		name          string
		turn          Turn
		parts         []string
		input, output int
	}{
		{"waiting", Turn{Script: script, Elapsed: time.Hour}, nil, 0, 0},
		{"nothing said", Turn{Script: script, Begun: true, Elapsed: time.Second - 1}, nil, 0, 0},
		{"one part", Turn{Script: script, Begun: true, Elapsed: time.Second}, []string{"a"}, 10, 1},
		{"revised", Turn{Script: script, Begun: true, Elapsed: 2 * time.Second}, []string{"ab"}, 10, 2},
		{"all", Turn{Script: script, Begun: true, Elapsed: time.Hour}, []string{"ab", "c"}, 30, 4},
		{"no script", Turn{Begun: true, Elapsed: time.Hour}, nil, 0, 0},
		{"before the beginning", Turn{Script: script, Begun: true, Elapsed: -1}, nil, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.turn.Prompt = "do it"
			got := Conversation("T", []Turn{test.turn})
			if *got.InputTokens != test.input || *got.OutputTokens != test.output {
				t.Errorf("tokens %d, %d; want %d, %d", *got.InputTokens, *got.OutputTokens, test.input, test.output)
			}
			prompt := got.Messages[0]
			if *prompt.Role != "user" || len(prompt.Parts) != 1 || prompt.Parts[0].Type != "text" || *prompt.Parts[0].Text != "do it" {
				t.Errorf("prompt shows as %+v", prompt)
			}
			var parts []string
			if len(got.Messages) > 1 {
				if *got.Messages[1].Role != "assistant" || *got.Messages[1].ID == *prompt.ID {
					t.Errorf("answer shows as %+v", got.Messages[1])
				}
				for _, part := range got.Messages[1].Parts {
					parts = append(parts, *part.Text)
				}
			}
			if !reflect.DeepEqual(parts, test.parts) {
				t.Errorf("parts %q, want %q", parts, test.parts)
			}
		})
	}
}

func TestConversationOfNothing(t *testing.T) {
	got, err := json.Marshal(Conversation("T", nil))
	if want := `{"inputTokens":0,"messages":[],"outputTokens":0}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestMessagesKeepTheirIdentifiers(t *testing.T) {
	script := Script{{Part: text("a")}}
	turns := []Turn{{Script: script, Begun: true}, {Script: script}, {Script: script, Begun: true}}
	ids := func() (ids []string) {
		for _, message := range Conversation("T", turns).Messages {
			ids = append(ids, *message.ID)
		}
		return ids
	}
	if got, want := ids(), []string{"T-1", "T-2", "T-3", "T-5", "T-6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with the second turn unanswered: %q, want %q", got, want)
	}
	turns[1].Begun = true
	if got, want := ids(), []string{"T-1", "T-2", "T-3", "T-4", "T-5", "T-6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with all answered: %q, want %q", got, want)
	}
}

func TestTokensNeverFallNorOverflow(t *testing.T) {
	script := Script{
		{At: 0, Part: text("a"), InputTokens: math.MaxInt, OutputTokens: 5},
		{At: 1, Part: text("b"), InputTokens: math.MaxInt, OutputTokens: -3},
	}
	got := Conversation("T", []Turn{{Script: script, Begun: true, Elapsed: 1}})
	if *got.InputTokens != math.MaxInt || *got.OutputTokens != 5 {
		t.Errorf("tokens %d, %d", *got.InputTokens, *got.OutputTokens)
	}
}

func TestRevisionOfNothingIsAdded(t *testing.T) {
	script := Script{{Part: text("a"), Revises: true}}
	got := Conversation("T", []Turn{{Script: script, Begun: true}, {Script: script, Begun: true}})
	if len(got.Messages) != 4 || len(got.Messages[3].Parts) != 1 {
		t.Errorf("%+v", got.Messages)
	}
}

// What a caller does to a rendered transcript stays there.
func TestRendersDoNotShareWhatACallerMayEdit(t *testing.T) {
	turns := turnsOf("A-1", []string{"Hold SPY", "Use QQQ"}, Success)
	want := marshal(t, Conversation("T", turns))

	edited := Conversation("T", turns)
	*edited.InputTokens, *edited.OutputTokens = -1, -1
	for i := range edited.Messages {
		*edited.Messages[i].ID, *edited.Messages[i].Role = "x", "x"
		if i%2 == 0 {
			*edited.Messages[i].Parts[0].Text = "x"
		}
		for j := range edited.Messages[i].Parts {
			edited.Messages[i].Parts[j] = text("x")
		}
		edited.Messages[i].Parts = append(edited.Messages[i].Parts, text("x"))
	}
	_ = append(edited.Messages, gen.ConversationMessage{})

	if got := marshal(t, Conversation("T", turns)); got != want {
		t.Errorf("after an edit the transcript reads\n%s\nwant\n%s", got, want)
	}
}

// A reader who polls sees the transcript grow: nothing disappears, only the last part changes, totals rise.
func TestConversationGrows(t *testing.T) {
	prompts := []string{"Build a buy and hold strategy for SPY", "Replace SPY for QQQ", "Test with ROC(30)"}
	for _, outcome := range outcomes {
		t.Run(outcome.String(), func(t *testing.T) {
			turns := turnsOf("A-1", prompts, outcome)
			if outcome == Success {
				turns[1].Script, _, _ = ComposeSubAgent("A-1", prompts[:2])
			}
			var before gen.AgentConversation
			for now := range turns {
				begun := turns[:now+1]
				begun[now].Begun = false
				after := Conversation("T", begun)
				checkGrowth(t, before, after)
				before = after
				begun[now].Begun = true
				for elapsed := time.Duration(0); elapsed < turns[now].Script.Length()+time.Second; elapsed += 7 * time.Millisecond {
					begun[now].Elapsed = elapsed
					after := Conversation("T", begun)
					checkGrowth(t, before, after)
					before = after
				}
			}
		})
	}
}

// checkGrowth fails the test when after is not before and something more.
func checkGrowth(t *testing.T, before, after gen.AgentConversation) {
	t.Helper()
	if before.InputTokens != nil && (*after.InputTokens < *before.InputTokens || *after.OutputTokens < *before.OutputTokens) {
		t.Fatalf("tokens fell from %d, %d to %d, %d", *before.InputTokens, *before.OutputTokens, *after.InputTokens, *after.OutputTokens)
	}
	if len(after.Messages) < len(before.Messages) {
		t.Fatalf("a message disappeared: %d, then %d", len(before.Messages), len(after.Messages))
	}
	for i, message := range before.Messages {
		later := after.Messages[i]
		if *later.ID != *message.ID || *later.Role != *message.Role || len(later.Parts) < len(message.Parts) {
			t.Fatalf("message %s changed from %+v to %+v", *message.ID, message, later)
		}
		for j, part := range message.Parts {
			now := later.Parts[j]
			switch {
			case j < len(message.Parts)-1 || i < len(before.Messages)-1:
				if !reflect.DeepEqual(part, now) {
					t.Fatalf("part %d of message %s is not the last and changed from %+v to %+v", j, *message.ID, part, now)
				}
			case part.Type != now.Type || !sameString(part.ToolCallID, now.ToolCallID) || !sameString(part.ToolName, now.ToolName):
				t.Fatalf("part %d of message %s became another: %+v, then %+v", j, *message.ID, part, now)
			case part.Text != nil && !strings.HasPrefix(*now.Text, *part.Text):
				t.Fatalf("text %q became %q", *part.Text, *now.Text)
			case part.State != nil && stateOrder[*now.State] < stateOrder[*part.State]:
				t.Fatalf("state %s became %s", *part.State, *now.State)
			}
		}
	}
}

var stateOrder = map[string]int{
	"streaming": 1, "done": 2, "input-streaming": 1, "input-available": 2, "output-available": 3, "output-error": 3,
}

func TestScaled(t *testing.T) {
	script := Script{{At: 0}, {At: time.Second}, {At: 3 * time.Second}, {At: 4 * time.Second}}
	for _, to := range []time.Duration{0, 1, time.Millisecond, time.Second, 90 * time.Hour, math.MaxInt64, -time.Second} {
		scaled := script.Scaled(to)
		if got, want := scaled.Length(), max(to, 0); got != want {
			t.Errorf("scaled to %d it lasts %d", want, got)
		}
		for i := 1; i < len(scaled); i++ {
			if scaled[i].At < scaled[i-1].At {
				t.Errorf("scaled to %d, cue %d falls before the one before it", to, i)
			}
		}
	}
	if got := script.Scaled(8 * time.Second)[1].At; got != 2*time.Second {
		t.Errorf("second cue at %v, want 2s", got)
	}
	if got := script[:2].ScaledWith(script, 8*time.Second).Length(); got != 2*time.Second {
		t.Errorf("scaled with the whole, half of it lasts %v, want 2s", got)
	}
	if script[1].At != time.Second {
		t.Error("the script itself was changed")
	}
	if got := (Script{{}, {}}).Scaled(time.Second).Length(); got != time.Second {
		t.Errorf("a script without length, scaled to 1s, lasts %v", got)
	}
	if got := Script(nil).Scaled(time.Second); got.Length() != 0 || len(got) != 0 {
		t.Errorf("nothing, scaled, is %v", got)
	}
	if got := (Script{{At: math.MaxInt64}}).ScaledWith(Script{{At: 1}}, math.MaxInt64).Length(); got != math.MaxInt64 {
		t.Errorf("scaled beyond all bounds it lasts %v", got)
	}
}

func BenchmarkConversation(b *testing.B) {
	for _, n := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("turns=%d", n), func(b *testing.B) {
			prompts := make([]string, n)
			for i := range prompts {
				prompts[i] = "Test with ROC(30)"
			}
			turns := turnsOf("A-1", prompts, Success)
			b.ReportAllocs()
			for b.Loop() {
				Conversation("A-1", turns)
			}
		})
	}
}

var outcomes = []Outcome{Success, RuntimeError, CompileWarning, Failed}

// turnsOf is a deployment whose prompts were all answered.
func turnsOf(seed string, prompts []string, outcome Outcome) []Turn {
	turns := make([]Turn, len(prompts))
	for i, prompt := range prompts {
		script := Compose(seed, prompts[:i+1], outcome)
		turns[i] = Turn{Prompt: prompt, Script: script, Begun: true, Elapsed: script.Length()}
	}
	return turns
}

func sameString(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
