package mockserver

import "time"

// systemClock is the base clock unless [WithClock] says otherwise: the only place of the mock that asks what time it is.
func systemClock() time.Time { return time.Now() }
