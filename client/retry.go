package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// RetryPolicy says how patient a client is. A field left at zero takes its default.
type RetryPolicy struct {
	// MaxAttempts bounds the requests sent for one call, the first included. 1 turns retries off. Default 4.
	MaxAttempts int
	// MinDelay is the first wait between attempts; each further one doubles. Default 500 ms.
	MinDelay time.Duration
	// MaxDelay caps the doubling. Default 10 s.
	MaxDelay time.Duration
	// MaxRetryAfter is the longest wait that a server may ask for with Retry-After. One that asks for more is not waited
	// for: the call fails at once and [Error.RetryAfter] tells. Default 1 min.
	MaxRetryAfter time.Duration
}

func (p RetryPolicy) withDefaults() (RetryPolicy, error) {
	if p.MaxAttempts < 0 || p.MinDelay < 0 || p.MaxDelay < 0 || p.MaxRetryAfter < 0 {
		return p, errors.New("retry policy: a value is negative")
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 4
	}
	if p.MinDelay == 0 {
		p.MinDelay = 500 * time.Millisecond
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = 10 * time.Second
	}
	if p.MaxRetryAfter == 0 {
		p.MaxRetryAfter = time.Minute
	}
	return p, nil
}

// backoff gives the wait after the attempt of that number, counted from 1: between half and all of the doubled delay, so
// that clients which failed together do not come back together.
func (p RetryPolicy) backoff(attempt int) time.Duration {
	delay := p.MinDelay
	for range attempt - 1 {
		if delay >= p.MaxDelay/2 {
			delay = p.MaxDelay
			break
		}
		delay *= 2
	}
	delay = min(delay, p.MaxDelay)
	return delay/2 + rand.N(delay/2+1)
}

// skewLimit is the difference between the clocks from which on it may be why a signature was refused. How much of it the
// service accepts is not documented; less than this passes between a server's Date and its reading here.
const skewLimit = 30 * time.Second

var errAttemptTimeout = errors.New("attempt timed out")

// A chain is the way every request takes, from the services as from the raw client: the request editors, the signature,
// the attempts, and the judgement of each answer.
type chain struct {
	conf *config
	// skew is what to add to the local clock to have the server's, in nanoseconds.
	skew atomic.Int64
}

// send makes as many attempts as the operation and the policy allow. The answer is there whenever one arrived whole,
// also beside an error.
func (c *chain) send(ctx context.Context, op operation, req *http.Request, secrets ...string) (*answer, *Error) {
	scrub := &scrubber{}
	fail := func(e *Error) *Error {
		e.Operation, e.scrub = op.id, scrub
		e.Messages = scrub.texts(e.Messages)
		if e.cause != nil {
			e.cause = hidden{e.cause, scrub}
		}
		return e
	}
	if c.conf.credentials == nil {
		return nil, fail(&Error{kind: ErrNoCredentials, detail: joinMisses(c.conf.misses)})
	}
	scrub.add(c.conf.credentials.Token)
	scrub.add(secrets...)
	if err := makeReplayable(req); err != nil {
		return nil, fail(&Error{cause: err, detail: "read the request's body: " + err.Error()})
	}

	corrected, blind := false, false
	for attempt := 1; ; attempt++ {
		began, skew := c.conf.now(), time.Duration(c.skew.Load())
		ans, e := c.attempt(ctx, req, skew, scrub)
		if e == nil {
			ans.attempts = attempt
			e = judge(ans)
		}
		c.conf.log(ctx, slog.LevelDebug, "quantconnect request", slog.String("operation", op.id),
			slog.Int("attempt", attempt), slog.Int("status", statusOf(ans)), slog.Duration("took", c.conf.now().Sub(began)))
		if ans != nil {
			capture(ctx, ans)
		}
		if e == nil {
			return ans, nil
		}
		e = fail(e)
		e.Attempts = attempt
		if e.unsent {
			e.Attempts--
		}
		blind = blind || e.blind
		e.MayHaveTakenEffect = op.effect != reads && blind

		again := false
		switch {
		case errors.Is(e, ErrUnauthorized):
			again = c.noteSkew(e, ans, skew) && !corrected
			e.resignation = corrected
			corrected = corrected || again
		case errors.Is(e, ErrThrottled):
			again = true
		case errors.Is(e, ErrUnavailable):
			again = !e.permanent && (op.effect != acts || e.neverRan)
		}
		delay := time.Duration(0)
		if !errors.Is(e, ErrUnauthorized) {
			delay = c.conf.retry.backoff(attempt)
			if ans != nil {
				e.RetryAfter = retryAfter(ans.header, c.conf.now())
			}
			if e.RetryAfter > 0 {
				delay = e.RetryAfter
				e.detail += ", retry after " + e.RetryAfter.String()
			}
		}
		if !again || attempt >= c.conf.retry.MaxAttempts || e.RetryAfter > c.conf.retry.MaxRetryAfter {
			return ans, e
		}
		c.conf.log(ctx, slog.LevelWarn, "quantconnect request will be repeated", slog.String("operation", op.id),
			slog.Int("attempt", attempt), slog.Duration("in", delay), slog.String("because", e.Error()))
		if err := pause(ctx, delay); err != nil {
			e.cause = errors.Join(e.cause, err)
			e.detail += "; gave up waiting to try again: " + err.Error()
			return ans, e
		}
	}
}

// attempt sends the request once, signed for this moment, and reads the answer to its end.
func (c *chain) attempt(
	ctx context.Context, req *http.Request, skew time.Duration, scrub *scrubber,
) (*answer, *Error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{cause: err, detail: err.Error(), unsent: true}
	}
	attemptCtx, cancel := ctx, context.CancelFunc(func() {})
	if c.conf.timeout > 0 {
		attemptCtx, cancel = context.WithTimeoutCause(ctx, c.conf.timeout, errAttemptTimeout)
	}
	defer cancel()

	// A transport that reports on its connections also lets us know that it never got one.
	var sought, got atomic.Bool
	traced := httptrace.WithClientTrace(attemptCtx, &httptrace.ClientTrace{
		GetConn: func(string) { sought.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	})
	try := req.Clone(traced)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, &Error{cause: err, detail: "replay the request's body: " + err.Error(), unsent: true}
		}
		try.Body = body
	}
	try.Header.Set("User-Agent", c.conf.agent())
	try.Header.Set("Accept", "application/json")
	for _, edit := range c.conf.editors {
		if err := edit(traced, try); err != nil {
			return nil, &Error{cause: err, detail: "request editor: " + err.Error(), unsent: true}
		}
	}
	signer := Signer{*c.conf.credentials, func() time.Time { return c.conf.now().Add(skew) }}
	_ = signer.Edit(traced, try)
	scrub.addAuthorization(try.Header.Get("Authorization"))

	httpClient, redirected := *c.conf.httpClient, false
	httpClient.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		redirected = true
		return c.conf.httpClient.CheckRedirect(next, via)
	}
	resp, err := httpClient.Do(try)
	if err != nil {
		e := c.networkError(ctx, attemptCtx, err)
		// A fault on the way to where a redirect points comes after an answer, so something was sent.
		e.neverRan = !redirected && (e.neverRan || sought.Load() && !got.Load())
		e.blind = !e.neverRan
		return nil, e
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.conf.maxBody+1))
	if err != nil {
		e := c.networkError(ctx, attemptCtx, err)
		e.StatusCode, e.body, e.neverRan, e.blind = resp.StatusCode, body, false, true
		return nil, e
	}
	if int64(len(body)) > c.conf.maxBody {
		return nil, &Error{
			kind: ErrUnexpectedBody, StatusCode: resp.StatusCode, body: body[:c.conf.maxBody], blind: true,
			detail: fmt.Sprintf("the answer is larger than %d bytes", c.conf.maxBody),
		}
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// networkError tells a caller who gave up from a server that did not answer.
func (c *chain) networkError(ctx, attemptCtx context.Context, err error) *Error {
	e := &Error{cause: err, neverRan: neverRan(err), permanent: permanent(err)}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // its text repeats the method and the address
	}
	switch {
	case ctx.Err() != nil:
		e.detail, e.permanent = ctx.Err().Error(), true
		e.cause = errors.Join(ctx.Err(), e.cause)
	case errors.Is(context.Cause(attemptCtx), errAttemptTimeout):
		e.kind, e.detail = ErrUnavailable, "no answer within "+c.conf.timeout.String()
	default:
		e.kind, e.detail = ErrUnavailable, err.Error()
	}
	return e
}

// neverRan recognizes the faults that come before a request is written.
func neverRan(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	return permanent(err)
}

// permanent recognizes what stays wrong until somebody changes an address or a certificate.
func permanent(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch)
}

// noteSkew compares the clocks when a signature was refused, and says whether signing again by the server's makes sense.
func (c *chain) noteSkew(e *Error, ans *answer, used time.Duration) bool {
	date, err := http.ParseTime(ans.header.Get("Date"))
	if err != nil {
		return false
	}
	skew := date.Sub(c.conf.now())
	if skew.Abs() >= skewLimit {
		e.ClockSkew = -skew.Round(time.Second)
	}
	if (skew - used).Abs() < skewLimit {
		return false
	}
	c.skew.Store(int64(skew))
	return true
}

// retryAfter reads a Retry-After header, in seconds or as a date. A date is measured by the server's own clock where it
// tells it, for ours may be wrong. What makes no sense counts as absent.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		const longest = 1 << 31 // seconds; keeps the product below from overflowing
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > longest {
			seconds = longest
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// makeReplayable sees to it that the body can be sent again.
func makeReplayable(req *http.Request) error {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return nil
}

// addAuthorization remembers the signature that was sent, whole and in parts.
func (s *scrubber) addAuthorization(value string) {
	encoded := strings.TrimPrefix(value, "Basic ")
	s.add(encoded)
	if plain, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		_, hash, _ := strings.Cut(string(plain), ":")
		s.add(hash)
	}
}

func statusOf(ans *answer) int {
	if ans == nil {
		return 0
	}
	return ans.status
}

func joinMisses(misses []miss) string {
	texts := make([]string, len(misses))
	for i, m := range misses {
		texts[i] = m.String()
	}
	return strings.Join(texts, "; ")
}

// doer lends the chain to the generated client. Whatever answer arrives is handed on, good or bad, as an HTTP client
// would; only the lack of one is an error.
type doer struct{ chain *chain }

var _ gen.HttpRequestDoer = doer{}

func (d doer) Do(req *http.Request) (*http.Response, error) {
	op := operationOf(req.Method, req.URL.Path, d.chain.conf.basePath)
	ans, e := d.chain.send(req.Context(), op, req)
	if ans == nil {
		return nil, e
	}
	return &http.Response{
		Status:        statusText(ans.status),
		StatusCode:    ans.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        ans.header,
		Body:          io.NopCloser(bytes.NewReader(ans.body)),
		ContentLength: int64(len(ans.body)),
		Request:       req,
	}, nil
}
