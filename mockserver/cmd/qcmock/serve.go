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
		addr    = "127.0.0.1:5612"
		mock    mockFlags
		account = mockserver.DefaultAccount()

		controlToken string
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
			opts, err := mock.options(cmd, account)
			if err != nil {
				return err
			}
			if controlToken != "" {
				opts = append(opts, mockserver.WithControlToken(controlToken))
			}
			opts = append(opts, mockserver.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))))
			server, err := mockserver.New(opts...)
			if err != nil {
				return usageError{err}
			}
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", addr)
			if err != nil {
				return fmt.Errorf("%w; %s", err, listenAdvice(err))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
			return serve(ctx, server, listener, drainTime, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(address(&addr), "addr", "where to listen; port 0 takes a free one")
	mock.register(flags)
	flags.Var(whole(&account.UserID), "user-id", "the account's user id")
	flags.Var(word(&account.Token), "token", "the account's API token")
	flags.Var(word(&account.Organizations[0]), "organization", "the account's organization")
	flags.Var(word(&controlToken), "control-token", "lets other machines that show it use /_mock/; without one,\nonly this machine may")
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

// serve answers on a listener until ctx ends, and then lets the exchanges under way end.
func serve(ctx context.Context, server *mockserver.Server, listener net.Listener, drainTime time.Duration, stdout, stderr io.Writer) error {
	account := server.Default().Account()
	r := ready{
		URL:            "http://" + reachable(listener.Addr()) + "/api/v2",
		UserID:         account.UserID,
		Token:          account.Token,
		OrganizationID: firstOrganization(account),
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
	// A reader of a journal's stream would otherwise be waited for.
	httpServer.RegisterOnShutdown(func() { _ = server.Close() })
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

// firstOrganization is empty for an account that belongs to none, as a scenario may have it.
func firstOrganization(account mockserver.Account) string {
	if len(account.Organizations) == 0 {
		return ""
	}
	return account.Organizations[0]
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
