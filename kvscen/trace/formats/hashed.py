"""Traces of one JSON record a line with the hashes of the prompt's blocks: Mooncake's, and Qwen-Bailian's.

Mooncake (FAST'25 release): timestamp in ms, input_length, output_length, hash_ids. A hash covers its block and all
before it. Traces of others in this form add `session` (or `session_id`), `subagent`, `turn`, `type` or `model`, which
are taken where they are. Qwen-Bailian: timestamp in s, chat_id, parent_chat_id (-1: none), turn, type, and hash_ids of
16-token blocks, each hashed on its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from kvscen.trace.canonical import Arrivals, Numbers, Rows
from kvscen.trace.errors import TraceError
from kvscen.trace.formats.form import Format, Wishes
from kvscen.trace.records import block_ids, name, record_of, text, time_ns, whole
from kvscen.trace.source import Source
from kvscen.trace.values import values


def _read_mooncake(source: Source, wishes: Wishes) -> Iterator[pa.RecordBatch]:
    rows, arrivals, sessions = Rows(), Arrivals(wishes.sort), Numbers()
    for place, value in values(source):
        record = record_of(value, place)
        if "chat_id" in record:
            raise TraceError(
                f"{place}: this is a record of Qwen-Bailian, with seconds for times", "read it as --format qwen"
            )
        session = name(record, "session" if "session" in record else "session_id", place)
        agent = name(record, "subagent", place)
        rows.add(
            arrivals.next(time_ns(record, "timestamp", 10**6, place), place),
            whole(record, "input_length", place),
            whole(record, "output_length", place),
            block_ids(record, "hash_ids", place),
            session=None if session is None else sessions.of((session, agent)),
            turn=whole(record, "turn", place) if "turn" in record else None,
            type=text(record, "type", place),
            model=text(record, "model", place),
        )
        if rows.full:
            yield rows.take()
    if len(rows):
        yield rows.take()


def _read_qwen(source: Source, wishes: Wishes) -> Iterator[pa.RecordBatch]:
    rows, arrivals = Rows(), Arrivals(wishes.sort)
    # A chat is one request; its session is the chain of its parents. A parent from before the trace began starts one.
    session_of: dict[object, int] = {}
    sessions = 0
    for place, value in values(source):
        record = record_of(value, place)
        chat = name(record, "chat_id", place, required=True)
        parent = name(record, "parent_chat_id", place, required=True)
        session = None if parent == -1 else session_of.get(parent)
        if session is None:
            session, sessions = sessions, sessions + 1
            if parent != -1:
                session_of[parent] = session
        session_of[chat] = session
        rows.add(
            arrivals.next(time_ns(record, "timestamp", 10**9, place), place),
            whole(record, "input_length", place),
            whole(record, "output_length", place),
            block_ids(record, "hash_ids", place),
            session=session,
            turn=whole(record, "turn", place),
            type=text(record, "type", place),
        )
        if rows.full:
            yield rows.take()
    if len(rows):
        yield rows.take()


MOONCAKE = Format(
    "mooncake",
    "a Mooncake trace",
    "ids",
    512,
    _read_mooncake,
    is_record=lambda record: bool({"hash_ids", "input_length"} & record.keys()),
)
QWEN = Format(
    "qwen",
    "a Qwen-Bailian trace",
    "ids",
    16,
    _read_qwen,
    notes=(
        "a session is a chain of parent_chat_id; one that began before the trace begins with its first turn in it",
        "an id names the content of a block, not what stands before it: a known block need not be KV that can be used",
    ),
    is_record=lambda record: "chat_id" in record and bool({"hash_ids", "input_length"} & record.keys()),
)
