"""What is said about a setting, a word, a measure and the rest, in Markdown, from the declarations."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS
from kvscen.language.check import Known
from kvscen.language.diagnose import ScenarioError
from kvscen.language.evaluate import evaluate
from kvscen.language.functions import BASE_FUNCTION, FUNCTIONS
from kvscen.language.resolve import read_value
from kvscen.language.schema import SettingInfo, SettingType
from kvscen.language.values import BANDWIDTH, BYTES, UNITS, Quantity, Value, describe, show_value
from kvscen.plugin.registry import PluginError, Registry
from kvscen.results.measures import MeasureInfo

#: What stands after `use` and needs no quotes, and what a kind of block is for.
KINDS = {
    "model": "whose KV is moved",
    "tier": "where blocks are kept",
    "users": "who converses in a pattern of `conversations`",
    "pattern": "what is accessed, and when",
    "sweep": "what runs: a pattern on a tier, and what varies",
}


def setting(info: SettingInfo, owner: str) -> str:
    """`owner` is the block that it stands in, as people call it."""
    lines = [f"**`{info.name}`**, {owner}: {info.help}", "", f"- takes {info.type.describe()}"]
    default = default_of(info)
    if default:
        lines.append(f"- {default}")
    if not info.varies:
        lines.append("- cannot be an axis")
    return "\n".join(lines)


def default_of(info: SettingInfo) -> str:
    if info.required:
        return "must be given"
    return f"default: `{info.type.show(info.default)}`" if info.default is not None else ""


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


def measure(info: MeasureInfo, tier: str | None) -> str:
    unit = "a percentage" if info.percent else str(info.dimension)
    judged = "the sum over all trials that ran" if info.is_count else "the median of the trials that are ok"
    of = f" of `{tier}`" if tier else ""
    return f"**`{info.name}`**{of}: {info.description}\n\n- {unit}\n- judged on {judged}\n- column `{info.column}`"


def unit(name: str) -> str:
    found = UNITS[name]
    if found.percent:
        return "**`%`**: a percentage"
    factor = found.factor
    size = f"{factor.numerator:,}" if factor.denominator == 1 else f"{factor.numerator}/{factor.denominator:,}"
    dimension = found.dimension
    base = " ".join(
        word
        for word, there in (
            ("bytes", dimension.bytes),
            ("tokens", dimension.tokens),
            ("seconds", dimension.seconds > 0),
            ("per second", dimension.seconds < 0),
        )
        if there
    )
    return f"**`{name}`**: {found.dimension}\n\n1 {name} = {size} {base}"


def function(name: str) -> str:
    if name == BASE_FUNCTION:
        return f'**`{BASE_FUNCTION}("config.json")`**: the model that a Hugging Face configuration describes'
    made = FUNCTIONS[name]
    about = _first_paragraph(made.make.__doc__)
    return f"**`{made.usage}`**" + (f"\n\n{about}" if about else "")


def built_in(kind: str, name: str, registry: Registry) -> str:
    """A driver, family or type; empty where there is none."""
    declaration = BUILT_INS.get(kind, {}).get(name)
    if declaration is not None:
        return f"**`{name}`**, built in: {_first_paragraph(declaration.__doc__)}"
    if kind != "tier":
        return ""
    try:
        return f"driver **`{name}`**: {registry.driver(name).summary}"
    except PluginError as error:
        return f"driver **`{name}`**: {error}"


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def bases(kind: str, known: Known | None, registry: Registry) -> Iterator[tuple[str, str]]:
    """(name, what it is) of everything that a block of this kind can be based on."""
    from kvscen.language.define import catalogue_names

    shipped = set(catalogue_names()) if kind == "model" else set()
    if known is not None:
        for name, block_kind in known.universe.kinds.items():
            if block_kind == kind and name not in shipped:
                yield name, f"a {kind} of this scenario"
    for name in BUILT_INS.get(kind, ()):
        yield name, _first_paragraph(BUILT_INS[kind][name].__doc__)
    if kind == "tier":
        for name in registry.names():
            yield name, f"the driver `{name}`"
    if kind == "model":
        with_models = known is not None and known.loaded.catalogue is not None
        about = "a model of the catalogue" + ("" if with_models else " (it needs `use models`)")
        for name in catalogue_names():
            yield name, about
