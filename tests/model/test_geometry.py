"""KV sizes against figures that others have published or that a program really printed."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, HybridSettings, LatentSettings, TransferSettings
from kvscen.language.diagnose import Source
from kvscen.language.parse import parse
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.geometry import Geometry, LayerKind, geometry, model_geometry, stages, turns
from kvscen.plan.point import ModelBlock
from tests.model.support import transfer
from tests.semantics.support import check, plan, problems

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


@pytest.mark.parametrize("model", TOKEN_BYTES)
def test_the_catalogue(model: str) -> None:
    token, page = TOKEN_BYTES[model]
    [point] = transfer(model, "prompt = 1000 tokens", "kv_dtype = fp8").points
    assert point.model is not None
    sizes = model_geometry(point.model)
    assert isinstance(sizes, Geometry)
    assert (sizes.token_bytes, sizes.page_bytes(16)) == (token, page)
    blocks = (page // 2, 63 + 9) if point.model.parts else (page, 63)
    assert (point.work.block_bytes, point.work.batch, point.work.keys) == (*blocks, blocks[1])


def test_every_model_of_the_catalogue_is_here_and_keeps_bf16() -> None:
    import kvscen_grammar

    document, problems = parse(Source("models.kvs", kvscen_grammar.catalogue_text()))
    assert not problems
    names = [item.name.name for item in document.items]  # type: ignore[union-attr]
    parts = [f"{name}_{kind}" for name in ("gpt_oss_20b", "gpt_oss_120b") for kind in ("window", "full")]
    assert sorted(names) == sorted([*TOKEN_BYTES, *parts])
    names = list(TOKEN_BYTES)
    uses = "\n".join(
        f"pattern p_{name} : transfer {{ model = {name}; prompt = 16 tokens; op = read }}\n"
        f"sweep s_{name} {{ pattern = p_{name}; tier = disk }}"
        for name in names
    )
    text = f'kvs 1\nuse models\ntier disk : ssd {{ path = "/d" }}\n{uses}\n'
    assert check(text).scenario is not None
    for point in plan(text).points:
        assert point.model is not None
        page = point.work.block_bytes * (2 if point.model.parts else 1)
        assert page == 2 * TOKEN_BYTES[point.model.name][1], "bf16 is twice fp8"


def heads(**settings: Any) -> Geometry | tuple[Any, ...]:
    return geometry(HeadsSettings(**{"layers": 80, "kv_heads": 8, "head_dim": 128, **settings}).complete())


def test_heads_are_split_over_ranks_and_replicated_beyond() -> None:
    for tp, share, replicas in ((1, 8, 1), (2, 4, 1), (8, 1, 1), (16, 1, 2), (32, 1, 4)):
        sizes = heads(tp=tp, kv_dtype="fp8")
        assert isinstance(sizes, Geometry)
        assert (sizes.kinds[0].rank_token_bytes, sizes.kinds[0].replicas) == (share * 256, replicas)
        assert sizes.token_bytes == 163_840, "each byte counted once"
    for tp in (3, 6, 12):
        sizes = heads(tp=tp)
        assert not isinstance(sizes, Geometry)
        assert [(f.code, f.setting) for f in sizes] == [("KVS201", "tp")]


def test_latent_vectors_are_kept_by_every_rank() -> None:
    whole = geometry(LatentSettings(layers=61, latent_dim=512, rope_dim=64, kv_dtype="fp8", tp=8, pp=8).complete())
    assert isinstance(whole, Geometry)
    [kind] = whole.kinds
    assert (kind.rank_token_bytes, kind.token_bytes, kind.replicas) == (576, 576, 8)
    assert max(whole.stage_layers) == 8
    mixed = geometry(
        LatentSettings(
            layers=61, latent_dim=512, rope_dim=64, kv_dtype="fp8", rope_dtype="bf16", scale_bytes=16
        ).complete()
    )
    assert isinstance(mixed, Geometry)
    assert mixed.kinds[0].token_bytes == 512 + 128 + 16


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
    assert sizes.kinds[0].token_bytes == 8 * (128 // 2 + 4 + 64 // 2 + 4)


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
    assert kept == sizes.token_bytes * sizes.kinds[0].replicas
    assert sizes.token_bytes == layers * 2**heads_log * 2 * (2 * half * DTYPE_BITS[dtype]) // 8


def test_a_transfer_of_the_fullest_stage() -> None:
    [point] = transfer(
        "deepseek_r1",
        "prompt = 1000 tokens; output = 100 tokens; requests = 2; access = layer",
        "kv_dtype = fp8; pp = 8",
    ).points
    assert point.work.block_bytes == 16 * 576
    assert point.work.batch == 2 * 69 * 8
    assert point.work.requests == 2


# ---- windows and layers of several kinds


def test_a_window_keeps_the_pages_of_what_the_next_token_sees() -> None:
    kind = LayerKind(12, 1024, 1024, 1, window_tokens=128)
    # Of 1000 tokens the next one sees itself and tokens 873 to 999: those of the pages 54 to 62.
    assert kind.pages(1000, 16) == 9
    # Of 1024 tokens it sees 897 to 1023, pages 56 to 63. One more begins a page; 14 later page 56 is left behind.
    assert [kind.pages(tokens, 16) for tokens in (1024, 1025, 1038, 1039)] == [8, 9, 9, 8]
    assert [kind.pages(tokens, 16) for tokens in (1, 16, 17, 128, 129)] == [1, 1, 2, 8, 9]
    assert LayerKind(12, 1024, 1024, 1).pages(1000, 16) == 63


@given(st.integers(2, 300), st.integers(1, 2000), st.integers(1, 300))
def test_pages_of_a_window_by_counting(window: int, tokens: int, page: int) -> None:
    seen = range(max(tokens - (window - 1), 0), tokens)
    assert LayerKind(1, 1, 1, 1, window).pages(tokens, page) == len({token // page for token in seen})


def test_kinds_of_layers_take_turns() -> None:
    assert turns((2, 2)) == (0, 1, 0, 1)
    assert turns((5, 1)) == (0, 0, 0, 0, 0, 1)
    assert turns((1, 3)) == (1, 1, 0, 1)
    assert turns((4,)) == (0, 0, 0, 0)
    assert len(turns((52, 10))) == 62 and turns((52, 10))[:12] == (0,) * 5 + (1,) + (0,) * 5 + (1,)


def test_gpt_oss_on_stages() -> None:
    [point] = transfer("gpt_oss_20b", "prompt = 1000 tokens", "kv_dtype = fp8; pp = 8; tp = 8").points
    assert point.model is not None
    sizes = model_geometry(point.model)
    assert isinstance(sizes, Geometry)
    assert sizes.stages == ((2, 1), (1, 2)) * 4, "a layer with a window comes first"
    assert sizes.stage_layers == (3,) * 8
    # The fullest stage has one window and two full layers: 9 + 2 x 63 blocks of one layer and head.
    assert (point.work.block_bytes, point.work.batch) == (16 * 128, 9 + 2 * 63)
    assert sizes.request_bytes(1000, 16) == 16 * 1024 * (12 * 9 + 12 * 63)


@pytest.mark.parametrize(
    ("pattern", "more", "block", "batch"),
    [
        ("prompt = 1000 tokens", "", 12 * 16 * 1024, 63 + 9),
        ("prompt = 1000 tokens; requests = 10", "", 12 * 16 * 1024, 720),
        ("prompt = 1000 tokens; access = layer", "", 16 * 1024, 12 * 63 + 12 * 9),
        ("prompt = 100 tokens", "", 12 * 16 * 1024, 7 + 7),
        ("prompt = 900 tokens; output = 100 tokens", "", 12 * 16 * 1024, 63 + 9),
        ("prompt = 1000 tokens", "tp = 16", 12 * 16 * 128, 63 + 9),
        ("prompt = 1000 tokens", "pp = 2", 6 * 16 * 1024, 63 + 9),
        ("prompt = 1000 tokens", "pp = 5", 16 * 1024, 2 * 9 + 3 * 63),
    ],
)
def test_blocks_of_gpt_oss(pattern: str, more: str, block: int, batch: int) -> None:
    [point] = transfer("gpt_oss_20b", pattern, f"kv_dtype = fp8; {more}").points
    assert (point.work.block_bytes, point.work.batch) == (block, batch)


def test_a_model_with_a_window_alone() -> None:
    [point] = transfer("mistral_7b", "prompt = 10000 tokens", "window = 4096 tokens").points
    assert (point.work.block_bytes, point.work.batch) == (16 * 131_072, 625 - (10_000 - 4_095) // 16)


def test_layers_that_keep_alike_share_a_block() -> None:
    [point] = transfer("hybrid", "prompt = 1000 tokens", "parts = [llama3_1_8b, mistral_7b]").points
    assert (point.work.block_bytes, point.work.batch) == (64 * 16 * 4096, 63)


HYBRID = """kvs 1
use models
model full   : gqa {{ layers = 2; kv_heads = 2; head_dim = 64 }}
model window : full {{ window = 64 tokens; {window} }}
model m      : hybrid {{ parts = {parts}; {own} }}
model n      : m {{ }}
tier disk : ssd {{ path = "/d" }}
pattern pages : transfer {{ model = {model}; op = read; prompt = 1000 tokens }}
sweep s {{ pattern = pages; tier = disk; seed = 1; {sweep} }}
"""


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"parts": "[window]"}, "KVS105", "[window]"),
        ({"parts": "[window, m]"}, "KVS105", "[window, m]"),
        ({"parts": "[window, n]", "model": "m"}, "KVS105", "[window, n]"),
        ({"parts": "[window, disk]"}, "KVS105", "disk"),
        ({"parts": "[window, ful]"}, "KVS101", "ful"),
        ({"window": "tp = 2"}, "KVS114", "[window, full]"),
        ({"window": "kv_heads = 1"}, "KVS207", "m"),
        ({"window": "window = 1 tokens"}, "KVS112", "window"),
        ({"own": "tp = 3"}, "KVS201", "3"),
        ({"own": "pp = 5"}, "KVS204", "5"),
        ({"own": "window = 3 tokens"}, "KVS102", "window"),
        ({"window": "head_dim = 65; kv_dtype = fp4"}, "KVS202", "fp4"),
        ({"sweep": "window.window in [2 tokens, 1 tokens]"}, "KVS105", "1 tokens"),
    ],
)
def test_mistakes_in_a_hybrid(given: dict[str, str], code: str, text: str) -> None:
    parts = {"window": "", "parts": "[window, full]", "own": "", "model": "m", "sweep": "", **given}
    found = [d for d in problems(HYBRID.format(**parts)) if d.code.startswith("KVS")]
    assert found, "no problem"
    assert (found[0].code, found[0].span.text if found[0].span else "") == (code, text)


def test_parts_are_reached_and_bind_late() -> None:
    def points(sweep: str) -> list[tuple[int, int]]:
        parts = {"window": "", "parts": "[window, full]", "own": "", "model": "n", "sweep": sweep}
        return [(p.work.block_bytes, p.work.batch) for p in plan(HYBRID.format(**parts)).points]

    block = 2 * 16 * 512
    assert points("") == [(block, 63 + 5)]
    assert points("window.window in [32 tokens, 512 tokens]") == [(block, 63 + 3), (block, 63 + 33)]
    assert points("full.head_dim in [64, 128]") == [(block, 68), (2 * block, 68)]
    assert points("m.kv_dtype in [bf16, fp8, fp4]") == [(block, 68), (block // 2, 68), (block // 4, 68)]
    assert points("m.parts in [[window, full], [full, window]]") == [(block, 68)] * 2
    assert points("window.kv_dtype = fp8; full.kv_dtype = fp8") == [(block // 2, 68)]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([None, 2, 17, 128, 4000])), min_size=1, max_size=3),
    st.integers(0, 4),
    st.integers(1, 12),
    st.integers(1, 3000),
    st.sampled_from([1, 16, 256]),
    st.sampled_from(["block", "layer"]),
)
def test_all_ranks_move_all_that_is_kept(
    kinds: list[tuple[int, int | None]], tp_log: int, pp: int, tokens: int, page: int, access: str
) -> None:
    layers = sum(count for count, _ in kinds)
    settings = [
        HeadsSettings(
            layers=count, kv_heads=4, head_dim=8, window_tokens=window, tp=2**tp_log, pp=min(pp, layers)
        ).complete()
        for count, window in kinds
    ]
    blocks = tuple(ModelBlock(f"k{i}", "gqa", attrs.evolve(own, tp=1, pp=1)) for i, own in enumerate(settings))
    hybrid = HybridSettings(parts=tuple(b.name for b in blocks), tp=2**tp_log, pp=min(pp, layers))
    pattern = TransferSettings(
        model="m", op="read", access=access, page_tokens=page, prompt_tokens=tokens, requests=3
    ).complete()
    size = exact_size(pattern, ModelBlock("m", "hybrid", hybrid, blocks))
    assert isinstance(size, ExactSize)
    assert size.all_bytes == 3 * size.request_bytes * size.geometry.kinds[0].replicas
    assert size.rank_bytes <= size.all_bytes // 2**tp_log
    assert size.rank_bytes * 2**tp_log * min(pp, layers) >= size.all_bytes, "no stage is fuller than the fullest"
    assert size.batch % 3 == 0 and size.all_blocks >= size.batch * 2**tp_log
