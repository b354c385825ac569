package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/qcagents/qcagents/mockserver"
)

// drainTime is how long a stopping server waits for exchanges under way.
const drainTime = 5 * time.Second

// ready is the line on stdout that says where the mock listens. Programs that start the mock read it.
type ready struct {
	// URL is what a consumer's base URL should be, without a trailing slash.
	URL            string `json:"url"`
	UserID         int    `json:"userId"`
	Token          string `json:"token"`
	OrganizationID string `json:"organizationId"`
	PID            int    `json:"pid"`
}

func serveCommand() *cobra.Command {
	var (
		addr         = "127.0.0.1:5612"
		auth         = mockserver.AuthStrict
		authFailures = mockserver.AuthFailuresDocumented
		contract     = mockserver.ContractStrict
		speed        = 1.0
		seed         string
		capacity     int
		account      = mockserver.DefaultAccount()
		scenarioFile string
	)
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Run the mock until it is interrupted",
		Long: `Run the mock until it is interrupted (SIGINT or SIGTERM).

One line of JSON on stdout says when it is ready and where: url is the base URL for a consumer,
then userId, token, organizationId and pid. Everything else goes to stderr.

Everything is kept in memory, and gone when the mock stops.`,
		Example: `  qcmock serve
  qcmock serve --addr 127.0.0.1:0 --speed 60
  qcmock serve --auth any
  qcmock serve --scenario world.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			scenario, err := readScenario(cmd, scenarioFile, account)
			if err != nil {
				return usageError{err}
			}
			opts := []mockserver.Option{
				mockserver.WithAuth(auth),
				mockserver.WithAuthFailures(authFailures),
				mockserver.WithContract(contract),
				mockserver.WithSpeed(speed),
				scenario,
				mockserver.WithCapacity(capacity),
				mockserver.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))),
			}
			if cmd.Flags().Changed("seed") {
				opts = append(opts, mockserver.WithSeed(seed))
			}
			server, err := mockserver.New(opts...)
			if err != nil {
				return usageError{err}
			}
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", addr)
			if err != nil {
				return fmt.Errorf("%w; %s", err, listenAdvice(err))
			}
			return serve(cmd.Context(), server, listener, drainTime, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(address(&addr), "addr", "where to listen; port 0 takes a free one")
	flags.Var(oneOf(&auth, mockserver.AuthStrict, mockserver.AuthAny, mockserver.AuthOff), "auth",
		"who is served: strict, the account below; any, whoever signs in\nthe right form, each user id in a world of its own; off, all")
	flags.Var(oneOf(&authFailures, mockserver.AuthFailuresDocumented, mockserver.AuthFailuresObserved), "auth-failures",
		"how bad credentials are answered: documented, with 401;\nobserved, with 200 and success false")
	flags.Var(oneOf(&contract, mockserver.ContractStrict, mockserver.ContractObserve, mockserver.ContractOff), "contract",
		"requests that break the contract: strict, refuse them;\nobserve, serve them as well as can be; off, do not look")
	flags.Var(factor(&speed), "speed", "how many seconds pass in the mock for each real one;\n0 stands still")
	flags.StringVar(&seed, "seed", "", "the same `text` gives the same calls the same identifiers, times and\ntranscripts; time then goes by exchanges, half a second each")
	flags.Var(whole(&capacity), "capacity", "how many deployments work at once while others wait;\n0 is no limit")
	flags.StringVar(&scenarioFile, "scenario", "", "a YAML or JSON `file` that describes the world: accounts,\nagents, plans, faults and more")
	flags.Var(whole(&account.UserID), "user-id", "the account's user id")
	flags.Var(word(&account.Token), "token", "the account's API token")
	flags.Var(word(&account.Organizations[0]), "organization", "the account's organization")
	return cmd
}

// listenAdvice says what to do about a listener that could not be had.
func listenAdvice(err error) string {
	const addressInUseOnWindows = syscall.Errno(10048)
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, addressInUseOnWindows):
		return "is another mock running there? --addr 127.0.0.1:0 takes a free port"
	case errors.Is(err, os.ErrPermission):
		return "low ports are not for everybody; --addr 127.0.0.1:0 takes a free one"
	}
	return "this machine cannot listen there; use --addr 127.0.0.1:5612, or port 0 for a free one"
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

// serve answers on a listener until ctx ends, and then lets the exchanges under way end.
func serve(ctx context.Context, server *mockserver.Server, listener net.Listener, drainTime time.Duration, stdout, stderr io.Writer) error {
	account := server.Default().Account()
	r := ready{
		URL:            "http://" + reachable(listener.Addr()) + "/api/v2",
		UserID:         account.UserID,
		Token:          account.Token,
		OrganizationID: account.Organizations[0],
		PID:            os.Getpid(),
	}
	silent := silentConns{}
	httpServer := &http.Server{
		Handler:           server,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.NewTextHandler(stderr, nil), slog.LevelWarn),
		ConnState:         silent.note,
	}
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()

	welcome(stderr, r, listener.Addr())
	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		_ = httpServer.Close()
		return fmt.Errorf("write the ready line: %w", err)
	}

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	fmt.Fprintln(stderr, "Stopping when the exchanges under way have ended; Ctrl-C again cuts them off.")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	silent.close()
	err := httpServer.Shutdown(drain)
	_ = server.Close()
	if errors.Is(err, context.DeadlineExceeded) {
		_ = httpServer.Close()
		return fmt.Errorf("stop: exchanges were still under way after %s and have been cut off", drainTime)
	}
	return err
}

// silentConns are connections on which nothing has been asked yet, as browsers and health checks open them. Shutdown would
// wait for them longer than anybody has patience for.
type silentConns struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	done  bool
}

func (s *silentConns) note(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.conns, conn)
	case s.done:
		_ = conn.Close()
	default:
		if s.conns == nil {
			s.conns = map[net.Conn]bool{}
		}
		s.conns[conn] = true
	}
}

func (s *silentConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// reachable is an address that a consumer on this machine can use.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return addr.String()
}

func welcome(stderr io.Writer, r ready, addr net.Addr) {
	organization, _ := json.Marshal(r.OrganizationID) // a string cannot fail
	fmt.Fprintf(stderr, `Mock of QuantConnect's /agents API, %s.

  base URL      %s
  user id       %d
  token         %s
  organization  %s
  contract      %s/openapi.yaml

Try it, in sh, bash or zsh:

  t=$(date +%%s); h=$(printf '%%s:%%s' %s "$t" | openssl dgst -sha256 | sed 's/.*= *//'); \
  curl -s '%s/agents/list' -u "%d:$h" -H "Timestamp: $t" \
    -H 'Content-Type: application/json' -d %s

Ctrl-C stops it.
`, mockserver.Version(), r.URL, r.UserID, r.Token, r.OrganizationID, strings.TrimSuffix(r.URL, "/api/v2"),
		shellQuoted(r.Token), r.URL, r.UserID, shellQuoted(`{"organizationId":`+string(organization)+`}`))
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		fmt.Fprintf(stderr, "It can be reached from other machines, since --addr is not a loopback address.\n")
	}
}

// shellQuoted is text as one word of a shell's command line.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
