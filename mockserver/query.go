package mockserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Query asks the journal for exchanges. The zero Query asks for all of them; each member that is set leaves out those
// that do not match it. Over HTTP it is the query of a journal's address, in the same words.
type Query struct {
	// Operation is an operationId.
	Operation string
	// With are members of the request body and their values, as they are in JSON: "agentId": 47. A name may be a JSON
	// pointer, "/token/llmProviderApi", for a member of a member.
	With map[string]any
	// Outcome is how the exchange ended.
	Outcome Outcome
	// Class is a class of violation that the exchange is to have.
	Class Class
	// Faulty asks for exchanges that a fault struck.
	Faulty bool
	// After asks for exchanges with a larger Seq.
	After int
}

// ParseQuery reads a query as it is written in an address: operation=createTask&with.agentId=47&outcome=success. A value
// of with that is JSON is taken as that, anything else as a text.
func ParseQuery(values url.Values) (Query, error) {
	var q Query
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name][len(values[name])-1]
		var err error
		switch {
		case name == "operation":
			q.Operation = value
		case name == "outcome":
			err = choose(&q.Outcome, Outcome(value), Outcomes...)
		case name == "class":
			err = choose(&q.Class, Class(value), Classes...)
		case name == "faulty":
			q.Faulty, err = strconv.ParseBool(value)
		case name == "after":
			q.After, err = strconv.Atoi(value)
		case strings.HasPrefix(name, "with.") && len(name) > len("with."):
			if q.With == nil {
				q.With = map[string]any{}
			}
			var decoded any = value
			if parsed, ok := parseJSON(value); ok {
				decoded = parsed
			}
			q.With[strings.TrimPrefix(name, "with.")] = decoded
		default:
			err = errors.New("it is not known; use operation, with.MEMBER, outcome, class, faulty, after")
		}
		if err != nil {
			return Query{}, fmt.Errorf("query %s: %w", name, err)
		}
	}
	return q, q.check()
}

func (q Query) check() error {
	table, err := loadContract()
	if err != nil {
		return err
	}
	if q.Operation == "" || table.byID[q.Operation] != nil {
		return nil
	}
	if meant := nearest(q.Operation, table.operationIDs()); meant != "" {
		return fmt.Errorf("query operation: %q is not known; did you mean %q?", q.Operation, meant)
	}
	return fmt.Errorf("query operation: %q is not known; use an operationId of the contract", q.Operation)
}

// Find gives the exchanges of this world that match, oldest first. Asking for an operation that does not exist is an
// error, since the answer would be none whatever happened.
func (w *World) Find(q Query) ([]Entry, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(w.journal.all(), func(e Entry) bool { return !q.matches(e) }), nil
}

// Called counts the exchanges of this world that match: Called(Query{Operation: "createTask", With: map[string]any{"agentId": 47}})
// is how often createTask was called with this agent.
func (w *World) Called(q Query) (int, error) {
	found, err := w.Find(q)
	return len(found), err
}

// Follow calls yield with the exchanges that match, first those in the journal and then each new one, until yield
// returns false, the server is closed, or ctx ends.
func (w *World) Follow(ctx context.Context, q Query, yield func(Entry) bool) error {
	if err := q.check(); err != nil {
		return err
	}
	seq := q.After
	mark := w.journal.mark()
	for {
		entries, now, news := w.journal.after(seq, mark)
		if now != mark {
			mark, q.After = now, 0 // the number was one of before
		}
		for _, e := range entries {
			seq = e.Seq
			if q.matches(e) && !yield(e) {
				return nil
			}
		}
		select {
		case <-news:
		case <-w.server.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q Query) matches(e Entry) bool {
	switch {
	case q.Operation != "" && q.Operation != e.Operation,
		q.Outcome != "" && q.Outcome != e.Outcome(),
		q.Class != "" && !slices.ContainsFunc(e.Violations, func(v Violation) bool { return v.Class == q.Class }),
		q.Faulty && e.Fault == nil,
		e.Seq <= q.After:
		return false
	}
	if len(q.With) == 0 {
		return true
	}
	body, ok := parseJSON(e.Request.Body)
	if !ok {
		return false
	}
	for name, want := range q.With {
		got, ok := lookUpMember(body, name)
		if !ok || !equalJSON(got, want) {
			return false
		}
	}
	return true
}

// lookUpMember finds a member by its name or by a JSON pointer.
func lookUpMember(body any, name string) (any, bool) {
	if !strings.HasPrefix(name, "/") {
		name = "/" + escape(name)
	}
	for token := range strings.SplitSeq(name[1:], "/") {
		switch value := body.(type) {
		case map[string]any:
			var ok bool
			if body, ok = value[unescape(token)]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(value) {
				return nil, false
			}
			body = value[i]
		default:
			return nil, false
		}
	}
	return body, true
}

// equalJSON compares values as JSON does, so that a Go int equals a number that was sent.
func equalJSON(a, b any) bool {
	text, err := json.Marshal(b)
	if err != nil {
		return false
	}
	decoded, ok := parseJSON(string(text))
	return ok && reflect.DeepEqual(a, decoded)
}

func parseJSON(text string) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil, false
	}
	// More would take a bracket that closes nothing for the end.
	_, err := decoder.Token()
	return value, errors.Is(err, io.EOF)
}
