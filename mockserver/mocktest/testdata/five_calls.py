"""Five calls to the API, signed as QuantConnect documents it, with nothing but the standard library."""

import base64
import hashlib
import json
import sys
import time
import urllib.request

base, user = sys.argv[1], sys.argv[2]


def post(path, payload):
    timestamp = str(int(time.time()))
    digest = hashlib.sha256(f"token of {user}:{timestamp}".encode()).hexdigest()
    request = urllib.request.Request(
        base + path,
        json.dumps(payload).encode(),
        {
            "Authorization": "Basic " + base64.b64encode(f"{user}:{digest}".encode()).decode(),
            "Timestamp": timestamp,
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.load(response)
    assert answer["success"], answer
    return answer


post("/authenticate", {})
task = post(
    "/agents/tasks/create",
    {
        "organizationId": "organization of everybody",
        "agentId": 47,
        "name": f"task of {user}",
        "prompt": "Build a buy and hold strategy for SPY.",
        "projectPreference": "project-each-task-deployment",
    },
)["task"]
tasks = post("/agents/tasks/list", {"organizationId": "organization of everybody"})["tasks"]
deployment = post("/agents/deployments/create", {"taskId": task["id"]})["deployment"]
status = post("/agents/deployments/read", {"deploymentId": deployment["deploymentId"]})["deployment"]["status"]
print(json.dumps({"task": task["id"], "tasks": [t["name"] for t in tasks], "deployment": deployment["deploymentId"], "status": status}))
