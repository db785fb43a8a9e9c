"""`kvscen predict` as people see it: one golden file for each case.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/report, then read the difference.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from kvscen.predict import parse_capacity, predict
from kvscen.predict.block import BlockSize, block_of_model
from kvscen.report.predict import prediction_json, prediction_rows, prediction_table
from kvscen.report.table import plain_text
from kvscen.trace import open_trace
from tests.predict.support import BY_HAND, GROWING, mooncake
from tests.report.test_golden import check
from tests.trace.support import write

LLAMA = ("llama3_1_70b", ("kv_dtype=fp8", "tp=8", "pp=2"))
#: name -> (requests, policy, capacities, model, halvings, width)
CASES = {
    "hand": (BY_HAND, "lru", (), None, None, 80),
    "growing": (GROWING, "lru", (), LLAMA, None, 80),
    "growing_100": (GROWING, "lru_tail_first", (), LLAMA, None, 100),
    "growing_narrow": (GROWING, "lru", (), LLAMA, None, 40),
    "some": (GROWING, "arc", ("10", "10%", "50%", "120%", "none"), None, None, 80),
    "one": (GROWING, "lru", ("none",), ("gpt_oss_20b", ()), None, 80),
    "one_block": ([(0, [1]), (1, [1])], "lru", (), None, None, 80),
    "no_hit": ([(0, [1]), (1, [2, 3])], "lru", (), None, None, 80),
}


def block(model: tuple[str, tuple[str, ...]] | None) -> BlockSize | None:
    return None if model is None else block_of_model(model[0], 512, model[1])


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_table(name: str) -> None:
    requests, policy, capacities, model, halvings, width = CASES[name]
    trace = open_trace(mooncake(Path("trace.jsonl"), requests))
    size = block(model)
    found = predict(trace, policy, [*map(parse_capacity, capacities)], size and size.total_bytes, halvings)
    text = plain_text(prediction_table(found, size, width, chart=True), width)
    check(f"predict_{name}.txt", text)
    assert max(map(len, text.splitlines())) <= width


def test_a_trace_without_times_and_with_notes() -> None:
    found = predict(open_trace(write(Path(), "sharegpt")), "lru", [])
    check("predict_sharegpt.txt", plain_text(prediction_table(found, None, 80, chart=False), 80))


def test_json_and_csv() -> None:
    size = block(LLAMA)
    found = predict(open_trace(mooncake(Path("trace.jsonl"), BY_HAND)), "lru", [], size and size.total_bytes)
    check("predict.json", json.dumps(prediction_json(found, size), indent=2) + "\n")
    rows, out = list(prediction_rows(found, size)), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    check("predict.csv", out.getvalue())


def test_a_sample_says_what_it_is() -> None:
    found = predict(open_trace(mooncake(Path("trace.jsonl"), GROWING)), "lru", [], halvings=1)
    text = plain_text(prediction_table(found, None, 120, chart=True), 120)
    assert "sample 1 of 2 blocks" in text and "unique blocks about" in text and " ± " in text
    assert "±: standard error; a sample does not show which hits are in an unbroken prefix" in text
    assert "prefix: found" not in text
