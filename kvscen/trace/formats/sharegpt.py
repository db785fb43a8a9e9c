"""ShareGPT conversations: [{id, conversations: [{from: human | gpt | system, value}]}], or one such object a line.

There are no times and no token counts. A request is made for every answer of the model: its prompt is all of the
conversation before it, its output the answer. A text has one token for four characters (the rest is dropped; a text
with any has one at least). The prompt is cut into blocks of `block_tokens` tokens, and a block's id is a hash of its
text and of all blocks before it; the last, partial block has an id of its own, as in Mooncake's traces.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from kvscen.trace.canonical import Rows
from kvscen.trace.errors import Place, TraceError
from kvscen.trace.formats.form import Format, Wishes
from kvscen.trace.records import record_of
from kvscen.trace.source import Source
from kvscen.trace.values import values

CHARACTERS_PER_TOKEN = 4
DEFAULT_BLOCK_TOKENS = 16
_LISTS = ("conversations", "conversation", "messages", "items")
_MODEL = frozenset({"gpt", "chatgpt", "assistant", "model", "bing", "bard"})
_OTHERS = frozenset({"human", "user", "system", "tool", "function", "function_call", "observation"})


def tokens_of(characters: int) -> int:
    return max(1, characters // CHARACTERS_PER_TOKEN) if characters else 0


class Prefix:
    """A text that grows, and the ids of its blocks: equal ids for equal texts from the beginning."""

    def __init__(self, block_tokens: int) -> None:
        self._block = block_tokens * CHARACTERS_PER_TOKEN
        self._text = ""
        self._whole: array[int] = array("q")
        self._chain = b""

    def extend(self, text: str) -> None:
        self._text += text

    @property
    def tokens(self) -> int:
        return tokens_of(len(self._text))

    def block_ids(self) -> array[int]:
        """The ids of the text's tokens so far."""
        end = self.tokens * CHARACTERS_PER_TOKEN
        while (len(self._whole) + 1) * self._block <= min(end, len(self._text)):
            start = len(self._whole) * self._block
            self._chain = _link(self._chain, self._text[start : start + self._block])
            self._whole.append(_id(self._chain))
        rest = self._text[len(self._whole) * self._block : end]
        return self._whole + array("q", [_id(_link(self._chain, rest))] if rest else [])


def _link(chain: bytes, text: str) -> bytes:
    return hashlib.blake2b(chain + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _id(chain: bytes) -> int:
    return int.from_bytes(chain[:8], "little") >> 1


def _read(source: Source, wishes: Wishes) -> Iterator[pa.RecordBatch]:
    block_tokens = wishes.block_tokens or DEFAULT_BLOCK_TOKENS
    rows = Rows()
    for session, (place, value) in enumerate(values(source)):
        prefix, turn = Prefix(block_tokens), 0
        for speaker, text in _messages(value, place):
            if speaker in _MODEL and prefix.tokens:
                turn += 1
                rows.add(None, prefix.tokens, tokens_of(len(text)), prefix.block_ids(), session=session, turn=turn)
            prefix.extend(text)
        if rows.full:
            yield rows.take()
    if len(rows):
        yield rows.take()


def _messages(value: Any, place: Place) -> Iterator[tuple[str, str]]:
    """(who, what) of a conversation."""
    record = record_of(value, place)
    messages = next((record[key] for key in _LISTS if isinstance(record.get(key), list)), None)
    if messages is None:
        raise TraceError(f"{place}: `conversations`, the list of messages, is missing", "correct the record")
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise TraceError(f"{place}: message {number} is no record in {{ }}", "correct the record")
        speaker = message.get("from", message.get("role"))
        text = message.get("value", message.get("content"))
        if not isinstance(speaker, str) or not isinstance(text, str):
            raise TraceError(f"{place}: message {number} has no text as `from` and `value`", "correct the record")
        if speaker not in _MODEL and speaker not in _OTHERS:
            known = ", ".join(sorted(_MODEL | _OTHERS))
            raise TraceError(f"{place}: message {number} is `from` {speaker!r}", f"kvscen knows {known}")
        yield speaker, text


SHAREGPT = Format(
    "sharegpt",
    "ShareGPT conversations",
    "text",
    DEFAULT_BLOCK_TOKENS,
    _read,
    notes=(
        "no times: requests stand in the order of the file",
        "tokens are characters // 4; a prompt is the conversation before an answer; block ids are hashes of its text",
    ),
    is_record=lambda record: any(isinstance(record.get(key), list) for key in _LISTS),
)
