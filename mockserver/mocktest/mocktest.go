// Package mocktest helps Go tests of programs that use QuantConnect's /agents API. A mock server is one line away, needs
// no port, and closes itself:
//
//	func TestResearch(t *testing.T) {
//		srv := mocktest.New(t)
//		got, err := Research(t.Context(), srv.Client())
//		…
//	}
//
// The test fails when the code under test breaks the contract: a member that is misspelled, a signature that is wrong. That
// something is not found, or cannot be done now, is a normal answer and up to the test. When a test has failed, for
// whatever reason, the exchanges are in its log as a table.
//
// [Server.World] is the test's own QuantConnect. Its clock can be frozen and moved on, faults can be injected, and what
// the code under test did is in its journal; all these verbs can be called on the Server itself.
//
//	srv.Inject(mockserver.Fault{Operation: "createTask", Phase: mockserver.AfterEffect, Effect: mockserver.Drop()})
//	srv.Advance(time.Minute)
//
// Inside a bubble of package testing/synctest the server follows the bubble's time, since it has neither goroutines nor
// timers: waiting for a deployment takes no time there. Make it inside the bubble. [Start] is for code that insists on a
// URL, and not for bubbles.
package mocktest

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// inMemoryURL is the base URL of servers without a port. Nothing can listen at port 0, so code that goes there by other
// means than the server's transport fails at once.
const inMemoryURL = "http://127.0.0.1:0/api/v2"

// Server is a mock server for a test. Everything about its default world can be asked of it directly.
type Server struct {
	*World
	server    *mockserver.Server
	url       string
	transport http.RoundTripper

	mu     sync.Mutex
	worlds map[int]*World // by user id
}

// New makes a server in memory and closes it when the test ends. The options are the server's; without any it has the
// account of [mockserver.DefaultAccount].
func New(t testing.TB, opts ...mockserver.Option) *Server {
	t.Helper()
	s := newServer(t, opts)
	s.url, s.transport = inMemoryURL, s.server.Transport()
	return s
}

// Start is [New] for code that wants a URL: the server listens on a free port of the loopback interface.
func Start(t testing.TB, opts ...mockserver.Option) *Server {
	t.Helper()
	s := newServer(t, opts)
	listening := httptest.NewServer(s.server)
	s.url, s.transport = listening.URL+"/api/v2", listening.Client().Transport
	t.Cleanup(func() {
		// Exchanges that a fault still holds up are cut off instead of waited for.
		listening.CloseClientConnections()
		listening.Close()
	})
	return s
}

func newServer(t testing.TB, opts []mockserver.Option) *Server {
	t.Helper()
	s := &Server{worlds: map[int]*World{}}
	server, err := mockserver.New(append(slices.Clip(opts), mockserver.WithObserver(s.observe))...)
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	s.World = s.add(t, server.Default())
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// Server is the mock server itself.
func (s *Server) Server() *mockserver.Server { return s.server }

// NewWorld makes a further world for a test, with a user of its own in [mockserver.DefaultOrganizationID]. Tests that run
// side by side can so share one server and see nothing of each other. The world is forgotten when the test ends.
//
// Its user id is made from the test's name, so that with [mockserver.WithSeed] it is the same in every run.
func (s *Server) NewWorld(t testing.TB) *World {
	t.Helper()
	return s.make(t, func(userID int, token string) (*mockserver.World, error) {
		return s.server.NewWorld(mockserver.Account{
			UserID: userID, Token: token, Organizations: []string{mockserver.DefaultOrganizationID},
		})
	})
}

func (s *Server) make(t testing.TB, with func(userID int, token string) (*mockserver.World, error)) *World {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	userID := userIDFor(t.Name())
	for s.worlds[userID] != nil || s.server.World(userID) != nil {
		userID++
	}
	world, err := with(userID, fmt.Sprintf("mock-api-token-%d", userID))
	if err != nil {
		t.Fatal(err)
	}
	w := s.addLocked(t, world)
	t.Cleanup(func() {
		_ = s.server.DeleteWorld(world)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.worlds, userID)
	})
	return w
}

// userIDFor is a number that fits every language's integers.
func userIDFor(name string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	return 1_000_000 + int(hash.Sum32()%1_000_000_000)
}

func (s *Server) add(t testing.TB, world *mockserver.World) *World {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(t, world)
}

func (s *Server) addLocked(t testing.TB, world *mockserver.World) *World {
	w := &World{World: world, server: s, t: t}
	for _, account := range world.Accounts() {
		s.worlds[account.UserID] = w
	}
	t.Cleanup(w.finish)
	return w
}

// observe hands an entry to the test that it belongs to, or else to the test that made the server.
func (s *Server) observe(e mockserver.Entry) {
	s.mu.Lock()
	w := s.World
	if e.World != nil && s.worlds[*e.World] != nil {
		w = s.worlds[*e.World]
	}
	s.mu.Unlock()
	if w != nil {
		w.observe(e)
	}
}

// World is an isolated QuantConnect that belongs to a test. Its verbs that can be misused end the test when they are,
// instead of giving an error.
type World struct {
	*mockserver.World
	server *Server
	t      testing.TB

	mu       sync.Mutex
	ended    bool
	allowed  map[mockserver.Class]bool
	allowAll bool
	expected []mockserver.Class
}

// Client makes a client for this world's first account. Options come after those that make it so, and may so replace
// them.
func (w *World) Client(opts ...client.Option) *client.Client {
	w.t.Helper()
	c, err := client.New(append([]client.Option{
		client.WithCredentials(w.Credentials()),
		client.WithOrganization(w.OrganizationID()),
		client.WithBaseURL(w.URL()),
		client.WithHTTPClient(w.HTTPClient()),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// HTTPClient makes a plain HTTP client that reaches the server. It does not sign; [client.Signer] does.
func (w *World) HTTPClient() *http.Client { return &http.Client{Transport: w.Transport()} }

// Transport reaches the server, whatever host a request names.
func (w *World) Transport() http.RoundTripper { return w.server.transport }

// URL is the base URL of the API, without a slash at the end. Only that of [Start] can be reached otherwise than by
// [World.Transport].
func (w *World) URL() string { return w.server.url }

// Credentials are those of the world's first account.
func (w *World) Credentials() client.Credentials {
	account := w.Account()
	return client.Credentials{UserID: int64(account.UserID), Token: account.Token}
}

// OrganizationID is the first organization of the world's first account; empty when it has none.
func (w *World) OrganizationID() string {
	if organizations := w.Account().Organizations; len(organizations) > 0 {
		return organizations[0]
	}
	return ""
}

// Fork makes another world that begins as this one is now, with a user of its own in the same organizations. What happens
// in one of the two does not show in the other.
func (w *World) Fork(t testing.TB) *World {
	t.Helper()
	return w.server.make(t, w.World.Fork)
}

// Advance moves the time of this world on by d, frozen or not, and gives the time it is then.
func (w *World) Advance(d time.Duration) time.Time {
	w.t.Helper()
	now, err := w.World.Advance(d)
	w.must(err)
	return now
}

// Inject adds faults.
func (w *World) Inject(faults ...mockserver.Fault) {
	w.t.Helper()
	for _, fault := range faults {
		w.must(w.World.Inject(fault))
	}
}

// SetSpeed lets speed seconds pass in this world for each second of the base clock; 0 freezes it.
func (w *World) SetSpeed(speed float64) {
	w.t.Helper()
	w.must(w.World.SetSpeed(speed))
}

// SetCapacity sets how many deployments work at once; further ones wait InQueue. 0 is no limit.
func (w *World) SetCapacity(n int) {
	w.t.Helper()
	w.must(w.World.SetCapacity(n))
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
