package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/qcagents/qcagents/mockserver"
)

// mockFlags are the flags that say how the mock behaves, for every command that starts one.
type mockFlags struct {
	auth         mockserver.Auth
	authFailures mockserver.AuthFailures
	contract     mockserver.Contract
	severities   map[mockserver.Class]mockserver.Severity
	speed        float64
	seed         string
	capacity     int
	scenario     string
}

func (f *mockFlags) register(flags *pflag.FlagSet) {
	*f = mockFlags{
		auth: mockserver.AuthStrict, authFailures: mockserver.AuthFailuresDocumented, contract: mockserver.ContractStrict, speed: 1,
		severities: map[mockserver.Class]mockserver.Severity{},
	}
	flags.Var(oneOf(&f.auth, mockserver.AuthStrict, mockserver.AuthAny, mockserver.AuthOff), "auth",
		"who is served: strict, the mock's own accounts; any, whoever\nsigns in the right form, each user id in a world of its\nown; off, all")
	flags.Var(oneOf(&f.authFailures, mockserver.AuthFailuresDocumented, mockserver.AuthFailuresObserved), "auth-failures",
		"how bad credentials are answered: documented, with 401;\nobserved, with 200 and success false")
	flags.Var(oneOf(&f.contract, mockserver.ContractStrict, mockserver.ContractObserve, mockserver.ContractOff), "contract",
		"requests that break the contract: strict, refuse them;\nobserve, serve them as well as can be; off, do not look")
	flags.Var(severities(f.severities), "severity",
		"how much a class of violations matters: error, and it is\nrefused; warning, and it is served and reported; off. May\nbe given again")
	flags.Var(factor(&f.speed), "speed", "how many seconds pass in the mock for each real one;\n0 stands still")
	flags.StringVar(&f.seed, "seed", "", "the same `text` gives the same calls the same identifiers,\ntimes and transcripts; time then goes by exchanges, half a\nsecond each")
	flags.Var(whole(&f.capacity), "capacity", "how many deployments work at once while others wait;\n0 is no limit")
	flags.StringVar(&f.scenario, "scenario", "", "a YAML or JSON `file` that describes the world: accounts,\nagents, plans, faults and more")
}

// options are the flags as options of the mock. The account is the default one, or the one that further flags describe.
func (f *mockFlags) options(cmd *cobra.Command, account mockserver.Account) ([]mockserver.Option, error) {
	world, err := readScenario(cmd, f.scenario, account)
	if err != nil {
		return nil, usageError{err}
	}
	opts := []mockserver.Option{
		mockserver.WithAuth(f.auth),
		mockserver.WithAuthFailures(f.authFailures),
		mockserver.WithContract(f.contract),
		mockserver.WithSpeed(f.speed),
		mockserver.WithCapacity(f.capacity),
		world,
	}
	for class, severity := range f.severities {
		opts = append(opts, mockserver.WithSeverity(class, severity))
	}
	if cmd.Flags().Changed("seed") {
		opts = append(opts, mockserver.WithSeed(f.seed))
	}
	return opts, nil
}

// readScenario loads a scenario, if there is one, with the account of the flags. A scenario's own first account stays as it
// is but for the flags that were given.
func readScenario(cmd *cobra.Command, file string, account mockserver.Account) (mockserver.Option, error) {
	if file == "" {
		return mockserver.WithAccount(account), nil
	}
	scenario, err := mockserver.ReadScenarioFile(file)
	if err != nil {
		return nil, err
	}
	if len(scenario.Accounts) == 0 {
		scenario.Accounts = []mockserver.Account{account}
	}
	if cmd.Flags().Changed("speed") && scenario.Clock != nil {
		scenario.Clock.Speed = nil // so that the server's counts
	}
	if cmd.Flags().Changed("capacity") {
		scenario.Capacity = nil
	}
	first := &scenario.Accounts[0]
	if cmd.Flags().Changed("user-id") {
		first.UserID = account.UserID
	}
	if cmd.Flags().Changed("token") {
		first.Token = account.Token
	}
	if cmd.Flags().Changed("organization") {
		first.Organizations = account.Organizations
	}
	return mockserver.WithScenario(scenario), nil
}

// severities is a flag that may be given again: CLASS=error, CLASS=warning or CLASS=off.
type severities map[mockserver.Class]mockserver.Severity

func (severities) String() string { return "" }

func (severities) Type() string { return "CLASS=LEVEL" }

func (s severities) Set(text string) error {
	class, level, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("write it as CLASS=error, CLASS=warning or CLASS=off, not %q", text)
	}
	if err := mockserver.CheckSeverity(mockserver.Class(class), mockserver.Severity(level)); err != nil {
		return err
	}
	s[mockserver.Class(class)] = mockserver.Severity(level)
	return nil
}
