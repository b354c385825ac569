// Command go walks through QuantConnect's agents API once: it makes an agent and a task, runs the task, says something
// more, reads the transcript, and removes what it made.
//
// It takes everything from the environment: QUANTCONNECT_USER_ID, QUANTCONNECT_API_TOKEN, QUANTCONNECT_ORGANIZATION_ID,
// and QUANTCONNECT_API_BASE_URL to use a mock server instead of production. In production a run costs tokens.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/qcagents/qcagents/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	c, err := client.New(client.WithApplication("qcagents-example", ""))
	if err != nil {
		return err
	}
	organizationID, err := c.OrganizationID()
	if err != nil {
		return err
	}
	if err := c.Authenticate(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "Credentials accepted by", c.BaseURL())

	agents, err := c.Agents.List(ctx, organizationID)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, len(agents), "agents so far")

	agent, err := c.Agents.Create(ctx, client.CreateAgentRequest{
		OrganizationID:  organizationID,
		Name:            "Example Agent",
		Description:     new("Writes LEAN algorithms."),
		SystemPrompt:    new("Prefer simple models and explain every trade."),
		Model:           new("claude-opus-4-7"),
		ReasoningEffort: new(client.ReasoningEffort(client.EffortHigh)),
		MaxTurns:        new(100),
		ToolChoice:      new("auto"),
		Public:          new(false),
		UseQCC:          new(true),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(ctx, c.Agents.Delete, agent.ID)) }()
	if err := c.Agents.Update(ctx, client.UpdateAgentRequest{AgentID: agent.ID, Name: new("My Claude")}); err != nil {
		return err
	}
	renamed, err := c.Agents.Read(ctx, agent.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Agent %d is called %s and runs on %s\n", renamed.ID, renamed.Name, renamed.Model)

	task, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
		OrganizationID:    organizationID,
		AgentID:           agent.ID,
		Name:              "Buy and hold SPY",
		Prompt:            "Build a buy and hold strategy for SPY",
		ProjectPreference: client.ProjectEachTaskDeployment,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(ctx, c.Tasks.Delete, task.ID)) }()
	if err := c.Tasks.Update(ctx, client.UpdateAgentTaskRequest{TaskID: task.ID, Name: new("Test - " + task.Name)}); err != nil {
		return err
	}
	fmt.Fprintf(out, "Task %d is ready\n", task.ID)

	deployment, err := c.Deployments.Create(ctx, task.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(ctx, c.Deployments.Delete, deployment.DeploymentID)) }()
	if err := watch(ctx, out, c, deployment.DeploymentID); err != nil {
		return err
	}

	before, err := c.Deployments.ReadConversation(ctx, deployment.DeploymentID)
	if err != nil {
		return err
	}
	for _, message := range before.Messages {
		for _, part := range message.Parts {
			show(out, client.ViewPart(part))
		}
	}
	if err := c.Deployments.Prompt(ctx, deployment.DeploymentID, "Use QQQ instead of SPY"); err != nil {
		return err
	}
	fmt.Fprintln(out, "Prompted; what comes now is the answer")
	for part, err := range c.Deployments.Follow(ctx, deployment.DeploymentID, client.After(before)) {
		if err != nil {
			return err
		}
		show(out, part.View())
	}
	return c.Deployments.Stop(ctx, deployment.DeploymentID)
}

// watch shows the progress of a deployment until it has come to its end.
func watch(ctx context.Context, out io.Writer, c *client.Client, deploymentID string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for deployment, err := range c.Deployments.Watch(ctx, deploymentID) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Deployment %s: %s\n", deploymentID, deployment.Status)
		if client.IsFailure(deployment.Status) {
			return fmt.Errorf("deployment %s ended as %s", deploymentID, deployment.Status)
		}
	}
	return nil
}

func show(out io.Writer, view client.PartView) {
	switch view := view.(type) {
	case client.TextPart:
		fmt.Fprintln(out, "  "+view.Text)
	case client.ToolCall:
		fmt.Fprintf(out, "  [%s %s]\n", view.Name, view.State)
		if result, ok := view.Result(); ok && result.Failed() {
			fmt.Fprintln(out, "  failed:", result.Errors)
		}
	}
}

// remove cleans up, also after an interrupt.
func remove[ID any](ctx context.Context, del func(context.Context, ID) error, id ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return del(ctx, id)
}
