package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qcagents/qcagents/mockserver"
)

// runner is one use of qcmock run. It says nothing while the command runs: stdout and stderr are the command's.
type runner struct {
	runFlags
	opts           []mockserver.Option
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (r *runner) run(ctx context.Context) error {
	log := &bytes.Buffer{} // the mock's own errors, for which there is a time after the command
	logger := slog.NewTextHandler(log, nil)
	exchanges := &record{limit: recordBytes}
	server, err := mockserver.New(append(r.opts, mockserver.WithLogger(slog.New(logger)), mockserver.WithObserver(exchanges.add))...)
	if err != nil {
		return usageError{err}
	}
	command := exec.Command(r.args[0], r.args[1:]...)
	if command.Err != nil {
		return r.notStarted(command.Err)
	}
	if r.report != "" {
		// A directory that cannot be made is better known before a long run than after it.
		if err := os.MkdirAll(r.report, 0o755); err != nil {
			return fmt.Errorf("make the report's directory: %w", err)
		}
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	silent := silentConns{}
	httpServer := &http.Server{
		Handler: server, ReadHeaderTimeout: 10 * time.Second, ConnState: silent.note, ErrorLog: slog.NewLogLogger(logger, slog.LevelWarn),
	}
	go func() { _ = httpServer.Serve(listener) }()
	stopServing := func(in *interception) {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if in != nil {
			in.stop(drain)
		}
		silent.close()
		if httpServer.Shutdown(drain) != nil {
			_ = httpServer.Close()
		}
	}

	signals, release := catch()
	defer release()
	url := "http://" + listener.Addr().String() + "/api/v2"
	set, cleanUp, err := r.environment(server.Default().Account(), url)
	defer cleanUp()
	if err != nil {
		stopServing(nil)
		return err
	}
	var in *interception
	if r.intercept {
		var more map[string]string
		if in, more, err = startIntercepting(server, listener.Addr().String(), r.allowed, os.Environ(), logger); err != nil {
			stopServing(nil)
			return err
		}
		maps.Copy(set, more)
	} else {
		bypassProxies(os.Environ(), set)
	}
	command.Env = withEnvironment(os.Environ(), set)
	command.Stdin, command.Stdout, command.Stderr = r.stdin, r.stdout, r.stderr
	ended, err := supervise(ctx, command, signals, r.grace)
	stopServing(in)
	if err != nil && command.Process == nil {
		return r.notStarted(err)
	}
	if err != nil {
		return err
	}
	_, _ = io.Copy(r.stderr, log)
	return r.conclude(exchanges, ended, url, in)
}

// notStarted says why there was nothing to run, with the exit code that a shell would give.
func (r *runner) notStarted(err error) error {
	code, why := codeError(exitNotExecutable), err.Error()
	if wrapped := errors.Unwrap(err); wrapped != nil {
		why = wrapped.Error() // without the name, which is said once
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	fmt.Fprintf(r.stderr, "qcmock run: cannot run %s: %s (exit code %d)\n", r.args[0], why, int(code))
	return code
}

// environment is what the command's says beyond qcmock's own. The function that comes with it takes away what was made for
// it.
func (r *runner) environment(account mockserver.Account, url string) (set map[string]string, cleanUp func(), err error) {
	set = map[string]string{
		"QUANTCONNECT_USER_ID":         strconv.Itoa(account.UserID),
		"QUANTCONNECT_API_TOKEN":       account.Token,
		"QUANTCONNECT_ORGANIZATION_ID": firstOrganization(account),
		"QUANTCONNECT_API_BASE_URL":    url,
	}
	cleanUp = func() {}
	if r.leanHome {
		home, err := os.MkdirTemp("", "qcmock-home-")
		if err != nil {
			return nil, cleanUp, fmt.Errorf("make a home directory: %w", err)
		}
		cleanUp = func() { _ = os.RemoveAll(home) }
		if err := writeLeanCredentials(home, account); err != nil {
			return nil, cleanUp, err
		}
		set[homeVariable()] = home
	}
	return set, cleanUp, nil
}

func homeVariable() string {
	if runtime.GOOS == "windows" {
		return "USERPROFILE"
	}
	return "HOME"
}

// writeLeanCredentials writes what lean-cli keeps after lean login, and the organization, which QuantConnect's scripts
// read there too.
func writeLeanCredentials(home string, account mockserver.Account) error {
	text, err := json.MarshalIndent(map[string]string{
		"user-id":         strconv.Itoa(account.UserID),
		"api-token":       account.Token,
		"organization-id": firstOrganization(account),
	}, "", "    ")
	if err == nil {
		err = os.Mkdir(filepath.Join(home, ".lean"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(home, ".lean", "credentials"), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the credentials of lean-cli: %w", err)
	}
	return nil
}

// bypassProxies keeps a proxy that the command inherits from being asked for an address of this machine.
func bypassProxies(env []string, set map[string]string) {
	if !slices.ContainsFunc(env, func(entry string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return name == "HTTP_PROXY" || name == "ALL_PROXY"
	}) {
		return
	}
	none := cmp.Or(lookUp(env, "no_proxy"), lookUp(env, "NO_PROXY"))
	if none == "*" {
		return
	}
	if none != "" {
		none += ","
	}
	set["no_proxy"] = none + "127.0.0.1"
	set["NO_PROXY"] = set["no_proxy"]
}

func lookUp(env []string, name string) (value string) {
	for _, entry := range env {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			value = v
		}
	}
	return value
}

// withEnvironment gives env with some variables set; those whose value is empty are taken away.
func withEnvironment(env []string, set map[string]string) []string {
	fold := func(name string) string {
		if runtime.GOOS == "windows" {
			return strings.ToUpper(name)
		}
		return name
	}
	changed := map[string]bool{}
	for name := range set {
		changed[fold(name)] = true
	}
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return changed[fold(name)]
	})
	for name, value := range set {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// conclude says how it went, writes the reports and decides on the exit code.
func (r *runner) conclude(exchanges *record, ended ending, url string, in *interception) error {
	entries, forgotten := exchanges.all()
	asked := r.judged.options()
	asked.Consumer = cmp.Or(asked.Consumer, filepath.Base(r.args[0]))
	report, err := mockserver.NewReport(entries, asked)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	fmt.Fprintln(r.stderr)
	if err := report.WriteText(r.stderr, colored(r.stderr, r.getenv)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if forgotten > 0 {
		fmt.Fprintf(r.stderr, "\nThere were %d more exchanges than can be remembered; what they covered is not counted.\n", forgotten)
	}
	if report.Exchanges == 0 {
		fmt.Fprint(r.stderr, "\nThe command sent NO request to the mock, so this run proves nothing.\n")
		if in == nil {
			fmt.Fprintf(r.stderr, "Have the program take its base URL from QUANTCONNECT_API_BASE_URL, which was %s, or use\n"+
				"qcmock run --intercept if its URL is hard-coded.\n", url)
		} else {
			fmt.Fprint(r.stderr, "If the program sent some, its runtime does not heed HTTPS_PROXY: have it take its base URL from\n"+
				"QUANTCONNECT_API_BASE_URL, and do without --intercept.\n")
		}
	}
	if in != nil {
		in.tell(r.stderr)
	}
	var unwritten error
	if r.report != "" {
		unwritten = writeReports(r.report, report, entries)
	}

	code, why := codeError(exitOK), ""
	switch {
	case ended.signal != "":
		code, why = codeError(ended.code), fmt.Sprintf("a signal ended the command: %s", ended.signal)
	case ended.code != 0:
		code, why = codeError(ended.code), "it is the command's own"
	case unwritten != nil:
		code, why = exitFailed, "the report could not be written"
	case report.Broken():
		code, why = exitBroken, "the command succeeded, but broke the contract"
	case len(report.Shortfalls) > 0:
		code, why = exitShort, "the command succeeded, but covered less than was asked for"
	}
	if unwritten != nil {
		fmt.Fprintf(r.stderr, "qcmock run: %v\n", unwritten)
	}
	if code == exitOK {
		return nil
	}
	fmt.Fprintf(r.stderr, "qcmock run: exit code %d: %s.\n", int(code), why)
	return code
}

// writeReports writes every format, and the journal that they are made from.
func writeReports(dir string, report mockserver.Report, entries []mockserver.Entry) error {
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"report.txt", func(w io.Writer) error { return report.WriteText(w, false) }},
		{"report.json", report.WriteJSON},
		{"report.md", report.WriteMarkdown},
		{"junit.xml", report.WriteJUnit},
		{"journal.json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(entries)
		}},
	} {
		var text bytes.Buffer
		if err := file.write(&text); err != nil {
			return fmt.Errorf("write the report: %s: %w", file.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, file.name), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}
