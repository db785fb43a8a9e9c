"""A trace that was opened: recognized, its block size known, and read as often as needed, a batch at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np
import pyarrow as pa

from kvscen.trace.block_size import block_size_of
from kvscen.trace.canonical import About, Int64s
from kvscen.trace.errors import TraceError
from kvscen.trace.formats.csvs import AZURE, BURSTGPT, header_of
from kvscen.trace.formats.form import STATED_BLOCK_TOKENS, Format, Wishes
from kvscen.trace.formats.hashed import MOONCAKE, QWEN
from kvscen.trace.formats.kv_cache_tester import KV_CACHE_TESTER
from kvscen.trace.formats.sharegpt import SHAREGPT
from kvscen.trace.parquet import is_parquet, read_about, read_parquet
from kvscen.trace.source import Progress, Source, open_source
from kvscen.trace.values import values

#: By name, in the order in which they are recognized.
FORMATS: Mapping[str, Format] = {
    each.name: each for each in (KV_CACHE_TESTER, SHAREGPT, QWEN, MOONCAKE, AZURE, BURSTGPT)
}


@attrs.frozen
class Blocks:
    """Requests by their blocks. Of request i of m the ids are ids[offsets[i]:offsets[i + 1]], in the order of the
    prompt, and it came `arrival_ns[i]` after the trace's first. Both lengths are ids: int64[n], offsets: int64[m + 1],
    arrival_ns: int64[m], or None where the trace has no times."""

    ids: Int64s
    offsets: Int64s
    arrival_ns: Int64s | None

    def __len__(self) -> int:
        return len(self.offsets) - 1


@attrs.frozen
class Trace:
    """`about` says what it is and what it cannot tell. Nothing of its rows is kept in memory."""

    source: Source
    about: About
    form: Format | None
    wishes: Wishes

    @property
    def schema(self) -> pa.Schema:
        return self.about.schema()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The requests in the order of arrival, in batches of bounded size (with `sort` the whole trace is in memory).
        Raises TraceError."""
        if self.form is None:
            yield from read_parquet(self.source)
            return
        read = self.form.read(self.source, self.wishes)
        for batch in _sorted(read) if self.wishes.sort else read:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def table(self) -> pa.Table:
        """All requests, in memory. Raises TraceError."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    def block_batches(self, block_tokens: int | None = None) -> Iterator[Blocks]:
        """The blocks of the requests, batch by batch.

        Where the trace has no block ids every request has new ones, as many as its prompt fills at `block_tokens`;
        where it has, `block_tokens` may be left out and cannot be another size than the trace's. Raises TraceError.
        """
        own = self.about.block_tokens
        if own is None and block_tokens is None:
            raise TraceError(f"{self.source.path} has no blocks, and the size of one was not given", "give the size")
        if own is not None and block_tokens not in (None, own):
            raise TraceError(
                f"{self.source.path} has blocks of {own} tokens, not of {block_tokens}",
                f"take blocks of {own} tokens: ids of blocks cannot be cut in others",
            )
        following = 0
        for batch in self.batches():
            if own is None:
                assert block_tokens is not None
                tokens = batch.column("input_tokens").to_numpy()
                counts = -(-tokens // block_tokens)
                offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
                ids = np.arange(following, following + offsets[-1], dtype=np.int64)
                following += int(offsets[-1])
            else:
                ids, offsets = _flat(batch.column("block_ids"))
            yield Blocks(ids, offsets, _times(batch.column("arrival_ns")))

    def blocks(self, block_tokens: int | None = None) -> Blocks:
        """As `block_batches`, the whole trace at once."""
        parts = list(self.block_batches(block_tokens))
        starts = itertools.accumulate((len(part.ids) for part in parts), initial=0)
        offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
        times = [part.arrival_ns for part in parts if part.arrival_ns is not None]
        return Blocks(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([np.zeros(1, np.int64), *offsets]),
            np.concatenate(times) if len(times) == len(parts) else None,
        )


def open_trace(
    path: Path,
    form: str | None = None,
    *,
    block_tokens: int | None = None,
    sort: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Recognize a trace by its content, or take it as of the format `form` (of FORMATS), and find its block size.

    `block_tokens`: how many tokens a block has, for a trace that does not say it, and into what a text is cut.
    `sort`: times may go back, and rows are sorted by them, equal ones in the order of the file. Only the beginning of
    the file is read here. Raises TraceError.
    """
    if form is not None and form not in FORMATS:
        raise TraceError(f"no format of traces is called {form}", f"there are {', '.join(FORMATS)}")
    source = open_source(path)
    heard = attrs.evolve(source, progress=progress) if progress else source
    if is_parquet(source):
        if form is not None or block_tokens is not None or sort:
            raise TraceError(f"{path} is a Parquet file, which says itself what it is", "leave the options out")
        return Trace(heard, read_about(source), None, Wishes())
    known = FORMATS[form] if form else _recognize(source)
    wishes = Wishes(block_tokens, sort)
    first = next(known.read(source, attrs.evolve(wishes, sort=True)), None)
    if first is None:
        raise TraceError(f"{path}: there is no request in it", "name another file")
    about = About(known.name, path.name, _block_tokens(known, first, wishes, path), known.notes)
    return Trace(heard, about, known, wishes)


def _block_tokens(form: Format, first: pa.RecordBatch, wishes: Wishes, path: Path) -> int | None:
    if form.blocks == "none":
        if wishes.block_tokens is not None:
            raise TraceError(
                f"{path}: {form.title} has no blocks", "leave --block-tokens out: who uses the trace says the size"
            )
        return None
    if form.blocks == "text":
        return wishes.block_tokens or form.block_tokens
    stated = (first.schema.metadata or {}).get(STATED_BLOCK_TOKENS)
    said = wishes.block_tokens or (int(stated) if stated else None)
    _, offsets = _flat(first.column("block_ids"))
    return block_size_of(path, first.column("input_tokens").to_numpy(), np.diff(offsets), form.block_tokens, said)


def _recognize(source: Source) -> Format:
    line = _first_line(source)
    if line[:1] in (b"{", b"["):
        place, value = next(values(source), (None, None))
        if isinstance(value, dict):
            for form in FORMATS.values():
                if form.is_record is not None and form.is_record(value):
                    return form
            keys = ", ".join(f"`{key}`" for key in list(value)[:8]) or "nothing"
            raise _unknown(f"{place}: this record is of no trace that kvscen knows: it has {keys}")
        raise _unknown(f"{source.path} is JSON, and no trace that kvscen knows")
    names = header_of(line)
    for form in FORMATS.values():
        if form.is_header is not None and form.is_header(frozenset(names)):
            return form
    shown = line[:60].decode("utf-8", "replace")
    if not shown.isprintable():
        raise _unknown(f"{source.path} is no trace: it is not text, compressed text or Parquet")
    raise _unknown(f"{source.path}:1: this is the beginning of no trace that kvscen knows: {shown}")


def _first_line(source: Source) -> bytes:
    """The beginning of the first line that is not blank, at most 64 KiB."""
    head = b""
    for chunk in source.chunks():
        head = (head + chunk).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head:
            return head.split(b"\n", 1)[0][: 64 << 10].rstrip(b"\r")
    raise TraceError(f"{source.path} is empty", "name a trace, or download it again")


def _unknown(what: str) -> TraceError:
    titles = [f"{form.name} ({form.title})" for form in FORMATS.values()]
    return TraceError(what, f"kvscen reads {', '.join(titles)} and its own Parquet; name one with --format")


def _sorted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(batches)
    times = table.column("arrival_ns").to_numpy()
    if table.column("arrival_ns").null_count:
        yield from table.to_batches()
        return
    order = np.argsort(times, kind="stable")
    arrivals = pa.array(times[order] - times[order[0]])
    made = table.take(pa.array(order)).set_column(0, table.schema.field(0), arrivals)
    yield from made.combine_chunks().to_batches(max_chunksize=1024)


def _flat(column: pa.ListArray) -> tuple[Int64s, Int64s]:
    """(values, offsets from 0) of a list column."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    return column.values.to_numpy()[offsets[0] : offsets[-1]], offsets - offsets[0]


def _times(column: pa.Array) -> Int64s | None:
    return None if column.null_count else column.to_numpy()
