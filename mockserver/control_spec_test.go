package mockserver_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/qcagents/qcagents/client"
	"github.com/qcagents/qcagents/mockserver"
)

func controlSpec(t *testing.T) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(mockserver.ControlSpec())
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return spec
}

// prepared is a mock of which every path of the document names something that is there.
func prepared(t *testing.T) *remote {
	t.Helper()
	m := driven(t)
	w := m.call("POST /worlds", `{"userId":7,"token":"seven","organizations":["`+mockserver.DefaultOrganizationID+`"]}`)
	for _, c := range []*client.Client{m.consumer(w), m.defaultConsumer()} {
		deployed(t, c)
		_, _ = c.Agents.Read(t.Context(), 9999) // a refusal, for the journal
	}
	for _, path := range []string{"/worlds/7", "/worlds/default"} {
		m.call("POST "+path+"/snapshots", "")
		m.call("POST "+path+"/faults", `{"operation":"authenticate","effect":{"drop":true}}`)
	}
	_ = m.defaultConsumer().Authenticate(t.Context()) // dropped: an entry without an answer
	stranger := request(t, "GET /x", "")
	stranger.URL.Path = "/api/v2/nowhere"
	m.send(stranger)
	return m
}

// examples are the request bodies of an operation; one that takes none has an empty one.
func examples(t *testing.T, o *openapi3.Operation) map[string][]string {
	t.Helper()
	if o.RequestBody == nil {
		return map[string][]string{"": {""}}
	}
	bodies := map[string][]string{}
	if !o.RequestBody.Value.Required {
		bodies[""] = []string{""}
	}
	for name, media := range o.RequestBody.Value.Content {
		if len(media.Examples) == 0 {
			t.Errorf("%s has no example of a body as %s", o.OperationID, name)
		}
		for _, example := range media.Examples {
			body, isText := example.Value.Value.(string)
			if !isText {
				raw, err := json.Marshal(example.Value.Value)
				if err != nil {
					t.Fatal(err)
				}
				body = string(raw)
			}
			bodies[name] = append(bodies[name], body)
		}
	}
	return bodies
}

// Every route that the document describes answers each of its examples as described.
func TestControlAnswersAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	routes := 0
	for path, item := range controlSpec(t).Paths.Map() {
		for method, o := range item.Operations() {
			routes++
			t.Run(o.OperationID, func(t *testing.T) {
				t.Parallel()
				worlds := []string{"7", "default"}
				if o.OperationID == "deleteWorld" {
					worlds = worlds[:1] // the default world stays
				}
				for media, bodies := range examples(t, o) {
					for _, body := range bodies {
						for _, world := range worlds {
							m := prepared(t)
							at := strings.NewReplacer("{userId}", world, "{snapshot}", "s1").Replace(strings.TrimPrefix(path, "/_mock"))
							r := request(t, method+" "+at, body)
							if media != "" {
								r.Header.Set("Content-Type", media)
							}
							holdToDocument(t, o, m.send(r))
						}
					}
				}
				for name, response := range o.Responses.Map() {
					if strings.HasPrefix(name, "2") {
						for media, content := range response.Value.Content {
							if media == "application/json" && content.Example != nil {
								if err := content.Schema.Value.VisitJSON(content.Example, openapi3.MultiErrors()); err != nil {
									t.Errorf("the example of an answer: %v", err)
								}
							}
						}
					}
				}
			})
		}
	}
	if routes < 20 {
		t.Errorf("the document describes %d routes", routes)
	}
}

func holdToDocument(t *testing.T, o *openapi3.Operation, a answered) {
	t.Helper()
	response := o.Responses.Status(a.status)
	if response == nil || a.status >= 300 {
		t.Errorf("answer is %d %s", a.status, a.raw)
		return
	}
	media := response.Value.Content.Get(a.header.Get("Content-Type"))
	if media == nil {
		t.Errorf("answer is %q", a.header.Get("Content-Type"))
		return
	}
	for id, document := range map[string][]byte{"controlSpec": mockserver.ControlSpec(), "scenarioSchema": mockserver.ScenarioSchema()} {
		if id == o.OperationID {
			if a.raw != string(document) {
				t.Error("the document that is served is another one")
			}
			return
		}
	}
	var value any
	if err := json.Unmarshal([]byte(a.raw), &value); err != nil {
		t.Fatal(err)
	}
	if err := media.Schema.Value.VisitJSON(value, openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %v", a.raw, err)
	}
}

// Every refusal that can be had of a route is described too.
func TestControlRefusesAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	for path, item := range controlSpec(t).Paths.Map() {
		for method, o := range item.Operations() {
			m := prepared(t)
			named := strings.TrimPrefix(path, "/_mock")
			at := strings.NewReplacer("{userId}", "default", "{snapshot}", "s1").Replace(named)
			requests := []*http.Request{request(t, "PATCH "+at, ""), request(t, method+" "+at, `{"surely unknown":1}`), request(t, method+" "+at, `{"`)}
			if strings.Contains(path, "{userId}") {
				requests = append(requests, request(t, method+" "+strings.ReplaceAll(at, "default", "404"), `{}`))
			}
			foreign := request(t, method+" "+at, "")
			foreign.Header.Set("Origin", "null")
			for _, r := range append(requests, foreign) {
				a := m.send(r)
				response := o.Responses.Value("4XX")
				if a.status < 400 || a.status > 499 || response == nil {
					t.Errorf("%s %s: %d %s", r.Method, r.URL.Path, a.status, a.raw)
					continue
				}
				var value any
				if err := json.Unmarshal([]byte(a.raw), &value); err != nil {
					t.Fatal(err)
				}
				if err := response.Value.Content.Get("application/json").Schema.Value.VisitJSON(value); err != nil {
					t.Errorf("%s: %v", a.raw, err)
				}
			}
		}
	}
}

// Newcomers learn by example, so the README has one of every verb; it is run by a test of its own.
func TestREADMEHasAnExampleOfEveryVerb(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range controlSpec(t).Paths.Map() {
		for method, o := range item.Operations() {
			pattern := regexp.QuoteMeta(strings.TrimPrefix(path, "/_mock"))
			pattern = strings.NewReplacer(`\{userId\}`, `(default|\d+)`, `\{snapshot\}`, `s1`).Replace(pattern)
			shown := regexp.MustCompile(`(?m)^\$ .*mock.sh ` + method + ` '?` + pattern + `([ ?'\n]|$)`)
			if !shown.Match(readme) && !strings.Contains(string(readme), "`"+path+"`") {
				t.Errorf("README.md has no example of %s: %s %s", o.OperationID, method, path)
			}
		}
	}
}

// A route that the server has and the document lacks cannot be reached, since the server finds its routes there; this
// keeps such dead verbs out.
func TestControlDocumentHasEveryVerb(t *testing.T) {
	t.Parallel()
	var described []string
	for _, item := range controlSpec(t).Paths.Map() {
		for _, o := range item.Operations() {
			described = append(described, o.OperationID)
		}
	}
	slices.Sort(described)
	if verbs := mockserver.ControlVerbs(); !slices.Equal(described, verbs) {
		t.Errorf("the document describes %q, the server has %q", described, verbs)
	}
}
