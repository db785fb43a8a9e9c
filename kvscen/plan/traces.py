"""The traces that patterns name: read once in the making of a plan, and part of what makes a point the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.conversations import ConversationsSettings
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.language.replay import ReplaySettings
from kvscen.plan.talk import Turns
from kvscen.trace.errors import TraceError
from kvscen.trace.requests import Requests, read_requests
from kvscen.trace.turns import read_turns

if TYPE_CHECKING:
    from kvscen.plan.resolve import Resolved

_Key = tuple[str, int | None]


@attrs.frozen(eq=False)
class TraceRead:
    """What a pattern replays, or what is wrong with its trace. `path` as the worker opens it; `all_requests` are those
    of the whole trace."""

    path: str
    requests: Requests | None
    all_requests: int
    digest: str
    error: TraceError | None = None


@attrs.frozen(eq=False)
class TurnsRead:
    """The conversations of a trace that a pattern takes turns and tokens from, or what is wrong with it."""

    turns: Turns
    digest: str
    error: TraceError | None = None


@attrs.define
class TraceFiles:
    """Reads traces, each once."""

    _whole: dict[_Key, Requests | TraceError] = attrs.field(factory=dict)
    _read: dict[tuple[_Key, int | None], TraceRead] = attrs.field(factory=dict)
    _turns: dict[tuple[str, int], TurnsRead] = attrs.field(factory=dict)

    def of(self, pattern: Resolved) -> TraceRead | None:
        settings = pattern.settings
        if not isinstance(settings, ReplaySettings):
            return None
        key = settings.trace.path, settings.page_tokens
        found = self._read.get((key, settings.requests))
        if found is None:
            found = self._read[key, settings.requests] = self._make(key, settings.requests)
        return found

    def turns_of(self, pattern: Resolved) -> TurnsRead | None:
        """Of a pattern whose conversations are those of a trace."""
        settings = pattern.settings
        if not isinstance(settings, ConversationsSettings) or settings.trace is None:
            return None
        key = settings.trace.path, settings.requests
        found = self._turns.get(key)
        if found is None:
            try:
                turns = read_turns(Path(settings.trace.path), settings.requests)
                found = TurnsRead(turns, hashlib.sha256(repr(turns).encode()).hexdigest()[:16])
            except TraceError as error:
                found = TurnsRead((), "", error)
            self._turns[key] = found
        return found

    def _make(self, key: _Key, most: int | None) -> TraceRead:
        path, page_tokens = key
        whole = self._whole.get(key)
        if whole is None:
            try:
                whole = read_requests(Path(path), page_tokens)
            except TraceError as error:
                whole = error
            self._whole[key] = whole
        if isinstance(whole, TraceError):
            return TraceRead(path, None, 0, "", whole)
        own = whole if most is None else whole.first(min(most, len(whole)))
        return TraceRead(path, own, len(whole), own.digest())


def digest(*read: TraceRead | TurnsRead | None) -> tuple[str, ...]:
    return tuple(each.digest for each in read if each is not None)


def _remedy(error: TraceError) -> str:
    """What to do, said to somebody who has a scenario before him and not the command that imports traces."""
    remedy = error.remedy.replace("with --block-tokens", "with `page`")
    if "--" not in remedy:
        return remedy
    return f"{remedy}; that is an option of `kvscen import trace`, whose Parquet file can be named here"


def problems_of_turns(read: TurnsRead | None, span: Span) -> Iterator[Diagnostic]:
    """What is wrong with a trace of conversations. `span`: where it is named."""
    if read is not None and read.error is not None:
        yield diagnostic("KVS230", str(read.error), span, help=_remedy(read.error))


def problems(read: TraceRead, settings: ReplaySettings, span: Span) -> Iterator[Diagnostic]:
    """What is wrong with the trace. `span`: where it is named."""
    if read.error is not None:
        yield diagnostic("KVS230", str(read.error), span, help=_remedy(read.error))
        return
    assert read.requests is not None
    if settings.requests is not None and settings.requests > read.all_requests:
        yield diagnostic(
            "KVS231",
            f"the trace has {read.all_requests:,} requests, fewer than the {settings.requests:,} that are asked for",
            span,
            help="ask for fewer `requests`, or leave the setting out to replay all",
        )
    if not len(read.requests.keys):
        yield diagnostic(
            "KVS231",
            "no request of the trace has a block",
            span,
            help="take more of its `requests`, or another trace",
        )
    if settings.speed is not None and read.requests.arrival_ns is None:
        yield diagnostic(
            "KVS231",
            "the trace does not say when its requests came, and `speed` follows that",
            span,
            help="replay it in a closed loop: write `users = 8` instead of `speed`",
        )
