"""Mistakes in how a text is laid out: the lists, braces and blocks of YAML, JSON and Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Source, Span
from kvscen.language.mistakes.items import NOT_THERE, kind_meant
from kvscen.language.scan import KINDS, Word


def dashed(source: Source, words: Sequence[Word], items: Sequence[Span], sweep: bool) -> Diagnostic:
    """Lines that begin with `-`. `words` stand before them, and end with the sign that asks for a value, if there are
    any; `items` are the values without their dashes. `sweep`: they stand in one."""
    values = [value for item in items if (value := " ".join(item.text.split()))]
    listed = f"[{', '.join(values)}]"
    begin = words[0].start if words else items[0].start - 1
    span = Span(source, begin, items[-1].end)
    first_line = source.text.find("\n", begin, span.end)
    marked = Span(source, begin, span.end if first_line < 0 else first_line)
    if not words:
        help = f"a list stands in [ ]: {listed}; a calculation goes on in the next line inside ( )"
        return diagnostic("KVS020", "a line cannot begin with `-`", marked, help=help)
    path = Span(source, begin, words[-2].end if len(words) > 1 else words[-1].end).text
    sign = "in" if sweep or words[-1].text == "in" else "="
    if words[0].text in ("expect", "skip") and values:
        opening = "skip when" if words[0].text == "skip" else "expect"
        help = f"write each in a line of its own: `{opening} {values[0]}`"
        return diagnostic("KVS020", f"`{words[0].text}` stands before each of its conditions", marked, help=help)
    if any(":" in value for value in values):
        help = (
            f"in [ ] stand values alone, such as `{path} {sign} [a, b]`; what belongs to one is said in its own block"
        )
        return diagnostic("KVS020", "a list has no lines with `-`", marked, help=help)
    mended = f"{path} {sign} {listed}"
    return diagnostic(
        "KVS020",
        "a list stands in [ ], not in lines with `-`",
        marked,
        help=f"write `{mended}`",
        fix=Fix(span, mended),
    )


def braced(source: Source, words: Sequence[Word], brace: int) -> Diagnostic:
    """Braces inside a block: `depth in {1, 2}`, `options { a = 1 }`. `words[brace]` is the first."""
    marked = Span(source, words[0].start, words[brace].end)
    inner = [word for word in words[brace + 1 : -1] if word.kind != "newline"] if words[-1].text == "}" else []
    signs = {word.text for word in inner} & {"=", ":", "{"}
    if inner and not signs and brace > 1 and words[brace - 1].text in ("=", "in", ":"):
        values = " ".join(Span(source, inner[0].start, inner[-1].end).text.split())
        before = Span(source, words[0].start, words[brace - 2].end).text
        alone = words[brace - 1].text != "in" and "," not in values
        mended = f"{before} = {values}" if alone else f"{before} {_sign(words[brace - 1].text)} [{values}]"
        if alone:
            return diagnostic("KVS020", "a value has no braces", marked, help=f"write `{mended}`")
        return diagnostic("KVS020", "a list stands in [ ], not in braces", marked, help=f"write `{mended}`")
    return diagnostic(
        "KVS020",
        "braces cannot stand inside a block",
        marked,
        help="a setting is written `name = value`; a list stands in [ ]",
    )


def _sign(written: str) -> str:
    return "in" if written == "in" else "="


def indented(source: Source, head: Sequence[Word], body: Sequence[Word]) -> Diagnostic:
    """`tier disk:` with its settings below it, further to the right."""
    word = head[0].text
    kind = word if word in KINDS else kind_meant(word)
    name = head[1].text if len(head) > 1 and head[1].kind == "name" else "NAME"
    span = Span(source, head[0].start, head[-1].end)
    if word in NOT_THERE:
        return diagnostic("KVS020", f"there is no `{word}` in the language", span, help=NOT_THERE[word])
    if kind not in KINDS:
        help = 'write blocks, such as `tier disk : posix { path = "./kv-data" }`; those above `{` are of the kinds '
        return diagnostic("KVS020", f"`{word}:` begins no block", span, help=help + ", ".join(KINDS))
    base = _base(body, _BASES.get(kind, "BASE"))
    written = f"{kind} {name}{'' if kind == 'sweep' else f' : {base}'} {{ name = value ... }}"
    return diagnostic("KVS020", "a block stands in braces, whatever is indented", span, help=f"write `{written}`")


def section(source: Source, words: Sequence[Word]) -> Diagnostic:
    """`[tier.disk]`, `[global]`: what a file of TOML or fio has above its settings."""
    span = Span(source, words[0].start, words[-1].end)
    names = [word.text for word in words if word.kind == "name"]
    kind = next((meant for name in names if (meant := name if name in KINDS else kind_meant(name)) in KINDS), None)
    if kind is None:
        help = 'settings stand in blocks, such as `tier disk : posix { path = "./kv-data" }`, and in no other sections'
        return diagnostic("KVS020", "this is no list, and a file has no sections", span, help=help)
    base = f" : {_BASES.get(kind, 'BASE')}" if kind != "sweep" else ""
    name = names[-1] if len(names) > 1 else "NAME"
    return diagnostic(
        "KVS020", "a block stands in braces", span, help=f"write `{kind} {name}{base} {{ name = value ... }}`"
    )


#: A base of each kind, for an example.
_BASES = {"tier": "posix", "pattern": "transfer", "users": "chat"}


def _base(body: Sequence[Word], otherwise: str) -> str:
    for key, sign, value in zip(body, body[1:], body[2:], strict=False):
        if key.text in ("driver", "type", "base", "kind") and sign.text in (":", "=") and value.kind == "name":
            return value.text
    return otherwise


def is_version(word: str) -> bool:
    """What others call the first line."""
    return re.fullmatch(r"version|kvscen|scenario_version|api_?version", word, re.IGNORECASE) is not None
