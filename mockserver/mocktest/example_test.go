package mocktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
	"github.com/qcagents/qcagents/mockserver/mocktest"
)

// asTest runs the body of a test where there is none: Examples have no *testing.T.
func asTest(body func(t *testing.T)) {
	ran := false // with -count, what follows would run it as often again
	testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "Example",
		F: func(t *testing.T) {
			if !ran {
				ran = true
				body(t)
			}
		},
	}})
}

// research is the code under test: it has an agent work on a prompt and gives the status that it ended with.
func research(ctx context.Context, c *client.Client, prompt string) (string, error) {
	organization, err := c.OrganizationID()
	if err != nil {
		return "", err
	}
	task, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
		OrganizationID: organization, AgentID: 47, Name: "Research", Prompt: prompt,
		ProjectPreference: client.ProjectEachTaskDeployment,
	})
	if err != nil {
		return "", err
	}
	deployment, err := c.Deployments.Create(ctx, task.ID)
	if err != nil {
		return "", err
	}
	deployment, err = c.Deployments.Wait(ctx, deployment.DeploymentID)
	if err != nil {
		return "", err
	}
	return deployment.Status, nil
}

// A deployment is waited for in no time at all, since the clock is the bubble's. Prompts can choose what becomes of them.
func ExampleNew() {
	asTest(func(t *testing.T) { // func TestResearch(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := mocktest.New(t)

			status, err := research(t.Context(), srv.Client(), "Build a buy and hold strategy for SPY.")
			fmt.Println(status, err)

			status, err = research(t.Context(), srv.Client(), "Divide by zero. [mock:runtime-error]")
			fmt.Println(status, err)
		})
	})
	// Output:
	// Completed <nil>
	// RuntimeError <nil>
}

// Programs that read an address from their environment get one.
func ExampleStart() {
	asTest(func(t *testing.T) {
		srv := mocktest.Start(t)
		t.Setenv("QUANTCONNECT_API_BASE_URL", srv.URL())
		t.Setenv("QUANTCONNECT_USER_ID", fmt.Sprint(srv.Credentials().UserID))
		t.Setenv("QUANTCONNECT_API_TOKEN", srv.Credentials().Token)
		fmt.Println(os.Getenv("QUANTCONNECT_USER_ID"))

		c, err := client.New()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(c.Authenticate(t.Context()))
	})
	// Output:
	// 1
	// <nil>
}

// Tests that run side by side share a server, each in a world of its own.
func ExampleServer_NewWorld() {
	asTest(func(t *testing.T) {
		srv := mocktest.New(t)
		for _, name := range []string{"one", "two"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := srv.NewWorld(t).Client()
				agent, err := c.Agents.Create(t.Context(), client.CreateAgentRequest{
					OrganizationID: mockserver.DefaultOrganizationID, Name: name,
				})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Println("agent", agent.ID)
			})
		}
	})
	// Output:
	// agent 101
	// agent 101
}

// The answer to a creation is lost after the task was made. Whoever just tries again makes it twice; the client does not.
func ExampleWorld_Inject() {
	asTest(func(t *testing.T) {
		srv := mocktest.New(t)
		srv.Inject(mockserver.Fault{Operation: "createTask", Phase: mockserver.AfterEffect, Effect: mockserver.Drop()})
		c := srv.Client()

		_, err := research(t.Context(), c, "Build a buy and hold strategy for SPY.")
		failure, _ := errors.AsType[*client.Error](err)
		fmt.Println(failure.Operation, failure.MayHaveTakenEffect)

		tasks, err := c.Tasks.List(t.Context(), srv.OrganizationID())
		fmt.Println(len(tasks), err)
	})
	// Output:
	// createTask true
	// 1 <nil>
}

// Time that stands still moves by the test's word alone.
func ExampleWorld_Advance() {
	asTest(func(t *testing.T) {
		srv := mocktest.New(t)
		srv.Freeze()
		c := srv.Client()
		task, err := c.Tasks.Create(t.Context(), newTask(srv.World))
		if err != nil {
			t.Fatal(err)
		}
		deployment, err := c.Deployments.Create(t.Context(), task.ID)
		for range 3 {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(deployment.Status)
			srv.Advance(1500 * time.Millisecond)
			deployment, err = c.Deployments.Read(t.Context(), deployment.DeploymentID)
		}
	})
	// Output:
	// InQueue
	// Running
	// Completed
}

// What is wrong on purpose does not fail the test, and has to be wrong.
func ExampleWorld_ExpectViolations() {
	asTest(func(t *testing.T) {
		srv := mocktest.New(t)
		srv.ExpectViolations(mockserver.AuthHash)
		err := srv.Client(client.WithCredentials(client.Credentials{UserID: 1, Token: "expired"})).Authenticate(t.Context())
		fmt.Println(errors.Is(err, client.ErrUnauthorized))
	})
	// Output: true
}

// Code that signs for itself only needs a way to the server.
func ExampleWorld_HTTPClient() {
	asTest(func(t *testing.T) {
		srv := mocktest.New(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL()+"/authenticate", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		signer := client.Signer{Credentials: srv.Credentials()}
		if err := signer.Edit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		resp, err := srv.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status)
	})
	// Output: 200 OK
}
