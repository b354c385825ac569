// Package client talks to QuantConnect's agents API: it creates agents and tasks, deploys tasks, waits for deployments
// and reads what the agents said and did.
//
// # First steps
//
// Put the user id and the API token of your account, both on QuantConnect's account page, into the environment as
// QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN, or log in with lean-cli, and run:
//
//	c, err := client.New()
//	if err != nil {
//		return err
//	}
//	if err := c.Authenticate(ctx); err != nil {
//		return err // says what is wrong with the credentials, or where they were looked for
//	}
//	task, err := c.Tasks.Create(ctx, client.CreateAgentTaskRequest{
//		OrganizationID:    organizationID,
//		AgentID:           47,
//		Name:              "Buy and hold SPY",
//		Prompt:            "Build a buy and hold strategy for SPY",
//		ProjectPreference: client.ProjectEachTaskDeployment,
//	})
//	if err != nil {
//		return err
//	}
//	deployment, err := c.Deployments.Create(ctx, task.ID)
//	if err != nil {
//		return err
//	}
//	for part, err := range c.Deployments.Follow(ctx, deployment.DeploymentID) {
//		if err != nil {
//			return err
//		}
//		if text, ok := part.View().(client.TextPart); ok && text.State != client.StateStreaming {
//			fmt.Println(text.Text)
//		}
//	}
//
// An agent belongs to an organization; a task is a prompt for an agent; a deployment is one run of a task, and its
// conversation is the transcript. To try all this without an account, run this project's mock server and set
// QUANTCONNECT_API_BASE_URL to its address.
//
// # Errors
//
// Every method fails with an [*Error], which is one of six kinds: [ErrNoCredentials], [ErrUnauthorized], [ErrRejected],
// [ErrThrottled], [ErrUnavailable], [ErrUnexpectedBody]. The service answers most refusals with status 200; they are
// errors here all the same, with its words in [Error.Messages]. Waiting fails with a [*WaitError] around one.
//
//	switch {
//	case errors.Is(err, client.ErrUnauthorized):
//		// the credentials, or the clock
//	case errors.Is(err, client.ErrRejected):
//		// the request
//	}
//
// # What is sent again
//
// Requests that fail in passing are repeated, a little later each time, within the limits of [WithRetry]. What may be
// repeated follows from what an operation does:
//
//   - Reading, listing, updating and authenticating are repeated after a network fault, a timeout, and the statuses 408,
//     429 and 5xx.
//   - Creating, prompting, stopping and deleting are repeated only when the first request certainly never ran: no
//     connection came about, or the answer was 429.
//   - Any request is repeated once after a refused signature, when the answer's Date shows that the local clock is off.
//     Later signatures are made by the server's clock.
//
// So nothing is ever created twice. The price is an error with [Error.MayHaveTakenEffect] when the answer to a creation
// was lost: list what is there before trying again.
//
// # What is not known
//
// QuantConnect documents the requests of this API and hardly any answer. Each method says how sure it is of its own:
// documented, observed in working programs, or inferred. Members of answers that nobody has seen are optional, statuses
// and the like are open strings, and an answer with members or values unknown here is read all the same. What the types
// leave out is in the raw answer, which [CaptureResponse] and [Error.Body] give; [Client.Raw] gives the whole generated
// client.
//
// # Secrets
//
// The API token never leaves the machine: requests carry a hash of it. No error, log line or printed value of this
// package shows the token, a signature or a provider's key, even where the server repeats them. The exceptions are
// values that are meant to hold them, [Error.Body], [Response] and the requests themselves.
package client
