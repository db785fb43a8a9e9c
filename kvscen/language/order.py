"""The order in which `let`s are computed: each after those that its value is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import ScenarioError, Span


class Cycle(Exception):
    """Names that need each other; the first and the last are the same."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names

    def problem(self, span: Span) -> ScenarioError:
        return problem(
            "KVS111",
            f"these `let`s need each other: {' -> '.join(self.names)}",
            span,
            help="give one of them a value of its own",
        )


def needed_first(name: str, needs: Callable[[str], Iterable[str]], known: Callable[[str], bool]) -> Iterator[str]:
    """The names to compute for `name`, each after those that it needs; `known` ones are left out, and the caller makes
    each known before it asks for the next. No recursion: chains of any length. Raises Cycle."""
    path = [name]
    while path:
        missing = next((other for other in needs(path[-1]) if not known(other)), None)
        if missing is None:
            top = path.pop()
            if not known(top):
                yield top
        elif missing in path:
            raise Cycle([*path[path.index(missing) :], missing])
        else:
            path.append(missing)


def names_in(expr: syntax.Expr) -> Iterator[str]:
    """The bare names in an expression."""
    match expr:
        case syntax.Name():
            if len(expr.path.parts) == 1:
                yield expr.path.parts[0]
        case syntax.ListExpr() | syntax.TupleExpr():
            for item in expr.items:
                yield from names_in(item)
        case syntax.Negate():
            yield from names_in(expr.operand)
        case syntax.Binary():
            yield from names_in(expr.left)
            yield from names_in(expr.right)
        case syntax.Call():
            for item in expr.arguments:
                yield from names_in(item)
