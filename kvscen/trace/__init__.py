"""Traces: files of requests that were really served, in the formats that people have, read into one canonical form.

trace = open_trace(Path("mooncake_conversation.jsonl"))
for blocks in trace.block_batches():
    ...
"""

from __future__ import annotations

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
