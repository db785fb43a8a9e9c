"""Sessions of kv-cache-tester: a file is one JSON object, the requests of a coding agent and of its subagents.

Its `t` are seconds since the session began, a subagent's since the subagent began. With `hash_id_scope` "local" ids
mean something within their file only. Several sessions in one file (one after the other, or in a list) follow each
other in time, since nothing relates their clocks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pyarrow as pa

from kvscen.trace.canonical import Arrivals, Rows
from kvscen.trace.errors import Place, TraceError
from kvscen.trace.formats.form import STATED_BLOCK_TOKENS, Format, Wishes
from kvscen.trace.records import block_ids, record_of, text, time_ns, whole
from kvscen.trace.source import Source
from kvscen.trace.values import values

_DEFAULT_BLOCK_TOKENS = 64


@attrs.frozen
class _Request:
    at_ns: int
    session: int
    turn: int
    agent: str
    record: Mapping[str, Any]
    place: Place


def _read(source: Source, wishes: Wishes) -> Iterator[pa.RecordBatch]:
    rows, arrivals = Rows(), Arrivals(wishes.sort)
    sessions = start_ns = first_id = 0
    stated: tuple[int, str] | None = None
    for place, value in values(source):
        file = record_of(value, place)
        block_tokens = whole(file, "block_size", place) if "block_size" in file else _DEFAULT_BLOCK_TOKENS
        scope = text(file, "hash_id_scope", place) or "local"
        if block_tokens == 0 or scope not in ("local", "global"):
            raise TraceError(
                f"{place}: a session has a `block_size` above 0 and a `hash_id_scope` local or global, not "
                f"{block_tokens} and {scope!r}",
                "correct the file",
            )
        if stated not in (None, (block_tokens, scope)):
            raise TraceError(
                f"{place}: this session has blocks of {block_tokens} tokens with {scope} ids, and those above have "
                f"{stated[0]} with {stated[1]}",
                "read them as traces of their own",
            )
        stated = (block_tokens, scope)
        requests = list(_requests(_list(file, place), 0, sessions, "agent", place))
        sessions = 1 + max((request.session for request in requests), default=sessions - 1)
        # A subagent works while its parent waits, and stands in the file where it was started.
        requests.sort(key=lambda request: request.at_ns)
        largest = -1
        for request in requests:
            record = request.record
            ids = block_ids(record, "hash_ids", request.place)
            largest = max(largest, max(ids, default=-1))
            arrival = arrivals.next(start_ns + request.at_ns, request.place)
            rows.add(
                arrival,
                whole(record, "in", request.place),
                whole(record, "out", request.place),
                ids if scope == "global" else array("q", [each + first_id for each in ids]),
                session=request.session,
                turn=request.turn,
                type=request.agent,
                model=text(record, "model", request.place),
            )
            if rows.full:
                yield _stating(rows.take(), block_tokens)
        start_ns = arrivals.last_ns
        first_id += largest + 1
    if len(rows):
        assert stated is not None
        yield _stating(rows.take(), stated[0])


def _requests(entries: list[Any], start_ns: int, session: int, agent: str, place: Place) -> Iterator[_Request]:
    """The requests of an agent, then those of its subagents, each of which is a session of its own."""
    turn, before_ns, subagents = 0, 0, []
    for number, entry in enumerate(entries, start=1):
        here = attrs.evolve(place, record=number)
        record = record_of(entry, here)
        at_ns = time_ns(record, "t", 10**9, here)
        if "requests" in record:
            subagents.append((at_ns, record, here))
            continue
        if at_ns < before_ns:
            raise TraceError(
                f"{here}: this request came {(before_ns - at_ns) / 1e9:.9g} s before the one above it in its session",
                "correct the file",
            )
        turn, before_ns = turn + 1, at_ns
        yield _Request(start_ns + at_ns, session, turn, agent, record, here)
    for at_ns, record, here in subagents:
        session += 1
        last = session
        for request in _requests(_list(record, here), start_ns + at_ns, session, "subagent", here):
            last = max(last, request.session)
            yield request
        session = last


def _list(record: Mapping[str, Any], place: Place) -> list[Any]:
    entries = record.get("requests")
    if not isinstance(entries, list):
        raise TraceError(f"{place}: `requests`, the list of a session's requests, is missing", "name another file")
    return entries


def _stating(batch: pa.RecordBatch, block_tokens: int) -> pa.RecordBatch:
    return batch.replace_schema_metadata({STATED_BLOCK_TOKENS: str(block_tokens)})


KV_CACHE_TESTER = Format(
    "kv_cache_tester",
    "sessions of kv-cache-tester",
    "ids",
    _DEFAULT_BLOCK_TOKENS,
    _read,
    notes=(
        "a session is an agent or a subagent; sessions of different files follow each other, for nothing relates their "
        "clocks",
    ),
    is_record=lambda record: isinstance(record.get("requests"), list),
)
