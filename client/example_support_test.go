package client_test

import (
	"context"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qcagents/qcagents/client"
)

// ctx is the context of the examples; a program has its own.
var ctx = context.Background()

// standIn makes a client whose service answers at once and the same to everybody, so that the examples run without an
// account. A program begins with client.New instead.
func standIn(opts ...client.Option) *client.Client {
	var reads atomic.Int64
	service := transport(func(req *http.Request) (*http.Response, error) {
		const task = `{"success":true,"errors":[],"task":{"id":1001,"name":"Buy and hold SPY"}}`
		const agent = `{"success":true,"errors":[],"agent":{"id":105,"name":"Calm Amber Heron","model":"claude-opus-4-7"}}`
		body := `{"success":true,"errors":[]}`
		switch strings.TrimPrefix(req.URL.Path, "/api/v2") {
		case "/agents/create", "/agents/read":
			body = agent
		case "/agents/list":
			body = `{"success":true,"errors":[],"agents":[{"id":47,"name":"Quiet Green Otter","model":"claude-opus-4-7"},
				{"id":105,"name":"Calm Amber Heron","model":"claude-opus-4-7"}]}`
		case "/agents/tasks/create", "/agents/tasks/read":
			body = task
		case "/agents/tasks/list":
			body = `{"success":true,"errors":[],"tasks":[{"id":1001,"name":"Buy and hold SPY"}]}`
		case "/agents/deployments/create":
			body = `{"success":true,"errors":[],"deployment":{"deploymentId":"` + testDeployment + `","status":"InQueue"}}`
		case "/agents/deployments/read":
			n := min(reads.Add(1), 3)
			status := []string{"InQueue", "Running", "Completed"}[n-1]
			body = `{"success":true,"errors":[],"deployment":{"deploymentId":"` + testDeployment + `","status":"` + status + `"}}`
		case "/agents/deployments/list":
			body = `{"success":true,"errors":[],"deployments":[{"deploymentId":"` + testDeployment + `","status":"Completed"}]}`
		case "/agents/deployments/conversation/read":
			body = `{"success":true,"errors":[],"conversation":{"inputTokens":2310,"outputTokens":184,"messages":[
				{"id":"msg-1","role":"user","parts":[{"type":"text","text":"Build a buy and hold strategy for SPY"}]},
				{"id":"msg-2","role":"assistant","parts":[
					{"type":"dynamic-tool","toolName":"create_file","toolCallId":"call-1","state":"output-available",
						"input":{"filePath":"main.py","content":"from AlgorithmImports import *"},
						"output":{"structuredContent":{"success":true,"errors":[],"warnings":["no benchmark"]}}},
					{"type":"text","text":"The strategy holds SPY from the first day on."}]}]}}`
		}
		return respond(req, http.StatusOK, body), nil
	})
	c, err := client.New(append([]client.Option{
		client.WithCredentials(client.Credentials{UserID: 1, Token: "mock-api-token"}),
		client.WithBaseURL("http://127.0.0.1:5612/api/v2"),
		client.WithHTTPClient(&http.Client{Transport: service}),
	}, opts...)...)
	if err != nil {
		panic(err)
	}
	return c
}

// refusing makes a client whose service says no.
func refusing() *client.Client {
	return standIn(client.WithHTTPClient(&http.Client{Transport: always(`{"success":false,"errors":["name already used"]}`)}))
}

// Every exported function and method has an example, and every example is run and compared.
func TestExamplesAreComplete(t *testing.T) {
	files := token.NewFileSet()
	var own, tests []*ast.File
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %q, %v", names, err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, file)
		} else {
			own = append(own, file)
		}
	}
	shown := make(map[string]bool)
	for _, example := range doc.Examples(tests...) {
		shown[example.Name] = true
		if example.Output == "" {
			t.Errorf("Example%s is not run: it states no output", example.Name)
		}
	}
	for _, file := range own {
		for _, decl := range file.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || !function.Name.IsExported() {
				continue
			}
			name := function.Name.Name
			if function.Recv != nil {
				receiver := function.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				kind, ok := receiver.(*ast.Ident)
				if !ok || !kind.IsExported() {
					continue
				}
				name = kind.Name + "_" + name
			}
			if !shown[name] {
				t.Errorf("there is no Example%s", name)
			}
		}
	}
}
