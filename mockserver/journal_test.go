package mockserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deliver sends a signed request to a path below the base, as the default user.
func deliver(t testing.TB, server *Server, path, body string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	r.URL.Path = basePath + path
	r.Header = signedHeader("1", DefaultToken, strconv.FormatInt(mutantTime.Unix(), 10))
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

func stillServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	server, err := New(append([]Option{WithClock(func() time.Time { return mutantTime })}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func listBody() string { return `{"organizationId":"` + DefaultOrganizationID + `"}` }

// The journal keeps its bound however much comes, counts its bytes right, and takes about that much memory.
func TestJournalKeepsItsBound(t *testing.T) {
	const limit, requests = 4 << 20, 100_000
	server := stillServer(t, WithJournalBytes(limit))
	book := server.Default().journal
	stamp := signedHeader("1", DefaultToken, strconv.FormatInt(mutantTime.Unix(), 10))
	bodies := []string{`{"agentId":47}`, `{"agentId":47,"more":"` + strings.Repeat("x", 500) + `"}`, `{"agentID":"1"}`, "{"}
	before := heap()
	peak := 0
	for i := range requests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+basePath+"/agents/read", strings.NewReader(bodies[i%len(bodies)]))
		r.Header = http.Header(stamp)
		server.ServeHTTP(httptest.NewRecorder(), r)
		peak = max(peak, book.bytes)
	}
	grown := int64(heap()) - int64(before)
	sum := 0
	for i, e := range book.entries {
		sum += e.size()
		if want := requests - len(book.entries) + i + 1; e.Seq != want {
			t.Fatalf("entry %d has the number %d, want %d", i, e.Seq, want)
		}
	}
	t.Logf("%d requests: %d entries kept, %d bytes counted, at most %d; the heap has grown by %d", requests, book.len(), book.bytes, peak, grown)
	if peak > limit || sum != book.bytes || book.bytes < limit*9/10 {
		t.Errorf("at most %d bytes were counted, now %d, and the entries have %d; the bound is %d", peak, book.bytes, sum, limit)
	}
	if grown > 2*limit {
		t.Errorf("the heap has grown by %d bytes for a bound of %d", grown, limit)
	}
	runtime.KeepAlive(server)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An entry that is larger than the journal is the only one left, until the next comes.
func TestJournalKeepsTheLatestWhateverItsSize(t *testing.T) {
	t.Parallel()
	server := stillServer(t, WithJournalBytes(2000))
	deliver(t, server, "/agents/list", listBody())
	deliver(t, server, "/agents/list", listBody()+strings.Repeat(" ", 5000))
	if book := server.Default().journal; book.len() != 1 || book.bytes != book.all()[0].size() {
		t.Errorf("%d entries of %d bytes are left", book.len(), book.bytes)
	}
	deliver(t, server, "/agents/list", listBody())
	if entries := server.Default().Journal(); len(entries) != 1 || entries[0].Seq != 3 {
		t.Errorf("the journal is %+v", entries)
	}
}

// Secrets that a consumer sends, in the right place or in a wrong one, are nowhere to be read.
func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	agent := func(token string) string {
		return `{"organizationId":"` + DefaultOrganizationID + `","name":"a",` + token + `}`
	}
	for name, c := range map[string]struct {
		body string
		edit func(*http.Request)
	}{
		"token of a provider":             {body: agent(`"token":{"llmProviderApi":"anthropic","llmApiTokenUser":"s3cr3t"}`)},
		"text for the token":              {body: agent(`"token":"s3cr3t"`)},
		"list for the token":              {body: agent(`"token":["s3cr3t",{"x":["s3cr3t"]}]`)},
		"another member of the token":     {body: agent(`"token":{"key":{"value":"s3cr3t"}}`)},
		"another name":                    {body: agent(`"llm_api_token_user":"s3cr3t"`)},
		"another case":                    {body: agent(`"TOKEN":{"LLMAPITOKENUSER":"s3cr3t"}`)},
		"escaped names":                   {body: agent(`"\u0074oken":{"llmApi\u0054okenUser":"s3cr3t"}`)},
		"token twice, the first with it":  {body: agent(`"token":{"llmApiTokenUser":"s3cr3t"},"token":{}`)},
		"token twice, the second with it": {body: agent(`"token":{},"token":{"llmApiTokenUser":"s3cr3t"}`)},
		"key twice":                       {body: agent(`"token":{"llmApiTokenUser":"s3cr3t","llmApiTokenUser":null}`)},
		"in no JSON":                      {body: `{"token":{"llmApiTokenUser":"s3cr3t"`},
		"in a form":                       {body: "name=a&llmApiTokenUser=s3cr3t"},
		"after the end":                   {body: agent(`"token":{}`) + `{"token":"s3cr3t"}`},
		"after a bracket too many":        {body: agent(`"token":{}`) + `} "token":"s3cr3t"`},
		"in a list of agents":             {body: "[" + agent(`"token":{"llmApiTokenUser":"s3cr3t"}`) + "]"},
		"not in UTF-8":                    {body: "\xff" + agent(`"t\xffoken":"s3cr3t"`)},
		"API token in place of the hash": {body: listBody(), edit: func(r *http.Request) {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("1:"+secret)))
		}},
		"token as bearer":       {body: listBody(), edit: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }},
		"Authorization as such": {body: listBody(), edit: func(r *http.Request) { r.Header.Set("Authorization", secret) }},
		"query":                 {body: listBody(), edit: func(r *http.Request) { r.URL.RawQuery = "token=" + secret }},
		"bare query":            {body: listBody(), edit: func(r *http.Request) { r.URL.RawQuery = secret }},
		"fragment and user":     {body: listBody(), edit: func(r *http.Request) { r.URL.Fragment, r.URL.User = secret, url.User(secret) }},
		"other headers": {body: listBody(), edit: func(r *http.Request) {
			r.Header.Set("Cookie", secret)
			r.Header.Set("X-Api-Key", secret)
			r.Header.Set("Proxy-Authorization", secret)
		}},
	} {
		for _, contract := range []Contract{ContractStrict, ContractObserve, ContractOff} {
			var log, seen bytes.Buffer
			server := stillServer(t, WithContract(contract), WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
				WithObserver(func(e Entry) { fmt.Fprintf(&seen, "%+v", e) }))
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			answer := deliver(t, server, "/agents/create", c.body, edit)
			report, err := server.Report(ReportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			everything := map[string]string{
				"the journal": encode(append(server.Journal(), server.Default().Journal()...)), "the log": log.String(), "what is observed": seen.String(),
				"the answer": answer.Body.String(), "the answer's header": fmt.Sprint(answer.Header()),
			}
			for format, text := range formats(t, report) {
				everything["the report as "+format] = string(text)
			}
			for where, text := range everything {
				if strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("1:"+secret))) {
					t.Errorf("%s, contract %s: the secret is in %s:\n%s", name, contract, where, text)
				}
			}
			if n := len(server.Journal()) + len(server.Default().Journal()); n != 1 {
				t.Errorf("%s: %d exchanges are kept, want 1", name, n)
			}
		}
	}
}

// What holds no secret is kept as it was sent.
func TestBodiesAreKept(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", `{ "a" : 1 }`, `{"a":"\u00e9"}`, "<html>", `{"a":1}{"b":2}`, `{"token":{"llmProviderApi":"anthropic"}}`, `{"maxTokens":5}`} {
		if got := redactedBody([]byte(body)); got != body {
			t.Errorf("%s is kept as %s", body, got)
		}
	}
}

// The same question has the same answer in Go and over HTTP.
func TestQueries(t *testing.T) {
	t.Parallel()
	server := stillServer(t)
	deliver(t, server, "/agents/list", listBody())
	deliver(t, server, "/agents/read", `{"agentId":47}`)
	deliver(t, server, "/agents/read", `{"agentId":47}}`)
	deliver(t, server, "/agents/read", `{"agentId":9999}`)
	deliver(t, server, "/agents/create", `{"organizationId":"`+DefaultOrganizationID+`","name":"47","tools":["x"],"token":{"llmProviderApi":"anthropic"}}`)
	if err := server.Default().Inject(Fault{Effect: Effect{Drop: true}}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }() // so a connection is cut
		deliver(t, server, "/agents/list", listBody())
	}()
	for query, c := range map[string]struct {
		q    Query
		want string
	}{
		"":                                         {Query{}, "1 2 3 4 5 6"},
		"operation=readAgent":                      {Query{Operation: "readAgent"}, "2 3 4"},
		"operation=readAgent&with.agentId=47":      {Query{Operation: "readAgent", With: map[string]any{"agentId": 47}}, "2"},
		"with./agentId=47":                         {Query{With: map[string]any{"/agentId": 47}}, "2"},
		`with.agentId="47"`:                        {Query{With: map[string]any{"agentId": "47"}}, ""},
		`with.name="47"`:                           {Query{With: map[string]any{"name": "47"}}, "5"},
		"with.name=47":                             {Query{With: map[string]any{"name": 47}}, ""},
		"with./token/llmProviderApi=anthropic":     {Query{With: map[string]any{"/token/llmProviderApi": "anthropic"}}, "5"},
		"with./tools/0=x":                          {Query{With: map[string]any{"/tools/0": "x"}}, "5"},
		`with.tools=["x"]`:                         {Query{With: map[string]any{"tools": []string{"x"}}}, "5"},
		"with./tools/1=x":                          {Query{With: map[string]any{"/tools/1": "x"}}, ""},
		"outcome=success":                          {Query{Outcome: OutcomeSuccess}, "1 2 5"},
		"outcome=refused&after=3":                  {Query{Outcome: OutcomeRefused, After: 3}, "4"},
		"class=not-found":                          {Query{Class: NotFound}, "4"},
		"class=trailing-data":                      {Query{Class: TrailingData}, "3"},
		"faulty=true":                              {Query{Faulty: true}, "6"},
		"faulty=false&outcome=unanswered":          {Query{Outcome: OutcomeUnanswered}, "6"},
		"after=6":                                  {Query{After: 6}, ""},
		"operation=listAgents&operation=readAgent": {Query{Operation: "readAgent"}, "2 3 4"},
	} {
		numbers := func(entries []Entry) string {
			var list []string
			for _, e := range entries {
				list = append(list, strconv.Itoa(e.Seq))
			}
			return strings.Join(list, " ")
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParseQuery(values)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		for name, q := range map[string]Query{"in Go": c.q, "parsed": parsed} {
			found, err := server.Default().Find(q)
			if err != nil || numbers(found) != c.want {
				t.Errorf("%s, %s: %v, %q, want %q", query, name, err, numbers(found), c.want)
			}
			if n, err := server.Default().Called(q); err != nil || n != len(found) {
				t.Errorf("%s, %s: called %d times: %v", query, name, n, err)
			}
		}
		var answer struct {
			Entries []Entry
			Called  int
		}
		for _, path := range []string{"journal", "called"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/_mock/worlds/1/"+path, nil)
			r.URL.RawQuery, r.RemoteAddr = values.Encode(), "127.0.0.1:1"
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
		if numbers(answer.Entries) != c.want || answer.Called != len(answer.Entries) {
			t.Errorf("%s, over HTTP: %q and %d, want %q", query, numbers(answer.Entries), answer.Called, c.want)
		}
	}
	for query, says := range map[string]string{
		"operation=readagent": `did you mean "readAgent"?`, "operation=x": "use an operationId of the contract", "outcome=good": "query outcome", "class=none": "query class",
		"faulty=perhaps": "query faulty", "after=x": "query after", "with.=1": "it is not known; use operation, with.MEMBER", "more=1": "query more: it is not known",
	} {
		values, _ := url.ParseQuery(query)
		if _, err := ParseQuery(values); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", query, err)
		}
	}
	unknown := Query{Operation: "readagent"}
	_, found := server.Default().Find(unknown)
	_, called := server.Default().Called(unknown)
	if followed := server.Default().Follow(t.Context(), unknown, nil); found == nil || called == nil || followed == nil {
		t.Errorf("an operation that does not exist is looked for: %v, %v, %v", found, called, followed)
	}
}

// Following gives what is there and then what comes, each once, also after the journal has been emptied.
func TestFollow(t *testing.T) {
	t.Parallel()
	server := stillServer(t)
	world := server.Default()
	for range 3 {
		deliver(t, server, "/agents/list", listBody())
	}
	got := make(chan int)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- world.Follow(ctx, Query{Operation: "listAgents", After: 1}, func(e Entry) bool {
			got <- e.Seq
			return true
		})
	}()
	expect := func(want int) {
		t.Helper()
		if seq := <-got; seq != want {
			t.Errorf("got exchange %d, want %d", seq, want)
		}
	}
	expect(2)
	expect(3)
	deliver(t, server, "/agents/read", `{"agentId":47}`)
	deliver(t, server, "/agents/list", listBody())
	expect(5)
	world.Reset()
	deliver(t, server, "/agents/list", listBody())
	expect(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	seen := 0
	if err := world.Follow(t.Context(), Query{}, func(Entry) bool { seen++; return false }); err != nil || seen != 1 {
		t.Errorf("ended by what it yields to: %d, %v", seen, err)
	}
}

// A change of status stands with the exchange that was the first to see it, and with no other.
func TestTransitionsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	server := stillServer(t)
	var made struct {
		Task       struct{ ID int }
		Deployment struct{ DeploymentID string }
	}
	post := func(path, body string) {
		t.Helper()
		if err := json.Unmarshal(deliver(t, server, path, body).Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
	}
	post("/agents/tasks/create", `{"organizationId":"`+DefaultOrganizationID+`","agentId":47,"name":"a","prompt":"b","projectPreference":"project-for-task"}`)
	post("/agents/deployments/create", fmt.Sprintf(`{"taskId":%d}`, made.Task.ID))
	for range 4 {
		for range 2 {
			post("/agents/deployments/read", fmt.Sprintf(`{"deploymentId":%q}`, made.Deployment.DeploymentID))
			post("/agents/deployments/list", fmt.Sprintf(`{"taskId":%d}`, made.Task.ID))
		}
		server.Default().AdvanceToNext()
	}
	seen := map[string]int{}
	for _, e := range server.Default().Journal() {
		for _, change := range e.Transitions {
			seen[change.Status]++
			if change.DeploymentID != made.Deployment.DeploymentID || change.At.After(e.At) || change.At.IsZero() {
				t.Errorf("exchange %d at %s has %+v", e.Seq, e.At, change)
			}
		}
	}
	if len(seen) != 3 || seen["InQueue"] != 1 || seen["Running"] != 1 || seen["Completed"] != 1 {
		t.Errorf("changes were recorded so often: %v", seen)
	}
}
