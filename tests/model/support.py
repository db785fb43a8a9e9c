"""Short ways from a model and a pattern, as a scenario writes them, to a plan."""

from __future__ import annotations

from kvscen.language.blocks import TransferSettings
from kvscen.plan.point import ModelBlock, Plan
from tests.semantics.support import plan


def transfer(model: str, pattern: str, more: str = "") -> Plan:
    """The plan of one point: `pattern` settings over a model that is a `model` with `more` settings."""
    return _plan(f"{model} {{ {more} }}", pattern)


def pattern_and_model(model: str, pattern: str) -> tuple[TransferSettings, ModelBlock]:
    """The settings of both where the work of a point might not be possible: completed as a point has them. `model` is
    `base { settings }`."""
    exact = pattern.replace("sizing = kvbench", "sizing = exact")
    [point] = _plan(model, exact).points
    assert point.model is not None
    return point.pattern.settings, point.model


def _plan(model: str, pattern: str) -> Plan:
    return plan(
        f"""kvs 1
use models
model m : {model}
tier disk : ssd {{ path = "/d" }}
pattern pages : transfer {{ model = m; op = read; {pattern} }}
sweep s {{ pattern = pages; tier = disk }}
"""
    )
