package client_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qcagents/qcagents/client"
)

// home makes a home directory with lean-cli's file in it, or without one when content is empty.
func home(t *testing.T, content string) (file string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	file = filepath.Join(dir, ".lean", "credentials")
	if content != "" {
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// signedAs tells with which signature c calls, as user and token.
func signedAs(t *testing.T, opts ...client.Option) (client.Credentials, error) {
	t.Helper()
	var got *http.Request
	c, err := client.New(append(opts, client.WithHTTPClient(&http.Client{
		Transport: transport(func(req *http.Request) (*http.Response, error) {
			got = req
			return respond(req, 200, `{"success":true}`), nil
		}),
	}))...)
	if err != nil {
		return client.Credentials{}, err
	}
	if err := c.Authenticate(t.Context()); err != nil {
		if got != nil {
			t.Errorf("sent something, and then: %v", err)
		}
		return client.Credentials{}, err
	}
	for _, candidate := range []client.Credentials{
		{UserID: 1, Token: "option-token"}, {UserID: 2, Token: "environment-token"}, {UserID: 3, Token: "file-token"},
		{UserID: 0, Token: "____"},
	} {
		user, hash, _ := got.BasicAuth()
		signer := client.Signer{Credentials: candidate, Now: atSecond(t, got.Header.Get("Timestamp"))}
		again, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		_ = signer.Edit(t.Context(), again)
		if u, h, _ := again.BasicAuth(); u == user && h == hash {
			return candidate, nil
		}
	}
	t.Fatal("signed by nobody we know")
	return client.Credentials{}, nil
}

func TestCredentialsAreFoundInOrder(t *testing.T) {
	option := client.WithCredentials(client.Credentials{UserID: 1, Token: "option-token"})
	const leanFile = `{"user-id":"3","api-token":"file-token"}`
	for _, row := range []struct {
		name        string
		opts        []client.Option
		user, token string
		file        string
		want        int64
	}{
		{"option first", []client.Option{option}, "2", "environment-token", leanFile, 1},
		{"then the environment", nil, "2", "environment-token", leanFile, 2},
		{"which may have white space", nil, " 2\n", "environment-token\n", "", 2},
		{"then the file", nil, "", "", leanFile, 3},
		{"which may have a number", nil, "", " ", `{"api-token":"file-token","user-id":3,"more":[]}`, 3},
		{"user 0 is a user", nil, "0", "____", "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			home(t, row.file)
			t.Setenv(client.EnvUserID, row.user)
			t.Setenv(client.EnvAPIToken, row.token)
			got, err := signedAs(t, row.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if got.UserID != row.want {
				t.Errorf("signed as user %d, want %d", got.UserID, row.want)
			}
		})
	}
}

func TestNoCredentials(t *testing.T) {
	for _, row := range []struct {
		name        string
		user, token string
		file        string
		says        []string
	}{
		{
			"nowhere", "", "", "",
			[]string{
				"option WithCredentials: not given", "QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN are not set",
				"credentials: there is no such file",
			},
		},
		{
			"half an environment", "2", "", `{"user-id":"3","api-token":"file-token"}`,
			[]string{"QUANTCONNECT_USER_ID is set but QUANTCONNECT_API_TOKEN is not", "not looked at"},
		},
		{
			"the other half", "", "secret-secret", "",
			[]string{"QUANTCONNECT_API_TOKEN is set but QUANTCONNECT_USER_ID is not"},
		},
		{"no number", "secret-secret", "2", "", []string{"QUANTCONNECT_USER_ID is not a number"}},
		{"a negative number", "-2", "secret-secret", "", []string{"QUANTCONNECT_USER_ID is not a number"}},
		{"file of something else", "", "", "secret-secret", []string{"credentials: is not a JSON object"}},
		{"file of null", "", "", "null", []string{"is not a JSON object"}},
		{"empty file", "", "", "{}", []string{"has neither user-id nor api-token"}},
		{"file without user", "", "", `{"api-token":"secret-secret"}`, []string{"has no user-id"}},
		{"file without token", "", "", `{"user-id":3,"api-token":""}`, []string{"has no api-token"}},
		{"file with things swapped", "", "", `{"user-id":"secret-secret","api-token":"3"}`, []string{"user-id is not a number"}},
		{"file without end", "", "", strings.Repeat(" ", 1<<17), []string{"too large"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := home(t, row.file)
			t.Setenv(client.EnvUserID, row.user)
			t.Setenv(client.EnvAPIToken, row.token)
			_, err := signedAs(t)
			checkFailure(t, err, client.ErrNoCredentials, nil, 0, false)
			for _, text := range append(row.says, "authenticate: no credentials: ", file) {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "secret-secret") {
				t.Errorf("%q tells a secret", err)
			}
		})
	}
	t.Run("file that is a directory", func(t *testing.T) {
		if err := os.MkdirAll(home(t, ""), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := signedAs(t)
		checkFailure(t, err, client.ErrNoCredentials, nil, 0, false)
		if !strings.Contains(err.Error(), "is a directory") {
			t.Error(err)
		}
	})
	t.Run("no home", func(t *testing.T) {
		t.Setenv("HOME", "")
		t.Setenv("USERPROFILE", "")
		_, err := signedAs(t)
		checkFailure(t, err, client.ErrNoCredentials, nil, 0, false)
		if !strings.Contains(err.Error(), "~/.lean/credentials: the home directory is unknown") {
			t.Error(err)
		}
	})
	t.Run("options that hold none", func(t *testing.T) {
		for _, creds := range []client.Credentials{{}, {UserID: 1}, {UserID: -1, Token: "secret-secret"}} {
			_, err := client.New(client.WithCredentials(creds))
			if !errors.Is(err, client.ErrNoCredentials) || strings.Contains(err.Error(), "secret-secret") {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("clones look nowhere else", func(t *testing.T) {
		home(t, "")
		c, err := client.New()
		if err != nil {
			t.Fatal(err)
		}
		clone, err := c.Clone(client.WithCredentials(testCredentials), client.WithHTTPClient(
			&http.Client{Transport: always(`{"success":true}`)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := clone.Authenticate(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Authenticate(context.WithoutCancel(t.Context())); !errors.Is(err, client.ErrNoCredentials) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCredentialsSayThatTheyHaveNoToken(t *testing.T) {
	if got := (client.Credentials{UserID: 7}).String(); got != "user 7, token [none]" {
		t.Errorf("got %s", got)
	}
	c, err := client.New(client.WithBaseURL("http://127.0.0.1:5612/api/v2"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.String(); got != "client of http://127.0.0.1:5612/api/v2 for no credentials" {
		t.Errorf("got %s", got)
	}
}

func TestOrganizationID(t *testing.T) {
	const leanFile = `{"user-id":"1","api-token":"mock-api-token","organization-id":"of-the-file"}`
	for _, row := range []struct {
		name        string
		opts        []client.Option
		environment string
		file        string
		want, says  string
	}{
		{"option first", []client.Option{client.WithOrganization("of-the-option")}, "of-the-environment", leanFile, "of-the-option", ""},
		{"then the environment", nil, "of-the-environment", leanFile, "of-the-environment", ""},
		{"then the file", nil, "", leanFile, "of-the-file", ""},
		{"nowhere", nil, "", "", "", "QUANTCONNECT_ORGANIZATION_ID is not set"},
		{"file without", nil, "", `{"user-id":"1","api-token":"mock-api-token"}`, "", "has no organization-id"},
		{"file of somebody else", nil, "", strings.Replace(leanFile, `"1"`, `"7"`, 1), "", "is about another user"},
		{"file of nobody", nil, "", `{"organization-id":"of-the-file"}`, "", "is about another user"},
		{"file of something else", nil, "", "{", "", "is not a JSON object"},
	} {
		t.Run(row.name, func(t *testing.T) {
			home(t, row.file)
			t.Setenv(client.EnvOrganizationID, row.environment)
			c := newClient(t, always("{}"), row.opts...)
			got, err := c.OrganizationID()
			if got != row.want || (err == nil) != (row.says == "") {
				t.Errorf("got %q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%q does not say %q", err, row.says)
			}
		})
	}
	t.Run("no home", func(t *testing.T) {
		t.Setenv("HOME", "")
		t.Setenv("USERPROFILE", "")
		if _, err := newClient(t, always("{}")).OrganizationID(); err == nil {
			t.Error("found something")
		}
	})
}
