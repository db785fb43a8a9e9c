"""From lark's tree to the syntax tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from lark import Token, Tree
from lark.visitors import Transformer_NonRecursive, v_args

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.syntax import (
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


@v_args(meta=True)
class Builder(Transformer_NonRecursive[Token, Any]):
    """Makes the nodes. `offset`: where the text begins in the source; `problems`: what is wrong inside of tokens."""

    def __init__(self, source: Source, offset: int = 0) -> None:
        super().__init__(visit_tokens=False)
        self.source = source
        self.offset = offset
        self.problems: list[Diagnostic] = []

    def _span(self, meta: Any) -> Span:
        return Span(self.source, self.offset + meta.start_pos, self.offset + meta.end_pos)

    def _token_span(self, token: Token) -> Span:
        assert token.start_pos is not None and token.end_pos is not None
        return Span(self.source, self.offset + token.start_pos, self.offset + token.end_pos)

    def _ident(self, token: Token) -> Ident:
        return Ident(str(token), self._token_span(token))

    # ---- items

    def document(self, meta: Any, children: list[Any]) -> Document:
        version, *items = children
        return Document(self.source, version, tuple(items))

    def version(self, meta: Any, children: list[Token]) -> int | None:
        text = str(children[0])
        if text == "1":
            return 1
        self.problems.append(
            diagnostic(
                "KVS011",
                f"version `{text}` of the language is unknown",
                self._token_span(children[0]),
                help="this kvscen reads version 1: write `kvs 1`",
            )
        )
        return None

    def use(self, meta: Any, children: list[Token]) -> Use:
        (target,) = children
        if target.type == "STRING":
            return Use(self._unescape(target), True, self._span(meta))
        return Use(str(target), False, self._span(meta))

    def let(self, meta: Any, children: list[Any]) -> Let:
        name, value = children
        return Let(self._ident(name), value, self._span(meta))

    def header(self, meta: Any, children: list[Any]) -> Block:
        kind, name, *base = children
        if base and isinstance(base[0], Token):
            base = [self._ident(base[0])]
        return Block(str(kind), self._ident(name), base[0] if base else None, (), self._span(meta))

    def block(self, meta: Any, children: list[Any]) -> Block:
        header, body = children
        return Block(header.kind, header.name, header.base, body, self._span(meta))

    def body(self, meta: Any, children: list[Statement]) -> tuple[Statement, ...]:
        return tuple(children)

    # ---- statements

    def setting(self, meta: Any, children: list[Any]) -> Setting:
        path, value = children
        return Setting(path, value, self._span(meta))

    def axis(self, meta: Any, children: list[Any]) -> Axis:
        path, values = children
        return Axis((path,), values, self._span(meta))

    def grouped(self, meta: Any, children: list[Any]) -> Axis:
        *paths, values = children
        return Axis(tuple(paths), values, self._span(meta))

    def skip(self, meta: Any, children: list[Any]) -> Skip:
        return Skip(children[1], self._span(meta))

    def expect(self, meta: Any, children: list[Any]) -> Expect:
        _, measure, operator, value, *when = children
        return Expect(measure, str(operator), value, when[0] if when else None, self._span(meta))  # type: ignore[arg-type]

    def find_edge(self, meta: Any, children: list[Any]) -> Find:
        _, side, path, *conditions = children
        return Find(str(side), path, tuple(conditions), None, None, self._span(meta))  # type: ignore[arg-type]

    def find_saturation(self, meta: Any, children: list[Any]) -> Find:
        _, measure, path, *share = children
        return Find("saturation", path, (), measure, share[0] if share else None, self._span(meta))

    def path(self, meta: Any, children: list[Token]) -> Path:
        return Path(tuple(str(part) for part in children), self._span(meta))

    left = path

    # ---- conditions

    def either(self, meta: Any, children: list[Condition]) -> Or:
        return Or(tuple(children), self._span(meta))

    def both(self, meta: Any, children: list[Condition]) -> And:
        return And(tuple(children), self._span(meta))

    def negate(self, meta: Any, children: list[Condition]) -> Not:
        return Not(children[0], self._span(meta))

    def compare(self, meta: Any, children: list[Any]) -> Compare:
        path, operator, value = children
        return Compare(path, str(operator), value, self._span(meta))  # type: ignore[arg-type]

    # ---- values

    def binary(self, meta: Any, children: list[Any]) -> Binary:
        left, operator, right = children
        return Binary(str(operator), left, right, self._span(meta))  # type: ignore[arg-type]

    def minus(self, meta: Any, children: list[Any]) -> Negate:
        return Negate(children[1], self._span(meta))

    def number(self, meta: Any, children: list[Token]) -> Number:
        digits, *unit = children
        value = self._fraction(digits)
        if unit:
            return Number(value, str(unit[0]), self._span(meta), self._token_span(unit[0]))
        return Number(value, None, self._span(meta))

    def text(self, meta: Any, children: list[Token]) -> Text:
        return Text(self._unescape(children[0]), self._span(meta))

    def boolean(self, meta: Any, children: list[Token]) -> Boolean:
        return Boolean(children[0].type == "TRUE", self._span(meta))

    def name(self, meta: Any, children: list[Path]) -> Name:
        return Name(children[0], self._span(meta))

    def call(self, meta: Any, children: list[Any]) -> Call:
        function, *arguments = children
        return Call(self._ident(function), tuple(arguments), self._span(meta))

    def sequence(self, meta: Any, children: Sequence[Expr]) -> ListExpr:
        return ListExpr(tuple(children), self._span(meta))

    def row(self, meta: Any, children: Sequence[Expr]) -> TupleExpr:
        return TupleExpr(tuple(children), self._span(meta))

    # ---- the inside of tokens

    def _fraction(self, token: Token) -> Fraction:
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


_TREES_OF_EXPRESSIONS = frozenset(
    {
        "either",
        "both",
        "negate",
        "compare",
        "binary",
        "minus",
        "call",
        "sequence",
        "row",
        "number",
        "name",
        "text",
        "boolean",
    }
)


def too_deep(tree: Tree[Token]) -> tuple[int, int] | None:
    """(start, end) of a whole expression with too many others inside each other, or None."""
    stack: list[tuple[Tree[Token], int, Tree[Token]]] = [(tree, 0, tree)]
    while stack:
        node, depth, outermost = stack.pop()
        if node.data in _TREES_OF_EXPRESSIONS:
            depth += 1
            outermost = node if depth == 1 else outermost
            if depth > MAX_DEPTH:
                return outermost.meta.start_pos, outermost.meta.end_pos
        stack.extend((child, depth, outermost) for child in node.children if isinstance(child, Tree))
    return None
