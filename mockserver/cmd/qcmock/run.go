package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it could not do what it was asked to
	exitUsage  = 2 // it was asked for something that it does not know
	exitBroken = 3 // the consumer broke the contract
	exitShort  = 4 // the consumer covered less than was asked for
)

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// guessError is a mistake of which one can guess what was meant.
type guessError struct {
	error
	meant string
}

// usage lays out the help of every command.
const usage = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} <command> [flags]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{.UseLine}}{{end}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} <command> --help" says more about a command.{{end}}
`

// Run is the whole program. Results go to stdout, talk goes to stderr; it returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	version := false
	root := &cobra.Command{
		Use:   "qcmock",
		Short: "A mock of QuantConnect's /agents API",
		Long: `A mock of QuantConnect's /agents API, in memory: develop and test programs against it
without credentials, waiting or cost.

Exit codes: 0 done, 1 could not do it, 2 the command line is mistaken.`,
		Example: `  qcmock serve
  qcmock fidelity`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && version {
				return nil
			}
			if len(args) == 0 {
				return usageError{guessError{errors.New("a command is missing"), "qcmock serve"}}
			}
			err := fmt.Errorf("unknown command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				err = guessError{err, cmd.CommandPath() + " " + near[0]}
			}
			return usageError{err}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return printVersions(cmd) },
	}
	root.Flags().BoolVar(&version, "version", false, "print the versions, as the command version does")
	root.AddCommand(serveCommand(), runCommand(getenv), reportCommand(getenv), versionCommand(), fidelityCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.SetUsageTemplate(usage)
	root.SetFlagErrorFunc(flagError)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	cmd, err := root.ExecuteContextC(ctx)
	if code := codeError(exitOK); errors.As(err, &code) {
		return int(code)
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
	if !errors.As(err, &usageError{}) {
		return exitFailed
	}
	if guess := (guessError{}); errors.As(err, &guess) {
		fmt.Fprintf(stderr, "Did you mean %q?\n", guess.meant)
	}
	if cmd.Name() == "help" {
		cmd = root
	}
	fmt.Fprintf(stderr, "Run '%s --help' for what there is.\n", cmd.CommandPath())
	return exitUsage
}

// helpCommand is cobra's, but for topics that do not exist, which are mistakes.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Say more about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			topic, rest, err := root.Find(args)
			if err == nil && len(args) > 0 && (topic == root || len(rest) > 0) {
				err = usageError{fmt.Errorf("unknown command %q", strings.Join(args, " "))}
			}
			if err != nil {
				return err
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}

// noArgs refuses arguments with a usage error.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
