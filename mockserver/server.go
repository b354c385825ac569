// Package mockserver is QuantConnect's /agents API in memory, as an [http.Handler]: stateful, instant to start, and
// strict about what it is sent. Programs in any language can be developed and tested against it without credentials,
// waiting or cost.
//
//	server, err := mockserver.New()
//	if err != nil { … }
//	defer server.Close()
//	http.ListenAndServe("127.0.0.1:5612", server)
//
// The API is served under /api/v2, its contract at /openapi.yaml, and what concerns the mock itself under /_mock/. Go
// programs can do without a port: [Server.Transport] answers in memory.
//
// Most of what the real service answers is not documented. What is known is marked in the contract; each behavior that
// the mock had to choose is listed by [Fidelity], with the question it leaves open.
//
// The package does not sign requests and does not import the client: a signature that is checked by the code that made
// it proves nothing.
package mockserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a mock QuantConnect. It is safe for concurrent use and holds no goroutine, timer or file.
type Server struct {
	config
	contractTable *contractTable
	handler       http.Handler
	closed        atomic.Bool
	done          chan struct{} // closed with the server

	mu     sync.RWMutex
	worlds map[int]*World // by user id
	first  *World         // the default world
	fresh  int            // how many accounts FreshAccount has made up

	journal *journal // of exchanges without a world
}

// New makes a server. Without options it has the one account of [DefaultAccount].
func New(opts ...Option) (*Server, error) {
	s := &Server{
		config: config{
			auth:         AuthStrict,
			authFailures: AuthFailuresDocumented,
			contract:     ContractStrict,
			clock:        systemClock,
			speed:        1,
			seed:         rand.Text(),
			maxBody:      1 << 20,
			maxWorlds:    10_000,
			journalBytes: 16 << 20,
			logger:       slog.New(slog.DiscardHandler),
		},
		worlds: map[int]*World{},
		done:   make(chan struct{}),
	}
	for _, opt := range opts {
		if err := opt(&s.config); err != nil {
			return nil, fmt.Errorf("make mock server: %w", err)
		}
	}
	accounts := s.scenario.accountsWith(s.accounts)
	if len(s.accounts) == 0 {
		s.accounts = accounts[:1]
	}
	var err error
	if s.contractTable, err = loadContract(); err != nil {
		return nil, fmt.Errorf("make mock server: %w", err)
	}
	s.journal = &journal{limit: s.journalBytes}
	for _, account := range s.accounts {
		s.worlds[account.UserID] = s.newWorld(account)
	}
	s.first = s.worlds[s.accounts[0].UserID]
	if s.scenario != nil {
		if err := s.first.load(s.scenario, accounts); err != nil {
			return nil, fmt.Errorf("make mock server: load scenario: %w", err)
		}
	}
	s.handler = s.pipeline(s.routes())
	return s, nil
}

// World is the world of a user, or nil when there is none.
func (s *Server) World(userID int) *World {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.worlds[userID]
}

// Default is the world that the server's first account was given.
func (s *Server) Default() *World { return s.first }

// NewWorld makes a world for an account. Its user id must not be taken.
func (s *Server) NewWorld(account Account) (*World, error) {
	if err := account.check(); err != nil {
		return nil, fmt.Errorf("make world: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.worlds[account.UserID] != nil {
		return nil, conflict{fmt.Errorf("make world: user id %d is taken; use another", account.UserID)}
	}
	if len(s.worlds) >= s.maxWorlds {
		return nil, conflict{fmt.Errorf("make world: there are %d already, which is the limit; delete some, or allow more", len(s.worlds))}
	}
	account.Organizations = slices.Clone(account.Organizations)
	w := s.newWorld(account)
	s.worlds[account.UserID] = w
	return w, nil
}

// conflict is an error that is due to the state of things and not to the arguments.
type conflict struct{ error }

func (e conflict) Unwrap() error { return e.error }

// firstFreshUserID leaves the small numbers to those who choose their own.
const firstFreshUserID = 100_001

// FreshAccount makes up an account for [Server.NewWorld]: a user id that nobody has, a token, and an organization of its
// own. It gives no account twice; with a seed, the nth one is the same each time.
func (s *Server) FreshAccount() Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	userID := firstFreshUserID + s.fresh
	for s.worlds[userID] != nil {
		userID++
	}
	s.fresh = userID - firstFreshUserID + 1
	return s.madeUp(userID)
}

// madeUp is an account whose token and organization depend on the seed and the user id alone.
func (s *Server) madeUp(userID int) Account {
	digits := func(of string) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", s.seed, of, userID))
		return hex.EncodeToString(sum[:16])
	}
	return Account{UserID: userID, Token: "mock-" + digits("token"), Organizations: []string{digits("organization")}}
}

// DeleteWorld forgets a world and all its accounts. The default world stays.
func (s *Server) DeleteWorld(w *World) error {
	if w == s.Default() {
		return conflict{errors.New("delete world: the default world stays; reset it instead")}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.worlds, func(_ int, other *World) bool { return other == w })
	return nil
}

// Worlds are all worlds, in the order of their first accounts' user ids.
func (s *Server) Worlds() []*World {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var worlds []*World
	for _, userID := range slices.Sorted(maps.Keys(s.worlds)) {
		if w := s.worlds[userID]; !slices.Contains(worlds, w) {
			worlds = append(worlds, w)
		}
	}
	return worlds
}

// worldOnSight is the world of a user, made if need be; nil when there are too many.
func (s *Server) worldOnSight(userID int) *World {
	if w := s.World(userID); w != nil {
		return w
	}
	w, err := s.NewWorld(Account{UserID: userID})
	if err != nil {
		// Somebody else made it in between, or there are too many.
		return s.World(userID)
	}
	return w
}

// Journal is the exchanges that no world could be told for, oldest first.
func (s *Server) Journal() []Entry { return s.journal.all() }

// Find gives the exchanges that match: those that no world could be told for, and then world by world, oldest first in
// each.
func (s *Server) Find(q Query) ([]Entry, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(s.Journal(), func(e Entry) bool { return !q.matches(e) })
	for _, w := range s.Worlds() {
		entries, err := w.Find(q)
		if err != nil {
			return nil, err
		}
		found = append(found, entries...)
	}
	return found, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close makes the server answer 503 from now on, and ends the streams of its journals.
func (s *Server) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		close(s.done)
	}
	return nil
}

func (s *Server) now() time.Time { return s.config.clock() }
