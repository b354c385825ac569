package main

import (
	"slices"
	"sync"

	"github.com/qcagents/qcagents/mockserver"
)

// recordBytes is about how much memory the exchanges of a run may take: far more than a test run sends.
const recordBytes = 256 << 20

// record keeps the exchanges of a run. The mock's journals do not serve for that: a test may empty them between its steps,
// and then what was found before would not count.
type record struct {
	limit int

	mu        sync.Mutex
	entries   []mockserver.Entry
	bytes     int
	forgotten int
}

func (r *record) add(e mockserver.Entry) {
	const fixed = 1000
	size := fixed + len(e.Request.Body)
	if e.Response != nil {
		size += len(e.Response.Body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// What broke the contract is remembered longer than what kept it.
	if limit := r.limit; r.bytes+size > limit && (len(e.Violations) == 0 || r.bytes+size > 2*limit) {
		r.forgotten++
		return
	}
	r.bytes += size
	r.entries = append(r.entries, e)
}

// all gives the exchanges, and how many there were besides.
func (r *record) all() (entries []mockserver.Entry, forgotten int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.entries), r.forgotten
}
