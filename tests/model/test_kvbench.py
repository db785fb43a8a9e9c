"""`sizing = kvbench` against what the real program printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kvscen.language.diagnose import Severity
from kvscen.model.kvbench import KVBenchSize, kvbench_size
from tests.model.support import pattern_and_model, transfer
from tests.semantics.support import problems

CASES = Path(__file__).parents[3] / "shared" / "kvbench_cases.json"


def sized(model: str, pattern: str, more: str = "kv_dtype = fp8") -> tuple[int, int]:
    """(bytes of a block, blocks of a batch) as a point has them."""
    [point] = transfer(model, f"sizing = kvbench; {pattern}", more).points
    assert point.model is not None
    size = kvbench_size(point.pattern.settings, point.model)
    assert isinstance(size, KVBenchSize)
    assert (point.work.block_bytes, point.work.batch) == (size.block_bytes, size.batch)
    return size.block_bytes, size.batch


def _cases() -> list[Any]:
    if not CASES.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{CASES} is not there"))]
    return [
        pytest.param(case, id=f"{case['model']}-{case['access']}-tp{case['tp']}-pp{case['pp']}-{case['page_tokens']}")
        for case in json.loads(CASES.read_text())["cases"]
    ]


@pytest.mark.parametrize("case", _cases())
def test_every_recorded_case(case: dict[str, Any]) -> None:
    assert sized(
        case["model"],
        f"access = {case['access']}; page = {case['page_tokens']} tokens; prompt = {case['isl_tokens']} tokens; "
        f"requests = {case['requests']}",
        f"kv_dtype = {case['kv_dtype']}; tp = {case['tp']}; pp = {case['pp']}",
    ) == (case["block_bytes"], case["batch"])


# KVBench 1.4, its example configurations: prompt of 1000 tokens, 10 requests, pages of 16 tokens, fp8. (block, batch)
# of block-tp1-pp1, layer-tp1-pp1, block-tp1-pp8 and block-tp8-pp8.
EXAMPLES = {
    "deepseek_r1": ((562_176, 625), (9_216, 38_125), (73_728, 4_766), (9_216, 38_125)),
    "gpt_oss_120b": ((589_824, 625), (16_384, 22_500), (73_728, 5_000), (9_216, 40_000)),
    "gpt_oss_20b": ((393_216, 625), (16_384, 15_000), (49_152, 5_000), (6_144, 40_000)),
    "llama3_1_70b": ((2_621_440, 625), (32_768, 50_000), (327_680, 5_000), (40_960, 40_000)),
    "llama3_1_8b": ((1_048_576, 625), (32_768, 20_000), (131_072, 5_000), (16_384, 40_000)),
    "qwen3_235b_a22b": ((1_540_096, 625), (16_384, 58_750), (192_512, 5_000), (24_064, 40_000)),
    "qwen3_8b": ((1_179_648, 625), (32_768, 22_500), (147_456, 5_000), (18_432, 40_000)),
}


@pytest.mark.parametrize("model", EXAMPLES)
def test_its_examples(model: str) -> None:
    layouts = (("block", 1, 1), ("layer", 1, 1), ("block", 1, 8), ("block", 8, 8))
    for (access, tp, pp), expected in zip(layouts, EXAMPLES[model], strict=True):
        found = sized(
            model,
            f"access = {access}; prompt = 1000 tokens; requests = 10",
            f"kv_dtype = fp8; tp = {tp}; pp = {pp}",
        )
        assert found == expected, (access, tp, pp)


def test_figures_of_its_readme_and_of_its_own_tests() -> None:
    prompt = "prompt = 10000 tokens; page = 256 tokens; requests = 10"
    assert sized("deepseek_r1", prompt, "kv_dtype = fp8; pp = 16") == (589_824, 5_958)
    assert sized("deepseek_r1", f"access = layer; {prompt}", "kv_dtype = fp8; pp = 16") == (147_456, 23_829)
    assert sized("deepseek_r1", prompt.replace("= 10", "= 100", 0), "kv_dtype = fp8; pp = 8") == (1_179_648, 2_979)
    # test/test_kvcache.py: a page of one token, 70B with 8 ranks on 2 to 32 stages, the last with 2.5 layers each.
    for pp, block in ((2, 10_240), (4, 5_120), (8, 2_560), (16, 1_280), (32, 640)):
        found = sized("llama3_1_70b", "page = 1 tokens; prompt = 1000 tokens", f"kv_dtype = fp8; tp = 8; pp = {pp}")
        assert found[0] == block
        layer = sized(
            "llama3_1_70b", "access = layer; page = 1 tokens; prompt = 1 tokens", f"kv_dtype = fp8; tp = 8; pp = {pp}"
        )
        assert layer[0] == 256


def test_the_weights_format_is_what_counts_but_not_with_a_latent_vector() -> None:
    prompt = "prompt = 1000 tokens; weight_dtype = bf16"
    assert sized("llama3_1_8b", prompt) == (2 * 1_048_576, 63)
    assert sized("llama3_1_8b", prompt, "kv_dtype = fp4")[0] == 2 * 1_048_576
    assert sized("deepseek_r1", prompt) == (562_176, 63)
    assert sized("deepseek_r1", prompt, "kv_dtype = bf16") == (2 * 562_176, 63)


def test_floats_are_cut_off_in_the_order_of_its_program() -> None:
    # 2,048 bytes of a layer over 3 ranks are 682 (and 2/3), in 32 / 5 layers 4,364 (and 4/5), times 16 tokens.
    assert sized("llama3_1_8b", "prompt = 1000 tokens", "kv_dtype = fp8; tp = 3; pp = 5")[0] == 4_364 * 16
    # 1 / 49 * 98 is 1.9999999999999998 in floats, and 1 / 49 * 49 is 0.9999999999999999.
    model = "mla { layers = 1; latent_dim = 1; rope_dim = 0; kv_dtype = fp8; tp = 49 }"
    pattern, block = pattern_and_model(model, "sizing = kvbench; page = 98 tokens; prompt = 98 tokens")
    size = kvbench_size(pattern, block)
    assert isinstance(size, KVBenchSize)
    assert size.block_bytes == 1
    assert [sentence.endswith("which comes to 2") for sentence in size.fractions] == [True]
    pattern, block = pattern_and_model(model, "sizing = kvbench; page = 49 tokens; prompt = 49 tokens")
    found = kvbench_size(pattern, block)
    assert isinstance(found, tuple) and [f.code for f in found] == ["KVS206"]


def test_requests_share_blocks_where_the_batch_is_no_multiple_of_them() -> None:
    """62.5 pages a request; 63 where each has whole pages of its own."""

    def request_blocks(settings: str) -> int | None:
        [point] = transfer("llama3_1_8b", f"prompt = 1000 tokens; {settings}", "kv_dtype = fp8").points
        return point.work.request_blocks

    assert request_blocks("sizing = kvbench; requests = 10") is None  # 625
    assert request_blocks("sizing = kvbench; requests = 3") is None  # ceil(187.5)
    assert request_blocks("sizing = kvbench; requests = 1") == 63
    assert request_blocks("sizing = kvbench; access = layer; requests = 10") == 2000
    assert request_blocks("requests = 10") == 63


TEXT = """kvs 1
use models
model m : {model}
tier disk : ssd {{ path = "/d" }}
pattern pages : transfer {{ model = m; op = read; prompt = 1000 tokens; sizing = kvbench; {pattern} }}
sweep s {{ pattern = pages; tier = disk; seed = 1 }}
"""


@pytest.mark.parametrize(
    ("model", "pattern", "expected"),
    [
        ("llama3_1_70b { kv_dtype = fp8; tp = 8; pp = 32 }", "", [("KVS211", "kvbench", "2.5 layers, 80 over 32")]),
        ("llama3_1_70b { kv_dtype = fp8; tp = 8; pp = 32 }", "access = layer", []),
        ("llama3_1_8b { tp = 3 }", "", [("KVS211", "kvbench", "1,365 bytes for a token and layer of a rank")]),
        ("deepseek_r1 { kv_dtype = fp8; pp = 8 }", "", []),
        ("deepseek_r1 { kv_dtype = fp8; tp = 5 }", "", [("KVS211", "kvbench", "which comes to 112,435.2")]),
        ("llama3_1_8b { kv_dtype = int4 }", "", [("KVS206", "int4", "`int4`")]),
        ("llama3_1_8b {}", "weight_dtype = fp4", [("KVS206", "fp4", "`fp4`")]),
        ("llama3_1_8b { tp = 5000 }", "", [("KVS206", "5000", "4096 bytes")]),
        ("llama3_1_8b { scale_bytes = 2 B; v_head_dim = 64 }", "", [("KVS212", "2 B", ""), ("KVS212", "64", "")]),
        ("deepseek_r1 { rope_dtype = fp8 }", "weight_dtype = fp8", [("KVS212", "fp8", ""), ("KVS212", "fp8", "")]),
        ("gpt_oss_20b { kv_dtype = fp8 }", "", [("KVS212", "kvbench", "`window`")]),
        ("hybrid { parts = [llama3_1_8b, qwen3_235b_a22b] }", "", [("KVS206", "kvbench", "differ in shape")]),
        ("llama3_1_8b {}", "output = 100 tokens", [("KVS212", "100 tokens", "the prompt alone")]),
    ],
)
def test_what_is_said(model: str, pattern: str, expected: list[tuple[str, str, str]]) -> None:
    found = [d for d in problems(TEXT.format(model=model, pattern=pattern)) if d.code.startswith("KVS")]
    assert [(d.code, d.span.text if d.span else "") for d in found] == [(code, text) for code, text, _ in expected]
    for diagnostic, (_, _, sentence) in zip(found, expected, strict=True):
        assert sentence in diagnostic.message


def test_weight_dtype_belongs_to_kvbench() -> None:
    text = TEXT.format(model="llama3_1_8b {}", pattern="weight_dtype = fp8").replace(
        "sizing = kvbench", "sizing = exact"
    )
    [found] = problems(text)
    assert (found.code, found.severity) == ("KVS125", Severity.WARNING)
    [found] = problems(
        TEXT.replace("model = m; ", "block = 1 MiB; ")
        .replace("prompt = 1000 tokens; ", "")
        .format(model="llama3_1_8b {}", pattern="")
    )
    assert (found.code, found.span.text if found.span else "") == ("KVS203", "kvbench")
