"""What a trace holds, for people."""

from __future__ import annotations

from pathlib import Path

from kvscen.report.numbers import NOTHING, plural, show_one, show_percent
from kvscen.trace import FORMATS, About, Summary


def render_summary(file: Path, about: About, summary: Summary, out: Path) -> str:
    title = FORMATS[about.format].title if about.format in FORMATS else about.format
    block = None if about.block_tokens is None else f"{about.block_tokens} tokens"
    rows = [
        ("requests", _count(summary.requests)),
        ("duration", _hours(summary.duration_ns)),
        ("sessions", _count(summary.sessions)),
        ("input tokens", _count(summary.input_tokens)),
        ("output tokens", _count(summary.output_tokens)),
        ("block", block or NOTHING),
        ("blocks looked up", _count(summary.block_lookups)),
        ("unique blocks", _count(summary.unique_blocks)),
        ("reuse ratio", show_percent(summary.reuse_ratio)),
    ]
    lines = [f"{file}: {title}", *(f"  {name:<18}{value}" for name, value in rows)]
    lines += [f"  {note}" for note in about.notes]
    if summary.odd_requests:
        requests = plural(summary.odd_requests, "request")
        lines.append(f"  {requests} with more or fewer blocks than the prompt's length gives")
    lines.append(f"wrote {out}, {show_one(out.stat().st_size, 'B')}")
    return "\n".join(lines) + "\n"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _hours(duration_ns: int | None) -> str:
    return NOTHING if duration_ns is None else f"{duration_ns / 3.6e12:,.4g} h"
