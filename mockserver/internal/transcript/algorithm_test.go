package transcript

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// sourceOf is the characters that an algorithm may have, whatever the prompt was.
var sourceOf = regexp.MustCompile(`^[\x20-\x7e\n]+$`)

// checkSource holds an algorithm to its bounds: the text of its family, with nothing of a prompt but tickers and numbers.
func checkSource(t *testing.T, s strategy) {
	t.Helper()
	ticker := regexp.MustCompile(`^[A-Z]{1,5}(\.[AB])?$`)
	if len(s.tickers) == 0 || len(s.tickers) > maxTickers {
		t.Errorf("%d tickers", len(s.tickers))
	}
	for _, name := range s.tickers {
		if !ticker.MatchString(name) {
			t.Errorf("ticker %q", name)
		}
	}
	code, _ := s.source(noFlaw)
	if !sourceOf.MatchString(code) || len(code) > 4000 {
		t.Errorf("source\n%s", code)
	}
	// With every ticker and number replaced, it is one of few known texts.
	plain := regexp.MustCompile(`for ticker in \[[^]]*\]`).ReplaceAllString(code, "for ticker in []")
	plain = regexp.MustCompile(`\d+`).ReplaceAllString(plain, "0")
	reference := strategy{family: s.family, exponential: s.exponential, every: s.every}.complete()
	want, _ := reference.source(noFlaw)
	want = regexp.MustCompile(`\d+`).ReplaceAllString(strings.ReplaceAll(want, `["SPY"]`, "[]"), "0")
	if plain != want {
		t.Errorf("source\n%s\nwant but for tickers and numbers\n%s", code, want)
	}
}

// Every algorithm is Python; whether LEAN runs it only LEAN can say.
func TestAlgorithmsCompile(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on PATH to compile the algorithms with")
	}
	var sources []string
	for kind := range rebalancing + 1 {
		for _, s := range []strategy{
			{family: kind},
			{family: kind, exponential: true, tickers: []string{"AAPL", "BRK.B", "F"}, every: "week_start", period: 2, cash: 1_000_000_000},
		} {
			for _, mistake := range []flaw{noFlaw, unusedLocal, missingData} {
				code, _ := s.complete().source(mistake)
				sources = append(sources, code)
			}
		}
	}
	for _, prompt := range []string{
		"'''\"\"\"\\\n\x00'); import os #", "Hold \"SPY\\", "add SPY\"]; exit(); [\"QQQ", "RSI(14)\\nbelow 30\n\ndef x(", "$AAPL\u2028EMA(3)",
	} {
		code, _ := strategyFor([]string{prompt}).source(noFlaw)
		sources = append(sources, code)
	}
	input, err := json.Marshal(sources)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "-c",
		"import json, sys\nfor code in json.load(sys.stdin): compile(code, 'main.py', 'exec')")
	command.Stdin = bytes.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestSourcesAreClosed(t *testing.T) {
	for _, prompt := range []string{"", "Hold SPY", "RSI(2) below 10 for $f", "EMA 3/9 for AAPL and BRK.B", "ROC(30) weekly", "mean reversion", "portfolio"} {
		checkSource(t, strategyFor([]string{prompt}))
	}
}
