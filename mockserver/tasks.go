package mockserver

import (
	"context"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/gen/stub"
)

func taskAnswer(task gen.AgentTask) stub.AgentTaskAnswerJSONResponse {
	return stub.AgentTaskAnswerJSONResponse{Success: true, Errors: []string{}, Task: &task}
}

func (handlers) CreateTask(ctx context.Context, req stub.CreateTaskRequestObject) (stub.CreateTaskResponseObject, error) {
	store, by := caller(ctx)
	task, err := store.CreateTask(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.CreateTask200JSONResponse{AgentTaskAnswerJSONResponse: taskAnswer(task)}, nil
}

func (handlers) ReadTask(ctx context.Context, req stub.ReadTaskRequestObject) (stub.ReadTaskResponseObject, error) {
	store, by := caller(ctx)
	task, err := store.ReadTask(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ReadTask200JSONResponse{AgentTaskAnswerJSONResponse: taskAnswer(task)}, nil
}

func (handlers) UpdateTask(ctx context.Context, req stub.UpdateTaskRequestObject) (stub.UpdateTaskResponseObject, error) {
	store, by := caller(ctx)
	task, err := store.UpdateTask(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.UpdateTask200JSONResponse(taskAnswer(task)), nil
}

func (handlers) DeleteTask(ctx context.Context, req stub.DeleteTaskRequestObject) (stub.DeleteTaskResponseObject, error) {
	store, by := caller(ctx)
	if err := store.DeleteTask(by, *req.Body); err != nil {
		return nil, err
	}
	return stub.DeleteTask200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) ListTasks(ctx context.Context, req stub.ListTasksRequestObject) (stub.ListTasksResponseObject, error) {
	store, by := caller(ctx)
	tasks, err := store.ListTasks(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ListTasks200JSONResponse{AgentTaskListAnswerJSONResponse: stub.AgentTaskListAnswerJSONResponse{
		Success: true, Errors: []string{}, Tasks: tasks,
	}}, nil
}
