package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These act on a terminal, whose master is read by the test.
var _ = add(map[string]func(args []string) int{
	// shell runs qcmock as a job of its own, as an interactive shell does, and continues it when it is stopped.
	"shell": func(args []string) int {
		signal.Ignore(unix.SIGTTOU)
		job := exec.Command(os.Args[0], append([]string{"qcmock", "run", "--", "env", asCommand + "=1", os.Args[0]}, args...)...)
		job.Stdin, job.Stdout, job.Stderr = os.Stdin, os.Stdout, os.Stderr
		job.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: 0}
		if err := job.Start(); err != nil {
			panic(err)
		}
		for {
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(job.Process.Pid, &status, unix.WUNTRACED, nil); errors.Is(err, unix.EINTR) {
				continue
			} else if err != nil {
				panic(err)
			}
			front, _ := unix.IoctlGetInt(0, unix.TIOCGPGRP)
			if !status.Stopped() {
				fmt.Println("shell: ended with", status.ExitStatus(), "in the foreground:", front == job.Process.Pid)
				return 0
			}
			fmt.Println("shell: stopped")
			_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, job.Process.Pid)
			_ = unix.Kill(-job.Process.Pid, unix.SIGCONT)
		}
	},
	// converse says whether it has the terminal, then each line that it reads and each interrupt that it gets, until exit.
	"converse": func([]string) int {
		interrupts := make(chan os.Signal, 8)
		signal.Notify(interrupts, unix.SIGINT)
		lines := make(chan string)
		go func() {
			scanner := bufio.NewScanner(os.Stdin)
			for scanner.Scan() {
				lines <- scanner.Text()
			}
		}()
		front, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		fmt.Println("foreground:", err == nil && front == unix.Getpgrp())
		for {
			select {
			case <-interrupts:
				fmt.Println("interrupted")
			case line := <-lines:
				if line == "exit" {
					return 5
				}
				fmt.Println("read", line)
			}
		}
	},
})

// terminal opens a pair of a terminal and its master.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals to be had: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestRunOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name    string
		command []string
		steps   []string // what is typed, and what then has to come
	}{
		{"by a shell", []string{"shell", "converse"}, []string{
			"", "foreground: true",
			"hello\n", "read hello",
			"\x03", "interrupted",
			"again\n", "read again",
			"\x1a", "shell: stopped",
			"back\n", "read back",
			"exit\n", "exit code 5", "", "shell: ended with 5 in the foreground: true",
		}},
		{"without a shell, as in a container", []string{"qcmock", "run", "--", "env", asCommand + "=1", os.Args[0], "converse"}, []string{
			"", "foreground: true",
			"\x03", "interrupted",
			"\x1a", "^Z", // nobody could continue it, so it goes on
			"back\n", "read back",
			"exit\n", "exit code 5",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			master, slave := terminal(t)
			session := exec.Command(os.Args[0], test.command...)
			session.Env = append(os.Environ(), asCommand+"=1")
			session.Stdin, session.Stdout, session.Stderr = slave, slave, slave
			session.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := session.Start(); err != nil {
				t.Fatal(err)
			}
			slave.Close()
			// Whatever goes wrong, the test ends.
			late := time.AfterFunc(time.Minute, func() { _ = session.Process.Kill() })
			defer late.Stop()
			out := bufio.NewReader(master)
			var seen strings.Builder
			for i := 0; i < len(test.steps); i += 2 {
				if _, err := master.WriteString(test.steps[i]); err != nil {
					t.Fatal(err)
				}
				since := seen.Len()
				for !strings.Contains(seen.String()[since:], test.steps[i+1]) {
					b, err := out.ReadByte()
					if err != nil {
						t.Fatalf("%v before %q; the terminal has\n%s", err, test.steps[i+1], seen.String())
					}
					seen.WriteByte(b)
				}
			}
			if err := session.Wait(); err != nil && session.ProcessState.ExitCode() != 5 {
				t.Error(err)
			}
			rest, _ := io.ReadAll(out) // ends in an error once the terminal is closed
			seen.Write(rest)
			if n := strings.Count(seen.String(), "interrupted"); n != 1 {
				t.Errorf("the command was interrupted %d times; the terminal has\n%s", n, seen.String())
			}
		})
	}
}
