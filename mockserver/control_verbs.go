package mockserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// verb answers one operation of the control plane. The call has been held against control.yaml before.
type verb func(c *controlCall) (any, error)

type controlCall struct {
	base   string // base URL for a consumer
	params map[string]string
	query  string
	// streamed asks for server-sent events, after the one with this id.
	streamed  bool
	lastEvent string
	world     *World // of the path, if it names one
	body      []byte
}

// object is an answer.
type object map[string]any

// controlVerbs are the verbs by operationId. To add one, write the method of World or Server first, then its operation in
// control.yaml, then its line here, which only decodes, calls and encodes.
func (s *Server) controlVerbs() map[string]verb {
	return map[string]verb{
		"health":      func(*controlCall) (any, error) { return s.Health(), nil },
		"controlSpec": func(*controlCall) (any, error) { return document{yamlMedia, ControlSpec()}, nil },
		"scenarioSchema": func(*controlCall) (any, error) {
			return document{"application/schema+json", ScenarioSchema()}, nil
		},
		"serverJournal": s.controlServerJournal,
		"worlds":        s.controlWorlds,
		"newWorld":      s.controlNewWorld,
		"world":         func(c *controlCall) (any, error) { return c.describe(c.world), nil },
		"deleteWorld":   s.controlDeleteWorld,
		"journal":       controlJournal,
		"called":        controlCalled,

		"load": controlLoad,
		"reset": func(c *controlCall) (any, error) {
			c.world.Reset()
			return c.now(), nil
		},
		"snapshot":       controlSnapshot,
		"forgetSnapshot": controlForgetSnapshot,
		"restore":        controlRestore,
		"fork":           s.controlFork,
		"settle": func(c *controlCall) (any, error) {
			c.world.Settle()
			return c.now(), nil
		},
		"setCapacity": controlSetCapacity,

		"freeze": func(c *controlCall) (any, error) {
			c.world.Freeze()
			return c.speed(), nil
		},
		"setSpeed": controlSetSpeed,
		"advance":  controlAdvance,
		"advanceToNext": func(c *controlCall) (any, error) {
			now, changed := c.world.AdvanceToNext()
			return object{"now": now.UTC(), "changed": changed}, nil
		},

		"faults": func(c *controlCall) (any, error) { return c.faults(), nil },
		"inject": controlInject,
		"clearFaults": func(c *controlCall) (any, error) {
			c.world.ClearFaults()
			return c.faults(), nil
		},
	}
}

// bodyOf reads the body; without one, everything is zero.
func bodyOf[T any](c *controlCall) (T, error) {
	var value T
	if len(c.body) == 0 {
		return value, nil
	}
	if err := json.Unmarshal(c.body, &value); err != nil {
		return value, err
	}
	return value, nil
}

func (c *controlCall) now() object { return object{"now": c.world.Now().UTC()} }

func (c *controlCall) speed() object {
	state := c.world.State()
	return object{"now": state.Now, "speed": state.Speed}
}

func (c *controlCall) faults() object { return object{"faults": c.world.Faults()} }

// worldAnswer is a world, and how to reach it: what the ready line of a starting mock says, and its state.
type worldAnswer struct {
	URL            string `json:"url"`
	UserID         int    `json:"userId"`
	Token          string `json:"token,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
	State
	Snapshots []string `json:"snapshots"`
}

func (c *controlCall) describe(w *World) worldAnswer {
	state := w.State()
	first := state.Accounts[0]
	answer := worldAnswer{URL: c.base, UserID: first.UserID, Token: first.Token, State: state, Snapshots: w.keptIDs()}
	if len(first.Organizations) > 0 {
		answer.OrganizationID = first.Organizations[0]
	}
	return answer
}

// worldNamed is the world of a path.
func (s *Server) worldNamed(userID string) (*World, error) {
	if userID == "default" {
		return s.Default(), nil
	}
	if n, err := strconv.Atoi(userID); err == nil {
		if w := s.World(n); w != nil {
			return w, nil
		}
	}
	return nil, controlError{http.StatusNotFound, fmt.Sprintf(
		"There is no world of user %s; GET /_mock/worlds lists those there are, POST /_mock/worlds makes one, and default names the first.", short(userID))}
}

func (s *Server) controlWorlds(c *controlCall) (any, error) {
	worlds := []worldAnswer{}
	for _, w := range s.Worlds() {
		worlds = append(worlds, c.describe(w))
	}
	return object{"worlds": worlds}, nil
}

func (c *controlCall) asked() (Query, error) {
	values, err := url.ParseQuery(c.query)
	if err != nil {
		return Query{}, fmt.Errorf("read the query: %w", err)
	}
	query, err := ParseQuery(values)
	if c.streamed && c.lastEvent != "" && err == nil {
		if query.After, err = strconv.Atoi(c.lastEvent); err != nil {
			err = fmt.Errorf("header Last-Event-ID %q: send the id of the last event that came", short(c.lastEvent))
		}
	}
	return query, err
}

func (s *Server) controlServerJournal(c *controlCall) (any, error) {
	query, err := c.asked()
	if err != nil {
		return nil, err
	}
	entries, err := s.Find(query)
	return object{"entries": entries}, err
}

func controlJournal(c *controlCall) (any, error) {
	query, err := c.asked()
	if err != nil {
		return nil, err
	}
	if c.streamed {
		return eventStream{c.world, query}, query.check()
	}
	entries, err := c.world.Find(query)
	return object{"entries": entries}, err
}

func controlCalled(c *controlCall) (any, error) {
	query, err := c.asked()
	if err != nil {
		return nil, err
	}
	n, err := c.world.Called(query)
	return object{"called": n}, err
}

// credentials are an account of which anything may be left out.
type credentials struct {
	UserID        *int     `json:"userId"`
	Token         string   `json:"token"`
	Organizations []string `json:"organizations"`
}

// account makes up what was left out.
func (s *Server) account(sent credentials) Account {
	var account Account
	if sent.UserID != nil {
		account = s.madeUp(*sent.UserID)
	} else {
		account = s.FreshAccount()
	}
	if sent.Token != "" {
		account.Token = sent.Token
	}
	if sent.Organizations != nil {
		account.Organizations = sent.Organizations
	}
	return account
}

func (s *Server) controlNewWorld(c *controlCall) (any, error) {
	sent, err := bodyOf[credentials](c)
	if err != nil {
		return nil, err
	}
	w, err := s.NewWorld(s.account(sent))
	if err != nil {
		return nil, err
	}
	return c.describe(w), nil
}

func (s *Server) controlDeleteWorld(c *controlCall) (any, error) {
	if err := s.DeleteWorld(c.world); err != nil {
		return nil, err
	}
	return object{"deleted": c.world.Account().UserID}, nil
}

func controlLoad(c *controlCall) (any, error) {
	scenario, err := ReadScenario(bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	if err := c.world.Load(scenario); err != nil {
		return nil, err
	}
	return c.describe(c.world), nil
}

func (s *Server) controlFork(c *controlCall) (any, error) {
	sent, err := bodyOf[credentials](c)
	if err != nil {
		return nil, err
	}
	account := s.account(sent)
	w, err := c.world.Fork(account.UserID, account.Token)
	if err != nil {
		return nil, err
	}
	return c.describe(w), nil
}

func controlSetCapacity(c *controlCall) (any, error) {
	sent, err := bodyOf[struct{ Capacity int }](c)
	if err != nil {
		return nil, err
	}
	if err := c.world.SetCapacity(sent.Capacity); err != nil {
		return nil, err
	}
	return object{"capacity": c.world.State().Capacity}, nil
}

func controlSetSpeed(c *controlCall) (any, error) {
	sent, err := bodyOf[struct{ Speed float64 }](c)
	if err != nil {
		return nil, err
	}
	if err := c.world.SetSpeed(sent.Speed); err != nil {
		return nil, err
	}
	return c.speed(), nil
}

func controlAdvance(c *controlCall) (any, error) {
	sent, err := bodyOf[struct{ By Duration }](c)
	if err != nil {
		return nil, err
	}
	now, err := c.world.Advance(time.Duration(sent.By))
	if err != nil {
		return nil, err
	}
	return object{"now": now.UTC()}, nil
}

func controlInject(c *controlCall) (any, error) {
	fault, err := bodyOf[Fault](c)
	if err != nil {
		return nil, err
	}
	if err := c.world.Inject(fault); err != nil {
		return nil, err
	}
	return c.faults(), nil
}

// maxKept is how many snapshots are kept for a world.
const maxKept = 100

func controlSnapshot(c *controlCall) (any, error) {
	id, err := c.world.keep(c.world.Snapshot())
	if err != nil {
		return nil, err
	}
	return object{"snapshot": id, "now": c.world.Now().UTC()}, nil
}

func controlRestore(c *controlCall) (any, error) {
	sent, err := bodyOf[struct{ Snapshot string }](c)
	if err != nil {
		return nil, err
	}
	snapshot, ok := c.world.keptAs(sent.Snapshot)
	if !ok {
		return nil, c.noSnapshot(sent.Snapshot)
	}
	c.world.Restore(snapshot)
	return c.now(), nil
}

func controlForgetSnapshot(c *controlCall) (any, error) {
	id := c.params["snapshot"]
	if !c.world.forget(id) {
		return nil, c.noSnapshot(id)
	}
	return object{"deleted": id}, nil
}

func (c *controlCall) noSnapshot(id string) error {
	return controlError{http.StatusNotFound, fmt.Sprintf(
		"This world has no snapshot %q; GET /_mock/worlds/%d names those it has.", short(id), c.world.Account().UserID)}
}

// keep remembers a snapshot for a program that cannot hold it itself, and gives the name to ask for it by.
func (w *World) keep(snapshot Snapshot) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.kept) >= maxKept {
		return "", conflict{fmt.Errorf("keep snapshot: %d are kept already, which is the limit; DELETE one of them, or restore one again instead of making more", maxKept)}
	}
	if w.kept == nil {
		w.kept = map[string]Snapshot{}
	}
	w.lastKept++
	id := "s" + strconv.Itoa(w.lastKept)
	w.kept[id] = snapshot
	return id, nil
}

func (w *World) keptAs(id string) (Snapshot, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	snapshot, ok := w.kept[id]
	return snapshot, ok
}

func (w *World) forget(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.kept[id]
	delete(w.kept, id)
	return ok
}

// keptIDs are the names of the kept snapshots, oldest first.
func (w *World) keptIDs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.AppendSeq([]string{}, maps.Keys(w.kept))
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return ids
}
