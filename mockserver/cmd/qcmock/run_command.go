package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

// The exit codes of qcmock run that are not the command's own.
const (
	exitNotExecutable = 126 // as shells have it
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// codeError ends the program with a code, when everything has been said.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// runFlags are what qcmock run was asked for.
type runFlags struct {
	mockFlags

	intercept bool
	allowed   []string
	leanHome  bool
	grace     time.Duration

	judged
	report string
}

func runCommand(getenv func(string) string) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT]...",
		Short: "Run a command against a mock of its own, and say whether it kept the contract",
		Long: `Run a command against a mock of its own, which listens on a free port of this machine for as long
as the command runs, and say on stderr whether the command kept QuantConnect's contract.

The command finds the mock in its environment: QUANTCONNECT_API_BASE_URL, QUANTCONNECT_USER_ID,
QUANTCONNECT_API_TOKEN and QUANTCONNECT_ORGANIZATION_ID. Its input and output are its own. It is sent
the signals SIGINT, SIGTERM, SIGHUP and SIGQUIT that are sent to qcmock, and when it has ended, so have
the processes that it left behind in its process group.

The exit code is the command's own if it failed (128 + n if signal n ended it, 127 if it was not found,
126 if it could not be executed), or else 3 if it broke the contract, 4 if it covered less than was asked
for, and 0. A mistake in the use of qcmock itself gives 2. What qcmock says tells whose a code is.

With --intercept, programs run unmodified: https://www.quantconnect.com/api/v2 and the same of
beta.quantconnect.com reach the mock, and every other host is refused. The environment tells the command's
runtime of a proxy, and of a certificate authority that lives for this run alone. It works with what heeds
that environment: Python (requests, urllib), curl, Go on Linux, Node 20 and later (fetch, http, https) and
Java (HttpClient, HttpsURLConnection), which says so on stderr: Picked up JAVA_TOOL_OPTIONS.`,
		Example: `  qcmock run -- pytest -q
  qcmock run --report reports --min-operations 100% -- npm test
  qcmock run --intercept --speed 60 -- python3 nightly.py`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("a command is missing; write it behind --, as in: qcmock run -- pytest -q")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.allowed) > 0 && !f.intercept {
				return usageError{errAllowWithoutIntercept}
			}
			if err := checkAllowed(f.allowed); err != nil {
				return usageError{err}
			}
			opts, err := f.mockFlags.options(cmd, mockserver.DefaultAccount())
			if err != nil {
				return err
			}
			r := &runner{
				runFlags: *f, opts: opts, args: args, getenv: getenv,
				stdin: cmd.InOrStdin(), stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
			}
			return r.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false)
	f.mockFlags.register(flags)
	flags.BoolVar(&f.intercept, "intercept", false, "have programs reach the mock whose URL is hard-coded")
	flags.StringArrayVar(&f.allowed, "allow-host", nil, "a `host`, host:port or *.domain that --intercept lets\nthrough; may be given again")
	flags.BoolVar(&f.leanHome, "lean-home", false, "give the command an empty home directory whose\n.lean/credentials are the mock's")
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "how long the command may take to end after SIGTERM or\nSIGHUP before it is killed, and what it left behind after\nits end")
	flags.StringVar(&f.consumer, "consumer", "", "what reports call the program, a `name`; by default the\ncommand's")
	flags.StringVar(&f.report, "report", "", "a `directory` to write the report into: report.txt,\nreport.json, report.md, junit.xml and journal.json")
	f.judged.register(flags)
	return cmd
}
