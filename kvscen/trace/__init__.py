"""Traces: files of requests that were really served, in the formats that people have, read into one canonical form.

trace = open_trace(Path("mooncake_conversation.jsonl"))
for blocks in trace.block_batches():
    ...

Each name is imported when it is asked for: a worker, which only needs requests that were read, does without pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvscen.trace.canonical import COLUMNS, VERSION, About
    from kvscen.trace.errors import TraceError
    from kvscen.trace.parquet import write_parquet
    from kvscen.trace.summary import Counter, Summary
    from kvscen.trace.trace import FORMATS, Blocks, Trace, open_trace

__all__ = [
    "COLUMNS",
    "FORMATS",
    "VERSION",
    "About",
    "Blocks",
    "Counter",
    "Summary",
    "Trace",
    "TraceError",
    "open_trace",
    "write_parquet",
]

_MODULES = {
    "canonical": ("COLUMNS", "VERSION", "About"),
    "errors": ("TraceError",),
    "parquet": ("write_parquet",),
    "summary": ("Counter", "Summary"),
    "trace": ("FORMATS", "Blocks", "Trace", "open_trace"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
