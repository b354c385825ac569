package client_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qcagents/qcagents/client"
)

// The known answers were computed by another program from the documentation; the mock server is held to the same file.
func TestSignerGivesTheKnownAnswers(t *testing.T) {
	data, err := os.ReadFile("testdata/signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			UserID    int64
			Token     string
			Timestamp int64
			Headers   map[string]string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vectors {
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
