package store

// Census is how much a store holds. QuantConnect's own agents are not counted.
type Census struct {
	Agents, Tasks int
	// Deployments is how many deployments have each status.
	Deployments map[string]int
	Capacity    int
}

// Census counts what the store holds. It is no read of a deployment.
func (s *Store) Census() Census {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.giveRoom(now)
	c := Census{
		Agents:      s.state.agentsOf.Len(),
		Tasks:       s.state.tasks.Len(),
		Deployments: map[string]int{},
		Capacity:    s.state.capacity,
	}
	s.state.deployments.Scan(func(_ string, d *deployment) bool {
		c.Deployments[d.run.At(now).Status()]++
		return true
	})
	return c
}
