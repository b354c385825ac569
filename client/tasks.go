package client

import (
	"context"

	"github.com/qcagents/qcagents/gen"
)

// TaskService works on tasks: a prompt for an agent, kept to be deployed any number of times.
type TaskService struct{ chain *chain }

// Create makes a task and gives it back with its number, and with its name, which the service may have rewritten. It is
// sent again only when the first request certainly never ran; when its answer is lost, [Error.MayHaveTakenEffect] says
// so.
//
// Operation createTask; evidence: documented request, observed answer.
func (s *TaskService) Create(ctx context.Context, request CreateAgentTaskRequest) (*Task, error) {
	req, err := gen.NewCreateTaskRequest(s.chain.server(), request)
	got, ans, err := fetch[gen.AgentTaskResponse](ctx, s.chain, opCreateTask, req, err)
	if err != nil {
		return nil, err
	}
	if got.Task == nil || got.Task.ID == 0 {
		return nil, missing(opCreateTask, ans, "the answer holds no task with an id")
	}
	return got.Task, nil
}

// Read gives one task.
//
// Operation readTask; evidence: documented request, observed answer.
func (s *TaskService) Read(ctx context.Context, taskID int) (*Task, error) {
	req, err := gen.NewReadTaskRequest(s.chain.server(), gen.ReadAgentTaskRequest{TaskID: taskID})
	got, ans, err := fetch[gen.AgentTaskResponse](ctx, s.chain, opReadTask, req, err)
	if err != nil {
		return nil, err
	}
	if got.Task == nil {
		return nil, missing(opReadTask, ans, "the answer holds no task")
	}
	return got.Task, nil
}

// Update renames a task. Its prompt, agent and project preference cannot be changed.
//
// Operation updateTask; evidence: documented.
func (s *TaskService) Update(ctx context.Context, request UpdateAgentTaskRequest) error {
	req, err := gen.NewUpdateTaskRequest(s.chain.server(), request)
	return run(ctx, s.chain, opUpdateTask, req, err)
}

// Delete removes a task. What becomes of its deployments is not documented.
//
// Operation deleteTask; evidence: documented.
func (s *TaskService) Delete(ctx context.Context, taskID int) error {
	req, err := gen.NewDeleteTaskRequest(s.chain.server(), gen.DeleteAgentTaskRequest{TaskID: taskID})
	return run(ctx, s.chain, opDeleteTask, req, err)
}

// List gives the tasks of an organization. An answer without the list is [ErrUnexpectedBody]: its name is inferred, so
// its absence is no proof that there are none.
//
// Operation listTasks; evidence: documented request, inferred answer.
func (s *TaskService) List(ctx context.Context, organizationID string) ([]Task, error) {
	req, err := gen.NewListTasksRequest(s.chain.server(), gen.ListAgentTasksRequest{OrganizationID: organizationID})
	got, ans, err := fetch[gen.AgentTaskListResponse](ctx, s.chain, opListTasks, req, err)
	if err != nil {
		return nil, err
	}
	return listed(opListTasks, ans, "tasks", false, got.Tasks, func(t Task) bool { return t.ID != 0 })
}
