"""`kvscen import trace`: a trace into Parquet, once, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail
from kvscen.cli.reading import reading

if TYPE_CHECKING:
    import pyarrow as pa

    from kvscen.trace import Counter, Trace

_HELP_FORMAT = "mooncake, qwen, kv_cache_tester, sharegpt, burstgpt or azure.  [default: seen by the content]"
_SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".json", ".jsonl", ".csv", ".parquet"})


@click.command("trace")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", metavar="FORMAT", help=_HELP_FORMAT)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The Parquet file.  [default: ./NAME.parquet]"
)
@click.option(
    "--block-tokens",
    type=click.IntRange(1, 1 << 20),
    metavar="TOKENS",
    help="Tokens of a block, where the trace does not tell; of ShareGPT, into what texts are cut (16).",
)
@click.option("--sort", is_flag=True, help="Sort requests by time, in memory, instead of refusing times that go back.")
def command(file: Path, form: str | None, out: Path | None, block_tokens: int | None, sort: bool) -> None:
    """Turn a trace of requests into Parquet and say what is in it.

    FILE is a trace of Mooncake, Qwen-Bailian, kv-cache-tester, ShareGPT, BurstGPT or Azure, plain or compressed by
    gzip or zstd. It is read piece by piece, whatever its size. The Parquet file has a row for each request and can
    be given wherever a trace can; it is read much faster. One that is there is not written over.
    """
    from kvscen.trace import Counter, TraceError, open_trace, write_parquet

    out = out or Path(f"{_stem(file)}.parquet")
    if out.suffix != ".parquet":
        fail(f"a trace becomes Parquet, and `{out}` does not end in .parquet", "name it so")
    if out.exists() or out.is_symlink():
        fail(f"{out} is there already", "name another file with --out, or remove it")
    try:
        with reading(file) as progress:
            trace = open_trace(file, form, block_tokens=block_tokens, sort=sort, progress=progress)
            counter = Counter(trace.about)
            write_parquet(out, trace.about, _counted(trace, counter))
    except TraceError as error:
        fail(str(error), error.remedy)
    except MemoryError:
        fail(f"{file} does not fit in memory", "leave --sort out, or sort the file before" if sort else "")
    from kvscen.report.trace import render_summary

    click.echo(render_summary(file, trace.about, counter.summary(), out), nl=False)


def _counted(trace: Trace, counter: Counter) -> Iterator[pa.RecordBatch]:
    for batch in trace.batches():
        counter.add(batch)
        yield batch


def _stem(path: Path) -> str:
    while path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    return path.name
