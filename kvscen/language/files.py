"""Read a scenario's file."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span

#: A scenario is written by hand; the largest ever seen has a few kilobytes.
MAX_BYTES = 1024 * 1024

#: This path means the standard input.
STDIN = Path("-")

_BOMS_OF_OTHERS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]|\r(?!\n)")


#: Texts that an editor holds and has not saved, by the absolute path of the file that they stand for.
_UNSAVED: ContextVar[Mapping[str, str]] = ContextVar("_UNSAVED", default={})  # noqa: B039 - nobody changes it


@contextlib.contextmanager
def unsaved(texts: Mapping[str, str]) -> Iterator[None]:
    """Within it these texts are read in place of the files at these absolute paths."""
    token = _UNSAVED.set(texts)
    try:
        yield
    finally:
        _UNSAVED.reset(token)


def read_source(path: Path) -> Source | Diagnostic:
    """The text of a file, or why there is none. The path `-` is the standard input. A byte order mark is left out."""
    if path == STDIN:
        return decode("<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1))
    held = _UNSAVED.get()
    if held:
        text = held.get(os.path.abspath(path))  # noqa: PTH100 - the name as written counts
        if text is not None:
            return decode(str(path), text.encode("utf-8", "surrogatepass"))
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _unreadable(path, "is a folder", "name a file in it")
        if not stat.S_ISREG(found.st_mode):
            return _unreadable(path, "is not a regular file", "a text can be piped into `-`, the standard input")
        if found.st_size > MAX_BYTES:
            return _too_large(str(path), found.st_size)
        with path.open("rb") as file:
            # The size may have changed meanwhile, and files in /proc tell none.
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _missing(path)
    except NotADirectoryError:
        return _missing(path)
    except PermissionError:
        return _unreadable(path, "may not be read by this user (permission denied)", f"try: chmod u+r {path}")
    except OSError as error:
        return _unreadable(path, f"cannot be read ({error.strerror or error})", "")
    except ValueError:  # a NUL character in the path
        return _unreadable(path, "is not a possible path", "")
    return decode(str(path), data)


def decode(name: str, data: bytes) -> Source | Diagnostic:
    """The source that these bytes are, or why they are none."""
    if not data:
        return diagnostic("KVS002", f"{name} is empty", help="a scenario begins with the line `kvs 1`")
    if len(data) > MAX_BYTES:
        return _too_large(name, len(data))
    if data.startswith(_BOMS_OF_OTHERS):
        return diagnostic("KVS003", f"{name} is UTF-16 or UTF-32", help="save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        return diagnostic(
            "KVS003",
            f"{name} is not UTF-8 text: line {line} has the byte 0x{byte:02x}",
            help="save it as UTF-8; if it is not a scenario at all, name another file",
        )
    source = Source(name, text)
    control = _CONTROL.search(text)
    if control is not None:
        character = f"U+{ord(control[0]):04X}"
        what = "a lone carriage return" if control[0] == "\r" else "a control character"
        return diagnostic(
            "KVS003",
            f"{name} is not plain text: it contains {what}, {character}",
            Span(source, control.start(), control.end()),
            help="end lines with a newline" if control[0] == "\r" else "remove it, or name another file",
        )
    return source


def _unreadable(path: Path, what: str, help: str) -> Diagnostic:
    return diagnostic("KVS001", f"{path} {what}", help=help)


def _too_large(name: str, size: int) -> Diagnostic:
    more = "more than 1 MiB" if size == MAX_BYTES + 1 else f"{size / MAX_BYTES:.1f} MiB"
    return diagnostic(
        "KVS004",
        f"{name} has {more}, and a scenario has at most 1 MiB",
        help="if this is the right file, split it and bring its parts in with `use`",
    )


def _missing(path: Path) -> Diagnostic:
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".kvs" and entry.is_file()]
    except OSError:
        help = f"the folder {path.parent} does not exist either" if not path.parent.exists() else ""
        return _unreadable(path, "does not exist", help)
    close = difflib.get_close_matches(path.name, beside, n=1)
    if not close and path.with_name(path.name + ".kvs").is_file():
        close = [path.name + ".kvs"]
    return _unreadable(path, "does not exist", f"did you mean {path.with_name(close[0])}?" if close else "")
