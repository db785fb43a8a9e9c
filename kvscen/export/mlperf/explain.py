"""What each field means, for the terminal and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from kvscen.export.mlperf.field import Field
from kvscen.export.mlperf.fields import FIELDS, RULE, VERSION

_WIDTH = 100
TITLE = f"The fields of MLPerf Storage's kv-cache.py {VERSION}: {RULE}."


def explain_rows() -> list[dict[str, str]]:
    """A row for each field, or for each few that are made alike."""
    return [
        {
            "field": field.path,
            "unit": field.unit,
            "kv_cache_py": field.there,
            "source": field.source or "null",
            "here": field.here,
        }
        for field in FIELDS
    ]


def explain_text() -> str:
    """For a terminal: each field with three lines, under the object that holds it."""
    lines = [*_wrapped(TITLE, "", "")]
    for group, fields in groups():
        lines += ["", group or "top level"]
        for field in fields:
            lines.append(f"  {name_in_group(field)}" + (f"  {field.unit}" if field.unit else ""))
            for word, text in (("there", field.there), ("from", field.source or "null"), ("here", field.here)):
                lines += _wrapped(text, f"      {word:<6} ", " " * 13)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def groups() -> Iterator[tuple[str, list[Field]]]:
    """The fields by the object that holds them, in their order."""
    found: dict[str, list[Field]] = {}
    for field in FIELDS:
        found.setdefault(_group(field), []).append(field)
    yield from found.items()


def _group(field: Field) -> str:
    """The first two levels: what is deeper belongs to the name."""
    *parents, _ = field.path.split(".")
    return ".".join(parents[:2] if parents[1:2] in (["cache_stats"], ["qos_metrics"]) else parents[:1])


def name_in_group(field: Field) -> str:
    group = _group(field)
    return field.path.removeprefix(f"{group}.") if group else field.path
