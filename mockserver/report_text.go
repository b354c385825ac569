package mockserver

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The terminal's colors that a report uses.
const (
	plainText = "\x1b[0m"
	bold      = "\x1b[1m"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
)

// WriteText writes the report for a terminal: the verdict, what to change, worst first, and what was covered.
func (r Report) WriteText(out io.Writer, color bool) error {
	t := &text{color: color}
	r = r.visible()
	t.head(r)
	t.findings(r.Violations)
	for _, s := range r.Shortfalls {
		t.line(t.paint(yellow, "short  ")+"%s", s)
	}
	t.coverage(r.Coverage)
	t.relied(r.Relied)
	_, err := io.WriteString(out, t.String())
	return err
}

type text struct {
	strings.Builder
	color bool
}

func (t *text) paint(color, s string) string {
	if !t.color {
		return s
	}
	return color + s + plainText
}

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) head(r Report) {
	switch r.Verdict {
	case VerdictPassed:
		t.line("%s  %s kept the contract in %s.", t.paint(bold+green, "PASSED"), r.Consumer, many(r.Exchanges, "exchange"))
	case VerdictBroken:
		n := 0
		for _, f := range r.Violations {
			if f.Severity != SeverityWarning {
				n++
			}
		}
		t.line("%s  %s broke the contract in %s, in %s.", t.paint(bold+red, "BROKEN"), r.Consumer, many(n, "way"), many(r.Exchanges, "exchange"))
	case VerdictShort:
		t.line("%s  %s kept the contract in %s, and covered less than asked.", t.paint(bold+yellow, "SHORT"), r.Consumer, many(r.Exchanges, "exchange"))
	case VerdictIdle:
		t.line("%s  %s sent no request at all. Is its base URL the mock's? It is in QUANTCONNECT_API_BASE_URL.", t.paint(bold+yellow, "IDLE"), r.Consumer)
	}
}

func (t *text) findings(findings []Finding) {
	for _, f := range findings {
		color, label := red, "error  "
		if f.Severity == SeverityWarning {
			color, label = yellow, "warning"
		}
		where := f.Operation
		if where == "" {
			where = "no operation"
		}
		if f.Pointer != "" {
			where += " " + f.Pointer
		}
		t.line("\n%s  %s  %s", t.paint(color, label), t.paint(bold, string(f.Class)), where)
		t.line("         %s", capitalized(f.Text))
		note := fmt.Sprintf("%s, first in exchange %d", many(f.Times, "time"), f.First)
		if f.Line > 0 {
			note += fmt.Sprintf("; openapi.yaml:%d", f.Line)
		}
		t.line("         %s", t.paint(dim, note))
	}
	if len(findings) > 0 {
		t.line("")
	}
}

// visible is the report with everything that is not to be seen written as an escape, as Go writes it: what a consumer sent,
// or a journal from elsewhere holds, must neither steer a terminal nor break a line or a table.
func (r Report) visible() Report {
	r.Consumer = visible(r.Consumer)
	r.Violations = slices.Clone(r.Violations)
	for i := range r.Violations {
		f := &r.Violations[i]
		f.Class, f.Severity = Class(visible(string(f.Class))), Severity(visible(string(f.Severity)))
		f.Operation, f.Pointer, f.Text = visible(f.Operation), visible(f.Pointer), visible(f.Text)
	}
	r.Shortfalls, r.Coverage.States = slices.Clone(r.Shortfalls), slices.Clone(r.Coverage.States)
	for _, list := range [][]string{r.Shortfalls, r.Coverage.States} {
		for i := range list {
			list[i] = visible(list[i])
		}
	}
	return r
}

func visible(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// capitalized writes a text that goes on after a colon as a sentence of its own.
func capitalized(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	return strings.ToUpper(string(first)) + text[size:]
}

func (t *text) coverage(c Coverage) {
	t.line("%s", t.paint(bold, "Coverage"))
	t.count("operations", c.Operations)
	t.count("request members", c.Members)
	t.count("enum values", c.EnumValues)
	t.count("error paths", c.ErrorPaths)
	t.line("  %-16s %s", "states seen", listed(c.States))
	if c.Operations.Covered > 0 {
		t.line("")
	}
	width := 0
	for _, o := range c.ByOperation {
		width = max(width, len(o.Operation))
	}
	var uncalled []string
	for _, o := range c.ByOperation {
		if o.Calls == 0 {
			uncalled = append(uncalled, o.Operation)
			continue
		}
		var outcomes []string
		for _, outcome := range Outcomes {
			if n := o.Outcomes[outcome]; n > 0 {
				outcomes = append(outcomes, fmt.Sprintf("%d %s", n, outcome))
			}
		}
		t.line("  %-*s  %s", width, o.Operation, strings.Join(outcomes, ", "))
		if never := o.never(); len(never) > 0 {
			t.wrapped(width+4, "never sent: ", never)
		}
	}
	if len(uncalled) > 0 {
		t.line("")
		t.wrapped(2, "never called: ", uncalled)
	}
}

// never lists the members that were never sent, and the enum values of those that were.
func (o OperationCoverage) never() []string {
	var list []string
	for _, m := range o.Members {
		name := strings.TrimPrefix(m.Pointer, "/")
		switch {
		case m.Present == 0:
			// A member of one that was never sent goes without saying.
			if i := strings.LastIndex(m.Pointer, "/"); i > 0 && slices.Contains(list, strings.TrimSuffix(m.Pointer[1:i], "/*")) {
				continue
			}
			list = append(list, name)
		case len(m.Unsent) > 0:
			for _, value := range m.Unsent {
				list = append(list, name+"="+value)
			}
		}
	}
	return list
}

func (t *text) count(name string, c Count) {
	if c.Total == 0 {
		t.line("  %-16s none", name)
		return
	}
	t.line("  %-16s %d of %d (%d %%)", name, c.Covered, c.Total, c.Percent())
}

func (t *text) relied(relied []Reliance) {
	if len(relied) == 0 {
		return
	}
	t.line("\n%s", t.paint(bold, "Inferred facts relied on: nobody has proven these of the real service"))
	var facts []string
	for _, r := range relied {
		if r.Question == "" {
			facts = append(facts, r.Fact)
			continue
		}
		t.line("  %s", r.Fact)
		t.line("    %s", t.paint(dim, r.Question))
	}
	if len(facts) > 0 {
		t.wrapped(2, "members received: ", facts)
	}
}

// wrapped writes a list in lines of up to 100 columns, indented.
func (t *text) wrapped(indent int, label string, items []string) {
	const width = 100
	line := strings.Repeat(" ", indent) + label
	for i, item := range items {
		if i < len(items)-1 {
			item += ", "
		}
		if len(line)+len(item) > width && i > 0 {
			t.line("%s", t.paint(dim, strings.TrimRight(line, " ")))
			line = strings.Repeat(" ", indent+2)
		}
		line += item
	}
	t.line("%s", t.paint(dim, line))
}

func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func listed(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ", ")
}

// WriteJSON writes the report as JSON.
func (r Report) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("write report as json: %w", err)
	}
	return nil
}

// Write writes the report in a format by its name: text, json, markdown or junit.
func (r Report) Write(out io.Writer, format string) error {
	switch format {
	case "text":
		return r.WriteText(out, false)
	case "json":
		return r.WriteJSON(out)
	case "markdown":
		return r.WriteMarkdown(out)
	case "junit":
		return r.WriteJUnit(out)
	}
	return fmt.Errorf("report format %q: %w", format, ErrFormat)
}
