"""The scenarios within a page of Markdown: what stands in fences marked ```kvs."""

from __future__ import annotations

import re

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.format import format_source

_FENCE = re.compile(r"^```kvs[ \t]*\r?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def format_page(page: Source) -> str | tuple[Diagnostic, ...]:
    """The page with its scenarios formatted and all else as it is, or the problems of all of them. Raises
    FormatError."""
    problems: list[Diagnostic] = []
    parts: list[str] = []
    done = 0
    for fence in _FENCE.finditer(page.text):
        start, end = fence.span(1)
        # Behind as many empty lines as the page has before it, its problems have the page's line numbers.
        text = "\n" * page.text.count("\n", 0, start) + fence[1]
        formatted = format_source(Source(page.name, text))
        if isinstance(formatted, str):
            newline = "\r\n" if "\r\n" in fence[0] else "\n"
            parts += [page.text[done:start], formatted.replace("\n", newline)]
            done = end
        else:
            problems += formatted
    return tuple(problems) or "".join(parts) + page.text[done:]
