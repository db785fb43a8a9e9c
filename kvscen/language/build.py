"""What the grammar's rules become: the nodes of the syntax tree.

lark calls a method of the builder for each rule that it recognizes, so that no tree of lark's is made first. The
children are all that the rule consists of, its keywords and signs included: a node's span is from the first to the
last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, get_args

import attrs
from lark import Token

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.syntax import (
    FIELDS,
    And,
    Axis,
    Binary,
    Block,
    Boolean,
    Call,
    Compare,
    Condition,
    Document,
    Expect,
    Expr,
    Find,
    Ident,
    Let,
    ListExpr,
    Name,
    Negate,
    Not,
    Number,
    Or,
    Path,
    Setting,
    Skip,
    Statement,
    Text,
    TupleExpr,
    Use,
)

#: A longer number, or one with a larger exponent, is a slip; Fraction would compute it for hours.
MAX_NUMBER_LENGTH = 100
MAX_EXPONENT = 100

#: Expressions nested deeper than this are refused, so that nobody's recursion over them can run out of stack.
MAX_DEPTH = 64

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


_EXPRESSIONS = frozenset((*get_args(Expr), *get_args(Condition)))


@attrs.frozen
class _Group:
    """An expression or condition in parentheses: its node does not count them, what it is a part of does."""

    node: Any
    span: Span


def _bare(child: Any) -> Any:
    return child.node if type(child) is _Group else child


def _nodes(children: Sequence[Any]) -> tuple[Any, ...]:
    """Without keywords and signs."""
    return tuple(_bare(child) for child in children if type(child) is not Token)


class Builder:
    """Makes the nodes of one text at a time. The names of the methods are those of the grammar's rules."""

    def __init__(self) -> None:
        self.begin(Source("", ""), 0)

    def begin(self, source: Source, offset: int) -> None:
        """A text follows, which begins at this offset of the source."""
        self.source = source
        self.offset = offset
        self.problems: list[Diagnostic] = []
        self._expressions = 0
        self._many = False

    def result(self, made: Any) -> tuple[Any | None, tuple[Diagnostic, ...]]:
        """The node of the whole text, or None and what is wrong inside of it."""
        node, problems = _bare(made), tuple(self.problems)
        self._statement()
        if self._many:
            deep = too_deep(node)
            if deep is not None:
                problems = (_nested_too_deeply(deep),)
        self.begin(Source("", ""), 0)  # nothing of the text is kept
        return (None if problems else node), problems

    def _statement(self) -> None:
        """So ends what holds whole expressions. As long as these are few they cannot be nested too deeply."""
        self._many = self._many or self._expressions > MAX_DEPTH
        self._expressions = 0

    def _span(self, children: Sequence[Any]) -> Span:
        first, last = children[0], children[-1]
        # Of each token lark knows both.
        start = first.start_pos + self.offset if type(first) is Token else first.span.start  # type: ignore[operator]
        end = last.end_pos + self.offset if type(last) is Token else last.span.end  # type: ignore[operator]
        return Span(self.source, start, end)

    def _token_span(self, token: Token) -> Span:
        assert token.start_pos is not None and token.end_pos is not None
        return Span(self.source, self.offset + token.start_pos, self.offset + token.end_pos)

    def _ident(self, token: Token) -> Ident:
        return Ident(str(token), self._token_span(token))

    # ---- items

    def document(self, children: list[Any]) -> Document:
        version, *items = _nodes(children)
        return Document(self.source, version, tuple(items))

    def version(self, children: list[Token]) -> int | None:
        text = str(children[1])
        if text == "1":
            return 1
        self.problems.append(
            diagnostic(
                "KVS011",
                f"version `{text}` of the language is unknown",
                self._token_span(children[1]),
                help="this kvscen reads version 1: write `kvs 1`",
            )
        )
        return None

    def use(self, children: list[Token]) -> Use:
        target = children[1]
        if target.type == "STRING":
            return Use(self._unescape(target), True, self._span(children))
        return Use(str(target), False, self._span(children))

    def let(self, children: list[Any]) -> Let:
        self._statement()
        return Let(self._ident(children[1]), _bare(children[3]), self._span(children))

    def header(self, children: list[Any]) -> Block:
        self._statement()
        base = children[3] if len(children) > 2 else None
        if type(base) is Token:
            base = self._ident(base)
        return Block(str(children[0]), self._ident(children[1]), base, (), self._span(children))

    def block(self, children: list[Any]) -> Block:
        header = children[0]
        return Block(header.kind, header.name, header.base, children[-2], self._span(children))

    def body(self, children: list[Any]) -> tuple[Statement, ...]:
        return _nodes(children)

    # ---- statements

    def setting(self, children: list[Any]) -> Setting:
        self._statement()
        return Setting(children[0], _bare(children[2]), self._span(children))

    def axis(self, children: list[Any]) -> Axis:
        self._statement()
        return Axis((children[0],), _bare(children[2]), self._span(children))

    def grouped(self, children: list[Any]) -> Axis:
        self._statement()
        return Axis(_nodes(children[:-1]), _bare(children[-1]), self._span(children))

    def skip(self, children: list[Any]) -> Skip:
        self._statement()
        return Skip(_bare(children[2]), self._span(children))

    def expect(self, children: list[Any]) -> Expect:
        self._statement()
        measure, operator, value = children[1:4]
        when = _bare(children[5]) if len(children) > 4 else None
        return Expect(measure, str(operator), _bare(value), when, self._span(children))  # type: ignore[arg-type]

    def find_edge(self, children: list[Any]) -> Find:
        self._statement()
        side, path = children[1:3]
        return Find(str(side), path, tuple(children[4::2]), None, None, self._span(children))  # type: ignore[arg-type]

    def find_saturation(self, children: list[Any]) -> Find:
        self._statement()
        share = _bare(children[7]) if len(children) > 6 else None
        return Find("saturation", children[5], (), children[3], share, self._span(children))

    def path(self, children: list[Token]) -> Path:
        return Path(tuple(str(part) for part in children[::2]), self._span(children))

    left = path

    # ---- conditions

    def either(self, children: list[Any]) -> Or:
        self._expressions += 1
        return Or(_nodes(children), self._span(children))

    def both(self, children: list[Any]) -> And:
        self._expressions += 1
        return And(_nodes(children), self._span(children))

    def negate(self, children: list[Any]) -> Not:
        self._expressions += 1
        return Not(_bare(children[1]), self._span(children))

    def negation(self, children: list[Any]) -> _Group:
        return _Group(_bare(children[1]), self._span(children))

    def compare(self, children: list[Any]) -> Compare:
        self._expressions += 1
        path, operator, value = children
        return Compare(path, str(operator), _bare(value), self._span(children))  # type: ignore[arg-type]

    # ---- values

    def binary(self, children: list[Any]) -> Binary:
        self._expressions += 1
        left, operator, right = children
        return Binary(str(operator), _bare(left), _bare(right), self._span(children))  # type: ignore[arg-type]

    def minus(self, children: list[Any]) -> Negate:
        self._expressions += 1
        return Negate(_bare(children[1]), self._span(children))

    def number(self, children: list[Token]) -> Number:
        self._expressions += 1
        value = self._fraction(children[0])
        if len(children) > 1:
            return Number(value, str(children[1]), self._span(children), self._token_span(children[1]))
        return Number(value, None, self._span(children))

    def text(self, children: list[Token]) -> Text:
        self._expressions += 1
        return Text(self._unescape(children[0]), self._span(children))

    def boolean(self, children: list[Token]) -> Boolean:
        self._expressions += 1
        return Boolean(children[0].type == "TRUE", self._span(children))

    def name(self, children: list[Path]) -> Name:
        self._expressions += 1
        return Name(children[0], children[0].span)

    def atom(self, children: list[Any]) -> _Group:
        return _Group(_bare(children[1]), self._span(children))

    def call(self, children: list[Any]) -> Call:
        self._expressions += 1
        return Call(self._ident(children[0]), _nodes(children), self._span(children))

    def sequence(self, children: list[Any]) -> ListExpr:
        self._expressions += 1
        return ListExpr(_nodes(children), self._span(children))

    def row(self, children: list[Any]) -> TupleExpr:
        self._expressions += 1
        return TupleExpr(_nodes(children), self._span(children))

    # ---- the inside of tokens

    def _fraction(self, token: Token) -> Fraction:
        if len(token) < 10 and token.isdecimal():
            return Fraction(int(token))
        mantissa, _, exponent = token.lower().partition("e")
        if len(mantissa) > MAX_NUMBER_LENGTH or len(exponent) > 5 or abs(int(exponent or 0)) > MAX_EXPONENT:
            self.problems.append(
                diagnostic(
                    "KVS027",
                    "this number is out of range",
                    self._token_span(token),
                    help=f"a number has at most {MAX_NUMBER_LENGTH} digits and an exponent of at most {MAX_EXPONENT}",
                )
            )
            return Fraction(0)
        return Fraction(token.replace("_", ""))

    def _unescape(self, token: Token) -> str:
        start = self._token_span(token).start

        def replace(match: re.Match[str]) -> str:
            known = _ESCAPES.get(match[1])
            if known is None:
                self.problems.append(
                    diagnostic(
                        "KVS032",
                        f"`{match[0]}` means nothing in a string",
                        Span(self.source, start + match.start(), start + match.end()),
                        help='the escapes are \\" \\\\ \\n \\t; a backslash itself is written \\\\',
                    )
                )
                return ""
            return known

        # The quotes cannot be part of an escape: the one before the end would be the quote itself.
        return _ESCAPE.sub(replace, token)[1:-1]


def too_deep(node: Any) -> Span | None:
    """The whole of an expression with too many others inside each other, or None."""
    pending: list[tuple[Any, int, Any]] = [(node, 0, node)]
    while pending:
        node, depth, outermost = pending.pop()
        kind = type(node)
        if kind is tuple:
            pending.extend((child, depth, outermost) for child in node)
            continue
        if kind in _EXPRESSIONS:
            depth += 1
            outermost = node if depth == 1 else outermost
            if depth > MAX_DEPTH:
                span: Span = outermost.span
                return span
        pending.extend((getattr(node, name), depth, outermost) for name in FIELDS.get(kind, ()))
    return None


def _nested_too_deeply(span: Span) -> Diagnostic:
    return diagnostic(
        "KVS033", "this expression is nested too deeply", span, help="split it: give its parts names with `let`"
    )
