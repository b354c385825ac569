package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

// judged are the flags that say what a consumer is held to.
type judged struct {
	consumer                  string
	minOperations, minMembers string
}

func (j *judged) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&j.minOperations, "min-operations", "0", "the least operations to be called: a number, or a percentage\nsuch as 80%")
	flags.StringVar(&j.minMembers, "min-members", "0", "the least request members to be sent, of the operations that\nare called: a number or a percentage")
}

func (j *judged) options() (mockserver.ReportOptions, error) {
	options := mockserver.ReportOptions{Consumer: j.consumer}
	var err error
	if options.MinOperations, err = mockserver.ParseThreshold(j.minOperations); err != nil {
		return options, usageError{fmt.Errorf("--min-operations: %w", err)}
	}
	if options.MinMembers, err = mockserver.ParseThreshold(j.minMembers); err != nil {
		return options, usageError{fmt.Errorf("--min-members: %w", err)}
	}
	return options, nil
}

// exitError ends the program with a code of its own. The report has said why.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// exitOf is the exit code that a report comes to.
func exitOf(r mockserver.Report) error {
	switch {
	case r.Broken():
		return exitError{exitBroken}
	case len(r.Shortfalls) > 0:
		return exitError{exitShort}
	}
	return nil
}

func reportCommand(getenv func(string) string) *cobra.Command {
	var (
		judged judged
		format string
	)
	cmd := &cobra.Command{
		Use:   "report [flags] JOURNAL",
		Short: "Judge a saved journal",
		Long: `Judge a saved journal: what the consumer did, where it broke the contract, and how much of it
was exercised. The journal is a file that 'qcmock run --report' left, or what the mock's
journal answers over HTTP; - reads standard input.

Exits with 3 when the contract was broken, with 4 when less was covered than asked.`,
		Example: `  qcmock report reports/journal.json
  qcmock report --format junit reports/journal.json > junit.xml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one journal, or - for standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := judged.options()
			if err != nil {
				return err
			}
			data, err := readInput(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			entries, err := readJournal(data)
			if err != nil {
				return fmt.Errorf("read journal %s: %w", args[0], err)
			}
			report, err := mockserver.NewReport(entries, options)
			if err != nil {
				return err
			}
			if format == "text" {
				err = report.WriteText(cmd.OutOrStdout(), colored(cmd.OutOrStdout(), getenv))
			} else {
				err = report.Write(cmd.OutOrStdout(), format)
			}
			if errors.Is(err, mockserver.ErrFormat) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			return exitOf(report)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, markdown or junit")
	cmd.Flags().StringVar(&judged.consumer, "consumer", "consumer", "what the report calls the program")
	judged.register(cmd)
	return cmd
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return data, nil
	}
	return os.ReadFile(name)
}

// readJournal reads entries as a JSON array, as an object whose member entries is one, or one after the other.
func readJournal(data []byte) ([]mockserver.Entry, error) {
	var entries []mockserver.Entry
	decoder := json.NewDecoder(bytes.NewReader(data))
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		var wrapped struct {
			Entries *[]mockserver.Entry `json:"entries"`
			Seq     int                 `json:"seq"`
		}
		switch err := json.Unmarshal(raw, &wrapped); {
		case raw[0] == '[':
			var some []mockserver.Entry
			if err := json.Unmarshal(raw, &some); err != nil {
				return nil, fmt.Errorf("it holds no journal entries: %w", err)
			}
			entries = append(entries, some...)
		case err == nil && wrapped.Entries != nil:
			entries = append(entries, *wrapped.Entries...)
		case err == nil && wrapped.Seq > 0:
			var e mockserver.Entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return nil, fmt.Errorf("it holds no journal entries: %w", err)
			}
			entries = append(entries, e)
		default:
			return nil, errors.New("it holds no journal entries; give what --report or the mock's journal wrote")
		}
	}
	return entries, nil
}

// colored reports whether to write colors: only to a terminal, and not when NO_COLOR is set.
func colored(out io.Writer, getenv func(string) string) bool {
	file, ok := out.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
