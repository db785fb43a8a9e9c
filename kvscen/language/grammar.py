"""The grammar's tables. Computing them takes longer than all else that `kvscen lint` does, so they are cached."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import lark

from kvscen.language.build import Builder

#: What can be parsed on its own.
STARTS = ("document", "version", "item", "header", "statement", "value")


class _NewlineIsSpace:
    """Takes out the newlines inside ( ) and [ ]. `seen`: the tokens of the last text, so far."""

    always_accept = ("_NEWLINE",)

    def __init__(self) -> None:
        self.seen: list[lark.Token] = []

    def process(self, stream: Iterator[lark.Token]) -> Iterator[lark.Token]:
        depth = 0
        seen = self.seen = []
        for token in stream:
            if token.type in ("LPAR", "LSQB"):
                depth += 1
            elif token.type in ("RPAR", "RSQB"):
                depth -= 1
            elif token.type == "_NEWLINE" and depth > 0:
                continue
            seen.append(token)
            yield token


_POSTLEX = _NewlineIsSpace()


def seen_tokens() -> list[lark.Token]:
    """Those of the text that was parsed last."""
    return _POSTLEX.seen


def grammar_text() -> str:
    return (resources.files("kvscen_grammar") / "kvs.lark").read_text(encoding="utf-8")


def build(**options: Any) -> lark.Lark:
    """A parser; `cache=path` loads it. `strict=True` (needs interegular) proves that it has no conflict."""
    return lark.Lark(
        grammar_text(),
        parser="lalr",
        lexer="contextual",
        start=list(STARTS),
        keep_all_tokens=True,  # the builder tells by them where a node begins and ends
        maybe_placeholders=False,
        postlex=_POSTLEX,
        **options,
    )


@functools.cache
def builder() -> Builder:
    """What the parser of this process calls for each rule."""
    return Builder()


@functools.cache
def parser() -> lark.Lark:
    """The parser of this process.

    lark keeps a hash of the grammar, of its own version and of Python's with the tables, and computes them afresh where
    it differs or the file is torn. A cache that cannot be written is done without.
    """
    folder = _cache_folder()
    if folder is None:
        return build(transformer=builder())
    tables = folder / f"tables-{platform.python_version()}-lark-{lark.__version__}"
    return build(transformer=builder(), cache=str(tables))


def _cache_folder() -> Path | None:
    try:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
        folder = folder / "kvscen"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The tables are a pickle: only a folder of our own is trusted.
        return folder if folder.stat().st_uid == os.getuid() else None
    except (OSError, RuntimeError):  # no home, or a home that cannot be written
        return None
