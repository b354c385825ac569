package mockserver

import (
	"sync"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// crowd is how many deployments the benchmarks' world has.
const crowd = 100_000

var benchAccount = store.Account{UserID: DefaultUserID, Organizations: []string{DefaultOrganizationID}}

// crowded is the benchmarks' world, made once.
var crowded = sync.OnceValues(func() (*World, error) { return makeCrowd(crowd) })

// makeCrowd makes a world with deployments that have ended.
func makeCrowd(size int) (*World, error) {
	server, err := New(WithSeed("benchmark"))
	if err != nil {
		return nil, err
	}
	w := server.Default()
	task, err := w.store.CreateTask(benchAccount, gen.CreateAgentTaskRequest{
		OrganizationID: DefaultOrganizationID, AgentID: 47, Name: "Task", Prompt: "Buy SPY and hold it.",
		ProjectPreference: gen.ProjectPreferenceProjectForTask,
	})
	if err != nil {
		return nil, err
	}
	for range size {
		if _, err := w.store.CreateDeployment(benchAccount, gen.CreateAgentDeploymentRequest{TaskID: task.ID}); err != nil {
			return nil, err
		}
	}
	_, err = w.Advance(time.Hour)
	return w, err
}

func benchWorld(b *testing.B) (*World, int) {
	b.Helper()
	w, err := crowded()
	return w, taskOf(b, w, err)
}

// taskOf is the task of a crowded world.
func taskOf(tb testing.TB, w *World, err error) int {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tasks, err := w.store.ListTasks(benchAccount, gen.ListAgentTasksRequest{OrganizationID: DefaultOrganizationID})
	if err != nil {
		tb.Fatal(err)
	}
	return tasks[0].ID
}

func write(tb testing.TB, w *World, taskID int) {
	tb.Helper()
	if _, err := w.store.CreateDeployment(benchAccount, gen.CreateAgentDeploymentRequest{TaskID: taskID}); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkFork forks a world with a hundred thousand deployments, and writes into the fork and into the original.
func BenchmarkFork(b *testing.B) {
	b.ReportAllocs()
	w, taskID := benchWorld(b)
	before := w.Snapshot()
	defer w.Restore(before)
	for b.Loop() {
		fork, err := w.Fork(2, "token")
		if err != nil {
			b.Fatal(err)
		}
		write(b, fork, taskID)
		write(b, w, taskID)
		if err := w.server.DeleteWorld(fork); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot remembers such a world, changes it, and restores it.
func BenchmarkSnapshot(b *testing.B) {
	b.ReportAllocs()
	w, taskID := benchWorld(b)
	for b.Loop() {
		snapshot := w.Snapshot()
		write(b, w, taskID)
		w.Restore(snapshot)
	}
}

// BenchmarkReset goes back to such a world.
func BenchmarkReset(b *testing.B) {
	b.ReportAllocs()
	w, taskID := benchWorld(b)
	fork, err := w.Fork(3, "token")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.server.DeleteWorld(fork) }()
	for b.Loop() {
		write(b, fork, taskID)
		fork.Reset()
	}
}

// The size of a world must not be felt: what a benchmark measures, a test bounds, with room for slow machines.
func TestForksAndSnapshotsCostNoMoreThanAPointer(t *testing.T) {
	w, err := makeCrowd(10_000) // the race detector makes more of them a nuisance
	taskID := taskOf(t, w, err)
	const few = 300 // allocations; a copy would take ten thousand
	for name, act := range map[string]func(){
		"snapshot": func() { w.Snapshot() },
		"restore":  func() { w.Restore(w.Snapshot()) },
		"fork and first writes": func() {
			fork, err := w.Fork(4, "token")
			if err != nil {
				t.Fatal(err)
			}
			write(t, fork, taskID)
			write(t, w, taskID)
			_ = w.server.DeleteWorld(fork)
		},
	} {
		if n := testing.AllocsPerRun(10, act); n > few {
			t.Errorf("%s: %v allocations, want at most %d", name, n, few)
		}
	}
}
