package mockserver

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen"
)

var hostileTime = time.Date(2026, time.November, 3, 14, 0, 0, 0, time.UTC)

// hostileServer holds an agent, a task and a deployment for hostile requests to find.
func hostileServer(t testing.TB, opts ...Option) (*Server, string) {
	t.Helper()
	server, err := New(append([]Option{WithClock(func() time.Time { return hostileTime }), WithSeed("hostile"), WithMaxBody(1 << 16)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	world := server.Default()
	by := world.caller(DefaultUserID)
	if _, err := world.store.CreateAgent(by, gen.CreateAgentRequest{OrganizationID: DefaultOrganizationID, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	task, err := world.store.CreateTask(by, gen.CreateAgentTaskRequest{
		OrganizationID: DefaultOrganizationID, AgentID: 101, Name: "n", Prompt: "p", ProjectPreference: gen.ProjectPreferenceProjectForTask,
	})
	if err != nil {
		t.Fatal(err)
	}
	run, err := world.store.CreateDeployment(by, gen.CreateAgentDeploymentRequest{TaskID: task.ID})
	if err != nil {
		t.Fatal(err)
	}
	return server, run.DeploymentID
}

// nasty are bodies that have surprised readers of JSON.
var nasty = []string{
	``, ` `, `null`, `true`, `0`, `""`, `[]`, `{}`, "{}\f", "\v{}", `{`, `}`, `{}{}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1}x`,
	`{"\u0061":1,"a":2}`, `{"":1}`, `{"a/b":1,"a~b":2}`, `{"\ud800":1,"\ud801":2}`, "{\"a\":\"\xff\"}", "\xef\xbb\xbf{}", `{"a":1e400}`, `{"a":-0}`,
	`{"a":1E+2}`, `{"a":0.1e-9}`, `{"a":01}`, `[[[[[[[[]]]]]]]]`, strings.Repeat("[", 500), strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300),
	`{"a":"\u0000"}`, "{\"a\":\"\x00\"}", `{"agentId":47}`, `{"agentid":47}`, `{"agentId":"47"}`, `{"agentId":47.0}`, `{"agentId":99999999999999999999}`,
	`{"agentId":null}`, `{"agentId":101,"token":{"llmApiTokenUser":1}}`, `{"agentId":101,"chainedAgents":[{"agentId":1,"step":1,"agent":{"x":[1e999]}}]}`,
	`{"agentId":101,"tools":[null,1,{}],"subAgents":{}}`, `{"taskId":1001}`, `{"organizationId":"` + DefaultOrganizationID + `"}`,
	`{"organizationId":"` + DefaultOrganizationID + `","agentId":47,"name":"n","prompt":"[mock:sub-agent]","projectPreference":"project-for-task"}`,
}

// However many mistakes fit into a body, what is said of them is no multiple of it, and neither is the work.
func TestHostileBodiesAreAnsweredInProportion(t *testing.T) {
	t.Parallel()
	const size = 1 << 18
	fill := func(before, item, after string) string {
		return before + strings.Repeat(item, (size-len(before)-len(after))/len(item)) + after
	}
	var unknown strings.Builder
	unknown.WriteString(`{"agentId":101`)
	for i := 0; unknown.Len() < size-20; i++ {
		unknown.WriteString(`,"u` + strconv.Itoa(i) + `":1`)
	}
	unknown.WriteString("}")
	name := strings.Repeat("a", 90)
	for what, body := range map[string]string{
		"duplicates":           fill(`{"agentId":101`, `,"a":1`, `}`),
		"unknown members":      unknown.String(),
		"wrong types":          fill(`{"agentId":101,"tools":[1`, `,1`, `]}`),
		"missing members":      fill(`{"agentId":101,"subAgents":[{}`, `,{}`, `]}`),
		"fractions":            fill(`{"agentId":101,"subAgents":[{"agentId":0.5}`, `,{"agentId":0.5}`, `]}`),
		"depth":                strings.Repeat(`{"`+name+`":`, 2500) + "1" + strings.Repeat("}", 2500),
		"duplicates in depth":  strings.Repeat(`{"`+name+`":`, 2000) + `{` + strings.Repeat(`"a":1,`, 10000) + `"a":1}` + strings.Repeat("}", 2000),
		"lists in lists":       strings.Repeat("[", 9990) + strings.Repeat("]", 9990),
		"a long name":          `{"agentId":101,"` + strings.Repeat("x", size-100) + `":1}`,
		"a long text":          `{"agentId":101,"maxTurns":"` + strings.Repeat("x", size-100) + `"}`,
		"a long number":        `{"agentId":` + strings.Repeat("1", size-100) + `}`,
		"a long name, twice":   `{"agentId":101,"` + strings.Repeat("x", size/3) + `":1,"` + strings.Repeat("x", size/3) + `":1}`,
		"escapes in the names": fill(`{"agentId":101`, `,"~~//\u007e":1`, `}`),
	} {
		for _, contract := range []Contract{ContractStrict, ContractObserve, ContractOff} {
			t.Run(what+"/"+string(contract), func(t *testing.T) {
				t.Parallel()
				server, _ := hostileServer(t, WithMaxBody(size), WithContract(contract))
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, basePath+"/agents/update", strings.NewReader(body))
				r.Header = http.Header(signedHeader("1", DefaultToken, strconv.FormatInt(hostileTime.Unix(), 10)))
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) || w.Body.Len() > 1<<16 {
					t.Errorf("status %d, with %d bytes: %.300s", w.Code, w.Body.Len(), w.Body)
				}
				journal := server.Default().Journal()
				if len(journal) != 1 {
					t.Fatalf("the journal has %d entries", len(journal))
				}
				if n := len(journal[0].Violations); n > 3*mostViolations {
					t.Errorf("there are %d violations", n)
				}
				for _, v := range journal[0].Violations {
					if len(v.Pointer) > longestPointer+100 || len(v.Text) > 2000 {
						t.Errorf("a violation has a pointer of %d bytes and a text of %d", len(v.Pointer), len(v.Text))
					}
				}
			})
		}
	}
}

func TestTheLatestExchangeIsRememberedHoweverLargeItIs(t *testing.T) {
	t.Parallel()
	server, _ := hostileServer(t, WithJournalBytes(1))
	for i := range 3 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, basePath+"/agents/read", strings.NewReader(`{"agentId":47}`))
		r.Header = http.Header(signedHeader("1", DefaultToken, strconv.FormatInt(hostileTime.Unix(), 10)))
		server.ServeHTTP(httptest.NewRecorder(), r)
		if journal := server.Default().Journal(); len(journal) != 1 || journal[0].Seq != i+1 {
			t.Errorf("the journal is %+v", journal)
		}
	}
}

// Whatever is sent, the mock answers, at once, and everything below /api/v2 in the envelope.
func FuzzServeHTTP(f *testing.F) {
	table, err := loadContract()
	if err != nil {
		f.Fatal(err)
	}
	_, run := hostileServer(f)
	for path, byMethod := range table.paths {
		for method, op := range byMethod {
			body := ""
			if op.request != nil {
				body = strings.ReplaceAll(encode(full(op.request)), "A-0123456789abcdef0123456789abcdef", run)
			}
			f.Add(method, basePath+path, "", "", "application/json", []byte(body), byte(0))
		}
	}
	for i, body := range nasty {
		f.Add("POST", basePath+[]string{"/agents/update", "/agents/tasks/create", "/authenticate", "/agents/deployments/conversation/read"}[i%4], "", "", "application/json", []byte(body), byte(i))
	}
	for _, path := range []string{"", "*", "/", "//", "/api/v2", "/api/v2/", "/api//v2//agents//read", "/api/v2/agents/read/..", "/_mock/health", "/openapi.yaml", "\x00", "/api/v2/\xff", strings.Repeat("/a", 300)} {
		f.Add("GET", path, "Basic MTox", "1", "", []byte(nil), byte(8))
	}
	f.Fuzz(func(t *testing.T, method, path, authorization, timestamp, contentType string, body []byte, mode byte) {
		contract := []Contract{ContractStrict, ContractObserve, ContractOff, ContractStrict}[mode&3]
		auth := AuthStrict
		if mode&4 != 0 {
			auth = AuthAny
		}
		server, _ := hostileServer(t, WithContract(contract), WithAuth(auth))
		r := &http.Request{
			Method: method, URL: &url.URL{Path: path}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "127.0.0.1", RemoteAddr: "127.0.0.1:1",
			Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}
		if mode&8 == 0 {
			r.Header = http.Header(signedHeader("1", DefaultToken, strconv.FormatInt(hostileTime.Unix(), 10)))
		} else {
			r.Header.Set("Authorization", authorization)
			r.Header.Set("Timestamp", timestamp)
		}
		if mode&16 != 0 {
			r.ContentLength = -1
		}
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r.WithContext(t.Context()))

		if w.Code == http.StatusInternalServerError {
			t.Fatalf("a bug of the mock's own: %s", w.Body)
		}
		if !slices.Contains([]int{200, 400, 401, 403, 404, 405, 413}, w.Code) {
			t.Errorf("status %d", w.Code)
		}
		below := strings.HasPrefix(tidy(path), basePath+"/")
		if !below && w.Code == http.StatusOK {
			return // one of the mock's own endpoints
		}
		var envelope struct {
			Success *bool
			Errors  []string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &envelope); err != nil || envelope.Success == nil || envelope.Errors == nil {
			t.Fatalf("status %d, and no envelope: %q", w.Code, w.Body)
		}
		if *envelope.Success != (len(envelope.Errors) == 0) || *envelope.Success && w.Code != http.StatusOK {
			t.Errorf("status %d, success %t, and the errors are %q", w.Code, *envelope.Success, envelope.Errors)
		}
		for _, sentence := range envelope.Errors {
			if !utf8.ValidString(sentence) || len(sentence) > 2000 {
				t.Errorf("not fit to be read: %q", sentence)
			}
		}
		class := Class(w.Header().Get(violationHeader))
		if below && (class != "" && !slices.Contains(Classes, class) || !*envelope.Success && class == "") {
			t.Errorf("refused as %q: %s", class, w.Body)
		}
		if contract == ContractStrict && *envelope.Success && class != "" {
			t.Errorf("served although it is %q", class)
		}
		if op := table.paths[strings.TrimPrefix(tidy(path), basePath)][method]; below && op != nil && w.Code != 400 && w.Code != 413 {
			if err := op.checkAnswer(w.Code, w.Body.Bytes()); err != nil {
				t.Errorf("the answer breaks the contract: %v", err)
			}
		}
	})
}

// What readBody lets through is what encoding/json reads, and what it does not is not JSON to anybody.
func FuzzReadBody(f *testing.F) {
	table, err := loadContract()
	if err != nil {
		f.Fatal(err)
	}
	for _, op := range table.byID {
		if op.request != nil {
			f.Add([]byte(encode(full(op.request))))
		}
	}
	for _, body := range nasty {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, violations := readBody(body)
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		var want any
		decodeErr := decoder.Decode(&want)
		classes := map[Class]bool{}
		for _, v := range violations {
			classes[v.Class] = true
			if !utf8.ValidString(v.Text) || !strings.HasSuffix(v.Text, ".") || len(v.Text) > 500 {
				t.Errorf("not a sentence: %q", v.Text)
			}
		}
		if refused := decodeErr != nil || !utf8.Valid(body); refused != classes[BodyNotJSON] {
			t.Fatalf("encoding/json says %v, valid UTF-8 is %t, and the violations are %+v", decodeErr, utf8.Valid(body), violations)
		}
		if classes[BodyNotJSON] {
			if value != nil || len(violations) != 1 {
				t.Errorf("got %v with %+v", value, violations)
			}
			return
		}
		if !reflect.DeepEqual(value, want) {
			t.Fatalf("got %#v, want %#v", value, want)
		}
		if valid := json.Valid(body); valid == classes[TrailingData] {
			t.Errorf("valid JSON is %t, and the violations are %+v", valid, violations)
		}
		if len(classes) == 0 {
			// Nothing was lost on the way, so it comes out as it went in.
			text, err := json.Marshal(value)
			var again any
			if err == nil {
				again, violations = readBody(text)
			}
			if err != nil || len(violations) > 0 || !reflect.DeepEqual(again, value) {
				t.Errorf("%s came back as %#v: %v %+v", text, again, err, violations)
			}
		}
		for id, op := range table.byID {
			if op.request == nil {
				continue
			}
			found := checkValue(op.request, value)
			for _, v := range found {
				if v.Text == "" || !slices.Contains(Classes, v.Class) || v.Pointer != "" && !strings.HasPrefix(v.Pointer, "/") {
					t.Errorf("%s: %+v", id, v)
				}
			}
			if !reflect.DeepEqual(value, want) {
				t.Fatalf("%s: checking changed it to %#v", id, value)
			}
			mended, err := decodeNumbers(body)
			if err == nil && mend(op.request, mended, found) {
				// What is left breaks the contract in no way that keeps it from being read.
				for _, v := range checkValue(op.request, mended) {
					if v.Class == MissingField || v.Class == Type && !strings.Contains(v.Pointer[1:], "/") {
						t.Errorf("%s: mended, it has %+v", id, v)
					}
				}
			}
		}
	})
}

func decodeNumbers(body []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}
