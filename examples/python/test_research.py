"""Tests of research.py against the mock: qcmock run --speed 60 --severity not-found=warning -- pytest"""

import pytest

import research


def test_a_run_ends_with_a_summary():
    seen = []
    status, said = research.research("Build a buy and hold strategy for SPY", pause=0.02, progress=seen.append)
    assert status == "Completed"
    assert "SPY" in said
    assert seen, "a run that is over at once shows no progress"


def test_a_failed_run_is_told_from_a_success():
    status, _ = research.research("Trade options on SPY [mock:failed]", pause=0.02)
    assert status == "Failed"


def test_a_run_without_a_conversation_has_no_text():
    status, said = research.research("Say nothing [mock:empty-conversation]", pause=0.02)
    assert (status, said) == ("Completed", "")


def test_a_refusal_carries_the_words_of_the_service():
    with pytest.raises(research.Refused, match="not found"):
        research.call("agents/tasks/read", taskId=1)
