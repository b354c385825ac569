"""What a run can come to: each built-in plan of the mock, chosen by a marker in the prompt and by a rule.

Run it as test_research.py. These tests steer the mock, so they need it; research.py does not.
"""

import os
import time

import pytest
import requests

from research import AGENT, FINAL, call

PLANS = {
    "success": "Completed",
    "runtime-error": "RuntimeError",
    "compile-warning": "Completed",
    "failed": "Failed",
    "stuck-in-queue": "InQueue",
    "long-running": "Running",
    "sub-agent": "Completed",
    "empty-conversation": "Completed",
}


def by_marker(plan):
    return f"Build a buy and hold strategy for SPY [mock:{plan}]"


def by_rule(plan):
    load({"rules": [{"prompt": "SPY", "plan": plan}]})
    return "Build a buy and hold strategy for SPY"


def load(scenario):
    world = os.environ["QUANTCONNECT_API_BASE_URL"].replace("/api/v2", "/_mock/worlds/default")
    requests.post(f"{world}/load", json=scenario, timeout=30).raise_for_status()


@pytest.fixture(autouse=True)
def leave_no_rule():
    yield
    load({})


@pytest.mark.parametrize("chosen", [by_marker, by_rule])
@pytest.mark.parametrize("plan", PLANS)
def test_plan(plan, chosen):
    task = call(
        "agents/tasks/create",
        organizationId=os.environ["QUANTCONNECT_ORGANIZATION_ID"],
        agentId=AGENT,
        name=plan,
        prompt=chosen(plan),
        projectPreference="project-for-task",
    )["task"]
    deployment = call("agents/deployments/create", taskId=task["id"])["deployment"]["deploymentId"]
    for _ in range(20):
        status = call("agents/deployments/read", deploymentId=deployment)["deployment"]["status"]
        if status.lower() in FINAL:
            break
        time.sleep(0.02)
    assert status == PLANS[plan]

    conversation = call("agents/deployments/conversation/read", deploymentId=deployment)["conversation"]
    if plan == "empty-conversation":
        assert conversation is None
        return
    parts = [part for message in conversation["messages"] for part in message["parts"]]
    results = [part["output"]["structuredContent"] for part in parts if "output" in part]
    if plan == "runtime-error":
        assert any("The backtest ended with a runtime error." in result["errors"] for result in results)
    if plan == "compile-warning":
        assert any(result["warnings"] for result in results)
    if plan == "stuck-in-queue":
        assert len(parts) == 1, "only the prompt"
    if plan == "sub-agent":
        (asked,) = [part["toolCallId"] for part in parts if part.get("toolName") == "call_agent"]
        own = call("agents/deployments/conversation/read", deploymentId=deployment, callableId=asked)["conversation"]
        assert own["messages"] and own != conversation
    if status.lower() not in FINAL:
        call("agents/deployments/stop", deploymentId=deployment)
        assert call("agents/deployments/read", deploymentId=deployment)["deployment"]["status"] == "Stopped"
