package mocktest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver/mocktest"
)

// BenchmarkNew is what a test pays for a server of its own.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := &silent{TB: b}
		mocktest.New(s)
		s.end()
	}
}

// BenchmarkNewWorld is what a test pays for a world in a server that is there.
func BenchmarkNewWorld(b *testing.B) {
	b.ReportAllocs()
	srv := mocktest.New(b)
	for b.Loop() {
		s := &silent{TB: b}
		srv.NewWorld(s)
		s.end()
	}
}

// silent is a test that ends when it is told to.
type silent struct {
	testing.TB
	cleanups []func()
}

func (s *silent) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *silent) end() {
	for len(s.cleanups) > 0 {
		last := s.cleanups[len(s.cleanups)-1]
		s.cleanups = s.cleanups[:len(s.cleanups)-1]
		last()
	}
}

// lifecycle runs a task for ninety seconds, polls it every two, and reads the transcript at the end.
func lifecycle(tb testing.TB, world *mocktest.World, pause func(time.Duration)) {
	tb.Helper()
	ctx := tb.Context()
	c := world.Client()
	request := newTask(world)
	request.Prompt = "Research momentum. [mock:long-running]"
	task, err := c.Tasks.Create(ctx, request)
	if err != nil {
		tb.Fatal(err)
	}
	deployment, err := c.Deployments.Create(ctx, task.ID)
	if err != nil {
		tb.Fatal(err)
	}
	for polled := time.Duration(0); polled < 90*time.Second; polled += 2 * time.Second {
		if deployment, err = c.Deployments.Read(ctx, deployment.DeploymentID); err != nil || client.IsFinal(deployment.Status) {
			tb.Fatal(deployment, err)
		}
		pause(2 * time.Second)
	}
	world.Settle()
	if deployment, err = c.Deployments.Read(ctx, deployment.DeploymentID); err != nil || deployment.Status != client.StatusCompleted {
		tb.Fatal(deployment, err)
	}
	if _, err := c.Deployments.ReadConversation(ctx, deployment.DeploymentID); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkLifecycle is a ninety-second deployment, polled every two seconds through the client, whole.
func BenchmarkLifecycle(b *testing.B) {
	b.ReportAllocs()
	srv := mocktest.New(b)
	srv.Freeze()
	for b.Loop() {
		lifecycle(b, srv.World, func(d time.Duration) { srv.Advance(d) })
		srv.Reset()
	}
}

// The same in a bubble, where waiting takes the bubble's time.
func TestLifecycleInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		lifecycle(t, mocktest.New(t).World, time.Sleep)
		if took := time.Since(begun); took != 90*time.Second {
			t.Errorf("took %s of the bubble's time", took)
		}
	})
}
