package transcript

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen"
)

// Outcome chooses how the run described ends.
type Outcome int

const (
	// Success compiles, backtests and sums up.
	Success Outcome = iota

	// RuntimeError compiles; then the backtest answers with the error that QuantConnect's scripts look for.
	RuntimeError

	// CompileWarning compiles with a warning and goes on as Success does.
	CompileWarning

	// Failed compiles; then the call that starts the backtest fails and the agent gives up without a word.
	Failed
)

// String is the name of the outcome, in the words of the mock's built-in plans.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case RuntimeError:
		return "runtime-error"
	case CompileWarning:
		return "compile-warning"
	case Failed:
		return "failed"
	}
	return "outcome " + strconv.Itoa(int(o))
}

// backtestFailed is observed: QuantConnect's scripts take a transcript with this error for a failure.
const backtestFailed = "The backtest ended with a runtime error."

// Compose writes a believable run for the prompts so far: the last of them is the one to be answered, the earlier ones
// are context. "Replace SPY for QQQ" after "Build a buy and hold strategy for SPY" edits the same file with QQQ. The
// script takes about two seconds. seed (a deployment's identifier, say) gives its identifiers and figures; scripts
// composed from one seed for one, two, … prompts belong together and share no identifier. An unknown outcome is taken
// for Success.
func Compose(seed string, prompts []string, outcome Outcome) Script {
	p := newPlay(seed, prompts)
	p.begin(len(p.last()))
	p.think(p.intention())
	p.develop(outcome)
	return p.script
}

// ComposeSubAgent writes a run in which the agent leaves the work to a sub-agent and reports what it answers. main is
// the run itself, callableID the identifier of its call of the sub-agent, and sub what the sub-agent says in the
// conversation of that call, whose prompt is SubAgentPrompt. Both scripts count from the moment the turn begins: sub
// falls between the call and its answer. Scale main by main.Scaled(to) and sub by sub.ScaledWith(main, to). The tokens
// of sub are among those of main.
func ComposeSubAgent(seed string, prompts []string) (main Script, callableID string, sub Script) {
	p := newPlay(seed, prompts)
	p.begin(len(p.last()))
	p.think("This is work for the developer agent. I will tell it what to build and check what it reports. " + p.intention())

	call := p.call("call_agent")
	p.step()
	request := SubAgentPrompt(prompts)
	call.says("input-streaming", 90, object{"agent": subAgentName}, nil, 12)
	call.says("input-available", 160, object{"agent": subAgentName, "prompt": request}, nil, len(request)/4)

	helper := newPlay(seed+"/"+call.id, prompts)
	helper.at = p.at
	helper.begin(len(request))
	helper.think("The request is clear: " + p.strategy.title() + " for " + p.strategy.assets() + ".")
	helper.develop(Success)

	p.at = helper.at
	call.says("output-available", 60, call.input, answer(helper.result(), result(true, nil, nil, nil)), 0)
	answered := &p.script[len(p.script)-1]
	for _, cue := range helper.script {
		answered.InputTokens = plus(answered.InputTokens, cue.InputTokens)
		answered.OutputTokens = plus(answered.OutputTokens, cue.OutputTokens)
	}
	p.step()
	p.sum("The developer agent has finished. " + helper.result() + " " + p.strategy.rule())
	return p.script, call.id, helper.script
}

const subAgentName = "developer"

// SubAgentPrompt is what the agent of ComposeSubAgent asks its sub-agent.
func SubAgentPrompt(prompts []string) string {
	s := strategyFor(prompts)
	verb := "Write"
	if len(prompts) > 1 {
		verb = "Change main.py to"
	}
	return fmt.Sprintf("%s a %s strategy for %s, compile it and run a backtest from %d to %d.",
		verb, s.title(), s.assets(), s.from, s.to)
}

// object is a JSON object.
type object = map[string]any

// play is a script being written.
type play struct {
	seed     string
	prompts  []string
	strategy strategy
	context  int // tokens that the model reads at its next step
	calls    int
	at       time.Duration
	script   Script
}

func newPlay(seed string, prompts []string) *play {
	p := &play{seed: seed, prompts: prompts, strategy: strategyFor(prompts), script: make(Script, 0, 24)}
	for _, prompt := range p.prompts[:max(0, len(prompts)-1)] {
		p.context = min(plus(p.context, 1400+len(prompt)/4), 1<<20)
	}
	return p
}

func (p *play) last() string {
	if len(p.prompts) == 0 {
		return ""
	}
	return p.prompts[len(p.prompts)-1]
}

func (p *play) followUp() bool { return len(p.prompts) > 1 }

// draw gives 32 bytes that depend on the seed, the turn and the label, and on nothing else.
func (p *play) draw(label string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", p.seed, len(p.prompts), label))
}

// number draws from low to high, both included.
func (p *play) number(label string, low, high int) int {
	sum := p.draw(label)
	return low + int(binary.BigEndian.Uint32(sum[:])%uint32(high-low+1)) // #nosec G115 -- the ranges are ours and small
}

// hex32 draws 32 hexadecimal digits, as compile and backtest identifiers have.
func (p *play) hex32(label string) string {
	sum := p.draw(label)
	return hex.EncodeToString(sum[:16])
}

// cue adds a cue about so many milliseconds after the one before; no two pauses are quite the same.
func (p *play) cue(milliseconds int, part gen.ConversationPart, revises bool, outputTokens int) {
	jitter := p.number("pause "+strconv.Itoa(len(p.script)), 85, 115)
	p.at += time.Duration(milliseconds*jitter) * time.Millisecond / 100
	p.script = append(p.script, Cue{At: p.at, Part: part, Revises: revises, OutputTokens: outputTokens})
	p.context = plus(p.context, outputTokens)
}

// begin starts the turn: the model reads its instructions and the prompt.
func (p *play) begin(promptBytes int) {
	p.context = plus(p.context, 1800+min(promptBytes, 1<<22)/4)
	p.step()
}

// step begins a step: one request to the model, which reads all that came before.
func (p *play) step() {
	p.cue(40, gen.ConversationPart{Type: "step-start"}, false, 0)
	p.script[len(p.script)-1].InputTokens = p.context
}

// write streams a text: about half of it, then all.
func (p *play) write(kind, text string, milliseconds int) {
	cut := len(text) / 2
	cut += max(0, strings.IndexByte(text[cut:], ' '))
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	part := func(text, state string) gen.ConversationPart {
		return gen.ConversationPart{Type: kind, Text: &text, State: &state}
	}
	p.cue(milliseconds, part(text[:cut], "streaming"), false, cut/4)
	p.cue(milliseconds, part(text, "streaming"), true, (len(text)-cut)/4)
	p.cue(15, part(text, "done"), true, 1)
}

func (p *play) think(text string) { p.write("reasoning", text, 110) }

func (p *play) sum(text string) { p.write("text", text, 90) }

// toolCall is a part that passes through the states of a tool call.
type toolCall struct {
	play  *play
	id    string
	name  string
	input object
	begun bool
}

func (p *play) call(name string) *toolCall {
	p.calls++
	return &toolCall{play: p, name: name, id: "call_" + p.hex32("call " + strconv.Itoa(p.calls))[:24]}
}

func (c *toolCall) says(state string, milliseconds int, input, output object, tokens int) {
	part := gen.ConversationPart{Type: "dynamic-tool", ToolName: &c.name, ToolCallID: &c.id, State: &state}
	if input != nil {
		part.Input = new(any(input))
	}
	if output != nil {
		part.Output = new(any(output))
	}
	c.play.cue(milliseconds, part, c.begun, tokens)
	c.input, c.begun = input, true
}

// fails ends the call without an output.
func (c *toolCall) fails(milliseconds int, why string) {
	c.says("output-error", milliseconds, c.input, nil, 0)
	c.play.script[len(c.play.script)-1].Part.ErrorText = &why
}

// answer is the output of a tool: an MCP result.
func answer(text string, structured object) object {
	return object{
		"content":           []object{{"type": "text", "text": text}},
		"structuredContent": structured,
	}
}

// result is what a tool's structured content has in common; nil errors and warnings are empty.
func result(success bool, problems, warnings []string, more object) object {
	structured := object{
		"success":  success,
		"errors":   append([]string{}, problems...),
		"warnings": append([]string{}, warnings...),
	}
	maps.Copy(structured, more)
	return structured
}

// develop writes the file, compiles it and backtests it, each in a step of its own, and sums up.
func (p *play) develop(outcome Outcome) {
	mistake := noFlaw
	switch outcome {
	case RuntimeError:
		mistake = missingData
	case CompileWarning:
		mistake = unusedLocal
	case Success, Failed:
	}
	code, line := p.strategy.source(mistake)
	p.save(code)

	var warnings []string
	if outcome == CompileWarning {
		warnings = []string{fmt.Sprintf("main.py:%d:9: local variable 'lookback' is assigned to but never used", line)}
	}
	compileID := p.compile(warnings)

	p.step()
	name := p.backtestName()
	backtest := p.call("create_backtest")
	backtest.says("input-streaming", 40, object{}, nil, 8)
	backtest.says("input-available", 50, object{"backtestName": name, "compileId": compileID}, nil, 30)
	backtestID := p.hex32("backtest")
	switch outcome {
	case Failed:
		backtest.fails(420, "The tool did not answer in time and the agent has no attempts left.")
		return
	case RuntimeError:
		trace := fmt.Sprintf(`Runtime Error: This asset symbol (VIX 31) was not found in your security list. Please add this `+
			`security or check it exists before using it with 'Securities.ContainsKey("VIX")'`+
			"\n  at initialize\n    %s\n in main.py: line %d", missingData, line)
		backtest.says("output-available", 420, backtest.input, answer(backtestFailed,
			result(false, []string{backtestFailed, trace}, nil, object{"backtestId": backtestID, "name": name})), 0)
		p.step()
		p.sum(fmt.Sprintf("The backtest \"%s\" ended with a runtime error: line %d of main.py asks for VIX, which the "+
			"algorithm never subscribed to. I stopped here.", name, line))
		return
	case Success, CompileWarning:
	}
	backtest.says("output-available", 420, backtest.input, answer(p.result(), result(true, nil, nil, object{
		"backtestId": backtestID, "name": name, "statistics": p.statistics().object(),
	})), 0)
	p.step()
	closing := p.result() + " " + p.strategy.rule()
	if outcome == CompileWarning {
		closing += " The compiler warned of an unused variable, which does not change the result."
	}
	p.sum(closing)
}

// save writes main.py, by the tool for a new file in the first turn and by the one for a known file after that.
func (p *play) save(code string) {
	tool, text := "create_file", "Created main.py."
	if p.followUp() {
		tool, text = "edit_file", "Edited main.py."
	}
	p.step()
	file := p.call(tool)
	file.says("input-streaming", 60, object{"filePath": "main.py"}, nil, 12)
	file.says("input-available", 260, object{"filePath": "main.py", "content": code}, nil, len(code)/3)
	file.says("output-available", 50, file.input, answer(text, result(true, nil, nil, nil)), 0)
}

func (p *play) compile(warnings []string) string {
	id := p.hex32("compile")
	p.step()
	compile := p.call("create_compile")
	compile.says("input-streaming", 40, object{}, nil, 8)
	compile.says("input-available", 20, object{}, nil, 4)
	text := "Build successful."
	if len(warnings) > 0 {
		text = "Build successful with warnings: " + strings.Join(warnings, "; ")
	}
	compile.says("output-available", 220, compile.input, answer(text, result(true, nil, warnings, object{
		"compileId": id, "state": "BuildSuccess",
	})), 0)
	return id
}

// intention is what the agent thinks before it begins.
func (p *play) intention() string {
	request := "There is no request to go by"
	if quoted := shortened(p.last(), 80); quoted != "" {
		request = "The request is: " + quoted + "."
	} else {
		request += ", so I choose a plain strategy."
	}
	plan := "I will write it to main.py, compile it and run a backtest."
	if p.followUp() {
		plan = "I will edit main.py, compile it again and run a new backtest."
	}
	return fmt.Sprintf("%s I take it as %s for %s, from %d to %d. %s",
		request, p.strategy.title(), p.strategy.assets(), p.strategy.from, p.strategy.to, plan)
}

// result is the sentence that reports the backtest.
func (p *play) result() string {
	figures := p.statistics()
	return fmt.Sprintf("The %s strategy for %s returned %s%% a year from %d to %d, with a Sharpe ratio of %s and a "+
		"drawdown of %s%%.", p.strategy.title(), p.strategy.assets(), decimal(figures.annual, 3), p.strategy.from,
		p.strategy.to, decimal(figures.sharpe, 3), decimal(figures.drawdown, 1))
}

// backtestName is three words, as the platform names things by itself.
func (p *play) backtestName() string {
	first := []string{"Adaptable", "Calm", "Creative", "Determined", "Fat", "Focused", "Geeky", "Hipster", "Jumping", "Smooth"}
	second := []string{"Apricot", "Blue", "Brown", "Green", "Magenta", "Orange", "Red", "Tan", "Violet", "Yellow"}
	third := []string{"Alpaca", "Badger", "Chicken", "Dragonfly", "Falcon", "Lion", "Mosquito", "Otter", "Panda", "Whale"}
	pick := func(words []string, label string) string { return words[p.number(label, 0, len(words)-1)] }
	return pick(first, "adjective") + " " + pick(second, "color") + " " + pick(third, "animal")
}

// figures are a backtest's statistics in whole thousandths or tenths, so that no processor rounds them differently.
type figures struct {
	annual, net    int // thousandths of a percent
	sharpe, alpha  int // thousandths
	beta, spread   int
	drawdown       int // tenths of a percent
	winRate        int // percent
	orders         int
	start, end     int // dollars
	fees, turnover int // hundredths
}

func (p *play) statistics() figures {
	years := p.strategy.to - p.strategy.from + 1
	f := figures{
		annual:   p.number("annual", 4_000, 19_000),
		sharpe:   p.number("sharpe", 250, 1_150),
		alpha:    p.number("alpha", -20, 60),
		beta:     p.number("beta", 350, 990),
		spread:   p.number("spread", 90, 190),
		drawdown: p.number("drawdown", 90, 340),
		winRate:  p.number("win rate", 48, 68),
		start:    p.strategy.cash,
		turnover: p.number("turnover", 5, 320),
	}
	assets := len(p.strategy.tickers)
	switch p.strategy.family {
	case buyAndHold:
		f.orders, f.winRate, f.turnover = assets, 0, 5
	case momentum, rebalancing:
		f.orders = p.number("orders", 8, 12) * years * assets
	case crossover, relativeStrength, meanReversion:
		f.orders = p.number("orders", 2, 9) * years * assets
	}
	f.fees = f.orders * p.number("fees", 100, 340)
	const whole = 100_000 // thousandths of a percent
	growth := int64(whole)
	for range years {
		growth = growth * int64(whole+f.annual) / whole
	}
	f.net = int(growth) - whole
	f.end = int(int64(f.start) * growth / whole)
	return f
}

// object is the statistics under the names and in the forms that LEAN gives them.
func (f figures) object() object {
	return object{
		"Total Orders":              strconv.Itoa(f.orders),
		"Compounding Annual Return": decimal(f.annual, 3) + "%",
		"Drawdown":                  decimal(f.drawdown, 1) + "00%",
		"Net Profit":                decimal(f.net, 3) + "%",
		"Sharpe Ratio":              decimal(f.sharpe, 3),
		"Alpha":                     decimal(f.alpha, 3),
		"Beta":                      decimal(f.beta, 3),
		"Annual Standard Deviation": decimal(f.spread, 3),
		"Win Rate":                  strconv.Itoa(f.winRate) + "%",
		"Start Equity":              strconv.Itoa(f.start),
		"End Equity":                strconv.Itoa(f.end),
		"Total Fees":                "$" + decimal(f.fees, 2),
		"Portfolio Turnover":        decimal(f.turnover, 2) + "%",
	}
}

// decimal writes n with so many of its digits behind the point.
func decimal(n, places int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	digits := fmt.Sprintf("%0*d", places+1, n)
	return sign + digits[:len(digits)-places] + "." + digits[len(digits)-places:]
}

// shortened is a prompt as one line of at most so many runes that can be printed, in quotation marks; empty when there
// are none.
func shortened(prompt string, limit int) string {
	// A rune has four bytes at most; four times that leaves room for white space to be folded.
	cut := prompt[:min(len(prompt), 16*limit)]
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(cut, " "), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if line == "" {
		return ""
	}
	if utf8.RuneCountInString(line) > limit || len(cut) < len(prompt) {
		runes := []rune(line)
		runes = runes[:min(len(runes), limit)]
		line = strings.TrimRight(string(runes), " ") + "…"
	}
	return "“" + line + "”"
}
