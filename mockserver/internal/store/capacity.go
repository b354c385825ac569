package store

import (
	"cmp"
	"slices"
	"time"
)

// An agent node runs only so many agents at once; further deployments wait in its queue. That much is documented. That
// they are taken first come, first served, and at the very moment when another ends, is inferred. So is that a deployment
// takes room from then on until it ends, even where its plan still shows it in queue.

// SetCapacity sets how many deployments work at once; 0 is no limit. Those that work already go on, even if they are more.
func (s *Store) SetCapacity(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.giveRoom(now) // what happened until now happened with the room that there was
	if s.state.capacity == 0 {
		s.countWork(now)
	}
	s.state.capacity = n
	s.giveRoom(now)
}

// countWork finds the deployments that take room. Nobody counts them while there is no limit.
func (s *Store) countWork(now time.Time) {
	var working []*deployment
	s.state.deployments.Scan(func(_ string, d *deployment) bool {
		if !d.run.Held() && !d.run.At(now).Ended() {
			working = append(working, d)
		}
		return true
	})
	slices.SortFunc(working, func(a, b *deployment) int { return cmp.Compare(a.seq, b.seq) })
	s.state.atWork = nil
	for _, d := range working {
		s.state.atWork = append(s.state.atWork, d.id)
	}
}

// takeRoom reports whether a deployment that is about to work may do so at once. If not, it is put in the queue.
func (s *Store) takeRoom(d *deployment, now time.Time) bool {
	if s.state.capacity == 0 {
		return true
	}
	s.giveRoom(now)
	if len(s.state.atWork) < s.state.capacity {
		s.state.atWork = append(slices.Clip(s.state.atWork), d.id)
		return true
	}
	s.state.waiting = append(slices.Clip(s.state.waiting), d.id)
	return false
}

// leave takes deployments that were stopped or deleted out of the queue, and gives their room to the next, at once.
// Whatever makes room otherwise than by time calls it, so that giveRoom finds the same whenever it is called.
func (s *Store) leave(now time.Time, ids ...string) {
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	isGone := func(id string) bool { return gone[id] }
	s.state.waiting = slices.DeleteFunc(slices.Clone(s.state.waiting), isGone)
	s.state.atWork = slices.DeleteFunc(slices.Clone(s.state.atWork), isGone)
	s.giveRoom(now)
}

// giveRoom lets waiting deployments in, each at the time when the one before it ended. It finds the same whenever it is
// called, and however often.
func (s *Store) giveRoom(now time.Time) {
	for len(s.state.waiting) > 0 {
		at := now
		if s.state.capacity > 0 && len(s.state.atWork) >= s.state.capacity {
			ended := -1
			for i, id := range s.state.atWork {
				end, over := s.endOf(id, now)
				if over && (ended < 0 || end.Before(at)) {
					ended, at = i, end
				}
			}
			if ended < 0 {
				return
			}
			s.state.atWork = slices.Delete(slices.Clone(s.state.atWork), ended, ended+1)
			if len(s.state.atWork) >= s.state.capacity {
				continue // there were more at work than there is room
			}
		}
		next := s.state.waiting[0]
		s.state.waiting = s.state.waiting[1:]
		d, _ := s.state.deployments.Get(next)
		// Nothing starts before it was asked for.
		entered := d.run.Entered()
		if asked := entered[len(entered)-1].At; at.Before(asked) {
			at = asked
		}
		s.keep(d, d.run.Release(at))
		s.state.atWork = append(slices.Clip(s.state.atWork), next)
	}
	if s.state.capacity > 0 {
		s.state.atWork = slices.DeleteFunc(slices.Clone(s.state.atWork), func(id string) bool {
			_, over := s.endOf(id, now)
			return over
		})
	}
}

// endOf is when a deployment at work ended, if it has.
func (s *Store) endOf(id string, now time.Time) (time.Time, bool) {
	d, _ := s.state.deployments.Get(id)
	run := d.run.At(now)
	entered := run.Entered()
	return entered[len(entered)-1].At, run.Ended()
}

// changes calls yield with the time of the next change of each deployment that time alone will change.
func (s *Store) changes(now time.Time, yield func(time.Time)) {
	s.giveRoom(now)
	s.state.deployments.Scan(func(_ string, d *deployment) bool {
		if at, ok := d.run.At(now).Next(); ok {
			yield(at)
		}
		return true
	})
}

// NextChange is when time alone will next change the status of any deployment; false if it will not.
func (s *Store) NextChange() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next time.Time
	s.changes(s.now(), func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	})
	return next, !next.IsZero()
}

// Settle brings every deployment to the end of its plan, now.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.giveRoom(now)
	var all []*deployment
	s.state.deployments.Scan(func(_ string, d *deployment) bool {
		all = append(all, d)
		return true
	})
	for _, d := range all {
		if run := d.run.Settle(now); len(run.Entered()) != len(d.run.Entered()) {
			s.keep(d, run)
		}
	}
	s.state.waiting = nil
	if s.state.capacity > 0 {
		s.countWork(now)
	}
}
