"""Small traces of every format, written as their origins write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOONCAKE = [
    {"timestamp": 500, "input_length": 1100, "output_length": 7, "hash_ids": [0, 1, 2]},
    {"timestamp": 500, "input_length": 600, "output_length": 1, "hash_ids": [0, 3]},
    {"timestamp": 2500, "input_length": 1536, "output_length": 20, "hash_ids": [0, 1, 4]},
]
QWEN = [
    {"chat_id": 9, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 40, "output_length": 5}
    | {"type": "text", "turn": 1, "hash_ids": [11, 12, 13]},
    {"chat_id": 3, "parent_chat_id": 77, "timestamp": 61.25, "input_length": 17, "output_length": 5}
    | {"type": "search", "turn": 4, "hash_ids": [20, 21]},
    {"chat_id": 5, "parent_chat_id": 9, "timestamp": 62.0, "input_length": 64, "output_length": 1}
    | {"type": "text", "turn": 2, "hash_ids": [11, 12, 14, 15]},
    {"chat_id": 6, "parent_chat_id": 77, "timestamp": 63.0, "input_length": 33, "output_length": 1}
    | {"type": "text", "turn": 4, "hash_ids": [20, 22, 23]},
]


def _step(t: float, tokens: int, ids: list[int], model: str = "opus") -> dict[str, Any]:
    return {"t": t, "type": "n", "model": model, "in": tokens, "out": 3, "hash_ids": ids}


TESTER = {
    "id": "trace_0001",
    "block_size": 64,
    "hash_id_scope": "local",
    "requests": [
        _step(0.0, 130, [1, 2]),
        {"t": 10.5, "type": "subagent", "requests": [_step(0.0, 70, [5], "haiku"), _step(2.0, 140, [5, 6], "haiku")]},
        _step(11.0, 200, [1, 2, 3]),
    ],
}
SHAREGPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "x" * 100},
            {"from": "gpt", "value": "y" * 40},
            {"from": "human", "value": "z" * 21},
            {"from": "gpt", "value": "ok"},
            {"from": "human", "value": "bye"},
        ],
    },
    {"id": "b", "conversations": []},
    {"id": "c", "conversations": [{"from": "gpt", "value": "hello"}, {"from": "human", "value": ""}]},
    {"id": "d", "conversations": [{"from": "human", "value": "x" * 100}, {"from": "gpt", "value": "w" * 9}]},
]
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n"
    "2023-11-16 18:15:50.9951690,33,109\r\n"
)
BURSTGPT = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,,1.5,ChatGPT,472,18,490,API log\n"
    "45.25,s-1,2,GPT-4,1087,230,1317,Conversation log\n"
    "118,s-2,2,GPT-4,10,0,10,Conversation log\n"
    "118,s-1,2,GPT-4,1400,276,1676,Conversation log\n"
)


def lines(records: Iterable[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


#: format -> (name of the file, its text)
FILES = {
    "mooncake": ("m.jsonl", lines(MOONCAKE)),
    "qwen": ("q.jsonl", lines(QWEN)),
    "kv_cache_tester": ("t.json", json.dumps(TESTER)),
    "sharegpt": ("s.json", json.dumps(SHAREGPT, indent=1)),
    "azure": ("a.csv", AZURE),
    "burstgpt": ("b.csv", BURSTGPT),
}


def write(folder: Path, form: str) -> Path:
    name, text = FILES[form]
    path = folder / name
    path.write_bytes(text.encode())
    return path
