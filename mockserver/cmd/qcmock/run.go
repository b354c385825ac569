package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it could not do what it was asked to
	exitUsage  = 2 // it was asked for something that it does not know
)

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Run is the whole program. Results go to stdout, talk goes to stderr; it returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	root := &cobra.Command{
		Use:   "qcmock",
		Short: "A mock of QuantConnect's /agents API",
		Long: `A mock of QuantConnect's /agents API, in memory: develop and test programs against it
without credentials, waiting or cost.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return usageError{errors.New("a command is missing")}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	root.AddCommand(serveCommand(), runCommand(getenv), versionCommand(), fidelityCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	cmd, err := root.ExecuteContextC(ctx)
	usage := (*usageError)(nil)
	code := codeError(exitOK)
	switch mistaken := (usageError{}); {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &mistaken):
		usage = &mistaken
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
	if usage == nil {
		return exitFailed
	}
	if suggestions := root.SuggestionsFor(firstOf(args)); cmd == root && len(suggestions) > 0 {
		fmt.Fprintf(stderr, "Did you mean %q?\n", suggestions[0])
	}
	fmt.Fprintf(stderr, "Run '%s --help' for what there is.\n", cmd.CommandPath())
	return exitUsage
}

func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// noArgs refuses arguments with a usage error.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
