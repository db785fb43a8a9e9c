"""Why KVBench's sizes differ: each cause where it is at work, and none where it is not."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.blocks import HeadsSettings, HybridSettings, LatentSettings, TransferSettings
from kvscen.model.compare import differences
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.kvbench import KVBenchSize, kvbench_size
from kvscen.plan.point import ModelBlock
from tests.model.support import pattern_and_model


def compared(pattern: TransferSettings, model: ModelBlock) -> tuple[ExactSize, KVBenchSize, dict[str, str]]:
    exact, kvbench = exact_size(pattern, model), kvbench_size(pattern, model)
    assert isinstance(exact, ExactSize) and isinstance(kvbench, KVBenchSize)
    return exact, kvbench, {d.cause: d.sentence for d in differences(pattern, model, exact, kvbench)}


#: model, settings of the pattern, the causes at work
CASES: list[tuple[str, str, list[str]]] = [
    ("llama3_1_70b { kv_dtype = fp8 }", "prompt = 1000 tokens", []),
    ("deepseek_r1 { }", "prompt = 1024 tokens; requests = 10; access = layer", []),
    ("llama3_1_70b { kv_dtype = fp8 }", "prompt = 1000 tokens; weight_dtype = fp8", []),
    ("llama3_1_70b { kv_dtype = fp8 }", "prompt = 1000 tokens; weight_dtype = int8", []),
    ("llama3_1_70b { kv_dtype = fp8 }", "prompt = 1000 tokens; weight_dtype = bf16", ["weight_dtype"]),
    ("deepseek_r1 { kv_dtype = fp8 }", "prompt = 1000 tokens; weight_dtype = bf16", []),
    ("llama3_1_70b { }", "prompt = 1000 tokens; requests = 10", ["page_rounding"]),
    ("llama3_1_70b { }", "prompt = 1000 tokens; access = layer", ["page_rounding"]),
    ("llama3_1_70b { tp = 8 }", "prompt = 1024 tokens", ["all_ranks"]),
    ("llama3_1_70b { tp = 16 }", "prompt = 1024 tokens", ["heads_split", "all_ranks"]),
    ("llama3_1_70b { pp = 32 }", "prompt = 1024 tokens", ["part_layers", "all_ranks"]),
    ("llama3_1_70b { pp = 32 }", "prompt = 1024 tokens; access = layer", ["all_ranks"]),
    ("deepseek_r1 { tp = 8 }", "prompt = 1024 tokens", ["latent_split", "all_ranks"]),
    ("deepseek_r1 { pp = 8 }", "prompt = 1024 tokens", ["uneven_stages", "all_ranks"]),
    ("deepseek_r1 { tp = 5 }", "prompt = 1024 tokens", ["latent_split", "truncated", "all_ranks"]),
    ("llama3_1_8b { scale_bytes = 2 B }", "prompt = 1024 tokens", ["scale_bytes"]),
    ("llama3_1_8b { kv_dtype = fp8; v_dtype = int4 }", "prompt = 1024 tokens", ["v_dtype"]),
    ("llama3_1_8b { v_scale_bytes = 2 B }", "prompt = 1024 tokens", ["v_scale_bytes"]),
    ("llama3_1_8b { chunk = 512 tokens }", "prompt = 1000 tokens", ["window"]),
    ("llama3_1_8b { v_head_dim = 64 }", "prompt = 1024 tokens; output = 1 tokens", ["v_head_dim", "output"]),
    ("deepseek_r1 { kv_dtype = fp8; rope_dtype = bf16 }", "prompt = 1024 tokens", ["rope_dtype"]),
    ("gpt_oss_20b { }", "prompt = 1000 tokens", ["layer_groups", "window"]),
    ("gpt_oss_20b { }", "prompt = 100 tokens; access = layer", ["page_rounding"]),
    ("mistral_7b { window = 4096 tokens }", "prompt = 4000 tokens", []),
    ("mistral_7b { window = 4096 tokens }", "prompt = 8000 tokens", ["window"]),
]


@pytest.mark.parametrize(("model", "settings", "causes"), CASES)
def test_causes(model: str, settings: str, causes: list[str]) -> None:
    exact, kvbench, found = compared(*pattern_and_model(model, f"sizing = kvbench; {settings}"))
    assert list(found) == causes
    same = (exact.block_bytes, exact.all_blocks, exact.all_bytes, exact.batch) == (
        kvbench.block_bytes,
        kvbench.batch,
        kvbench.total_bytes,
        kvbench.batch,
    )
    assert same == (not causes), "a difference has a cause, and a cause makes a difference"


def test_sentences_have_the_figures() -> None:
    def said(model: str, settings: str = "prompt = 1000 tokens; requests = 10") -> str:
        return "\n".join(compared(*pattern_and_model(model, f"sizing = kvbench; {settings}"))[2].values())

    assert "by tp = 8, 1/2 of a head for each rank; a head is kept whole, by 2 ranks" in said(
        "qwen3_235b_a22b { tp = 8 }"
    )
    assert "2.5 layers, 80 over 32 stages; a stage has whole ones: 16 have 3, 16 have 2" in said(
        "llama3_1_70b { pp = 32 }"
    )
    assert "with 8 layers; 3 of the 8 stages have 7" in said("deepseek_r1 { pp = 8 }")
    assert "63, where KVBench reckons with 62.5" in said("llama3_1_70b { }")
    assert "12 of the 24 layers attend to the newest 128 and keep 9 of a request's 63 pages" in said("gpt_oss_20b { }")
    assert "the weights, bf16, for K and V; the cache keeps fp8: that makes KVBench's bytes 2 times as many" in said(
        "llama3_1_8b { kv_dtype = fp8 }", "prompt = 1 tokens; weight_dtype = bf16"
    )
    assert "KVBench's bytes 1/2 as many" in said("llama3_1_8b { }", "prompt = 1 tokens; weight_dtype = fp8")


HEADS = st.builds(
    lambda heads, dim, window: ("heads", heads, dim, window),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([64, 128]),
    st.sampled_from([None, None, 128]),
)
LATENT = st.just(("latent",))


@given(
    kind=st.one_of(HEADS, LATENT),
    layers=st.integers(1, 30),
    more_layers=st.integers(0, 10),
    tp=st.sampled_from([1, 2, 4, 8]),
    pp=st.integers(1, 5),
    dtypes=st.tuples(st.sampled_from(["fp8", "bf16"]), st.sampled_from([None, "fp8", "bf16"])),
    access=st.sampled_from(["block", "layer"]),
    prompt=st.integers(1, 2000),
    output=st.sampled_from([0, 0, 100]),
    requests=st.integers(1, 4),
)
def test_every_difference_has_a_cause(
    kind: tuple[object, ...],
    layers: int,
    more_layers: int,
    tp: int,
    pp: int,
    dtypes: tuple[str, str | None],
    access: str,
    prompt: int,
    output: int,
    requests: int,
) -> None:
    pattern = TransferSettings(
        model="m",
        op="read",
        access=access,
        prompt_tokens=prompt,
        output_tokens=output,
        requests=requests,
        sizing="kvbench",
        weight_dtype=dtypes[1],
    ).complete()
    pp = min(pp, layers + more_layers)
    if kind == ("latent",):
        own = LatentSettings(layers=layers, latent_dim=512, rope_dim=64, kv_dtype=dtypes[0], tp=tp, pp=min(pp, layers))
        model = ModelBlock("m", "mla", own.complete())
    else:
        _, heads, dim, window = kind
        one = HeadsSettings(
            layers=layers, kv_heads=heads, head_dim=dim, window_tokens=window, kv_dtype=dtypes[0]
        ).complete()
        if more_layers:
            two = attrs.evolve(one, layers=more_layers, window_tokens=None)
            parts = (ModelBlock("a", "gqa", one), ModelBlock("b", "gqa", two))
            model = ModelBlock("m", "hybrid", HybridSettings(parts=("a", "b"), tp=tp, pp=pp), parts)
        else:
            model = ModelBlock("m", "gqa", attrs.evolve(one, tp=tp, pp=min(pp, layers)))
    exact, kvbench, causes = compared(pattern, model)
    if not causes:
        assert exact.block_bytes == kvbench.block_bytes
        assert exact.all_blocks == exact.batch == kvbench.batch
        assert exact.all_bytes == kvbench.total_bytes
    if not set(causes) - {"all_ranks", "page_rounding"}:
        assert exact.block_bytes == kvbench.block_bytes
        assert exact.all_blocks >= kvbench.batch
    if not set(causes) - {"all_ranks"}:
        assert (exact.all_blocks, exact.all_bytes) == (kvbench.batch, kvbench.total_bytes)
