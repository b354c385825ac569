package mockserver

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/qcagents/qcagents/gen/stub"
)

// Report is what a consumer did, judged by the contract: a pure function of the contract and of journal entries.
type Report struct {
	// Consumer names the program, as the report's reader knows it.
	Consumer string `json:"consumer"`
	// Exchanges is how many there were.
	Exchanges int `json:"exchanges"`
	// Verdict is passed, broken, short or idle; the worst that applies.
	Verdict Verdict `json:"verdict"`
	// Violations are the ways in which the contract was broken, worst first.
	Violations []Finding `json:"violations"`
	// Shortfalls are the thresholds that were missed, a sentence each.
	Shortfalls []string `json:"shortfalls"`
	Coverage   Coverage `json:"coverage"`
	// Relied are the inferred facts that the consumer was answered with: should the service prove to be otherwise, these
	// are what to look at first.
	Relied []Reliance `json:"inferredFactsReliedOn"`
}

// Verdict is what a report comes to.
type Verdict string

// The verdicts.
const (
	VerdictPassed Verdict = "passed"
	VerdictBroken Verdict = "broken" // there is a violation whose severity is error
	VerdictShort  Verdict = "short"  // less was covered than was asked for
	VerdictIdle   Verdict = "idle"   // the consumer called nothing
)

// Finding is a violation, and how often it was committed.
type Finding struct {
	Violation
	Operation string `json:"operation,omitempty"`
	Times     int    `json:"times"`
	// First is the Seq of the first exchange that committed it.
	First int `json:"first"`
	// Line is the line of openapi.yaml that it breaks; 0 when it is about none.
	Line int `json:"line,omitempty"`
}

// Coverage is how much of the contract the consumer exercised.
type Coverage struct {
	Operations Count `json:"operations"`
	// Members are the request members of the operations that were called, sent at least once.
	Members Count `json:"members"`
	// EnumValues are the values of the enums among those members.
	EnumValues Count `json:"enumValues"`
	// ErrorPaths are the operations that were called and that the consumer saw fail at least once.
	ErrorPaths Count `json:"errorPaths"`
	// States are the deployment statuses that were seen, in the order in which they were.
	States      []string            `json:"states"`
	ByOperation []OperationCoverage `json:"byOperation"`
}

// Count is a part of a whole.
type Count struct {
	Covered int `json:"covered"`
	Total   int `json:"total"`
}

// Percent is the part in percent, rounded down; 100 of nothing.
func (c Count) Percent() int {
	if c.Total == 0 {
		return 100
	}
	return 100 * c.Covered / c.Total
}

// OperationCoverage is what the consumer did with one operation. The two ways to authenticate are one operation.
type OperationCoverage struct {
	Operation string           `json:"operation"`
	Calls     int              `json:"calls"`
	Outcomes  map[Outcome]int  `json:"outcomes,omitempty"`
	Members   []MemberCoverage `json:"members,omitempty"`
}

// MemberCoverage is how often a request member was there and how often it was not.
type MemberCoverage struct {
	// Pointer is the member's JSON pointer; an element of an array is written as *.
	Pointer  string `json:"pointer"`
	Required bool   `json:"required"`
	Present  int    `json:"present"`
	Absent   int    `json:"absent"`
	// Sent and Unsent are the values of an enum.
	Sent   []string `json:"sent,omitempty"`
	Unsent []string `json:"unsent,omitempty"`
}

// Reliance is an inferred fact and how often the consumer was answered with it.
type Reliance struct {
	// Fact is a member of the contract, or the ID of a choice of the mock.
	Fact  string `json:"fact"`
	Times int    `json:"times"`
	// Question is what remains open about it.
	Question string `json:"question,omitempty"`
	// Line is where openapi.yaml states it; 0 for a choice.
	Line int `json:"line,omitempty"`
}

// ReportOptions are what a report is made with.
type ReportOptions struct {
	// Consumer names the program. Default: consumer.
	Consumer string
	// MinOperations and MinMembers are the least coverage that is asked for. The zero Threshold asks for nothing.
	MinOperations, MinMembers Threshold
}

// Threshold is the least that is asked for: a number, or a percentage of the whole.
type Threshold struct {
	least   int
	percent bool
}

// ParseThreshold reads a threshold as 12 or as 80%.
func ParseThreshold(text string) (Threshold, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || percent && n > 100 {
		return Threshold{}, fmt.Errorf("threshold %q: write a number such as 12, or a percentage such as 80%%", text)
	}
	return Threshold{least: n, percent: percent}, nil
}

// String writes the threshold as it is read.
func (t Threshold) String() string {
	if t.percent {
		return strconv.Itoa(t.least) + "%"
	}
	return strconv.Itoa(t.least)
}

func (t Threshold) met(c Count) bool {
	if t.percent {
		return 100*c.Covered >= t.least*c.Total
	}
	return c.Covered >= t.least
}

// canonical is the name under which an operation is covered: the two ways to authenticate are one thing to everybody but
// the router.
func canonical(operation string) string {
	if operation == "authenticateGet" {
		return "authenticate"
	}
	return operation
}

// NewReport judges exchanges. They may come from several journals.
func NewReport(entries []Entry, options ReportOptions) (Report, error) {
	table, err := loadContract()
	if err != nil {
		return Report{}, err
	}
	m := measure{
		table: table, operations: map[string]*OperationCoverage{}, findings: map[findingKey]*Finding{}, relied: map[string]*Reliance{},
	}
	for _, id := range table.operationIDs() {
		if canonical(id) == id {
			m.operations[id] = &OperationCoverage{Operation: id, Outcomes: map[Outcome]int{}, Members: members("", table.byID[id].request)}
		}
	}
	for _, e := range entries {
		m.add(e)
	}
	r := Report{
		Consumer:   cmp.Or(options.Consumer, "consumer"),
		Exchanges:  len(entries),
		Violations: m.sortedFindings(),
		Coverage:   m.coverage(),
		Relied:     []Reliance{},
		Shortfalls: []string{},
	}
	for _, fact := range slices.Sorted(maps.Keys(m.relied)) {
		r.Relied = append(r.Relied, *m.relied[fact])
	}
	for _, asked := range []struct {
		of    string
		least Threshold
		count Count
	}{
		{"operations", options.MinOperations, r.Coverage.Operations},
		{"request members of the operations it called", options.MinMembers, r.Coverage.Members},
	} {
		if !asked.least.met(asked.count) {
			r.Shortfalls = append(r.Shortfalls, fmt.Sprintf("%s covered %d of %d %s (%d %%); %s are asked for.",
				r.Consumer, asked.count.Covered, asked.count.Total, asked.of, asked.count.Percent(), asked.least))
		}
	}
	switch {
	case r.Broken():
		r.Verdict = VerdictBroken
	case len(r.Shortfalls) > 0:
		r.Verdict = VerdictShort
	case r.Exchanges == 0:
		r.Verdict = VerdictIdle
	default:
		r.Verdict = VerdictPassed
	}
	return r, nil
}

// Broken reports whether the contract was broken: there is a violation whose severity is error.
func (r Report) Broken() bool {
	return slices.ContainsFunc(r.Violations, func(f Finding) bool { return f.Severity != SeverityWarning })
}

type findingKey struct {
	class                    Class
	operation, pointer, text string
}

type measure struct {
	table      *contractTable
	operations map[string]*OperationCoverage
	findings   map[findingKey]*Finding
	committed  []findingKey // those of findings, in the order in which they were first committed
	states     []string
	relied     map[string]*Reliance
}

// members lists the members of a request, nested ones after their parents, by name.
func members(parent string, schema *openapi3.Schema) []MemberCoverage {
	if schema == nil {
		return nil
	}
	var list []MemberCoverage
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name].Value
		m := MemberCoverage{Pointer: parent + "/" + escape(name), Required: slices.Contains(schema.Required, name)}
		for _, value := range property.Enum {
			m.Unsent = append(m.Unsent, fmt.Sprint(value))
		}
		list = append(list, m)
		below := m.Pointer
		if property.Items != nil {
			property, below = property.Items.Value, below+"/*"
		}
		list = append(list, members(below, property)...)
	}
	return list
}

func (m *measure) add(e Entry) {
	for _, v := range e.Violations {
		key := findingKey{v.Class, e.Operation, v.Pointer, v.Text}
		if m.findings[key] == nil {
			m.committed = append(m.committed, key)
			m.findings[key] = &Finding{Violation: v, Operation: e.Operation, First: e.Seq, Line: m.table.line(v, e.Operation)}
		}
		m.findings[key].Times++
	}
	outcome := e.Outcome()
	for _, choice := range choices() {
		relied := outcome == OutcomeSuccess && slices.Contains(choice.Operations, canonical(e.Operation)) ||
			slices.ContainsFunc(e.Violations, func(v Violation) bool { return slices.Contains(choice.Classes, v.Class) })
		if relied {
			m.rely(Reliance{Fact: choice.ID, Question: choice.Question})
		}
	}
	covered := m.operations[canonical(e.Operation)]
	if covered == nil {
		return
	}
	covered.Calls++
	covered.Outcomes[outcome]++
	if body, ok := parseJSON(e.Request.Body); ok {
		for i := range covered.Members {
			covered.Members[i].count(body)
		}
	}
	if outcome != OutcomeSuccess {
		return
	}
	body, _ := parseJSON(e.Response.Body)
	seen := map[string]bool{}
	m.read(body, m.table.byID[e.Operation].answers[e.Response.Status], seen)
	for pointer := range seen {
		m.rely(Reliance{Fact: factName(pointer), Line: stub.Line(pointer)})
	}
}

func (m *measure) rely(r Reliance) {
	if m.relied[r.Fact] == nil {
		m.relied[r.Fact] = &r
	}
	m.relied[r.Fact].Times++
}

// read collects what an answer tells: statuses, and the inferred members that are in it.
func (m *measure) read(value any, schema *openapi3.Schema, inferred map[string]bool) {
	if schema == nil {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			property := schema.Properties[name]
			if property == nil || member == nil {
				continue
			}
			pointer := m.table.origins[property.Value]
			if property.Value.Extensions["x-evidence"] == string(Inferred) {
				inferred[pointer] = true
			}
			if status, ok := member.(string); ok && pointer == "/components/schemas/AgentDeployment/properties/status" && !slices.Contains(m.states, status) {
				m.states = append(m.states, status)
			}
			m.read(member, property.Value, inferred)
		}
	case []any:
		if schema.Items != nil {
			for _, element := range value {
				m.read(element, schema.Items.Value, inferred)
			}
		}
	}
}

// factName writes the pointer of a member as the ledger does: the schema's name, a point, the member's.
func factName(pointer string) string {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/components/schemas/"), "/")
	return tokens[0] + "." + tokens[len(tokens)-1]
}

// count looks for the member in a body. In an array it counts once, if any element has it.
func (c *MemberCoverage) count(body any) {
	found := lookUp(body, strings.Split(c.Pointer[1:], "/"))
	if len(found) == 0 {
		c.Absent++
		return
	}
	c.Present++
	for _, value := range found {
		text := fmt.Sprint(value)
		if i := slices.Index(c.Unsent, text); i >= 0 {
			c.Unsent = slices.Delete(c.Unsent, i, i+1)
			c.Sent = append(c.Sent, text)
		}
	}
}

func lookUp(value any, path []string) []any {
	if len(path) == 0 {
		return []any{value}
	}
	switch value := value.(type) {
	case map[string]any:
		if member, ok := value[unescape(path[0])]; ok {
			return lookUp(member, path[1:])
		}
	case []any:
		var found []any
		if path[0] == "*" {
			for _, element := range value {
				found = append(found, lookUp(element, path[1:])...)
			}
		}
		return found
	}
	return nil
}

// sortedFindings puts the worst first. Of those that one exchange committed, the first is the cause: the member that is
// misspelled comes before the one that is missing for it.
func (m *measure) sortedFindings() []Finding {
	list := make([]Finding, 0, len(m.findings))
	for _, key := range m.committed {
		list = append(list, *m.findings[key])
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(weight(a.Severity), weight(b.Severity)), -cmp.Compare(a.Times, b.Times), cmp.Compare(a.First, b.First))
	})
	return list
}

func weight(s Severity) int {
	if s == SeverityWarning {
		return 1
	}
	return 0
}

func (m *measure) coverage() Coverage {
	c := Coverage{States: append([]string{}, m.states...), ByOperation: []OperationCoverage{}}
	for _, id := range slices.Sorted(maps.Keys(m.operations)) {
		o := m.operations[id]
		c.ByOperation = append(c.ByOperation, *o)
		c.Operations.Total++
		if o.Calls == 0 {
			continue
		}
		c.Operations.Covered++
		c.ErrorPaths.Total++
		if o.Calls > o.Outcomes[OutcomeSuccess] {
			c.ErrorPaths.Covered++
		}
		for _, member := range o.Members {
			c.Members.Total++
			if member.Present > 0 {
				c.Members.Covered++
			}
			c.EnumValues.Covered += len(member.Sent)
			c.EnumValues.Total += len(member.Sent) + len(member.Unsent)
		}
	}
	return c
}

// Report judges all exchanges of this world that its journal still has.
func (w *World) Report(options ReportOptions) (Report, error) {
	return NewReport(w.Journal(), options)
}

// Report judges all exchanges of all worlds, and those without one.
func (s *Server) Report(options ReportOptions) (Report, error) {
	entries, err := s.Find(Query{})
	if err != nil {
		return Report{}, err
	}
	return NewReport(entries, options)
}

// ErrFormat is a report format that does not exist.
var ErrFormat = errors.New("use text, json, markdown or junit")
