package store

import (
	"github.com/qcagents/qcagents/gen"
)

// PredefinedAgent is the number of QuantConnect's own agent that the published example deploys without creating it.
const PredefinedAgent = 47

// defaultModel is the model of an agent that was created without one. The service's default is not known; this is the
// identifier that the documentation's examples use.
const defaultModel = "claude-opus-4-7"

// maskedKey stands for a provider's key, which is forgotten as it arrives.
const maskedKey = "********"

// agent is immutable; an update replaces it.
type agent struct {
	gen.Agent
	organization string
}

func predefined() *agent {
	return &agent{organization: quantConnect, Agent: gen.Agent{
		ID:              PredefinedAgent,
		Name:            "QuantConnect Agent",
		Model:           defaultModel,
		Description:     new("Predefined by QuantConnect and usable by every organization."),
		ReasoningEffort: new(string(gen.ReasoningEffortHigh)),
		MaxTurns:        new(100),
		ToolChoice:      new("auto"),
		Public:          new(true),
		UseQCC:          new(true),
	}}
}

// usable finds an agent that the account may read and give tasks to.
func (s *Store) usable(by Account, id int) (*agent, error) {
	a, ok := s.state.agents.Get(id)
	if !ok || a.organization != quantConnect && !by.owns(a.organization) {
		return nil, notFound("/agentId", "Agent %d not found: no organization of user %d has it; list its agents with /agents/list.", id, by.UserID)
	}
	return a, nil
}

// changeable finds an agent that the account may change.
func (s *Store) changeable(by Account, id int) (*agent, error) {
	a, err := s.usable(by, id)
	if err == nil && a.organization == quantConnect {
		return nil, &Error{Class: StateConflict, Pointer: "/agentId",
			Text: "Agent 47 belongs to QuantConnect and cannot be changed or deleted; create an agent of your own with /agents/create."}
	}
	return a, err
}

// CreateAgent makes an agent of an organization.
func (s *Store) CreateAgent(by Account, req gen.CreateAgentRequest) (gen.Agent, error) {
	if err := by.require(req.OrganizationID); err != nil {
		return gen.Agent{}, err
	}
	name := normalized(req.Name)
	if name == "" {
		return gen.Agent{}, blankName()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.lastAgent++
	a := &agent{organization: req.OrganizationID, Agent: gen.Agent{
		ID:             s.state.lastAgent,
		Name:           name,
		Model:          defaultModel,
		OrganizationID: &req.OrganizationID,
		Organization:   &gen.AgentOrganization{ID: &req.OrganizationID},
		Node:           &gen.AgentNode{ID: new(0)},
		Created:        s.timestamp(),
		// The defaults that the product shows for an agent with a provider of its own.
		ReasoningEffort: new(string(gen.ReasoningEffortHigh)),
		MaxTurns:        new(100),
		ToolChoice:      new("auto"),
	}}
	// Both requests have these members and the generator gives them no common type.
	apply(&a.Agent, gen.AgentSettings{
		Description: req.Description, ProfileImage: req.ProfileImage, SystemPrompt: req.SystemPrompt,
		ReasoningEffort: req.ReasoningEffort, MaxTurns: req.MaxTurns, ToolChoice: req.ToolChoice, Tools: req.Tools,
		Public: req.Public, Model: req.Model, ChainedAgents: req.ChainedAgents, SubAgents: req.SubAgents,
		Token: req.Token, UseQCC: req.UseQCC, Pipeline: req.Pipeline,
	})
	s.state.agents.Set(a.ID, a)
	s.state.agentsOf.Set(owned{a.organization, a.ID})
	return a.Agent, nil
}

// ReadAgent gives an agent of the account's organizations, or a predefined one.
func (s *Store) ReadAgent(by Account, req gen.ReadAgentRequest) (gen.Agent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.usable(by, req.AgentID)
	if err != nil {
		return gen.Agent{}, err
	}
	return a.Agent, nil
}

// UpdateAgent changes the members that are present. The name is kept as sent.
func (s *Store) UpdateAgent(by Account, req gen.UpdateAgentRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.changeable(by, req.AgentID)
	if err != nil {
		return err
	}
	changed := *a
	apply(&changed.Agent, gen.AgentSettings{
		Name:        req.Name,
		Description: req.Description, ProfileImage: req.ProfileImage, SystemPrompt: req.SystemPrompt,
		ReasoningEffort: req.ReasoningEffort, MaxTurns: req.MaxTurns, ToolChoice: req.ToolChoice, Tools: req.Tools,
		Public: req.Public, Model: req.Model, ChainedAgents: req.ChainedAgents, SubAgents: req.SubAgents,
		Token: req.Token, UseQCC: req.UseQCC, Pipeline: req.Pipeline,
	})
	s.state.agents.Set(changed.ID, &changed)
	return nil
}

// apply copies the settings that are present. Author, organization and node are accepted and ignored: they are the
// service's to say.
func apply(a *gen.Agent, settings gen.AgentSettings) {
	set(&a.Name, settings.Name)
	set(&a.Model, settings.Model)
	keep(&a.Description, settings.Description)
	keep(&a.ProfileImage, settings.ProfileImage)
	keep(&a.SystemPrompt, settings.SystemPrompt)
	if settings.ReasoningEffort != nil {
		a.ReasoningEffort = new(string(*settings.ReasoningEffort))
	}
	keep(&a.MaxTurns, settings.MaxTurns)
	keep(&a.ToolChoice, settings.ToolChoice)
	if settings.Tools != nil {
		a.Tools = settings.Tools
	}
	keep(&a.Public, settings.Public)
	if settings.ChainedAgents != nil {
		a.ChainedAgents = settings.ChainedAgents
	}
	if settings.SubAgents != nil {
		a.SubAgents = settings.SubAgents
	}
	if settings.Token != nil {
		a.Token = &gen.AgentToken{LLMProviderAPI: settings.Token.LLMProviderAPI}
		if settings.Token.LLMAPITokenUser != nil {
			a.Token.LLMAPITokenUser = new(maskedKey)
		}
	}
	keep(&a.UseQCC, settings.UseQCC)
	keep(&a.Pipeline, settings.Pipeline)
}

func set[T any](member *T, sent *T) {
	if sent != nil {
		*member = *sent
	}
}

func keep[T any](member **T, sent *T) {
	if sent != nil {
		*member = sent
	}
}

// DeleteAgent removes an agent. Its tasks stay and can be read, but no longer deployed.
func (s *Store) DeleteAgent(by Account, req gen.DeleteAgentRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.changeable(by, req.AgentID)
	if err != nil {
		return err
	}
	s.state.agents.Delete(a.ID)
	s.state.agentsOf.Delete(owned{a.organization, a.ID})
	return nil
}

// ListAgents gives the agents that an organization owns, oldest first. The predefined ones are not among them.
func (s *Store) ListAgents(by Account, req gen.ListAgentsRequest) ([]gen.Agent, error) {
	if err := by.require(req.OrganizationID); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	agents := []gen.Agent{}
	for entry := range ofOrganization(s.state.agentsOf, req.OrganizationID) {
		if a, ok := s.state.agents.Get(entry.id); ok {
			agents = append(agents, a.Agent)
		}
	}
	return agents, nil
}

func blankName() error {
	return &Error{Class: "bound", Pointer: "/name", Text: "Invalid argument: the name is blank; send one with a visible character in it."}
}
