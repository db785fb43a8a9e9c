"""A trace as kvscen's own Parquet: the canonical columns, written once and read fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kvscen.results.errors import why
from kvscen.results.files import whole_file
from kvscen.trace.canonical import SCHEMA, VERSION, About, about_of
from kvscen.trace.errors import TraceError
from kvscen.trace.source import Source

_MAGIC = b"PAR1"
_IDS = "block_ids.list.element"
#: Neighbouring ids are often one apart: as differences they take a few bits each.
_ENCODINGS = {_IDS: "DELTA_BINARY_PACKED", "arrival_ns": "DELTA_BINARY_PACKED"}
_DAMAGE = (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError)
_DICTIONARIES = ["session", "turn", "type", "model"]


def is_parquet(source: Source) -> bool:
    return source.magic == _MAGIC


def read_about(source: Source) -> About:
    """Raises TraceError for another Parquet file, or another version of the form."""
    with _opened(source) as file:
        metadata = file.schema_arrow.metadata or {}
        version = metadata.get(b"kvscen.trace.version", b"").decode("utf-8", "replace")
        if not version:
            raise TraceError(f"{source.path} is a Parquet file, and no trace", "make one with kvscen import trace FILE")
        if version != VERSION:
            raise TraceError(
                f"{source.path} is a trace of version {version}, and this kvscen reads {VERSION}", "import it again"
            )
        wrong = next((f.name for f in SCHEMA if f.name not in file.schema_arrow.names), None)
        wrong = wrong or next((f.name for f in SCHEMA if file.schema_arrow.field(f.name).type != f.type), None)
        if wrong is not None:
            raise TraceError(f"{source.path}: the column `{wrong}` is missing or of another type", "import it again")
        if not file.metadata.num_rows:
            raise TraceError(f"{source.path}: there is no request in it", "import it again")
        try:
            return about_of(metadata)
        except (KeyError, ValueError) as error:
            raise TraceError(f"{source.path}: its metadata is damaged", "import it again") from error


def read_parquet(source: Source) -> Iterator[pa.RecordBatch]:
    """The batches as they were written."""
    with _opened(source) as file:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, columns=SCHEMA.names)
            except _DAMAGE as error:
                raise _damaged(source, error) from error
            source.progress(source.size_bytes // file.num_row_groups)
            yield from table.combine_chunks().to_batches()


def write_parquet(path: Path, about: About, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the batches, each a row group. The file appears complete or not at all. Raises TraceError."""

    def write(temporary: Path) -> None:
        schema = about.schema()
        with pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=_DICTIONARIES,
            column_encoding=_ENCODINGS,
            write_page_checksum=True,
        ) as writer:
            for batch in batches:
                writer.write_batch(batch)

    try:
        whole_file(path, write)
    except OSError as error:
        raise TraceError(f"cannot write {path}: {why(error)}", "make room, or name another --out") from error


def _opened(source: Source) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source.path, page_checksum_verification=True)
    except _DAMAGE as error:
        raise _damaged(source, error) from error


def _damaged(source: Source, error: Exception) -> TraceError:
    return TraceError(
        f"{source.path} is damaged or no complete Parquet file: {str(error).splitlines()[0]}", "import it again"
    )
