"""Run a prompt on QuantConnect and print what the agent says in the end.

Where and as whom comes from the environment: QUANTCONNECT_API_BASE_URL, QUANTCONNECT_USER_ID, QUANTCONNECT_API_TOKEN and
QUANTCONNECT_ORGANIZATION_ID, as `qcmock run` sets them. Without the first it is production, where a run costs tokens.
"""

import base64
import hashlib
import os
import sys
import time

import requests

AGENT = 47  # predefined by QuantConnect
FINAL = {"completed", "stopped", "failed", "runtimeerror"}


class Refused(Exception):
    """The service said no; its sentences are the arguments."""


def call(endpoint, **members):
    """Call an endpoint, signed afresh, and return its answer."""
    timestamp = str(int(time.time()))
    token = os.environ["QUANTCONNECT_API_TOKEN"]
    digest = hashlib.sha256(f"{token}:{timestamp}".encode()).hexdigest()
    credentials = base64.b64encode(f"{os.environ['QUANTCONNECT_USER_ID']}:{digest}".encode()).decode()
    base = os.environ.get("QUANTCONNECT_API_BASE_URL", "https://www.quantconnect.com/api/v2")
    response = requests.post(
        f"{base}/{endpoint}",
        json=members,
        headers={"Authorization": f"Basic {credentials}", "Timestamp": timestamp},
        timeout=30,
    )
    answer = response.json()
    if not answer["success"]:
        raise Refused(*answer["errors"])
    return answer


def research(prompt, pause=10, progress=print):
    """Deploy a prompt, wait for it, and return its final status and the last text of its transcript."""
    task = call(
        "agents/tasks/create",
        organizationId=os.environ["QUANTCONNECT_ORGANIZATION_ID"],
        agentId=AGENT,
        name=prompt[:40],
        prompt=prompt,
        projectPreference="project-each-task-deployment",
    )["task"]
    try:
        deployment = call("agents/deployments/create", taskId=task["id"])["deployment"]
        status = deployment["status"]
        while status.lower() not in FINAL:
            progress(f"{deployment['deploymentId']}: {status}")
            time.sleep(pause)
            status = call("agents/deployments/read", deploymentId=deployment["deploymentId"])["deployment"]["status"]
        conversation = call("agents/deployments/conversation/read", deploymentId=deployment["deploymentId"])
        return status, last_text(conversation.get("conversation"))
    finally:
        call("agents/tasks/delete", taskId=task["id"])


def last_text(conversation):
    """Return the last text part of a transcript, which may be null."""
    texts = [
        part.get("text", "")
        for message in (conversation or {}).get("messages", [])
        if message.get("role") != "user"
        for part in message.get("parts", [])
        if part.get("type") == "text"
    ]
    return texts[-1] if texts else ""


if __name__ == "__main__":
    final, said = research(sys.argv[1] if len(sys.argv) > 1 else "Build a buy and hold strategy for SPY")
    print(final)
    print(said)
