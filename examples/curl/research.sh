#!/usr/bin/env bash
# Run a prompt on QuantConnect with curl and jq, and print its final status and the last text of its transcript.
#
# Where and as whom comes from the environment: QUANTCONNECT_API_BASE_URL, QUANTCONNECT_USER_ID, QUANTCONNECT_API_TOKEN and
# QUANTCONNECT_ORGANIZATION_ID, as `qcmock run` sets them. Without the first it is production, where a run costs tokens.
set -euo pipefail

prompt=${1:-Build a buy and hold strategy for SPY}
pause=${PAUSE:-10}
base=${QUANTCONNECT_API_BASE_URL:-https://www.quantconnect.com/api/v2}

# call ENDPOINT BODY prints the answer, or fails with the words of the service.
call() {
	local timestamp hash answer
	timestamp=$(date +%s)
	hash=$(printf %s "$QUANTCONNECT_API_TOKEN:$timestamp" | openssl dgst -sha256 | sed 's/.*= *//')
	answer=$(curl --silent --show-error "$base/$1" --user "$QUANTCONNECT_USER_ID:$hash" --header "Timestamp: $timestamp" \
		--header 'Content-Type: application/json' --data "$2")
	if [ "$(jq .success <<<"$answer")" != true ]; then
		jq --raw-output '.errors[]' <<<"$answer" >&2
		return 1
	fi
	printf '%s\n' "$answer"
}

task=$(call agents/tasks/create "$(jq --null-input --arg org "$QUANTCONNECT_ORGANIZATION_ID" --arg prompt "$prompt" '{
	organizationId: $org, agentId: 47, name: $prompt[:40], prompt: $prompt, projectPreference: "project-each-task-deployment"
}')" | jq .task.id)
trap 'call agents/tasks/delete "{\"taskId\": $task}" >/dev/null' EXIT

deployment=$(call agents/deployments/create "{\"taskId\": $task}" | jq --raw-output .deployment.deploymentId)
while :; do
	status=$(call agents/deployments/read "{\"deploymentId\": \"$deployment\"}" | jq --raw-output .deployment.status)
	case ${status,,} in completed | stopped | failed | runtimeerror) break ;; esac
	echo "$deployment: $status" >&2
	sleep "$pause"
done
echo "$status"
call agents/deployments/conversation/read "{\"deploymentId\": \"$deployment\"}" |
	jq --raw-output '[.conversation.messages[]? | select(.role != "user") | .parts[]? | select(.type == "text") | .text] | last // ""'
