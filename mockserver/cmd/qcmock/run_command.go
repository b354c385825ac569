package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

// The exit codes of qcmock run that are not the command's own.
const (
	exitBroken        = 3   // the command succeeded, and broke the contract
	exitShort         = 4   // the command succeeded, and covered less than was asked for
	exitNotExecutable = 126 // as shells have it
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// codeError ends the program with a code, when everything has been said.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// runFlags are what qcmock run was asked for.
type runFlags struct {
	auth, authFailures, contract string
	severities                   []string
	seed                         string
	seeded                       bool
	speed                        float64
	capacity                     int

	leanHome bool
	grace    time.Duration

	consumer                  string
	report                    string
	minOperations, minMembers threshold
}

// threshold is a mockserver.Threshold as a flag.
type threshold struct{ mockserver.Threshold }

func (t *threshold) Set(text string) (err error) {
	t.Threshold, err = mockserver.ParseThreshold(text)
	return err
}

func (*threshold) Type() string { return "N|N%" }

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
for, and 0. A mistake in the use of qcmock itself gives 2. What qcmock says tells whose a code is.`,
		Example: `  qcmock run -- pytest -q
  qcmock run --report reports --min-operations 100% -- npm test
  qcmock run --speed 60 --lean-home -- ./nightly.sh`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("a command is missing; write it behind --, as in: qcmock run -- pytest -q")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.seeded = cmd.Flags().Changed("seed")
			r := &runner{
				runFlags: *f, args: args, getenv: getenv,
				stdin: cmd.InOrStdin(), stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
			}
			return r.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false)
	flags.StringVar(&f.auth, "auth", string(mockserver.AuthStrict), "what credentials must be: strict (those in the environment), any (well-formed and fresh; a world for each user id), off")
	flags.StringVar(&f.authFailures, "auth-failures", string(mockserver.AuthFailuresDocumented), "how bad credentials are answered: documented (401), observed (200 with success false)")
	flags.StringVar(&f.contract, "contract", string(mockserver.ContractStrict), "requests that break the contract are: strict (refused), observe (served as well as can be), off (not looked at)")
	flags.StringArrayVar(&f.severities, "severity", nil, "how much a class of violations matters, as CLASS=error|warning|off; may be given again")
	flags.StringVar(&f.seed, "seed", "", "give the same identifiers, times and transcripts to the same calls; time then goes by exchanges, half a second each")
	flags.Float64Var(&f.speed, "speed", 1, "how many seconds pass in the mock for each real one; 0 stands still")
	flags.IntVar(&f.capacity, "capacity", 0, "how many deployments work at once, while further ones wait InQueue; 0 is no limit")
	flags.BoolVar(&f.leanHome, "lean-home", false, "give the command an empty home directory whose .lean/credentials are the mock's")
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "how long the command may take to end after SIGTERM or SIGHUP before it is killed, and what it left behind after its end")
	flags.StringVar(&f.consumer, "consumer", "", "what reports call the program (default: the command's name)")
	flags.StringVar(&f.report, "report", "", "a directory to write the report into: report.txt, report.json, report.md, junit.xml and journal.json")
	flags.Var(&f.minOperations, "min-operations", "how many of the API's operations must have been called, as 12 or 80%")
	flags.Var(&f.minMembers, "min-members", "how many request members of the called operations must have been sent, as 12 or 80%")
	return cmd
}

// options are the flags as options of the mock.
func (f *runFlags) options() ([]mockserver.Option, error) {
	opts := []mockserver.Option{
		mockserver.WithAuth(mockserver.Auth(f.auth)),
		mockserver.WithAuthFailures(mockserver.AuthFailures(f.authFailures)),
		mockserver.WithContract(mockserver.Contract(f.contract)),
		mockserver.WithSpeed(f.speed),
		mockserver.WithCapacity(f.capacity),
	}
	for _, severity := range f.severities {
		class, level, ok := strings.Cut(severity, "=")
		if !ok {
			return nil, fmt.Errorf("severity %q: write it as CLASS=error, CLASS=warning or CLASS=off", severity)
		}
		opts = append(opts, mockserver.WithSeverity(mockserver.Class(class), mockserver.Severity(level)))
	}
	if f.seeded {
		opts = append(opts, mockserver.WithSeed(f.seed))
	}
	return opts, nil
}
