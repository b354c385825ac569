package mockserver

import (
	"context"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/gen/stub"
)

// done is the plain envelope of a call that did what it was asked to.
func done() stub.RestAnswerJSONResponse {
	return stub.RestAnswerJSONResponse{Success: true, Errors: []string{}}
}

// Authenticate answers once the auth stage has let the request through, so there is nothing left to check.
func (handlers) Authenticate(context.Context, stub.AuthenticateRequestObject) (stub.AuthenticateResponseObject, error) {
	return stub.Authenticate200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) AuthenticateGet(context.Context, stub.AuthenticateGetRequestObject) (stub.AuthenticateGetResponseObject, error) {
	return stub.AuthenticateGet200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func agentAnswer(agent gen.Agent) stub.AgentAnswerJSONResponse {
	return stub.AgentAnswerJSONResponse{Success: true, Errors: []string{}, Agent: &agent}
}

func (handlers) CreateAgent(ctx context.Context, req stub.CreateAgentRequestObject) (stub.CreateAgentResponseObject, error) {
	store, by := caller(ctx)
	agent, err := store.CreateAgent(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.CreateAgent200JSONResponse{AgentAnswerJSONResponse: agentAnswer(agent)}, nil
}

func (handlers) ReadAgent(ctx context.Context, req stub.ReadAgentRequestObject) (stub.ReadAgentResponseObject, error) {
	store, by := caller(ctx)
	agent, err := store.ReadAgent(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ReadAgent200JSONResponse{AgentAnswerJSONResponse: agentAnswer(agent)}, nil
}

func (handlers) UpdateAgent(ctx context.Context, req stub.UpdateAgentRequestObject) (stub.UpdateAgentResponseObject, error) {
	store, by := caller(ctx)
	if err := store.UpdateAgent(by, *req.Body); err != nil {
		return nil, err
	}
	return stub.UpdateAgent200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) DeleteAgent(ctx context.Context, req stub.DeleteAgentRequestObject) (stub.DeleteAgentResponseObject, error) {
	store, by := caller(ctx)
	if err := store.DeleteAgent(by, *req.Body); err != nil {
		return nil, err
	}
	return stub.DeleteAgent200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) ListAgents(ctx context.Context, req stub.ListAgentsRequestObject) (stub.ListAgentsResponseObject, error) {
	store, by := caller(ctx)
	agents, err := store.ListAgents(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ListAgents200JSONResponse{AgentListAnswerJSONResponse: stub.AgentListAnswerJSONResponse{
		Success: true, Errors: []string{}, Agents: agents,
	}}, nil
}
