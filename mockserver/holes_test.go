package mockserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/gen/stub"
	"github.com/qcagents/qcagents/mockserver"
)

// bareHandlers accept everything. Mounted as the generator's documentation says, they show what the generated strict server
// lets through by itself.
type bareHandlers struct {
	stub.StrictServerInterface // the operations that no test here calls

	bodies []any // what authenticate was handed
}

func (b *bareHandlers) Authenticate(_ context.Context, req stub.AuthenticateRequestObject) (stub.AuthenticateResponseObject, error) {
	b.bodies = append(b.bodies, req.Body)
	return stub.Authenticate200JSONResponse{RestAnswerJSONResponse: stub.RestAnswerJSONResponse{Success: true, Errors: []string{}}}, nil
}

func (*bareHandlers) CreateTask(_ context.Context, req stub.CreateTaskRequestObject) (stub.CreateTaskResponseObject, error) {
	return stub.CreateTask200JSONResponse{AgentTaskAnswerJSONResponse: stub.AgentTaskAnswerJSONResponse{
		Success: true, Errors: []string{}, Task: &gen.AgentTask{ID: 1, Name: req.Body.Name},
	}}, nil
}

func (*bareHandlers) UpdateAgent(context.Context, stub.UpdateAgentRequestObject) (stub.UpdateAgentResponseObject, error) {
	return stub.UpdateAgent200JSONResponse{RestAnswerJSONResponse: stub.RestAnswerJSONResponse{Success: true, Errors: []string{}}}, nil
}

func (*bareHandlers) ReadAgent(context.Context, stub.ReadAgentRequestObject) (stub.ReadAgentResponseObject, error) {
	panic("bare")
}

func (*bareHandlers) ListAgents(context.Context, stub.ListAgentsRequestObject) (stub.ListAgentsResponseObject, error) {
	return stub.ListAgents200JSONResponse{}, nil
}

func bareServer() (*echo.Echo, *bareHandlers) {
	e, handlers := echo.New(), &bareHandlers{}
	stub.RegisterHandlersWithBaseURL(e, stub.NewStrictHandler(handlers, nil), "/api/v2")
	return e, handlers
}

func fromBare(t testing.TB, e *echo.Echo, r *http.Request) reply {
	t.Helper()
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, r)
	return readReply(t)(recorder.Result(), nil)
}

const wholeTask = `{"organizationId":"` + organization + `","agentId":47,"name":"n","prompt":"p","projectPreference":"project-for-task"}`

// Each of these passes for a success on the bare strict server. The mock refuses it and says why.
func TestWhatTheBareServerAcceptsIsRefused(t *testing.T) {
	t.Parallel()
	const createTask, updateAgent = "/agents/tasks/create", "/agents/update"
	changed := func(old, replacement string) string { return strings.Replace(wholeTask, old, replacement, 1) }
	for name, hole := range map[string]struct {
		path, body string
		edit       edit
		class      mockserver.Class
		says       string
	}{
		"unknown member":              {createTask, changed(`"agentId"`, `"color":"red","agentId"`), nil, mockserver.UnknownField, `"color"`},
		"misspelled optional member":  {updateAgent, `{"agentId":47,"descriptio":"d"}`, nil, mockserver.UnknownField, `did you mean "description"?`},
		"unknown member inside":       {updateAgent, `{"agentId":47,"token":{"color":"red"}}`, nil, mockserver.UnknownField, `"color"`},
		"unknown member in a list":    {updateAgent, `{"agentId":47,"subAgents":[{"agentId":1,"count":2}]}`, nil, mockserver.UnknownField, `"count"`},
		"missing member":              {createTask, changed(`"prompt":"p",`, ``), nil, mockserver.MissingField, `"prompt"`},
		"no member at all":            {createTask, `{}`, nil, mockserver.MissingField, `"organizationId"`},
		"missing member in a list":    {updateAgent, `{"agentId":47,"chainedAgents":[{"agentId":1}]}`, nil, mockserver.MissingField, `"chainedAgents/0/step"`},
		"wrong case":                  {createTask, changed(`"name"`, `"NAME"`), nil, mockserver.WrongCase, `write "name"`},
		"wrong case inside":           {updateAgent, `{"agentId":47,"token":{"LLMProviderApi":"p"}}`, nil, mockserver.WrongCase, `write "llmProviderApi"`},
		"duplicate member":            {createTask, changed(`"name":"n"`, `"name":"n","name":"m"`), nil, mockserver.DuplicateKey, `"name"`},
		"duplicate member, same":      {createTask, changed(`"name":"n"`, `"name":"n","name":"n"`), nil, mockserver.DuplicateKey, `"name"`},
		"duplicate member inside":     {updateAgent, `{"agentId":47,"token":{"llmProviderApi":"p","llmProviderApi":"q"}}`, nil, mockserver.DuplicateKey, `"llmProviderApi"`},
		"duplicate member in a list":  {updateAgent, `{"agentId":47,"subAgents":[{"agentId":1},{"agentId":1,"agentId":2}]}`, nil, mockserver.DuplicateKey, `"agentId"`},
		"duplicate by escapes":        {createTask, changed(`"name":"n"`, `"name":"n","n\u0061me":"m"`), nil, mockserver.DuplicateKey, `"name"`},
		"duplicate by escapes inside": {updateAgent, `{"agentId":47,"token":{"\u006clmProviderApi":"p","llmProviderApi":"q"}}`, nil, mockserver.DuplicateKey, `"llmProviderApi"`},
		"duplicate of another type":   {updateAgent, `{"agentId":47,"public":true,"public":false}`, nil, mockserver.DuplicateKey, `"public"`},
		"junk after the value":        {createTask, wholeTask + `junk`, nil, mockserver.TrailingData, "one value and nothing else"},
		"a brace after the value":     {createTask, wholeTask + `}`, nil, mockserver.TrailingData, "one value and nothing else"},
		"another value after it":      {createTask, wholeTask + ` {}`, nil, mockserver.TrailingData, "one value and nothing else"},
		"null":                        {createTask, `null`, nil, mockserver.Null, "the body is null; send an object."},
		"null member":                 {createTask, changed(`"name":"n"`, `"name":null`), nil, mockserver.Null, `"name" is null; send a string.`},
		"null optional member":        {updateAgent, `{"agentId":47,"public":null}`, nil, mockserver.Null, `"public" is null; send a boolean, or leave it out.`},
		"null list":                   {updateAgent, `{"agentId":47,"tools":null}`, nil, mockserver.Null, `"tools" is null; send an array, or leave it out.`},
		"null in a list":              {updateAgent, `{"agentId":47,"tools":[null]}`, nil, mockserver.Null, `"tools/0" is null; send a string, or leave it out.`},
		"null member inside":          {updateAgent, `{"agentId":47,"subAgents":[{"agentId":null}]}`, nil, mockserver.Null, `"subAgents/0/agentId" is null; send a whole number.`},
		"null optional inside":        {updateAgent, `{"agentId":47,"token":{"llmProviderApi":null}}`, nil, mockserver.Null, `"token/llmProviderApi" is null; send a string, or leave it out.`},
		"no body":                     {createTask, ``, nil, mockserver.BodyNotJSON, "the body is empty"},
		"form": {
			createTask, "organizationId=" + organization + "&agentId=47&name=n&prompt=p&projectPreference=project-for-task",
			with("Content-Type", "application/x-www-form-urlencoded"), mockserver.ContentType, "application/json",
		},
		"value that is not allowed": {createTask, changed("project-for-task", "no-project"), nil, mockserver.Enum, "project-each-task-deployment"},
		"empty text":                {createTask, changed(`"name":"n"`, `"name":""`), nil, mockserver.Bound, `"name"`},
		"number out of bounds":      {updateAgent, `{"agentId":47,"maxTurns":-1}`, nil, mockserver.Bound, `"maxTurns"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if hole.edit == nil {
				hole.edit = func(*http.Request) {}
			}
			m := newMock(t)
			bare, _ := bareServer()
			accepted := fromBare(t, bare, m.request(t, http.MethodPost, hole.path, hole.body, hole.edit))
			if accepted.status != http.StatusOK || accepted.Success == nil || !*accepted.Success {
				t.Errorf("the bare server refuses it too, so this proves nothing: %s", accepted)
			}
			m.post(t, hole.path, hole.body, hole.edit).mustRefuse(t, http.StatusOK, hole.class).mustSay(t, "Invalid argument: ", hole.says)
			if tasks := m.Default().Journal(); len(tasks) != 1 || len(tasks[0].Violations) == 0 || tasks[0].Violations[0].Class != hole.class {
				t.Errorf("the journal says %+v", tasks)
			}
		})
	}
}

// The bare server refuses these in echo's own words, which no consumer of QuantConnect understands.
func TestWhatTheFrameworkWouldAnswerWearsTheEnvelope(t *testing.T) {
	t.Parallel()
	for name, hole := range map[string]struct {
		method, path, body string
		edit               edit
		status             int
		class              mockserver.Class
	}{
		"unknown path":      {http.MethodPost, "/agents/reed", `{}`, nil, http.StatusNotFound, mockserver.UnknownOperation},
		"unknown path, GET": {http.MethodGet, "/agents/reed", ``, nil, http.StatusNotFound, mockserver.UnknownOperation},
		"method":            {http.MethodGet, "/agents/read", ``, nil, http.StatusMethodNotAllowed, mockserver.Method},
		"media type":        {http.MethodPost, "/agents/tasks/create", wholeTask, with("Content-Type", "text/plain"), http.StatusOK, mockserver.ContentType},
		"no media type":     {http.MethodPost, "/agents/tasks/create", wholeTask, with("Content-Type"), http.StatusOK, mockserver.ContentType},
		"type":              {http.MethodPost, "/agents/tasks/create", `{"agentId":"47"}`, nil, http.StatusOK, mockserver.MissingField},
		"syntax":            {http.MethodPost, "/agents/tasks/create", `{"agentId":`, nil, http.StatusOK, mockserver.BodyNotJSON},
		"list for object":   {http.MethodPost, "/agents/tasks/create", `[]`, nil, http.StatusOK, mockserver.Type},
		"chunked, no body":  {http.MethodPost, "/agents/tasks/create", ``, chunked, http.StatusOK, mockserver.BodyNotJSON},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if hole.edit == nil {
				hole.edit = func(*http.Request) {}
			}
			m := newMock(t)
			bare, _ := bareServer()
			foreign := fromBare(t, bare, m.request(t, hole.method, hole.path, hole.body, hole.edit))
			if foreign.Success != nil || len(foreign.Errors) > 0 {
				t.Errorf("the bare server wears the envelope too, so this proves nothing: %s", foreign)
			}
			m.send(t, m.request(t, hole.method, hole.path, hole.body, hole.edit)).mustRefuse(t, hole.status, hole.class)
		})
	}
}

func TestAPanicBecomesA500InTheEnvelope(t *testing.T) {
	bare, _ := bareServer()
	m := newMock(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the bare server recovers by itself, so this proves nothing")
			}
		}()
		fromBare(t, bare, m.request(t, http.MethodPost, "/agents/read", `{"agentId":47}`))
	}()
	m.Route(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bare") }))
	got := m.post(t, "/agents/read", `{"agentId":47}`).mustRefuse(t, http.StatusInternalServerError, "")
	got.mustSay(t, "bug in the mock", "panicked")
	if bytes.Contains(got.body, []byte("bare")) {
		t.Errorf("the answer shows the panic's value: %s", got)
	}
	// The server goes on.
	m.post(t, "/agents/reed", `{}`).mustRefuse(t, http.StatusNotFound, mockserver.UnknownOperation)
}

func TestAnAnswerThatBreaksTheContractBecomesA500ThatSaysSo(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]struct {
		status int
		body   string
	}{
		"null list":             {http.StatusOK, `{"success":true,"errors":null}`},
		"null agents":           {http.StatusOK, `{"success":true,"errors":[],"agents":null}`},
		"wrong type":            {http.StatusOK, `{"success":"yes","errors":[]}`},
		"missing member":        {http.StatusOK, `{"success":true,"errors":[],"agents":[{"id":1}]}`},
		"fraction":              {http.StatusOK, `{"success":true,"errors":[],"agents":[{"id":1.5,"name":"n","model":"m"}]}`},
		"status":                {http.StatusTeapot, `{"success":true,"errors":[]}`},
		"not JSON":              {http.StatusOK, `<html>`},
		"two values":            {http.StatusOK, `{"success":true,"errors":[]}{}`},
		"empty":                 {http.StatusOK, ``},
		"a list for the object": {http.StatusOK, `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			m := newMock(t, mockserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			m.Route(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(broken.status)
				_, _ = io.WriteString(w, broken.body)
			}))
			m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`).
				mustRefuse(t, http.StatusInternalServerError, "").mustSay(t, "bug in the mock", "listAgents breaks the contract")
			if !strings.Contains(log.String(), "listAgents") {
				t.Errorf("the log does not tell: %s", &log)
			}
		})
	}
}

// The bare server leaves a nil slice out or writes null, and programs iterate over the list without looking.
func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	withTask(s)
	bare, _ := bareServer()
	if body := fromBare(t, bare, s.mock.request(t, http.MethodPost, "/agents/list", `{}`)).body; bytes.Contains(body, []byte(`"agents":[]`)) {
		t.Errorf("the bare server writes the empty list by itself, so this proves nothing: %s", body)
	}
	for member, request := range map[string]struct{ path, body string }{
		"agents":      {"/agents/list", `{"organizationId":"` + organization + `"}`},
		"deployments": {"/agents/deployments/list", `{"taskId":1001}`},
	} {
		answer := s.mock.post(t, request.path, request.body).mustSucceed(t)
		if !bytes.Contains(answer.body, []byte(`"`+member+`":[]`)) || !bytes.Contains(answer.body, []byte(`"errors":[]`)) {
			t.Errorf("%s: got %s", request.path, answer)
		}
	}
	if answer := newMock(t).post(t, "/agents/tasks/list", `{"organizationId":"`+organization+`"}`).mustSucceed(t); !bytes.Contains(answer.body, []byte(`"tasks":[]`)) {
		t.Errorf("got %s", answer)
	}
	// What was sent as an empty list comes back as one.
	created := s.mock.post(t, "/agents/create", `{"organizationId":"`+organization+`","name":"n","tools":[],"subAgents":[],"chainedAgents":[]}`).mustSucceed(t)
	for _, member := range []string{"tools", "subAgents", "chainedAgents"} {
		if !bytes.Contains(created.body, []byte(`"`+member+`":[]`)) {
			t.Errorf("%s: got %s", member, created)
		}
	}
}

func TestAnEmptyOptionalBodyIsTheSameChunkedOrNot(t *testing.T) {
	m := newMock(t)
	bare, handlers := bareServer()
	fromBare(t, bare, m.request(t, http.MethodPost, "/authenticate", ``))
	fromBare(t, bare, m.request(t, http.MethodPost, "/authenticate", ``, chunked))
	zero, absent := handlers.bodies[0].(*gen.AuthenticateRequest), handlers.bodies[1].(*gen.AuthenticateRequest)
	if (zero == nil) == (absent == nil) {
		t.Error("the bare server treats them alike, so this proves nothing")
	}
	withoutType := with("Content-Type")
	for _, edits := range [][]edit{{}, {chunked}, {withoutType}, {withoutType, chunked}} {
		m.post(t, "/authenticate", ``, edits...).mustSucceed(t)
		m.post(t, "/agents/list", ``, edits...).mustRefuse(t, http.StatusOK, mockserver.BodyNotJSON).mustSay(t, "the body is empty")
	}
	m.post(t, "/authenticate", `{}`, chunked).mustSucceed(t)
	m.post(t, "/agents/read", `{"agentId":47}`, chunked).mustSucceed(t)
}

// A secret that was sent is in no answer, no log and no journal, however the request fails.
func TestSecretsAreRepeatedNowhere(t *testing.T) {
	t.Parallel()
	const key = "not-a-real-key-0123"
	for name, body := range map[string]string{
		"success":       `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":"` + key + `"}}`,
		"other mistake": `{"organizationId":"` + organization + `","nam":"n","token":{"llmApiTokenUser":"` + key + `"}}`,
		"list":          `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":["` + key + `"]}}`,
		"object":        `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":{"key":"` + key + `"}}}`,
		"token itself":  `{"organizationId":"` + organization + `","name":"n","token":"` + key + `"}`,
		"wrong case":    `{"organizationId":"` + organization + `","name":"n","token":{"LLMAPITOKENUSER":"` + key + `"}}`,
		"escaped":       `{"organizationId":"` + organization + `","name":"n","\u0074oken":{"llmApi\u0054okenUser":"` + key + `"}}`,
		"duplicate":     `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":"` + key + `","llmApiTokenUser":"` + key + `"}}`,
		"cut off":       `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":"` + key + `"`,
		"trailing":      `{"organizationId":"` + organization + `","name":"n","token":{"llmApiTokenUser":"` + key + `"}} x`,
		"null":          `{"organizationId":null,"name":"n","token":{"llmApiTokenUser":"` + key + `"}}`,
		"wrong place":   `{"organizationId":"` + organization + `","name":"n","llmApiTokenUser":"` + key + `"}`,
	} {
		for _, contract := range []mockserver.Contract{mockserver.ContractStrict, mockserver.ContractObserve, mockserver.ContractOff} {
			t.Run(name+"/"+string(contract), func(t *testing.T) {
				t.Parallel()
				var log bytes.Buffer
				m := newMock(t, mockserver.WithContract(contract), mockserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				r := m.request(t, http.MethodPost, "/agents/create", body)
				signature := strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
				answer := m.send(t, r)
				forged := m.post(t, "/agents/create", body, with("Authorization", "Basic "+signature[:len(signature)-8]+"AAAAAAA="))
				if forged.status != http.StatusUnauthorized {
					t.Errorf("got %s", forged)
				}
				texts := []string{log.String(), string(answer.body), string(forged.body)}
				for _, entry := range slices.Concat(m.Journal(), m.Default().Journal()) {
					for _, value := range entry.Request.Header {
						texts = append(texts, value)
					}
					for _, v := range entry.Violations {
						texts = append(texts, v.Text, v.Pointer)
					}
					texts = append(texts, entry.Request.Path, entry.Request.Body, entry.Auth)
					if entry.Response != nil {
						texts = append(texts, entry.Response.Body)
					}
				}
				all := strings.Join(texts, "\n")
				for what, secret := range map[string]string{"provider's key": key, "signature": signature[:20], "token": mockserver.DefaultToken} {
					if strings.Contains(all, secret) {
						t.Errorf("the %s shows in %s", what, all)
					}
				}
			})
		}
	}
}

// Names match by exact case even where the contract is not enforced; encoding/json by itself would take either.
func TestAMemberOfTheWrongCaseNeverCounts(t *testing.T) {
	t.Parallel()
	for _, contract := range []mockserver.Contract{mockserver.ContractObserve, mockserver.ContractOff} {
		m := newMock(t, mockserver.WithContract(contract))
		m.post(t, "/agents/create", `{"organizationId":"`+organization+`","name":"right","NAME":"wrong","Model":"wrong"}`)
		agents := m.post(t, "/agents/list", `{"organizationId":"`+organization+`"}`).mustSucceed(t)
		if !bytes.Contains(agents.body, []byte(`"name":"right"`)) || bytes.Contains(agents.body, []byte("wrong")) {
			t.Errorf("%s: got %s", contract, agents)
		}
	}
}

func TestABodyThatBreaksOffIsRefusedAndDoesNothing(t *testing.T) {
	m := newMock(t)
	r := m.request(t, http.MethodPost, "/agents/tasks/create", ``)
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(wholeTask), breaks{})), int64(len(wholeTask)+10)
	m.send(t, r).mustRefuse(t, http.StatusBadRequest, mockserver.BodyNotJSON)
	if tasks := m.post(t, "/agents/tasks/list", `{"organizationId":"`+organization+`"}`).mustSucceed(t); !bytes.Contains(tasks.body, []byte(`"tasks":[]`)) {
		t.Errorf("got %s", tasks)
	}
}

type breaks struct{}

func (breaks) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
