package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/qcagents/qcagents/mockserver"
)

// judged are the flags that say what a consumer is held to.
type judged struct {
	consumer                  string
	minOperations, minMembers threshold
}

func (j *judged) register(flags *pflag.FlagSet) {
	flags.Var(&j.minOperations, "min-operations", "how many of the API's operations must have been called,\nas 12 or 80%")
	flags.Var(&j.minMembers, "min-members", "how many request members of the called operations must\nhave been sent, as 12 or 80%")
}

func (j *judged) options() mockserver.ReportOptions {
	return mockserver.ReportOptions{
		Consumer: j.consumer, MinOperations: j.minOperations.Threshold, MinMembers: j.minMembers.Threshold,
	}
}

// threshold is a mockserver.Threshold as a flag.
type threshold struct{ mockserver.Threshold }

func (t *threshold) Set(text string) (err error) {
	t.Threshold, err = mockserver.ParseThreshold(text)
	return err
}

func (*threshold) Type() string { return "N|N%" }

// exitOf is the exit code that a report comes to.
func exitOf(r mockserver.Report) error {
	switch {
	case r.Broken():
		return codeError(exitBroken)
	case len(r.Shortfalls) > 0:
		return codeError(exitShort)
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
			data, err := readInput(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			entries, err := readJournal(data)
			if err != nil {
				return fmt.Errorf("read journal %s: %w", args[0], err)
			}
			report, err := mockserver.NewReport(entries, judged.options())
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
	judged.register(cmd.Flags())
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
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		var wrapped struct {
			Entries *[]mockserver.Entry `json:"entries"`
		}
		some := make([]mockserver.Entry, 1)
		var err error
		if raw[0] == '[' {
			err = json.Unmarshal(raw, &some)
		} else if err = json.Unmarshal(raw, &wrapped); err == nil && wrapped.Entries != nil {
			some = *wrapped.Entries
		} else if err == nil {
			err = json.Unmarshal(raw, &some[0])
		}
		if err != nil || slices.ContainsFunc(some, func(e mockserver.Entry) bool { return e.Seq < 1 || e.Request.Method == "" }) {
			return nil, errors.Join(errors.New("it holds no journal entries; give what --report or the mock's journal wrote"), err)
		}
		entries = append(entries, some...)
	}
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
