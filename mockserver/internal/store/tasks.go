package store

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"

	"github.com/qcagents/qcagents/gen"
)

// task is immutable; an update replaces it.
type task struct {
	gen.AgentTask
	organization string
	agentID      int
	prompt       string
	// sharesProject is true when all deployments work in the task's own project.
	sharesProject bool
}

func ofOrganization(index *btree.BTreeG[owned], organization string) iter.Seq[owned] {
	return from(index, owned{organization: organization}, func(entry owned) bool { return entry.organization == organization })
}

func (s *Store) task(by Account, id int) (*task, error) {
	t, ok := s.state.tasks.Get(id)
	if !ok || !by.owns(t.organization) {
		return nil, notFound("/taskId", "Task %d not found: no organization of user %d has it; list its tasks with /agents/tasks/list.", id, by.UserID)
	}
	return t, nil
}

// CreateTask makes a task of an organization for an agent of it, or for a predefined one.
func (s *Store) CreateTask(by Account, req gen.CreateAgentTaskRequest) (gen.AgentTask, error) {
	if err := by.require(req.OrganizationID); err != nil {
		return gen.AgentTask{}, err
	}
	name := normalized(req.Name)
	if name == "" {
		return gen.AgentTask{}, blankName()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.usable(by, req.AgentID)
	if err != nil {
		return gen.AgentTask{}, err
	}
	if a.organization != quantConnect && a.organization != req.OrganizationID {
		return gen.AgentTask{}, notFound("/agentId", "Agent %d not found: it belongs to another organization than %s; name an agent of this one.",
			req.AgentID, quoted(req.OrganizationID))
	}
	if err := s.checkMarker(req.Prompt); err != nil {
		return gen.AgentTask{}, err
	}
	s.state.lastTask++
	t := &task{
		organization:  req.OrganizationID,
		agentID:       req.AgentID,
		prompt:        req.Prompt,
		sharesProject: req.ProjectPreference == gen.ProjectPreferenceProjectForTask,
		AgentTask: gen.AgentTask{
			ID:                s.state.lastTask,
			Name:              name,
			OrganizationID:    &req.OrganizationID,
			AgentID:           &req.AgentID,
			Prompt:            &req.Prompt,
			ProjectPreference: new(string(req.ProjectPreference)),
			Created:           s.timestamp(),
		},
	}
	s.state.tasks.Set(t.ID, t)
	s.state.tasksOf.Set(owned{t.organization, t.ID})
	return t.AgentTask, nil
}

// ReadTask gives a task of the account's organizations.
func (s *Store) ReadTask(by Account, req gen.ReadAgentTaskRequest) (gen.AgentTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(by, req.TaskID)
	if err != nil {
		return gen.AgentTask{}, err
	}
	return t.AgentTask, nil
}

// UpdateTask renames a task, if there is a name; it is kept as sent.
func (s *Store) UpdateTask(by Account, req gen.UpdateAgentTaskRequest) (gen.AgentTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(by, req.TaskID)
	if err != nil {
		return gen.AgentTask{}, err
	}
	changed := *t
	set(&changed.Name, req.Name)
	s.state.tasks.Set(changed.ID, &changed)
	return changed.AgentTask, nil
}

// DeleteTask removes a task and its deployments, running or not.
func (s *Store) DeleteTask(by Account, req gen.DeleteAgentTaskRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.task(by, req.TaskID)
	if err != nil {
		return err
	}
	now := s.now()
	s.giveRoom(now)
	var gone []string
	for _, entry := range slices.Collect(s.deploymentsOf(t.ID)) {
		gone = append(gone, entry.id)
		s.state.deployments.Delete(entry.id)
		s.state.deploymentsOf.Delete(entry)
	}
	s.leave(now, gone...)
	s.state.tasks.Delete(t.ID)
	s.state.tasksOf.Delete(owned{t.organization, t.ID})
	return nil
}

// ListTasks gives the tasks that an organization owns, oldest first.
func (s *Store) ListTasks(by Account, req gen.ListAgentTasksRequest) ([]gen.AgentTask, error) {
	if err := by.require(req.OrganizationID); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tasks := []gen.AgentTask{}
	for entry := range ofOrganization(s.state.tasksOf, req.OrganizationID) {
		if t, ok := s.state.tasks.Get(entry.id); ok {
			tasks = append(tasks, t.AgentTask)
		}
	}
	return tasks, nil
}
