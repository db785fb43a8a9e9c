"""KV sizes against figures that others have published or that a program really printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, LatentSettings
from kvscen.language.diagnose import Source
from kvscen.language.parse import parse
from kvscen.model.geometry import Geometry, geometry, stages
from kvscen.plan.point import Plan
from tests.semantics.support import check, plan

CASES = Path(__file__).parents[3] / "shared" / "kvbench_cases.json"

#: model -> bytes of KV per token with fp8, and of a page of 16 tokens.
TOKEN_BYTES = {
    "llama3_1_8b": (65_536, 1_048_576),
    "llama3_1_70b": (163_840, 2_621_440),
    "deepseek_r1": (35_136, 562_176),
    "qwen3_8b": (73_728, 1_179_648),
    "qwen3_235b_a22b": (96_256, 1_540_096),
    "gpt_oss_20b": (24_576, 393_216),
    "gpt_oss_120b": (36_864, 589_824),
    "mistral_7b": (65_536, 1_048_576),
}


def transfer(model: str, pattern: str, more: str = "") -> Plan:
    return plan(
        f"""kvs 1
use models
model m : {model} {{ kv_dtype = fp8; {more} }}
tier disk : ssd {{ path = "/d" }}
pattern pages : transfer {{ model = m; op = read; {pattern} }}
sweep s {{ pattern = pages; tier = disk }}
"""
    )


@pytest.mark.parametrize("model", TOKEN_BYTES)
def test_the_catalogue(model: str) -> None:
    token, page = TOKEN_BYTES[model]
    [point] = transfer(model, "prompt = 1000 tokens").points
    assert point.model is not None
    sizes = geometry(point.model.settings)
    assert isinstance(sizes, Geometry)
    assert (sizes.token_bytes, sizes.page_bytes(16)) == (token, page)
    assert (point.work.block_bytes, point.work.batch, point.work.keys) == (page, 63, 63)


def test_every_model_of_the_catalogue_is_here_and_keeps_bf16() -> None:
    import kvscen_grammar

    document, problems = parse(Source("models.kvs", kvscen_grammar.catalogue_text()))
    assert not problems
    names = [item.name.name for item in document.items]  # type: ignore[union-attr]
    assert names == list(TOKEN_BYTES) or set(names) == set(TOKEN_BYTES)
    uses = "\n".join(
        f"pattern p_{name} : transfer {{ model = {name}; prompt = 16 tokens; op = read }}\n"
        f"sweep s_{name} {{ pattern = p_{name}; tier = disk }}"
        for name in names
    )
    text = f'kvs 1\nuse models\ntier disk : ssd {{ path = "/d" }}\n{uses}\n'
    assert check(text).scenario is not None
    for point in plan(text).points:
        assert point.model is not None
        assert point.work.block_bytes == 2 * TOKEN_BYTES[point.model.name][1], "bf16 is twice fp8"


def _cases() -> list[Any]:
    if not CASES.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{CASES} is not there"))]
    return [
        pytest.param(case, id=f"{case['model']}-{case['access']}-tp{case['tp']}-pp{case['pp']}-{case['page_tokens']}")
        for case in json.loads(CASES.read_text())["cases"]
    ]


@pytest.mark.parametrize("case", _cases())
def test_blocks_agree_with_kvbench_where_it_is_right(case: dict[str, Any]) -> None:
    """KVBench splits MLA over TP, which engines do not; its batch is rounded once, not for each request."""
    [point] = transfer(
        case["model"],
        f"access = {case['access']}; page = {case['page_tokens']} tokens; prompt = {case['isl_tokens']} tokens; "
        f"requests = {case['requests']}",
        f"tp = {case['tp']}; pp = {case['pp']}",
    ).points
    wrong = case["tp"] if case["model"] == "deepseek_r1" else 1
    assert point.work.block_bytes == case["block_bytes"] * wrong
    pages = case["requests"] * -(-case["isl_tokens"] // case["page_tokens"])
    assert point.model is not None
    stage = -(-point.model.settings.layers // case["pp"])
    assert point.work.batch == pages * (1 if case["access"] == "block" else stage)


def heads(**settings: Any) -> Geometry | tuple[Any, ...]:
    return geometry(HeadsSettings(**{"layers": 80, "kv_heads": 8, "head_dim": 128, **settings}).complete())


def test_heads_are_split_over_ranks_and_replicated_beyond() -> None:
    for tp, share, replicas in ((1, 8, 1), (2, 4, 1), (8, 1, 1), (16, 1, 2), (32, 1, 4)):
        sizes = heads(tp=tp, kv_dtype="fp8")
        assert isinstance(sizes, Geometry)
        assert (sizes.rank_layer_token_bytes, sizes.replicas) == (share * 256, replicas)
        assert sizes.token_bytes == 163_840, "each byte counted once"
    for tp in (3, 6, 12):
        sizes = heads(tp=tp)
        assert not isinstance(sizes, Geometry)
        assert [(f.code, f.setting) for f in sizes] == [("KVS201", "tp")]


def test_latent_vectors_are_kept_by_every_rank() -> None:
    whole = geometry(LatentSettings(layers=61, latent_dim=512, rope_dim=64, kv_dtype="fp8", tp=8, pp=8).complete())
    assert isinstance(whole, Geometry)
    assert (whole.rank_layer_token_bytes, whole.layer_token_bytes, whole.replicas) == (576, 576, 8)
    assert whole.fullest_stage_layers == 8
    mixed = geometry(
        LatentSettings(
            layers=61, latent_dim=512, rope_dim=64, kv_dtype="fp8", rope_dtype="bf16", scale_bytes=16
        ).complete()
    )
    assert isinstance(mixed, Geometry)
    assert mixed.layer_token_bytes == 512 + 128 + 16


def test_stages_hold_whole_layers() -> None:
    assert stages(61, 8) == (8, 8, 8, 8, 8, 7, 7, 7)
    assert stages(80, 32) == (3,) * 16 + (2,) * 16
    sizes = heads(pp=32, kv_dtype="fp8")
    assert isinstance(sizes, Geometry)
    assert (sizes.rank_token_bytes(0), sizes.rank_token_bytes(31)) == (3 * 2048, 2 * 2048)
    found = heads(layers=4, pp=5)
    assert not isinstance(found, Geometry) and found[0].code == "KVS204"


def test_scales_and_different_v() -> None:
    sizes = heads(kv_dtype="int4", v_head_dim=64, scale_bytes=4)
    assert isinstance(sizes, Geometry)
    assert sizes.layer_token_bytes == 8 * (128 // 2 + 4 + 64 // 2 + 4)


def test_fractions_of_a_byte_are_errors() -> None:
    found = heads(head_dim=65, kv_dtype="fp4")
    assert not isinstance(found, Geometry)
    assert [(f.code, f.setting) for f in found] == [("KVS202", "kv_dtype")]
    assert isinstance(heads(head_dim=65, kv_dtype="fp8"), Geometry)
    assert not isinstance(
        geometry(LatentSettings(layers=1, latent_dim=5, rope_dim=2, kv_dtype="int4").complete()), Geometry
    )


@given(
    st.integers(1, 200),
    st.integers(0, 5),
    st.integers(0, 7),
    st.integers(1, 64),
    st.sampled_from(sorted(DTYPE_BITS)),
    st.integers(1, 32),
)
def test_all_ranks_together_keep_all_bytes(
    layers: int, heads_log: int, tp_log: int, half: int, dtype: str, pp: int
) -> None:
    sizes = heads(
        layers=layers, kv_heads=2**heads_log, tp=2**tp_log, head_dim=2 * half, kv_dtype=dtype, pp=min(pp, layers)
    )
    assert isinstance(sizes, Geometry)
    assert sum(sizes.stage_layers) == layers and max(sizes.stage_layers) - min(sizes.stage_layers) <= 1
    kept = sum(2**tp_log * sizes.rank_token_bytes(stage) for stage in range(len(sizes.stage_layers)))
    assert kept == sizes.token_bytes * sizes.replicas
    assert sizes.token_bytes == layers * 2**heads_log * 2 * (2 * half * DTYPE_BITS[dtype]) // 8


def test_a_transfer_of_the_fullest_stage() -> None:
    [point] = transfer(
        "deepseek_r1", "prompt = 1000 tokens; output = 100 tokens; requests = 2; access = layer", "pp = 8"
    ).points
    assert point.work.block_bytes == 16 * 576
    assert point.work.batch == 2 * 69 * 8
    assert point.work.requests == 2
