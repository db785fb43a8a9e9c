"""What a text allows: `# kvs: allow KVS401 because a smoke test needs no spread`.

It stands at the end of the line that the diagnostic points at, or on a line of its own above it. Errors cannot be
allowed. An `allow` that cannot be understood, names an unknown code or allows nothing is a problem itself: a comment
that no longer does what its reader believes is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

import attrs

from kvscen.language.codes import CODES, diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Severity, Source, Span
from kvscen.language.suggest import closest

#: A string (in which a # begins no comment), or a comment.
_PIECE = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|#[^\n]*')
_MARK = re.compile(r"#\s*kvs:\s*")
_ALLOW = re.compile(r"allow\s+(?P<codes>\w+(?:\s*,\s*\w+)*)\s+because\s+(?P<reason>\S.*)")
_HELP = "write `# kvs: allow KVS401 because ...`, with the reason in words"


@attrs.frozen
class Allow:
    """`codes` are allowed on the line `line`. `span` is the comment."""

    codes: tuple[Span, ...]
    reason: str
    span: Span
    line: int


@attrs.frozen
class Allowed:
    """A diagnostic that the text allows, and why."""

    diagnostic: Diagnostic
    reason: str


def allow(
    source: Source, found: Iterable[Diagnostic], is_code: Callable[[str], bool], judged: Collection[str]
) -> tuple[list[Diagnostic], tuple[Allowed, ...], list[Diagnostic]]:
    """(what is to be shown, what is allowed, what is wrong with the `allow`s of `source`).

    Each file allows what points at its own lines. Of a code that is not among `judged` nobody knows whether it would
    have been found.
    """
    shown: list[Diagnostic] = []
    allowed: list[Allowed] = []
    useful: set[tuple[Span, str]] = set()
    by_source: dict[int, dict[int, list[Allow]]] = {}
    errors: set[tuple[str, int]] = set()
    for item in found:
        if item.span is None:
            shown.append(item)
            continue
        of_file = item.span.source
        if id(of_file) not in by_source:
            by_source[id(of_file)] = _by_line(each for each in allows(of_file) if isinstance(each, Allow))
        hit = next(_hits(item, by_source[id(of_file)]), None)
        if hit is None:
            shown.append(item)
        elif item.severity is Severity.ERROR:
            errors.add((item.code, hit.line))
            shown.append(item)
        else:
            useful.add((hit.span, item.code))
            allowed.append(Allowed(item, hit.reason))
    wrong = list(_wrong(source, is_code, judged, useful, errors))
    return shown, tuple(allowed), wrong


def allows(source: Source) -> Iterator[Allow | Diagnostic]:
    """What the comments of a text allow, and those that cannot be understood."""
    for piece in _PIECE.finditer(source.text):
        mark = _MARK.match(piece[0])
        if mark is None:
            continue
        text = piece[0].rstrip()
        span = Span(source, piece.start(), piece.start() + len(text))
        match = _ALLOW.fullmatch(text, mark.end())
        if match is None:
            yield _not_understood(text[mark.end() :], span)
            continue
        start = piece.start() + match.start("codes")
        codes = tuple(
            Span(source, start + code.start(), start + code.end()) for code in re.finditer(r"\w+", match["codes"])
        )
        yield Allow(codes, match["reason"], span, _line_meant(source, piece.start()))


def _line_meant(source: Source, start: int) -> int:
    """The line of a comment that ends one; of a comment on a line of its own the next one that is more."""
    line, column = source.position(start)
    if source.line(line)[: column - 1].strip():
        return line
    last, _ = source.position(len(source.text))
    for below in range(line + 1, last + 1):
        text = source.line(below).strip()
        if text and not text.startswith("#"):
            return below
    return line


def _by_line(found: Iterable[Allow]) -> dict[int, list[Allow]]:
    lines: dict[int, list[Allow]] = {}
    for each in found:
        lines.setdefault(each.line, []).append(each)
    return lines


def _hits(item: Diagnostic, lines: dict[int, list[Allow]]) -> Iterator[Allow]:
    assert item.span is not None
    if not lines:
        return
    source = item.span.source
    # A statement of several lines has the comment behind its first or its last one.
    for line in dict.fromkeys((source.position(item.span.start)[0], source.position(item.span.end)[0])):
        for each in lines.get(line, ()):
            if any(code.text == item.code for code in each.codes):
                yield each


def _wrong(
    source: Source,
    is_code: Callable[[str], bool],
    judged: Collection[str],
    useful: Collection[tuple[Span, str]],
    errors: Collection[tuple[str, int]],
) -> Iterator[Diagnostic]:
    for each in allows(source):
        if isinstance(each, Diagnostic):
            yield each
            continue
        for span in each.codes:
            code = span.text
            if not is_code(code):
                close = closest(code.upper(), sorted(CODES))
                yield diagnostic(
                    "KVS041",
                    f"no diagnostic has the code `{code}`",
                    span,
                    help=f"did you mean `{close}`?" if close else "write the code that stands in the diagnostic",
                    fix=Fix(span, close) if close else None,
                )
            elif (code, each.line) in errors:
                yield diagnostic(
                    "KVS042",
                    f"`{code}` is an error here, and an error cannot be allowed",
                    span,
                    help="mend it, and take the comment out",
                )
            elif code in judged and (each.span, code) not in useful:
                yield diagnostic(
                    "KVS042",
                    f"`{code}` is allowed here, and nothing in line {each.line} has it",
                    span,
                    help="take the comment out, or move it to the line that the diagnostic points at",
                )


def _not_understood(text: str, span: Span) -> Diagnostic:
    verb = re.match(r"\w*", text)
    word = verb[0] if verb else ""
    if word != "allow":
        message = f"after `kvs:` stands `allow`, not `{word}`" if word else "after `kvs:` stands `allow`"
    elif not re.match(r"allow\s+\w+(\s*,\s*\w+)*\s*(because\b|$)", text):
        message = "this does not say which codes it allows"
    else:
        message = "this does not say why"
    return diagnostic("KVS040", message, span, help=_HELP)
