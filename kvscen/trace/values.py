"""The JSON values of a file, one after the other, in memory that does not grow with the file.

One reader for a value in each line (JSONL), for one array of values (ShareGPT's 600 MB are one), and for a single
value over many lines.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from kvscen.trace.errors import Place, TraceError
from kvscen.trace.source import Source

#: The longest record. The longest session of kv-cache-tester's 739 has 4 MiB.
LONGEST_RECORD = 256 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def values(source: Source) -> Iterator[tuple[Place, Any]]:
    """(place, value) of every value. Raises TraceError for what is no JSON, with its line."""
    text = _Text(source)
    in_array = text.peek() == "["
    if in_array:
        text.skip()
    number = 0
    while following := text.peek():
        if in_array and following == "]" and not number:
            break
        number += 1
        place = Place(source.path, text.line, number if in_array else 0)
        yield place, text.value(place)
        if in_array:
            separator = text.peek()
            if separator == "]":
                break
            if not separator:
                break
            if separator != ",":
                raise _broken(Place(source.path, text.line), f"`,` or `]` is missing after record {number}")
            text.skip()
            if not text.peek():
                raise _broken(Place(source.path, text.line), "the list ends after a `,`")
    if in_array:
        if not text.peek():
            raise _broken(Place(source.path, text.line), "the list has no end: `]` is missing")
        text.skip()
        if text.peek():
            raise _broken(Place(source.path, text.line), "something stands after the end of the list")


class _Text:
    """The decoded text around the position, refilled as it is used up."""

    def __init__(self, source: Source) -> None:
        self.line = 1
        self._source = source
        self._chunks = source.chunks()
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._go(found.end())
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def skip(self) -> None:
        self._at += 1

    def value(self, place: Place) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._cut_off(error):
                    here = Place(place.path, self.line + self._text.count("\n", self._at, error.pos))
                    if self._ended and self._cut_off(error):
                        raise _broken(here, "the file ends in the middle of a record") from error
                    raise _broken(here, f"this is no JSON ({error.msg})") from error
                self._refill(place)
                continue
            except RecursionError:
                raise _broken(place, "the brackets are nested too deeply") from None
            # A bare number may go on in the next chunk: of `1.5` and `1e+9` the 1 is one as well.
            if end > len(self._text) - 3 and not self._ended and not isinstance(value, dict | list | str):
                self._refill(place)
                continue
            self._go(end)
            return value

    def _cut_off(self, error: json.JSONDecodeError) -> bool:
        """May the error come of the text's end alone?"""
        return error.pos >= len(self._text) - 16 or error.msg.startswith("Unterminated string")

    def _refill(self, place: Place) -> None:
        # Twice the text each time, so that a long record is decoded in time that grows with its length alone.
        wanted = 2 * (len(self._text) - self._at)
        if wanted > 2 * LONGEST_RECORD:
            raise _broken(place, "this record has more than 256 MiB")
        while len(self._text) - self._at < wanted and not self._ended:
            self._more()

    def _more(self) -> None:
        chunk = next(self._chunks, b"")
        self._ended = not chunk
        try:
            more = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = self.line + self._text.count("\n", self._at) + chunk.count(b"\n", 0, error.start)
            raise _broken(Place(self._source.path, line), f"this is no UTF-8 text ({error.reason})") from error
        self._text, self._at = self._text[self._at :] + more, 0

    def _go(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end


def _broken(place: Place, what: str) -> TraceError:
    return TraceError(f"{place}: {what}", "correct the file or download it again")
