package client

import "github.com/qcagents/qcagents/gen"

// The payloads, under the names of the things they describe. They are the generated types, so values pass freely between
// this package and the raw client. Optional members are pointers; new("text") makes one.
type (
	// Agent is a configured agent, as the service answers with it. Only its ID, Name and Model were observed.
	Agent = gen.Agent
	// Task is a prompt kept for an agent. Only its ID and Name were observed.
	Task = gen.AgentTask
	// Deployment is one run of a task. Only its DeploymentID and Status were observed.
	Deployment = gen.AgentDeployment
	// Conversation is the transcript of a deployment, with its token counts so far.
	Conversation = gen.AgentConversation
	// Message is one message of a conversation.
	Message = gen.ConversationMessage
	// Part is one piece of a message, flat as on the wire; [ViewPart] gives its typed view.
	Part = gen.ConversationPart
)

// What requests are made of. Evidence: documented, every member.
type (
	// CreateAgentRequest describes a new agent; OrganizationID and Name are required.
	CreateAgentRequest = gen.CreateAgentRequest
	// UpdateAgentRequest changes the members of an agent that are set; AgentID is required.
	UpdateAgentRequest = gen.UpdateAgentRequest
	// CreateAgentTaskRequest describes a new task; all members are required.
	CreateAgentTaskRequest = gen.CreateAgentTaskRequest
	// UpdateAgentTaskRequest renames a task; TaskID is required.
	UpdateAgentTaskRequest = gen.UpdateAgentTaskRequest

	// AgentChainedEntry is an agent that runs after another one.
	AgentChainedEntry = gen.AgentChainedEntry
	// AgentSubAgentEntry is an agent that another one may call.
	AgentSubAgentEntry = gen.AgentSubAgentEntry
	// AgentToken is a key for a model provider.
	AgentToken = gen.AgentToken
	// AgentTaskOwner is a short description of a person.
	AgentTaskOwner = gen.AgentTaskOwner
	// AgentOrganization is a short description of an organization.
	AgentOrganization = gen.AgentOrganization
	// AgentNode is the compute node that runs an agent.
	AgentNode = gen.AgentNode

	// ProjectPreference chooses the project that a deployment works in.
	ProjectPreference = gen.ProjectPreference
	// ReasoningEffort chooses how hard a model thinks.
	ReasoningEffort = gen.ReasoningEffort
)

// The statuses of a deployment. The service may know others, and may spell these in another case: compare with
// [strings.EqualFold], or ask [IsFinal] and [IsFailure].
const (
	// StatusInQueue means that the deployment waits for a node. Observed.
	StatusInQueue = "InQueue"
	// StatusRunning means that the agent is at work. Documented in words.
	StatusRunning = "Running"
	// StatusCompleted means that the agent is done. Documented.
	StatusCompleted = "Completed"
	// StatusStopped means that somebody stopped it. Documented.
	StatusStopped = "Stopped"
	// StatusFailed means that it came to grief. Documented.
	StatusFailed = "Failed"
	// StatusRuntimeError is the platform's name for what the documentation calls a runtime error. Inferred.
	StatusRuntimeError = "RuntimeError"
)

// The values of a project preference. They have no type of their own, so that they fit the member of a request and the
// open string of an answer alike.
const (
	// ProjectEachTaskDeployment gives every deployment a project of its own. Documented.
	ProjectEachTaskDeployment = "project-each-task-deployment"
	// ProjectForTask has all deployments of a task share one project. Documented.
	ProjectForTask = "project-for-task"
)

// The values of a reasoning effort, likewise without a type. Documented.
const (
	// EffortLow thinks least.
	EffortLow = "low"
	// EffortMedium is in between.
	EffortMedium = "medium"
	// EffortHigh thinks most.
	EffortHigh = "high"
)

// Who speaks in a message. Inferred.
const (
	// RoleSystem is the agent's standing instructions.
	RoleSystem = "system"
	// RoleUser is whoever prompts.
	RoleUser = "user"
	// RoleAssistant is the agent.
	RoleAssistant = "assistant"
)

// What kind of part it is. Only dynamic-tool was observed; the others follow the Vercel AI SDK.
const (
	// PartText is something said.
	PartText = "text"
	// PartReasoning is something thought.
	PartReasoning = "reasoning"
	// PartDynamicTool is a tool call.
	PartDynamicTool = "dynamic-tool"
	// PartStepStart marks the beginning of a step and holds nothing.
	PartStepStart = "step-start"
	// PartFile is an attached file.
	PartFile = "file"
	// PartSourceURL is a web page that was used.
	PartSourceURL = "source-url"
	// PartSourceDocument is a document that was used.
	PartSourceDocument = "source-document"
)

// How far a part has got. Inferred.
const (
	// StateStreaming means that a text or thought is still growing.
	StateStreaming = "streaming"
	// StateDone means that a text or thought is whole.
	StateDone = "done"
	// StateInputStreaming means that a tool call's input is still growing.
	StateInputStreaming = "input-streaming"
	// StateInputAvailable means that a tool was called and has not answered yet.
	StateInputAvailable = "input-available"
	// StateOutputAvailable means that a tool has answered.
	StateOutputAvailable = "output-available"
	// StateOutputError means that a tool call failed.
	StateOutputError = "output-error"
)
