package mocktest

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver"
)

// mostShown is how many exchanges a table has.
const mostShown = 200

// table shows exchanges, the last ones if there are too many, one in a line.
func table(entries []mockserver.Entry) string {
	var b strings.Builder
	if earlier := len(entries) - mostShown; earlier > 0 {
		fmt.Fprintf(&b, "(%d earlier ones are left out)\n", earlier)
		entries = entries[earlier:]
	}
	faults, violations := false, false
	for _, e := range entries {
		faults = faults || e.Fault != nil
		violations = violations || len(e.Violations) > 0
	}
	var aligned strings.Builder
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	row := func(seq, operation, answer, what, fault, violation string) {
		cells := []string{seq, operation, answer, what}
		if faults {
			cells = append(cells, fault)
		}
		if violations {
			cells = append(cells, violation)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	row("#", "OPERATION", "ANSWER", "WHAT HAPPENED", "FAULT", "VIOLATION")
	for _, e := range entries {
		answer, what := outcome(e)
		fault := ""
		if e.Fault != nil {
			fault = fmt.Sprintf("%s, %s", e.Fault.Effect, e.Fault.Phase)
		}
		var broken []string
		for _, v := range e.Violations {
			text := string(v.Class)
			if v.Pointer != "" {
				text += " " + v.Pointer
			}
			broken = append(broken, text)
		}
		row(fmt.Sprint(e.Seq), operationOf(e), answer, what, fault, strings.Join(broken, "; "))
	}
	_ = w.Flush()
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(&b, strings.TrimRight(line, " \n"))
	}
	return b.String()
}

func operationOf(e mockserver.Entry) string {
	if e.Operation != "" {
		return e.Operation
	}
	return cell(e.Request.Method + " " + e.Request.Path)
}

// outcome says in few words what an exchange came to.
func outcome(e mockserver.Entry) (answer, what string) {
	if e.Response == nil {
		return string(e.Outcome()), "the connection broke"
	}
	answer = fmt.Sprint(e.Response.Status, " ", e.Outcome())
	var body struct {
		Success      *bool                  `json:"success"`
		Errors       []string               `json:"errors"`
		Agent        *gen.Agent             `json:"agent"`
		Agents       []gen.Agent            `json:"agents"`
		Task         *gen.AgentTask         `json:"task"`
		Tasks        []gen.AgentTask        `json:"tasks"`
		Deployment   *gen.AgentDeployment   `json:"deployment"`
		Deployments  []gen.AgentDeployment  `json:"deployments"`
		Conversation *gen.AgentConversation `json:"conversation"`
	}
	if err := json.Unmarshal([]byte(e.Response.Body), &body); err != nil || body.Success == nil {
		return answer, cell(e.Response.Body)
	}
	if !*body.Success {
		return answer, cell(strings.Join(body.Errors, " "))
	}
	switch {
	case body.Agent != nil:
		what = fmt.Sprintf("agent %d %q", body.Agent.ID, body.Agent.Name)
	case body.Task != nil:
		what = fmt.Sprintf("task %d %q", body.Task.ID, body.Task.Name)
	case body.Deployment != nil:
		what = body.Deployment.DeploymentID + " " + body.Deployment.Status
	case body.Conversation != nil:
		what = fmt.Sprintf("%d messages", len(body.Conversation.Messages))
	case body.Agents != nil:
		what = fmt.Sprintf("%d agents", len(body.Agents))
	case body.Tasks != nil:
		what = fmt.Sprintf("%d tasks", len(body.Tasks))
	case body.Deployments != nil:
		what = fmt.Sprintf("%d deployments", len(body.Deployments))
	}
	return answer, cell(what)
}

// cell keeps a text on one line and short.
func cell(text string) string {
	const limit = 72
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit-1]) + "…"
	}
	return text
}
