//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that a command hears when qcmock is sent them.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// supervise runs a command in a process group of its own until it has ended, and then ends what it left behind in that
// group. SIGTERM, SIGHUP and the end of ctx mean that it is to end: what is still there after grace is killed.
//
// On a terminal the command's group becomes the one in the foreground. So the command can read from the terminal, and
// Ctrl-C reaches the command alone, once, instead of qcmock as well, which would send it on.
func supervise(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal, grace time.Duration) (ending, error) {
	tty := foregroundTerminal(cmd.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: tty >= 0, Ctty: max(tty, 0)}
	// Only streams that are no files are copied here, and only they could be waited for in vain.
	cmd.WaitDelay = time.Second
	adoptOrphans()
	err := cmd.Start()
	if tty >= 0 {
		defer takeForeground(tty, unix.Getpgrp()) // a command that could not be executed has it too
	}
	if err != nil {
		return ending{}, err
	}
	group := cmd.Process.Pid
	var status syscall.WaitStatus
	ended := make(chan error, 1)
	go func() { ended <- await(group, tty, &status) }()

	var kill <-chan time.Time
	send := func(s syscall.Signal) {
		signalGroup(group, s)
		if kill == nil && (s == unix.SIGTERM || s == unix.SIGHUP) {
			kill = time.After(grace)
		}
	}
	for running, done := true, ctx.Done(); running; {
		select {
		case err = <-ended:
			running = false
		case s := <-signals:
			send(s.(syscall.Signal))
		case <-done:
			done = nil
			send(unix.SIGTERM)
		case <-kill:
			signalGroup(group, unix.SIGKILL)
		}
	}
	endStragglers(group, signals, grace)
	// The process has been waited for above; this ends the copying of streams.
	_ = cmd.Process.Release()
	_ = cmd.Wait()
	if err != nil {
		return ending{}, fmt.Errorf("wait for the command: %w", err)
	}
	if status.Signaled() {
		s := status.Signal()
		return ending{exitSignal + int(s), fmt.Sprintf("%s (%d)", unix.SignalName(s), int(s))}, nil
	}
	return ending{code: status.ExitStatus()}, nil
}

// signalGroup sends a signal to every process of a group. One that is stopped has to go on to hear it.
func signalGroup(group int, s syscall.Signal) {
	_ = unix.Kill(-group, s)
	if s != unix.SIGKILL {
		_ = unix.Kill(-group, unix.SIGCONT)
	}
}

// await waits for the end of a process. On a terminal, qcmock stops and goes on with it, so that the shell sees one job.
func await(pid, tty int, status *syscall.WaitStatus) error {
	options := 0
	if tty >= 0 {
		options = unix.WUNTRACED
	}
	for {
		switch _, err := syscall.Wait4(pid, status, options, nil); {
		case err == unix.EINTR: //nolint:errorlint // an errno is compared, not wrapped
		case err != nil:
			return err
		case status.Stopped():
			suspend(pid, tty)
		default:
			return nil
		}
	}
}

// suspend stops qcmock, and everything else in its job, because the command has been stopped; it returns when the shell
// has continued both.
func suspend(group, tty int) {
	if !shellWatches() {
		_ = unix.Kill(-group, unix.SIGCONT) // nobody could continue it
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	takeForeground(tty, unix.Getpgrp())
	_ = unix.Kill(0, unix.SIGTSTP)
	<-continued
	if front, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP); err == nil && front == unix.Getpgrp() {
		takeForeground(tty, group)
	}
	_ = unix.Kill(-group, unix.SIGCONT)
}

// shellWatches is false when qcmock was not started by a program of its own session: nobody there could continue it, and
// so the kernel would not let the terminal stop it.
func shellWatches() bool {
	own, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	parent, err := unix.Getsid(unix.Getppid())
	return err == nil && own == parent
}

// foregroundTerminal is the descriptor of the terminal that stdin is, if qcmock is in its foreground, or -1.
func foregroundTerminal(stdin any) int {
	file, ok := stdin.(*os.File)
	if !ok {
		return -1
	}
	fd := -1
	raw, err := file.SyscallConn()
	if err != nil {
		return -1
	}
	_ = raw.Control(func(descriptor uintptr) {
		if front, err := unix.IoctlGetInt(int(descriptor), unix.TIOCGPGRP); err == nil && front == unix.Getpgrp() {
			fd = int(descriptor)
		}
	})
	return fd
}

// takeForeground puts a group into the foreground of a terminal. The terminal stops those that do so from the background,
// unless they ignore it.
func takeForeground(tty, group int) {
	signal.Ignore(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, group)
	signal.Reset(unix.SIGTTOU)
}

// endStragglers ends what is left of a group whose leader has ended.
func endStragglers(group int, signals <-chan os.Signal, grace time.Duration) {
	if gone(group) {
		return
	}
	signalGroup(group, unix.SIGTERM)
	kill := time.After(grace)
	// A process that is no child of ours cannot be waited for, only looked after.
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for killed := (<-chan time.Time)(nil); !gone(group); {
		select {
		case <-look.C:
			continue
		case <-kill:
		case <-signals:
		case <-killed:
			return // it is in a system call that nothing ends
		}
		signalGroup(group, unix.SIGKILL)
		kill, killed = nil, time.After(time.Second)
	}
}

// gone reports whether nothing is left of a group.
func gone(group int) bool {
	for {
		// Those that were adopted stay in the group until they are waited for.
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(-group, &status, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR { //nolint:errorlint // an errno is compared, not wrapped
			break
		}
	}
	return unix.Kill(-group, 0) != nil
}
