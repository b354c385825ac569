package client

import (
	"context"

	"github.com/qcagents/qcagents/gen"
)

// AgentService works on agents: a model, its instructions and its tools, owned by an organization.
type AgentService struct{ chain *chain }

// Create makes an agent and gives it back with its number. It is sent again only when the first request certainly never
// ran; when its answer is lost, [Error.MayHaveTakenEffect] says so.
//
// Operation createAgent; evidence: documented request, observed answer.
func (s *AgentService) Create(ctx context.Context, request CreateAgentRequest) (*Agent, error) {
	req, err := gen.NewCreateAgentRequest(s.chain.server(), request)
	got, ans, err := fetch[gen.AgentResponse](ctx, s.chain, opCreateAgent, req, err, providerKey(request.Token))
	if err != nil {
		return nil, err
	}
	if got.Agent == nil || got.Agent.ID == 0 {
		return nil, missing(opCreateAgent, ans, "the answer holds no agent with an id")
	}
	return got.Agent, nil
}

// Read gives one agent.
//
// Operation readAgent; evidence: documented request, observed answer.
func (s *AgentService) Read(ctx context.Context, agentID int) (*Agent, error) {
	req, err := gen.NewReadAgentRequest(s.chain.server(), gen.ReadAgentRequest{AgentID: agentID})
	got, ans, err := fetch[gen.AgentResponse](ctx, s.chain, opReadAgent, req, err)
	if err != nil {
		return nil, err
	}
	if got.Agent == nil {
		return nil, missing(opReadAgent, ans, "the answer holds no agent")
	}
	return got.Agent, nil
}

// Update changes the members that are set in request and leaves the others as they are.
//
// Operation updateAgent; evidence: documented. That absent members stay as they are is observed for the published
// example and inferred beyond it.
func (s *AgentService) Update(ctx context.Context, request UpdateAgentRequest) error {
	req, err := gen.NewUpdateAgentRequest(s.chain.server(), request)
	return run(ctx, s.chain, opUpdateAgent, req, err, providerKey(request.Token))
}

// Delete removes an agent.
//
// Operation deleteAgent; evidence: documented.
func (s *AgentService) Delete(ctx context.Context, agentID int) error {
	req, err := gen.NewDeleteAgentRequest(s.chain.server(), gen.DeleteAgentRequest{AgentID: agentID})
	return run(ctx, s.chain, opDeleteAgent, req, err)
}

// List gives the agents of an organization. An answer without the list counts as an empty one, as the published example
// takes it.
//
// Operation listAgents; evidence: documented request, observed answer.
func (s *AgentService) List(ctx context.Context, organizationID string) ([]Agent, error) {
	req, err := gen.NewListAgentsRequest(s.chain.server(), gen.ListAgentsRequest{OrganizationID: organizationID})
	got, ans, err := fetch[gen.AgentListResponse](ctx, s.chain, opListAgents, req, err)
	if err != nil {
		return nil, err
	}
	return listed(opListAgents, ans, "agents", true, got.Agents, func(a Agent) bool { return a.ID != 0 })
}

func providerKey(token *AgentToken) string {
	if token == nil || token.LLMAPITokenUser == nil {
		return ""
	}
	return *token.LLMAPITokenUser
}
