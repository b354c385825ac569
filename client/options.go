package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// ProductionURL is where QuantConnect serves its API. Evidence: documented.
const ProductionURL = "https://www.quantconnect.com/api/v2"

const (
	defaultTimeout = time.Minute
	defaultMaxBody = 64 << 20
)

// An Option changes what [New] and [Client.Clone] build. The later of two that say different things counts.
type Option func(*config) error

// A RequestEditor may change a request before it is signed. It runs at every attempt, on that attempt's own copy.
type RequestEditor func(ctx context.Context, req *http.Request) error

// config is everything a client is made from. It does not change once a client has it.
type config struct {
	credentials  *Credentials
	misses       []miss // why there are no credentials
	organization string
	baseURL      string
	basePath     string
	httpClient   *http.Client
	logger       *slog.Logger
	userAgent    string
	application  string
	editors      []RequestEditor
	timeout      time.Duration
	retry        RetryPolicy
	maxBody      int64
	now          func() time.Time
	sources      sources
}

// WithCredentials signs with these credentials. Default: the environment ([EnvUserID], [EnvAPIToken]), then lean-cli's
// ~/.lean/credentials.
func WithCredentials(credentials Credentials) Option {
	return func(c *config) error {
		if credentials.Token == "" {
			return fmt.Errorf("%w: WithCredentials was given an empty token", ErrNoCredentials)
		}
		if credentials.UserID < 0 {
			return fmt.Errorf("%w: WithCredentials was given a negative user id", ErrNoCredentials)
		}
		c.credentials = &credentials
		return nil
	}
}

// WithOrganization sets what [Client.OrganizationID] answers. Default: the environment ([EnvOrganizationID]), then the
// organization-id of ~/.lean/credentials, if that file is about the same user.
func WithOrganization(id string) Option {
	return func(c *config) error { c.organization = id; return nil }
}

// WithBaseURL sends requests there, such as http://127.0.0.1:5612/api/v2 for a local mock server. A slash at the end
// makes no difference. Default: the environment ([EnvBaseURL]), then [ProductionURL].
func WithBaseURL(base string) Option {
	return func(c *config) error { return c.setBaseURL(base) }
}

// WithHTTPClient sends through a copy of h, so the original stays as it is. The copy does not follow redirects unless h
// has a CheckRedirect of its own: a redirected POST would arrive as a GET. Default: a client over
// [http.DefaultTransport].
func WithHTTPClient(h *http.Client) Option {
	return func(c *config) error {
		if h == nil {
			return errors.New("WithHTTPClient was given nil")
		}
		c.setHTTPClient(*h)
		return nil
	}
}

// WithLogger tells logger about every attempt at level Debug, and about every repetition at level Warn. No header, body
// or secret is logged. Default: silence.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error { c.logger = logger; return nil }
}

// WithUserAgent replaces the User-Agent header. Default: "qcagents-go/" and this module's version.
func WithUserAgent(agent string) Option {
	return func(c *config) error {
		if err := checkHeaderValue("WithUserAgent", agent); err != nil {
			return err
		}
		c.userAgent = agent
		return nil
	}
}

// WithApplication puts the calling program's name and version before the User-Agent, as in "my-app/1.2 qcagents-go/…".
// The version may be empty. Default: none.
func WithApplication(name, version string) Option {
	return func(c *config) error {
		if name == "" {
			return errors.New("WithApplication was given an empty name")
		}
		c.application = name
		if version != "" {
			c.application += "/" + version
		}
		return checkHeaderValue("WithApplication", c.application)
	}
}

// WithRequestEditor adds an editor after those that are there already, for a trace header, say. Default: none.
func WithRequestEditor(edit RequestEditor) Option {
	return func(c *config) error {
		if edit == nil {
			return errors.New("WithRequestEditor was given nil")
		}
		c.editors = append(slices.Clip(c.editors), edit)
		return nil
	}
}

// WithTimeout bounds a single attempt, from the dial to the last byte of the answer; a call as a whole is bounded by its
// context. 0 means no bound. Default: one minute.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d < 0 {
			return errors.New("WithTimeout was given a negative duration")
		}
		c.timeout = d
		return nil
	}
}

// WithRetry sets how often and how soon an attempt is repeated. Which operations may be repeated at all is not a matter
// of choice; see the package's documentation. Default: the zero [RetryPolicy], with its defaults.
func WithRetry(policy RetryPolicy) Option {
	return func(c *config) (err error) {
		c.retry, err = policy.withDefaults()
		return err
	}
}

// WithMaxResponseBytes bounds the body of an answer; a larger one is [ErrUnexpectedBody]. Default: 64 MiB.
func WithMaxResponseBytes(n int64) Option {
	return func(c *config) error {
		if n <= 0 {
			return errors.New("WithMaxResponseBytes was not given a positive number")
		}
		c.maxBody = n
		return nil
	}
}

func newConfig() *config {
	c := &config{timeout: defaultTimeout, maxBody: defaultMaxBody, now: systemClock, sources: systemSources()}
	c.retry, _ = RetryPolicy{}.withDefaults()
	c.setHTTPClient(http.Client{})
	return c
}

func (c *config) apply(opts []Option) error {
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	return nil
}

// complete looks up what no option gave.
func (c *config) complete() error {
	if c.baseURL == "" {
		base := strings.TrimSpace(c.sources.getenv(EnvBaseURL))
		if base == "" {
			return c.setBaseURL(ProductionURL)
		}
		if err := c.setBaseURL(base); err != nil {
			return fmt.Errorf("%s: %w", EnvBaseURL, err)
		}
	}
	return nil
}

// setBaseURL never quotes what it refuses; an address may hold a password.
func (c *config) setBaseURL(base string) error {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return errors.New("base URL: cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("base URL: does not begin with http:// or https://")
	case u.Host == "":
		return errors.New("base URL: names no host")
	case u.User != nil:
		return errors.New("base URL: holds a user name or password; credentials go into WithCredentials")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("base URL: holds a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	c.baseURL, c.basePath = u.String(), u.Path
	return nil
}

func (c *config) setHTTPClient(h http.Client) {
	if h.CheckRedirect == nil {
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	c.httpClient = &h
}

func (c *config) agent() string {
	agent := c.userAgent
	if agent == "" {
		agent = defaultUserAgent()
	}
	if c.application != "" {
		agent = c.application + " " + agent
	}
	return agent
}

func (c *config) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if c.logger != nil {
		c.logger.LogAttrs(ctx, level, msg, attrs...)
	}
}

func checkHeaderValue(option, value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s was given a control character", option)
	}
	return nil
}

// defaultUserAgent asks the build for the version, so that no constant can go stale.
var defaultUserAgent = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return "qcagents-go/" + moduleVersion(info)
})

func moduleVersion(info *debug.BuildInfo) string {
	const module = "github.com/qcagents/qcagents"
	if info != nil {
		for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
			if m.Path == module && m.Version != "" && m.Version != "(devel)" {
				return m.Version
			}
		}
	}
	return "devel"
}
