"""Exact and KVBench's sizes as a table for the terminal, as JSON and as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import attrs
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.language.schema import show_settings
from kvscen.model.geometry import Geometry, LayerKind, dtypes_of, kinds_of
from kvscen.model.kvbench import KVBenchSize
from kvscen.plan.columns import Cell
from kvscen.plan.sizing import Sized
from kvscen.report.numbers import NOTHING, plural, show_one
from kvscen.report.table import facts_text

_CHOICE = "`sizing = exact` (the default) moves the blocks of one rank, `sizing = kvbench` KVBench's batch."


@attrs.frozen
class _Row:
    """One figure. `unit` is "B" or None. `exact` or `kvbench` is None where that side has no such figure."""

    label: str
    exact: int | None
    kvbench: int | None
    unit: str | None = "B"


def size_json(sizes: Sequence[Sized], scenario: bool, unsized: int = 0) -> dict[str, Any]:
    """`scenario`: the sizes are of a scenario's patterns, which say themselves which of the two they move. `unsized`:
    points of it that have no model."""
    return {
        "points_without_model": unsized,
        "sizes": [
            {
                **_what(size, scenario),
                "exact": None if size.geometry is None else _exact(size, size.geometry),
                "kvbench": None if size.kvbench is None else _kvbench(size.kvbench),
                "reasons": list(size.reasons),
                "differences": [attrs.asdict(difference) for difference in size.differences],
                "notes": list(size.notes),
                "layers": [] if size.geometry is None else [_layers(size, kind) for kind in size.geometry.kinds],
                "lengths": [] if size.geometry is None else list(_lengths(size, size.geometry)),
                "rooms": [attrs.asdict(each) for each in size.rooms],
            }
            for size in sizes
        ],
    }


def size_rows(sizes: Sequence[Sized], scenario: bool) -> Iterator[dict[str, Cell]]:
    """A flat row for each pattern and model; every row has every column. `causes` are the names of the differences."""
    for size in sizes:
        exact = dict.fromkeys(_EXACT) if size.geometry is None else _exact(size, size.geometry)
        kvbench = dict.fromkeys(_KVBENCH) if size.kvbench is None else _kvbench(size.kvbench)
        yield {
            **_what(size, scenario),
            **{f"exact_{name}": value for name, value in exact.items()},
            **{f"kvbench_{name}": value for name, value in kvbench.items()},
            "causes": " ".join(difference.cause for difference in size.differences),
            "reasons": "; ".join(size.reasons),
            "notes": "; ".join(size.notes),
        }


def _what(size: Sized, scenario: bool) -> dict[str, Cell]:
    pattern, kinds = size.pattern.settings, kinds_of(size.model)
    return {
        "pattern": size.pattern.name if scenario else None,
        "model": size.model.name,
        "family": size.model.family,
        "kv_dtype": dtypes_of(kinds),
        "weight_dtype": pattern.weight_dtype,
        "tp": kinds[0].tp,
        "pp": kinds[0].pp,
        "access": pattern.access,
        "page_tokens": pattern.page_tokens,
        "prompt_tokens": pattern.prompt_tokens,
        "output_tokens": pattern.output_tokens,
        "requests": pattern.requests,
        "sizing": pattern.sizing if scenario else None,
    }


_EXACT = (
    "token_bytes",
    "page_bytes",
    "request_bytes",
    "block_bytes",
    "rank_batch",
    "rank_bytes",
    "all_ranks_batch",
    "all_ranks_bytes",
)
_KVBENCH = ("token_bytes", "block_bytes", "batch", "total_bytes")


def _exact(size: Sized, geometry: Geometry) -> dict[str, int | None]:
    """What the model keeps; of blocks there may be none of one size."""
    found: dict[str, int | None] = dict.fromkeys(_EXACT)
    found["token_bytes"] = geometry.token_bytes
    found["page_bytes"] = geometry.page_bytes(size.page_tokens)
    found["request_bytes"] = geometry.request_bytes(size.tokens, size.page_tokens)
    if size.exact is not None:
        exact = size.exact
        blocks = (exact.block_bytes, exact.batch, exact.rank_bytes, exact.all_blocks, exact.all_bytes)
        found.update(zip(_EXACT[3:], blocks, strict=True))
    return found


def _layers(size: Sized, kind: LayerKind) -> dict[str, Cell]:
    """Layers that keep alike: of one layer, each byte once, and of the most pages that it ever keeps of a request."""
    most = kind.most_pages(size.page_tokens)
    return {
        "layers": kind.layers,
        "window_tokens": kind.window_tokens,
        "chunk_tokens": kind.chunk_tokens,
        "layer_token_bytes": kind.token_bytes,
        "layer_state_bytes": kind.state_bytes,
        "most_pages": None if kind.state_bytes else most,
        "most_bytes": None if most is None else kind.layers * most * kind.page_bytes(size.page_tokens),
    }


#: Lengths for which a request's bytes are shown beside the one that was asked for.
_LENGTHS = (1024, 8192, 32768, 131072, 1048576)


def _lengths(size: Sized, geometry: Geometry) -> Iterator[dict[str, int]]:
    for tokens in sorted({size.tokens, *_LENGTHS}):
        yield {
            "tokens": tokens,
            "request_bytes": geometry.request_bytes(tokens, size.page_tokens),
            "rank_bytes": geometry.rank_request_bytes(tokens, size.page_tokens),
        }


def _kvbench(size: KVBenchSize) -> dict[str, int]:
    return dict(zip(_KVBENCH, (size.token_bytes, size.block_bytes, size.batch, size.total_bytes), strict=True))


# ---- the terminal


def size_table(sizes: Sequence[Sized], scenario: bool, width: int, unsized: int = 0) -> RenderableType:
    """For each pattern and model what it is, both sizes, and why they differ, in lines of at most `width`."""
    parts: list[RenderableType] = []
    for size in sizes:
        parts += [*_one(size, scenario, width), Text()]
    parts.append(Text(_CHOICE, "dim"))
    if unsized:
        parts.append(Text(f"{plural(unsized, 'point')} without a model: the pattern says `block` itself", "dim"))
    return Group(*parts)


def _one(size: Sized, scenario: bool, width: int) -> Iterator[RenderableType]:
    shown = _what(size, scenario)
    kinds = ", ".join(filter(None, (str(shown["family"]), str(shown["kv_dtype"]))))
    yield Text.assemble((size.model.name, "bold"), f"  {kinds}")
    yield Padding(facts_text(tuple(_facts(size, scenario)), width - 2), (0, 0, 1, 2))
    yield Padding(_fitting(size, width - 2), (0, 0, 1, 2))
    if size.geometry is not None and not all(kind.grows for kind in size.geometry.kinds):
        yield from _parts(size, size.geometry)
    if size.rooms:
        yield Padding(_rooms(size), (0, 0, 1, 2))
    if size.reasons:
        yield from _sentences("Why one is missing", size.reasons)
    elif size.differences:
        yield from _sentences("Why they differ", [difference.sentence for difference in size.differences])
    else:
        yield Padding(Text("Both are the same here."), (0, 0, 0, 2))
    for note in size.notes:
        yield Padding(Text(f"{note}.", "yellow"), (0, 0, 0, 2))


def _sentences(title: str, lines: Sequence[str]) -> Iterator[RenderableType]:
    yield Padding(Text(title, "bold"), (0, 0, 0, 2))
    for line in lines:
        bullet = Table.grid(padding=(0, 1, 0, 0))
        bullet.add_column(width=1)
        bullet.add_column(overflow="fold")
        bullet.add_row(Text("-", "dim"), Text(f"{line}."))
        yield Padding(bullet, (0, 0, 0, 2))


def _facts(size: Sized, scenario: bool) -> Iterator[tuple[str, str]]:
    """What was sized, and in a scenario which of the two it moves."""
    pattern = size.pattern.settings
    names = ("access", "page", "prompt", "output", "requests", "weight_dtype")
    if scenario:
        yield "pattern", size.pattern.name
    for name, text in show_settings(pattern).items():
        if name in names and (name != "output" or pattern.output_tokens):
            yield name, text
    kind = kinds_of(size.model)[0]
    yield from (("tp", str(kind.tp)), ("pp", str(kind.pp)))
    if scenario:
        yield "moves", "the exact size" if pattern.sizing == "exact" else "KVBench's size"


def _fitting(size: Sized, width: int) -> Table:
    """The figures without what has no room: rich would cut numbers."""
    for units, ratio in ((True, True), (False, True)):
        grid = _grid(size, units, ratio)
        if Measurement.get(_MEASURING, _MEASURING.options, grid).maximum <= width:
            return grid
    return _grid(size, False, False)


#: As wide as anything that is measured in it.
_MEASURING = Console(width=1000)


def _grid(size: Sized, units: bool, ratio: bool) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    grid.add_column("")
    for name in ("exact", "KVBench"):
        grid.add_column(name, justify="right", no_wrap=True)
        if units:
            grid.add_column("", no_wrap=True)
    if ratio:
        grid.add_column("KVBench / exact", justify="right", no_wrap=True)
    for row in _figures(size):
        cells = [row.label, *_cells(row.exact, row.unit, units), *_cells(row.kvbench, row.unit, units)]
        if ratio:
            cells.append("" if row.exact is None or row.kvbench is None else _ratio(Fraction(row.kvbench, row.exact)))
        grid.add_row(*cells)
    return grid


def _parts(size: Sized, geometry: Geometry) -> Iterator[RenderableType]:
    """Where bytes do not grow with the length: what each kind of layers keeps, and a request by its length."""
    yield Padding(Text("What the layers keep of a request", "bold"), (0, 0, 0, 2))
    grid = _plain()
    for kind in geometry.kinds:
        most = kind.most_pages(size.page_tokens)
        if kind.state_bytes:
            what, how, nbytes = "linear", "a state, whatever its length", kind.layers * kind.state_bytes
        elif most is None:
            what, how, nbytes = "full", "all tokens, for each", kind.layers * kind.token_bytes
        else:
            what = f"window of {kind.window_tokens:,}" if kind.window_tokens else f"chunk of {kind.chunk_tokens:,}"
            how = f"at most {plural(most, 'page')}"
            nbytes = kind.layers * most * kind.page_bytes(size.page_tokens)
        grid.add_row(plural(kind.layers, "layer"), what, how, f"{nbytes:,}", Text(show_one(nbytes, "B"), "dim"))
    yield Padding(grid, (0, 0, 1, 2))
    lengths = _plain("tokens", "a request", "")
    for each in _lengths(size, geometry):
        nbytes = each["request_bytes"]
        lengths.add_row(f"{each['tokens']:,}", f"{nbytes:,}", Text(show_one(nbytes, "B"), "dim"))
    yield Padding(lengths, (0, 0, 1, 2))


def _rooms(size: Sized) -> Table:
    ranks = kinds_of(size.model)[0].tp * kinds_of(size.model)[0].pp
    heads = ("room in", "", "requests", "tokens of one")
    grid = _plain(*heads, *(("of one rank", "tokens of one") if ranks > 1 else ()))
    for each in size.rooms:
        cells: list[str | Text] = [each.place, Text(show_one(each.capacity_bytes, "B"), "dim")]
        cells += [f"{each.requests:,}", _any(each.tokens)]
        if ranks > 1:
            cells += [f"{each.rank_requests:,}", _any(each.rank_tokens)]
        grid.add_row(*cells)
    return grid


def _any(tokens: int | None) -> str:
    return "any" if tokens is None else f"{tokens:,}"


def _plain(*heads: str) -> Table:
    grid = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(heads), header_style="bold", show_edge=False
    )
    for name in heads or ("",) * 5:
        grid.add_column(name, justify="left" if name in ("", "room in") and heads else "right", no_wrap=True)
    return grid


def _figures(size: Sized) -> Iterator[_Row]:
    geometry, kvbench, pattern = size.geometry, size.kvbench, size.pattern.settings
    ranks = kinds_of(size.model)[0].tp * kinds_of(size.model)[0].pp
    mine = _exact(size, geometry) if geometry else dict.fromkeys(_EXACT)
    theirs = _kvbench(kvbench) if kvbench else dict.fromkeys(_KVBENCH)
    token = theirs["token_bytes"]
    yield _Row("a token, all layers", mine["token_bytes"], token)
    yield _Row("a page, all layers", mine["page_bytes"], None if token is None else token * pattern.page_tokens)
    yield _Row("a request, all layers", mine["request_bytes"], None)
    yield _Row("a block", mine["block_bytes"], theirs["block_bytes"])
    if ranks == 1:
        yield _Row("blocks in a batch", mine["rank_batch"], theirs["batch"], None)
        yield _Row("bytes of a batch", mine["rank_bytes"], theirs["total_bytes"])
        return
    yield _Row("blocks of one rank", mine["rank_batch"], None, None)
    yield _Row("bytes of one rank", mine["rank_bytes"], None)
    yield _Row(f"blocks of all {ranks:,} ranks", mine["all_ranks_batch"], theirs["batch"], None)
    yield _Row(f"bytes of all {ranks:,} ranks", mine["all_ranks_bytes"], theirs["total_bytes"])


def _cells(value: int | None, unit: str | None, units: bool) -> Iterator[str | Text]:
    """The exact number, and beside it where there is room a size in a unit that can be read."""
    yield NOTHING if value is None else f"{value:,}"
    if units:
        yield Text("" if value is None or unit is None else show_one(value, unit), "dim")


def _ratio(ratio: Fraction) -> str:
    return "same" if ratio == 1 else f"{float(ratio):.3g}"
