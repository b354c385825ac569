package transcript

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen"
)

// told is a tool call as a reader of the finished transcript finds it, after a trip over the wire.
type told struct {
	Type, Text, State, ToolName, ToolCallID, ErrorText string

	Input struct{ FilePath, Content string }

	Output struct {
		Content           []struct{ Type, Text string }
		StructuredContent struct {
			Success                            *bool
			Errors, Warnings                   []string
			CompileID, State, BacktestID, Name string
			Statistics                         map[string]string
		}
	}
}

// finished is the last answer of a finished transcript.
func finished(t *testing.T, script Script) []told {
	t.Helper()
	conversation := Conversation("T", []Turn{{Script: script, Begun: true, Elapsed: math.MaxInt64}})
	var parts []told
	if err := json.Unmarshal([]byte(marshal(t, conversation.Messages[1].Parts)), &parts); err != nil {
		t.Fatal(err)
	}
	return parts
}

func find(t *testing.T, parts []told, tool string) told {
	t.Helper()
	for _, part := range parts {
		if part.ToolName == tool {
			return part
		}
	}
	t.Fatalf("no call of %s in %+v", tool, parts)
	return told{}
}

// shape is the kinds of parts in order.
func shape(parts []told) string {
	var kinds []string
	for _, part := range parts {
		if part.Type == "dynamic-tool" {
			kinds = append(kinds, part.ToolName)
		} else if part.Type != "step-start" {
			kinds = append(kinds, part.Type)
		}
	}
	return strings.Join(kinds, " ")
}

func TestSuccess(t *testing.T) {
	parts := finished(t, Compose("A-1", []string{"Build a buy and hold strategy for SPY"}, Success))
	if got, want := shape(parts), "reasoning create_file create_compile create_backtest text"; got != want {
		t.Fatalf("the run is %q, want %q", got, want)
	}
	file := find(t, parts, "create_file")
	if file.Input.FilePath != "main.py" || !strings.Contains(file.Input.Content, `for ticker in ["SPY"]`) {
		t.Errorf("file %+v", file.Input)
	}
	compile := find(t, parts, "create_compile").Output.StructuredContent
	if compile.State != "BuildSuccess" || !hex32.MatchString(compile.CompileID) {
		t.Errorf("compile %+v", compile)
	}
	backtest := find(t, parts, "create_backtest").Output.StructuredContent
	if !hex32.MatchString(backtest.BacktestID) || backtest.Name == "" || backtest.Statistics["Sharpe Ratio"] == "" {
		t.Errorf("backtest %+v", backtest)
	}
	for _, part := range parts {
		if part.Type != "dynamic-tool" {
			continue
		}
		got := part.Output.StructuredContent
		if part.State != "output-available" || got.Success == nil || !*got.Success || got.Errors == nil ||
			len(got.Errors) > 0 || got.Warnings == nil || len(got.Warnings) > 0 || len(part.Output.Content) != 1 {
			t.Errorf("%s answered %+v", part.ToolName, part)
		}
	}
	for _, part := range parts {
		if (part.Type == "text" || part.Type == "reasoning") && part.State != "done" {
			t.Errorf("%s ends in state %q", part.Type, part.State)
		}
	}
}

var hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)

func TestFollowUpEditsTheFile(t *testing.T) {
	parts := finished(t, Compose("A-1", []string{"Build a buy and hold strategy for SPY", "Replace SPY for QQQ"}, Success))
	if got, want := shape(parts), "reasoning edit_file create_compile create_backtest text"; got != want {
		t.Fatalf("the run is %q, want %q", got, want)
	}
	content := find(t, parts, "edit_file").Input.Content
	if !strings.Contains(content, `["QQQ"]`) || strings.Contains(content, "SPY") {
		t.Errorf("edited to\n%s", content)
	}
}

func TestRuntimeError(t *testing.T) {
	parts := finished(t, Compose("A-1", []string{"Hold SPY"}, RuntimeError))
	got := find(t, parts, "create_backtest").Output.StructuredContent
	if *got.Success || len(got.Errors) != 2 || got.Errors[0] != "The backtest ended with a runtime error." || got.Warnings == nil || len(got.Warnings) > 0 {
		t.Fatalf("backtest answered %+v", got)
	}
	// The trace points at the line that is to blame.
	statement, line := blamed(t, got.Errors[1], `main\.py: line (\d+)`, find(t, parts, "create_file").Input.Content)
	if !strings.Contains(statement, "VIX") {
		t.Errorf("%q blames line %d, %q", got.Errors[1], line, statement)
	}
	if !*find(t, parts, "create_compile").Output.StructuredContent.Success {
		t.Error("the compile did not succeed")
	}
}

func TestCompileWarning(t *testing.T) {
	parts := finished(t, Compose("A-1", []string{"Hold SPY"}, CompileWarning))
	got := find(t, parts, "create_compile").Output.StructuredContent
	if !*got.Success || len(got.Errors) > 0 || len(got.Warnings) != 1 {
		t.Fatalf("compile answered %+v", got)
	}
	statement, line := blamed(t, got.Warnings[0], `main\.py:(\d+):`, find(t, parts, "create_file").Input.Content)
	if !strings.Contains(statement, "lookback =") {
		t.Errorf("%q blames line %d, %q", got.Warnings[0], line, statement)
	}
	if got := find(t, parts, "create_backtest").Output.StructuredContent; !*got.Success || len(got.Warnings) > 0 {
		t.Errorf("backtest answered %+v", got)
	}
}

// blamed is the line of code that a message names.
func blamed(t *testing.T, message, pattern, code string) (string, int) {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(message)
	if match == nil {
		t.Fatalf("no line in %q", message)
	}
	line, ok := number(match[1], 1, strings.Count(code, "\n"))
	if !ok {
		t.Fatalf("line %s in code of %d lines", match[1], strings.Count(code, "\n"))
	}
	return strings.Split(code, "\n")[line-1], line
}

func TestFailed(t *testing.T) {
	parts := finished(t, Compose("A-1", []string{"Hold SPY"}, Failed))
	last := parts[len(parts)-1]
	if last.ToolName != "create_backtest" || last.State != "output-error" || last.ErrorText == "" {
		t.Errorf("the run ends with %+v", last)
	}
}

func TestOutcomeNames(t *testing.T) {
	var names []string
	for outcome := range Failed + 2 {
		names = append(names, outcome.String())
	}
	if got, want := strings.Join(names, ","), "success,runtime-error,compile-warning,failed,outcome 4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if marshal(t, Compose("A-1", []string{"Hold SPY"}, Failed+1)) != marshal(t, Compose("A-1", []string{"Hold SPY"}, Success)) {
		t.Error("an unknown outcome is not Success")
	}
}

func TestSubAgent(t *testing.T) {
	for _, prompts := range [][]string{nil, {"Trade RSI of AAPL"}, {"Trade RSI of AAPL", "Replace AAPL with MSFT"}} {
		main, callable, sub := ComposeSubAgent("A-1", prompts)
		var asked, answered time.Duration
		input, output := 0, 0
		for _, cue := range main {
			if cue.Part.ToolCallID == nil || *cue.Part.ToolCallID != callable {
				continue
			}
			switch *cue.Part.State {
			case "input-available":
				asked = cue.At
				if got := (*cue.Part.Input).(map[string]any)["prompt"]; got != SubAgentPrompt(prompts) {
					t.Errorf("asks %q, want %q", got, SubAgentPrompt(prompts))
				}
			case "output-available":
				answered, input, output = cue.At, cue.InputTokens, cue.OutputTokens
			}
		}
		if asked == 0 || asked > sub[0].At || sub.Length() > answered {
			t.Errorf("called at %v, answered at %v, worked from %v to %v", asked, answered, sub[0].At, sub.Length())
		}
		own := Conversation("S", []Turn{{Script: sub, Begun: true, Elapsed: sub.Length()}})
		if input < *own.InputTokens || output < *own.OutputTokens {
			t.Errorf("the sub-agent's %d, %d tokens are not among the call's %d, %d", *own.InputTokens, *own.OutputTokens, input, output)
		}
		checkScript(t, main)
		checkScript(t, sub)
		long := 90 * time.Minute
		if got := sub.ScaledWith(main, long); got.Length() >= long || got[0].At <= main.Scaled(long)[0].At {
			t.Errorf("scaled with the main script, the sub-agent works from %v to %v", got[0].At, got.Length())
		}
	}
}

func TestComposeIsRepeatable(t *testing.T) {
	prompts := []string{"Hold SPY", "Use QQQ"}
	render := func(seed string) string { return marshal(t, Conversation("T", turnsOf(seed, prompts, Success))) }
	first, again := render("A-1"), render("A-1")
	if first != again {
		t.Error("one seed gave two transcripts")
	}
	if first == render("A-2") {
		t.Error("two seeds gave one transcript")
	}
	if marshal(t, Compose("A-1", prompts, Success)) == marshal(t, Compose("A-2", prompts, Success)) {
		t.Error("two seeds gave one script")
	}
}

func TestToolCallsAreUniqueAcrossTurns(t *testing.T) {
	prompts := []string{"Hold SPY", "Hold SPY", "Hold SPY", "Hold SPY"}
	seen := make(map[string]bool)
	note := func(script Script) {
		t.Helper()
		for _, part := range finished(t, script) {
			if part.ToolCallID != "" && seen[part.ToolCallID] {
				t.Errorf("call %s of %s came before", part.ToolCallID, part.ToolName)
			}
			seen[part.ToolCallID] = true
		}
	}
	for i := range prompts {
		if i%2 == 0 {
			note(Compose("A-1", prompts[:i+1], Success))
			continue
		}
		main, _, sub := ComposeSubAgent("A-1", prompts[:i+1])
		note(main)
		note(sub)
	}
}

func TestDefaultLength(t *testing.T) {
	for _, seed := range []string{"A-1", "A-2", "A-3", "A-4", ""} {
		if got := Compose(seed, []string{"Hold SPY"}, Success).Length(); got < 1500*time.Millisecond || got > 2500*time.Millisecond {
			t.Errorf("seed %q: %v, want about 2s", seed, got)
		}
	}
}

func TestShortened(t *testing.T) {
	for _, test := range []struct{ prompt, want string }{
		{"", ""},
		{" \n\t", ""},
		{"Hold SPY", "“Hold SPY”"},
		{"a\n\n  b\x00c\u202ed", "“a b c d”"},
		{"\xff\xfeok\xf0\x9f", "“ok”"},
		{"0123456789", "“0123456789”"},
		{"0123456789a", "“0123456789…”"},
		{"äöüäöüäöüäöü", "“äöüäöüäöüä…”"},
		{strings.Repeat("😀", 100), "“" + strings.Repeat("😀", 10) + "…”"},
		{strings.Repeat(" ", 1000) + "x", ""},
	} {
		if got := shortened(test.prompt, 10); got != test.want {
			t.Errorf("shortened(%q) = %q, want %q", test.prompt, got, test.want)
		}
	}
}

func TestDecimal(t *testing.T) {
	for _, test := range []struct {
		n, places int
		want      string
	}{{0, 3, "0.000"}, {7, 3, "0.007"}, {-20, 3, "-0.020"}, {12345, 2, "123.45"}, {240, 1, "24.0"}} {
		if got := decimal(test.n, test.places); got != test.want {
			t.Errorf("decimal(%d, %d) = %s, want %s", test.n, test.places, got, test.want)
		}
	}
}

// checkScript holds a composed script to what every one of them promises.
func checkScript(t *testing.T, script Script) {
	t.Helper()
	if len(script) == 0 {
		t.Fatal("nothing happens")
	}
	var at time.Duration
	var before gen.ConversationPart
	for i, cue := range script {
		if cue.At < at || cue.InputTokens < 0 || cue.OutputTokens < 0 {
			t.Errorf("cue %d at %v after %v, tokens %d, %d", i, cue.At, at, cue.InputTokens, cue.OutputTokens)
		}
		if cue.Part.Text != nil && (!utf8.ValidString(*cue.Part.Text) || len(*cue.Part.Text) > 2000) {
			t.Errorf("cue %d says %q", i, *cue.Part.Text)
		}
		if cue.Revises && (i == 0 || cue.Part.Type != before.Type || !sameString(cue.Part.ToolCallID, before.ToolCallID)) {
			t.Errorf("cue %d revises %+v to %+v", i, before, cue.Part)
		}
		at, before = cue.At, cue.Part
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("A-1", "Build a buy and hold strategy for SPY", "Replace SPY for QQQ", 0)
	f.Add("", "", "", 1)
	f.Add("s", "'''\"\"\"\\\n\x00 $'; import os", "Test with ROC(30)", 2)
	f.Add("s", "RSI(999999999999) below 0 above 100 since 9999 $99999999999999", "add A B C $D E.F BRK.B", 3)
	f.Add("s", strings.Repeat("ABCD EFGH ", 2000), strings.Repeat("𝔖", 400), 0)
	f.Add("s", "买入SPY并持有", "\xff\xfe\xc3", 4)
	f.Fuzz(func(t *testing.T, seed, first, second string, outcome int) {
		prompts := []string{first, second}
		turns := turnsOf(seed, prompts, Outcome(outcome))
		for _, turn := range turns {
			checkScript(t, turn.Script)
		}
		main, _, sub := ComposeSubAgent(seed, prompts)
		checkScript(t, main)
		checkScript(t, sub)
		checkSource(t, strategyFor(prompts))

		var before gen.AgentConversation
		for _, cue := range turns[1].Script {
			turns[1].Elapsed = cue.At
			after := Conversation(seed, turns)
			checkGrowth(t, before, after)
			before = after
		}
		whole := marshal(t, before)
		if limit := 40_000 + 8*len(seed)*5 + 6*(len(first)+len(second)); len(whole) > limit {
			t.Errorf("a transcript of %d bytes, more than %d", len(whole), limit)
		}
	})
}

func BenchmarkCompose(b *testing.B) {
	for name, prompts := range map[string][]string{
		"one":  {"Build a buy and hold strategy for SPY"},
		"huge": {strings.Repeat("Rebalance SPY and QQQ, ROC(30) ", 40_000)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Compose("A-1", prompts, Success)
			}
		})
	}
}
