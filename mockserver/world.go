package mockserver

import (
	"sync"
	"time"

	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// World is one isolated QuantConnect: an account, what its organizations own, and a time. The credentials of a request
// choose its world, so programs that run side by side against one server need nothing but credentials of their own.
type World struct {
	account Account
	// ownsAll is true when the account belongs to every organization that it names.
	ownsAll bool
	base    func() time.Time
	store   *store.Store

	mu    sync.Mutex
	clock lifecycle.Clock
}

func newWorld(account Account, ownsAll bool, base func() time.Time, speed float64, seed string) *World {
	w := &World{account: account, ownsAll: ownsAll, base: base, clock: lifecycle.NewClock(base(), speed)}
	w.store = store.New(store.Config{Now: w.Now, Seed: seed})
	return w
}

// Now is the time in this world.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock.Now(w.base())
}

// Account is the account whose world this is.
func (w *World) Account() Account { return w.account }

// caller is the account as the store knows it.
func (w *World) caller() store.Account {
	if w.ownsAll {
		return store.Account{UserID: w.account.UserID}
	}
	return store.Account{UserID: w.account.UserID, Organizations: w.account.Organizations}
}
