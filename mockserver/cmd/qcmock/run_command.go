package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

// The exit codes of qcmock run that shells have too.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// runFlags are what qcmock run was asked for.
type runFlags struct {
	auth         mockserver.Auth
	authFailures mockserver.AuthFailures
	contract     mockserver.Contract
	severities   []string
	seed         string
	seeded       bool
	speed        float64
	capacity     int

	intercept bool
	allowed   []string
	leanHome  bool
	grace     time.Duration

	judged
	report string
}

func runCommand(getenv func(string) string) *cobra.Command {
	f := &runFlags{
		auth: mockserver.AuthStrict, authFailures: mockserver.AuthFailuresDocumented, contract: mockserver.ContractStrict, speed: 1,
	}
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
	flags.Var(oneOf(&f.auth, mockserver.AuthStrict, mockserver.AuthAny, mockserver.AuthOff), "auth",
		"who is served: strict, the account in the environment; any, whoever\nsigns in the right form, each user id in a world of its own; off, all")
	flags.Var(oneOf(&f.authFailures, mockserver.AuthFailuresDocumented, mockserver.AuthFailuresObserved), "auth-failures",
		"how bad credentials are answered: documented, with 401;\nobserved, with 200 and success false")
	flags.Var(oneOf(&f.contract, mockserver.ContractStrict, mockserver.ContractObserve, mockserver.ContractOff), "contract",
		"requests that break the contract: strict, refuse them;\nobserve, serve them as well as can be; off, do not look")
	flags.StringArrayVar(&f.severities, "severity", nil, "how much violations of a class matter, as `CLASS=LEVEL`: error,\nwarning or off; may be given again for another class")
	flags.Var(factor(&f.speed), "speed", "how many seconds pass in the mock for each real one;\n0 stands still")
	flags.StringVar(&f.seed, "seed", "", "the same `text` gives the same calls the same identifiers, times and\ntranscripts; time then goes by exchanges, half a second each")
	flags.Var(whole(&f.capacity), "capacity", "how many deployments work at once while others wait;\n0 is no limit")
	flags.BoolVar(&f.intercept, "intercept", false, "have programs reach the mock whose URL is hard-coded; see above")
	flags.StringArrayVar(&f.allowed, "allow-host", nil, "a `HOST`, host:port or *.domain that --intercept lets through, untouched;\nmay be given again")
	flags.BoolVar(&f.leanHome, "lean-home", false, "give the command a home directory that is empty but for the\ncredentials where lean-cli keeps them")
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "how long the command may take to end after SIGTERM or SIGHUP, and\nwhat it leaves behind after its end, before they are killed")
	flags.StringVar(&f.report, "report", "", "write the reports and the journal into this `directory`:\nreport.txt, report.json, report.md, junit.xml, journal.json")
	flags.StringVar(&f.consumer, "consumer", "", "what the reports call the program (default the command's name)")
	f.register(cmd)
	return cmd
}

// mock are the options of the mock.
func (f *runFlags) mock() ([]mockserver.Option, error) {
	opts := []mockserver.Option{
		mockserver.WithAuth(f.auth),
		mockserver.WithAuthFailures(f.authFailures),
		mockserver.WithContract(f.contract),
		mockserver.WithSpeed(f.speed),
		mockserver.WithCapacity(f.capacity),
	}
	for _, severity := range f.severities {
		class, level, ok := strings.Cut(severity, "=")
		if !ok {
			return nil, fmt.Errorf("severity %q: write it as CLASS=LEVEL, such as unknown-field=warning", severity)
		}
		opts = append(opts, mockserver.WithSeverity(mockserver.Class(class), mockserver.Severity(level)))
	}
	if f.seeded {
		opts = append(opts, mockserver.WithSeed(f.seed))
	}
	return opts, nil
}
