"""A trial in a child: each step has its limit, and each way to fail is one sentence that names the step."""

import sys

import pytest

from kvscen_drivers.gpu.steps import Failed, Step, walk

SAY = """
import json, os, sys, time
def say(name, limit):
    print("a library prints this", flush=True)
    print(json.dumps({"step": {"name": name, "limit_s": limit, "remedy": "look at " + name}}), flush=True)
"""


def _walk(code, **limits):
    return walk([sys.executable, "-c", SAY + code], **limits)


def test_a_child_that_answers():
    found = _walk(
        "say('opening it', 60); print(json.dumps({'reason': 'no', 'remedy': 'go'}), flush=True); time.sleep(60)"
    )
    assert found == {"reason": "no", "remedy": "go"}, "its end is not waited for"


def test_a_step_that_hangs_is_named_with_its_own_limit_and_remedy():
    assert _walk("say('loading it', 60); say('opening it', 0.2); time.sleep(60)") == Failed(
        "opening it did not end within 0.2 s", "look at opening it"
    )


def test_a_hang_before_the_first_step():
    start = Step("starting Python", 0.2, "try again")
    assert _walk("time.sleep(60)", start=start) == Failed("starting Python did not end within 0.2 s", "try again")


def test_all_steps_together_have_a_limit():
    found = _walk("say('opening it', 60); time.sleep(60)", total_s=3.0)
    assert isinstance(found, Failed)
    assert "did not end within" in found.reason


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.abort()", "(status -6)"),
        ("sys.exit('no such device')", "(status 1): no such device"),
        ("os._exit(3)", "(status 3)"),
    ],
)
def test_a_step_that_takes_its_process_along_is_named(code, how):
    found = _walk(f"say('opening it', 60); {code}")
    assert found == Failed(f"opening it ended the process that tried it {how}", "look at opening it")
