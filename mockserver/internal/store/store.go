// Package store is the memory of the imaginary QuantConnect: its agents, tasks and deployments, their identifiers, who
// owns them, and what may be done to them. It works out where a deployment stands and what its transcript says when it
// is asked, and keeps neither.
//
// It does not know HTTP, signatures, faults or the journal. Callers have been authenticated; requests have the shape
// that the contract asks for.
//
// What QuantConnect documents of the rules is little; the choices made here are listed by the mock's fidelity ledger.
package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"
)

// Account is on whose behalf a call is made.
type Account struct {
	UserID int
	// Organizations are the organizations that the account belongs to; nil means every one that it names.
	Organizations []string
	// Saw, when it is not nil, collects the changes of status that this call is the first to see.
	Saw *[]Transition
}

// Transition is a change of a deployment's status.
type Transition struct {
	DeploymentID string
	Status       string
	At           time.Time
}

func (a Account) owns(organization string) bool {
	return a.Organizations == nil && organization != quantConnect || slices.Contains(a.Organizations, organization)
}

// quantConnect owns the predefined agents. No account belongs to it.
const quantConnect = ""

// Config is what a store is made with.
type Config struct {
	// Now tells the time of this world.
	Now func() time.Time
	// Seed makes identifiers repeatable: stores with one seed give the same identifiers to the same calls.
	Seed string
}

// Store holds the records of one world. It is safe for concurrent use.
type Store struct {
	now  func() time.Time
	seed string

	mu    sync.Mutex
	state *state
}

// state is what Snapshot copies. The maps share structure between copies, so a copy costs no more than a few pointers.
type state struct {
	agents      btree.Map[int, *agent]
	tasks       btree.Map[int, *task]
	deployments btree.Map[string, *deployment]

	// The indexes answer the lists in the order of creation.
	agentsOf      *btree.BTreeG[owned]
	tasksOf       *btree.BTreeG[owned]
	deploymentsOf *btree.BTreeG[deployed]

	lastAgent, lastTask, lastProject, lastDeployment int

	rules   []Rule
	stories map[string]*Story // beyond the built-in ones; replaced whole

	capacity int      // deployments at work at once; 0 is no limit
	atWork   []string // deployments that take room, as far as is known
	waiting  []string // deployments that wait for it, first come first
}

// copied shares all records with the original; whichever of the two changes first copies what it changes.
func (s *state) copied() *state {
	c := *s
	c.agents, c.tasks, c.deployments = *s.agents.Copy(), *s.tasks.Copy(), *s.deployments.Copy()
	c.agentsOf, c.tasksOf, c.deploymentsOf = s.agentsOf.Copy(), s.tasksOf.Copy(), s.deploymentsOf.Copy()
	c.atWork, c.waiting = slices.Clip(s.atWork), slices.Clip(s.waiting)
	return &c
}

// Snapshot is what a store held at some time. It does not change, and may be restored into several stores at once.
type Snapshot struct{ held *held }

// held guards the copying: a map that is copied marks itself as shared.
type held struct {
	mu    sync.Mutex
	state *state
}

func (h *held) copied() *state {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.copied()
}

// Snapshot remembers what the store holds. It costs no more than a few pointers, however much that is.
func (s *Store) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Snapshot{&held{state: s.state.copied()}}
}

// Restore makes the store hold what a snapshot remembers, its own or another store's.
func (s *Store) Restore(snapshot Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = snapshot.held.copied()
}

// owned is an index entry: an organization and the agent or task that it owns.
type owned struct {
	organization string
	id           int
}

func (a owned) less(b owned) bool {
	return cmp.Or(cmp.Compare(a.organization, b.organization), cmp.Compare(a.id, b.id)) < 0
}

// deployed is an index entry: a task and a deployment of it.
type deployed struct {
	taskID, seq int
	id          string
}

func (a deployed) less(b deployed) bool {
	return cmp.Or(cmp.Compare(a.taskID, b.taskID), cmp.Compare(a.seq, b.seq)) < 0
}

// from gives the entries of a sorted index from pivot on, for as long as they belong.
func from[T any](index *btree.BTreeG[T], pivot T, belongs func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		index.Ascend(pivot, func(entry T) bool { return belongs(entry) && yield(entry) })
	}
}

// Where the numbering of identifiers begins; the size of the numbers is what the documentation's examples show.
const (
	firstAgent   = 101
	firstTask    = 1001
	firstProject = 20000001
)

// New makes a store that holds only what every QuantConnect has: the predefined agent 47.
func New(config Config) *Store {
	s := &Store{now: config.Now, seed: config.Seed}
	unlocked := btree.Options{NoLocks: true} // the store's own lock is around every use
	s.state = &state{
		agentsOf:      btree.NewBTreeGOptions(owned.less, unlocked),
		tasksOf:       btree.NewBTreeGOptions(owned.less, unlocked),
		deploymentsOf: btree.NewBTreeGOptions(deployed.less, unlocked),
		lastAgent:     firstAgent - 1, lastTask: firstTask - 1, lastProject: firstProject - 1,
	}
	s.state.agents.Set(PredefinedAgent, predefined())
	return s
}

func (s *Store) timestamp() *string {
	return new(s.now().UTC().Format(time.RFC3339))
}

// hexID gives 32 hexadecimal digits for the nth thing of a kind.
func (s *Store) hexID(kind string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", s.seed, kind, n))
	return hex.EncodeToString(sum[:16])
}

// Class says what kind of refusal an [Error] is, by the identifier of its violation class.
type Class string

// The classes of refusals that a store gives.
const (
	NotFound      Class = "not-found"
	StateConflict Class = "state-conflict"
)

// Error is a refusal. Its text is one sentence for the caller that says what to do.
type Error struct {
	Class Class
	// Pointer is the JSON pointer of the request member that the refusal is about.
	Pointer string
	Text    string
}

// Error is the refusal's text.
func (e *Error) Error() string { return e.Text }

func notFound(pointer, format string, args ...any) error {
	return &Error{Class: NotFound, Pointer: pointer, Text: fmt.Sprintf(format, args...)}
}

func (a Account) require(organization string) error {
	if a.owns(organization) {
		return nil
	}
	if a.Organizations == nil {
		return notFound("/organizationId", "Organization %s not found: name one that is not empty.", quoted(organization))
	}
	belongs := "none; "
	switch len(a.Organizations) {
	case 0:
	case 1:
		belongs = a.Organizations[0] + "; name that one, or "
	default:
		belongs = strings.Join(a.Organizations, ", ") + "; name one of them, or "
	}
	return notFound("/organizationId", "Organization %s not found: user %d belongs to %sgive the user this one, "+
		"with --organization of qcmock serve or in the accounts of a scenario.", quoted(organization), a.UserID, belongs)
}

// quoted keeps what a caller sent readable and short in a sentence.
func quoted(text string) string {
	const limit = 80
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// normalized is what becomes of a name on creation: trimmed, and every run of white space one space. That names may be
// changed is documented; how is inferred.
func normalized(name string) string { return strings.Join(strings.Fields(name), " ") }
