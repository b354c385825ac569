package client

import (
	"context"

	"github.com/qcagents/qcagents/gen"
)

// DeploymentService works on deployments: one run of a task each, identified by "A-" and 32 hexadecimal digits.
type DeploymentService struct{ chain *chain }

// Create runs a task once and gives the deployment, which has hardly begun; [DeploymentService.Wait] waits for its end.
// Each call starts, and pays for, another run, so it is sent again only when the first request certainly never ran; when
// its answer is lost, [Error.MayHaveTakenEffect] says so.
//
// An answer of the earlier form, which names the deployment in debug.id, is understood; Status is empty then.
//
// Operation createDeployment; evidence: documented request, observed answer.
func (s *DeploymentService) Create(ctx context.Context, taskID int) (*Deployment, error) {
	req, err := gen.NewCreateDeploymentRequest(s.chain.server(), gen.CreateAgentDeploymentRequest{TaskID: taskID})
	got, ans, err := fetch[gen.CreateAgentDeploymentResponse](ctx, s.chain, opCreateDeployment, req, err)
	if err != nil {
		return nil, err
	}
	deployment := got.Deployment
	if deployment == nil {
		deployment = &Deployment{}
	}
	if deployment.DeploymentID == "" && got.Debug != nil && got.Debug.ID != nil {
		deployment.DeploymentID = *got.Debug.ID
	}
	if deployment.DeploymentID == "" {
		return nil, missing(opCreateDeployment, ans, "the answer holds no deployment with an id")
	}
	return deployment, nil
}

// Read gives a deployment and the status it has reached.
//
// Operation readDeployment; evidence: documented request, observed answer.
func (s *DeploymentService) Read(ctx context.Context, deploymentID string) (*Deployment, error) {
	req, err := gen.NewReadDeploymentRequest(
		s.chain.server(), gen.ReadAgentDeploymentRequest{DeploymentID: deploymentID})
	got, ans, err := fetch[gen.AgentDeploymentResponse](ctx, s.chain, opReadDeployment, req, err)
	if err != nil {
		return nil, err
	}
	if got.Deployment == nil {
		return nil, missing(opReadDeployment, ans, "the answer holds no deployment")
	}
	return got.Deployment, nil
}

// Prompt says something more to a deployment. Documented for a running one; the published example prompts one that has
// ended. It is sent again only when the first request certainly never ran; when its answer is lost,
// [Error.MayHaveTakenEffect] says so.
//
// Operation promptDeployment; evidence: documented request, unknown answer, which is why only its success is reported.
func (s *DeploymentService) Prompt(ctx context.Context, deploymentID, prompt string) error {
	req, err := gen.NewPromptDeploymentRequest(
		s.chain.server(), gen.UpdateAgentDeploymentRequest{DeploymentID: deploymentID, Prompt: prompt})
	return run(ctx, s.chain, opPromptDeployment, req, err)
}

// List gives the deployments of a task. An answer without the list is [ErrUnexpectedBody]: its name is inferred, so its
// absence is no proof that there are none.
//
// Operation listDeployments; evidence: documented request, inferred answer.
func (s *DeploymentService) List(ctx context.Context, taskID int) ([]Deployment, error) {
	req, err := gen.NewListDeploymentsRequest(s.chain.server(), gen.ListAgentDeploymentsRequest{TaskID: taskID})
	got, ans, err := fetch[gen.AgentDeploymentListResponse](ctx, s.chain, opListDeployments, req, err)
	if err != nil {
		return nil, err
	}
	return listed(opListDeployments, ans, "deployments", false, got.Deployments,
		func(d Deployment) bool { return d.DeploymentID != "" })
}

// Stop interrupts a deployment. What it does to one that has ended is not documented.
//
// Operation stopDeployment; evidence: documented.
func (s *DeploymentService) Stop(ctx context.Context, deploymentID string) error {
	req, err := gen.NewStopDeploymentRequest(
		s.chain.server(), gen.StopAgentDeploymentRequest{DeploymentID: deploymentID})
	return run(ctx, s.chain, opStopDeployment, req, err)
}

// Delete removes a deployment.
//
// Operation deleteDeployment; evidence: documented.
func (s *DeploymentService) Delete(ctx context.Context, deploymentID string) error {
	req, err := gen.NewDeleteDeploymentRequest(
		s.chain.server(), gen.DeleteAgentDeploymentRequest{DeploymentID: deploymentID})
	return run(ctx, s.chain, opDeleteDeployment, req, err)
}

// ReadConversation gives the transcript of a deployment as far as it has got, never nil; before anything was said it is
// empty. [OfCallable] asks for the transcript of a sub-agent call instead.
//
// Operation readConversation; evidence: documented request, observed answer.
func (s *DeploymentService) ReadConversation(
	ctx context.Context, deploymentID string, opts ...ConversationOption,
) (*Conversation, error) {
	request := gen.ReadAgentConversationRequest{DeploymentID: deploymentID}
	for _, opt := range opts {
		opt.applyConversation(&request)
	}
	req, err := gen.NewReadConversationRequest(s.chain.server(), request)
	got, ans, err := fetch[conversationAnswer](ctx, s.chain, opReadConversation, req, err)
	if err != nil {
		return nil, err
	}
	conversation, ok := got.conversation()
	if !ok {
		return nil, missing(opReadConversation, ans, "the answer holds something else than a conversation")
	}
	return conversation, nil
}
