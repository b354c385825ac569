//go:build !unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"
)

// forwarded are the signals that qcmock leaves to the command. A console sends Ctrl-C to both of them.
var forwarded = []os.Signal{os.Interrupt}

// supervise runs a command until it has ended. Without process groups, what it leaves behind lives on, and there is no
// gentle way to have it end: the end of ctx kills it.
func supervise(ctx context.Context, cmd *exec.Cmd, _ <-chan os.Signal, _ time.Duration) (ending, error) {
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return ending{}, err
	}
	release := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer release()
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return ending{}, err
	}
	return ending{code: cmd.ProcessState.ExitCode()}, nil
}
