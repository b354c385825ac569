package client

import "time"

// systemClock is the only place where this package asks the machine for the time. Everything else is handed a clock, so
// that a signature can be checked against known answers.
func systemClock() time.Time { return time.Now() }
