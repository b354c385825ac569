package main

import "time"

// systemClock is the time that certificates are made for.
func systemClock() time.Time { return time.Now() }
