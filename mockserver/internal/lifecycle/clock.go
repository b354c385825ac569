package lifecycle

import (
	"math"
	"time"
)

// Clock is a time that can be frozen, advanced, and run fast or slow. It is a value and derives its time from the base
// time that each method is handed, so it never asks what time it is.
type Clock struct {
	base  time.Time // when the clock was last changed, in base time
	at    time.Time // what it showed then
	speed float64   // seconds per second of base time, or per step; 0 is frozen
	// stepped is true when the clock goes by steps and not by base time.
	stepped bool
}

// NewClock shows base time, and from then on goes at speed.
func NewClock(base time.Time, speed float64) Clock { return NewClockAt(base, base, speed) }

// NewClockAt shows start at a base time, and from then on goes at speed.
func NewClockAt(base, start time.Time, speed float64) Clock {
	return Clock{base: base, at: start, speed: speed}
}

// StepTime is how far a stepped clock of speed 1 goes at a step: half the default time in the queue, so that a consumer
// that polls sees every status.
const StepTime = 500 * time.Millisecond

// NewSteppedClock shows start, and goes on by speed times [StepTime] at each [Clock.Step], however much base time passes: what it
// shows depends on the steps alone.
func NewSteppedClock(start time.Time, speed float64) Clock {
	return Clock{at: start, speed: speed, stepped: true}
}

// Step moves a stepped clock on. Other clocks stay as they are.
func (c Clock) Step() Clock {
	if c.stepped {
		c.at = c.at.Add(time.Duration(c.speed * float64(StepTime)))
	}
	return c
}

// Now is what the clock shows at a base time. It never goes back, even if the base time does.
func (c Clock) Now(base time.Time) time.Time {
	passed := base.Sub(c.base)
	if passed <= 0 || c.speed == 0 || c.stepped {
		return c.at
	}
	if c.speed == 1 {
		return c.at.Add(passed)
	}
	return c.at.Add(time.Duration(min(float64(passed)*c.speed, math.MaxInt64/2)))
}

// WithSpeed goes on from what the clock shows at speed seconds a second. A speed of 0 freezes it.
func (c Clock) WithSpeed(base time.Time, speed float64) Clock {
	return Clock{base: base, at: c.Now(base), speed: speed, stepped: c.stepped}
}

// Speed is how many seconds the clock shows per second of base time; 0 when frozen.
func (c Clock) Speed() float64 { return c.speed }

// Advance moves the clock on by d. A negative d changes nothing: what has been seen cannot be unseen.
func (c Clock) Advance(base time.Time, d time.Duration) Clock {
	return Clock{base: base, at: c.Now(base).Add(max(d, 0)), speed: c.speed, stepped: c.stepped}
}

// At makes the clock show t, frozen or not, unless that is in its past.
func (c Clock) At(base, t time.Time) Clock {
	return c.Advance(base, t.Sub(c.Now(base)))
}

// Resumed shows what the clock showed when it was last changed, and goes on from there.
func (c Clock) Resumed(base time.Time) Clock {
	c.base = base
	return c
}
