package lifecycle_test

import (
	"math"
	"testing"
	"time"

	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
)

// noon is the base time at which everything begins here.
var noon = time.Date(2026, time.November, 3, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

func TestAClockGoesAtItsSpeed(t *testing.T) {
	for _, c := range []struct {
		speed  float64
		passed time.Duration
		want   time.Duration
	}{
		{1, 90 * time.Second, 90 * time.Second},
		{1, time.Nanosecond, time.Nanosecond},
		{0, time.Hour, 0},
		{60, time.Second, time.Minute},
		{0.5, time.Minute, 30 * time.Second},
		{1e6, time.Millisecond, 1000 * time.Second},
		{1, 0, 0},
		{7, -time.Hour, 0},
	} {
		if got := lifecycle.NewClock(noon, c.speed).Now(after(c.passed)); !got.Equal(after(c.want)) {
			t.Errorf("at speed %v, %s show as %s, want %s", c.speed, c.passed, got.Sub(noon), c.want)
		}
	}
}

func TestAClockMayBeginAtAnotherTime(t *testing.T) {
	start := noon.AddDate(-10, 0, 0)
	if got := lifecycle.NewClockAt(noon, start, 2).Now(after(time.Minute)); !got.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("got %s", got)
	}
}

func TestAFrozenClockStandsStillAndCanBeAdvanced(t *testing.T) {
	frozen := lifecycle.NewClock(noon, 1).WithSpeed(after(time.Second), 0)
	for _, d := range []time.Duration{time.Second, time.Minute, 1000 * time.Hour} {
		if got := frozen.Now(after(d)); !got.Equal(after(time.Second)) {
			t.Errorf("after %s it shows %s", d, got.Sub(noon))
		}
	}
	frozen = frozen.Advance(after(time.Hour), 5*time.Second)
	if got := frozen.Now(after(2 * time.Hour)); !got.Equal(after(6 * time.Second)) {
		t.Errorf("advanced, it shows %s", got.Sub(noon))
	}
	if frozen.Speed() != 0 {
		t.Errorf("advancing set the speed to %v", frozen.Speed())
	}
	thawed := frozen.WithSpeed(after(3*time.Hour), 10)
	if got := thawed.Now(after(3*time.Hour + time.Second)); !got.Equal(after(16 * time.Second)) {
		t.Errorf("thawed, it shows %s", got.Sub(noon))
	}
}

func TestAdvancingARunningClockAddsToWhatPasses(t *testing.T) {
	c := lifecycle.NewClock(noon, 2).Advance(after(time.Second), time.Minute)
	if got := c.Now(after(2 * time.Second)); !got.Equal(after(64 * time.Second)) {
		t.Errorf("it shows %s", got.Sub(noon))
	}
}

func TestAClockIsNeverSetBack(t *testing.T) {
	c := lifecycle.NewClock(noon, 1)
	for _, back := range []lifecycle.Clock{
		c.Advance(after(time.Minute), -time.Hour),
		c.Advance(after(time.Minute), math.MinInt64),
		c.At(after(time.Minute), noon),
		c.At(after(time.Minute), time.Time{}),
		c.WithSpeed(after(time.Minute), 5),
	} {
		// Nor does it show less when the base goes back to before it was changed.
		for _, base := range []time.Time{after(time.Minute), noon, noon.AddDate(-1, 0, 0)} {
			if got := back.Now(base); !got.Equal(after(time.Minute)) {
				t.Errorf("at base %s it shows %s", base.Sub(noon), got.Sub(noon))
			}
		}
	}
}

func TestAtShowsATimeToCome(t *testing.T) {
	for _, speed := range []float64{0, 1, 60} {
		c := lifecycle.NewClock(noon, speed).At(noon, after(time.Hour))
		if got := c.Now(noon); !got.Equal(after(time.Hour)) {
			t.Errorf("at speed %v it shows %s", speed, got.Sub(noon))
		}
	}
}

// However far a test advances, time comes later and not earlier.
func TestAClockDoesNotOverflow(t *testing.T) {
	c := lifecycle.NewClock(noon, 1e6)
	for range 100 {
		before := c.Now(noon)
		c = c.Advance(noon, math.MaxInt64)
		if got := c.Now(noon); !got.After(before) {
			t.Fatalf("%s comes after %s", got, before)
		}
	}
	fast := lifecycle.NewClock(noon, 1e6)
	for _, passed := range []time.Duration{time.Hour, 10000 * time.Hour, math.MaxInt64} {
		if got := fast.Now(after(passed)); !got.After(noon) {
			t.Errorf("after %s it shows %s", passed, got)
		}
	}
	if got := lifecycle.NewClock(time.Time{}, 1).Now(noon); !got.After(time.Time{}) {
		t.Errorf("it shows %s", got)
	}
}

func TestASteppedClockGoesByStepsAlone(t *testing.T) {
	c := lifecycle.NewSteppedClock(noon, 1)
	if got := c.Now(after(1000 * time.Hour)); !got.Equal(noon) {
		t.Errorf("base time moved it to %s", got)
	}
	for range 3 {
		c = c.Step()
	}
	if got := c.Now(noon); !got.Equal(after(3 * lifecycle.StepTime)) {
		t.Errorf("three steps moved it by %s", got.Sub(noon))
	}
	c = c.Advance(noon, time.Minute).WithSpeed(noon, 4).Step()
	if got := c.Now(noon); !got.Equal(after(7*lifecycle.StepTime + time.Minute)) {
		t.Errorf("it shows %s", got.Sub(noon))
	}
	if got := c.WithSpeed(noon, 0).Step().Now(noon); !got.Equal(c.Now(noon)) {
		t.Errorf("frozen, a step moved it to %s", got)
	}
	if got := lifecycle.NewClock(noon, 1).Step().Now(noon); !got.Equal(noon) {
		t.Errorf("a step moved a clock that goes by base time to %s", got)
	}
}

func TestAResumedClockGoesOnFromWhereItWas(t *testing.T) {
	kept := lifecycle.NewClock(noon, 2).WithSpeed(after(time.Minute), 2) // as a snapshot keeps it
	resumed := kept.Resumed(after(time.Hour))
	if got := resumed.Now(after(time.Hour)); !got.Equal(after(2 * time.Minute)) {
		t.Errorf("it shows %s", got.Sub(noon))
	}
	if got := resumed.Now(after(time.Hour + time.Second)); !got.Equal(after(2*time.Minute + 2*time.Second)) {
		t.Errorf("a second later it shows %s", got.Sub(noon))
	}
}
