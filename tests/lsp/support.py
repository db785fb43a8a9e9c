"""Texts with a cursor, and what the server knows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from kvscen.language.diagnose import Span
from kvscen.language.syntax import Document
from kvscen.lsp.analysis import Analysis, analyse
from kvscen.lsp.complete import complete
from kvscen.lsp.pieces import Parser

ROOT = Path(__file__).resolve().parents[2]

#: Marks the cursor.
MARK = "‸"

TEXT = """\
kvs 1

use models

let dir  = "./kv-data"
let most = 2 * 4 MiB

model llama : llama3_1_70b { kv_dtype = fp8 }

tier disk  : posix  { path = dir; direct = true }
tier dram  : memory { capacity = 4 GiB }
tier plain : disk   { direct = false }

pattern pages : transfer {  # 😀 the load
  model  = llama
  page   = 16 tokens
  prompt = 1000 tokens
}

sweep blocks {
  pattern        = pages
  tier           in [disk, dram, plain]
  pages.op       in [write, read]
  pages.working_set = 64 * most
  (pages.requests, pages.depth) in [(1, 4), (10, 8)]
  skip when tier == dram and pages.requests == 10
  trials = 3
  time   = 1.5 s
  seed   = 1
  expect throughput >= 200 MiB/s when pages.op == read
  expect dram.hit_rate >= 50 % when tier == dram
}
"""


#: It remembers what TEXT is made of: only what a test changes is parsed.
_PARSER = Parser()


def marked(text: str) -> tuple[str, int]:
    """The text without its mark, and where that was."""
    before, mark, after = text.partition(MARK)
    assert mark, "the text has no cursor"
    return before + after, len(before)


def at(needle: str, text: str = TEXT, extra: int = 0) -> int:
    """An offset inside of the word that `needle` begins with."""
    assert text.count(needle) >= 1, needle
    return text.index(needle) + extra


def known(text: str = TEXT, path: str = "/nowhere/test.kvs", others: dict[str, str] | None = None) -> Analysis:
    return analyse(path, text, _PARSER, others)


def offered(text: str, path: str = "/nowhere/test.kvs", others: dict[str, str] | None = None) -> list[str]:
    """What is offered at the mark."""
    text, offset = marked(text)
    return [item.label for item in complete(known(text, path, others), offset).items]


def in_body(line: str, body: str = "sweep blocks {") -> str:
    """TEXT with a line more at the beginning of a block."""
    return TEXT.replace(body, f"{body}\n  {line}\n", 1)


def plain(node: Any, place: Any) -> Any:
    """A tree without its sources: spans are what `place` makes of them."""
    if isinstance(node, Span):
        return place(node)
    if isinstance(node, Document):
        return node.version, plain(node.items, place)
    if isinstance(node, tuple):
        return tuple(plain(item, place) for item in node)
    if attrs.has(type(node)) and type(node).__module__.startswith("kvscen"):
        return type(node).__name__, *(plain(getattr(node, f.name), place) for f in attrs.fields(type(node)))
    return node
