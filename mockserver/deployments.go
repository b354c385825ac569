package mockserver

import (
	"context"
	"io"
	"net/http"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/gen/stub"
)

func deploymentAnswer(deployment gen.AgentDeployment) stub.AgentDeploymentAnswerJSONResponse {
	return stub.AgentDeploymentAnswerJSONResponse{Success: true, Errors: []string{}, Deployment: &deployment}
}

// CreateDeployment answers in both forms that programs read: the deployment, and its identifier under debug.
func (handlers) CreateDeployment(ctx context.Context, req stub.CreateDeploymentRequestObject) (stub.CreateDeploymentResponseObject, error) {
	store, by := caller(ctx)
	deployment, err := store.CreateDeployment(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.CreateDeployment200JSONResponse{
		Success: true, Errors: []string{}, Deployment: &deployment,
		Debug: &gen.AgentDeploymentDebug{ID: &deployment.DeploymentID},
	}, nil
}

func (handlers) ReadDeployment(ctx context.Context, req stub.ReadDeploymentRequestObject) (stub.ReadDeploymentResponseObject, error) {
	store, by := caller(ctx)
	deployment, err := store.ReadDeployment(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ReadDeployment200JSONResponse{AgentDeploymentAnswerJSONResponse: deploymentAnswer(deployment)}, nil
}

func (handlers) PromptDeployment(ctx context.Context, req stub.PromptDeploymentRequestObject) (stub.PromptDeploymentResponseObject, error) {
	store, by := caller(ctx)
	deployment, err := store.PromptDeployment(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.PromptDeployment200JSONResponse{AgentDeploymentAnswerJSONResponse: deploymentAnswer(deployment)}, nil
}

func (handlers) ListDeployments(ctx context.Context, req stub.ListDeploymentsRequestObject) (stub.ListDeploymentsResponseObject, error) {
	store, by := caller(ctx)
	deployments, err := store.ListDeployments(by, *req.Body)
	if err != nil {
		return nil, err
	}
	return stub.ListDeployments200JSONResponse{AgentDeploymentListAnswerJSONResponse: stub.AgentDeploymentListAnswerJSONResponse{
		Success: true, Errors: []string{}, Deployments: deployments,
	}}, nil
}

func (handlers) StopDeployment(ctx context.Context, req stub.StopDeploymentRequestObject) (stub.StopDeploymentResponseObject, error) {
	store, by := caller(ctx)
	if err := store.StopDeployment(by, *req.Body); err != nil {
		return nil, err
	}
	return stub.StopDeployment200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) DeleteDeployment(ctx context.Context, req stub.DeleteDeploymentRequestObject) (stub.DeleteDeploymentResponseObject, error) {
	store, by := caller(ctx)
	if err := store.DeleteDeployment(by, *req.Body); err != nil {
		return nil, err
	}
	return stub.DeleteDeployment200JSONResponse{RestAnswerJSONResponse: done()}, nil
}

func (handlers) ReadConversation(ctx context.Context, req stub.ReadConversationRequestObject) (stub.ReadConversationResponseObject, error) {
	store, by := caller(ctx)
	conversation, err := store.ReadConversation(by, *req.Body)
	if err != nil {
		return nil, err
	}
	if conversation == nil {
		return noConversation{}, nil
	}
	return stub.ReadConversation200JSONResponse{Success: true, Errors: []string{}, Conversation: conversation}, nil
}

// noConversation is an answer whose conversation is null, as QuantConnect's scripts are prepared for. The generated
// struct would leave the member out.
type noConversation struct{}

func (noConversation) VisitReadConversationResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, `{"conversation":null,"errors":[],"success":true}`+"\n")
	return err
}
