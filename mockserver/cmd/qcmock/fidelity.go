package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the mock and of the contract",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return printVersions(cmd) },
	}
}

func printVersions(cmd *cobra.Command) error {
	server, err := mockserver.New()
	if err != nil {
		return err
	}
	health := server.Health()
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "qcmock %s, contract %s\n", health.Version, health.SpecVersion)
	return err
}

func fidelityCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fidelity",
		Short: "Print what is documented, observed and inferred, and the open questions",
		Long: `Print the evidence ledger: what the contract states and how sure it is (documented, observed
or inferred), and what the mock had to choose, with the question that each choice leaves open.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ledger, err := mockserver.Fidelity()
			if err != nil {
				return err
			}
			return printLedger(cmd.OutOrStdout(), ledger)
		},
	}
}

func printLedger(out io.Writer, ledger mockserver.Ledger) error {
	p := &printer{w: out}
	p.f("The contract states %d facts: %d documented, %d observed, %d inferred.\n", len(ledger.Facts),
		ledger.Count(mockserver.Documented), ledger.Count(mockserver.Observed), ledger.Count(mockserver.Inferred))
	for _, evidence := range []mockserver.Evidence{mockserver.Documented, mockserver.Observed, mockserver.Inferred} {
		p.f("\n%s\n\n", strings.ToUpper(string(evidence)))
		table := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
		for _, fact := range ledger.Facts {
			if fact.Evidence != evidence {
				continue
			}
			note := fact.Source
			if len(fact.InferredConstraints) > 0 {
				note += " (inferred: " + strings.Join(fact.InferredConstraints, ", ") + ")"
			}
			fmt.Fprintf(table, "  %s\topenapi.yaml:%d\t%s\n", fact.Name, fact.Line, note)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	p.f("\nWHAT THE MOCK CHOSE, AND THE OPEN QUESTIONS (all inferred)\n")
	for _, choice := range ledger.Choices {
		p.f("\n  %s\n    %s\n    Open: %s\n", choice.ID, choice.Behavior, choice.Question)
	}
	return p.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}

func (p *printer) f(format string, args ...any) { fmt.Fprintf(p, format, args...) }
