package mockserver

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// World is one isolated QuantConnect: accounts, what their organizations own, a time, and faults. The credentials of a
// request choose its world, so programs that run side by side against one server need nothing but credentials of their
// own. A World is safe for concurrent use.
type World struct {
	server  *Server
	store   *store.Store
	journal *journal

	mu       sync.Mutex
	accounts []Account
	// ownsAll is true when the accounts belong to every organization that they name.
	ownsAll bool
	clock   lifecycle.Clock
	faults  []armed
	// initial is what Reset goes back to; anew is true when time begins anew then.
	initial Snapshot
	anew    bool
	// loaded and clockOf are what a scenario said, if one was loaded.
	loaded   store.Content
	loadedAt time.Time
	clockOf  *ScenarioClock
	// kept are the snapshots that are kept for programs elsewhere; lastKept numbers them.
	kept     map[string]Snapshot
	lastKept int
}

// lastYear is the last one that RFC 3339 can write.
const lastYear = 9999

// worldEpoch is when the time of a seeded world begins.
var worldEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func (s *Server) newWorld(account Account) *World {
	w := &World{
		server:   s,
		accounts: []Account{account},
		ownsAll:  s.auth == AuthAny,
		journal:  &journal{limit: s.journalBytes},
		clock:    s.newClock(nil),
	}
	// Identifiers depend on the seed and the user id alone, whatever the other worlds do.
	w.store = store.New(store.Config{Now: w.Now, Seed: fmt.Sprintf("%s/%d", s.seed, account.UserID)})
	w.loaded.Capacity = s.capacity
	w.store.SetCapacity(s.capacity)
	w.initial, w.anew = w.Snapshot(), true
	return w
}

// newClock begins a world's time, as a scenario says if it does. It goes with the base clock, or by steps when the server
// was given a seed: only then do two runs see the same times.
func (s *Server) newClock(says *ScenarioClock) lifecycle.Clock {
	base, speed := s.now(), s.speed
	start := base
	if s.seeded {
		start = worldEpoch
	}
	if says != nil {
		if says.Start != nil {
			start = says.Start.UTC()
		}
		if says.Speed != nil {
			speed = *says.Speed
		}
	}
	if s.seeded {
		return lifecycle.NewSteppedClock(start, speed)
	}
	return lifecycle.NewClockAt(base, start, speed)
}

// Now is the time in this world.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock.Now(w.server.now())
}

// step moves the time on for an exchange, in a world that goes by steps, and gives the time.
func (w *World) step() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Step()
	return w.clock.Now(w.server.now())
}

// Account is the world's first account.
func (w *World) Account() Account { return w.Accounts()[0] }

// Accounts are the users of this world.
func (w *World) Accounts() []Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.accounts)
}

// account is the account of a user; one without a token or organizations when there is none.
func (w *World) account(userID int) Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.IndexFunc(w.accounts, func(a Account) bool { return a.UserID == userID }); i >= 0 {
		return w.accounts[i]
	}
	return Account{UserID: userID, Organizations: []string{}}
}

// caller is an account as the store knows it.
func (w *World) caller(userID int) store.Account {
	account := w.account(userID)
	if w.ownsAll {
		return store.Account{UserID: userID}
	}
	return store.Account{UserID: userID, Organizations: account.Organizations}
}

// Freeze stops the time of this world. [World.Advance] still moves it.
func (w *World) Freeze() { w.setSpeed(0) }

// SetSpeed lets speed seconds pass in this world for each second of the base clock, from now on; 0 freezes it. In a world
// of a seeded server it multiplies the half second of each exchange.
func (w *World) SetSpeed(speed float64) error {
	if err := checkSpeed(speed); err != nil {
		return err
	}
	w.setSpeed(speed)
	return nil
}

func (w *World) setSpeed(speed float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.WithSpeed(w.server.now(), speed)
}

// Advance moves the time of this world on by d, frozen or not, and gives the time it is then. A d below 0 is an error:
// what consumers have seen cannot be unseen.
func (w *World) Advance(d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, fmt.Errorf("advance by %s: time goes forward only", d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	advanced := w.clock.Advance(w.server.now(), d)
	now := advanced.Now(w.server.now())
	if now.UTC().Year() > lastYear {
		return time.Time{}, fmt.Errorf("advance by %s: that leads beyond the year %d, which cannot be written; use less", d, lastYear)
	}
	w.clock = advanced
	return now, nil
}

// AdvanceToNext moves the time of this world on to the next change of any deployment's status, and gives that time. It
// reports false, and moves nothing, when time alone will change none.
func (w *World) AdvanceToNext() (time.Time, bool) {
	next, ok := w.store.NextChange()
	if !ok {
		return w.Now(), false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.At(w.server.now(), next)
	return w.clock.Now(w.server.now()), true
}

// Settle brings every deployment to the end of its plan, now.
func (w *World) Settle() { w.store.Settle() }

// SetCapacity sets how many deployments work at once; further ones wait InQueue. 0 is no limit.
func (w *World) SetCapacity(n int) error {
	if n < 0 {
		return fmt.Errorf("capacity %d: use 0 (no limit) or more", n)
	}
	w.store.SetCapacity(n)
	return nil
}

// Inject adds a fault. Faults strike in the order in which they were added, one for each phase of an exchange.
func (w *World) Inject(fault Fault) error {
	if err := fault.check(w.server.contractTable); err != nil {
		return fmt.Errorf("inject fault: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(slices.Clip(w.faults), armed{Fault: fault})
	return nil
}

// Faults are the faults of this world with their counts, in the order in which they strike.
func (w *World) Faults() []CountedFault {
	w.mu.Lock()
	defer w.mu.Unlock()
	faults := make([]CountedFault, len(w.faults))
	for i, f := range w.faults {
		faults[i] = CountedFault{Fault: f.Fault, Seen: f.passed + f.struck, Struck: f.struck}
	}
	return faults
}

// ClearFaults takes all faults away.
func (w *World) ClearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

// due is the effect of the first fault that strikes.
func (w *World) due(operation string, userID int, phase Phase) (Effect, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first *armed
	for i := range w.faults {
		if w.faults[i].sees(operation, userID, phase) && first == nil {
			first = &w.faults[i]
		}
	}
	if first == nil {
		return Effect{}, false
	}
	first.struck++
	return first.Effect, true
}

// Journal is the exchanges of this world that are still remembered, oldest first.
func (w *World) Journal() []Entry { return w.journal.all() }

// State says what the world is now. Looking changes nothing; in particular it is no read of a deployment.
func (w *World) State() State {
	census := w.store.Census()
	exchanges := w.journal.len()
	w.mu.Lock()
	defer w.mu.Unlock()
	return State{
		Accounts:    slices.Clone(w.accounts),
		Now:         w.clock.Now(w.server.now()).UTC(),
		Speed:       w.clock.Speed(),
		Capacity:    census.Capacity,
		Agents:      census.Agents,
		Tasks:       census.Tasks,
		Deployments: census.Deployments,
		Faults:      len(w.faults),
		Exchanges:   exchanges,
	}
}

// State is what a world is at some time, in numbers.
type State struct {
	Accounts []Account `json:"accounts"`
	Now      time.Time `json:"now"`
	Speed    float64   `json:"speed"`
	Capacity int       `json:"capacity"`
	// Agents and Tasks are how many there are. QuantConnect's own agents are not counted.
	Agents int `json:"agents"`
	Tasks  int `json:"tasks"`
	// Deployments is how many deployments have each status.
	Deployments map[string]int `json:"deployments"`
	// Faults is how many faults there are, used up or not.
	Faults int `json:"faults"`
	// Exchanges is how many exchanges the journal remembers.
	Exchanges int `json:"exchanges"`
}

// Snapshot is what a world was at some time. It does not change and can be restored any number of times.
type Snapshot struct {
	store  store.Snapshot
	clock  lifecycle.Clock
	faults []armed
}

// Snapshot remembers what the world is. It costs no more than a pointer, however much there is in it. The journal is not
// part of it.
func (w *World) Snapshot() Snapshot {
	held := w.store.Snapshot()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.server.now()
	return Snapshot{store: held, clock: w.clock.WithSpeed(now, w.clock.Speed()), faults: slices.Clone(w.faults)}
}

// Restore makes the world what a snapshot remembers, its time and the counts of its faults included. Time goes on from
// there.
func (w *World) Restore(snapshot Snapshot) {
	w.store.Restore(snapshot.store)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = snapshot.clock.Resumed(w.server.now())
	w.faults = slices.Clone(snapshot.faults)
}

// Reset makes the world what it was when it was made, or when a scenario was last loaded, with its time begun anew and an
// empty journal.
func (w *World) Reset() {
	w.mu.Lock()
	initial := w.initial
	if w.anew {
		base := w.server.now()
		clock := w.server.newClock(w.clockOf)
		if now := clock.Now(base); !now.Equal(w.loadedAt) && !w.loaded.Timeless() {
			// What a scenario holds is as old at each reset as when it was loaded. It has been built before, so it can be.
			initial.store, _ = w.store.Build(w.loaded, now)
		}
		initial.clock = clock
	}
	w.mu.Unlock()
	w.Restore(initial)
	w.journal.clear()
}

// Fork makes another world that begins as this one is now, for another account with the same organizations. What happens
// in one of the two does not show in the other.
func (w *World) Fork(userID int, token string) (*World, error) {
	original := w.Account()
	fork, err := w.server.NewWorld(Account{UserID: userID, Token: token, Organizations: original.Organizations})
	if err != nil {
		return nil, fmt.Errorf("fork world: %w", err)
	}
	snapshot := w.Snapshot()
	fork.Restore(snapshot)
	fork.mu.Lock()
	defer fork.mu.Unlock()
	fork.initial, fork.anew = snapshot, false
	return fork, nil
}
