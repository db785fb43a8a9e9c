"""The bytes of a trace's file, decompressed as they are read, and the blocks of whole lines in them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pyarrow as pa

from kvscen.results.errors import why
from kvscen.trace.errors import TraceError

CHUNK_BYTES = 1 << 20
#: What is told of the progress: bytes of the file that were read since the last call.
Progress = Callable[[int], None]

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
#: Longer lines are no line of a trace (a line of an agentic one has a few hundred KiB).
_LONGEST_LINE_BYTES = 256 << 20


def _unheard(_: int) -> None:
    return None


@attrs.frozen
class Source:
    """A regular file that can be read as often as needed. `compression` is seen by its first bytes, not by its name."""

    path: Path
    size_bytes: int
    magic: bytes
    compression: str | None
    progress: Progress = _unheard

    def chunks(self) -> Iterator[bytes]:
        """The content, decompressed. Raises TraceError where the file cannot be read or its compression is damaged."""
        lines = 0
        try:
            with pa.OSFile(str(self.path), "rb") as raw:
                stream = pa.CompressedInputStream(raw, self.compression) if self.compression else raw
                seen = 0
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
                    if self.compression:
                        lines += chunk.count(b"\n")
                    self.progress(raw.tell() - seen)
                    seen = raw.tell()
        except OSError as error:
            if error.errno is None and self.compression:
                raise TraceError(
                    f"{self.path}: the {self.compression} data is damaged or ends too early, at some place after "
                    f"line {lines:,} ({error})",
                    "copy or download the file again: what it holds up to there would be a part of the trace only",
                ) from error
            raise _unreadable(self.path, error) from error

    def line_blocks(self) -> Iterator[tuple[int, bytes]]:
        """(number of its first line, whole lines), in blocks of about CHUNK_BYTES."""
        line, rest = 1, b""
        for chunk in self.chunks():
            end = chunk.rfind(b"\n") + 1
            if not end:
                rest += chunk
                if len(rest) > _LONGEST_LINE_BYTES:
                    raise TraceError(f"{self.path}:{line}: this line has more than 256 MiB", "name a trace")
                continue
            block = rest + chunk[:end]
            yield line, block
            line += block.count(b"\n")
            rest = chunk[end:]
        if rest:
            yield line, rest


def open_source(path: Path, progress: Progress | None = None) -> Source:
    """Raises TraceError for what is not there, is no regular file, or is empty."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise TraceError(f"{path} is {what}, and a trace is read more than once", "name a file")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a NUL character in the path
        raise TraceError(f"{str(path)!r} is not a possible path", "name a file") from error
    if not magic:
        raise TraceError(f"{path} is empty", "name a trace, or download it again")
    compression = next((name for start, name in _MAGIC.items() if magic.startswith(start)), None)
    return Source(path, found.st_size, magic, compression, progress or _unheard)


def _unreadable(path: Path, error: OSError) -> TraceError:
    return TraceError(f"cannot read {path}: {why(error)}", "name a file that is there and that you may read")
