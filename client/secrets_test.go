package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/qcagents/qcagents/client"
)

// A parrot repeats everything secret that it was sent, and what was planted besides.
type parrot struct {
	planted []string // the token, the provider's key
	sent    []string // the signatures
	answer  func(secrets string, req *http.Request) (*http.Response, error)
}

func (p *parrot) RoundTrip(req *http.Request) (*http.Response, error) {
	signature := strings.TrimPrefix(req.Header.Get("Authorization"), "Basic ")
	plain, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return nil, err
	}
	_, hash, _ := strings.Cut(string(plain), ":")
	p.sent = append(p.sent, signature, hash)
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if key := p.planted[1]; !bytes.Contains(body, []byte(jsonString(key))) || bytes.Contains(body, []byte(p.planted[0])) {
		return nil, fmt.Errorf("sent %s", body)
	}
	return p.answer(strings.Join(append(p.planted, signature, hash), " "), req)
}

// sink writes v in every way that programs write things.
func sink(t *testing.T, out io.Writer, v any) {
	t.Helper()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		_, _ = fmt.Fprintf(out, format+"\n", v)
	}
	_, _ = fmt.Fprintf(out, "%+v %#v\n", struct{ Shown any }{v}, []any{v})
	if err := json.NewEncoder(out).Encode(v); err != nil {
		if _, ok := errors.AsType[*json.UnsupportedTypeError](err); !ok {
			t.Error(err)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(out, nil), slog.NewJSONHandler(out, nil)} {
		slog.New(handler).Info("shown", "value", v)
	}
}

// chain writes every error that can be reached from err by unwrapping.
func chain(out io.Writer, err error) {
	_, _ = fmt.Fprintln(out, err)
	switch err := err.(type) { //nolint:errorlint // it is the chain itself that is walked
	case interface{ Unwrap() error }:
		chain(out, err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			chain(out, e)
		}
	}
}

func TestNoSecretIsShown(t *testing.T) {
	const token, key = "planted/api<token>&5f2b", `planted/provider<key>&9c1d`
	refuse := func(body string) func(string, *http.Request) (*http.Response, error) {
		return func(secrets string, req *http.Request) (*http.Response, error) {
			status := 200
			_, _ = fmt.Sscanf(body, "%d|", &status)
			_, body, _ := strings.Cut(body, "|")
			quoted := strings.ReplaceAll(secrets, "/", `\/`) // as PHP writes it
			answer := respond(req, status, strings.ReplaceAll(body, "SECRETS", quoted))
			answer.Header.Set("Location", "https://elsewhere.test/?"+strings.ReplaceAll(secrets, " ", "&"))
			answer.Header.Set("Date", "Tue, 03 Nov 2026 14:00:00 GMT")
			if status == 200 && strings.Contains(body, "success\":true") {
				answer.Header.Set("Content-Type", secrets)
			}
			return answer, nil
		}
	}
	for name, answer := range map[string]func(string, *http.Request) (*http.Response, error){
		"in errors":            refuse(`200|{"success":false,"errors":["no: SECRETS","again: SECRETS"]}`),
		"in an object":         refuse(`200|{"success":false,"errors":[{"why":"SECRETS","n":12345678901234567890}]}`),
		"in messages":          refuse(`200|{"success":false,"messages":["SECRETS"]}`),
		"in Message":           refuse(`500|{"Message":"SECRETS"}`),
		"in a refusal of them": refuse(`401|{"success":false,"errors":["Hash doesn't match. SECRETS"]}`),
		"in the address":       refuse(`307|{}`),
		"in the content type":  refuse(`200|{"success":true}`),
		"in a page":            refuse(`404|<p>{SECRETS}`),
		"in too many requests": refuse(`429|{"errors":["SECRETS"]}`),
		"as the request's body": func(_ string, req *http.Request) (*http.Response, error) {
			body, _ := req.GetBody()
			sent, _ := io.ReadAll(body)
			return respond(req, 200, `{"success":false,"errors":[`+strconv.Quote(string(sent))+`]}`), nil
		},
		"in a transport error": func(secrets string, req *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("sending %v: %w: %s", req.Header, errBroken, secrets)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shown, log bytes.Buffer
				server := &parrot{planted: []string{token, key}, answer: answer}
				credentials := client.Credentials{UserID: 1, Token: token}
				c := newClient(t, server, client.WithCredentials(credentials),
					client.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
				providerKey := key
				ctx := t.Context()
				var response client.Response
				_, err := c.Agents.Create(client.CaptureResponse(ctx, &response), client.CreateAgentRequest{
					Token: &client.AgentToken{LLMAPITokenUser: &providerKey},
				})
				if err == nil {
					t.Fatal("no error")
				}
				failure, _ := errors.AsType[*client.Error](err)
				for _, v := range []any{
					err, *failure, failure.Messages, c, c.Agents, c.Tasks, c.Deployments, *c.Agents, *c.Tasks, *c.Deployments,
					credentials, &credentials, client.Signer{Credentials: credentials}, &client.Signer{Credentials: credentials},
					client.WithCredentials(credentials), &client.WaitError{},
					struct{ Credentials client.Credentials }{credentials},
					map[string]any{"credentials": credentials},
				} {
					sink(t, &shown, v)
				}
				for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
					_, _ = fmt.Fprintf(&shown, format, *c)
					_, _ = fmt.Fprintf(&shown, format, response)
				}
				chain(&shown, err)
				if name == "in a transport error" && !errors.Is(err, errBroken) {
					t.Error("the cause is lost")
				}
				if len(server.sent) == 0 || log.Len() == 0 {
					t.Fatal("nothing was sent, or logged")
				}
				for _, text := range []string{shown.String(), log.String()} {
					for _, secret := range append(server.sent, token, key) {
						for _, form := range []string{
							secret, strings.ReplaceAll(secret, "/", `\/`), fmt.Sprintf("%x", secret), jsonString(secret),
							base64.StdEncoding.EncodeToString([]byte(secret)),
						} {
							if at := strings.Index(text, form); at >= 0 {
								t.Fatalf("%q is shown in\n%s", form, text[max(0, at-300):min(len(text), at+200)])
							}
						}
					}
				}
			})
		})
	}
}

func jsonString(s string) string {
	data, _ := json.Marshal(s)
	return strings.Trim(string(data), `"`)
}

// What a waiting shows of a failure is no more than the failure shows.
func TestNoSecretIsShownByWaiting(t *testing.T) {
	const token = "planted-api-token-5f2b"
	c := newClient(t, transport(func(req *http.Request) (*http.Response, error) {
		return respond(req, 200, `{"success":false,"errors":["`+token+`"]}`), nil
	}), client.WithCredentials(client.Credentials{UserID: 1, Token: token}))
	_, err := c.Deployments.Wait(context.WithoutCancel(t.Context()), testDeployment)
	var shown bytes.Buffer
	sink(t, &shown, err)
	chain(&shown, err)
	if strings.Contains(shown.String(), token) || !strings.Contains(shown.String(), "********") {
		t.Errorf("shown: %s", &shown)
	}
}
