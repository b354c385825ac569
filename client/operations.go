package client

import (
	"net/http"
	"strings"
)

// effect says what a request does to the service, which decides whether it may be sent twice. The verb cannot say it:
// nearly every request of this API is a POST.
type effect int

const (
	// reads changes nothing.
	reads effect = iota
	// sets leaves the same state however often it is sent.
	sets
	// acts does something each time: starts a run, says something, interrupts, removes.
	acts
)

// An operation is one endpoint of the contract, under its operationId.
type operation struct {
	id     string
	method string
	path   string
	phrase string // begins the text of an error
	effect effect
}

var (
	opAuthenticate    = operation{"authenticate", http.MethodPost, "/authenticate", "authenticate", reads}
	opAuthenticateGet = operation{"authenticateGet", http.MethodGet, "/authenticate", "authenticate", reads}

	opCreateAgent = operation{"createAgent", http.MethodPost, "/agents/create", "create agent", acts}
	opReadAgent   = operation{"readAgent", http.MethodPost, "/agents/read", "read agent", reads}
	opUpdateAgent = operation{"updateAgent", http.MethodPost, "/agents/update", "update agent", sets}
	opDeleteAgent = operation{"deleteAgent", http.MethodPost, "/agents/delete", "delete agent", acts}
	opListAgents  = operation{"listAgents", http.MethodPost, "/agents/list", "list agents", reads}

	opCreateTask = operation{"createTask", http.MethodPost, "/agents/tasks/create", "create task", acts}
	opReadTask   = operation{"readTask", http.MethodPost, "/agents/tasks/read", "read task", reads}
	opUpdateTask = operation{"updateTask", http.MethodPost, "/agents/tasks/update", "update task", sets}
	opDeleteTask = operation{"deleteTask", http.MethodPost, "/agents/tasks/delete", "delete task", acts}
	opListTasks  = operation{"listTasks", http.MethodPost, "/agents/tasks/list", "list tasks", reads}

	opCreateDeployment = operation{"createDeployment", http.MethodPost, "/agents/deployments/create", "create deployment", acts}
	opReadDeployment   = operation{"readDeployment", http.MethodPost, "/agents/deployments/read", "read deployment", reads}
	opPromptDeployment = operation{"promptDeployment", http.MethodPost, "/agents/deployments/prompt", "prompt deployment", acts}
	opListDeployments  = operation{"listDeployments", http.MethodPost, "/agents/deployments/list", "list deployments", reads}
	opStopDeployment   = operation{"stopDeployment", http.MethodPost, "/agents/deployments/stop", "stop deployment", acts}
	opDeleteDeployment = operation{"deleteDeployment", http.MethodPost, "/agents/deployments/delete", "delete deployment", acts}

	opReadConversation = operation{
		"readConversation", http.MethodPost, "/agents/deployments/conversation/read", "read conversation", reads,
	}
)

// operations is every operation of the contract; a test holds it to openapi.yaml.
var operations = []operation{
	opAuthenticate, opAuthenticateGet,
	opCreateAgent, opReadAgent, opUpdateAgent, opDeleteAgent, opListAgents,
	opCreateTask, opReadTask, opUpdateTask, opDeleteTask, opListTasks,
	opCreateDeployment, opReadDeployment, opPromptDeployment, opListDeployments, opStopDeployment, opDeleteDeployment,
	opReadConversation,
}

// operationOf finds the operation of a request that was made elsewhere, by its path below basePath. One that is not in
// the contract is taken to act, which is the choice that sends nothing twice.
func operationOf(method, path, basePath string) operation {
	below := "/" + strings.TrimLeft(strings.TrimPrefix(path, strings.TrimRight(basePath, "/")), "/")
	for _, op := range operations {
		if op.method == method && op.path == below {
			return op
		}
	}
	return operation{id: below, method: method, path: below, phrase: method + " " + below, effect: acts}
}
