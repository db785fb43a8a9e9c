"""Mistakes in characters, strings, comments and numbers."""

from __future__ import annotations

import re
import unicodedata

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.mistakes.wrong import Wrong

# ---- characters and strings


def open_string(wrong: Wrong) -> Diagnostic | None:
    if wrong.kind(wrong.at) != "open_string":
        return None
    return diagnostic(
        "KVS025",
        "this string is never closed",
        wrong.span(wrong.at),
        help='write the closing `"` on the same line; a quote inside is written \\"',
    )


_QUOTES = "'‘’‚‛“”„‟«»`"


def quotes(wrong: Wrong) -> Diagnostic | None:
    if wrong.kind(wrong.at) != "foreign" or wrong.text(wrong.at) not in _QUOTES:
        return None
    start = wrong.words[wrong.at].start
    closing = re.compile(f'[{_QUOTES}"]').search(wrong.source.text, start + 1, wrong.end)
    if closing is None:
        return diagnostic("KVS025", 'a string stands between `"` and `"`', wrong.span(wrong.at))
    span = Span(wrong.source, start, closing.end())
    mended = f'"{wrong.source.text[start + 1 : closing.start()]}"'
    return diagnostic(
        "KVS025", 'a string stands between `"` and `"`', span, help=f"write {mended}", fix=Fix(span, mended)
    )


def comment(wrong: Wrong) -> Diagnostic | None:
    for i in (wrong.at, wrong.at - 1):
        if wrong.text(i) == "/" and wrong.text(i + 1) in ("/", "*") and wrong.adjacent(i):
            if wrong.text(i - 1) == ":" and wrong.adjacent(i - 1):
                return None  # a URL
            span = wrong.span(i, i + 1)
            if wrong.kind(i - 1) in ("number", "name") and wrong.kind(i + 2) == "number":
                return diagnostic("KVS028", "`//` is no sign of the language", span, help="`/` divides, and exactly")
            return diagnostic(
                "KVS028",
                "comments begin with `#`",
                span,
                help="write `#` instead",
                fix=Fix(span, "#") if wrong.text(i + 1) == "/" else None,
            )
    return None


def environment(wrong: Wrong) -> Diagnostic | None:
    if not wrong.text(wrong.at).startswith("$"):
        return None
    text = wrong.source.text
    match = re.compile(r"\$\{[^}\n]*\}?|\$\w*").match(text, wrong.words[wrong.at].start)
    assert match is not None
    name = re.sub(r"\W", "", match[0]).lower()
    name = f"x{name}" if not name or name[0].isdigit() else name
    return diagnostic(
        "KVS028",
        f"`{match[0]}` is not replaced: nothing is read from the environment",
        Span(wrong.source, match.start(), match.end()),
        help=f"write `let {name} = ...`, use `{name}` here, and give it on the command line with `--set {name}=...`",
    )


def bare_path(wrong: Wrong) -> Diagnostic | None:
    """`path = /mnt/nvme`, `path = ./data`, `use team.kvs`, `endpoint = tcp://host`."""
    i = wrong.at
    previous = wrong.text(i - 1)
    begins = previous in ("=", "[", "(", ",") or (wrong.start == "item" and wrong.text(0) == "use" and i == 1)
    if begins and (wrong.text(i) in (".", "/", "~") and wrong.adjacent(i)):
        first = i
    elif wrong.start == "item" and wrong.text(0) == "use" and i == 2 and wrong.text(i) in (".", "/", "-"):
        first = 1
    elif wrong.text(i) == ":" and wrong.kind(i - 1) == "name" and wrong.kind(i + 1) == "number" and wrong.adjacent(i):
        first = i - 1  # localhost:7777
        if wrong.text(first - 1) != "=" and wrong.text(first - 1) not in ("[", ","):
            return None
    elif wrong.text(i) == ":" and wrong.text(i + 1) == "/" and wrong.text(i + 2) == "/" and i > 0:
        first = i - 1
    else:
        return None
    match = re.compile(r"[^\s,;\])}]+").match(wrong.source.text, wrong.words[first].start, wrong.end)
    assert match is not None
    span = Span(wrong.source, match.start(), match.end())
    mended = f'"{match[0]}"'
    return diagnostic("KVS025", "a text needs quotes", span, help=f"write {mended}", fix=Fix(span, mended))


_FOREIGN = {
    "&": ("`&` is not a sign of the language", "conditions are joined with `and`"),
    "|": ("`|` is not a sign of the language", "conditions are joined with `or`"),
    "!": ("`!` is not a sign of the language", "a condition is reversed with `not`"),
    "\\": ("a line cannot be continued with `\\`", "inside ( ) and [ ] a newline is a space"),
    "@": ("`@` is not a sign of the language", 'a text stands in quotes: "user@host"'),
    "^": ("`^` is not a sign of the language", "write the number itself; `pow2(1, 64)` is a range that doubles"),
    "−": ("this is a minus sign (U+2212), not a hyphen", "write `-`"),
    "–": ("this is a dash (U+2013), not a hyphen", "write `-`"),
    "×": ("this is a multiplication sign (U+00D7)", "write `*`"),
    "≥": ("`≥` is not a sign of the language", "write `>=`"),
    "≤": ("`≤` is not a sign of the language", "write `<=`"),
    "≠": ("`≠` is not a sign of the language", "write `!=`"),
}


def foreign(wrong: Wrong) -> Diagnostic | None:
    if wrong.kind(wrong.at) != "foreign":
        return None
    character = wrong.text(wrong.at)
    span = wrong.span(wrong.at)
    if character in _FOREIGN:
        message, help = _FOREIGN[character]
        return diagnostic("KVS028", message, span, help=help)
    name = unicodedata.name(character, "a character without a name").lower()
    point = f"U+{ord(character):04X}"
    if character.isspace() or unicodedata.category(character) in ("Cf", "Cc"):
        return diagnostic(
            "KVS028",
            f"an invisible character stands here: {name} ({point})",
            span,
            help="replace it by a plain space",
            fix=Fix(span, " "),
        )
    if character.isalpha():
        return diagnostic(
            "KVS028",
            f"`{character}` ({point}) cannot be part of a name",
            span,
            help="names are made of the letters a to z and A to Z, digits and `_`; any text may stand in quotes",
        )
    return diagnostic(
        "KVS028", f"`{character}` ({point}) means nothing here", span, help="remove it, or put the text in quotes"
    )


# ---- numbers


def number(wrong: Wrong) -> Diagnostic | None:
    i = wrong.at
    first = i if wrong.text(i + 1) == wrong.text(i) and wrong.adjacent(i) else i - 1
    if wrong.text(first) in ("*", "<") and wrong.text(first + 1) == wrong.text(first) and wrong.adjacent(first):
        sign = wrong.span(first, first + 1)
        help = "write the number itself, with its unit: `1 MiB`; `pow2(4 KiB, 1 MiB)` is a range that doubles"
        return diagnostic("KVS028", f"`{sign.text}` is no sign of the language", sign, help=help)
    if wrong.text(i) == "." and wrong.kind(i - 1) == "number" and wrong.adjacent(i - 1):
        if wrong.text(i + 1) == ".":
            return diagnostic(
                "KVS027",
                "a range is not written with dots",
                wrong.span(i - 1, i + 2),
                help="write `linear(from, to, count)`, `log(from, to, count)` or `pow2(from, to)`",
            )
        last = i + 1 if wrong.kind(i + 1) == "number" and wrong.adjacent(i) else i
        return diagnostic(
            "KVS027",
            f"`{wrong.span(i - 1, last).text}` is not a number",
            wrong.span(i - 1, last),
            help="a number has at most one point, with digits on both sides: 2.5, 0.5, 2.0",
        )
    if wrong.text(i) == "." and wrong.kind(i + 1) == "number" and wrong.adjacent(i):
        span = wrong.span(i, i + 1)
        return diagnostic(
            "KVS027",
            "a number has a digit before its point",
            span,
            help=f"write `0{span.text}`",
            fix=Fix(span, f"0{span.text}"),
        )
    if wrong.kind(i) == "name" and wrong.kind(i - 1) == "number" and wrong.adjacent(i - 1) and wrong.text(i)[0] == "_":
        return diagnostic(
            "KVS027",
            f"`{wrong.span(i - 1, i).text}` is not a number",
            wrong.span(i - 1, i),
            help="an underscore stands between two digits: 1_000_000",
        )
    return None


def grouped_digits(wrong: Wrong) -> Diagnostic | None:
    """`1,000` outside of brackets, and `1 000` anywhere."""
    i = wrong.at
    if wrong.text(i) == "," and not wrong.depth(i):
        first, second = i - 1, i + 1
        if not (wrong.adjacent(first) and wrong.adjacent(i)):
            return None
    elif wrong.kind(i) == "number" and wrong.kind(i - 1) == "number":
        first, second = i - 1, i
    else:
        return None
    if wrong.kind(first) != "number" or not re.fullmatch(r"[0-9]{3}", wrong.text(second)):
        return None
    last = second
    while wrong.text(last + 1) == wrong.text(i) == "," and re.fullmatch(r"[0-9]{3}", wrong.text(last + 2)):
        last += 2
    while wrong.text(i) != "," and re.fullmatch(r"[0-9]{3}", wrong.text(last + 1)):
        last += 1
    span = wrong.span(first, last)
    mended = re.sub(r"[,\s]+", "_", span.text)
    return diagnostic(
        "KVS027",
        "the digits of a number stand together",
        span,
        help=f"write `{mended.replace('_', '')}` or `{mended}`",
        fix=Fix(span, mended),
    )
