"""What a word means: one value for a meaning, made from the declarations."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen
class Meaning:
    """`names` are what asks for it, the first is what lists call it; `what` it is ("a setting of sweeps"), in a group
    of such ("settings"). `brief` says it in a sentence. The rest is for who asked for this alone: `facts` are labels
    with values, `lines` stand as they are, `see` are commands that tell more. A `page`, in Markdown, says it all."""

    group: str
    names: tuple[str, ...]
    what: str
    brief: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    page: Callable[[], str] | None = None

    @property
    def name(self) -> str:
        return self.names[0]


def table(rows: list[tuple[str, str]]) -> tuple[str, ...]:
    """Two columns as lines."""
    width = max((len(left) for left, _ in rows), default=0)
    return tuple(f"{left:<{width}}  {right}".rstrip() for left, right in rows)
