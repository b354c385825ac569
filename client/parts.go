package client

import "strings"

// A PartView is the typed view of a [Part]: a [TextPart], a [ReasoningPart], a [ToolCall], or an [OtherPart].
//
//	switch view := client.ViewPart(part).(type) {
//	case client.TextPart:
//		fmt.Println(view.Text)
//	case client.ToolCall:
//		fmt.Println(view.Name, view.State)
//	}
type PartView interface{ partView() }

// TextPart is something the agent, or whoever prompts it, said. Evidence: inferred.
type TextPart struct {
	// Text is what was said so far.
	Text string
	// State is StateStreaming while the text grows, StateDone or empty when it is whole.
	State string
}

// ReasoningPart is something the agent thought. Evidence: inferred.
type ReasoningPart struct {
	// Text is what was thought so far.
	Text string
	// State is StateStreaming while the text grows, StateDone or empty when it is whole.
	State string
}

// ToolCall is a tool that the agent uses. Evidence: observed, save for ID, State and ErrorText, which are inferred.
type ToolCall struct {
	// ID identifies the call within its transcript.
	ID string
	// Name is the tool's, such as create_file or create_backtest.
	Name string
	// State says how far the call has got, such as StateInputAvailable; it may be empty.
	State string
	// Input is what the tool was given, as package json decodes it: mostly a map[string]any.
	Input any
	// Output is what the tool answered, nil before it has.
	Output any
	// ErrorText says why the call failed, in StateOutputError.
	ErrorText string
}

// OtherPart is a part of any other kind, kept whole.
type OtherPart struct {
	// Part is the part as it came.
	Part Part
}

func (TextPart) partView()      {}
func (ReasoningPart) partView() {}
func (ToolCall) partView()      {}
func (OtherPart) partView()     {}

// ViewPart gives the typed view of a part. A tool call comes as "dynamic-tool", or as "tool-" and the tool's name.
func ViewPart(part Part) PartView {
	static, isStatic := strings.CutPrefix(part.Type, "tool-")
	if !isStatic {
		static = ""
	}
	switch {
	case part.Type == PartText && part.Text != nil:
		return TextPart{Text: *part.Text, State: deref(part.State)}
	case part.Type == PartReasoning && part.Text != nil:
		return ReasoningPart{Text: *part.Text, State: deref(part.State)}
	case part.Type == PartDynamicTool || isStatic:
		return ToolCall{
			ID: deref(part.ToolCallID), Name: orElse(deref(part.ToolName), static), State: deref(part.State),
			Input: deref(part.Input), Output: deref(part.Output), ErrorText: deref(part.ErrorText),
		}
	}
	return OtherPart{Part: part}
}

// Done says whether the tool has answered, well or badly. Without a state it has once there is an output or an error.
func (c ToolCall) Done() bool {
	if c.State == "" {
		return c.Output != nil || c.ErrorText != ""
	}
	return strings.HasPrefix(c.State, "output-")
}

// File gives the path and the content that a file tool was called with; ok is false when the call names no file. The
// content is empty where the tool needed none. Evidence: observed (create_file, edit_file).
func (c ToolCall) File() (path, content string, ok bool) {
	input, _ := c.Input.(map[string]any)
	path, ok = input["filePath"].(string)
	content, _ = input["content"].(string)
	return path, content, ok
}

// Result is [StructuredResult] of the call's output.
func (c ToolCall) Result() (result ToolResult, ok bool) { return structuredResult(c.Output) }

// ToolResult is what a tool of QuantConnect's reports of its work. Evidence: observed.
type ToolResult struct {
	// Success is whether the work went well, nil when the tool does not say.
	Success *bool
	// Errors are the tool's complaints, such as "The backtest ended with a runtime error."
	Errors []string
	// Warnings are its reservations, such as a compiler's.
	Warnings []string
	// Members is everything that the tool reported, these three included.
	Members map[string]any
}

// Failed says whether the tool reported a failure.
func (r ToolResult) Failed() bool { return r.Success != nil && !*r.Success }

// StructuredResult gives the structured result in a part's output, if it has one. Tool calls are where to look for it,
// but QuantConnect's own scripts look at every part.
func StructuredResult(part Part) (result ToolResult, ok bool) {
	return structuredResult(deref(part.Output))
}

func structuredResult(output any) (ToolResult, bool) {
	object, _ := output.(map[string]any)
	members, ok := object["structuredContent"].(map[string]any)
	if !ok {
		return ToolResult{}, false
	}
	result := ToolResult{Errors: texts(members["errors"]), Warnings: texts(members["warnings"]), Members: members}
	if success, ok := members["success"].(bool); ok {
		result.Success = &success
	}
	return result, true
}

func texts(list any) []string {
	items, _ := list.([]any)
	var found []string
	for _, item := range items {
		if text, ok := item.(string); ok {
			found = append(found, text)
		}
	}
	return found
}
