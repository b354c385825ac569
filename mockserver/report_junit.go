package mockserver

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of JUnit XML that build servers read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitNote    `xml:"skipped"`
		Failure   *junitFailure `xml:"failure"`
		Output    string        `xml:"system-out,omitempty"`
	}
	junitNote struct {
		Message string `xml:"message,attr"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML: the suite is the consumer, a case is an operation. An operation that was
// never called is skipped, one with a violation of severity error has failed; violations without an operation, and
// coverage that is short, are cases of their own.
func (r Report) WriteJUnit(out io.Writer) error {
	r = r.visible()
	suite := junitSuite{Name: r.Consumer, Time: "0"}
	add := func(name string, skipped string, failures, notes []string, class Class) {
		c := junitCase{Name: name, ClassName: r.Consumer, Time: "0", Output: strings.Join(notes, "\n")}
		switch {
		case len(failures) > 0:
			c.Failure = &junitFailure{Message: failures[0], Type: string(class), Text: strings.Join(failures, "\n")}
			suite.Failures++
		case skipped != "":
			c.Skipped = &junitNote{Message: skipped}
			suite.Skipped++
		}
		suite.Tests++
		suite.Cases = append(suite.Cases, c)
	}
	// A journal may name operations that this contract does not have; what broke those goes with what has none.
	known := map[string]bool{}
	for _, o := range r.Coverage.ByOperation {
		known[o.Operation] = true
	}
	findings := func(operation string) (failures, notes []string, class Class) {
		for _, f := range r.Violations {
			of := canonical(f.Operation)
			if !known[of] {
				of = ""
			}
			if of != operation {
				continue
			}
			text := strings.TrimSpace(fmt.Sprintf("%s %s", f.Class, f.Pointer)) + ": " + capitalized(f.Text)
			if f.Line > 0 {
				text += fmt.Sprintf(" (openapi.yaml:%d)", f.Line)
			}
			if f.Severity == SeverityWarning {
				notes = append(notes, "warning: "+text)
				continue
			}
			if len(failures) == 0 {
				class = f.Class
			}
			failures = append(failures, text)
		}
		return failures, notes, class
	}
	for _, o := range r.Coverage.ByOperation {
		failures, notes, class := findings(o.Operation)
		skipped := ""
		if o.Calls == 0 {
			skipped = "never called"
		}
		add(o.Operation, skipped, failures, notes, class)
	}
	if failures, notes, class := findings(""); len(failures)+len(notes) > 0 {
		add("requests to no operation", "", failures, notes, class)
	}
	if len(r.Shortfalls) > 0 {
		add("coverage", "", r.Shortfalls, nil, "coverage")
	}
	document := junitSuites{Name: "qcmock", Tests: suite.Tests, Failures: suite.Failures, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return fmt.Errorf("write report as junit: %w", err)
	}
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write report as junit: %w", err)
	}
	_, err := io.WriteString(out, "\n")
	return err
}
