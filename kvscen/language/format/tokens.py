"""The words and signs of a well-formed text, with the comments and separators that stand between them.

The grammar's own lexer reads the words; what lies between two of them is white space, comments, `;` and `,`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs
from lark import Token

from kvscen.language.pieces import tokens_of

#: Not words: they only separate.
_SEPARATORS = ("_NEWLINE", "SEMICOLON", "COMMA")

_COMMENT = re.compile(r"#[^\n]*")


@attrs.frozen
class Comment:
    """A comment on a line of its own. `blank`: a blank line precedes it. `below`: it goes on with the comment at the
    end of the line before, in the same column."""

    text: str
    blank: bool = False
    below: bool = False


@attrs.frozen
class Mark:
    """A word or sign, which begins at the offset `start`. `before`: the comments on lines of their own that precede
    it; `after`: the comment that ends its line. `newline`, `blank`, `comma`: what stands between it and the word
    before; `separated`: a newline or a `;` does."""

    kind: str
    text: str
    start: int
    before: tuple[Comment, ...]
    after: str | None
    newline: bool
    blank: bool
    comma: bool
    separated: bool


def read(text: str, start: str = "document") -> tuple[Mark, ...]:
    """The marks of a text (of what `start` names, of grammar.STARTS), and one of the kind END. Raises
    lark.exceptions.UnexpectedInput for what is not well formed."""
    return marks_of(text, tokens_of(text, start))


def marks_of(text: str, tokens: Sequence[Token]) -> tuple[Mark, ...]:
    """The same of a text whose tokens are known."""
    words = [
        (token.type, str(token), token.start_pos or 0, token.end_pos or 0)
        for token in tokens
        if token.type not in _SEPARATORS
    ]
    words.append(("END", "", len(text), len(text)))
    return tuple(_marks(text, words))


def _marks(text: str, words: list[tuple[str, str, int, int]]) -> Iterator[Mark]:
    gap = _Gap.of(text, 0, words[0][2])
    for i, (kind, word, start, end) in enumerate(words):
        following = _Gap.of(text, end, words[i + 1][2]) if i + 1 < len(words) else _Gap()
        yield Mark(kind, word, start, gap.own, following.trailing, gap.newline, gap.blank, gap.comma, gap.separated)
        gap = following


@attrs.frozen
class _Gap:
    """What stands between two words."""

    trailing: str | None = None
    own: tuple[Comment, ...] = ()
    newline: bool = False
    blank: bool = False
    comma: bool = False
    separated: bool = False

    @classmethod
    def of(cls, text: str, start: int, end: int) -> _Gap:
        gap = text[start:end]
        if not gap or gap == " ":
            return cls()
        first, *rest = gap.split("\n")
        if start == 0:
            rest = [first, *rest]
            first = ""
        trailing = _comment(first)
        # The column of the comment that the next line may go on with.
        line_start = text.rfind("\n", 0, start) + 1
        column = None if trailing is None else _column(text[line_start:start] + first)
        own: list[Comment] = []
        blank = False
        for line in rest[:-1]:
            comment = _comment(line)
            if comment is None:
                blank = blank or not line.strip()
                column = None
                continue
            below = not blank and column is not None and _column(line) == column
            own.append(Comment(comment, blank, below))
            column = column if below else None
            blank = False
        signs = _COMMENT.sub("", gap)
        return cls(trailing, tuple(own), bool(rest), blank, "," in signs, bool(rest) or ";" in signs)


def _comment(line: str) -> str | None:
    found = _COMMENT.search(line)
    return found[0].rstrip() if found else None


def _column(line: str) -> int:
    """Where the comment of a line begins. Strings were left to the words, but before the comment they may stand in
    the line."""
    comment = _COMMENT.search(_STRING.sub(lambda found: "x" * len(found[0]), line))
    return len(line[: comment.start()].expandtabs(8)) if comment else -1


_STRING = re.compile(r'"([^"\\\n]|\\[^\n])*"')


def signature(marks: tuple[Mark, ...]) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """The words, each with whether a comma precedes it, and the comments. A comma before a closing bracket does not
    count, but in `(a,)`, a row of one."""
    words: list[tuple[str, str, bool]] = []
    comments: list[str] = []
    commas: list[int | None] = []  # how many commas each open bracket has; None for those of a call
    before = ""
    for mark in marks:
        comma = mark.comma
        if mark.kind in ("LPAR", "LSQB"):
            _count(commas, comma)
            commas.append(None if before == "NAME" and mark.kind == "LPAR" else 0)
        elif mark.kind in ("RPAR", "RSQB"):
            comma = comma and mark.kind == "RPAR" and commas[-1] == 0
            commas.pop()
        else:
            _count(commas, comma)
        words.append((mark.kind, mark.text, comma))
        comments.extend(comment.text for comment in mark.before)
        if mark.after is not None:
            comments.append(mark.after)
        before = mark.kind
    return words, comments


def _count(commas: list[int | None], comma: bool) -> None:
    if comma and commas and commas[-1] is not None:
        commas[-1] += 1
