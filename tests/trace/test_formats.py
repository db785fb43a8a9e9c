"""Every format becomes the same rows, plain or compressed, whatever its name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kvscen.trace import COLUMNS, FORMATS, Trace, open_trace
from kvscen.trace.formats.sharegpt import Prefix
from tests.trace.support import FILES, MOONCAKE, SHAREGPT, TESTER, lines, write


def columns(trace: Trace, *names: str) -> list[list[Any]]:
    table = trace.table()
    return [table.column(name).to_pylist() for name in names]


def test_there_is_an_example_of_every_format() -> None:
    assert FILES.keys() == FORMATS.keys()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd", "bom"])
def test_a_format_is_seen_by_its_content(form: str, packed: str, tmp_path: Path) -> None:
    text = FILES[form][1].encode()
    path = tmp_path / "trace.bin"
    plain = write(tmp_path, form)
    packers = {
        "plain": lambda data: data,
        "gzip": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
        "zstd": lambda data: pa.Codec("zstd").compress(data).to_pybytes(),
        "bom": lambda data: b"\xef\xbb\xbf" + data,
    }
    path.write_bytes(packers[packed](text))
    trace = open_trace(path)
    assert trace.about.format == form
    expected = open_trace(plain, form).table()
    assert trace.table().equals(expected)
    assert expected.num_rows and trace.schema.names == [column.name for column in COLUMNS]


def test_mooncake(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "mooncake"))
    assert trace.about.block_tokens == 512
    assert columns(trace, "arrival_ns", "input_tokens", "output_tokens", "block_ids", "session") == [
        [0, 0, 2_000_000_000],
        [1100, 600, 1536],
        [7, 1, 20],
        [[0, 1, 2], [0, 3], [0, 1, 4]],
        [None] * 3,
    ]
    blocks = trace.blocks()
    assert blocks.ids.tolist() == [0, 1, 2, 0, 3, 0, 1, 4]
    assert blocks.offsets.tolist() == [0, 3, 5, 8]
    assert blocks.arrival_ns is not None and blocks.arrival_ns.tolist() == [0, 0, 2_000_000_000]


def test_sessions_and_block_size_of_others_in_mooncakes_form(tmp_path: Path) -> None:
    records = [
        {"timestamp": 0, "session": "u7", "subagent": agent, "input_length": 64 * n + 5, "output_length": 1}
        | {"hash_ids": list(range(n)), "turn": 2, "type": "code", "model": "m"}
        for n, agent in ((40, ""), (41, "a"), (900, ""))
    ]
    path = tmp_path / "t.jsonl"
    path.write_text(lines(records))
    trace = open_trace(path)
    assert trace.about.block_tokens == 64
    assert columns(trace, "session", "turn", "type", "model") == [[0, 1, 0], [2] * 3, ["code"] * 3, ["m"] * 3]


def test_qwen_sessions_are_chains_of_chats(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "qwen"))
    assert trace.about.block_tokens == 16
    assert columns(trace, "arrival_ns", "session", "turn", "type") == [
        [0, 136_000_000, 886_000_000, 1_886_000_000],
        [0, 1, 0, 1],
        [1, 4, 2, 4],
        ["text", "search", "text", "text"],
    ]


def test_kv_cache_testers_subagents_work_at_their_own_time(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "kv_cache_tester"))
    assert trace.about.block_tokens == 64
    assert columns(trace, "arrival_ns", "session", "turn", "type", "model", "block_ids") == [
        [0, 10_500_000_000, 11_000_000_000, 12_500_000_000],
        [0, 1, 0, 1],
        [1, 1, 2, 2],
        ["agent", "subagent", "agent", "subagent"],
        ["opus", "haiku", "opus", "haiku"],
        [[1, 2], [5], [1, 2, 3], [5, 6]],
    ]


@pytest.mark.parametrize("joined", ["one after another", "list"])
@pytest.mark.parametrize("scope", ["local", "global"])
def test_sessions_in_one_file_follow_each_other(joined: str, scope: str, tmp_path: Path) -> None:
    sessions = [TESTER | {"hash_id_scope": scope}] * 2
    path = tmp_path / "all.json"
    path.write_text(json.dumps(sessions) if joined == "list" else "".join(map(json.dumps, sessions)))
    trace = open_trace(path)
    arrivals, session, ids = columns(trace, "arrival_ns", "session", "block_ids")
    assert arrivals == sorted(arrivals) and arrivals[4] == arrivals[3]
    assert session == [0, 1, 0, 1, 2, 3, 2, 3]
    first_id = 7 if scope == "local" else 0
    assert ids[4:] == [[each + first_id for each in row] for row in ids[:4]]


def test_sharegpt_prompts_are_the_conversation_so_far(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "sharegpt"))
    assert trace.about.block_tokens == 16
    arrivals, session, turn, tokens, output, ids = columns(
        trace, "arrival_ns", "session", "turn", "input_tokens", "output_tokens", "block_ids"
    )
    assert (arrivals, session, turn) == ([None] * 3, [0, 0, 3], [1, 2, 1])
    assert (tokens, output) == ([25, 40, 25], [10, 1, 2])
    first, second, other = ids
    # 25 tokens are a block of 16 and one of 9; 40 are two of 16, and one of 8.
    assert [len(row) for row in ids] == [2, 3, 2]
    assert first == other and second[0] == first[0] and second[1] != first[1]
    assert trace.blocks().arrival_ns is None


def test_block_ids_of_a_text_are_the_same_everywhere() -> None:
    prefix = Prefix(16)
    prefix.extend("The quick brown fox jumps over the lazy dog, and then it does so again. \ud83d")
    assert list(prefix.block_ids()) == [175509947177944533, 947797357569486793]


def test_a_block_is_as_long_as_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path, "sharegpt")
    (ids,) = columns(open_trace(path, block_tokens=5), "block_ids")
    assert [len(row) for row in ids] == [5, 8, 5]
    assert ids[1][:5] == ids[0]


def test_one_conversation_a_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(lines(SHAREGPT))
    assert open_trace(path).table().equals(open_trace(write(tmp_path, "sharegpt")).table())


def test_azure(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "azure"))
    assert trace.about.block_tokens is None and "nothing is found again" in trace.about.notes[0]
    assert columns(trace, "arrival_ns", "input_tokens", "output_tokens", "block_ids") == [
        [0, 4_314_579_000],
        [374, 33],
        [44, 109],
        [None, None],
    ]
    blocks = trace.blocks(16)
    assert blocks.ids.tolist() == list(range(24 + 3)) and blocks.offsets.tolist() == [0, 24, 27]


def test_azure_times_with_a_zone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.009930+00:00,0,2162,5\n\n2024-05-10 02:00:00+01:00,1,2399,6"
    )
    assert columns(open_trace(path), "arrival_ns", "input_tokens") == [[0, 3_599_990_070_000], [2162, 2399]]


def test_burstgpt(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "burstgpt"))
    assert columns(trace, "arrival_ns", "session", "turn", "type", "model", "output_tokens") == [
        [0, 40_250_000_000, 113_000_000_000, 113_000_000_000],
        [None, 0, 1, 0],
        [None, 1, 1, 2],
        ["API log", *["Conversation log"] * 3],
        ["ChatGPT", *["GPT-4"] * 3],
        [18, 230, 0, 276],
    ]


def test_hashes_of_64_bits_keep_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(lines([MOONCAKE[0] | {"hash_ids": [2**64 - 1, 2**63, 5]}]))
    assert open_trace(path).blocks().ids.tolist() == [-1, -(2**63), 5]


@pytest.mark.parametrize("form", ["mooncake", "azure"])
def test_sorting_is_stable(form: str, tmp_path: Path) -> None:
    path = write(tmp_path, form)
    head, *rows = path.read_text().splitlines() if form == "azure" else ["", *path.read_text().splitlines()]
    path.write_text("\n".join(filter(None, [head, rows[-1], *rows[:-1]])) + "\n")
    sorted_trace = open_trace(path, sort=True)
    assert sorted_trace.table().equals(open_trace(write(tmp_path, form)).table().combine_chunks())


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    record = json.dumps({"timestamp": 1, "input_length": 2, "output_length": 1, "hash_ids": [1]}) + "\n"
    path.write_text(record * 20_000)
    batches = list(open_trace(path).batches())
    assert [len(batch) for batch in batches] == [8192, 8192, 3616]
    path.write_text(lines([{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1] * 600_000}] * 3))
    assert [len(batch) for batch in open_trace(path, block_tokens=1).batches()] == [2, 1]
