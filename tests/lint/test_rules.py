"""What the rules say beyond their golden files: axes, bases, --set."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvscen.lint import lint_file

MODEL = """kvs 1
model m : gqa {{ layers = 2; kv_heads = 4; head_dim = 64; tp = {tp} }}
model n : m {{ }}
tier dram : memory {{ capacity = 1 GiB }}
pattern pages : transfer {{ model = n; prompt = 64 tokens; op = read }}
sweep base {{ {base} }}
sweep s : base {{ pattern = pages; tier = dram; {own} }}
"""


def found(tmp_path: Path, text: str, *pins: str) -> list[tuple[str, str]]:
    path = tmp_path / "a.kvs"
    path.write_text(text)
    linted = lint_file(path, pins)
    assert linted.plan is not None, linted.diagnostics
    return [(d.code, d.span.text if d.span else "") for d in linted.diagnostics]


@pytest.mark.parametrize(
    ("tp", "base", "own", "pins", "expected"),
    [
        (4, "seed = 1", "", (), []),
        (8, "seed = 1", "", (), [("KVS210", "tp")]),
        (4, "seed = 1; m.tp in [4, 8]", "", (), [("KVS210", "m.tp")]),
        (4, "seed = 1; n.tp in [4, 8]", "", (), [("KVS210", "n.tp")]),
        (8, "seed = 1", "", ("m.tp=2",), []),
        (2, "seed = 1", "", ("m.tp=8",), [("KVS210", "tp")]),
        (4, "", "seed in [1, 2]", (), []),
        (4, "", "", (), [("KVS402", "s")]),
        (4, "", "", ("s.seed=3",), []),
        (4, "seed = 1; trials = 2", "", (), [("KVS401", "trials")]),
        (4, "seed = 1; trials = 2", "trials = 3", (), []),
        (4, "seed = 1", "trials in [1, 5]", (), [("KVS401", "trials")]),
        (4, "seed = 1", "trials = 5", ("s.trials=1",), [("KVS401", "trials")]),
        (4, "seed = 1", "", ("s.trials=1",), [("KVS401", "s")]),
    ],
)
def test_what_a_warning_is_about_depends_on_the_plan(
    tmp_path: Path, tp: int, base: str, own: str, pins: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, MODEL.format(tp=tp, base=base, own=own), *pins) == expected


@pytest.mark.parametrize(("tp", "expected"), [(4, []), (8, [("KVS210", "tp")])])
def test_heads_of_the_parts_of_a_hybrid(tmp_path: Path, tp: int, expected: list[tuple[str, str]]) -> None:
    parts = "model w : m {{ window = 64 tokens }}\nmodel n : hybrid {{ parts = [w, m]; tp = {own_tp} }}"
    text = MODEL.replace("model n : m {{ }}", parts)
    assert found(tmp_path, text.format(tp=1, own_tp=tp, base="seed = 1", own="")) == expected


def test_units(tmp_path: Path) -> None:
    text = """kvs 1
let a = [1 GB, 2 kB * 3, -(4 TB)]
tier dram : memory {{ capacity = 4 {unit} }}
pattern pages : transfer {{ block = 1024 B; op = read }}
sweep s {{ pattern = pages; tier = dram; seed = 1
  expect throughput >= 1 Gbit/s
  expect throughput >= 1 GB/s }}
"""
    assert found(tmp_path, text.format(unit="GB")) == []
    assert found(tmp_path, text.format(unit="GiB")) == [("KVS110", "GB"), ("KVS110", "kB"), ("KVS110", "TB")]


def test_an_error_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.kvs"
    path.write_text("kvs 1\nsweep s { trials = 1; tier = nowhere }\n")
    linted = lint_file(path)
    assert linted.plan is None
    assert all(d.severity.value == "error" for d in linted.diagnostics) and linted.diagnostics


SIMULATED = """kvs 1
tier future : sim {{ bandwidth = 1 GB/s; latency = 1 us; parallelism = 4 }}
tier dram : memory {{ }}
pattern p : replay {{ trace = trace("t.jsonl"); block = 4 KiB }}
sweep s {{ pattern = p; tier = {tier}; trials = 1; seed = 1 }}
"""


@pytest.mark.parametrize(("tier", "expected"), [("future", []), ("dram", [("KVS401", "trials")])])
def test_trials_that_cannot_differ_need_not_be_many(tmp_path: Path, tier: str, expected: list[tuple[str, str]]) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [1]}\n')
    assert found(tmp_path, SIMULATED.format(tier=tier)) == expected
