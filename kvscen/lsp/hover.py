"""What is shown of the name that the mouse points at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.explain import language, results, settings
from kvscen.explain.markdown import markdown
from kvscen.language import syntax
from kvscen.language.check import Known
from kvscen.language.define import catalogue_names
from kvscen.language.schema import ListOf, SettingType
from kvscen.language.suggest import one_of
from kvscen.language.values import UNITS
from kvscen.lsp import describe as say
from kvscen.lsp.analysis import Analysis
from kvscen.lsp.names import Occurrence, occurrence_at


@attrs.frozen
class Hover:
    """`about` is Markdown; it is about the text [start, end)."""

    about: str
    start: int
    end: int


def hover(analysis: Analysis, offset: int, figures: Mapping[str, Sequence[str]] | None = None) -> Hover | None:
    """`figures` are lines that the plan comes to, for each block by its name (kvscen.lsp.looking)."""
    item = occurrence_at(analysis, offset)
    known = analysis.known
    if item is None or known is None:
        return None
    about = _about(item, known, analysis, figures or {})
    place = analysis.here(item.span)
    return Hover(about, *place) if about and place is not None else None


def _about(item: Occurrence, known: Known, analysis: Analysis, figures: Mapping[str, Sequence[str]]) -> str:
    match item.kind:
        case "setting":
            return _setting(item, known, figures)
        case "name":
            return _name(item.name, known, analysis, figures)
        case "measure":
            return markdown(results.measure(item.measure, item.owner)) if item.measure is not None else ""
        case "unit":
            return markdown(language.unit(UNITS[item.name]))
        case "function":
            return markdown(language.function(item.name))
        case "built_in":
            return _built_in(item, analysis)
        case "word":
            kind = item.type.item if isinstance(item.type, ListOf) else item.type
            return f"**`{item.name}`**: {kind.describe()}" if kind is not None else ""
        case "file":
            return _file(item, known)


def _setting(item: Occurrence, known: Known, figures: Mapping[str, Sequence[str]]) -> str:
    if item.info is None:
        return ""
    owner = "the sweep" if item.owner is None else f"{known.universe.kinds.get(item.owner)} `{item.owner}`"
    path = item.name if item.owner is None else f"{item.owner}.{item.name}"
    lines = []
    if item.statement is not None:
        given = say.given(item.statement.value, item.info.type, known)
        if given:
            lines += [f"`{item.name}` = {given}", ""]
    lines.append(markdown(settings.setting(item.info, f"a setting of {owner}", path)))
    if item.owner is not None and item.name in ("page", "model", "prompt", "requests", "access"):
        lines += _list(figures.get(item.owner, ()))
    return "\n".join(lines)


def _name(name: str, known: Known, analysis: Analysis, figures: Mapping[str, Sequence[str]]) -> str:
    if name in known.definitions.lets:
        return say.let(name, known)
    block = known.definitions.blocks.get(name)
    if block is None:
        return ""
    chain = known.definitions.chains.get(name, (name,))
    built_in = known.definitions.built_ins.get(name)
    ends = [*chain, *([built_in.name] if built_in else [])]
    lines = [f"**{block.kind} `{' : '.join(ends)}`**"]
    if built_in is not None:
        lines += ["", say.built_in(block.kind, built_in.name, analysis.registry)]
    given = _settings(chain, known)
    if given:
        lines += ["", *(f"- `{path}` = {value}" for path, value in given.items())]
    lines += _list(figures.get(name, ()))
    if block.kind == "model":
        lines += _list(_of_catalogue(name, known))
    return "\n".join(lines)


def _settings(chain: Sequence[str], known: Known) -> dict[str, str]:
    """What a block and its bases give, the nearest first."""
    found: dict[str, str] = {}
    for level in chain:
        block = known.definitions.blocks.get(level)
        for statement in block.body if block is not None else ():
            if isinstance(statement, syntax.Setting):
                path = str(statement.path)
                text = " ".join(statement.value.span.text.split())
                value = say.given(statement.value, _type(level, path, known), known) or f"`{text}`"
                found.setdefault(path, value if level == chain[0] else f"{value} (from `{level}`)")
    return found


def _type(block: str, path: str, known: Known) -> SettingType | None:
    target = known.universe.blocks.get(block)
    if target is not None and path in target.settings:
        return target.settings[path].target.type
    return None


def _list(lines: Sequence[str]) -> list[str]:
    return ["", *(f"- {line}" for line in lines)] if lines else []


def _of_catalogue(name: str, known: Known) -> Sequence[str]:
    """Of a model as it is shipped: what a token costs."""
    from kvscen.lsp.looking import model_lines
    from kvscen.plan.sizing import size_model

    catalogue = known.loaded.catalogue
    if catalogue is None or known.definitions.blocks[name] not in catalogue.items or name not in catalogue_names():
        return ()
    size = size_model(name)
    return model_lines(size) if size.geometry is not None else ()


def _built_in(item: Occurrence, analysis: Analysis) -> str:
    kind = item.owner or ""
    about = say.built_in(kind, item.name, analysis.registry)
    return about or f"`{item.name}` is no {one_of(kind).partition(' ')[2]} that is known here"


def _file(item: Occurrence, known: Known) -> str:
    if item.owner == "library":
        return f"the shipped catalogue: {len(catalogue_names())} models" if known.loaded.catalogue else ""
    return f"brings in the blocks and `let`s of `{item.name}`"
