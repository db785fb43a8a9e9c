"""What a format says about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pyarrow as pa

from kvscen.trace.source import Source


@attrs.frozen
class Wishes:
    """How a trace is to be read. `block_tokens` is None where the trace shall say it; with `sort` times may go back."""

    block_tokens: int | None = None
    sort: bool = False


#: (source, wishes) -> the batches. The block size that a file states itself stands in the metadata of their schema.
Read = Callable[[Source, Wishes], Iterator[pa.RecordBatch]]
STATED_BLOCK_TOKENS = b"kvscen.stated_block_tokens"


@attrs.frozen
class Format:
    """`blocks`: where block ids come from: the file's own `ids`, its `text`, or `none`. `block_tokens` is the size of a
    block that the format's description gives, or the default where it is ours to choose. `is_record` and `is_header`
    recognize a first JSON record or a first line of CSV."""

    name: str
    title: str
    blocks: str
    block_tokens: int | None
    read: Read
    notes: tuple[str, ...] = ()
    is_record: Callable[[Mapping[str, Any]], bool] | None = None
    is_header: Callable[[frozenset[str]], bool] | None = None
