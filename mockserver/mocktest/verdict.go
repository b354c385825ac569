package mocktest

import (
	"slices"

	"github.com/qcagents/qcagents/mockserver"
)

// AllowViolations lets the code under test break the contract in these ways, or in every way when none is named, without
// failing the test.
func (w *World) AllowViolations(classes ...mockserver.Class) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(classes) == 0 {
		w.allowAll = true
	}
	if w.allowed == nil {
		w.allowed = map[mockserver.Class]bool{}
	}
	for _, class := range classes {
		w.allowed[class] = true
	}
}

// ExpectViolations is [World.AllowViolations], and fails the test if at its end one of these classes has not occurred
// since. Normal outcomes such as [mockserver.NotFound] may be expected too.
func (w *World) ExpectViolations(classes ...mockserver.Class) {
	if len(classes) == 0 {
		return
	}
	w.AllowViolations(classes...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected = append(w.expected, classes...)
}

// Violations are the ways in which the code under test broke the contract, oldest first, allowed ones and normal outcomes
// included, as far as the journal reaches.
func (w *World) Violations() []mockserver.Violation {
	var all []mockserver.Violation
	for _, e := range slices.Concat(w.strangers(), w.Journal()) {
		all = append(all, e.Violations...)
	}
	return all
}

// strangers are the exchanges that no world could be told for. They count as the first test's.
func (w *World) strangers() []mockserver.Entry {
	if w != w.server.World {
		return nil
	}
	return w.server.server.Journal()
}

// normal reports whether a class is an outcome that a correct program can meet.
func normal(class mockserver.Class) bool {
	return class == mockserver.NotFound || class == mockserver.StateConflict
}

// observe judges an exchange. It runs in the exchange's goroutine, so it must not end the test.
func (w *World) observe(e mockserver.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return // whoever calls outlives the test, which can hear no more
	}
	for _, v := range e.Violations {
		w.expected = slices.DeleteFunc(w.expected, func(class mockserver.Class) bool { return class == v.Class })
		if normal(v.Class) || w.allowAll || w.allowed[v.Class] {
			continue
		}
		where := ""
		if v.Pointer != "" {
			where = " at " + v.Pointer
		}
		w.t.Errorf("%s broke the contract (%s%s): %s\n\tIf the test means it to: srv.AllowViolations(%q)",
			operationOf(e), v.Class, where, v.Text, v.Class)
	}
}

// finish is the last that a test hears of its world.
func (w *World) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, class := range w.expected {
		w.t.Errorf("the code under test was expected to break the contract (%s) and did not", class)
	}
	if !w.t.Failed() {
		return
	}
	if journal := w.Journal(); len(journal) > 0 {
		w.t.Log("exchanges with the mock:\n" + table(journal))
	}
	if strangers := w.strangers(); len(strangers) > 0 {
		w.t.Log("exchanges that could not be told to belong to any account:\n" + table(strangers))
	}
}
