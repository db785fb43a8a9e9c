"""`kvscen size` as people see it: one golden file for each case.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/report, then read the difference.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from kvscen.lint import lint_file
from kvscen.plan.sizing import Sized, size_model, sizes_of
from kvscen.report.size import size_json, size_rows, size_table
from kvscen.report.table import plain_text
from tests.report.test_golden import check

MODELS = {
    "llama_everything": ("llama3_1_70b", ("tp=16", "pp=32", "requests=10", "kv_dtype=fp8", "weight_dtype=bf16")),
    "llama_alike": ("llama3_1_8b", ()),
    "deepseek": ("deepseek_r1", ("tp=8", "pp=8", "requests=10", "kv_dtype=fp8")),
    "deepseek_fp4": ("deepseek_r1", ("kv_dtype=fp4", "weight_dtype=fp8")),
    "gpt_oss": ("gpt_oss_120b", ("requests=10", "page=256 tokens", "prompt=10000 tokens", "output=500 tokens")),
    "qwen_next": ("qwen3_next_80b_a3b", ("tp=2", "prompt=10000 tokens")),
    "qwen_cut": ("qwen3_235b_a22b", ("tp=4", "pp=7", "access=layer", "prompt=1024 tokens")),
}

SCENARIO = """kvs 1
use models
model a : llama3_1_8b { kv_dtype = fp8 }
model odd : gqa { layers = 2; kv_heads = 8; head_dim = 64; tp = 3 }
tier dram : memory {}
pattern pages : transfer { model = a; prompt = 1000 tokens; op = read }
pattern plain : transfer { block = 1 MiB; op = read }
sweep s {
  pattern in [pages, plain]
  tier = dram
  seed = 1
  (pages.model, pages.sizing) in [(a, exact), (a, kvbench), (odd, kvbench)]
  pages.op in [read, write]
}
"""


def table(sizes: tuple[Sized, ...], scenario: bool = False, width: int = 100, unsized: int = 0) -> str:
    text = plain_text(size_table(sizes, scenario, width, unsized), width)
    assert max(map(len, text.splitlines())) <= width
    return text


def of_scenario(tmp_path: Path) -> tuple[tuple[Sized, ...], int]:
    path = tmp_path / "a.kvs"
    path.write_text(SCENARIO)
    plan = lint_file(path).plan
    assert plan is not None
    return sizes_of(plan), sum(point.model is None for point in plan.points)


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    model, pins = MODELS[name]
    size = size_model(model, pins)
    check(f"size_{name}.txt", table((size.with_rooms({"80 GiB": 80 * 2**30}) if name == "qwen_next" else size,)))


@pytest.mark.parametrize("width", [60, 80])
def test_narrow_terminals(width: int) -> None:
    model, pins = MODELS["llama_everything"]
    check(f"size_{width}.txt", table((size_model(model, pins),), width=width))


def test_scenario(tmp_path: Path) -> None:
    sizes, unsized = of_scenario(tmp_path)
    assert len(sizes) == 3, "reading and writing have the same sizes"
    check("size_scenario.txt", table(sizes, True, unsized=unsized))
    shown = size_json(sizes, True, unsized)
    assert shown["points_without_model"] == unsized == 1
    assert [size["sizing"] for size in shown["sizes"]] == ["exact", "kvbench", "kvbench"]
    assert shown["sizes"][2]["exact"] is None and "cannot be shared" in shown["sizes"][2]["reasons"][0]
    rows = list(size_rows(sizes, True))
    assert [row.keys() for row in rows] == [rows[0].keys()] * 3
    assert (rows[2]["exact_block_bytes"], rows[2]["kvbench_block_bytes"]) == (None, 2 * 16 * 682)


def test_json() -> None:
    model, pins = MODELS["gpt_oss"]
    check("size.json", json.dumps(size_json((size_model(model, pins),), False), indent=2, ensure_ascii=False) + "\n")


def test_the_table_the_object_and_the_row_say_the_same() -> None:
    model, pins = MODELS["deepseek"]
    size = size_model(model, pins)
    [shown] = size_json((size,), False)["sizes"]
    [row] = size_rows((size,), False)
    for side in ("exact", "kvbench"):
        assert {f"{side}_{name}": value for name, value in shown[side].items()}.items() <= row.items()
    text = table((size,))
    assert all(f"{value:,}" in text for value in (*shown["exact"].values(), *shown["kvbench"].values()))
    out = io.StringIO()
    csv.DictWriter(out, list(row)).writerow(row)
    # 8 layers of 576 bytes for each of 16 tokens; 8 x 8 ranks each keep the vector of their stage.
    assert shown["exact"]["block_bytes"] == 8 * 576 * 16 == 8 * shown["kvbench"]["block_bytes"]
    assert shown["exact"]["all_ranks_batch"] == 64 * 630
    assert shown["exact"]["all_ranks_bytes"] == 8 * 630 * 61 * 576 * 16
