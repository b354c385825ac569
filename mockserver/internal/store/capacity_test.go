package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
)

var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// node is a store whose plans take ten seconds each: one in the queue and nine at work.
type node struct {
	*Store
	t    *testing.T
	now  time.Time
	task int
	ids  []string
}

var anyone = Account{UserID: 1}

func newNode(t *testing.T, capacity int) *node {
	t.Helper()
	n := &node{t: t, now: epoch}
	n.Store = New(Config{Now: func() time.Time { return n.now }, Seed: "node"})
	n.SetCapacity(capacity)
	n.state.rules = []Rule{{Story: &Story{Name: "ten", Plan: lifecycle.Plan{
		{Status: lifecycle.InQueue},
		{Status: lifecycle.Running, Trigger: lifecycle.AfterTime(time.Second)},
		{Status: lifecycle.Completed, Trigger: lifecycle.AfterTime(9 * time.Second)},
	}}}}
	n.task = n.newTask()
	return n
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) newTask() int {
	n.t.Helper()
	task, err := n.CreateTask(anyone, gen.CreateAgentTaskRequest{
		OrganizationID: "o", AgentID: PredefinedAgent, Name: "a", Prompt: "b", ProjectPreference: gen.ProjectPreferenceProjectForTask,
	})
	n.must(err)
	return task.ID
}

func (n *node) deployIn(task int) {
	n.t.Helper()
	d, err := n.CreateDeployment(anyone, gen.CreateAgentDeploymentRequest{TaskID: task})
	n.must(err)
	n.ids = append(n.ids, d.DeploymentID)
}

func (n *node) deploys(count int) {
	n.t.Helper()
	for range count {
		n.deployIn(n.task)
	}
}

func (n *node) stops(i int) {
	n.t.Helper()
	n.must(n.StopDeployment(anyone, gen.StopAgentDeploymentRequest{DeploymentID: n.ids[i]}))
}

func (n *node) deletes(i int) {
	n.t.Helper()
	n.must(n.DeleteDeployment(anyone, gen.DeleteAgentDeploymentRequest{DeploymentID: n.ids[i]}))
}

func (n *node) prompts(i int) {
	n.t.Helper()
	_, err := n.PromptDeployment(anyone, gen.UpdateAgentDeploymentRequest{DeploymentID: n.ids[i], Prompt: "more"})
	n.must(err)
}

func (n *node) to(seconds float64) { n.now = epoch.Add(time.Duration(seconds * float64(time.Second))) }

// shows is the first letter of each status at a time: Queue, Running, Completed, Stopped, or - when it was deleted.
func (n *node) shows(seconds float64) string {
	n.t.Helper()
	n.to(seconds)
	var all strings.Builder
	for _, id := range n.ids {
		letter := "-"
		if d, err := n.ReadDeployment(anyone, gen.ReadAgentDeploymentRequest{DeploymentID: id}); err == nil {
			letter = strings.TrimPrefix(d.Status, "In")[:1]
		}
		all.WriteString(letter)
	}
	return all.String()
}

func (n *node) want(seconds float64, want string) {
	n.t.Helper()
	if got := n.shows(seconds); got != want {
		n.t.Errorf("after %vs: %s, want %s", seconds, got, want)
	}
}

// TestNode plays on nodes of small sizes. Each game looks at the end alone, when all of it has to be worked out at once.
func TestNode(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*node){
		"first come, first served": func(n *node) {
			n.deploys(4)
			n.want(34.9, "CCCR")
			n.want(40, "CCCC")
		},
		"each begins when the one before it ends": func(n *node) {
			n.deploys(3)
			n.want(19, "CRQ")
		},
		"at the very moment": func(n *node) {
			n.deploys(2)
			n.want(20, "CC")
		},
		"a stopped one makes room at once": func(n *node) {
			n.deploys(2)
			n.to(5)
			n.stops(0)
			n.want(14.9, "SR")
			n.want(15, "SC")
		},
		"a deleted one makes room at once": func(n *node) {
			n.deploys(2)
			n.to(5)
			n.deletes(0)
			n.want(14.9, "-R")
			n.want(15, "-C")
		},
		"a deleted task makes room at once": func(n *node) {
			n.deploys(2)
			n.deployIn(n.newTask())
			n.to(5)
			n.must(n.DeleteTask(anyone, gen.DeleteAgentTaskRequest{TaskID: n.task}))
			n.want(14.9, "--R")
			n.want(15, "--C")
		},
		"one that is stopped as it waits is skipped": func(n *node) {
			n.deploys(3)
			n.to(2)
			n.stops(1)
			n.want(19.9, "CSR")
			n.want(20, "CSC")
		},
		"one that is deleted as it waits is skipped": func(n *node) {
			n.deploys(3)
			n.to(2)
			n.deletes(1)
			n.want(19.9, "C-R")
			n.want(20, "C-C")
		},
		"one that was stopped and is prompted waits at the end": func(n *node) {
			n.deploys(3)
			n.to(2)
			n.stops(1)
			n.prompts(1)
			n.want(19.9, "CQR")
			n.want(29, "CCC") // a follow-up is not in the queue for its first second
		},
		"one that has ended and is prompted waits again": func(n *node) {
			n.deploys(2)
			n.to(12)
			n.prompts(0)
			n.want(19.9, "QR")
			n.want(28.9, "RC")
			n.want(29, "CC")
		},
		"one that works and is prompted keeps its room": func(n *node) {
			n.deploys(2)
			n.to(5)
			n.prompts(0)
			n.want(18.9, "RQ")
			n.want(20, "CR")
			n.want(29, "CC")
		},
		"one that waits and is prompted keeps its place": func(n *node) {
			n.deploys(3)
			n.to(5)
			n.prompts(1)
			n.want(28.9, "CRQ")
			n.want(39, "CCC")
		},
		"room that nobody wanted is there for the next": func(n *node) {
			n.deploys(1)
			n.to(50)
			n.deploys(1)
			n.want(51, "CR")
			n.want(60, "CC")
		},
		"more room lets in at once": func(n *node) {
			n.deploys(3)
			n.to(5)
			n.SetCapacity(2)
			n.want(14.9, "CRR")
			n.want(15, "CCR")
			n.want(20, "CCC")
		},
		"what happened before there was more room": func(n *node) {
			n.deploys(3)
			n.to(15)
			n.SetCapacity(2)
			n.want(19.9, "CRR")
			n.want(20, "CCR")
			n.want(25, "CCC")
		},
		"less room drives nobody out": func(n *node) {
			n.SetCapacity(3)
			n.deploys(3)
			n.to(1)
			n.SetCapacity(1)
			n.to(2)
			n.deploys(2)
			n.want(9.9, "RRRQQ")
			n.want(19.9, "CCCRQ")
			n.want(29.9, "CCCCR")
		},
		"a limit counts those that work already": func(n *node) {
			n.SetCapacity(0)
			n.deploys(2)
			n.to(1)
			n.SetCapacity(1)
			n.deploys(1)
			n.want(9.9, "RRQ")
			n.want(11, "CCR")
		},
		"no limit lets all in": func(n *node) {
			n.deploys(3)
			n.to(5)
			n.SetCapacity(0)
			n.want(14.9, "CRR")
			n.want(15, "CCC")
		},
		"settling frees everything": func(n *node) {
			n.deploys(3)
			n.to(3)
			n.Settle()
			n.deploys(2)
			n.want(12.9, "CCCRQ")
			n.want(13, "CCCCQ")
		},
		"stopping what has ended frees nothing": func(n *node) {
			n.deploys(3)
			n.to(12)
			n.stops(0)
			n.want(19.9, "CRQ")
		},
		"a snapshot remembers the queue": func(n *node) {
			n.deploys(3)
			n.to(5)
			snapshot := n.Snapshot()
			n.stops(0)
			n.stops(1)
			n.want(6, "SSR")
			n.Restore(snapshot)
			n.want(19.9, "CRQ")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(newNode(t, 1))
		})
	}
}

func TestNextChangeGoesThroughTheQueue(t *testing.T) {
	t.Parallel()
	n := newNode(t, 1)
	n.deploys(2)
	var seen []string
	for {
		next, ok := n.NextChange()
		if !ok {
			break
		}
		n.now = next
		seen = append(seen, fmt.Sprint(next.Sub(epoch), " ", n.shows(next.Sub(epoch).Seconds())))
	}
	if want := []string{"1s RQ", "10s CQ", "11s CR", "20s CC"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

// TestLookingChangesNothing plays the same random games on two nodes. One is looked at all the time, the other at the end
// alone; a third is put away and taken out again.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		capacity := 1 + random.IntN(3)
		watched, unwatched, stored := newNode(t, capacity), newNode(t, capacity), newNode(t, capacity)
		all := []*node{watched, unwatched, stored}
		at := 0.0
		var game []string
		for range 5 + random.IntN(30) {
			for range random.IntN(12) {
				at++
				watched.shows(at)
			}
			move, i, size := random.IntN(8), 0, random.IntN(4)
			if count := len(watched.ids); count > 0 {
				i = random.IntN(count)
			} else {
				move = 0
			}
			game = append(game, fmt.Sprint(at, ":", move, "/", i, "/", size))
			for _, n := range all {
				n.to(at)
				if _, ok := n.state.deployments.Get(first(n.ids, i)); !ok && move > 2 && move < 6 {
					continue
				}
				switch move {
				case 3:
					n.stops(i)
				case 4:
					n.deletes(i)
				case 5:
					n.prompts(i)
				case 6:
					n.SetCapacity(size)
				case 7:
					if size == 0 {
						n.Settle()
					}
				default:
					n.deploys(1)
				}
			}
			stored.Restore(stored.Snapshot())
		}
		for range 3 {
			at += float64(random.IntN(30))
			want := watched.shows(at)
			for _, n := range all[1:] {
				if got := n.shows(at); got != want {
					t.Fatalf("game %d, capacity %d, %q: at %v %s, but looked at all the time %s", seed, capacity, game, at, got, want)
				}
				for _, id := range n.ids {
					a, errA := watched.ReadConversation(anyone, gen.ReadAgentConversationRequest{DeploymentID: id})
					b, errB := n.ReadConversation(anyone, gen.ReadAgentConversationRequest{DeploymentID: id})
					if !reflect.DeepEqual(a, b) || (errA == nil) != (errB == nil) {
						t.Fatalf("game %d: the conversations of %s differ", seed, id)
					}
				}
			}
			running := 0
			watched.state.deployments.Scan(func(_ string, d *deployment) bool {
				if !d.run.Held() && !d.run.At(watched.now).Ended() {
					running++
				}
				return true
			})
			if limit := watched.state.capacity; len(watched.state.waiting) > 0 && (limit == 0 || running < limit) {
				t.Fatalf("game %d: %d wait, %d work, there is room for %d", seed, len(watched.state.waiting), running, limit)
			}
		}
	}
}

func first(ids []string, i int) string {
	if i < len(ids) {
		return ids[i]
	}
	return ""
}
