package store

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/lifecycle"
)

// deployment is immutable; every change replaces it.
type deployment struct {
	id        string
	seq       int
	task      *task // as it was when deployed
	projectID int
	created   *string
	run       lifecycle.Run
	story     *Story // of the task's own prompt
	followUps []turn
	// seen is how many of the run's entries some call has seen.
	seen int
}

func (d *deployment) wire(run lifecycle.Run) gen.AgentDeployment {
	return gen.AgentDeployment{
		DeploymentID: d.id,
		Status:       run.Status(),
		TaskID:       &d.task.ID,
		AgentID:      &d.task.agentID,
		ProjectID:    &d.projectID,
		Created:      d.created,
	}
}

func (s *Store) deployment(by Account, id string) (*deployment, error) {
	s.giveRoom(s.now())
	d, ok := s.state.deployments.Get(id)
	if !ok || !by.owns(d.task.organization) {
		return nil, notFound("/deploymentId", "Deployment %s not found: no organization of user %d has it; list a task's deployments with /agents/deployments/list.",
			quoted(id), by.UserID)
	}
	return d, nil
}

func (s *Store) deploymentsOf(taskID int) iter.Seq[deployed] {
	return from(s.state.deploymentsOf, deployed{taskID: taskID}, func(entry deployed) bool { return entry.taskID == taskID })
}

// keep replaces a deployment by one whose run has gone on.
func (s *Store) keep(d *deployment, run lifecycle.Run) *deployment {
	changed := *d
	changed.run = run
	s.state.deployments.Set(changed.id, &changed)
	return &changed
}

// show is what a caller sees of a deployment, noted if it is the first to see it.
func (s *Store) show(by Account, d *deployment, run lifecycle.Run) gen.AgentDeployment {
	if entered := run.Entered(); by.Saw != nil && len(entered) > d.seen {
		for _, e := range entered[d.seen:] {
			*by.Saw = append(*by.Saw, Transition{DeploymentID: d.id, Status: e.Status, At: e.At})
		}
		changed := *d
		changed.seen = len(entered)
		s.state.deployments.Set(changed.id, &changed)
	}
	return d.wire(run)
}

// CreateDeployment starts a run of a task.
func (s *Store) CreateDeployment(by Account, req gen.CreateAgentDeploymentRequest) (gen.AgentDeployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(by, req.TaskID)
	if err != nil {
		return gen.AgentDeployment{}, err
	}
	if _, ok := s.state.agents.Get(t.agentID); !ok {
		return gen.AgentDeployment{}, &Error{Class: StateConflict, Pointer: "/taskId",
			Text: "The agent of this task has been deleted, so the task cannot be deployed; create a task for another agent."}
	}
	d := s.deploy(t, "", s.story(t, t.prompt), s.now())
	return s.show(by, d, d.run), nil
}

// deploy starts a run of a task at a time. An empty id is assigned.
func (s *Store) deploy(t *task, id string, story *Story, now time.Time) *deployment {
	projectID := 0
	switch {
	case t.ProjectID != nil:
		projectID = *t.ProjectID
	default:
		s.state.lastProject++
		projectID = s.state.lastProject
		if t.sharesProject {
			withProject := *t
			withProject.ProjectID = &projectID
			t = &withProject
			s.state.tasks.Set(t.ID, t)
		}
	}
	s.state.lastDeployment++
	d := &deployment{
		id:        cmp.Or(id, "A-"+s.hexID("deployment", s.state.lastDeployment)),
		seq:       s.state.lastDeployment,
		task:      t,
		projectID: projectID,
		created:   s.timestamp(),
		story:     story,
	}
	if s.takeRoom(d, now) {
		d.run = lifecycle.Start(d.story.Plan, now)
	} else {
		d.run = lifecycle.StartHeld(d.story.Plan, now)
	}
	s.state.deployments.Set(d.id, d)
	s.state.deploymentsOf.Set(deployed{t.ID, d.seq, d.id})
	return d
}

// ReadDeployment gives a deployment as it stands now, and counts as a read of it.
func (s *Store) ReadDeployment(by Account, req gen.ReadAgentDeploymentRequest) (gen.AgentDeployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(by, req.DeploymentID)
	if err != nil {
		return gen.AgentDeployment{}, err
	}
	now := s.now()
	run := d.run.Read(now)
	if d.run.At(now).CountsReads() {
		d = s.keep(d, run)
	}
	return s.show(by, d, run), nil
}

// PromptDeployment gives a deployment another prompt to work on, whether it still runs or not.
func (s *Store) PromptDeployment(by Account, req gen.UpdateAgentDeploymentRequest) (gen.AgentDeployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(by, req.DeploymentID)
	if err != nil {
		return gen.AgentDeployment{}, err
	}
	if err := s.checkMarker(req.Prompt); err != nil {
		return gen.AgentDeployment{}, err
	}
	d = s.prompt(d, turn{req.Prompt, s.story(d.task, req.Prompt)}, s.now())
	return s.show(by, d, d.run), nil
}

// prompt gives a deployment another turn at a time.
func (s *Store) prompt(d *deployment, t turn, now time.Time) *deployment {
	held := d.run.At(now).Ended() && !s.takeRoom(d, now)
	prompted := *d
	prompted.followUps = append(slices.Clip(d.followUps), t)
	prompted.run = d.run.Prompt(now, t.story.Plan, held)
	s.state.deployments.Set(prompted.id, &prompted)
	return &prompted
}

// StopDeployment ends a deployment. Stopping one that has ended succeeds and changes nothing.
func (s *Store) StopDeployment(by Account, req gen.StopAgentDeploymentRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(by, req.DeploymentID)
	if err != nil {
		return err
	}
	now := s.now()
	if !d.run.At(now).Ended() {
		d = s.keep(d, d.run.Stop(now))
		s.leave(now, d.id)
	}
	s.show(by, d, d.run.At(now))
	return nil
}

// DeleteDeployment removes a deployment and its transcript, running or not.
func (s *Store) DeleteDeployment(by Account, req gen.DeleteAgentDeploymentRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(by, req.DeploymentID)
	if err != nil {
		return err
	}
	s.state.deployments.Delete(d.id)
	s.state.deploymentsOf.Delete(deployed{taskID: d.task.ID, seq: d.seq})
	s.leave(s.now(), d.id)
	return nil
}

// ListDeployments gives the deployments of a task as they stand now, oldest first.
func (s *Store) ListDeployments(by Account, req gen.ListAgentDeploymentsRequest) ([]gen.AgentDeployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(by, req.TaskID)
	if err != nil {
		return nil, err
	}
	now := s.now()
	s.giveRoom(now)
	deployments := []gen.AgentDeployment{}
	for entry := range s.deploymentsOf(t.ID) {
		if d, ok := s.state.deployments.Get(entry.id); ok {
			deployments = append(deployments, s.show(by, d, d.run.At(now)))
		}
	}
	return deployments, nil
}

// ReadConversation gives the transcript of a deployment as far as it has got, or that of a sub-agent's call; nil when the
// deployment has none.
func (s *Store) ReadConversation(by Account, req gen.ReadAgentConversationRequest) (*gen.AgentConversation, error) {
	s.mu.Lock()
	d, err := s.deployment(by, req.DeploymentID)
	now := s.now()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return d.conversation(now, req.CallableID)
}
