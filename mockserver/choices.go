package mockserver

// choices are what the mock decided where nobody states what the real service does. Each stands in the ledger for as long
// as its question is open.
func choices() []Choice {
	return []Choice{
		{
			ID:         "agent-47",
			Behavior:   "Agent 47 exists in every world, belongs to QuantConnect, may be read and given tasks by every organization, may not be changed, and is not listed.",
			Question:   "Is agent 47 a predefined agent, and do predefined agents appear in an organization's list?",
			Operations: []string{"createTask", "readAgent"},
		},
		{
			ID:         "agent-defaults",
			Behavior:   "An agent created without them has the model claude-opus-4-7, reasoning effort high, 100 turns and tool choice auto.",
			Question:   "What does the API fill in for members that are left out?",
			Operations: []string{"createAgent"},
		},
		{
			ID:       "agent-deleted",
			Behavior: "Deleting an agent keeps its tasks readable; deploying one of them is refused.",
			Question: "What becomes of the tasks of a deleted agent?",
			Classes:  []Class{StateConflict},
		},
		{
			ID:         "agent-summaries-ignored",
			Behavior:   "author, organization and node of a request are accepted and ignored.",
			Question:   "Does the service take any of them from a request?",
			Operations: []string{"createAgent", "updateAgent"},
		},
		{
			ID:       "auth-both-limits",
			Behavior: "A signature is accepted up to and including 7,200 seconds of age and 300 seconds ahead of the server's clock.",
			Question: "How far ahead may a timestamp be, and is the age limit inclusive?",
			Classes:  []Class{AuthStale, AuthFuture},
		},
		{
			ID:       "auth-texts",
			Behavior: "Refused credentials begin with the texts seen on live servers and go on with advice of the mock's own.",
			Question: "Which text belongs to which mistake, and does a missing header give its own?",
			Classes:  []Class{AuthMissing, AuthMalformed, AuthStale, AuthFuture, AuthHash, AuthUser},
		},
		{
			ID:       "callable-id",
			Behavior: "callableId is the toolCallId of a sub-agent's call in the transcript; any other, and one of a call that has not been made yet, is refused as unknown.",
			Question: "How does a client learn callable identifiers?",
		},
		{
			ID:       "capacity",
			Behavior: "A node takes deployments first come, first served, each at the moment when one before it ends, is stopped or deleted. A prompt to an ended deployment waits for room again; one that is at work keeps its room.",
			Question: "In which order do waiting deployments start, and does a follow-up prompt queue?",
		},
		{
			ID:       "date-format",
			Behavior: "Times are RFC 3339 in UTC, under the name created.",
			Question: "Which timestamps come, under which names and in which format?",
		},
		{
			ID:         "delete-running",
			Behavior:   "A deployment may be deleted in every state, running ones included.",
			Question:   "May a running deployment be deleted?",
			Operations: []string{"deleteDeployment"},
		},
		{
			ID:         "deployment-both-ids",
			Behavior:   "createDeployment answers with deployment.deploymentId as well as debug.id.",
			Question:   "Does debug still come?",
			Operations: []string{"createDeployment"},
		},
		{
			ID:       "key-masked",
			Behavior: "A provider's key is forgotten on arrival and comes back as eight asterisks.",
			Question: "Does an agent come back with its token, masked or not at all?",
		},
		{
			ID:         "list-keys",
			Behavior:   "Lists answer under agents, tasks and deployments, oldest first, whole objects, unpaged.",
			Question:   "Under which names do tasks and deployments come, in which order, and is there paging?",
			Operations: []string{"listTasks", "listDeployments"},
		},
		{
			ID:         "names-on-create",
			Behavior:   "A name is trimmed and its white space collapsed on create; an update keeps it as sent.",
			Question:   "How are task names normalized, and must they be unique?",
			Operations: []string{"createAgent", "createTask"},
		},
		{
			ID:       "not-found-text",
			Behavior: "An unknown identifier, one of another organization, and an organization that is not the caller's are refused alike, with status 200 and success false.",
			Question: "What does the service say to each of the three?",
			Classes:  []Class{NotFound},
		},
		{
			ID:       "one-envelope",
			Behavior: "Every refusal wears the envelope: 404 for an unknown path, 405 with Allow for a wrong method, 413 for a body over 1 MiB, 500 for the mock's own bug, 503 while it stops.",
			Question: "What do the real service's router and limits answer?",
			Classes:  []Class{UnknownOperation, Method, TooLarge},
		},
		{
			ID:         "partial-update",
			Behavior:   "An update changes the members that are sent and leaves the others.",
			Question:   "Are members that are left out kept?",
			Operations: []string{"updateAgent"},
		},
		{
			ID:         "pace",
			Behavior:   "A deployment is InQueue for about a second and Running for about two, then Completed. Real ones take minutes to hours.",
			Question:   "Which statuses does a real deployment pass through, spelt how?",
			Operations: []string{"readDeployment"},
		},
		{
			ID:       "project-numbers",
			Behavior: "project-for-task keeps one project for all deployments of a task; project-each-task-deployment makes one each time.",
			Question: "Under which member does the project come?",
		},
		{
			ID:         "prompt-after-end",
			Behavior:   "A prompt to an ended deployment sets it Running at once; one to a running deployment is taken up when the current work completes; one to a deployment that fails is never taken up.",
			Question:   "What does a prompt do in each state, and what does it answer?",
			Operations: []string{"promptDeployment"},
		},
		{
			ID:       "requests-closed",
			Behavior: "Under the strict contract a member that the contract does not know is refused; nulls too.",
			Question: "Are unknown members ignored or refused, and may optional ones be null?",
			Classes:  []Class{UnknownField, WrongCase, Null},
		},
		{
			ID:         "stop-after-end",
			Behavior:   "Stopping an ended deployment succeeds and changes nothing.",
			Question:   "What does stopping an ended deployment answer?",
			Operations: []string{"stopDeployment"},
		},
		{
			ID:         "task-deleted",
			Behavior:   "Deleting a task deletes its deployments, running ones included.",
			Question:   "What becomes of the deployments of a deleted task?",
			Operations: []string{"deleteTask"},
		},
		{
			ID:         "task-in-update",
			Behavior:   "updateTask answers with the renamed task beside the documented envelope, because QuantConnect's scripts look for it.",
			Question:   "Does the task come back from an update?",
			Operations: []string{"updateTask"},
		},
		{
			ID:         "transcript-shape",
			Behavior:   "Messages have an id and a role, and parts follow the Vercel AI SDK; tool calls pass through its states.",
			Question:   "Is that the shape, and which members and part types occur?",
			Operations: []string{"readConversation"},
		},
	}
}
