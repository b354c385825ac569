package client

import (
	"bytes"
	"encoding/json"

	"github.com/qcagents/qcagents/gen"
)

// A ConversationOption chooses which transcript [DeploymentService.ReadConversation] reads.
type ConversationOption interface {
	applyConversation(request *gen.ReadAgentConversationRequest)
}

// CallableOption is what [OfCallable] gives: an option for reading a conversation and for following one.
type CallableOption struct{ id string }

// OfCallable asks for the transcript of one sub-agent call, instead of the deployment's own. How the identifiers are
// learnt is not documented. Evidence: documented.
func OfCallable(callableID string) CallableOption { return CallableOption{callableID} }

func (o CallableOption) applyConversation(request *gen.ReadAgentConversationRequest) {
	request.CallableID = &o.id
}

// conversationAnswer is read with more tolerance than the generated type has: the parts come from language models and
// their tools, and a single odd one must not cost the whole transcript.
type conversationAnswer struct {
	Conversation json.RawMessage `json:"conversation"`
}

func (a *conversationAnswer) conversation() (*Conversation, bool) {
	raw := bytes.TrimSpace(a.Conversation)
	switch string(raw) {
	case "", "null", "[]": // [] is how PHP writes an empty object
		return &Conversation{}, true
	}
	if raw[0] != '{' {
		return nil, false
	}
	loose := decode[struct {
		Messages     looseList `json:"messages"`
		InputTokens  *int      `json:"inputTokens"`
		OutputTokens *int      `json:"outputTokens"`
	}](raw)
	conversation := &Conversation{InputTokens: loose.InputTokens, OutputTokens: loose.OutputTokens}
	for _, item := range loose.Messages {
		conversation.Messages = append(conversation.Messages, readMessage(item))
	}
	return conversation, true
}

func readMessage(raw json.RawMessage) Message {
	loose := decode[struct {
		ID    *string   `json:"id"`
		Role  *string   `json:"role"`
		Parts looseList `json:"parts"`
	}](raw)
	message := Message{ID: loose.ID, Role: loose.Role}
	for _, item := range loose.Parts {
		message.Parts = append(message.Parts, readPart(item))
	}
	return message
}

// readPart keeps whatever it cannot read whole, among the additional properties.
func readPart(raw json.RawMessage) Part {
	var part Part
	if json.Unmarshal(raw, &part) == nil {
		return part
	}
	part = Part{}
	var value any
	_ = json.Unmarshal(raw, &value)
	if object, ok := value.(map[string]any); ok {
		part.AdditionalProperties = object
		if kind, ok := object["type"].(string); ok {
			part.Type = kind
			delete(object, "type")
		}
		return part
	}
	part.Set("value", value)
	return part
}

// looseList is a list whose elements are read later, and empty when it is no list at all.
type looseList []json.RawMessage

func (l *looseList) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	_ = json.Unmarshal(data, &list)
	*l = list
	return nil
}
