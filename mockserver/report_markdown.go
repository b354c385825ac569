package mockserver

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteMarkdown writes the report for a pull request or a build's summary.
func (r Report) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	r = r.visible()
	verdict := map[Verdict]string{
		VerdictPassed: "kept the contract", VerdictBroken: "broke the contract",
		VerdictShort: "covered less than asked", VerdictIdle: "sent no request at all",
	}[r.Verdict]
	fmt.Fprintf(&b, "## %s %s\n\n%s against the mock of QuantConnect's /agents API.\n", markdown(capitalized(r.Consumer)), verdict, capitalized(many(r.Exchanges, "exchange")))
	if len(r.Violations) > 0 {
		b.WriteString("\n| severity | class | where | what to change | times | openapi.yaml |\n|---|---|---|---|---:|---:|\n")
		for _, f := range r.Violations {
			line, class := "", "`"+string(f.Class)+"`"
			if !slices.Contains(Classes, f.Class) {
				class = markdown(string(f.Class)) // of a journal from elsewhere
			}
			if f.Line > 0 {
				line = fmt.Sprint(f.Line)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %s |\n", markdown(string(f.Severity)), class,
				markdown(strings.TrimSpace(f.Operation+" "+f.Pointer)), markdown(capitalized(f.Text)), f.Times, line)
		}
	}
	for _, s := range r.Shortfalls {
		fmt.Fprintf(&b, "\n**Short:** %s\n", markdown(s))
	}
	c := r.Coverage
	b.WriteString("\n| coverage | | |\n|---|---:|---:|\n")
	for _, row := range []struct {
		name string
		Count
	}{{"operations", c.Operations}, {"request members", c.Members}, {"enum values", c.EnumValues}, {"error paths", c.ErrorPaths}} {
		fmt.Fprintf(&b, "| %s | %d of %d | %d %% |\n", row.name, row.Covered, row.Total, row.Percent())
	}
	fmt.Fprintf(&b, "\nStates seen: %s.\n", markdown(listed(c.States)))
	b.WriteString("\n<details><summary>By operation</summary>\n\n| operation | calls | outcomes | never sent |\n|---|---:|---|---|\n")
	for _, o := range c.ByOperation {
		var outcomes []string
		for _, outcome := range Outcomes {
			if n := o.Outcomes[outcome]; n > 0 {
				outcomes = append(outcomes, fmt.Sprintf("%d %s", n, outcome))
			}
		}
		never := ""
		if o.Calls > 0 {
			never = strings.Join(o.never(), ", ")
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", o.Operation, o.Calls, strings.Join(outcomes, ", "), markdown(never))
	}
	b.WriteString("\n</details>\n")
	if len(r.Relied) > 0 {
		b.WriteString("\n<details><summary>Inferred facts relied on</summary>\n\n| fact | times | open question |\n|---|---:|---|\n")
		for _, f := range r.Relied {
			fmt.Fprintf(&b, "| %s | %d | %s |\n", f.Fact, f.Times, markdown(f.Question))
		}
		b.WriteString("\n</details>\n")
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write report as markdown: %w", err)
	}
	return nil
}

// markdown keeps a text from being read as markup, and within its cell.
func markdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`).Replace(text)
}
