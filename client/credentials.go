package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The environment that [New] looks at. An empty value counts as unset.
const (
	// EnvUserID holds the numeric user id, shown on the account page.
	EnvUserID = "QUANTCONNECT_USER_ID"
	// EnvAPIToken holds the API token.
	EnvAPIToken = "QUANTCONNECT_API_TOKEN"
	// EnvOrganizationID holds the organization that [Client.OrganizationID] answers with.
	EnvOrganizationID = "QUANTCONNECT_ORGANIZATION_ID"
	// EnvBaseURL replaces [ProductionURL]; a mock server's address goes here.
	EnvBaseURL = "QUANTCONNECT_API_BASE_URL"
)

// redacted stands where a secret would.
const redacted = "[redacted]"

// Credentials are what QuantConnect knows an account by. However they are printed, logged or encoded, the token is left
// out; only a field that holds them unexported in a type of your own is beyond their reach, since package fmt asks such
// a field nothing.
type Credentials struct {
	// UserID is the account's number. Zero is a number like any other here.
	UserID int64
	// Token is the API token.
	Token string
}

// String gives the user id and hides the token.
func (c Credentials) String() string {
	return fmt.Sprintf("user %d, token %s", c.UserID, c.shownToken())
}

// Format writes String for every verb; some, such as %d, would not ask for it.
func (c Credentials) Format(f fmt.State, verb rune) {
	writeFormatted(f, verb, "client.Credentials", c.String())
}

// LogValue is String for package slog.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("userId", c.UserID), slog.String("token", c.shownToken()))
}

// MarshalJSON is String for package json. What it writes cannot be read back.
func (c Credentials) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		UserID int64  `json:"userId"`
		Token  string `json:"token"`
	}{c.UserID, c.shownToken()})
}

func (c Credentials) shownToken() string {
	if c.Token == "" {
		return "[none]"
	}
	return redacted
}

// sources are the places to look for what was not given as an option. Tests replace them.
type sources struct {
	getenv func(string) string
	home   func() (string, error)
}

func systemSources() sources { return sources{getenv: os.Getenv, home: os.UserHomeDir} }

// miss is a place that was looked at in vain.
type miss struct{ place, why string }

func (m miss) String() string { return m.place + ": " + m.why }

// lookup finds credentials in the environment, then in lean-cli's file. Half of a pair ends the search: going on to the
// next place could mean acting for somebody else.
func (s sources) lookup() (*Credentials, []miss) {
	misses := []miss{{"option WithCredentials", "not given"}}

	user, token := strings.TrimSpace(s.getenv(EnvUserID)), strings.TrimSpace(s.getenv(EnvAPIToken))
	miss1 := miss{place: "environment"}
	switch {
	case user == "" && token == "":
		miss1.why = EnvUserID + " and " + EnvAPIToken + " are not set"
	case user == "":
		miss1.why = EnvAPIToken + " is set but " + EnvUserID + " is not"
	case token == "":
		miss1.why = EnvUserID + " is set but " + EnvAPIToken + " is not"
	default:
		id, err := parseUserID(user)
		if err == nil {
			return &Credentials{UserID: id, Token: token}, nil
		}
		miss1.why = EnvUserID + " " + err.Error()
	}
	misses = append(misses, miss1)

	path, err := s.leanPath()
	if err != nil {
		return nil, append(misses, miss{"~/.lean/credentials", err.Error()})
	}
	if user != "" || token != "" {
		return nil, append(misses, miss{path, "not looked at, because the environment is half set"})
	}
	file, err := readLeanFile(path)
	if err != nil {
		return nil, append(misses, miss{path, err.Error()})
	}
	creds, err := file.credentials()
	if err != nil {
		return nil, append(misses, miss{path, err.Error()})
	}
	return creds, nil
}

// organization finds the organization id. The file's counts only for the user that the file is about.
func (s sources) organization(user *Credentials) (string, []miss) {
	if id := strings.TrimSpace(s.getenv(EnvOrganizationID)); id != "" {
		return id, nil
	}
	misses := []miss{{"option WithOrganization", "not given"}, {"environment", EnvOrganizationID + " is not set"}}
	path, err := s.leanPath()
	if err != nil {
		return "", append(misses, miss{"~/.lean/credentials", err.Error()})
	}
	file, err := readLeanFile(path)
	if err != nil {
		return "", append(misses, miss{path, err.Error()})
	}
	if file.OrganizationID == "" {
		return "", append(misses, miss{path, "has no organization-id"})
	}
	if owner, err := file.credentials(); err != nil || user == nil || owner.UserID != user.UserID {
		return "", append(misses, miss{path, "is about another user"})
	}
	return file.OrganizationID, nil
}

func (s sources) leanPath() (string, error) {
	home, err := s.home()
	if err != nil {
		return "", errors.New("the home directory is unknown")
	}
	return filepath.Join(home, ".lean", "credentials"), nil
}

// leanFile is lean-cli's file. The cli writes the first two members; QuantConnect's scripts also read the third.
type leanFile struct {
	UserID         string
	APIToken       string
	OrganizationID string
}

// leanFileLimit is far above any real file, and below what would hurt.
const leanFileLimit = 64 << 10

// readLeanFile gives reasons without the path, which stands beside them, and in the same words on every system.
func readLeanFile(path string) (leanFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return leanFile{}, fileReason(err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return leanFile{}, errors.New("is a directory")
	}
	data, err := io.ReadAll(io.LimitReader(f, leanFileLimit+1))
	if err != nil {
		return leanFile{}, fileReason(err)
	}
	return parseLeanFile(data)
}

func fileReason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("may not be read")
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// parseLeanFile keeps the decoder's errors to itself, for they quote what they stumbled over.
func parseLeanFile(data []byte) (leanFile, error) {
	if len(data) > leanFileLimit {
		return leanFile{}, errors.New("is too large to be a credentials file")
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(data, &raw) != nil || raw == nil {
		return leanFile{}, errors.New("is not a JSON object")
	}
	return leanFile{
		UserID:         looseString(raw["user-id"]),
		APIToken:       looseString(raw["api-token"]),
		OrganizationID: looseString(raw["organization-id"]),
	}, nil
}

// looseString takes a string, or a number as it is written: the user id occurs as both.
func looseString(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return strings.TrimSpace(text)
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}

func (f leanFile) credentials() (*Credentials, error) {
	switch {
	case f.UserID == "" && f.APIToken == "":
		return nil, errors.New("has neither user-id nor api-token")
	case f.UserID == "":
		return nil, errors.New("has no user-id")
	case f.APIToken == "":
		return nil, errors.New("has no api-token")
	}
	id, err := parseUserID(f.UserID)
	if err != nil {
		return nil, fmt.Errorf("user-id %w", err)
	}
	return &Credentials{UserID: id, Token: f.APIToken}, nil
}

// parseUserID does not quote what it was given: somebody may have pasted the token there.
func parseUserID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0, errors.New("is not a number")
	}
	return id, nil
}
