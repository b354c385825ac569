package mockserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Entry is one exchange as the journal keeps it. Secrets were removed as it was captured.
type Entry struct {
	// Seq counts the exchanges of the world, from 1. It goes on when old entries are forgotten.
	Seq int `json:"seq"`
	// At is the time in the world when the exchange began, or the base clock's when it has no world.
	At time.Time `json:"at"`
	// World is the user id that chose the world; nil when it could not be told.
	World *int `json:"world"`
	// Operation is the operationId; empty when there is no such endpoint.
	Operation string  `json:"operation,omitempty"`
	Request   Request `json:"request"`
	// Response is nil when the exchange was broken off without an answer.
	Response *Answer `json:"response"`
	// Auth is accepted, or the class of the refusal; empty when the exchange ended before that was looked at.
	Auth       string      `json:"auth,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	Fault      *Struck     `json:"fault,omitempty"`
	// Transitions are the changes of deployments' statuses that this exchange was the first to see.
	Transitions []Transition `json:"transitions,omitempty"`
}

// Transition is a change of a deployment's status.
type Transition struct {
	DeploymentID string    `json:"deploymentId"`
	Status       string    `json:"status"`
	At           time.Time `json:"at"`
}

// Outcome is how an exchange ended, for the consumer.
type Outcome string

// The outcomes of an exchange.
const (
	OutcomeSuccess      Outcome = "success"      // success true
	OutcomeRefused      Outcome = "refused"      // an answer with success false
	OutcomeUnauthorized Outcome = "unauthorized" // 401, or the refusal of credentials in its observed form
	OutcomeThrottled    Outcome = "throttled"    // 429
	OutcomeUnavailable  Outcome = "unavailable"  // 500 or above
	OutcomeUnreadable   Outcome = "unreadable"   // any other answer that is not what the contract knows
	OutcomeUnanswered   Outcome = "unanswered"   // the connection broke without an answer
)

// Outcomes are all outcomes, best first.
var Outcomes = []Outcome{
	OutcomeSuccess, OutcomeRefused, OutcomeUnauthorized, OutcomeThrottled, OutcomeUnavailable, OutcomeUnreadable, OutcomeUnanswered,
}

// Outcome is how the exchange ended.
func (e Entry) Outcome() Outcome {
	if e.Response == nil {
		return OutcomeUnanswered
	}
	var envelope struct {
		Success *bool `json:"success"`
	}
	readable := json.Unmarshal([]byte(e.Response.Body), &envelope) == nil && envelope.Success != nil
	switch status := e.Response.Status; {
	case status == http.StatusUnauthorized || e.Auth != "" && e.Auth != authAccepted && e.Fault == nil:
		return OutcomeUnauthorized
	case status == http.StatusTooManyRequests:
		return OutcomeThrottled
	case status >= http.StatusInternalServerError:
		return OutcomeUnavailable
	case !readable || e.Fault != nil && e.Fault.Garbled:
		return OutcomeUnreadable
	case *envelope.Success:
		return OutcomeSuccess
	}
	return OutcomeRefused
}

// Request is a request as the journal keeps it.
type Request struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
}

// Answer is an answer as the journal keeps it.
type Answer struct {
	Status int    `json:"status"`
	Body   string `json:"body,omitempty"`
}

// size is about what an entry takes in memory.
func (e *Entry) size() int {
	const fixed = 400
	n := fixed + 120*len(e.Transitions) + len(e.Request.Path) + len(e.Request.Body)
	if e.Response != nil {
		n += len(e.Response.Body)
	}
	for name, value := range e.Request.Header {
		n += len(name) + len(value) + 32
	}
	for _, v := range e.Violations {
		n += len(v.Text) + len(v.Pointer) + len(v.Meant) + 80
	}
	return n
}

// journal keeps the latest entries, as many as fit its bytes.
type journal struct {
	limit int

	mu      sync.Mutex
	entries []Entry // oldest first
	bytes   int
	last    int
	// cleared counts how often the journal was emptied, after which entries are numbered anew.
	cleared int
	// news is closed, and replaced, when an entry is added; nil while nobody waits for it.
	news chan struct{}
}

// add numbers the entry and keeps it.
func (j *journal) add(e Entry) Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.Seq = j.last
	j.entries = append(j.entries, e)
	j.bytes += e.size()
	drop := 0
	for ; j.bytes > j.limit && drop < len(j.entries)-1; drop++ { // the latest stays, whatever its size
		j.bytes -= j.entries[drop].size()
		j.entries[drop] = Entry{}
	}
	// Appending reallocates in time and copies only what is left, so cutting the front costs nothing and keeps nothing.
	j.entries = j.entries[drop:]
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
	return e
}

// after gives the entries that follow seq, and a channel that is closed when there are more. The mark is the one that came
// with the entry of seq; if the journal has been emptied since, all its entries follow.
func (j *journal) after(seq, mark int) ([]Entry, int, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if mark != j.cleared {
		seq = 0
	}
	i, _ := slices.BinarySearchFunc(j.entries, seq+1, func(e Entry, seq int) int { return cmp.Compare(e.Seq, seq) })
	if j.news == nil {
		j.news = make(chan struct{})
	}
	return slices.Clone(j.entries[i:]), j.cleared, j.news
}

func (j *journal) mark() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cleared
}

func (j *journal) all() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Entry{}, j.entries...)
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries)
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries, j.bytes, j.last = nil, 0, 0
	j.cleared++
}

// record writes the exchange into the journal of its world, however it ends.
func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		a := w.(*answer)
		e := Entry{At: s.now(), Request: Request{Method: r.Method, Path: redactedPath(r.URL), Header: s.keptHeader(r.Header)}}
		answered := false
		defer func() {
			book := s.journal
			if ex.world != nil {
				e.At = ex.at
				e.World = new(ex.userID) // a pointer into ex would keep the whole exchange, its body included
				book = ex.world.journal
			}
			if ex.operation != nil {
				e.Operation = ex.operation.id
			}
			e.Request.Body = redactedBody(ex.body)
			e.Auth, e.Violations, e.Fault = ex.auth, ex.violations, ex.struck
			for _, t := range ex.transitions {
				e.Transitions = append(e.Transitions, Transition(t))
			}
			if answered {
				e.Response = &Answer{Status: a.status, Body: a.body.String()}
			}
			e = book.add(e)
			for _, observe := range s.observers {
				observe(e)
			}
		}()
		next.ServeHTTP(w, r)
		answered = true
	})
}

// keptHeader keeps the headers that say something about the consumer. Authorization becomes the user id alone. With a seed,
// Timestamp is left out: it is the one thing in a request that has to differ from run to run.
func (s *Server) keptHeader(header http.Header) map[string]string {
	kept := map[string]string{}
	for _, name := range []string{"Accept", "Content-Type", "Timestamp", "User-Agent"} {
		if values := header.Values(name); len(values) > 0 && (name != "Timestamp" || !s.seeded) {
			kept[name] = short(strings.Join(values, ", "))
		}
	}
	if sig, ok := claim(header); ok {
		kept["Authorization"] = "Basic user " + sig
	} else if header.Get("Authorization") != "" {
		kept["Authorization"] = "[redacted]"
	}
	return kept
}

// redactedPath leaves out the query, where some programs put their signature.
func redactedPath(u *url.URL) string {
	path := (&url.URL{Path: u.Path, RawPath: u.RawPath}).EscapedPath()
	if u.RawQuery != "" {
		path += "?[redacted]"
	}
	return path
}

const redacted = "[redacted]"

// redactedBody is a body without the keys of model providers. A body that cannot be read, and may hold one, is left out
// whole.
func redactedBody(body []byte) string {
	if !mayHoldSecret(body) {
		return string(body)
	}
	// Of a member that is there twice only the last is decoded, and the key may be in the other: then what was decoded is
	// kept, not what was sent.
	value, violations := readBody(body)
	for _, v := range violations {
		if v.Class == BodyNotJSON || v.Class == TrailingData {
			return redacted + " (not JSON, and may hold a key)"
		}
	}
	if !redactValue(value, false) && len(violations) == 0 {
		return string(body)
	}
	clean, err := json.Marshal(value)
	if err != nil {
		return redacted
	}
	return string(clean)
}

// mayHoldSecret is quick and errs on the safe side: a member's name can also be written with escapes.
func mayHoldSecret(body []byte) bool {
	return bytes.Contains(body, []byte(`\u`)) || bytes.Contains(bytes.ToLower(body), []byte("token")) ||
		bytes.IndexByte(body, 0) >= 0 || !utf8.Valid(body) // another encoding, in which a name cannot be looked for
}

// redactValue takes out, in place, all texts inside an agent's token but the provider's name, and every member whose name
// speaks of a token. It reports whether there were any.
func redactValue(value any, inToken bool) bool {
	found := false
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			secret := inToken || strings.Contains(plain(name), "token")
			if _, isText := member.(string); isText && secret && plain(name) != "llmproviderapi" {
				value[name] = redacted
				found = true
			} else if redactValue(member, secret) {
				found = true
			}
		}
	case []any:
		for i, element := range value {
			if _, isText := element.(string); isText && inToken {
				value[i] = redacted
				found = true
			} else if redactValue(element, inToken) {
				found = true
			}
		}
	}
	return found
}
