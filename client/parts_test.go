package client_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/qcagents/qcagents/client"
)

func TestViewPart(t *testing.T) {
	part := func(text string) (part client.Part) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &part); err != nil {
			t.Fatal(err)
		}
		return part
	}
	for _, row := range []struct {
		part string
		want client.PartView // nil for an OtherPart of the whole
	}{
		{`{"type":"text","text":"Hello","state":"streaming"}`, client.TextPart{Text: "Hello", State: client.StateStreaming}},
		{`{"type":"text","text":""}`, client.TextPart{}},
		{`{"type":"reasoning","text":"Hm"}`, client.ReasoningPart{Text: "Hm"}},
		{
			`{"type":"dynamic-tool","toolName":"create_file","toolCallId":"call-1","state":"output-error","input":{},"errorText":"no"}`,
			client.ToolCall{
				Name: "create_file", ID: "call-1", State: client.StateOutputError, Input: map[string]any{}, ErrorText: "no",
			},
		},
		{`{"type":"tool-create_backtest","output":[1]}`, client.ToolCall{Name: "create_backtest", Output: []any{1.0}}},
		{`{"type":"tool-a","toolName":"b"}`, client.ToolCall{Name: "b"}},
		{`{"type":"dynamic-tool"}`, client.ToolCall{}},
		{`{"type":"step-start"}`, nil},
		{`{"type":"text"}`, nil},
		{`{"type":"reasoning"}`, nil},
		{`{"type":"data-plot","data":{"x":1},"text":"plot"}`, nil},
		{`{}`, nil},
	} {
		want := row.want
		if want == nil {
			want = client.OtherPart{Part: part(row.part)}
		}
		if got := client.ViewPart(part(row.part)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", row.part, got, want)
		}
	}
}

func TestToolCall(t *testing.T) {
	for _, row := range []struct {
		call client.ToolCall
		done bool
	}{
		{client.ToolCall{State: client.StateInputStreaming}, false},
		{client.ToolCall{State: client.StateInputAvailable, Output: 1}, false},
		{client.ToolCall{State: client.StateOutputAvailable}, true},
		{client.ToolCall{State: client.StateOutputError}, true},
		{client.ToolCall{State: "output-denied"}, true},
		{client.ToolCall{State: "approval-requested"}, false},
		{client.ToolCall{}, false},
		{client.ToolCall{Output: "x"}, true},
		{client.ToolCall{ErrorText: "no"}, true},
	} {
		if got := row.call.Done(); got != row.done {
			t.Errorf("%+v: done is %t", row.call, got)
		}
	}
	for _, row := range []struct {
		input         any
		path, content string
		ok            bool
	}{
		{map[string]any{"filePath": "main.py", "content": "pass"}, "main.py", "pass", true},
		{map[string]any{"filePath": "main.py", "content": 7}, "main.py", "", true},
		{map[string]any{"content": "pass"}, "", "pass", false},
		{"main.py", "", "", false},
		{nil, "", "", false},
	} {
		path, content, ok := client.ToolCall{Input: row.input}.File()
		if path != row.path || content != row.content || ok != row.ok {
			t.Errorf("%v: got %q, %q, %t", row.input, path, content, ok)
		}
	}
}

func TestStructuredResult(t *testing.T) {
	for _, row := range []struct {
		output string
		ok     bool
		failed bool
		want   client.ToolResult
	}{
		{
			`{"structuredContent":{"success":false,"errors":["The backtest ended with a runtime error."],"warnings":["slow"],"id":7}}`,
			true, true, client.ToolResult{
				Success: new(false), Errors: []string{"The backtest ended with a runtime error."}, Warnings: []string{"slow"},
			},
		},
		{`{"structuredContent":{"success":true,"errors":[]}}`, true, false, client.ToolResult{Success: new(true)}},
		{
			`{"structuredContent":{"success":"no","errors":"many","warnings":[1,"one",null]}}`, true, false,
			client.ToolResult{Warnings: []string{"one"}},
		},
		{`{"structuredContent":[]}`, false, false, client.ToolResult{}},
		{`{"content":[]}`, false, false, client.ToolResult{}},
		{`"done"`, false, false, client.ToolResult{}},
		{`null`, false, false, client.ToolResult{}},
	} {
		var output map[string]any
		part := client.Part{Type: client.PartDynamicTool}
		if err := json.Unmarshal([]byte(row.output), &part.Output); err != nil {
			t.Fatal(err)
		}
		if row.ok {
			output, _ = (*part.Output).(map[string]any)
			row.want.Members, _ = output["structuredContent"].(map[string]any)
		}
		got, ok := client.StructuredResult(part)
		if ok != row.ok || !reflect.DeepEqual(got, row.want) || got.Failed() != row.failed {
			t.Errorf("%s: got %+v, %t", row.output, got, ok)
		}
		call, _ := client.ViewPart(part).(client.ToolCall)
		if again, ok := call.Result(); ok != row.ok || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: the call's result is %+v, %t", row.output, again, ok)
		}
	}
}
