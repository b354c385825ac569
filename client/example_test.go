package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/gen"
)

// A whole run: make a task, deploy it, watch it work, read what came of it, and clean up.
func Example() {
	c := standIn() // a program calls client.New here

	task, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
		OrganizationID:    "0123456789abcdef0123456789abcdef",
		AgentID:           47,
		Name:              "Buy and hold SPY",
		Prompt:            "Build a buy and hold strategy for SPY",
		ProjectPreference: client.ProjectEachTaskDeployment,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	deployment, err := c.Deployments.Create(ctx, task.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for state, err := range c.Deployments.Watch(ctx, deployment.DeploymentID, client.WithPace(time.Millisecond, time.Second)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(state.Status)
	}
	conversation, err := c.Deployments.ReadConversation(ctx, deployment.DeploymentID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, message := range conversation.Messages {
		for _, part := range message.Parts {
			if text, ok := client.ViewPart(part).(client.TextPart); ok {
				fmt.Println(*message.Role+":", text.Text)
			}
		}
	}
	if err := c.Deployments.Delete(ctx, deployment.DeploymentID); err != nil {
		fmt.Println(err)
	}
	if err := c.Tasks.Delete(ctx, task.ID); err != nil {
		fmt.Println(err)
	}
	// Output:
	// InQueue
	// Running
	// Completed
	// user: Build a buy and hold strategy for SPY
	// assistant: The strategy holds SPY from the first day on.
}

func ExampleNew() {
	c, err := client.New(
		client.WithCredentials(client.Credentials{UserID: 1, Token: "mock-api-token"}),
		client.WithBaseURL("http://127.0.0.1:5612/api/v2"), // a local mock server
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c)
	// Output: client of http://127.0.0.1:5612/api/v2 for user 1, token [redacted]
}

// Without credentials, the first call tells where they were looked for.
func ExampleNew_noCredentials() {
	c, err := client.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	err = c.Authenticate(ctx)
	fmt.Println(errors.Is(err, client.ErrNoCredentials))
	for line := range strings.SplitSeq(err.Error(), "; ") {
		fmt.Println(filepath.ToSlash(strings.ReplaceAll(line, os.Getenv("HOME"), "/home/you")))
	}
	// Output:
	// true
	// authenticate: no credentials: option WithCredentials: not given
	// environment: QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN are not set
	// /home/you/.lean/credentials: there is no such file
}

func ExampleClient_Authenticate() {
	c := standIn()
	if err := c.Authenticate(ctx); errors.Is(err, client.ErrUnauthorized) {
		fmt.Println("the credentials are wrong, or the clock is:", err)
	} else if err != nil {
		fmt.Println(err)
	} else {
		fmt.Println("welcome")
	}
	// Output: welcome
}

func ExampleClient_Clone() {
	c := standIn()
	patient, err := c.Clone(client.WithTimeout(10 * time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(patient.Authenticate(ctx))
	// Output: <nil>
}

func ExampleClient_Raw() {
	c := standIn()
	answer, err := c.Raw().ReadTaskWithResponse(ctx, gen.ReadAgentTaskRequest{TaskID: 1001})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.StatusCode(), answer.JSON200.Success, answer.JSON200.Task.Name)
	// Output: 200 true Buy and hold SPY
}

func ExampleClient_OrganizationID() {
	c := standIn(client.WithOrganization("0123456789abcdef0123456789abcdef"))
	organizationID, err := c.OrganizationID()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(organizationID)
	// Output: 0123456789abcdef0123456789abcdef
}

func ExampleClient_BaseURL() {
	fmt.Println(standIn(client.WithBaseURL("http://127.0.0.1:5612/api/v2/")).BaseURL())
	// Output: http://127.0.0.1:5612/api/v2
}

func ExampleClient_String() {
	fmt.Println(standIn().String())
	// Output: client of http://127.0.0.1:5612/api/v2 for user 1, token [redacted]
}

func ExampleClient_Format() {
	fmt.Printf("%+v\n", standIn())
	// Output: client of http://127.0.0.1:5612/api/v2 for user 1, token [redacted]
}

func ExampleClient_LogValue() {
	textLogger().Info("ready", "client", standIn())
	// Output: level=INFO msg=ready client="client of http://127.0.0.1:5612/api/v2 for user 1, token [redacted]"
}

func ExampleAgentService_Create() {
	c := standIn()
	agent, err := c.Agents.Create(ctx, client.CreateAgentRequest{
		OrganizationID:  "0123456789abcdef0123456789abcdef",
		Name:            "Calm Amber Heron",
		SystemPrompt:    new("Prefer simple models and explain every trade."),
		Model:           new("claude-opus-4-7"),
		ReasoningEffort: new(client.ReasoningEffort(client.EffortHigh)),
		MaxTurns:        new(100),
		UseQCC:          new(true),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(agent.ID, agent.Name)
	// Output: 105 Calm Amber Heron
}

func ExampleAgentService_Read() {
	agent, err := standIn().Agents.Read(ctx, 105)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(agent.Name, "runs on", agent.Model)
	// Output: Calm Amber Heron runs on claude-opus-4-7
}

func ExampleAgentService_Update() {
	c := standIn()
	err := c.Agents.Update(ctx, client.UpdateAgentRequest{AgentID: 105, Name: new("My Claude")})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleAgentService_Delete() {
	fmt.Println(standIn().Agents.Delete(ctx, 105))
	// Output: <nil>
}

func ExampleAgentService_List() {
	agents, err := standIn().Agents.List(ctx, "0123456789abcdef0123456789abcdef")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, agent := range agents {
		fmt.Println(agent.ID, agent.Name)
	}
	// Output:
	// 47 Quiet Green Otter
	// 105 Calm Amber Heron
}

func ExampleTaskService_Create() {
	c := standIn()
	task, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
		OrganizationID:    "0123456789abcdef0123456789abcdef",
		AgentID:           47,
		Name:              "Buy and hold SPY",
		Prompt:            "Build a buy and hold strategy for SPY",
		ProjectPreference: client.ProjectForTask,
	})
	if failure, ok := errors.AsType[*client.Error](err); ok && failure.MayHaveTakenEffect {
		fmt.Println("the answer was lost; list the tasks before creating it again")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(task.ID, task.Name)
	// Output: 1001 Buy and hold SPY
}

func ExampleTaskService_Read() {
	task, err := standIn().Tasks.Read(ctx, 1001)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(task.Name)
	// Output: Buy and hold SPY
}

func ExampleTaskService_Update() {
	c := standIn()
	err := c.Tasks.Update(ctx, client.UpdateAgentTaskRequest{TaskID: 1001, Name: new("Test - Buy and hold SPY")})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleTaskService_Delete() {
	fmt.Println(standIn().Tasks.Delete(ctx, 1001))
	// Output: <nil>
}

func ExampleTaskService_List() {
	tasks, err := standIn().Tasks.List(ctx, "0123456789abcdef0123456789abcdef")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(tasks), tasks[0].Name)
	// Output: 1 Buy and hold SPY
}

func ExampleDeploymentService_Create() {
	deployment, err := standIn().Deployments.Create(ctx, 1001)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deployment.DeploymentID)
	// Output: A-0123456789abcdef0123456789abcdef
}

func ExampleDeploymentService_Read() {
	deployment, err := standIn().Deployments.Read(ctx, "A-0123456789abcdef0123456789abcdef")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deployment.Status, client.IsFinal(deployment.Status))
	// Output: InQueue false
}

func ExampleDeploymentService_Prompt() {
	c := standIn()
	fmt.Println(c.Deployments.Prompt(ctx, "A-0123456789abcdef0123456789abcdef", "Use QQQ instead of SPY"))
	// Output: <nil>
}

func ExampleDeploymentService_List() {
	deployments, err := standIn().Deployments.List(ctx, 1001)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deployments[0].DeploymentID, deployments[0].Status)
	// Output: A-0123456789abcdef0123456789abcdef Completed
}

func ExampleDeploymentService_Stop() {
	fmt.Println(standIn().Deployments.Stop(ctx, "A-0123456789abcdef0123456789abcdef"))
	// Output: <nil>
}

func ExampleDeploymentService_Delete() {
	fmt.Println(standIn().Deployments.Delete(ctx, "A-0123456789abcdef0123456789abcdef"))
	// Output: <nil>
}

func ExampleDeploymentService_ReadConversation() {
	c := standIn()
	conversation, err := c.Deployments.ReadConversation(ctx, "A-0123456789abcdef0123456789abcdef")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(conversation.Messages), "messages,", *conversation.OutputTokens, "tokens written")
	// Output: 2 messages, 184 tokens written
}

func ExampleDeploymentService_Wait() {
	c := standIn()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	deployment, err := c.Deployments.Wait(ctx, "A-0123456789abcdef0123456789abcdef",
		client.WithPace(time.Millisecond, time.Second)) // leave it out to be kind to the service
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deployment.Status, client.IsFailure(deployment.Status))
	// Output: Completed false
}

func ExampleDeploymentService_Watch() {
	c := standIn()
	for deployment, err := range c.Deployments.Watch(ctx, "A-0123456789abcdef0123456789abcdef",
		client.WithPace(time.Millisecond, time.Second)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("now", deployment.Status)
	}
	// Output:
	// now InQueue
	// now Running
	// now Completed
}

func ExampleDeploymentService_Follow() {
	c := standIn()
	for part, err := range c.Deployments.Follow(ctx, "A-0123456789abcdef0123456789abcdef",
		client.WithPace(time.Millisecond, time.Second)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch view := part.View().(type) {
		case client.TextPart:
			fmt.Println(part.Role+":", view.Text)
		case client.ToolCall:
			fmt.Println(part.Role, "calls", view.Name)
		}
	}
	// Output:
	// user: Build a buy and hold strategy for SPY
	// assistant calls create_file
	// assistant: The strategy holds SPY from the first day on.
}

func ExampleWithPace() {
	c := standIn()
	everyFiveSeconds := client.WithPace(5*time.Second, 5*time.Second)
	atOnce := client.WithPace(time.Millisecond, time.Millisecond)
	deployment, err := c.Deployments.Wait(ctx, "A-0123456789abcdef0123456789abcdef", everyFiveSeconds, atOnce)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deployment.Status)
	// Output: Completed
}

// A prompt continues the transcript; After leaves out what was there before.
func ExampleAfter() {
	c := standIn()
	const id = "A-0123456789abcdef0123456789abcdef"
	before, err := c.Deployments.ReadConversation(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Deployments.Prompt(ctx, id, "Use QQQ instead of SPY"); err != nil {
		fmt.Println(err)
		return
	}
	parts := 0
	for _, err := range c.Deployments.Follow(ctx, id, client.After(before), client.WithPace(time.Millisecond, time.Second)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		parts++
	}
	fmt.Println(parts, "new parts")
	// Output: 0 new parts
}

func ExampleOfCallable() {
	c := standIn()
	conversation, err := c.Deployments.ReadConversation(ctx, "A-0123456789abcdef0123456789abcdef", client.OfCallable("call-1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(conversation.Messages))
	// Output: 2
}

func ExampleTranscriptPart_View() {
	part := client.TranscriptPart{
		Role: client.RoleAssistant,
		Part: client.Part{Type: client.PartReasoning, Text: new("A moving average will do.")},
	}
	if thought, ok := part.View().(client.ReasoningPart); ok {
		fmt.Println(part.Role, "thinks:", thought.Text)
	}
	// Output: assistant thinks: A moving average will do.
}

func ExampleIsFinal() {
	fmt.Println(client.IsFinal("completed"), client.IsFinal("Running"), client.IsFinal("Pondering"))
	// Output: true false false
}

func ExampleIsFailure() {
	fmt.Println(client.IsFailure("RuntimeError"), client.IsFailure("Stopped"))
	// Output: true false
}

func ExampleViewPart() {
	part := client.Part{Type: client.PartText, Text: new("The strategy holds SPY from the first day on.")}
	switch view := client.ViewPart(part).(type) {
	case client.TextPart:
		fmt.Println("said:", view.Text)
	case client.ReasoningPart:
		fmt.Println("thought:", view.Text)
	case client.ToolCall:
		fmt.Println("called:", view.Name)
	case client.OtherPart:
		fmt.Println("something else:", view.Part.Type)
	}
	// Output: said: The strategy holds SPY from the first day on.
}

func ExampleToolCall_Done() {
	call := client.ToolCall{Name: "create_backtest", State: client.StateInputAvailable}
	fmt.Println(call.Done())
	// Output: false
}

func ExampleToolCall_File() {
	call := client.ToolCall{Name: "create_file", Input: map[string]any{"filePath": "main.py", "content": "pass"}}
	if path, content, ok := call.File(); ok {
		fmt.Println(path, len(content), "bytes")
	}
	// Output: main.py 4 bytes
}

func ExampleToolCall_Result() {
	call := client.ToolCall{Name: "create_backtest", Output: map[string]any{"structuredContent": map[string]any{
		"success": false, "errors": []any{"The backtest ended with a runtime error."},
	}}}
	if result, ok := call.Result(); ok && result.Failed() {
		fmt.Println(result.Errors[0])
	}
	// Output: The backtest ended with a runtime error.
}

func ExampleToolResult_Failed() {
	fmt.Println(client.ToolResult{Success: new(false)}.Failed(), client.ToolResult{}.Failed())
	// Output: true false
}

func ExampleStructuredResult() {
	conversation, err := standIn().Deployments.ReadConversation(ctx, "A-0123456789abcdef0123456789abcdef")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, message := range conversation.Messages {
		for _, part := range message.Parts {
			if result, ok := client.StructuredResult(part); ok {
				fmt.Println(*result.Success, result.Warnings)
			}
		}
	}
	// Output: true [no benchmark]
}

func ExampleCaptureResponse() {
	c := standIn()
	var answer client.Response
	if _, err := c.Tasks.Read(client.CaptureResponse(ctx, &answer), 1001); err != nil {
		fmt.Println(err)
		return
	}
	var members map[string]any // those included that the types do not know
	if err := json.Unmarshal(answer.Body, &members); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.StatusCode, members["task"])
	// Output: 200 map[id:1001 name:Buy and hold SPY]
}

func ExampleResponse_String() {
	fmt.Println(client.Response{StatusCode: 200, Body: []byte("{}")}.String())
	// Output: 200 OK, 2 bytes
}

func ExampleResponse_Format() {
	fmt.Printf("%v\n", client.Response{StatusCode: 404})
	// Output: 404 Not Found, 0 bytes
}

func ExampleResponse_LogValue() {
	textLogger().Info("answered", "response", client.Response{StatusCode: 200, Body: []byte("{}")})
	// Output: level=INFO msg=answered response="200 OK, 2 bytes"
}

func ExampleError_Error() {
	_, err := refusing().Tasks.Create(ctx, client.CreateAgentTaskRequest{Name: "Buy and hold SPY"})
	fmt.Println(err)
	// Output: create task: rejected: name already used
}

func ExampleError_Unwrap() {
	_, err := refusing().Tasks.Create(ctx, client.CreateAgentTaskRequest{Name: "Buy and hold SPY"})
	switch {
	case errors.Is(err, client.ErrRejected):
		fmt.Println("the request is at fault")
	case errors.Is(err, client.ErrThrottled), errors.Is(err, client.ErrUnavailable):
		fmt.Println("later, perhaps")
	case errors.Is(err, context.Canceled):
		fmt.Println("never mind")
	}
	// Output: the request is at fault
}

func ExampleError_Body() {
	_, err := refusing().Tasks.Read(ctx, 1001)
	if failure, ok := errors.AsType[*client.Error](err); ok {
		fmt.Printf("%s\n", failure.Body())
	}
	// Output: {"success":false,"errors":["name already used"]}
}

func ExampleError_Format() {
	_, err := refusing().Tasks.Read(ctx, 1001)
	fmt.Printf("%+v\n", err)
	// Output: read task: rejected: name already used
}

func ExampleError_LogValue() {
	_, err := refusing().Tasks.Read(ctx, 1001)
	textLogger().Error("failed", "error", err)
	// Output: level=ERROR msg=failed error.message="read task: rejected: name already used" error.operation=readTask error.attempts=1 error.status=200
}

func ExampleWaitError_Error() {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := standIn()
	for deployment, err := range c.Deployments.Watch(ctx, "A-0123456789abcdef0123456789abcdef") {
		if err != nil {
			failure, _ := errors.AsType[*client.WaitError](err)
			fmt.Println(failure.Last.Status, errors.Is(err, context.Canceled))
			fmt.Println(strings.HasPrefix(failure.Error(), "wait for deployment A-0123456789abcdef0123456789abcdef: still InQueue after"))
			break
		}
		fmt.Println(deployment.Status)
		cancel()
	}
	// Output:
	// InQueue
	// InQueue true
	// true
}

func ExampleWaitError_Unwrap() {
	_, err := refusing().Deployments.Wait(ctx, "A-0123456789abcdef0123456789abcdef")
	fmt.Println(errors.Is(err, client.ErrRejected), errors.Is(err, client.ErrGone))
	// Output: true false
}

func ExampleCredentials_String() {
	fmt.Println(client.Credentials{UserID: 1, Token: "mock-api-token"}.String())
	// Output: user 1, token [redacted]
}

func ExampleCredentials_Format() {
	fmt.Printf("%+v\n", struct{ Credentials client.Credentials }{client.Credentials{UserID: 1, Token: "mock-api-token"}})
	// Output: {Credentials:user 1, token [redacted]}
}

func ExampleCredentials_LogValue() {
	textLogger().Info("signing", "as", client.Credentials{UserID: 1, Token: "mock-api-token"})
	// Output: level=INFO msg=signing as.userId=1 as.token=[redacted]
}

func ExampleCredentials_MarshalJSON() {
	data, err := json.Marshal(client.Credentials{UserID: 1, Token: "mock-api-token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(data))
	// Output: {"userId":1,"token":"[redacted]"}
}

// A signer also serves the generated client, or any other.
func ExampleSigner_Edit() {
	signer := client.Signer{
		Credentials: client.Credentials{UserID: 1, Token: "mock-api-token"},
		Now:         func() time.Time { return time.Unix(1_700_000_000, 0) }, // leave it out for the system's clock
	}
	_, err := gen.NewClientWithResponses("http://127.0.0.1:5612/api/v2", gen.WithRequestEditorFn(signer.Edit))
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:5612/api/v2/authenticate", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := signer.Edit(ctx, req); err != nil {
		fmt.Println(err)
		return
	}
	user, hash, _ := req.BasicAuth()
	fmt.Println(req.Header.Get("Timestamp"), user, hash[:8])
	// Output: 1700000000 1 12b0259f
}

func ExampleWithCredentials() {
	c := standIn(client.WithCredentials(client.Credentials{UserID: 42, Token: "not-a-real-key"}))
	fmt.Println(c)
	// Output: client of http://127.0.0.1:5612/api/v2 for user 42, token [redacted]
}

func ExampleWithOrganization() {
	fmt.Println(standIn(client.WithOrganization("0123456789abcdef0123456789abcdef")).OrganizationID())
	// Output: 0123456789abcdef0123456789abcdef <nil>
}

func ExampleWithBaseURL() {
	_, err := client.New(client.WithBaseURL("127.0.0.1:5612"))
	fmt.Println(err)
	// Output: new client: base URL: cannot be parsed
}

func ExampleWithHTTPClient() {
	through := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8}}
	_, err := client.New(client.WithHTTPClient(through))
	fmt.Println(err, through.CheckRedirect == nil)
	// Output: <nil> true
}

func ExampleWithLogger() {
	logged := 0
	logger := slog.New(slog.NewTextHandler(countLines{&logged}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	fmt.Println(standIn(client.WithLogger(logger)).Authenticate(ctx), logged)
	// Output: <nil> 1
}

func ExampleWithUserAgent() {
	c := standIn(client.WithUserAgent("my-app/1.2"))
	fmt.Println(c.Authenticate(ctx))
	// Output: <nil>
}

func ExampleWithApplication() {
	c := standIn(client.WithApplication("my-app", "1.2")) // User-Agent: my-app/1.2 qcagents-go/…
	fmt.Println(c.Authenticate(ctx))
	// Output: <nil>
}

func ExampleWithRequestEditor() {
	c := standIn(client.WithRequestEditor(func(_ context.Context, req *http.Request) error {
		req.Header.Set("X-Trace", "7")
		fmt.Println(req.Method, req.URL.Path)
		return nil
	}))
	fmt.Println(c.Authenticate(ctx))
	// Output:
	// POST /api/v2/authenticate
	// <nil>
}

func ExampleWithTimeout() {
	c := standIn(client.WithTimeout(5 * time.Second)) // for each attempt
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel() // for all of them
	fmt.Println(c.Authenticate(ctx))
	// Output: <nil>
}

func ExampleWithRetry() {
	c := standIn(client.WithRetry(client.RetryPolicy{MaxAttempts: 8, MaxDelay: 30 * time.Second}))
	fmt.Println(c.Authenticate(ctx))
	// Output: <nil>
}

func ExampleWithMaxResponseBytes() {
	c := standIn(client.WithMaxResponseBytes(10))
	fmt.Println(c.Authenticate(ctx))
	// Output: authenticate: unexpected body: the answer is larger than 10 bytes
}

// textLogger logs to where the examples' output is compared, without the time.
func textLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		},
	}))
}

type countLines struct{ n *int }

func (c countLines) Write(p []byte) (int, error) {
	*c.n++
	return len(p), nil
}
