//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var _ = add(map[string]func(args []string) int{
	// listen says which signals it gets, and ends at SIGUSR1 or, with the name of a signal, at that one.
	"listen": func(args []string) int {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, append(forwarded, unix.SIGUSR1)...)
		fmt.Println(os.Getpid())
		for s := range signals {
			name := unix.SignalName(s.(syscall.Signal))
			fmt.Println(name)
			if s == unix.SIGUSR1 || len(args) > 0 && args[0] == name {
				break
			}
		}
		return 42
	},
	// ignore does not hear SIGTERM.
	"ignore": func([]string) int {
		signal.Ignore(unix.SIGTERM, unix.SIGHUP)
		fmt.Println(os.Getpid())
		select {}
	},
	// fork leaves a process of the given command behind, and ends once that has said its process id.
	"fork": func(args []string) int {
		in, out, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		child := exec.Command(os.Args[0], args...)
		child.Stdout, child.Stderr = out, os.Stderr
		child.ExtraFiles = []*os.File{os.Stdout}
		if err := child.Start(); err != nil {
			panic(err)
		}
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d %s", unix.Getpgrp(), line)
		return 0
	},
})

func TestRunSignalEndsTheCommand(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV} {
		runProgram(t, nil, "run", "--", "sh", "-c", "kill -"+strconv.Itoa(int(s))+" $$").wants(t, exitSignal+int(s), "a signal ended the command: "+unix.SignalName(s))
	}
}

// runningProgram is a qcmock of its own process, whose command's output can be read line by line.
type runningProgram struct {
	*exec.Cmd
	lines  *bufio.Reader
	stderr *strings.Builder
}

// startProgram has another process be qcmock. Its standard output ends when no process is left that has it.
func startProgram(t *testing.T, flags []string, command ...string) runningProgram {
	t.Helper()
	return startThrough(t, nil, flags, append([]string{"env", asCommand + "=1", os.Args[0]}, command...)...)
}

// startThrough starts qcmock by way of a program that is to execute it, and has it run any command.
func startThrough(t *testing.T, through, flags []string, command ...string) runningProgram {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	_ = in.SetReadDeadline(time.Now().Add(time.Minute)) // an orphan fails the test instead of holding it
	args := slices.Concat(through, []string{os.Args[0], "qcmock", "run"}, flags, []string{"--"}, command)
	p := runningProgram{exec.Command(args[0], args[1:]...), bufio.NewReader(in), &strings.Builder{}}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stdout, p.Stderr = out, p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

func (p runningProgram) line(t *testing.T) string {
	t.Helper()
	line, err := p.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%v after %q; stderr:\n%s", err, line, p.stderr)
	}
	return strings.TrimSpace(line)
}

func (p runningProgram) pid(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// wants waits for the end, at which no process may have the output any more.
func (p runningProgram) wants(t *testing.T, code int, output string) {
	t.Helper()
	rest, err := io.ReadAll(p.lines)
	if err != nil || string(rest) != output {
		t.Errorf("the output ended with %q, want %q: %v", rest, output, err)
	}
	_ = p.Wait()
	if got := p.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", got, code, p.stderr)
	}
}

func TestRunForwardsSignals(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "listen")
	pid := p.pid(t)
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGINT, unix.SIGHUP, unix.SIGTERM} {
		if err := p.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if got := p.line(t); got != unix.SignalName(s) {
			t.Errorf("the command heard %s, want %s", got, s)
		}
	}
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.wants(t, 42, "SIGUSR1\n")
}

func TestRunKillsWhatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	p := startProgram(t, []string{"--grace", "10ms"}, "ignore")
	pid := p.pid(t)
	if err := p.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wants(t, exitSignal+int(unix.SIGKILL), "")
	wantGone(t, pid)
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Setenv(asCommand, "1")
	for command, code := range map[string]int{"listen": 42, "ignore": exitSignal + int(unix.SIGKILL)} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			args := []string{"run", "--grace", "1s", "--", os.Args[0], command, "SIGTERM"}
			if command == "ignore" {
				args[2] = "1ms"
			}
			ended <- Run(ctx, args, nil, out, io.Discard, os.Getenv)
			out.Close()
		}()
		lines := bufio.NewReader(in)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := <-ended; got != code {
			t.Errorf("%s: exit code %d, want %d", command, got, code)
		}
		if _, err := io.ReadAll(lines); err != nil {
			t.Error(err)
		}
		in.Close()
	}
}

func TestRunEndsWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ grace, command string }{
		{"1m", "listen SIGTERM"},       // it has the time to end by itself
		{"10ms", "ignore"},             // it has to be killed
		{"1m", "fork listen SIGTERM"},  // an orphan's orphan
		{"10ms", "fork ignore nobody"}, // which ignores it
	} {
		t.Run(test.command, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, []string{"--grace", test.grace}, append([]string{"fork"}, strings.Fields(test.command)...)...)
			fields := strings.Fields(p.line(t))
			p.wants(t, exitOK, "")
			for _, field := range fields {
				pid, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				wantGone(t, pid)
				wantGone(t, -pid)
			}
		})
	}
}

func wantGone(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestRunLeavesIgnoredSignalsAlone(t *testing.T) {
	t.Parallel()
	// As under nohup. What is ignored stays ignored in the programs that a program executes.
	script := `trap "" HUP; exec "$@"`
	p := startThrough(t, []string{"sh", "-c", script, "sh"}, nil, "sh", "-c", "echo $$; kill -HUP $PPID; kill -HUP $$; echo alive")
	p.pid(t)
	p.wants(t, exitOK, "alive\n")
}
