package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/qcagents/qcagents/gen"
)

// Client talks to QuantConnect's agents API. Make one with [New]; it does not change afterwards and is safe for
// concurrent use. It keeps no goroutine and needs no closing.
type Client struct {
	// Agents are the agents of an organization.
	Agents *AgentService
	// Tasks are prompts kept for an agent.
	Tasks *TaskService
	// Deployments are the runs of tasks, and their transcripts.
	Deployments *DeploymentService

	chain *chain
	raw   *gen.ClientWithResponses
}

// New makes a client. Without options it finds its credentials in the environment ([EnvUserID] and [EnvAPIToken]) or in
// lean-cli's ~/.lean/credentials, and talks to [EnvBaseURL] or else to [ProductionURL].
//
// It fails when an option or the address makes no sense. Missing credentials are no failure yet: the first call reports
// them, as [ErrNoCredentials], with each place that was looked at and why it did not serve.
func New(opts ...Option) (*Client, error) {
	conf := newConfig()
	if err := conf.apply(opts); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	if err := conf.complete(); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	if conf.credentials == nil {
		conf.credentials, conf.misses = conf.sources.lookup()
	}
	return assemble(conf, 0)
}

// Clone makes another client that differs from c by opts alone. Both use the same connections.
func (c *Client) Clone(opts ...Option) (*Client, error) {
	conf := *c.chain.conf
	if err := conf.apply(opts); err != nil {
		return nil, fmt.Errorf("clone client: %w", err)
	}
	return assemble(&conf, c.chain.skew.Load())
}

// assemble puts the parts in their order: services and raw client, then the chain, then the HTTP client.
func assemble(conf *config, skew int64) (*Client, error) {
	ch := &chain{conf: conf}
	ch.skew.Store(skew)
	raw, err := gen.NewClientWithResponses(conf.baseURL, gen.WithHTTPClient(doer{ch}))
	if err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	return &Client{
		Agents:      &AgentService{ch},
		Tasks:       &TaskService{ch},
		Deployments: &DeploymentService{ch},
		chain:       ch,
		raw:         raw,
	}, nil
}

// Authenticate asks whether the credentials are accepted. Nil means yes, [ErrUnauthorized] no.
//
// Operation authenticate; evidence: observed (the published example calls it first).
func (c *Client) Authenticate(ctx context.Context) error {
	req, err := gen.NewAuthenticateRequest(c.chain.server(), gen.AuthenticateRequest{})
	return run(ctx, c.chain, opAuthenticate, req, err)
}

// Raw gives the generated client, one method per operation, over the same signed and repeating chain. It hands on
// whatever answer arrives: to look at the status and at success is up to the caller. Only when no answer arrives is there
// an error, an [*Error].
func (c *Client) Raw() *gen.ClientWithResponses { return c.raw }

// OrganizationID gives the organization that most calls are about, for programs that want it configured beside the
// credentials: from [WithOrganization], from the environment ([EnvOrganizationID]), or from the organization-id of
// ~/.lean/credentials. Its error lists where it was looked for.
func (c *Client) OrganizationID() (string, error) {
	conf := c.chain.conf
	if conf.organization != "" {
		return conf.organization, nil
	}
	id, misses := conf.sources.organization(conf.credentials)
	if id == "" {
		return "", errors.New("no organization id: " + joinMisses(misses))
	}
	return id, nil
}

// BaseURL gives the address that requests go to, without a slash at the end.
func (c *Client) BaseURL() string { return c.chain.conf.baseURL }

// String names the address and the user, never the token.
func (c *Client) String() string {
	user := "no credentials"
	if c.chain.conf.credentials != nil {
		user = c.chain.conf.credentials.String()
	}
	return fmt.Sprintf("client of %s for %s", c.BaseURL(), user)
}

// Format writes String for every verb.
func (c *Client) Format(f fmt.State, verb rune) { writeFormatted(f, verb, "client.Client", c.String()) }

// LogValue is String for package slog.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// server is the address as the generated request builders want it.
func (c *chain) server() string { return strings.TrimRight(c.conf.baseURL, "/") + "/" }

// run sends a request whose answer carries nothing but the envelope.
func run(ctx context.Context, c *chain, op operation, req *http.Request, buildErr error, secrets ...string) error {
	_, err := exchange(ctx, c, op, req, buildErr, secrets...)
	return err
}

// fetch sends a request and reads the payload beside the envelope.
func fetch[T any](
	ctx context.Context, c *chain, op operation, req *http.Request, buildErr error, secrets ...string,
) (*T, *answer, error) {
	ans, err := exchange(ctx, c, op, req, buildErr, secrets...)
	if err != nil {
		return nil, nil, err
	}
	return decode[T](ans.body), ans, nil
}

// exchange is send for the services: their errors are of type error, and a request that could not be built never leaves.
func exchange(
	ctx context.Context, c *chain, op operation, req *http.Request, buildErr error, secrets ...string,
) (*answer, error) {
	if buildErr != nil {
		return nil, &Error{Operation: op.id, cause: buildErr, detail: "encode the request: " + buildErr.Error()}
	}
	ans, failure := c.send(ctx, op, req, secrets...)
	if failure != nil {
		return nil, failure
	}
	return ans, nil
}

// missing reports a success that lacks what was asked for.
func missing(op operation, ans *answer, detail string) *Error {
	return &Error{
		Operation: op.id, StatusCode: ans.status, Attempts: ans.attempts, MayHaveTakenEffect: op.effect != reads,
		kind: ErrUnexpectedBody, detail: detail, body: ans.body,
	}
}
