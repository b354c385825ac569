package mockserver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
)

// Auth says what a request's credentials must be.
type Auth string

// The ways to check credentials.
const (
	// AuthStrict wants the signature of an account that the server knows. It is the default.
	AuthStrict Auth = "strict"
	// AuthAny wants a well-formed and fresh signature of whatever user and token. Each user id has a world of its own,
	// which owns every organization that a request names.
	AuthAny Auth = "any"
	// AuthOff wants nothing. Every request means the default world.
	AuthOff Auth = "off"
)

// AuthFailures says how refused credentials are answered.
type AuthFailures string

// The two answers to refused credentials.
const (
	// AuthFailuresDocumented answers 401, as the reference pages say. It is the default.
	AuthFailuresDocumented AuthFailures = "documented"
	// AuthFailuresObserved answers 200 with success false, as live servers have been seen to.
	AuthFailuresObserved AuthFailures = "observed"
)

// Contract says what becomes of requests that break the contract.
type Contract string

// The ways to treat the contract.
const (
	// ContractStrict refuses them. It is the default.
	ContractStrict Contract = "strict"
	// ContractObserve notes the violation and serves the request as well as it can. A required member that is missing or
	// has the wrong type is refused all the same.
	ContractObserve Contract = "observe"
	// ContractOff looks at no request further than it must to serve it. Answers are still checked.
	ContractOff Contract = "off"
)

// The credentials of the default account. They are obviously fake and the same everywhere, so that they can be written
// into tests.
const (
	DefaultUserID         = 1
	DefaultToken          = "mock-api-token"
	DefaultOrganizationID = "0123456789abcdef0123456789abcdef"
)

// Account is a user of the imaginary QuantConnect.
type Account struct {
	// UserID is the number that a signature names.
	UserID int `json:"userId"`
	// Token is the API token that a signature is made with.
	Token string `json:"token,omitempty"`
	// Organizations are the identifiers of the organizations that the user belongs to.
	Organizations []string `json:"organizations,omitempty"`
}

// DefaultAccount is the account of a server that was given none.
func DefaultAccount() Account {
	return Account{UserID: DefaultUserID, Token: DefaultToken, Organizations: []string{DefaultOrganizationID}}
}

func (a Account) check() error {
	if a.UserID < 0 {
		return fmt.Errorf("user id %d: use 0 or more", a.UserID)
	}
	if slices.Contains(a.Organizations, "") {
		return errors.New("organization: its identifier must not be empty")
	}
	return nil
}

type config struct {
	auth         Auth
	authFailures AuthFailures
	contract     Contract
	accounts     []Account
	clock        func() time.Time
	speed        float64
	seed         string
	maxBody      int64
	maxWorlds    int
	seeded       bool
	capacity     int
	scenario     *Scenario
	journalBytes int
	severities   map[Class]Severity // of classes that do not have the default
	controlToken string
	logger       *slog.Logger
	observers    []func(Entry)
}

// Option changes what [New] makes.
type Option func(*config) error

// WithAuth sets what credentials must be. Default: [AuthStrict].
func WithAuth(auth Auth) Option {
	return func(c *config) error { return choose(&c.auth, auth, AuthStrict, AuthAny, AuthOff) }
}

// WithAuthFailures sets how refused credentials are answered. Default: [AuthFailuresDocumented].
func WithAuthFailures(answer AuthFailures) Option {
	return func(c *config) error {
		return choose(&c.authFailures, answer, AuthFailuresDocumented, AuthFailuresObserved)
	}
}

// WithContract sets what becomes of requests that break the contract. Default: [ContractStrict].
func WithContract(contract Contract) Option {
	return func(c *config) error {
		return choose(&c.contract, contract, ContractStrict, ContractObserve, ContractOff)
	}
}

// WithSeverity sets how much a class of violation matters. Refusals that are the service's own (of credentials, of unknown
// identifiers, of what cannot be done now, of other paths and methods) stay refusals; their severity is for the report
// alone. Default: [SeverityError] for every class.
func WithSeverity(class Class, severity Severity) Option {
	return func(c *config) error {
		if err := CheckSeverity(class, severity); err != nil {
			return err
		}
		if c.severities == nil {
			c.severities = map[Class]Severity{}
		}
		c.severities[class] = severity
		return nil
	}
}

// CheckSeverity says what is wrong with a class or a severity; nil when nothing is.
func CheckSeverity(class Class, severity Severity) error {
	var known Class
	if err := choose(&known, class, Classes...); err != nil {
		return fmt.Errorf("severity: %w", err)
	}
	var chosen Severity
	if err := choose(&chosen, severity, SeverityError, SeverityWarning, SeverityOff); err != nil {
		return fmt.Errorf("severity of %s: %w", class, err)
	}
	return nil
}

func (c *config) severity(class Class) Severity {
	return cmp.Or(c.severities[class], SeverityError)
}

func choose[T ~string](setting *T, choice T, among ...T) error {
	if !slices.Contains(among, choice) {
		return fmt.Errorf("unknown choice %q: use one of %q", choice, among)
	}
	*setting = choice
	return nil
}

// WithAccount adds an account with a world of its own. The first one's world is the default world. Default: the one of
// [DefaultAccount].
func WithAccount(account Account) Option {
	return func(c *config) error {
		if err := account.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(c.accounts, func(a Account) bool { return a.UserID == account.UserID }) {
			return fmt.Errorf("user id %d: there are two accounts with it", account.UserID)
		}
		account.Organizations = append([]string{}, account.Organizations...)
		c.accounts = append(c.accounts, account)
		return nil
	}
}

// WithClock sets the base clock: signatures are judged by it, and the times of worlds begin at it and keep its pace.
// It must be safe for concurrent use. Default: the system's clock.
func WithClock(now func() time.Time) Option {
	return func(c *config) error {
		if now == nil {
			return errors.New("clock: the function is nil")
		}
		c.clock = now
		return nil
	}
}

// WithSpeed sets how many seconds pass in a world for each second of the base clock; 0 stands still. Default: 1.
func WithSpeed(speed float64) Option {
	return func(c *config) error {
		c.speed = speed
		return checkSpeed(speed)
	}
}

func checkSpeed(speed float64) error {
	if speed < 0 || speed > 1e6 || math.IsNaN(speed) {
		return fmt.Errorf("speed %v: use a number from 0 (time stands still) to 1000000", speed)
	}
	return nil
}

// WithSeed makes everything repeatable: the same calls in the same order get the same identifiers, times and transcripts,
// and leave the same journal, byte for byte, whatever other worlds do. For that, the time of a world begins at the start of
// 2026 and goes on by half a second at each exchange (see [WithSpeed]), however long the exchanges take. Signatures are
// still judged by the base clock, so the header Timestamp differs from run to run and is left out of the journal. Default:
// no seed, and identifiers that differ each time.
func WithSeed(seed string) Option {
	return func(c *config) error {
		c.seed, c.seeded = seed, true
		return nil
	}
}

// WithCapacity sets how many deployments of a world work at once; further ones wait InQueue, as on a node of that size.
// Default: 0, which is no limit.
func WithCapacity(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("capacity %d: use 0 (no limit) or more", n)
		}
		c.capacity = n
		return nil
	}
}

// WithJournalBytes sets about how much memory each world's journal takes before it forgets its oldest entries.
// The latest entry stays, whatever its size. Default: 16 MiB.
func WithJournalBytes(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("journal of %d bytes: use 1 or more", n)
		}
		c.journalBytes = n
		return nil
	}
}

// WithObserver has observe called with every entry as it comes into a journal, that of exchanges without a world included,
// and before the answer leaves. It is called from the goroutine of the exchange, and side by side for exchanges that are.
// Default: nobody.
func WithObserver(observe func(Entry)) Option {
	return func(c *config) error {
		if observe == nil {
			return errors.New("observer: the function is nil")
		}
		c.observers = append(c.observers, observe)
		return nil
	}
}

// WithMaxBody sets the largest request body that is read, in bytes. Default: 1 MiB.
func WithMaxBody(bytes int64) Option {
	return func(c *config) error {
		if bytes < 1 {
			return fmt.Errorf("largest body %d: use 1 byte or more", bytes)
		}
		c.maxBody = bytes
		return nil
	}
}

// WithMaxWorlds sets how many worlds there may be. Default: 10,000.
func WithMaxWorlds(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("most worlds %d: use 1 or more", n)
		}
		c.maxWorlds = n
		return nil
	}
}

// WithControlToken lets programs of other computers use what is under /_mock/, if they show this token: in the header
// Qcmock-Control-Token, or as Authorization: Bearer. It goes over the wire as it is. Default: none, and only programs of
// the same computer may; they need no token in either case.
func WithControlToken(token string) Option {
	return func(c *config) error {
		if len(token) < minControlToken {
			return fmt.Errorf("control token of %d bytes: use %d or more, none of which can be guessed", len(token), minControlToken)
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("control token: use letters, digits and punctuation, so that a header can hold it")
		}
		c.controlToken = token
		return nil
	}
}

const minControlToken = 16

// WithLogger sets where the server reports its own bugs. Nothing else is logged. Default: nowhere.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error {
		if logger == nil {
			return errors.New("logger: it is nil")
		}
		c.logger = logger
		return nil
	}
}
