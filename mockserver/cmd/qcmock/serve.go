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
	"os/signal"
	"strings"
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
		addr                         string
		auth, authFailures, contract string
		speed                        float64
		seed                         string
		capacity                     int
		account                      mockserver.Account
		organization                 string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the mock until it is interrupted",
		Long: `Run the mock until it is interrupted (SIGINT or SIGTERM).

One line of JSON on stdout says when it is ready and where: url is the base URL for a consumer,
then userId, token, organizationId and pid. Everything else goes to stderr.`,
		Example: `  qcmock serve
  qcmock serve --addr 127.0.0.1:0 --speed 60
  qcmock serve --auth any`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			account.Organizations = []string{organization}
			opts := []mockserver.Option{
				mockserver.WithAuth(mockserver.Auth(auth)),
				mockserver.WithAuthFailures(mockserver.AuthFailures(authFailures)),
				mockserver.WithContract(mockserver.Contract(contract)),
				mockserver.WithSpeed(speed),
				mockserver.WithAccount(account),
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
				return fmt.Errorf("listen: %w; is another mock running there? --addr 127.0.0.1:0 takes a free port", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return serve(ctx, server, listener, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&addr, "addr", "127.0.0.1:5612", "where to listen; port 0 takes a free one")
	flags.StringVar(&auth, "auth", string(mockserver.AuthStrict), "what credentials must be: strict (those below), any (well-formed and fresh; a world for each user id), off")
	flags.StringVar(&authFailures, "auth-failures", string(mockserver.AuthFailuresDocumented), "how bad credentials are answered: documented (401), observed (200 with success false)")
	flags.StringVar(&contract, "contract", string(mockserver.ContractStrict), "requests that break the contract are: strict (refused), observe (served as well as can be), off (not looked at)")
	flags.Float64Var(&speed, "speed", 1, "how many seconds pass in the mock for each real one; 0 stands still")
	flags.StringVar(&seed, "seed", "", "give the same identifiers, times and transcripts to the same calls; time then goes by exchanges, half a second each")
	flags.IntVar(&capacity, "capacity", 0, "how many deployments work at once, while further ones wait InQueue; 0 is no limit")
	flags.IntVar(&account.UserID, "user-id", mockserver.DefaultUserID, "the account's user id")
	flags.StringVar(&account.Token, "token", mockserver.DefaultToken, "the account's API token")
	flags.StringVar(&organization, "organization", mockserver.DefaultOrganizationID, "the account's organization")
	return cmd
}

// serve answers on a listener until ctx ends, and then lets the exchanges under way end.
func serve(ctx context.Context, server *mockserver.Server, listener net.Listener, stdout, stderr io.Writer) error {
	account := server.Default().Account()
	r := ready{
		URL:            "http://" + reachable(listener.Addr()) + "/api/v2",
		UserID:         account.UserID,
		Token:          account.Token,
		OrganizationID: account.Organizations[0],
		PID:            os.Getpid(),
	}
	httpServer := &http.Server{
		Handler:           server,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.NewTextHandler(stderr, nil), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()

	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		_ = httpServer.Close()
		return fmt.Errorf("write the ready line: %w", err)
	}
	welcome(stderr, r, listener.Addr())

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	fmt.Fprintln(stderr, "stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := httpServer.Shutdown(drain)
	_ = server.Close()
	if errors.Is(err, context.DeadlineExceeded) {
		_ = httpServer.Close()
		return fmt.Errorf("stop: exchanges were still under way after %s and have been cut off", drainTime)
	}
	return err
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
	root := strings.TrimSuffix(r.URL, "/api/v2")
	fmt.Fprintf(stderr, `Mock of QuantConnect's /agents API, %s.

  base URL      %s
  user id       %d
  token         %s
  organization  %s
  contract      %s/openapi.yaml

Try it:

  t=$(date +%%s); h=$(printf %%s "%s:$t" | openssl dgst -sha256 | sed 's/.*= *//'); \
  curl -s %s/agents/list -u "%d:$h" -H "Timestamp: $t" \
    -H 'Content-Type: application/json' -d '{"organizationId":"%s"}'

Ctrl-C stops it.
`, mockserver.Version(), r.URL, r.UserID, r.Token, r.OrganizationID, root, shellQuoted(r.Token), r.URL, r.UserID, r.OrganizationID)
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		fmt.Fprintf(stderr, "It can be reached from other machines, since --addr is not a loopback address.\n")
	}
}

// shellQuoted escapes what a shell would read inside double quotes.
func shellQuoted(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text)
}
