package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strings"
)

// An answer is an HTTP answer that was read to its end.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	attempts int
}

// An envelope is what every answer of this API has in common, in all the shapes that were seen.
type envelope struct {
	success  *bool
	messages []string
}

// readEnvelope wants one JSON object. What is in it may be anything: a member of the wrong type counts as absent, and
// messages are taken from errors, messages, error and message, whichever are there.
func readEnvelope(body []byte) (envelope, error) {
	var raw struct {
		Success  json.RawMessage `json:"success"`
		Errors   json.RawMessage `json:"errors"`
		Messages json.RawMessage `json:"messages"`
		Message  json.RawMessage `json:"message"` // decoding ignores case, so Message too
		Error    json.RawMessage `json:"error"`
	}
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 {
		return envelope{}, errors.New("is empty")
	}
	if trimmed[0] != '{' {
		if json.Valid(trimmed) {
			return envelope{}, errors.New("is not a JSON object")
		}
		return envelope{}, errors.New("is not JSON")
	}
	if err := json.Unmarshal(trimmed, &raw); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(trimmed)) {
			return envelope{}, errors.New("is JSON that breaks off")
		}
		return envelope{}, errors.New("is not valid JSON")
	}
	var env envelope
	switch string(bytes.TrimSpace(raw.Success)) {
	case "true":
		env.success = new(true)
	case "false":
		env.success = new(false)
	}
	for _, list := range []json.RawMessage{raw.Errors, raw.Messages, raw.Message, raw.Error} {
		env.messages = append(env.messages, readMessages(list)...)
	}
	return env, nil
}

// readMessages takes a string, a list of strings, or keeps anything else as the JSON it is.
func readMessages(raw json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	var messages []string
	for _, item := range list {
		var text string
		if json.Unmarshal(item, &text) != nil {
			text = string(item)
		}
		if text != "" {
			messages = append(messages, text)
		}
	}
	return messages
}

// refuses says that the answer speaks of a failure, even one that forgets to set success.
func (e envelope) refuses() bool {
	return e.success != nil && !*e.success || e.success == nil && len(e.messages) > 0
}

// refusesCredentials knows the texts that live servers give, with status 200, to credentials they do not accept. What
// comes after the beginning differs.
func (e envelope) refusesCredentials() bool {
	if !e.refuses() {
		return false
	}
	for _, message := range e.messages {
		for _, start := range []string{"hash doesn't match", "userid not valid", "invalid timestamp"} {
			if strings.HasPrefix(strings.ToLower(message), start) {
				return true
			}
		}
	}
	return false
}

// judge tells what an answer means. It returns nil for success alone.
func judge(ans *answer) *Error {
	env, envErr := readEnvelope(ans.body)
	e := &Error{StatusCode: ans.status, Messages: env.messages, body: ans.body}
	words := strings.Join(env.messages, "; ")
	switch status := ans.status; {
	case status == http.StatusUnauthorized || env.refusesCredentials():
		e.kind, e.detail = ErrUnauthorized, orElse(words, statusText(status))
	case status == http.StatusTooManyRequests:
		e.kind, e.detail = ErrThrottled, orElse(words, statusText(status))
	case status >= 500 || status == http.StatusRequestTimeout:
		e.kind, e.blind = ErrUnavailable, true
		e.detail = statusText(status)
		switch {
		case words != "":
			e.detail += ": " + words
		case status == http.StatusInternalServerError && len(bytes.TrimSpace(ans.body)) == 0:
			e.detail += " with an empty body, which QuantConnect also answers to bad credentials"
		}
	case status >= 400:
		switch {
		case env.refuses():
			e.kind, e.detail = ErrRejected, orElse(words, statusText(status))
		case status == http.StatusRequestEntityTooLarge:
			e.kind, e.detail = ErrRejected, statusText(status)
		default:
			e.kind, e.detail = ErrUnexpectedBody, statusText(status)+describe(ans)
		}
	case status >= 300 || status < 200:
		e.kind, e.detail = ErrUnexpectedBody, statusText(status)
		// These two are how a form is answered that was accepted; the others send the request elsewhere.
		e.blind = status == http.StatusFound || status == http.StatusSeeOther
		if to := ans.header.Get("Location"); to != "" {
			e.detail += " to " + to + ", which is not followed; set the base URL instead"
		}
	case !isJSON(ans.header):
		e.kind, e.blind = ErrUnexpectedBody, true
		e.detail = fmt.Sprintf("content type %q instead of JSON", ans.header.Get("Content-Type"))
	case envErr != nil:
		e.kind, e.blind, e.detail = ErrUnexpectedBody, true, "the answer "+envErr.Error()
	case env.refuses():
		e.kind, e.detail = ErrRejected, orElse(words, "the server did not say why")
	case env.success == nil:
		e.kind, e.blind, e.detail = ErrUnexpectedBody, true, "the answer says neither success nor failure"
	default:
		return nil
	}
	return e
}

// isJSON accepts a missing content type, which contradicts nothing, but not a wrong one: an error page may hold anything.
func isJSON(header http.Header) bool {
	value := header.Get("Content-Type")
	if value == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		media, _, _ = strings.Cut(value, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	return media == "application/json" || media == "text/json" ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func describe(ans *answer) string {
	if len(bytes.TrimSpace(ans.body)) == 0 {
		return " with an empty body"
	}
	if value := ans.header.Get("Content-Type"); value != "" {
		return fmt.Sprintf(" with content type %q", value)
	}
	return ""
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// decode reads a payload out of JSON. A member of a type that the contract does not expect counts as absent, since most
// members of answers are inferred; what a method cannot do without, it checks for itself.
func decode[T any](data []byte) *T {
	payload := new(T)
	if json.Unmarshal(data, payload) != nil {
		*payload = *new(T)
		_ = json.Unmarshal(prune(reflect.TypeFor[T](), data), payload)
	}
	return payload
}

// prune leaves out of data what does not fit t: a member of an object, or a list's element, which becomes null to keep
// the others in their places. It gives nil when nothing fits.
func prune(t reflect.Type, data json.RawMessage) json.RawMessage {
	if json.Unmarshal(data, reflect.New(t).Interface()) == nil {
		return data
	}
	switch t.Kind() {
	case reflect.Pointer:
		return prune(t.Elem(), data)
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(data, &list) != nil {
			return nil
		}
		for i := range list {
			list[i] = prune(t.Elem(), list[i]) // nil is written as null
		}
		return remarshal(list)
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) != nil {
			return nil
		}
		fit := make(map[string]json.RawMessage)
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if member, ok := members[name]; ok {
				if member = prune(t.Field(i).Type, member); member != nil {
					fit[name] = member
				}
			}
		}
		return remarshal(fit)
	}
	return nil
}

// remarshal writes JSON that was read a moment ago, which cannot fail.
func remarshal(v any) json.RawMessage {
	data, _ := json.Marshal(v)
	return data
}

// member gives a member of the answer as it is written; nil when it is absent.
func (a *answer) member(name string) json.RawMessage {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(a.body, &members)
	return members[name]
}

// listed checks a list that was decoded from the answer's member of that name. A null counts as an empty list, which is
// how some servers write one; an absent list does so only where absence was seen to mean it.
func listed[T any](op operation, ans *answer, name string, mayBeAbsent bool, list []T, identified func(T) bool) ([]T, error) {
	raw := ans.member(name)
	switch {
	case raw == nil && !mayBeAbsent:
		return nil, missing(op, ans, "the answer holds no list of "+name)
	case raw != nil && string(raw) != "null" && list == nil:
		return nil, missing(op, ans, name+" is something else than a list")
	}
	for _, item := range list {
		if !identified(item) {
			return nil, missing(op, ans, "the answer lists "+name+" without an id")
		}
	}
	return list, nil
}
