package main

import (
	"os"
	"os/signal"
)

// ending is how a command ended.
type ending struct {
	code int
	// signal names the signal that ended it; empty when none did.
	signal string
}

// catch collects the signals that are the command's to hear, instead of letting them end qcmock. Those that qcmock was
// started to ignore, as under nohup, the command ignores too.
func catch() (caught chan os.Signal, release func()) {
	caught = make(chan os.Signal, 16)
	for _, s := range forwarded {
		if !signal.Ignored(s) {
			signal.Notify(caught, s)
		}
	}
	return caught, func() { signal.Stop(caught) }
}
