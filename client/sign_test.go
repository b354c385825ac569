package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

// A vector is a signature that was computed by another program from the documentation. The mock server is held to the
// same ones.
type vector struct {
	UserID    int64
	Token     string
	Timestamp int64
	Headers   map[string]string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return file.Vectors
}

func TestSignerGivesTheKnownAnswers(t *testing.T) {
	for _, v := range vectors(t) {
		signer := client.Signer{
			Credentials: client.Credentials{UserID: v.UserID, Token: v.Token},
			Now:         func() time.Time { return time.Unix(v.Timestamp, 999_999_999) },
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "an older signature")
		req.Header.Set("Timestamp", "1")
		if err := signer.Edit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		for name, want := range v.Headers {
			if got := req.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("user %d at %d: %s is %q, want %q", v.UserID, v.Timestamp, name, got, want)
			}
		}
	}
}

func TestSignerGoesByTheSystemsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (&client.Signer{Credentials: testCredentials}).Edit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if got, want := req.Header.Get("Timestamp"), strconv.FormatInt(time.Now().Unix(), 10); got != want {
			t.Errorf("signed at %s, want %s", got, want)
		}
	})
}

// Each side keeps a copy, since neither may read the other's files.
func TestBothSidesAreHeldToTheSameKnownAnswers(t *testing.T) {
	ours, err := os.ReadFile("testdata/signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../mockserver/testdata/signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("the copies of signature-vectors.json in client/testdata and mockserver/testdata differ")
	}
}

// The client signs and the mock checks by code of their own; for every known answer they have to agree, with each other
// and with it.
func TestTheMockAcceptsWhatTheSignerSigns(t *testing.T) {
	for _, v := range vectors(t) {
		at := func() time.Time { return time.Unix(v.Timestamp, 0) }
		server, err := mockserver.New(
			mockserver.WithClock(at), mockserver.WithAccount(mockserver.Account{UserID: int(v.UserID), Token: v.Token}))
		if err != nil {
			t.Fatal(err)
		}
		signer := client.Signer{Credentials: client.Credentials{UserID: v.UserID, Token: v.Token}, Now: at}
		stranger := client.Signer{Credentials: client.Credentials{UserID: v.UserID, Token: v.Token + "x"}, Now: at}
		for name, sign := range map[string]func(*http.Request){
			"the known answer": func(req *http.Request) {
				for header, value := range v.Headers {
					req.Header.Set(header, value)
				}
			},
			"the signer's":    func(req *http.Request) { _ = signer.Edit(req.Context(), req) },
			"another token's": func(req *http.Request) { _ = stranger.Edit(req.Context(), req) },
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://mock.test/api/v2/authenticate", nil)
			if err != nil {
				t.Fatal(err)
			}
			sign(req)
			resp, err := server.Transport().RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			want := http.StatusOK
			if name == "another token's" {
				want = http.StatusUnauthorized
			}
			if resp.StatusCode != want {
				t.Errorf("user %d at %d, %s: %s: %s", v.UserID, v.Timestamp, name, resp.Status, body)
			}
		}
	}
}
