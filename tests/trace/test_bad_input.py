"""What is wrong with a file is one sentence: where, what, and what to do."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kvscen.trace import FORMATS, TraceError, open_trace
from kvscen.trace.turns import read_turns
from tests.trace.support import AZURE, BURSTGPT, FILES, MOONCAKE, QWEN, SHAREGPT, TESTER, lines, write


def refused(path: Path, form: str | None = None, **more: Any) -> str:
    """What is said of the file, its name left out. Whatever is wrong is found by reading it."""
    with pytest.raises(TraceError) as caught:
        for _ in open_trace(path, form, **more).batches():
            pass
    assert caught.value.remedy
    return str(caught.value).replace(str(path), "FILE")


def mooncake(**changes: Any) -> str:
    return lines([MOONCAKE[0], {k: v for k, v in (MOONCAKE[1] | changes).items() if v is not ...}, MOONCAKE[2]])


def session(*requests: dict[str, Any], **changes: Any) -> str:
    return json.dumps(TESTER | {"requests": requests} | changes)


def messages(*spoken: Any) -> str:
    return json.dumps([SHAREGPT[0], {"conversations": spoken}])


STEP = {"t": 1.0, "in": 3, "out": 1, "hash_ids": [1]}
AZURE_LINES, BURSTGPT_LINES = AZURE.splitlines(), BURSTGPT.splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            mooncake(hash_ids=...),
            "FILE:2: `hash_ids` is missing; there is `timestamp`, `input_length`, `output_length`",
        ),
        (
            mooncake(timestamp=...),
            "FILE:2: `timestamp` is missing; there is `input_length`, `output_length`, ",
        ),
        (mooncake(timestamp="12"), "FILE:2: `timestamp` is '12', and a time as a number is expected"),
        (mooncake(timestamp=True), "FILE:2: `timestamp` is True, and a time as a number is expected"),
        (mooncake(timestamp=float("nan")), "FILE:2: `timestamp` is nan, and a time as a number is expected"),
        (mooncake(timestamp=-1), "FILE:2: `timestamp` is -1, and a time from 0 on is expected"),
        (mooncake(timestamp=1e19), "FILE:2: `timestamp` is 1e+19, and a time within 292 years is expected"),
        (
            mooncake(timestamp=250),
            "FILE:2: this request came 0.25 s before the one above it, and requests stand in the order",
        ),
        (mooncake(input_length=-5), "FILE:2: `input_length` is -5, and a number from 0 to 2^63 - 1 is expected"),
        (mooncake(input_length=1.5), "FILE:2: `input_length` is 1.5, and a whole number is expected"),
        (mooncake(output_length=None), "FILE:2: `output_length` is None, and a whole number is expected"),
        (mooncake(hash_ids=7), "FILE:2: `hash_ids` is 7, and a list of block ids is expected"),
        (mooncake(hash_ids=[1, "a"]), "FILE:2: `hash_ids` is 'a', and whole numbers in its list is expected"),
        (mooncake(hash_ids=[1, 1.5]), "FILE:2: `hash_ids` is 1.5, and whole numbers in its list is expected"),
        (mooncake(hash_ids=[2**70]), "FILE:2: `hash_ids` has a number of more than 64 bits"),
        (mooncake(session=1.5), "FILE:2: `session` is 1.5, and a text or a whole number is expected"),
        (mooncake(type=3), "FILE:2: `type` is 3, and a text is expected"),
        (lines([MOONCAKE[0], [1]]), "FILE:2: a record in { } is expected, not [1]"),
        (lines(MOONCAKE)[:-40], "FILE:3: the file ends in the middle of a record"),
        (lines(MOONCAKE[:1]) + '{"timestamp": 1,\n' + lines(MOONCAKE), "FILE:3: this is no JSON ("),
        (lines(MOONCAKE[:2]) + "hello\n" + "x" * 30, "FILE:3: this is no JSON (Expecting value)"),
        (lines(MOONCAKE[:2]) + "[" * 100_000, "FILE:3: "),
        (lines([QWEN[0], {k: v for k, v in QWEN[1].items() if k != "chat_id"}]), "FILE:2: `chat_id` is missing"),
        (lines([QWEN[0], QWEN[1] | {"parent_chat_id": None}]), "FILE:2: `parent_chat_id` is None, and a text or"),
        (lines([QWEN[0], QWEN[1] | {"timestamp": 2.0}]), "FILE:2: this request came 59.114 s before the one above it"),
        (
            session(STEP, STEP | {"t": 0.5}),
            "FILE: record 2 (line 1): this request came 0.5 s before the one above",
        ),
        (session(STEP | {"in": "3"}), "FILE: record 1 (line 1): `in` is '3', and a whole number is expected"),
        (
            session(STEP, hash_id_scope="file"),
            "FILE:1: a session has a `block_size` above 0 and a `hash_id_scope`",
        ),
        (
            json.dumps(TESTER) + json.dumps(TESTER | {"block_size": 16}),
            "FILE:1: this session has blocks of 16 tokens with local ids, and those above have 64 with local",
        ),
        (messages("x"), "FILE: record 2 (line 1): message 1 is no record in { }"),
        (messages({"from": "human"}), "FILE: record 2 (line 1): message 1 has no text as `from` and `value`"),
        (messages({"from": "dog", "value": "x"}), "FILE: record 2 (line 1): message 1 is `from` 'dog'"),
        (json.dumps([SHAREGPT[0], {"id": 3}]), "FILE: record 2 (line 1): `conversations`, the list of messages, is"),
        (json.dumps(SHAREGPT)[:-1], "FILE:1: the list has no end: `]` is missing"),
        (json.dumps(SHAREGPT)[:-1] + ",", "FILE:1: the list ends after a `,`"),
        (json.dumps(SHAREGPT) + "]", "FILE:1: something stands after the end of the list"),
        (json.dumps(SHAREGPT).replace('}, {"id"', '} {"id"'), "FILE:1: `,` or `]` is missing after record 1"),
        ("[]", "FILE is JSON, and no trace that kvscen knows"),
        ('{"a": 1, "b": 2}', "FILE:1: this record is of no trace that kvscen knows: it has `a`, `b`"),
        ("name,age\nx,1\n", "FILE:1: this is the beginning of no trace that kvscen knows: name,age"),
        ("\x00\x01\x02\x03", "FILE is no trace: it is not text, compressed text or Parquet"),
        (" \n\n", "FILE is empty"),
        (AZURE_LINES[0], "FILE: there is no request in it"),
        ("TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens\n", "FILE:1: the column `TIMESTAMP` is there twice"),
        (
            AZURE.replace("\r\n2023-11-16 18:15:50", "\r2023-11-16 18:15:5x"),
            "FILE:2: here are 1 values, and the header",
        ),
        (
            "TIMESTAMP,ContextTokens\n",
            "FILE:1: the column `GeneratedTokens` is missing; there is TIMESTAMP, Con",
        ),
        ("\n".join([*AZURE_LINES[:2], "1,2"]), "FILE:3: here are 2 values, and the header names 3 columns"),
        ("\n".join([*AZURE_LINES[:2], "", "today,1,2"]), "FILE:4: `TIMESTAMP` is 'today', and a date and time such as"),
        ("\n".join([*AZURE_LINES, AZURE_LINES[1]]), "FILE:4: this request came 4.314579 s before the one above it"),
        (AZURE.replace("374", "-374"), "FILE:2: `ContextTokens` is '-374', and a whole number from 0 on is expected"),
        (AZURE.replace("109", ""), "FILE:3: `GeneratedTokens` is '', and a whole number from 0 on is expected"),
        (AZURE.replace("109", "9" * 20), f"FILE:3: `GeneratedTokens` is '{'9' * 20}', and a whole number"),
        (BURSTGPT.replace("118", "-1"), "FILE:4: `Timestamp` is '-1', and a time from 0 on is expected"),
        (BURSTGPT.replace("118", "inf"), "FILE:4: `Timestamp` is 'inf', and seconds such as 5.25 is expected"),
    ],
)
def test_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    assert refused(path).startswith(said)


def test_a_byte_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(lines(MOONCAKE).encode() + b'{"a": "\xff"}')
    assert refused(path) == "FILE:4: this is no UTF-8 text (invalid start byte)"
    path.write_bytes(AZURE.encode() + b"\xff,1,2\n")
    assert refused(path) == "FILE:4: this is no UTF-8 text (invalid start byte)"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: pa.Codec("zstd").compress(data).to_pybytes()], ids=["gzip", "zstd"]
)
def test_compressed_data_that_ends_too_early(form: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "trace"
    packed = pack(FILES[form][1].encode())
    for length in (len(packed) - 5, len(packed) // 2, 8):
        path.write_bytes(packed[:length])
        said = refused(path)
        assert "data is damaged or ends too early, at some place after line 0 (" in said and said.startswith(
            "FILE: the "
        )


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_another_format(form: str, tmp_path: Path) -> None:
    for other in FORMATS:
        if other != form:
            assert refused(write(tmp_path, other), form).startswith("FILE")


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == "cannot read FILE: No such file or directory (ENOENT)"
    assert refused(tmp_path) == "FILE is a folder, and a trace is read more than once"
    (tmp_path / "empty").touch()
    assert refused(tmp_path / "empty") == "FILE is empty"
    assert refused(Path("a\0b")) == r"'a\x00b' is not a possible path"
    with pytest.raises(TraceError, match="no format of traces is called moncake"):
        open_trace(write(tmp_path, "mooncake"), "moncake")


def test_block_sizes_that_nobody_can_tell(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(lines([{"timestamp": 0, "input_length": 2000, "output_length": 1, "hash_ids": [1]}]))
    assert refused(path) == "FILE: its blocks may have 1024, 2048, 4096 tokens"
    path.write_text(lines([{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": list(range(100))}]))
    assert refused(path) == "FILE: no block size explains how many blocks its prompts have"
    assert open_trace(path, block_tokens=3).about.block_tokens == 3


def test_blocks_of_another_size_than_the_traces(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "mooncake"))
    with pytest.raises(TraceError, match="has blocks of 512 tokens, not of 16"):
        trace.blocks(16)
    with pytest.raises(TraceError, match="has no blocks, and the size of one was not given"):
        open_trace(write(tmp_path, "azure")).blocks()
    assert refused(write(tmp_path, "azure"), block_tokens=16) == "FILE: an Azure LLM inference trace has no blocks"


def test_parquet_of_others(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert refused(path) == "FILE is a Parquet file, and no trace"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"kvscen.trace.version": "9"}), path)
    assert refused(path) == "FILE is a trace of version 9, and this kvscen reads 1"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"kvscen.trace.version": "1"}), path)
    assert refused(path) == "FILE: the column `arrival_ns` is missing or of another type"
    path.write_bytes(path.read_bytes()[:-9])
    assert refused(path).startswith("FILE is damaged or no complete Parquet file: ")
    assert refused(path, "azure") == "FILE is a Parquet file, which says itself what it is"


def test_turns_of_a_trace_that_names_no_conversations(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="does not say which requests are of one conversation"):
        read_turns(write(tmp_path, "azure"), 10)
    assert len(read_turns(write(tmp_path, "sharegpt"), 1)) == 1


def test_where_compressed_data_ends_too_early(tmp_path: Path) -> None:
    """To the MiB: what a damaged piece begins with is not given out."""
    line = json.dumps(MOONCAKE[0]) + "\n"
    count = (3 << 20) // len(line)
    packed = gzip.compress((line * count).encode())
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(packed[:-2000])
    said = refused(path)
    found = re.search(r"at some place after line ([\d,]+) \(", said)
    assert found is not None, said
    assert 0 <= count - int(found[1].replace(",", "")) <= 2 * (1 << 20) // len(line)
