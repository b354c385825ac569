// Package lifecycle says where a deployment stands at a given time. A [Plan] tells which statuses a deployment passes
// through and what leads from one to the next; a [Run] is a plan under way. Both are values: asking where a run stands
// changes nothing, and no goroutine or timer is behind it.
//
// The package is arithmetic on times and counts. It does not know what a deployment is, who asks, or what time it is.
//
// Apart from the status names, everything here is inferred: QuantConnect documents that deployments run, complete and
// fail, and not how they get there.
package lifecycle

import (
	"slices"
	"strings"
	"time"
)

// Statuses that the built-in plans use. InQueue, Completed, Stopped and Failed are observed in QuantConnect's own
// programs; Running is documented in words; RuntimeError is the platform's name for a documented outcome.
const (
	InQueue      = "InQueue"
	Running      = "Running"
	Completed    = "Completed"
	Stopped      = "Stopped"
	Failed       = "Failed"
	RuntimeError = "RuntimeError"
)

// Terminal reports whether a status ends a run. Case does not matter, since programs have been seen to compare both ways.
func Terminal(status string) bool {
	switch strings.ToLower(status) {
	case "completed", "stopped", "failed", "runtimeerror", "deployerror":
		return true
	}
	return false
}

func working(status string) bool { return strings.EqualFold(status, Running) }

// Trigger is what leads to a step. The zero Trigger is [Immediately].
type Trigger struct {
	kind  triggerKind
	after time.Duration
	reads int
}

type triggerKind uint8

const (
	immediately triggerKind = iota
	afterTime
	afterReads
	onSettle
)

// Immediately enters a step together with the one before it.
func Immediately() Trigger { return Trigger{} }

// AfterTime enters a step once d has passed since the one before it was entered.
func AfterTime(d time.Duration) Trigger { return Trigger{kind: afterTime, after: d} }

// AfterReads enters a step at the nth read of the run since the step before it was entered, so that this read is the
// first to see it.
func AfterReads(n int) Trigger { return Trigger{kind: afterReads, reads: n} }

// OnSettle enters a step only when the run is told to settle.
func OnSettle() Trigger { return Trigger{kind: onSettle} }

// Step is a status and what leads to it.
type Step struct {
	Status  string
	Trigger Trigger
}

// Plan is the statuses that a run passes through, in order.
type Plan []Step

// WorkTime is how long the plan has the run at work, as far as time alone decides; 0 when it does not.
func (p Plan) WorkTime() time.Duration {
	var d time.Duration
	for i := 1; i < len(p); i++ {
		if working(p[i-1].Status) && p[i].Trigger.kind == afterTime {
			d += p[i].Trigger.after
		}
	}
	return d
}

// Entry is a step that was entered.
type Entry struct {
	Status string
	At     time.Time
	// Turn is the prompt that was being worked on, counted from 0.
	Turn int
	// Commanded is true when the step was not planned: the run was stopped.
	Commanded bool
}

type pendingStep struct {
	Step
	turn int
}

// Run is a plan under way. Its methods return changed copies; a Run may be shared and kept.
type Run struct {
	entered []Entry
	pending []pendingStep
	since   time.Time // what the next step's trigger counts from
	reads   int       // reads since then
	turns   int
	dropped []int // turns that it never takes up
	held    bool  // waits for room, whatever time it is
}

// Start begins a plan. A plan that is empty, or whose first step is not immediate, is in queue until its first step.
func Start(plan Plan, now time.Time) Run {
	r := Run{since: now, turns: 1}
	if len(plan) == 0 || plan[0].Trigger != Immediately() {
		r.entered = []Entry{{Status: InQueue, At: now}}
	}
	for _, step := range plan {
		r.pending = append(r.pending, pendingStep{Step: step})
	}
	return r.At(now)
}

// StartHeld begins a plan that has to wait for room: it is in queue until [Run.Release].
func StartHeld(plan Plan, now time.Time) Run {
	if len(plan) > 0 && plan[0] == (Step{Status: InQueue}) {
		plan = plan[1:]
	}
	r := Start(nil, now)
	for _, step := range plan {
		r.pending = append(r.pending, pendingStep{Step: step})
	}
	r.held = true
	return r
}

// Held reports whether the run waits for room.
func (r Run) Held() bool { return r.held }

// Release gives a run that is held the room that it waits for, at a time.
func (r Run) Release(at time.Time) Run {
	if r.held {
		r.held, r.since = false, at
	}
	return r
}

// At is the run as time alone has brought it to now.
func (r Run) At(now time.Time) Run {
	for len(r.pending) > 0 && !r.held {
		next := r.pending[0]
		at := r.since
		switch next.Trigger.kind {
		case immediately:
		case afterTime:
			at = at.Add(next.Trigger.after)
			if at.After(now) {
				return r
			}
		case afterReads:
			if r.reads < next.Trigger.reads {
				return r
			}
			at = now
		case onSettle:
			return r
		}
		r = r.enter(next, at)
	}
	return r
}

func (r Run) enter(step pendingStep, at time.Time) Run {
	r.entered = append(slices.Clip(r.entered), Entry{Status: step.Status, At: at, Turn: step.turn})
	if len(r.pending) > 0 {
		r.pending = r.pending[1:]
	}
	r.since, r.reads = at, 0
	return r
}

// Read is the run after a read at now, which [AfterReads] counts.
func (r Run) Read(now time.Time) Run {
	r = r.At(now)
	if r.CountsReads() {
		r.reads++
	}
	return r.At(now)
}

// CountsReads reports whether a read changes the run, so that it has to be kept.
func (r Run) CountsReads() bool {
	return len(r.pending) > 0 && !r.held && r.pending[0].Trigger.kind == afterReads
}

// Settle enters every step that is left, at now.
func (r Run) Settle(now time.Time) Run {
	r = r.Release(now).At(now)
	for len(r.pending) > 0 {
		r = r.enter(r.pending[0], now)
	}
	return r
}

// Next is when time alone will next change the run's status; false if never.
func (r Run) Next() (time.Time, bool) {
	if len(r.pending) > 0 && !r.held && r.pending[0].Trigger.kind == afterTime {
		return r.since.Add(r.pending[0].Trigger.after), true
	}
	return time.Time{}, false
}

// Stop ends the run at now. A run that has ended stays as it is.
func (r Run) Stop(now time.Time) Run {
	r = r.At(now)
	if r.Ended() {
		return r
	}
	for turn := r.turn() + 1; turn < r.turns; turn++ {
		r.dropped = append(slices.Clip(r.dropped), turn)
	}
	r.pending, r.since, r.reads, r.held = nil, now, 0, false
	r.entered = append(slices.Clip(r.entered), Entry{Status: Stopped, At: now, Turn: r.turn(), Commanded: true})
	return r
}

// Prompt gives the run another turn. A run that has ended works again at once. One that is under way takes the turn up
// when it would have completed. One that is bound to fail or to stay where it is never takes it up. The plan is that of
// the turn's work; its first step begins it, unless it is for the queue.
//
// With held, a run that has ended is in queue until [Run.Release].
func (r Run) Prompt(now time.Time, plan Plan, held bool) Run {
	r = r.At(now)
	turn := r.turns
	r.turns++
	if first := slices.IndexFunc(plan, func(s Step) bool { return working(s.Status) || Terminal(s.Status) }); first >= 0 {
		plan = slices.Clone(plan[first:])
		plan[0].Trigger = Immediately()
	}
	var steps []pendingStep
	for _, step := range plan {
		steps = append(steps, pendingStep{Step: step, turn: turn})
	}
	if r.Ended() {
		r.pending, r.since, r.reads = steps, now, 0
		if held {
			r = r.enter(pendingStep{Step: Step{Status: InQueue}, turn: turn}, now)
			r.pending, r.held = steps, true
		}
		return r.At(now)
	}
	end := slices.IndexFunc(r.pending, func(s pendingStep) bool { return Terminal(s.Status) })
	if end < 0 || len(steps) == 0 || !strings.EqualFold(r.pending[end].Status, Completed) {
		r.dropped = append(slices.Clip(r.dropped), turn)
		return r
	}
	steps[0].Trigger = r.pending[end].Trigger
	r.pending = slices.Concat(r.pending[:end], steps)
	return r
}

// Status is the status of the last step entered.
func (r Run) Status() string { return r.entered[len(r.entered)-1].Status }

// Entered is the steps entered so far. The caller must not change it.
func (r Run) Entered() []Entry { return r.entered }

// Ended reports whether the run is over: its status is terminal and no step is left.
func (r Run) Ended() bool { return len(r.pending) == 0 && Terminal(r.Status()) }

func (r Run) turn() int { return r.entered[len(r.entered)-1].Turn }

// Work is how far a turn's work has got.
type Work struct {
	// Begun is false while the turn waits for the run, or is never taken up.
	Begun bool
	// Done is true once the work has ended as planned, however that was.
	Done bool
	// Elapsed is how long the work has been going on, or went on until it was stopped.
	Elapsed time.Duration
}

// Work says how far a turn's work has got at now.
func (r Run) Work(turn int, now time.Time) Work {
	if slices.Contains(r.dropped, turn) {
		return Work{}
	}
	var begun time.Time
	for _, e := range r.At(now).entered {
		switch {
		case e.Turn < turn:
		case e.Turn > turn || Terminal(e.Status) && !e.Commanded:
			if begun.IsZero() {
				begun = e.At
			}
			return Work{Begun: true, Done: true, Elapsed: e.At.Sub(begun)}
		case e.Commanded:
			if begun.IsZero() {
				return Work{}
			}
			return Work{Begun: true, Elapsed: e.At.Sub(begun)}
		case working(e.Status) && begun.IsZero():
			begun = e.At
		}
	}
	if begun.IsZero() {
		return Work{}
	}
	return Work{Begun: true, Elapsed: now.Sub(begun)}
}
