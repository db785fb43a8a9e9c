"""Diagnostics as text: for people (full, concise), for programs (json) and for GitHub's annotations (github).

Everything but json is free of control characters, whatever a scenario or a plugin puts into a name or a message.
"""

from __future__ import annotations

import bisect
import functools
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, get_args

from kvscen.language.diagnose import Diagnostic, Fix, Severity, Source, Span

Format: TypeAlias = Literal["full", "concise", "json", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)

#: The widest piece of a source line that is shown, in columns of the terminal. A longer one is cut around the caret.
WINDOW = 120
_TAB = 4

_COLORS = {
    Severity.ERROR: "\x1b[1;31m",
    Severity.WARNING: "\x1b[1;33m",
    Severity.INFO: "\x1b[1;36m",
}
_BOLD, _BLUE, _RESET = "\x1b[1m", "\x1b[1;34m", "\x1b[0m"
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(diagnostics: Iterable[Diagnostic], format: Format = "full", color: bool = False) -> str:
    """The diagnostics in this order, each line ended.

    `full` and `concise` close with a line that counts them and are empty where there are none; json is an object even
    then. `color` (ANSI) is for `full` and `concise`.
    """
    found = tuple(diagnostics)
    if format == "json":
        return json.dumps(_object(found), indent=2, ensure_ascii=True) + "\n"
    if format == "github":
        return "".join(_annotation(d) + "\n" for d in found)
    if not found:
        return ""
    paint = _paint if color else _plain
    if format == "concise":
        lines = [_one_line(d, paint) for d in found]
    else:
        lines = [_full(d, paint, also) + "\n" for d, also in _folded(found)]
    return "\n".join([*lines, summary(found)]) + "\n"


#: As many that say the same of a file, word for word, are shown once, with the lines of all.
_MANY = 3


def _folded(found: Sequence[Diagnostic]) -> Iterator[tuple[Diagnostic, Sequence[Span]]]:
    """Each diagnostic, and where the same is said again."""
    alike: dict[object, list[Diagnostic]] = {}
    for item in found:
        same = (item.code, item.message, item.label, item.help, item.span.source if item.span else None)
        alike.setdefault(item if item.related else same, []).append(item)
    shown = {id(group[0]): group[1:] for group in alike.values() if len(group) >= _MANY}
    hidden = {id(item) for rest in shown.values() for item in rest}
    for item in found:
        if id(item) not in hidden:
            yield item, [each.span for each in shown.get(id(item), ()) if each.span is not None]


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`; empty where there are none."""
    counts = dict.fromkeys(Severity, 0)
    for diagnostic in diagnostics:
        counts[diagnostic.severity] += 1
    return ", ".join(f"{n} {s.value}{'s' if n > 1 else ''}" for s, n in counts.items() if n).replace("infos", "info")


def _paint(text: str, style: str) -> str:
    return f"{style}{text}{_RESET}" if text else text


def _plain(text: str, style: str) -> str:
    return text


# ---- for people


def _head(diagnostic: Diagnostic, paint: Any) -> str:
    return str(paint(f"{diagnostic.severity.value}[{diagnostic.code}]", _COLORS[diagnostic.severity]))


def _one_line(diagnostic: Diagnostic, paint: Any) -> str:
    place = f"{_clean(str(diagnostic.span))}: " if diagnostic.span else ""
    return f"{place}{_head(diagnostic, paint)} {_clean(diagnostic.message)}"


def _full(diagnostic: Diagnostic, paint: Any, also: Sequence[Span] = ()) -> str:
    message = "\n".join(_clean(line) for line in diagnostic.message.splitlines() or [""])
    lines = [f"{_head(diagnostic, paint)}{paint(':', _BOLD)} {paint(message, _BOLD)}"]
    marks = [] if diagnostic.span is None else [(diagnostic.span, diagnostic.label, True)]
    marks += [(span, text, False) for span, text in diagnostic.related]
    width = max((len(str(_position(span)[0])) for span, _, _ in marks), default=1)
    gutter = " " * width
    if marks:
        # The primary place first; the others of its file around it in the order of the lines, other files below.
        main = marks[0][0].source
        if diagnostic.span is not None:
            lines.append(f"{gutter}{paint('-->', _BLUE)} {_clean(str(diagnostic.span))}")
        else:
            lines.append(f"{gutter}{paint('-->', _BLUE)} {_clean(str(marks[0][0]))}")
        lines += _snippet([m for m in marks if m[0].source is main], width, diagnostic.severity, paint)
        for span, text, primary in marks:
            if span.source is not main:
                lines.append(f"{gutter}{paint(':::', _BLUE)} {_clean(str(span))}")
                lines += _snippet([(span, text, primary)], width, diagnostic.severity, paint)
    for number, line in enumerate(diagnostic.help.splitlines()):
        lead = f"{gutter} {paint('=', _BLUE)} {paint('help:', _BOLD)} " if number == 0 else f"{gutter}         "
        lines.append(lead + _clean(line))
    if also:
        places = ", ".join(dict.fromkeys(str(_position(span)[0]) for span in also))
        lines.append(f"{gutter} {paint('=', _BLUE)} {paint('also:', _BOLD)} the same in line {places}")
    return "\n".join(lines)


def _snippet(marks: Sequence[tuple[Span, str, bool]], width: int, severity: Severity, paint: Any) -> list[str]:
    """The source lines of one file with their marks below, after a line that is empty but for the gutter."""
    bar = paint("|", _BLUE)
    lines = [f"{' ' * width} {bar}"]
    by_line: dict[int, list[tuple[Span, str, bool]]] = {}
    for mark in marks:
        by_line.setdefault(_position(mark[0])[0], []).append(mark)
    before = None
    for number in sorted(by_line):
        if before is not None and number > before + 1:
            lines.append(paint("...", _BLUE))
        before = number
        for index, (span, text, primary) in enumerate(sorted(by_line[number], key=lambda m: (not m[2], m[0].start))):
            shown, start, length = _window(span)
            if index == 0:
                lines.append(f"{paint(f'{number:>{width}}', _BLUE)} {bar} {shown}".rstrip())
                anchor = shown
            elif shown != anchor:  # a long line: this mark needs a window of its own
                lines.append(f"{paint(f'{number:>{width}}', _BLUE)} {bar} {shown}".rstrip())
            style = _COLORS[severity] if primary else _BLUE
            under = ("^" if primary else "-") * length
            label = f" {_clean(text)}" if text else ""
            lines.append(f"{' ' * width} {bar} {' ' * start}{paint(under + label, style)}")
    return lines


def _position(span: Span) -> tuple[int, int]:
    return span.source.position(min(span.start, len(span.source.text)))


def _window(span: Span) -> tuple[str, int, int]:
    """(the span's first line as shown, column of the first mark, marks), in columns of the terminal."""
    number, column = _position(span)
    line = span.source.line(number)
    first = min(column - 1, len(line))
    last = min(max(first, first + span.end - span.start), len(line))
    cells, edges = _cells(line)
    start, length = edges[first], max(1, edges[last] - edges[first])
    if edges[-1] <= WINDOW:
        return "".join(cells), start, length
    # Keep what is marked, then what stands before it, then what follows.
    from_column = max(0, min(start - WINDOW // 3, edges[-1] - WINDOW))
    begin = bisect.bisect_left(edges, from_column)
    stop = bisect.bisect_right(edges, edges[begin] + WINDOW) - 1
    head, tail = ("…" if begin else ""), ("…" if stop < len(cells) else "")
    shown_length = max(1, min(length, edges[stop] - start))
    return head + "".join(cells[begin:stop]) + tail, start - edges[begin] + len(head), shown_length


def _cells(line: str) -> tuple[Sequence[str], Sequence[int]]:
    """How each character of a source line is shown, and the column of each and of the end."""
    if _is_plain(line):
        return line, range(len(line) + 1)
    cells: list[str] = []
    edges = [0]
    for character in line:
        cell = _cell(character, edges[-1])
        cells.append(cell)
        edges.append(edges[-1] + _width(cell))
    return cells, edges


def _is_plain(text: str) -> bool:
    """Of printable ASCII, as nearly every text is: shown as it is, a column for a character."""
    return text.isascii() and text.isprintable()


def _cell(character: str, column: int) -> str:
    """How one character of a source line is shown."""
    if character == "\t":
        return " " * (_TAB - column % _TAB)
    return _visible(character)


@functools.lru_cache(maxsize=1024)
def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return chr(0x2400 + ord(character)) if ord(character) < 0x20 else "\N{REPLACEMENT CHARACTER}"
    # Surrogates cannot be printed; format characters may reverse the line, except the joiners of emoji and scripts.
    if category == "Cs" or (category == "Cf" and character not in "\u200c\u200d\u00ad"):
        return "\N{REPLACEMENT CHARACTER}"
    if category in ("Zl", "Zp"):
        return " "
    return character


@functools.lru_cache(maxsize=1024)
def _width(shown: str) -> int:
    """Columns that it takes on a terminal."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in ("W", "F")
        else 1
        for c in shown
    )


def _clean(text: str) -> str:
    """One line that can be printed anywhere."""
    if _is_plain(text):
        return text
    return "".join(" " if c in "\t\n\r\v\f" else _visible(c) for c in text)


# ---- for programs


def _object(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    count = {s: sum(d.severity is s for d in diagnostics) for s in Severity}
    return {
        "errors": count[Severity.ERROR],
        "warnings": count[Severity.WARNING],
        "infos": count[Severity.INFO],
        "diagnostics": [
            {
                "code": d.code,
                "severity": d.severity.value,
                "message": d.message,
                "place": place_of(d.span),
                "label": d.label or None,
                "help": d.help or None,
                "fix": _fix(d.fix) if d.fix else None,
                "related": [{"place": place_of(span), "message": text} for span, text in d.related],
            }
            for d in diagnostics
        ],
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {"place": place_of(fix.span), "replacement": fix.replacement, "safe": fix.safe}


def place_of(span: Span | None) -> dict[str, Any] | None:
    """Lines and columns count from 1, the offsets `start` and `end` from 0, in characters; ends are exclusive."""
    if span is None:
        return None
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "start": span.start,
        "end": span.end,
    }


def _annotation(diagnostic: Diagnostic) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    properties = {}
    if diagnostic.span is not None:
        place = place_of(diagnostic.span)
        assert place is not None
        properties["file"] = place["file"]
        properties["line"] = str(place["line"])
        if place["line"] == place["end_line"]:  # GitHub ignores columns of several lines
            properties["col"] = str(place["column"])
            properties["endColumn"] = str(place["end_column"])
        else:
            properties["endLine"] = str(place["end_line"])
    properties["title"] = diagnostic.code
    listed = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    text = diagnostic.message + (f"\nhelp: {diagnostic.help}" if diagnostic.help else "")
    return f"::{_GITHUB[diagnostic.severity]} {listed}::{_escape_data(text)}"


def _escape_data(text: str) -> str:
    return _printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    return "".join(_visible(c) for c in text)


def sorted_by_place(diagnostics: Iterable[Diagnostic], first: Source | None = None) -> tuple[Diagnostic, ...]:
    """Each once, in the order of the text: those without a place, those of the file `first`, then other files."""

    def key(diagnostic: Diagnostic) -> tuple[int, str, int, int]:
        if diagnostic.span is None:
            return 0, "", 0, 0
        source = diagnostic.span.source
        return 1 if source is first else 2, source.name, diagnostic.span.start, diagnostic.span.end

    return tuple(sorted(dict.fromkeys(diagnostics), key=key))
