"""What a scenario makes of its words, in Markdown: its values, its `let`s, and what its blocks can be based on.
What words mean by themselves says kvscen.explain."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.explain import settings
from kvscen.explain.markdown import markdown
from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS
from kvscen.language.check import Known
from kvscen.language.diagnose import ScenarioError
from kvscen.language.evaluate import evaluate
from kvscen.language.resolve import read_value
from kvscen.language.schema import SettingType
from kvscen.language.values import BANDWIDTH, BYTES, Quantity, Value, describe, show_value
from kvscen.plugin.registry import Registry


def value(found: Value) -> str:
    """A value, and what it comes to in base units where that says more."""
    text = f"`{show_value(found)}`"
    if isinstance(found, Quantity) and found.value.denominator == 1 and abs(found.value) >= 1000:
        if found.dimension == BYTES:
            return f"{text} ({found.value.numerator:,} bytes)"
        if found.dimension == BANDWIDTH:
            return f"{text} ({found.value.numerator:,} bytes per second)"
    return text


def given(expr: syntax.Expr, kind: SettingType | None, known: Known) -> str:
    """What an expression comes to, with the `let`s as the text has them; empty where it has a problem."""
    try:
        names = known.names()
        found = evaluate(expr, None, names) if kind is None else read_value(expr, kind, names).value
    except (ScenarioError, RecursionError):
        return ""
    return value(found)


def let(name: str, known: Known) -> str:
    item = known.lets.get(name)
    if item is None:
        return f"**`let {name}`**: its value has a problem"
    return f"**`let {name}`** = {value(item.type.like)}\n\n{describe(item.type.like)}"


def built_in(kind: str, name: str, registry: Registry) -> str:
    """A driver, family or type; empty where there is none."""
    if name in BUILT_INS.get(kind, {}):
        return markdown(settings.built_in(kind, name))
    return markdown(settings.driver(registry, name)) if kind == "tier" and name in registry.refs else ""


def bases(kind: str, known: Known | None, registry: Registry) -> Iterator[tuple[str, str]]:
    """(name, what it is) of everything that a block of this kind can be based on."""
    from kvscen.language.define import catalogue_names

    shipped = set(catalogue_names()) if kind == "model" else set()
    if known is not None:
        for name, block_kind in known.universe.kinds.items():
            if block_kind == kind and name not in shipped:
                yield name, f"a {kind} of this scenario"
    for name in BUILT_INS.get(kind, ()):
        yield name, settings.built_in(kind, name).brief
    if kind == "tier":
        for name in registry.names():
            yield name, f"the driver `{name}`"
    if kind == "model":
        with_models = known is not None and known.loaded.catalogue is not None
        about = "a model of the catalogue" + ("" if with_models else " (it needs `use models`)")
        for name in catalogue_names():
            yield name, about
