"""`--set path=value`: what a run changes in a scenario without touching its text."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.language import syntax
from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Source, Span
from kvscen.language.parse import parse_value
from kvscen.language.resolve import Reading, ScopeNames, Universe, convert, read_value
from kvscen.language.scenario import LetType, Scenario, Target
from kvscen.language.schema import SettingType, String


@attrs.frozen(eq=False)
class Pin:
    """A pinned path and its value. `key` is `block.setting`, `sweep.setting` or the name of a `let`."""

    key: str
    reading: Reading
    shown: str
    span: Span


def read_pins(scenario: Scenario, universe: Universe, texts: Sequence[str]) -> dict[str, Pin]:
    """The pins by their key. Raises ScenarioError with the problems of all of them."""
    pins: dict[str, Pin] = {}
    found: list[Diagnostic] = []
    for text in texts:
        try:
            pin = _read(scenario, universe, text)
            if pin.key in pins:
                raise problem("KVS124", f"`{pin.key}` is set twice", pin.span, help="keep one of the two")
            pins[pin.key] = pin
        except ScenarioError as error:
            found.extend(error.diagnostics)
    if found:
        raise ScenarioError(found)
    return pins


def _read(scenario: Scenario, universe: Universe, text: str) -> Pin:
    written, equals, value = text.partition("=")
    source = Source("--set", text)
    span = Span(source, 0, len(written))
    parts = tuple(part.strip() for part in written.split("."))
    if not equals or not all(parts):
        raise problem("KVS124", f"`{text}` is not a path and a value", span, help="write `--set block.setting=value`")
    target = universe.target(syntax.Path(parts, span), None)
    reading = _value(scenario, universe, target, Source(f"--set {written}", value))
    return Pin(target.key, reading, target.type.show(reading.python), span)


def _is_text(kind: SettingType) -> bool:
    return isinstance(kind, String) or (isinstance(kind, LetType) and isinstance(kind.like, str))


def _value(scenario: Scenario, universe: Universe, target: Target, source: Source) -> Reading:
    expr, problems = parse_value(source)
    if _is_text(target.type):
        # Strings need no quotes; where they have some, they count.
        whole = Span(source, 0, len(source.text))
        text = expr if isinstance(expr, syntax.Text) else syntax.Text(source.text, whole)
        return convert(text.value, text, target.type, universe)
    if expr is None:
        said = [attrs.evolve(item, code="KVS124") for item in problems if item.span is not None]
        raise ScenarioError(said or [diagnostic("KVS124", f"`--set {target.key}=` has no value", None)])
    names = ScopeNames(universe, lambda name: scenario.lets[name].type.like)
    return read_value(expr, target.type, names)
