package store

import (
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// The maps mark themselves as shared when they are copied, so this is a race unless somebody guards it.
func TestASnapshotCanBeRestoredIntoManyStoresAtOnce(t *testing.T) {
	t.Parallel()
	config := Config{Now: func() time.Time { return time.Unix(0, 0) }, Seed: "s"}
	original := New(config)
	by := Account{UserID: 1, Organizations: []string{"o"}}
	if _, err := original.CreateAgent(by, gen.CreateAgentRequest{OrganizationID: "o", Name: "one"}); err != nil {
		t.Fatal(err)
	}
	snapshot := original.Snapshot()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s := New(config)
			for range 50 {
				s.Restore(snapshot)
				if _, err := s.CreateAgent(by, gen.CreateAgentRequest{OrganizationID: "o", Name: "two"}); err != nil {
					t.Error(err)
				}
				agents, err := s.ListAgents(by, gen.ListAgentsRequest{OrganizationID: "o"})
				if err != nil || len(agents) != 2 {
					t.Errorf("%d agents, %v; want the snapshot's and the new one", len(agents), err)
				}
			}
		})
	}
	group.Wait()
}
