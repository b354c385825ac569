package mockserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

const readAgent47 = `{"agentId":47}`

func basic(text string) edit {
	return with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
}

// badCredentials are all ways to get them wrong, with the texts that the live service was seen to begin with.
func badCredentials(now time.Time) map[string]struct {
	edit  edit
	class mockserver.Class
	says  []string
} {
	hash := strings.Repeat("0123456789abcdef", 4)
	user := func(id int64, token string) edit {
		return signedAt(client.Credentials{UserID: id, Token: token}, now)
	}
	both := func(edits ...edit) edit {
		return func(r *http.Request) {
			for _, e := range edits {
				e(r)
			}
		}
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	return map[string]struct {
		edit  edit
		class mockserver.Class
		says  []string
	}{
		"wrong token":              {user(1, "another-token"), mockserver.AuthHash, []string{"Hash doesn't match. UID: 1"}},
		"other time than signed":   {with("Timestamp", strconv.FormatInt(now.Unix()-1, 10)), mockserver.AuthHash, []string{"Hash doesn't match."}},
		"unknown user":             {user(2, mockserver.DefaultToken), mockserver.AuthUser, []string{"UserID not valid (2)", "--user-id 2"}},
		"huge user":                {basic("9223372036854775807:" + hash), mockserver.AuthUser, []string{"UserID not valid"}},
		"a second too old":         {signedAt(credentials, now.Add(-7201*time.Second)), mockserver.AuthStale, []string{"Invalid timestamp, value received: ", "2h0m1s old", "2h0m0s is the limit"}},
		"years too old":            {signedAt(credentials, time.Unix(1, 0)), mockserver.AuthStale, []string{"Invalid timestamp, value received: 1:"}},
		"a second too far ahead":   {signedAt(credentials, now.Add(301*time.Second)), mockserver.AuthFuture, []string{"Invalid timestamp, value received: ", "5m1s ahead"}},
		"in nanoseconds":           {signedAt(credentials, time.Unix(now.UnixNano(), 0)), mockserver.AuthFuture, []string{"whole seconds"}},
		"in milliseconds":          {signedAt(credentials, time.Unix(now.UnixMilli(), 0)), mockserver.AuthFuture, []string{"whole seconds"}},
		"largest time":             {with("Timestamp", "9223372036854775807"), mockserver.AuthFuture, []string{"whole seconds"}},
		"no header at all":         {both(with("Authorization"), with("Timestamp")), mockserver.AuthMissing, []string{"UserID not valid (None)", "Authorization is missing"}},
		"no Authorization":         {with("Authorization"), mockserver.AuthMissing, []string{"UserID not valid (None)", "Authorization is missing"}},
		"no Timestamp":             {with("Timestamp"), mockserver.AuthMissing, []string{"Invalid timestamp, value received: 0", "Timestamp is missing"}},
		"empty Authorization":      {with("Authorization", ""), mockserver.AuthMalformed, []string{"UserID not valid (None)"}},
		"empty Timestamp":          {with("Timestamp", ""), mockserver.AuthMalformed, []string{"Invalid timestamp, value received: 0"}},
		"two of Authorization":     {with("Authorization", "Basic MTox", "Basic MTox"), mockserver.AuthMalformed, []string{"more than one"}},
		"two of Timestamp":         {with("Timestamp", stamp, stamp), mockserver.AuthMalformed, []string{"not one Unix time"}},
		"bearer":                   {with("Authorization", "Bearer "+mockserver.DefaultToken), mockserver.AuthMalformed, []string{"another scheme"}},
		"scheme alone":             {with("Authorization", "Basic"), mockserver.AuthMalformed, []string{"no colon"}},
		"not base64":               {with("Authorization", "Basic ***"), mockserver.AuthMalformed, []string{"not base64"}},
		"base64 without padding":   {with("Authorization", "Basic "+base64.RawStdEncoding.EncodeToString([]byte("1:"+hash))+"*"), mockserver.AuthMalformed, []string{"padding"}},
		"base64 in lines":          {with("Authorization", "Basic MTow\tMTIz"), mockserver.AuthMalformed, []string{"one line"}},
		"no colon":                 {basic("1" + hash), mockserver.AuthMalformed, []string{"no colon"}},
		"user is a mail address":   {basic("me@example.com:" + hash), mockserver.AuthMalformed, []string{"e-mail address"}},
		"user is negative":         {basic("-1:" + hash), mockserver.AuthMalformed, []string{"not a number"}},
		"user is too large":        {basic("9223372036854775808:" + hash), mockserver.AuthMalformed, []string{"not a number"}},
		"user is empty":            {basic(":" + hash), mockserver.AuthMalformed, []string{"not a number"}},
		"token for a hash":         {basic("1:" + mockserver.DefaultToken), mockserver.AuthMalformed, []string{"Hash doesn't match.", "not the token"}},
		"hash in upper case":       {basic("1:" + strings.ToUpper(hash)), mockserver.AuthMalformed, []string{"lower-case"}},
		"hash too short":           {basic("1:" + hash[1:]), mockserver.AuthMalformed, []string{"64 lower-case"}},
		"hash too long":            {basic("1:" + hash + "0"), mockserver.AuthMalformed, []string{"64 lower-case"}},
		"hash empty":               {basic("1:"), mockserver.AuthMalformed, []string{"64 lower-case"}},
		"hash with a newline":      {basic("1:" + hash + "\n"), mockserver.AuthMalformed, []string{"64 lower-case"}},
		"Timestamp in words":       {with("Timestamp", "noon"), mockserver.AuthMalformed, []string{"value received: 0", "digits alone"}},
		"Timestamp as a fraction":  {with("Timestamp", stamp+".5"), mockserver.AuthMalformed, []string{"whole seconds"}},
		"Timestamp with a sign":    {with("Timestamp", "+"+stamp), mockserver.AuthMalformed, []string{"digits alone"}},
		"Timestamp negative":       {with("Timestamp", "-1"), mockserver.AuthMalformed, []string{"digits alone"}},
		"Timestamp with zeros":     {with("Timestamp", "0"+stamp), mockserver.AuthMalformed, []string{"digits alone"}},
		"Timestamp with spaces":    {with("Timestamp", stamp+" 1"), mockserver.AuthMalformed, []string{"digits alone"}},
		"Timestamp beyond numbers": {with("Timestamp", strings.Repeat("9", 30)), mockserver.AuthMalformed, []string{"digits alone"}},
	}
}

func TestBadCredentialsAreRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	for name, bad := range badCredentials(m.clock.Now()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := m.post(t, "/agents/read", readAgent47, bad.edit).mustRefuse(t, http.StatusUnauthorized, bad.class).mustSay(t, bad.says...)
			for _, header := range []string{"WWW-Authenticate", "www_authenticate"} {
				if !strings.HasPrefix(got.header.Get(header), "Basic ") {
					t.Errorf("header %s is %q", header, got.header.Get(header))
				}
			}
		})
	}
}

func TestBadCredentialsAreRefusedAsObservedIfAskedFor(t *testing.T) {
	t.Parallel()
	m := newMock(t, mockserver.WithAuthFailures(mockserver.AuthFailuresObserved))
	for name, bad := range badCredentials(m.clock.Now()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := m.post(t, "/agents/read", readAgent47, bad.edit).mustRefuse(t, http.StatusOK, bad.class).mustSay(t, bad.says...)
			if header := got.header.Get("WWW-Authenticate") + got.header.Get("www_authenticate"); header != "" {
				t.Errorf("a 200 asks for credentials: %q", header)
			}
		})
	}
}

func TestTheDocumentedHeaderIsSpeltWithItsUnderscoreOnTheWire(t *testing.T) {
	m := newMock(t)
	recorder := httptest.NewRecorder()
	m.ServeHTTP(recorder, m.request(t, http.MethodPost, "/agents/read", readAgent47, with("Authorization")))
	if recorder.Header()["www_authenticate"] == nil { //nolint:staticcheck // it is about this very spelling
		t.Errorf("got %v", recorder.Header())
	}
}

// Both limits are still inside, whatever fraction of a second the server's clock shows.
func TestASignatureIsGoodUpToBothLimits(t *testing.T) {
	m := newMock(t)
	m.clock.pass(999 * time.Millisecond)
	now := m.clock.Now().Truncate(time.Second)
	for _, age := range []time.Duration{7200 * time.Second, time.Second, 0, -time.Second, -300 * time.Second} {
		m.post(t, "/agents/read", readAgent47, signedAt(credentials, now.Add(-age))).mustSucceed(t)
	}
	m.post(t, "/agents/read", readAgent47, signedAt(credentials, now.Add(-7201*time.Second))).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthStale)
	m.post(t, "/agents/read", readAgent47, signedAt(credentials, now.Add(301*time.Second))).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthFuture)
}

func TestASignatureMayBeUsedAgainUntilItIsStale(t *testing.T) {
	m := newMock(t)
	signed := signedAt(credentials, m.clock.Now())
	for range 3 {
		m.post(t, "/agents/read", readAgent47, signed).mustSucceed(t)
		m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`, signed).mustSucceed(t)
		m.clock.pass(2400 * time.Second)
	}
	m.post(t, "/agents/read", readAgent47, signed).mustSucceed(t)
	m.clock.pass(time.Second)
	m.post(t, "/agents/read", readAgent47, signed).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthStale)
}

// Advancing a world must not make its clients' signatures stale.
func TestFreshnessIsJudgedByTheBaseClock(t *testing.T) {
	m := newMock(t)
	advance(t, m.Default(), 1000*time.Hour)
	m.post(t, "/agents/read", readAgent47).mustSucceed(t)
	m.post(t, "/agents/read", readAgent47, signedAt(credentials, m.Default().Now())).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthFuture)
}

// The known answers were computed by another program from the documentation; the client is held to the same file.
func TestKnownSignaturesAreAccepted(t *testing.T) {
	data, err := os.ReadFile("testdata/signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			UserID    int
			Token     string
			Timestamp int64
			Headers   map[string]string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 7 {
		t.Fatalf("there are %d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		account := mockserver.Account{UserID: v.UserID, Token: v.Token, Organizations: []string{organization}}
		m := newMock(t, mockserver.WithAccount(account), mockserver.WithClock(func() time.Time { return time.Unix(v.Timestamp, 1) }))
		signed := func(r *http.Request) {
			for name, value := range v.Headers {
				r.Header.Set(name, value)
			}
		}
		m.post(t, "/authenticate", ``, signed).mustSucceed(t)
		m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`, signed).mustSucceed(t)
		wrong := newMock(t, mockserver.WithAccount(mockserver.Account{UserID: v.UserID, Token: v.Token + "x"}),
			mockserver.WithClock(func() time.Time { return time.Unix(v.Timestamp, 1) }))
		wrong.post(t, "/authenticate", ``, signed).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthHash)
	}
}

func TestAnyCredentialsHaveAWorldOfTheirOwn(t *testing.T) {
	m := newMock(t, mockserver.WithAuth(mockserver.AuthAny))
	as := func(user int64) edit {
		return signedAt(client.Credentials{UserID: user, Token: "____"}, m.clock.Now())
	}
	list := func(user int64, organization string) reply {
		return m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`, as(user)).mustSucceed(t)
	}
	for _, user := range []int64{0, 1, 7} {
		if strings.Contains(string(list(user, "____").body), `"name"`) {
			t.Errorf("user %d begins with agents", user)
		}
		m.post(t, "/agents/create", fmt.Sprintf(`{"organizationId":"____","name":"of %d"}`, user), as(user)).mustSucceed(t)
	}
	for _, user := range []int64{0, 1, 7} {
		got := string(list(user, "____").body)
		if strings.Count(got, `"name"`) != 1 || !strings.Contains(got, fmt.Sprintf(`"of %d"`, user)) {
			t.Errorf("user %d sees %s", user, got)
		}
		if strings.Contains(string(list(user, "another").body), `"name"`) {
			t.Errorf("user %d sees the agents of one organization in another", user)
		}
	}
	// A replay is accepted, another token of the same user is too, and the header must still be right.
	m.post(t, "/authenticate", ``, as(7)).mustSucceed(t)
	m.post(t, "/authenticate", ``, signedAt(client.Credentials{UserID: 7, Token: "other"}, m.clock.Now())).mustSucceed(t)
	for name, bad := range badCredentials(m.clock.Now()) {
		if bad.class == mockserver.AuthHash || bad.class == mockserver.AuthUser {
			continue
		}
		got := m.post(t, "/agents/read", readAgent47, bad.edit)
		if got.status != http.StatusUnauthorized || got.header.Get("Qcmock-Violation") != string(bad.class) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	m.post(t, "/agents/list", `{"organizationId":""}`, as(7)).mustRefuse(t, http.StatusOK, mockserver.NotFound)
}

func TestAnyCredentialsAreLimitedToSoManyWorlds(t *testing.T) {
	m := newMock(t, mockserver.WithAuth(mockserver.AuthAny), mockserver.WithMaxWorlds(3))
	as := func(user int64) edit {
		return signedAt(client.Credentials{UserID: user, Token: "____"}, m.clock.Now())
	}
	m.post(t, "/authenticate", ``, as(8)).mustSucceed(t)
	m.post(t, "/authenticate", ``, as(9)).mustSucceed(t)
	m.post(t, "/authenticate", ``, as(10)).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthUser).mustSay(t, "its most worlds already, 3")
	m.post(t, "/authenticate", ``, as(8)).mustSucceed(t)
}

func TestWithoutAuthNoHeaderIsNeeded(t *testing.T) {
	m := newMock(t, mockserver.WithAuth(mockserver.AuthOff))
	bare := func(r *http.Request) { with("Authorization")(r); with("Timestamp")(r) }
	m.post(t, "/agents/create", `{"organizationId":"`+organization+`","name":"n"}`, bare).mustSucceed(t)
	for name, bad := range badCredentials(m.clock.Now()) {
		got := m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`, bad.edit)
		if !strings.Contains(string(got.body), `"n"`) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	m.send(t, m.request(t, http.MethodGet, "/authenticate", ``, bare)).mustSucceed(t)
}

// ---- what is refused behind the credentials ---------------------------------------------------------------------------

func TestUnknownAndForeignThingsAreRefused(t *testing.T) {
	t.Parallel()
	other := mockserver.Account{UserID: 2, Token: "other-token", Organizations: []string{strangers}}
	m := newMock(t, mockserver.WithAccount(mockserver.DefaultAccount()), mockserver.WithAccount(other))
	// The default account owns one of each, which the other account's world does not have.
	m.post(t, "/agents/create", `{"organizationId":"`+organization+`","name":"n"}`).mustSucceed(t)
	m.post(t, "/agents/tasks/create", wholeTask).mustSucceed(t)
	var created struct {
		Deployment struct{ DeploymentID string }
	}
	if err := json.Unmarshal(m.post(t, "/agents/deployments/create", `{"taskId":1001}`).mustSucceed(t).body, &created); err != nil {
		t.Fatal(err)
	}
	run := created.Deployment.DeploymentID
	m.post(t, "/agents/deployments/read", `{"deploymentId":"`+run+`"}`).mustSucceed(t)
	asOther := signedAt(client.Credentials{UserID: 2, Token: "other-token"}, m.clock.Now())

	agent := func(id string) string { return `{"agentId":` + id + `}` }
	task := func(id string) string { return `{"taskId":` + id + `}` }
	deployment := func(id string) string { return `{"deploymentId":"` + id + `"}` }
	for _, c := range []struct {
		paths   []string
		unknown []string // bodies
		foreign string
	}{
		{
			[]string{"/agents/read", "/agents/update", "/agents/delete"},
			[]string{agent("999"), agent("0"), agent("-47"), agent("48"), agent("9223372036854775807")}, agent("101"),
		},
		{
			[]string{"/agents/tasks/read", "/agents/tasks/update", "/agents/tasks/delete", "/agents/deployments/list", "/agents/deployments/create"},
			[]string{task("999"), task("0"), task("-1"), task("47")}, task("1001"),
		},
		{
			[]string{"/agents/deployments/read", "/agents/deployments/stop", "/agents/deployments/delete", "/agents/deployments/conversation/read"},
			[]string{deployment(unknownRun), deployment(""), deployment("1"), deployment(strings.ToUpper(run)), deployment(run[2:]), deployment(" " + run)},
			deployment(run),
		},
		{
			[]string{"/agents/deployments/prompt"},
			[]string{`{"deploymentId":"` + unknownRun + `","prompt":"p"}`}, `{"deploymentId":"` + run + `","prompt":"p"}`,
		},
		{
			[]string{"/agents/list", "/agents/tasks/list"},
			[]string{`{"organizationId":""}`, `{"organizationId":"` + strings.ToUpper(organization) + `"}`}, `{"organizationId":"` + organization + `"}`,
		},
		{
			[]string{"/agents/create"},
			[]string{`{"organizationId":"","name":"n"}`}, `{"organizationId":"` + organization + `","name":"n"}`,
		},
		{
			[]string{"/agents/tasks/create"},
			[]string{strings.Replace(wholeTask, "47", "48", 1), strings.Replace(wholeTask, organization, strangers, 1)}, wholeTask,
		},
	} {
		for _, path := range c.paths {
			for _, body := range c.unknown {
				m.post(t, path, body).mustRefuse(t, http.StatusOK, mockserver.NotFound).mustSay(t, " not found: ")
			}
			m.post(t, path, c.foreign, asOther).mustRefuse(t, http.StatusOK, mockserver.NotFound).mustSay(t, " not found: ")
		}
	}
	// Nothing of it changed anything.
	m.post(t, "/agents/deployments/read", `{"deploymentId":"`+run+`"}`).mustSucceed(t)
	if agents := m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`); bytes.Count(agents.body, []byte(`"id":1`)) != 1 {
		t.Errorf("got %s", agents)
	}
}

func TestAForeignOrganizationIsNamedWithTheOwn(t *testing.T) {
	newMock(t).post(t, "/agents/list", `{"organizationId":"`+strangers+`"}`).
		mustRefuse(t, http.StatusOK, mockserver.NotFound).mustSay(t, strangers, organization, "user 1")
}

func TestBodiesThatBreakTheContractAreRefused(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	update := func(members string) string { return `{"agentId":101,` + members + `}` }
	for name, bad := range map[string]struct {
		path, body string
		class      mockserver.Class
		says       []string
	}{
		"cut off":                   {"/agents/read", `{"agentId":47`, mockserver.BodyNotJSON, []string{"the body is not JSON: at byte 13"}},
		"single quotes":             {"/agents/read", `{'agentId':47}`, mockserver.BodyNotJSON, []string{"at byte 2"}},
		"trailing comma":            {"/agents/read", `{"agentId":47,}`, mockserver.BodyNotJSON, []string{"at byte 15"}},
		"comment":                   {"/agents/read", `{"agentId":47/* it */}`, mockserver.BodyNotJSON, nil},
		"bare word":                 {"/agents/read", `agentId`, mockserver.BodyNotJSON, nil},
		"leading zero":              {"/agents/read", `{"agentId":047}`, mockserver.BodyNotJSON, nil},
		"hexadecimal":               {"/agents/read", `{"agentId":0x2f}`, mockserver.BodyNotJSON, nil},
		"NaN":                       {"/agents/read", `{"agentId":NaN}`, mockserver.BodyNotJSON, nil},
		"raw newline in a text":     {"/agents/list", "{\"organizationId\":\"a\nb\"}", mockserver.BodyNotJSON, nil},
		"white space alone":         {"/agents/read", " \r\n\t ", mockserver.BodyNotJSON, []string{"the body is empty"}},
		"NUL alone":                 {"/agents/read", "\x00", mockserver.BodyNotJSON, nil},
		"byte order mark":           {"/agents/read", "\xef\xbb\xbf" + readAgent47, mockserver.BodyNotJSON, nil},
		"UTF-16":                    {"/agents/read", "{\x00}\x00", mockserver.BodyNotJSON, nil},
		"Latin-1":                   {"/agents/list", "{\"organizationId\":\"\xe9\"}", mockserver.BodyNotJSON, []string{"not UTF-8"}},
		"Latin-1 in a name":         {"/agents/read", "{\"agent\xe9\":47}", mockserver.BodyNotJSON, []string{"not UTF-8"}},
		"too deep":                  {"/agents/read", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), mockserver.BodyNotJSON, []string{"depth"}},
		"trailing bytes":            {"/agents/read", readAgent47 + "\x00", mockserver.TrailingData, []string{"from byte 14 on"}},
		"form feed after it":        {"/agents/read", readAgent47 + "\f", mockserver.TrailingData, nil},
		"wide space after it":       {"/agents/read", readAgent47 + "\u00a0", mockserver.TrailingData, nil},
		"form feed alone":           {"/agents/read", "\f", mockserver.BodyNotJSON, []string{"not JSON: at byte 1"}},
		"two values":                {"/agents/read", readAgent47 + readAgent47, mockserver.TrailingData, nil},
		"misspelled":                {"/agents/read", `{"agentIdd":47}`, mockserver.UnknownField, []string{`did you mean "agentId"?`, `"agentId" is missing`}},
		"with an underscore":        {"/agents/read", `{"agent_id":47}`, mockserver.UnknownField, []string{`did you mean "agentId"?`}},
		"letters swapped":           {"/agents/tasks/create", strings.Replace(wholeTask, "prompt", "propmt", 1), mockserver.UnknownField, []string{`did you mean "prompt"?`}},
		"nothing near":              {"/agents/read", `{"agentId":47,"zzzzzzzz":1}`, mockserver.UnknownField, []string{`leave it out, or send one of agentId`}},
		"lower case":                {"/agents/read", `{"agentid":47}`, mockserver.WrongCase, []string{`write "agentId"`}},
		"upper case first":          {"/agents/read", `{"AgentId":47}`, mockserver.WrongCase, []string{`write "agentId"`}},
		"right and wrong case":      {"/agents/read", `{"agentId":47,"agentID":47}`, mockserver.WrongCase, []string{`write "agentId"`}},
		"member for authenticate":   {"/authenticate", `{"user":1}`, mockserver.UnknownField, []string{`"user"`}},
		"list for authenticate":     {"/authenticate", `[]`, mockserver.Type, []string{"send an object"}},
		"number as a text":          {"/agents/read", `{"agentId":"47"}`, mockserver.Type, []string{"send a whole number"}},
		"text as a number":          {"/agents/list", `{"organizationId":47}`, mockserver.Type, []string{"send a string"}},
		"truth as a text":           {"/agents/update", update(`"public":"false"`), mockserver.Type, []string{"send a boolean"}},
		"list as a text":            {"/agents/update", update(`"tools":"create_compile"`), mockserver.Type, []string{"send an array"}},
		"list of numbers":           {"/agents/update", update(`"tools":[1]`), mockserver.Type, []string{`"tools/0"`}},
		"object as a list":          {"/agents/update", update(`"token":[]`), mockserver.Type, []string{"send an object"}},
		"fraction":                  {"/agents/read", `{"agentId":47.5}`, mockserver.Type, []string{"fraction or an exponent"}},
		"fraction of nothing":       {"/agents/read", `{"agentId":47.0}`, mockserver.Type, []string{"fraction or an exponent"}},
		"exponent":                  {"/agents/read", `{"agentId":4.7e1}`, mockserver.Type, []string{"fraction or an exponent"}},
		"exponent beyond floats":    {"/agents/read", `{"agentId":1e400}`, mockserver.Type, []string{"fraction or an exponent"}},
		"larger than any":           {"/agents/read", `{"agentId":9223372036854775808}`, mockserver.Bound, []string{"larger number"}},
		"smaller than any":          {"/agents/read", `{"agentId":-9223372036854775809}`, mockserver.Bound, []string{"number"}},
		"thousand digits":           {"/agents/read", `{"agentId":1` + strings.Repeat("0", 1000) + `}`, mockserver.Bound, []string{"larger number"}},
		"number inside":             {"/agents/update", update(`"subAgents":[{"agentId":1.5}]`), mockserver.Type, []string{`"subAgents/0/agentId"`}},
		"beyond floats where open":  {"/agents/update", update(`"chainedAgents":[{"agentId":1,"step":1,"agent":{"x":1e400}}]`), mockserver.Type, nil},
		"enum of the wrong case":    {"/agents/update", update(`"reasoningEffort":"High"`), mockserver.Enum, []string{"low, medium, high"}},
		"empty name":                {"/agents/update", update(`"name":""`), mockserver.Bound, []string{"not empty"}},
		"marker that names no plan": {"/agents/tasks/create", strings.Replace(wholeTask, `"prompt":"p"`, `"prompt":"[mock:victory]"`, 1), mockserver.Enum, []string{"[mock:", "success"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m.post(t, bad.path, bad.body).mustRefuse(t, http.StatusOK, bad.class).mustSay(t, append(bad.says, "Invalid argument: ")...)
			m.post(t, bad.path, bad.body, chunked).mustRefuse(t, http.StatusOK, bad.class)
		})
	}
}

func TestSeveralMistakesAreAllNamedAndTheFirstIsTheCause(t *testing.T) {
	got := newMock(t).post(t, "/agents/tasks/create", `{"OrganizationId":"o","agentId":"47","naem":"n","projectPreference":"x","more":1}`).
		mustRefuse(t, http.StatusOK, mockserver.WrongCase).
		mustSay(t, `write "organizationId"`, `did you mean "name"?`, `"more" is not known`, `"prompt" is missing`, `"agentId" has the wrong type`, "project-for-task")
	if strings.Contains(strings.Join(got.Errors, "\n"), `"organizationId" is missing`) {
		t.Errorf("one mistake is named twice: %q", got.Errors)
	}
}

func TestOnlyJSONMayBeSent(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	for _, good := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON; charset=\"UTF-8\""} {
		m.post(t, "/agents/read", readAgent47, with("Content-Type", good)).mustSucceed(t)
	}
	for _, bad := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=utf-16", "json", "", ";"} {
		m.post(t, "/agents/read", readAgent47, with("Content-Type", bad)).mustRefuse(t, http.StatusOK, mockserver.ContentType).mustSay(t, "send the body of readAgent as application/json")
	}
	m.post(t, "/agents/read", readAgent47, with("Content-Type")).mustRefuse(t, http.StatusOK, mockserver.ContentType).mustSay(t, "missing")
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	const host = "http://qcmock.test"
	for path, meant := range map[string]string{
		"/api/v2/agents/lst":                   "/api/v2/agents/list",
		"/api/v2/agents/list/":                 "/api/v2/agents/list",
		"/api/v2/Agents/List":                  "/api/v2/agents/list",
		"/api/v2/agent/read":                   "/api/v2/agents/read",
		"/api/v2/agents/deployment/read":       "/api/v2/agents/deployments/read",
		"/agents/list":                         "/api/v2/agents/list",
		"/v2/agents/list":                      "/api/v2/agents/list",
		"/authenticate":                        "/api/v2/authenticate",
		"/api/v2/authentication":               "/api/v2/authenticate",
		"/api/v2/":                             "",
		"/api/v2":                              "",
		"/api/v1/authenticate":                 "",
		"/api/v2/projects/read":                "",
		"/":                                    "",
		"/favicon.ico":                         "",
		"/api/v2/" + strings.Repeat("x", 5000): "",
		"/api/v2/agents/%6Cist%2F":             "/api/v2/agents/list",
		"/api/v2x/agents/list":                 "",
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			got := m.send(t, m.request(t, method, host+path, `{}`)).mustRefuse(t, http.StatusNotFound, mockserver.UnknownOperation).mustSay(t, "Endpoint not found")
			if meant != "" {
				got.mustSay(t, "did you mean "+meant+"?")
			}
			if len(got.Errors[0]) > 300 {
				t.Errorf("the sentence has %d bytes", len(got.Errors[0]))
			}
		}
		// Without credentials it is the path that is wrong, not they.
		m.send(t, m.request(t, http.MethodPost, host+path, `{}`, with("Authorization"))).mustRefuse(t, http.StatusNotFound, mockserver.UnknownOperation)
	}
}

func TestOtherMethodsAreRefusedAndTheRightOnesNamed(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "BREW"} {
		for id, op := range contract().byID {
			allow := "POST"
			if op.path == "/authenticate" {
				allow = "GET, POST"
			}
			if strings.Contains(allow, method) {
				continue
			}
			got := m.send(t, m.request(t, method, op.path, ``))
			if got.header.Get("Allow") != allow {
				t.Errorf("%s of %s: Allow is %q, want %q", method, id, got.header.Get("Allow"), allow)
			}
			if method == http.MethodHead {
				if got.status != http.StatusMethodNotAllowed || len(got.body) != 0 {
					t.Errorf("HEAD of %s: got %s", id, got)
				}
				continue
			}
			got.mustRefuse(t, http.StatusMethodNotAllowed, mockserver.Method).mustSay(t, "Method "+method+" is not allowed", "use "+allow)
		}
	}
}

func TestOverlargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	body := func(size int) string { return readAgent47 + strings.Repeat(" ", size-len(readAgent47)) }
	small := newMock(t, mockserver.WithMaxBody(100))
	for _, edits := range [][]edit{{}, {chunked}} {
		small.post(t, "/agents/read", body(100), edits...).mustSucceed(t)
		small.post(t, "/agents/read", body(101), edits...).mustRefuse(t, http.StatusRequestEntityTooLarge, mockserver.TooLarge).mustSay(t, "larger than 100 bytes")
	}
	standard := newMock(t)
	standard.post(t, "/agents/read", body(1<<20)).mustSucceed(t)
	standard.post(t, "/agents/read", body(1<<20+1)).mustRefuse(t, http.StatusRequestEntityTooLarge, mockserver.TooLarge)
}

func TestAClosedServerSaysThatItStops(t *testing.T) {
	m := newMock(t)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{baseURL + "/agents/read", baseURL + "/agents/reed", "http://127.0.0.1/_mock/health", "http://127.0.0.1/openapi.yaml"} {
		m.send(t, m.request(t, http.MethodPost, path, readAgent47)).mustRefuse(t, http.StatusServiceUnavailable, "").mustSay(t, "stopping")
	}
}

// The published example sends doubled slashes, and a redirect would turn its POST into a GET.
func TestDoubledSlashesAreServedWithoutARedirect(t *testing.T) {
	m := newMock(t)
	tcp := httptest.NewServer(m)
	t.Cleanup(tcp.Close)
	visitor := tcp.Client()
	visitor.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		t.Errorf("redirected to %s", r.URL)
		return http.ErrUseLastResponse
	}
	for _, path := range []string{"/api/v2//agents/read", "//api/v2/agents/read", "/api//v2////agents///read", "/api/v2/agents/read"} {
		for _, e := range []edit{func(*http.Request) {}, chunked} {
			r := m.request(t, http.MethodPost, tcp.URL+path, readAgent47, e)
			readReply(t)(visitor.Do(r)).mustSucceed(t)
		}
	}
	readReply(t)(visitor.Do(m.request(t, http.MethodPost, tcp.URL+"/api/v2//authenticate", ``))).mustSucceed(t)
	readReply(t)(visitor.Do(m.request(t, http.MethodGet, tcp.URL+"/api/v2//authenticate", ``))).mustSucceed(t)
}

func TestAuthenticateIsOneThingByBothMethods(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	for _, body := range []string{``, `{}`, ` {} `} {
		m.post(t, "/authenticate", body).mustSucceed(t)
	}
	m.send(t, m.request(t, http.MethodGet, "/authenticate", ``)).mustSucceed(t)
	m.send(t, m.request(t, http.MethodGet, "/authenticate?x=1", `ignored`)).mustSucceed(t)
	m.send(t, m.request(t, http.MethodGet, "/authenticate", ``, with("Timestamp"))).mustRefuse(t, http.StatusUnauthorized, mockserver.AuthMissing)
}

// ---- what is let through instead --------------------------------------------------------------------------------------

func TestWhatIsOnlyObservedIsServedAsWellAsItCanBe(t *testing.T) {
	t.Parallel()
	create := func(members string) string {
		return `{"organizationId":"` + organization + `","name":"n"` + members + `}`
	}
	for name, c := range map[string]struct {
		body  string
		edit  edit
		class mockserver.Class
		shows string // in the answer
		hides string // from the answer
	}{
		"unknown member":      {create(`,"extra":1`), nil, mockserver.UnknownField, `"name":"n"`, "extra"},
		"wrong case":          {create(`,"Public":true`), nil, mockserver.WrongCase, `"name":"n"`, `"public"`},
		"duplicate":           {create(`,"model":"first","model":"last"`), nil, mockserver.DuplicateKey, `"model":"last"`, "first"},
		"trailing bytes":      {create(``) + "junk", nil, mockserver.TrailingData, `"name":"n"`, ""},
		"content type":        {create(``), with("Content-Type", "text/plain"), mockserver.ContentType, `"name":"n"`, ""},
		"wrong type":          {create(`,"maxTurns":"many"`), nil, mockserver.Type, `"maxTurns":100`, "many"},
		"wrong type inside":   {create(`,"token":{"llmProviderApi":7}`), nil, mockserver.Type, `"name":"n"`, `"token"`},
		"wrong type in lists": {create(`,"tools":["a",1]`), nil, mockserver.Type, `"name":"n"`, `"tools"`},
		"missing inside":      {create(`,"chainedAgents":[{"agentId":1}]`), nil, mockserver.MissingField, `"name":"n"`, `"chainedAgents"`},
		"too small":           {create(`,"maxTurns":0`), nil, mockserver.Bound, `"maxTurns":100`, ""},
		"too large":           {create(`,"maxTurns":99999999999999999999`), nil, mockserver.Bound, `"maxTurns":100`, ""},
		"enum":                {create(`,"reasoningEffort":"utmost"`), nil, mockserver.Enum, `"reasoningEffort":"utmost"`, ""},
		"null":                {create(`,"public":null,"tools":null,"model":null`), nil, mockserver.Null, `"model":"claude-opus-4-7"`, `"tools"`},
		"null in a list":      {create(`,"tools":[null,"a"]`), nil, mockserver.Null, `"name":"n"`, ""},
		"null inside":         {create(`,"token":{"llmProviderApi":null}`), nil, mockserver.Null, `"token":{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.edit == nil {
				c.edit = func(*http.Request) {}
			}
			m := newMock(t, mockserver.WithContract(mockserver.ContractObserve))
			got := m.post(t, "/agents/create", c.body, c.edit)
			if got.Success == nil || !*got.Success || !bytes.Contains(got.body, []byte(c.shows)) || c.hides != "" && bytes.Contains(got.body, []byte(c.hides)) {
				t.Errorf("got %s", got)
			}
			if class := got.header.Get("Qcmock-Violation"); class != string(c.class) {
				t.Errorf("Qcmock-Violation is %q, want %q", class, c.class)
			}
			if journal := m.Default().Journal(); len(journal) != 1 || len(journal[0].Violations) == 0 {
				t.Errorf("the journal says %+v", journal)
			}
		})
	}
}

// Without these there is nothing to be done.
func TestWhatARequestCannotDoWithoutIsRefusedEvenIfOnlyObserved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body string
		class      mockserver.Class
	}{
		"missing":         {"/agents/create", `{"name":"n"}`, mockserver.MissingField},
		"misspelled":      {"/agents/read", `{"agntId":47}`, mockserver.UnknownField},
		"wrong case":      {"/agents/read", `{"AGENTID":47}`, mockserver.WrongCase},
		"wrong type":      {"/agents/read", `{"agentId":"47"}`, mockserver.Type},
		"null":            {"/agents/read", `{"agentId":null}`, mockserver.Null},
		"fraction":        {"/agents/read", `{"agentId":47.5}`, mockserver.Type},
		"too large":       {"/agents/read", `{"agentId":99999999999999999999}`, mockserver.Bound},
		"beyond floats":   {"/agents/update", `{"agentId":101,"chainedAgents":[{"agentId":1,"step":1,"agent":{"x":1e400}}]}`, mockserver.Type},
		"empty name":      {"/agents/create", `{"organizationId":"` + organization + `","name":""}`, mockserver.Bound},
		"null body":       {"/agents/read", `null`, mockserver.Null},
		"list":            {"/agents/read", `[]`, mockserver.Type},
		"text":            {"/agents/read", `"47"`, mockserver.Type},
		"not JSON":        {"/agents/read", `agentId=47`, mockserver.BodyNotJSON},
		"empty":           {"/agents/read", ``, mockserver.BodyNotJSON},
		"not for anybody": {"/authenticate", `null`, mockserver.Null},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newMock(t, mockserver.WithContract(mockserver.ContractObserve)).post(t, c.path, c.body).mustRefuse(t, http.StatusOK, c.class)
		})
	}
}

func TestWithoutTheContractARequestIsServedAsFarAsItCanBeRead(t *testing.T) {
	t.Parallel()
	m := newMock(t, mockserver.WithContract(mockserver.ContractOff))
	for name, body := range map[string]string{
		"unknown member": `{"organizationId":"` + organization + `","name":"n","extra":1}`,
		"duplicate":      `{"organizationId":"` + organization + `","name":"m","name":"n"}`,
		"trailing":       `{"organizationId":"` + organization + `","name":"n"}junk`,
		"null":           `{"organizationId":"` + organization + `","name":"n","public":null}`,
		"bound":          `{"organizationId":"` + organization + `","name":"n","maxTurns":-1}`,
	} {
		if got := m.post(t, "/agents/create", body).mustSucceed(t); !bytes.Contains(got.body, []byte(`"name":"n"`)) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	m.post(t, "/agents/create", `{"organizationId":"`+organization+`","name":"n"}`, with("Content-Type", "text/plain")).mustSucceed(t)
	for _, c := range []struct {
		path, body string
		class      mockserver.Class
	}{
		{"/agents/read", `{"agentId":"47"}`, mockserver.Type},
		{"/agents/read", `{"agentId":47.5}`, mockserver.Type},
		{"/agents/read", `{"agentId":1e2}`, mockserver.Type},
		{"/agents/read", `{"agentId":99999999999999999999}`, mockserver.Type},
		{"/agents/read", `[]`, mockserver.Type},
		{"/agents/read", `"47"`, mockserver.Type},
		{"/agents/update", `{"agentId":101,"chainedAgents":[{"agent":{"x":1e400}}]}`, mockserver.Type},
		{"/agents/read", `{}`, mockserver.NotFound},
		{"/agents/read", `null`, mockserver.NotFound},
		{"/agents/create", `null`, mockserver.NotFound},
		{"/agents/create", `{"organizationId":"` + organization + `"}`, mockserver.Bound},
		{"/agents/deployments/prompt", `{}`, mockserver.NotFound},
		{"/agents/deployments/conversation/read", `null`, mockserver.NotFound},
		{"/agents/read", ``, mockserver.BodyNotJSON},
		{"/agents/read", `{`, mockserver.BodyNotJSON},
	} {
		m.post(t, c.path, c.body).mustRefuse(t, http.StatusOK, c.class)
	}
	m.post(t, "/authenticate", `null`).mustSucceed(t)
	m.post(t, "/authenticate", `{"user":1}`).mustSucceed(t)
}

// A class that only warns, or is off, lets through what it alone stands in the way of.
func TestSeverityDecidesWhatIsRefused(t *testing.T) {
	t.Parallel()
	const body = `{"agentId":47,"extra":1}`
	for severity, want := range map[mockserver.Severity]struct {
		success bool
		header  string
	}{
		mockserver.SeverityError:   {false, "unknown-field"},
		mockserver.SeverityWarning: {true, "unknown-field"},
		mockserver.SeverityOff:     {true, ""},
	} {
		m := newMock(t, mockserver.WithSeverity(mockserver.UnknownField, severity))
		got := m.post(t, "/agents/read", body)
		if got.Success == nil || *got.Success != want.success || got.header.Get("Qcmock-Violation") != want.header {
			t.Errorf("%s: got %s, %q", severity, got, got.header.Get("Qcmock-Violation"))
		}
		// Another mistake beside it is refused all the same.
		m.post(t, "/agents/read", `{"agentId":"47","extra":1}`).mustWearEnvelope(t)
	}
}

// ---- what is the mock's own -------------------------------------------------------------------------------------------

func TestTheMocksOwnEndpointsAreForProgramsOnThisMachine(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	for _, host := range []string{"127.0.0.1", "127.0.0.1:5612", "localhost", "localhost:1", "[::1]:5612"} {
		health := m.send(t, m.request(t, http.MethodGet, "http://"+host+"/_mock/health", ``))
		if health.status != http.StatusOK || !bytes.Contains(health.body, []byte(`"status":"ok"`)) {
			t.Errorf("%s: got %s", host, health)
		}
	}
	for _, host := range []string{"example.com", "qcmock.test", "10.0.0.1:5612", "localhost.example.com"} {
		if got := m.send(t, m.request(t, http.MethodGet, "http://"+host+"/_mock/health", ``)); got.status != http.StatusForbidden {
			t.Errorf("%s: got %s", host, got)
		}
	}
	if got := m.send(t, m.request(t, http.MethodGet, "http://127.0.0.1/_mock/health", ``, with("Origin", "http://example.com"))); got.status != http.StatusForbidden {
		t.Errorf("got %s", got)
	}
	if got := m.send(t, m.request(t, http.MethodGet, "http://127.0.0.1/openapi.yaml", ``)); got.status != http.StatusOK || !bytes.Contains(got.body, []byte("openapi: 3.0.3")) {
		t.Errorf("got %s", got)
	}
	m.send(t, m.request(t, http.MethodGet, "http://127.0.0.1/_mock/helth", ``)).mustRefuse(t, http.StatusNotFound, "")
	if got := m.send(t, m.request(t, http.MethodPost, "http://127.0.0.1/openapi.yaml", ``)).mustRefuse(t, http.StatusMethodNotAllowed, ""); got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow is %q", got.header.Get("Allow"))
	}
}

// A foreign organization is the first thing that a consumer with its own settings meets, so the way out is in the sentence.
func TestAForeignOrganizationSaysHowToBelongToIt(t *testing.T) {
	t.Parallel()
	const wayOut = "give the user this one, with --organization of qcmock serve or in the accounts of a scenario."
	for name, c := range map[string]struct {
		organizations []string
		says          string
	}{
		"one":     {[]string{"mine"}, `"theirs" not found: user 1 belongs to mine; name that one, or ` + wayOut},
		"several": {[]string{"mine", "ours"}, `"theirs" not found: user 1 belongs to mine, ours; name one of them, or ` + wayOut},
		"none":    {[]string{}, `"theirs" not found: user 1 belongs to none; ` + wayOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMock(t, mockserver.WithAccount(mockserver.Account{UserID: 1, Token: mockserver.DefaultToken, Organizations: c.organizations}))
			m.post(t, "/agents/list", `{"organizationId":"theirs"}`).mustRefuse(t, http.StatusOK, mockserver.NotFound).mustSay(t, c.says)
		})
	}
}
