"""A closer look at a scenario: what `kvscen lint` says of it, and what its plan comes to.

A plan may be large, so this runs in a process of its own (kvscen.lsp.child), which is killed when it takes too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from kvscen.language.diagnose import Diagnostic
from kvscen.language.files import decode, unsaved
from kvscen.language.values import Quantity, format_quantity
from kvscen.lsp.analysis import NOTHING_TO_RUN
from kvscen.plan.point import Plan
from kvscen.plan.sizing import Sized, sizes_of

#: Lines about one block are for a small window.
_MOST_LINES = 6


@attrs.frozen
class Job:
    """`path` is absolute. `others`: the texts of other files that the editor holds."""

    path: str
    text: str
    others: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Looked:
    """`figures`: for each pattern and model of the plan, by its name, lines of Markdown."""

    diagnostics: tuple[Diagnostic, ...]
    figures: Mapping[str, tuple[str, ...]]


def look(job: Job) -> Looked:
    from kvscen.lint import lint_source

    source = decode(job.path, job.text.encode("utf-8", "surrogatepass"))
    if isinstance(source, Diagnostic):
        return Looked((source,), {})
    with unsaved(job.others):
        linted = lint_source(source, Path(job.path).parent)
    found = tuple(item for item in linted.diagnostics if item.code != NOTHING_TO_RUN)
    return Looked(found, {} if linted.plan is None else figures(linted.plan.looked_at))


def figures(plan: Plan) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for size in sizes_of(plan):
        found.setdefault(size.pattern.name, {}).update(dict.fromkeys(_pattern_lines(size)))
        found.setdefault(size.model.name, {}).update(dict.fromkeys(model_lines(size)))
    return {name: _few(tuple(lines)) for name, lines in found.items()}


def _few(lines: tuple[str, ...]) -> tuple[str, ...]:
    rest = len(lines) - _MOST_LINES
    return lines if rest <= 0 else (*lines[:_MOST_LINES], f"... and {rest} more in `kvscen size`")


def _pattern_lines(size: Sized) -> Iterator[str]:
    settings = size.pattern.settings
    exact = size.exact if settings.sizing != "kvbench" else size.kvbench
    if exact is None:
        return
    what = f"`{size.model.name}`" + (" by layer" if settings.access == "layer" else "")
    page = f"{settings.page_tokens} token{'s' if settings.page_tokens != 1 else ''}"
    requests = f"{settings.requests} request{'s' if settings.requests != 1 else ''}"
    yield f"a page of {page} of {what} is a block of **{_bytes(exact.block_bytes)}**"
    total = _bytes(exact.block_bytes * exact.batch)
    yield f"{requests} of {size.tokens:,} tokens: a batch of {exact.batch:,} blocks, {total}"


def model_lines(size: Sized) -> tuple[str, ...]:
    if size.geometry is None:
        return ()
    lines = [f"{_bytes(size.geometry.token_bytes)} of KV a token, on all ranks together"]
    if size.geometry.state_bytes:
        lines.append(f"{_bytes(size.geometry.state_bytes)} of state a request")
    return tuple(lines)


def _bytes(count: int) -> str:
    return format_quantity(Quantity.of(count, "B"))
