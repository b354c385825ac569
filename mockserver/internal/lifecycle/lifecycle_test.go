package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
)

// usual is a second in the queue and two at work.
func usual() lifecycle.Plan { return ending(lifecycle.Completed) }

func ending(status string) lifecycle.Plan {
	return lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterTime(time.Second)},
		{Status: status, Trigger: lifecycle.AfterTime(2 * time.Second)},
	}
}

func seconds(n float64) time.Time { return after(time.Duration(n * float64(time.Second))) }

// statuses are the steps entered, with the seconds at which they were.
func statuses(r lifecycle.Run) string {
	var texts []string
	for _, e := range r.Entered() {
		text := fmt.Sprintf("%s@%v", e.Status, e.At.Sub(noon).Seconds())
		if e.Turn > 0 {
			text += fmt.Sprintf("#%d", e.Turn)
		}
		if e.Commanded {
			text += "!"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

func wantStatuses(t *testing.T, r lifecycle.Run, want string) {
	t.Helper()
	if got := statuses(r); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimeAloneBringsARunToItsEnd(t *testing.T) {
	r := lifecycle.Start(usual(), noon)
	for _, c := range []struct {
		at   float64
		want string
	}{
		{0, "InQueue@0"},
		{0.999, "InQueue@0"},
		{1, "InQueue@0 Running@1"},
		{2.999, "InQueue@0 Running@1"},
		{3, "InQueue@0 Running@1 Completed@3"},
		{3600, "InQueue@0 Running@1 Completed@3"},
	} {
		wantStatuses(t, r.At(seconds(c.at)), c.want)
	}
	wantStatuses(t, r, "InQueue@0")
}

func TestAPlanThatDoesNotBeginAtOnceBeginsInTheQueue(t *testing.T) {
	wantStatuses(t, lifecycle.Start(nil, noon), "InQueue@0")
	wantStatuses(t, lifecycle.Start(lifecycle.Plan{{Status: lifecycle.Running, Trigger: lifecycle.AfterReads(1)}}, noon), "InQueue@0")
	wantStatuses(t, lifecycle.Start(lifecycle.Plan{{Status: lifecycle.Running, Trigger: lifecycle.AfterTime(time.Second)}}, noon).At(seconds(1)), "InQueue@0 Running@1")
	if lifecycle.Start(nil, noon).Ended() {
		t.Error("a run without a plan has ended")
	}
}

func TestStepsThatFollowImmediatelyAreEnteredTogether(t *testing.T) {
	plan := lifecycle.Plan{
		{Status: lifecycle.InQueue}, {Status: lifecycle.Running},
		{Status: lifecycle.Failed, Trigger: lifecycle.AfterTime(time.Second)}, {Status: lifecycle.RuntimeError, Trigger: lifecycle.Immediately()},
	}
	wantStatuses(t, lifecycle.Start(plan, noon), "InQueue@0 Running@0")
	wantStatuses(t, lifecycle.Start(plan, noon).At(seconds(5)), "InQueue@0 Running@0 Failed@1 RuntimeError@1")
}

// The read that a step waits for is the first to see it.
func TestReadsBringARunOn(t *testing.T) {
	r := lifecycle.Start(lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterReads(2)},
		{Status: lifecycle.Completed, Trigger: lifecycle.AfterReads(1)},
	}, noon)
	for i, want := range []string{"InQueue", "Running", "Completed", "Completed"} {
		if !r.CountsReads() && i < 3 {
			t.Errorf("read %d would not count", i+1)
		}
		if r = r.Read(seconds(float64(i + 10))); r.Status() != want {
			t.Errorf("read %d sees %s, want %s", i+1, r.Status(), want)
		}
		if again := r.At(seconds(1e6)); again.Status() != want {
			t.Errorf("time brought it from %s to %s", want, again.Status())
		}
	}
	wantStatuses(t, r, "InQueue@0 Running@11 Completed@12")
	if r.CountsReads() {
		t.Error("reads count although it has ended")
	}
}

func TestReadsBeforeAStepsTurnDoNotCount(t *testing.T) {
	r := lifecycle.Start(lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterTime(time.Second)},
		{Status: lifecycle.Completed, Trigger: lifecycle.AfterReads(2)},
	}, noon)
	for range 10 {
		r = r.Read(seconds(0.5))
	}
	wantStatuses(t, r.Read(seconds(1)), "InQueue@0 Running@1")
	wantStatuses(t, r.Read(seconds(1)).Read(seconds(2)), "InQueue@0 Running@1 Completed@2")
}

func TestOnlySettlingPassesAStepThatWaitsForIt(t *testing.T) {
	r := lifecycle.Start(lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.OnSettle()},
		{Status: lifecycle.Completed, Trigger: lifecycle.AfterTime(time.Hour)},
	}, noon)
	for range 10 {
		r = r.Read(seconds(1e6))
	}
	wantStatuses(t, r, "InQueue@0")
	if _, ok := r.Next(); ok {
		t.Error("time alone is said to change it")
	}
	wantStatuses(t, r.Settle(seconds(7)), "InQueue@0 Running@7 Completed@7")
}

func TestSettlingBringsEveryRunToItsEnd(t *testing.T) {
	for name, plan := range map[string]lifecycle.Plan{
		"usual": usual(),
		"reads": {{Status: lifecycle.InQueue}, {Status: lifecycle.Stopped, Trigger: lifecycle.AfterReads(100)}},
		"mixed": {{Status: lifecycle.Running, Trigger: lifecycle.OnSettle()}, {Status: lifecycle.Running, Trigger: lifecycle.AfterReads(2)}, {Status: lifecycle.Failed, Trigger: lifecycle.AfterTime(time.Hour)}},
	} {
		settled := lifecycle.Start(plan, noon).Settle(seconds(0.5))
		if !settled.Ended() || settled.Status() != plan[len(plan)-1].Status {
			t.Errorf("%s: it is %s", name, settled.Status())
		}
		if again := settled.Settle(seconds(9)); !reflect.DeepEqual(again, settled) {
			t.Errorf("%s: settled twice, it is another run", name)
		}
	}
	// A plan that stays where it is has no end to be brought to.
	if stuck := lifecycle.Start(lifecycle.Plan{{Status: lifecycle.InQueue}}, noon).Settle(seconds(1)); stuck.Ended() {
		t.Errorf("it ended as %s", stuck.Status())
	}
}

func TestNextIsWhenTimeAloneChangesTheStatus(t *testing.T) {
	r := lifecycle.Start(usual(), noon)
	for _, want := range []float64{1, 3} {
		at, ok := r.Next()
		if !ok || !at.Equal(seconds(want)) {
			t.Fatalf("next is at %s (%t), want %v s", at.Sub(noon), ok, want)
		}
		if before := r.At(at.Add(-1)); before.Status() != r.Status() {
			t.Errorf("it changed before that, to %s", before.Status())
		}
		r = r.At(at)
	}
	if _, ok := r.Next(); ok || !r.Ended() {
		t.Error("there is a change after the end")
	}
}

func TestStoppingEndsARunWhateverItDoes(t *testing.T) {
	r := lifecycle.Start(usual(), noon)
	for _, c := range []struct {
		at   float64
		want string
	}{
		{0.5, "InQueue@0 Stopped@0.5!"},
		{2, "InQueue@0 Running@1 Stopped@2!"},
		{3, "InQueue@0 Running@1 Completed@3"},
		{99, "InQueue@0 Running@1 Completed@3"},
	} {
		stopped := r.Stop(seconds(c.at))
		wantStatuses(t, stopped, c.want)
		wantStatuses(t, stopped.At(seconds(1e6)), c.want)
		wantStatuses(t, stopped.Stop(seconds(1e6)), c.want)
		wantStatuses(t, stopped.Settle(seconds(1e6)), c.want)
		wantStatuses(t, stopped.Read(seconds(1e6)), c.want)
		if !stopped.Ended() {
			t.Errorf("stopped at %v, it has not ended", c.at)
		}
	}
}

func TestAPromptSetsAnEndedRunToWorkAtOnce(t *testing.T) {
	for _, ended := range []lifecycle.Run{
		lifecycle.Start(usual(), noon).At(seconds(10)),
		lifecycle.Start(usual(), noon).Stop(seconds(2)).At(seconds(10)),
		lifecycle.Start(ending(lifecycle.Failed), noon).At(seconds(10)),
		lifecycle.Start(ending(lifecycle.RuntimeError), noon).At(seconds(10)),
	} {
		was := statuses(ended)
		prompted := ended.Prompt(seconds(10), usual(), false)
		wantStatuses(t, prompted, was+" Running@10#1")
		if prompted.Ended() {
			t.Errorf("after %s it has ended all the same", was)
		}
		wantStatuses(t, prompted.At(seconds(12)), was+" Running@10#1 Completed@12#1")
		wantStatuses(t, prompted.Stop(seconds(11)), was+" Running@10#1 Stopped@11#1!")
	}
}

// Whatever leads to the first working step, there is nothing left to wait for once the run has been through its queue.
func TestAPromptBeginsItsPlanAtOnceHoweverThatBegins(t *testing.T) {
	ended := lifecycle.Start(usual(), noon).At(seconds(10))
	for name, trigger := range map[string]lifecycle.Trigger{
		"time": lifecycle.AfterTime(time.Hour), "reads": lifecycle.AfterReads(3), "settling": lifecycle.OnSettle(),
	} {
		for _, queue := range []lifecycle.Plan{nil, {{Status: lifecycle.InQueue}}} {
			plan := append(slices.Clone(queue), lifecycle.Step{Status: lifecycle.Running, Trigger: trigger},
				lifecycle.Step{Status: lifecycle.Completed, Trigger: lifecycle.AfterTime(time.Second)})
			given := slices.Clone(plan)
			if got := ended.Prompt(seconds(10), plan, false); got.Status() != lifecycle.Running {
				t.Errorf("%s, %d steps: it is %s", name, len(plan), got.Status())
			}
			if !slices.Equal(plan, given) {
				t.Errorf("%s: the plan was changed", name)
			}
		}
	}
}

func TestAPromptToARunningRunIsTakenUpWhenTheWorkIsDone(t *testing.T) {
	working := lifecycle.Start(usual(), noon).At(seconds(2))
	once := working.Prompt(seconds(2), usual(), false)
	wantStatuses(t, once.At(seconds(2.9)), "InQueue@0 Running@1")
	wantStatuses(t, once.At(seconds(3)), "InQueue@0 Running@1 Running@3#1")
	wantStatuses(t, once.At(seconds(9)), "InQueue@0 Running@1 Running@3#1 Completed@5#1")
	twice := once.Prompt(seconds(2), usual(), false)
	wantStatuses(t, twice.At(seconds(9)), "InQueue@0 Running@1 Running@3#1 Running@5#2 Completed@7#2")
	queued := lifecycle.Start(usual(), noon).Prompt(noon, ending(lifecycle.Failed), false)
	wantStatuses(t, queued.At(seconds(9)), "InQueue@0 Running@1 Running@3#1 Failed@5#1")
}

func TestAPromptToARunThatWillFailIsNeverTakenUp(t *testing.T) {
	for _, plan := range []lifecycle.Plan{ending(lifecycle.Failed), ending(lifecycle.RuntimeError), {{Status: lifecycle.InQueue}}} {
		r := lifecycle.Start(plan, noon).Prompt(seconds(2), usual(), false)
		wantStatuses(t, r.At(seconds(99)), statuses(lifecycle.Start(plan, noon).At(seconds(99))))
		if work := r.Work(1, seconds(99)); work != (lifecycle.Work{}) {
			t.Errorf("its work is %+v", work)
		}
	}
}

func TestARunThatIsHeldWaitsForRoomHoweverLong(t *testing.T) {
	held := lifecycle.StartHeld(usual(), noon)
	for _, r := range []lifecycle.Run{held, held.At(seconds(1e6)), held.Read(seconds(1e6))} {
		wantStatuses(t, r, "InQueue@0")
		if !r.Held() || r.CountsReads() {
			t.Error("it is not held")
		}
		if _, ok := r.Next(); ok {
			t.Error("time alone is said to change it")
		}
	}
	released := held.Release(seconds(10))
	wantStatuses(t, released.At(seconds(20)), "InQueue@0 Running@11 Completed@13")
	wantStatuses(t, released.Release(seconds(50)).At(seconds(20)), "InQueue@0 Running@11 Completed@13")
	wantStatuses(t, held.Stop(seconds(5)), "InQueue@0 Stopped@5!")
	if held.Stop(seconds(5)).Held() {
		t.Error("it is held although it was stopped")
	}
	wantStatuses(t, held.Settle(seconds(5)), "InQueue@0 Running@5 Completed@5")

	prompted := lifecycle.Start(usual(), noon).At(seconds(5)).Prompt(seconds(5), usual(), true)
	wantStatuses(t, prompted.At(seconds(99)), "InQueue@0 Running@1 Completed@3 InQueue@5#1")
	wantStatuses(t, prompted.Release(seconds(7)).At(seconds(99)), "InQueue@0 Running@1 Completed@3 InQueue@5#1 Running@7#1 Completed@9#1")
}

func TestWorkIsMeasuredFromWhenItBegan(t *testing.T) {
	r := lifecycle.Start(usual(), noon)
	for _, c := range []struct {
		run  lifecycle.Run
		turn int
		at   float64
		want lifecycle.Work
	}{
		{r, 0, 0.5, lifecycle.Work{}},
		{r, 0, 1, lifecycle.Work{Begun: true}},
		{r, 0, 2.5, lifecycle.Work{Begun: true, Elapsed: 1500 * time.Millisecond}},
		{r, 0, 3, lifecycle.Work{Begun: true, Done: true, Elapsed: 2 * time.Second}},
		{r, 0, 99, lifecycle.Work{Begun: true, Done: true, Elapsed: 2 * time.Second}},
		{r, 1, 99, lifecycle.Work{}},
		{r.Stop(seconds(2)), 0, 99, lifecycle.Work{Begun: true, Elapsed: time.Second}},
		{r.Stop(seconds(0.5)), 0, 99, lifecycle.Work{}},
		{r.Prompt(seconds(2), usual(), false), 0, 99, lifecycle.Work{Begun: true, Done: true, Elapsed: 2 * time.Second}},
		{r.Prompt(seconds(2), usual(), false), 1, 2.5, lifecycle.Work{}},
		{r.Prompt(seconds(2), usual(), false), 1, 4, lifecycle.Work{Begun: true, Elapsed: time.Second}},
		{r.Prompt(seconds(2), usual(), false), 1, 99, lifecycle.Work{Begun: true, Done: true, Elapsed: 2 * time.Second}},
		{r.At(seconds(5)).Prompt(seconds(5), usual(), false), 1, 5.5, lifecycle.Work{Begun: true, Elapsed: 500 * time.Millisecond}},
		{r.Settle(seconds(0.5)), 0, 99, lifecycle.Work{Begun: true, Done: true}},
	} {
		if got := c.run.Work(c.turn, seconds(c.at)); got != c.want {
			t.Errorf("%s, turn %d at %v: got %+v, want %+v", statuses(c.run.At(seconds(c.at))), c.turn, c.at, got, c.want)
		}
	}
}

// A prompt that was never taken up stays so, whatever is prompted later.
func TestWorkThatWasNeverTakenUpIsNeverDone(t *testing.T) {
	working := lifecycle.Start(usual(), noon).At(seconds(2))
	failing := lifecycle.Start(ending(lifecycle.Failed), noon).At(seconds(2))
	held := lifecycle.StartHeld(usual(), noon)
	for name, r := range map[string]lifecycle.Run{
		"stopped before":        working.Prompt(seconds(2), usual(), false).Stop(seconds(2.5)),
		"failed before":         failing.Prompt(seconds(2), usual(), false).At(seconds(4)),
		"stopped in the queue":  lifecycle.Start(usual(), noon).Prompt(noon, usual(), false).Stop(seconds(0.5)),
		"stopped while waiting": held.Prompt(noon, usual(), false).Stop(seconds(0.5)),
	} {
		again := r.Prompt(seconds(10), usual(), false)
		for _, at := range []float64{10, 11, 99} {
			if work := again.Work(1, seconds(at)); work != (lifecycle.Work{}) {
				t.Errorf("%s: at %v its work is %+v", name, at, work)
			}
		}
		if work := again.Work(2, seconds(99)); !work.Done || work.Elapsed != 2*time.Second {
			t.Errorf("%s: the later prompt's work is %+v", name, work)
		}
	}
}

func TestTerminalStatusesAreKnownInAnyCase(t *testing.T) {
	for _, status := range []string{"Completed", "Stopped", "Failed", "RuntimeError", "DeployError", "completed", "STOPPED", "runtimeerror"} {
		if !lifecycle.Terminal(status) {
			t.Errorf("%s is not terminal", status)
		}
	}
	for _, status := range []string{"InQueue", "Running", "", "Initializing", "Complete"} {
		if lifecycle.Terminal(status) {
			t.Errorf("%s is terminal", status)
		}
	}
}

func TestWorkTimeIsWhatThePlanHasTheRunAtWork(t *testing.T) {
	for _, c := range []struct {
		plan lifecycle.Plan
		want time.Duration
	}{
		{usual(), 2 * time.Second},
		{nil, 0},
		{lifecycle.Plan{{Status: lifecycle.InQueue}}, 0},
		{lifecycle.Plan{{Status: lifecycle.Running}, {Status: lifecycle.Completed, Trigger: lifecycle.AfterReads(2)}}, 0},
		{lifecycle.Plan{
			{Status: lifecycle.Running}, {Status: lifecycle.InQueue, Trigger: lifecycle.AfterTime(time.Second)},
			{Status: "running", Trigger: lifecycle.AfterTime(time.Hour)}, {Status: lifecycle.Completed, Trigger: lifecycle.AfterTime(time.Minute)},
		}, time.Minute + time.Second},
	} {
		if got := c.plan.WorkTime(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.plan, got, c.want)
		}
	}
}

// ---- properties -------------------------------------------------------------------------------------------------------

func randomPlan(rng *rand.Rand) lifecycle.Plan {
	known := []string{lifecycle.InQueue, lifecycle.Running, lifecycle.Running, "Initializing", lifecycle.Completed, lifecycle.Completed, lifecycle.Failed, lifecycle.RuntimeError}
	plan := lifecycle.Plan{}
	for range rng.IntN(6) {
		trigger := lifecycle.Immediately()
		switch rng.IntN(4) {
		case 0:
			trigger = lifecycle.AfterReads(1 + rng.IntN(3))
		case 1:
			trigger = lifecycle.OnSettle()
		case 2:
			trigger = lifecycle.AfterTime(time.Duration(rng.IntN(3000)) * time.Millisecond)
		}
		plan = append(plan, lifecycle.Step{Status: known[rng.IntN(len(known))], Trigger: trigger})
	}
	return plan
}

// command does something random to a run; its text says what.
func command(rng *rand.Rand) (string, func(lifecycle.Run, time.Time) lifecycle.Run) {
	switch rng.IntN(8) {
	case 0:
		return "stop", lifecycle.Run.Stop
	case 1:
		return "settle", lifecycle.Run.Settle
	case 2:
		plan, held := randomPlan(rng), rng.IntN(4) == 0
		return fmt.Sprintf("prompt %v %t", plan, held), func(r lifecycle.Run, now time.Time) lifecycle.Run { return r.Prompt(now, plan, held) }
	case 3:
		return "release", func(r lifecycle.Run, now time.Time) lifecycle.Run { return r.Release(now) }
	default:
		return "read", lifecycle.Run.Read
	}
}

// peek asks everything that can be asked of a run, at the time and later.
func peek(r lifecycle.Run, now time.Time) {
	for _, at := range []time.Time{now, now.Add(time.Second), now.Add(time.Hour)} {
		later := r.At(at)
		_, _, _, _ = later.Status(), later.Ended(), later.Held(), later.CountsReads()
		_, _ = later.Next()
		for turn := range 3 {
			_ = r.Work(turn, at)
		}
		_ = later.Stop(at)
		_ = later.Settle(at)
		_ = later.Read(at)
		_ = later.Prompt(at, usual(), false)
	}
}

// Whatever is done to a run: looking at it changes nothing, what has been entered stays and is in order of time, and the
// work of a turn never becomes less.
func TestRunsKeepTheirPromisesWhateverIsDoneToThem(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		plan, held := randomPlan(rng), rng.IntN(4) == 0
		start := lifecycle.Start
		if held {
			start = lifecycle.StartHeld
		}
		watched, alone := start(plan, noon), start(plan, noon)
		log := []string{fmt.Sprintf("start %v %t", plan, held)}
		now, done := noon, map[int]lifecycle.Work{}
		for range 12 {
			now = now.Add(time.Duration(rng.IntN(1500)) * time.Millisecond)
			name, do := command(rng)
			log = append(log, fmt.Sprintf("%s@%v", name, now.Sub(noon).Seconds()))
			before := slices.Clone(watched.Entered())
			peek(watched, now)
			watched, alone = do(watched, now), do(alone, now)
			if !reflect.DeepEqual(watched, alone) {
				t.Fatalf("seed %d: looking changed it\n%s\nto   %s\nfrom %s", seed, strings.Join(log, "\n"), statuses(watched), statuses(alone))
			}
			entered := watched.Entered()
			if len(entered) < len(before) || !slices.Equal(entered[:len(before)], before) {
				t.Fatalf("seed %d: the past was changed\n%s\nto %s", seed, strings.Join(log, "\n"), statuses(watched))
			}
			if !slices.IsSortedFunc(entered, func(a, b lifecycle.Entry) int { return a.At.Compare(b.At) }) {
				t.Fatalf("seed %d: out of order\n%s\n%s", seed, strings.Join(log, "\n"), statuses(watched))
			}
			for turn := range 12 {
				work, was := watched.Work(turn, now), done[turn]
				if was.Begun && !work.Begun || was.Done && work != was || work.Elapsed < was.Elapsed {
					t.Fatalf("seed %d: the work of turn %d went from %+v to %+v\n%s\n%s", seed, turn, was, work, strings.Join(log, "\n"), statuses(watched))
				}
				done[turn] = work
			}
			if next, ok := watched.At(now).Next(); ok && !next.After(now) {
				t.Fatalf("seed %d: the next change is over\n%s", seed, strings.Join(log, "\n"))
			}
		}
	}
}

// Looking at many instants and looking once give the same, as long as only time passes.
func TestTimeBringsARunToTheSameHoweverOftenItIsLookedAt(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		r := lifecycle.Start(randomPlan(rng), noon)
		kept, now := r, noon
		for range 20 {
			now = now.Add(time.Duration(rng.IntN(700)) * time.Millisecond)
			kept = kept.At(now)
			if !reflect.DeepEqual(kept, r.At(now)) {
				t.Fatalf("seed %d: at %s: %s, looked at once %s", seed, now.Sub(noon), statuses(kept), statuses(r.At(now)))
			}
		}
	}
}
