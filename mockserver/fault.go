package mockserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// Phase says when a fault strikes.
type Phase string

// The phases of an exchange that a fault can strike in.
const (
	// BeforeEffect strikes before the operation is looked at, credentials included: nothing has happened.
	BeforeEffect Phase = "before-effect"
	// AfterEffect strikes when the operation has been carried out and its answer is about to be sent: what it did stays
	// done. Exchanges that are refused before that are not counted.
	AfterEffect Phase = "after-effect"
)

// Fault disturbs exchanges. Faults are counted and never random, so that a test sees the same each time.
type Fault struct {
	// Operation is the operationId of the exchanges to disturb; empty for all.
	Operation string `json:"operation,omitempty"`
	// UserID is whose exchanges to disturb, in a world of several accounts; nil for everybody's.
	UserID *int `json:"userId,omitempty"`
	// Phase is when to strike. Default: BeforeEffect.
	Phase Phase `json:"phase,omitempty"`
	// Skip is how many exchanges to let pass first: 2 strikes at the third. Those that another fault disturbs are counted.
	Skip int `json:"skip,omitempty"`
	// Times is how many exchanges to disturb after that. 0 means one; below 0 means all.
	Times int `json:"times,omitempty"`
	// Effect is what to do to them.
	Effect Effect `json:"effect"`
}

// Effect is what a fault does to an exchange: one of its members is set. Use [Delay], [Respond], [Reject], [Garble] or
// [Drop] to make one.
type Effect struct {
	// Delay holds the exchange up.
	Delay Duration `json:"delay,omitempty"`
	// Respond gives this answer instead.
	Respond *Response `json:"respond,omitempty"`
	// Reject refuses with these sentences, status 200 and success false.
	Reject []string `json:"reject,omitempty"`
	// Garble spoils the answer.
	Garble Garbling `json:"garble,omitempty"`
	// Drop cuts the connection without an answer.
	Drop bool `json:"drop,omitempty"`
}

// Response is a whole answer.
type Response struct {
	// Status is the HTTP status, 200 to 599.
	Status int `json:"status"`
	// Header is set beside the answer's own.
	Header map[string]string `json:"header,omitempty"`
	// Body is sent as it is.
	Body string `json:"body,omitempty"`
}

// Garbling is a way to spoil an answer.
type Garbling string

// The ways to spoil an answer.
const (
	// Truncate sends half of the body and then cuts the connection.
	Truncate Garbling = "truncate"
	// NotJSON sends a page of HTML in place of the body, as a proxy would, but leaves the Content-Type.
	NotJSON Garbling = "not-json"
	// WrongContentType sends the body as text/html.
	WrongContentType Garbling = "wrong-content-type"
)

// Duration is a [time.Duration] that is written as text, such as 1m30s.
type Duration time.Duration

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration as Go writes it.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("read duration %q: write it as 1.5s, 2m or 1h30m", text)
	}
	*d = Duration(parsed)
	return nil
}

// Delay holds an exchange up for d of real time, or until the consumer gives up.
func Delay(d time.Duration) Effect { return Effect{Delay: Duration(d)} }

// Respond answers with a status and a body of the test's choice, and sets headers given as name, value, name, value.
func Respond(status int, body string, headers ...string) Effect {
	r := Response{Status: status, Body: body, Header: map[string]string{}}
	for pair := range slices.Chunk(headers, 2) {
		if len(pair) == 2 {
			r.Header[pair[0]] = pair[1]
		}
	}
	return Effect{Respond: &r}
}

// Reject refuses as QuantConnect does: status 200, success false, and these sentences.
func Reject(sentences ...string) Effect { return Effect{Reject: sentences} }

// Garble spoils the answer.
func Garble(how Garbling) Effect { return Effect{Garble: how} }

// Drop cuts the connection without an answer.
func Drop() Effect { return Effect{Drop: true} }

// String names the effect.
func (e Effect) String() string {
	switch {
	case e.Delay != 0:
		return "delay " + time.Duration(e.Delay).String()
	case e.Respond != nil:
		return fmt.Sprintf("respond %d", e.Respond.Status)
	case e.Reject != nil:
		return "reject"
	case e.Garble != "":
		return "garble " + string(e.Garble)
	case e.Drop:
		return "drop"
	}
	return "nothing"
}

func (f *Fault) check(table *contractTable) error {
	if f.Phase == "" {
		f.Phase = BeforeEffect
	}
	if f.Phase != BeforeEffect && f.Phase != AfterEffect {
		return fmt.Errorf("phase %q: use %s or %s", f.Phase, BeforeEffect, AfterEffect)
	}
	if ids := table.operationIDs(); f.Operation != "" && !slices.Contains(ids, f.Operation) {
		if meant := nearest(f.Operation, ids); meant != "" {
			return fmt.Errorf("operation %q is not known; did you mean %q?", f.Operation, meant)
		}
		return fmt.Errorf("operation %q is not known; use an operationId of the contract", f.Operation)
	}
	if f.Skip < 0 {
		return fmt.Errorf("skip %d: use 0 or more", f.Skip)
	}
	e, set := f.Effect, 0
	for _, is := range []bool{e.Delay != 0, e.Respond != nil, e.Reject != nil, e.Garble != "", e.Drop} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("effect: set one of delay, respond, reject, garble, drop")
	case e.Delay < 0:
		return fmt.Errorf("delay %s: use more than 0", time.Duration(e.Delay))
	case e.Respond != nil && (e.Respond.Status < 200 || e.Respond.Status > 599):
		return fmt.Errorf("respond: status %d: use 200 to 599", e.Respond.Status)
	case e.Respond != nil && e.Respond.Body != "" && (e.Respond.Status == http.StatusNoContent || e.Respond.Status == http.StatusNotModified):
		return fmt.Errorf("respond: an answer with status %d has no body; leave it empty", e.Respond.Status)
	case e.Reject != nil && len(e.Reject) == 0:
		return errors.New("reject: give a sentence")
	case e.Garble != "" && !slices.Contains([]Garbling{Truncate, NotJSON, WrongContentType}, e.Garble):
		return fmt.Errorf("garble %q: use %s, %s or %s", e.Garble, Truncate, NotJSON, WrongContentType)
	}
	return nil
}

// armed is a fault with its counts.
type armed struct {
	Fault
	passed, struck int
}

// CountedFault is a fault of a world and what has become of it.
type CountedFault struct {
	Fault
	// Seen is how many exchanges it was meant for, those that it let pass included. It stops when the fault is used up.
	Seen int `json:"seen"`
	// Struck is how many exchanges it has disturbed.
	Struck int `json:"struck"`
}

// sees counts an exchange and reports whether it is to be disturbed.
func (a *armed) sees(operation string, userID int, phase Phase) bool {
	if a.Phase != phase || a.Operation != "" && a.Operation != operation || a.UserID != nil && *a.UserID != userID {
		return false
	}
	if a.passed < a.Skip {
		a.passed++
		return false
	}
	return a.Times < 0 || a.struck < max(a.Times, 1)
}

// Struck says what a fault did to an exchange.
type Struck struct {
	Phase  Phase  `json:"phase"`
	Effect string `json:"effect"`
	// OutsideContract says how the answer departs from the contract; empty when it keeps it.
	OutsideContract string `json:"outsideContract,omitempty"`
	// Garbled is true when the answer that was sent is not the one that the journal shows.
	Garbled bool `json:"garbled,omitempty"`
}

// disturb lets the faults of the exchange's world strike.
func (s *Server) disturb(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		a := w.(*answer)
		if effect, ok := ex.due(BeforeEffect); ok {
			if ex.strike(r.Context(), a, BeforeEffect, effect) {
				return
			}
		}
		next.ServeHTTP(w, r)
		if !ex.served {
			return
		}
		if effect, ok := ex.due(AfterEffect); ok {
			ex.strike(r.Context(), a, AfterEffect, effect)
		}
	})
}

func (ex *exchange) due(phase Phase) (Effect, bool) {
	if ex.world == nil {
		return Effect{}, false
	}
	return ex.world.due(ex.operation.id, ex.userID, phase)
}

// strike does what an effect says, and reports whether there is an answer then.
func (ex *exchange) strike(ctx context.Context, a *answer, phase Phase, effect Effect) bool {
	ex.struck = &Struck{Phase: phase, Effect: effect.String()}
	switch {
	case effect.Delay != 0:
		timer := time.NewTimer(time.Duration(effect.Delay))
		defer timer.Stop()
		select {
		case <-timer.C:
			return false
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	case effect.Drop:
		ex.struck.OutsideContract = "there is no answer"
		panic(http.ErrAbortHandler)
	case effect.Respond != nil:
		a.reset()
		a.header.Set("Content-Type", "application/json")
		for _, name := range slices.Sorted(maps.Keys(effect.Respond.Header)) {
			a.header.Set(name, effect.Respond.Header[name])
		}
		a.WriteHeader(effect.Respond.Status)
		a.body.WriteString(effect.Respond.Body)
	case effect.Reject != nil:
		a.reset()
		refuse(a, http.StatusOK, effect.Reject...)
	case effect.Garble != "":
		if phase == BeforeEffect {
			// There is no answer yet to be spoiled, so one is made up.
			body, _ := json.Marshal(gen.RestResponse{Success: true, Errors: []string{}})
			a.header.Set("Content-Type", "application/json")
			a.WriteHeader(http.StatusOK)
			a.body.Write(body)
		}
		a.garble(effect.Garble)
	}
	if effect.Garble != "" {
		ex.struck.OutsideContract, ex.struck.Garbled = "the body is not what the contract asks for", true
	} else if err := ex.operation.checkAnswer(a.status, a.body.Bytes()); err != nil {
		ex.struck.OutsideContract = err.Error()
	}
	return true
}

func (a *answer) garble(how Garbling) {
	switch how {
	case Truncate:
		a.cut = true
	case NotJSON:
		a.body.Reset()
		a.body.WriteString("<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n")
	case WrongContentType:
		a.header.Set("Content-Type", "text/html; charset=utf-8")
	}
}
