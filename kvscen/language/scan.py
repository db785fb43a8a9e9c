"""The words and signs of any text, well formed or not.

Only for texts that the grammar refused: to find where its pieces begin and end, and to say what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs

#: The kinds of block.
KINDS = ("model", "tier", "users", "pattern", "sweep")

#: What a `find` looks for.
FINDS = ("highest", "lowest", "saturation")

Kind: TypeAlias = Literal["newline", "string", "open_string", "number", "name", "sign", "foreign"]

_SCANNER = re.compile(
    r"""
      (?P<space>[ \t\r\f]+ | \#[^\n]*)
    | (?P<newline>\n)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<open_string>"[^\n]*?(?=[ \t]*\}?[ \t\r]*(?:\n|\Z)))    # a brace at the end of the line is the block's
    | (?P<number>[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>==|!=|<=|>=|[-+*/%=<>:;,.(){}\[\]])
    | (?P<foreign>\$\{[^}\n]*\} | .)
    """,
    re.VERBOSE | re.DOTALL,
)


@attrs.frozen
class Word:
    """A stretch [start, end) of a text that stands together."""

    kind: Kind
    text: str
    start: int
    end: int


def scan(text: str, start: int = 0, end: int | None = None) -> Iterator[Word]:
    """Every word of text[start:end] with its place in the text; only spaces and comments are left out."""
    for match in _SCANNER.finditer(text, start, len(text) if end is None else end):
        kind = match.lastgroup
        if kind != "space":
            yield Word(kind, match[0], match.start(), match.end())  # type: ignore[arg-type]
