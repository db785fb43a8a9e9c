"""The fields in docs/from-kv-cache-py.md, made from their declaration.

`python -m kvscen.export.mlperf.reference docs/from-kv-cache-py.md` brings the page up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kvscen.export.mlperf.explain import TITLE, groups, name_in_group
from kvscen.export.mlperf.field import Field

BEGIN, END = "<!-- fields: made by kvscen.export.mlperf.reference -->", "<!-- end of fields -->"
_HEAD = ("| field | unit | in kv-cache.py | from our | how ours differs |", "|---|---|---|---|---|")


def fields_markdown() -> str:
    parts = [TITLE + "\n"]
    for group, fields in groups():
        rows = [_row(field) for field in fields]
        title = f"`{group}`" if group else "Top level"
        parts.append("\n".join([f"### {title}", "", *_HEAD, *rows]) + "\n")
    return "\n".join(parts)


def _row(field: Field) -> str:
    texts = [field.unit, _cell(field.there), _cell(field.source) or "**null**", _cell(field.here)]
    return f"| {' | '.join([f'`{name_in_group(field)}`', *texts])} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def up_to_date(page: str) -> str:
    """The page with the part between its marks made anew. ValueError where the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks `{BEGIN}` or `{END}`")
    return f"{before}{BEGIN}\n\n{fields_markdown()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(up_to_date(path.read_text("utf-8")), "utf-8")
