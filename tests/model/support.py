"""Short ways from a model and a pattern, as a scenario writes them, to a plan."""

from __future__ import annotations

from kvscen.language.blocks import TransferSettings
from kvscen.language.resolve import universe_of
from kvscen.plan.late import Late, flatten
from kvscen.plan.point import ModelBlock, Plan
from kvscen.plan.reach import model_block, models_of
from kvscen.plan.resolve import Resolver
from tests.semantics.support import check, plan, shown


def transfer(model: str, pattern: str, more: str = "") -> Plan:
    """The plan of one point: `pattern` settings over a model that is a `model` with `more` settings."""
    return plan(text(f"{model} {{ {more} }}", pattern))


def pattern_and_model(model: str, pattern: str) -> tuple[TransferSettings, ModelBlock]:
    """The settings of both, completed, whether or not they come to a size. `model` is `base { settings }`."""
    checked = check(text(model, pattern))
    assert checked.scenario is not None, shown(checked.diagnostics)
    scenario, universe = checked.scenario, universe_of(checked.scenario)
    resolver = Resolver(Late(scenario, universe, flatten(scenario, universe, scenario.sweeps["s"], {})))
    resolved = resolver.block("pages", {})
    return resolved.settings, model_block(models_of(resolver, resolved, {}))


def text(model: str, pattern: str) -> str:
    return f"""kvs 1
use models
model m : {model}
tier disk : ssd {{ path = "/d" }}
pattern pages : transfer {{ model = m; op = read; {pattern} }}
sweep s {{ pattern = pages; tier = disk }}
"""
