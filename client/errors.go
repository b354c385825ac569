package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The kinds of failure. Every [*Error] is at most one of them; ask with [errors.Is]. An error that is none means that
// the caller's context ended or that the request could not be made.
var (
	// ErrNoCredentials means that nothing was sent, because no credentials were found. The text lists where they were
	// looked for.
	ErrNoCredentials = errors.New("no credentials")
	// ErrUnauthorized means that the credentials or their signature were refused, by status 401 or, as live servers do,
	// by a 200 that says so.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrRejected means that the service understood the request and said no; its words are in [Error.Messages].
	ErrRejected = errors.New("rejected")
	// ErrThrottled means too many requests, status 429.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable means that no answer came, or one that speaks of the server's own trouble: a network fault, a
	// timeout, status 408 or 5xx. QuantConnect was also seen to answer bad credentials with an empty 500.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnexpectedBody means an answer that is not this API's: HTML, cut-off JSON, a redirect, a body over the limit, or
	// a success without what was asked for.
	ErrUnexpectedBody = errors.New("unexpected body")
)

// Error is how every method of this package fails.
//
//	if failure, ok := errors.AsType[*client.Error](err); ok {
//		fmt.Println(failure.Operation, failure.Messages)
//	}
//
// Its text, its fields and its log value hold no secret that the client knows of: where the server repeats the token,
// the signature or a provider key, stars stand instead. Only [Error.Body] is as it came.
type Error struct {
	// Operation is the operationId of the contract, such as createTask.
	Operation string
	// StatusCode is the HTTP status of the last answer, 0 when there was none.
	StatusCode int
	// Messages are the server's words, each as it was sent. Empty when it gave none.
	Messages []string
	// Attempts counts the requests sent, or at least begun. 0 means that nothing left this machine.
	Attempts int
	// RetryAfter is how long the server asked to be left alone; 0 when it did not say.
	RetryAfter time.Duration
	// ClockSkew is how far the local clock is ahead of the server's, negative when it is behind. It is known, that is
	// not 0, only when credentials were refused and the clocks differ enough to be why.
	ClockSkew time.Duration
	// MayHaveTakenEffect says that a request which changes something was sent and that its answer does not tell whether
	// it did. Look before sending it again: list what is there and compare.
	MayHaveTakenEffect bool

	kind   error
	cause  error
	detail string
	body   []byte
	scrub  *scrubber

	unsent      bool // the request could not even be begun
	neverRan    bool // the service cannot have seen the request
	permanent   bool // trying again would end the same
	blind       bool // the answer leaves open whether the request ran
	resignation bool // the text says that a corrected signature was refused too
}

// Error gives the operation's name in words, the kind and the server's words, as in
// "create task: rejected: name already used".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(phraseOf(e.Operation))
	if e.kind != nil {
		b.WriteString(": " + e.kind.Error())
	}
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	if e.ClockSkew != 0 {
		b.WriteString("; " + skewText(e.ClockSkew))
		if e.resignation {
			b.WriteString(", and a signature corrected for that was refused too")
		}
	}
	if e.MayHaveTakenEffect {
		b.WriteString("; the request may have taken effect")
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	return e.scrub.text(b.String())
}

// Unwrap gives the kind and the cause, for [errors.Is] and [errors.As]: a context's error, a *net.OpError.
func (e *Error) Unwrap() []error {
	var list []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}

// Body gives the last answer's body exactly as it came, up to the limit; nil when there was none. It is the one part of
// an error that is not cleaned of secrets.
func (e *Error) Body() []byte { return e.body }

// Format writes the text of Error for every verb, also when the struct itself is printed and not the pointer to it.
// Otherwise package fmt would spell out the body.
func (e Error) Format(f fmt.State, verb rune) { writeFormatted(f, verb, "client.Error", e.Error()) }

// writeFormatted stands in for package fmt where a type must not be shown member by member.
func writeFormatted(f fmt.State, verb rune, name, text string) {
	switch {
	case verb == 'v' && f.Flag('#'):
		_, _ = fmt.Fprintf(f, "%s{%q}", name, text)
	case verb == 'q':
		_, _ = fmt.Fprintf(f, "%q", text)
	default:
		_, _ = io.WriteString(f, text)
	}
}

// LogValue gives package slog the error's parts.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("message", e.Error()), slog.String("operation", e.Operation), slog.Int("attempts", e.Attempts),
	}
	if e.StatusCode != 0 {
		attrs = append(attrs, slog.Int("status", e.StatusCode))
	}
	if e.MayHaveTakenEffect {
		attrs = append(attrs, slog.Bool("mayHaveTakenEffect", true))
	}
	return slog.GroupValue(attrs...)
}

func phraseOf(operationID string) string {
	for _, op := range operations {
		if op.id == operationID {
			return op.phrase
		}
	}
	return operationID
}

func skewText(skew time.Duration) string {
	way := "ahead of"
	if skew < 0 {
		way, skew = "behind", -skew
	}
	return fmt.Sprintf("the local clock is %s %s the server's", skew.Round(time.Second), way)
}

func statusText(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return fmt.Sprintf("status %d", code)
}

// hidden keeps a cause's own text from whoever walks an error's chain: a transport may put anything into it. [errors.Is]
// and [errors.As] see through.
type hidden struct {
	err   error
	scrub *scrubber
}

func (h hidden) Error() string        { return h.scrub.text(h.err.Error()) }
func (h hidden) Is(target error) bool { return errors.Is(h.err, target) }
func (h hidden) As(target any) bool   { return errors.As(h.err, target) }

// A scrubber knows the secrets of one call and takes them out of text. A nil one changes nothing.
type scrubber struct{ secrets []string }

// shortestSecret keeps a scrubber from starring out every "1".
const shortestSecret = 4

func (s *scrubber) add(secrets ...string) {
	for _, secret := range secrets {
		if len(secret) < shortestSecret {
			continue
		}
		s.secrets = append(s.secrets, secret)
		// A server may repeat JSON as it got it, or as PHP writes it.
		quoted, _ := json.Marshal(secret)
		for _, form := range []string{string(quoted[1 : len(quoted)-1]), strings.ReplaceAll(secret, "/", `\/`)} {
			if form != secret {
				s.secrets = append(s.secrets, form)
			}
		}
	}
}

func (s *scrubber) text(text string) string {
	if s == nil {
		return text
	}
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "********")
	}
	return text
}

func (s *scrubber) texts(texts []string) []string {
	for i := range texts {
		texts[i] = s.text(texts[i])
	}
	return texts
}
