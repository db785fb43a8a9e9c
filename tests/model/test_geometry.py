"""KV sizes against figures that others have published or that a program really printed."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.blocks import (
    DTYPE_BITS,
    HeadsSettings,
    HybridSettings,
    LatentSettings,
    LinearSettings,
    TransferSettings,
)
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.geometry import Geometry, LayerKind, geometry, model_geometry, stages, turns
from kvscen.plan.point import ModelBlock
from tests.model.support import text, transfer
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


def test_the_catalogue_keeps_bf16() -> None:
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


#: Settings of K and V of 128 numbers -> bytes of one token, layer and KV head, reckoned by hand.
QUANTIZED: list[tuple[dict[str, Any], int]] = [
    # 128 bytes for K, 128 for V; the scale of the tensor is kept with the weights.
    ({"kv_dtype": "fp8"}, 256),
    # A scale of 4 bytes beside K and beside V.
    ({"kv_dtype": "int8", "scale_bytes": 4}, 2 * (128 + 4)),
    # q8_0 of llama.cpp: a block of 32 numbers has 34 bytes (32 and a half-precision scale); 4 blocks in K, 4 in V.
    ({"kv_dtype": "int8", "scale_bytes": 2, "scale_group": 32}, 2 * 4 * 34),
    # q4_0: a block of 32 numbers has 18 bytes.
    ({"kv_dtype": "int4", "scale_bytes": 2, "scale_group": 32}, 2 * 4 * 18),
    # NVFP4: 16 numbers have 8 bytes and a scale of 1.
    ({"kv_dtype": "fp4", "scale_bytes": 1, "scale_group": 16}, 2 * 8 * 9),
    # K of 128 bytes without scales; V of 64 bytes with one of 2.
    ({"kv_dtype": "fp8", "v_dtype": "int4", "v_scale_bytes": 2}, 128 + 64 + 2),
    # K 192 numbers of 2 bytes, V 128 of 1 with a scale of 2.
    ({"head_dim": 192, "v_head_dim": 128, "v_dtype": "fp8", "v_scale_bytes": 2}, 384 + 130),
]


@pytest.mark.parametrize(("settings", "expected"), QUANTIZED)
def test_quantized_kv(settings: dict[str, Any], expected: int) -> None:
    sizes = heads(**settings)
    assert isinstance(sizes, Geometry)
    assert sizes.kinds[0].token_bytes == 8 * expected


def test_scales_of_all_heads_of_a_rank() -> None:
    # 8 heads of 2 x 128 bytes; each rank has one scale of 4 bytes for its K and one for its V.
    for tp, rank, replicas in ((1, 2048 + 8, 1), (2, 1024 + 8, 1), (8, 256 + 8, 1), (16, 256 + 8, 2)):
        sizes = heads(kv_dtype="fp8", scale_bytes=4, scale_per="token", tp=tp)
        assert isinstance(sizes, Geometry)
        [kind] = sizes.kinds
        assert (kind.rank_token_bytes, kind.replicas) == (rank, replicas)
        assert tp * kind.rank_token_bytes == replicas * kind.token_bytes


def test_flash_mla() -> None:
    # FlashMLA's fp8 cache: 512 bytes, 4 scales of 4 bytes (one for 128 numbers), 64 numbers of 2 bytes: 656.
    sizes = geometry(
        LatentSettings(
            layers=61,
            latent_dim=512,
            rope_dim=64,
            kv_dtype="fp8",
            rope_dtype="bf16",
            scale_bytes=4,
            scale_group=128,
        ).complete()
    )
    assert isinstance(sizes, Geometry)
    assert sizes.kinds[0].token_bytes == 656


@pytest.mark.parametrize(
    ("settings", "code", "at"),
    [
        ("scale_bytes = 2 B; scale_group = 48", "KVS202", "48"),
        ("scale_group = 32", "KVS113", "32"),
        ("scale_per = token", "KVS113", "token"),
        ("scale_bytes = 2 B; scale_group = 32; scale_per = token", "KVS114", "32"),
        ("window = 128 tokens; chunk = 128 tokens", "KVS114", "128 tokens"),
        ("v_head_dim = 65; v_dtype = int4", "KVS202", "int4"),
        ("scale_per = block", "KVS101", "block"),
    ],
)
def test_mistakes_in_scales(settings: str, code: str, at: str) -> None:
    found = problems(text("llama3_1_8b { " + settings + " }", "prompt = 1000 tokens"))
    assert [(d.code, d.span.text if d.span else "") for d in found if d.code != "KVS404"][:1] == [(code, at)]


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


def test_a_chunk_keeps_the_pages_of_the_one_that_the_next_token_is_in() -> None:
    kind = LayerKind(36, 1024, 1024, 1, chunk_tokens=128)
    # Of 1000 tokens 896 are in seven full chunks; 104 are left, from page 56 to page 62.
    assert kind.pages(1000, 16) == 7
    assert [kind.pages(tokens, 16) for tokens in (1, 127, 128, 129, 255, 256)] == [1, 8, 0, 1, 8, 0]


@given(st.integers(2, 300), st.integers(1, 2000), st.integers(1, 300))
def test_pages_of_a_chunk_by_counting(chunk: int, tokens: int, page: int) -> None:
    seen = range(tokens // chunk * chunk, tokens)
    kind = LayerKind(1, 1, 1, 1, chunk_tokens=chunk)
    assert kind.pages(tokens, page) == len({token // page for token in seen})


@given(st.booleans(), st.integers(2, 60), st.integers(1, 40))
def test_the_most_pages_are_kept_of_some_request_and_of_none_more(is_chunk: bool, reach: int, page: int) -> None:
    kind = LayerKind(1, 1, 1, 1, *((None, reach) if is_chunk else (reach, None)))
    assert kind.most_pages(page) == max(kind.pages(tokens, page) for tokens in range(1, 3 * reach * page + reach))


def linear(**settings: Any) -> Geometry:
    found = geometry(LinearSettings(**{"layers": 4, "state_bytes": 1024, **settings}))
    assert isinstance(found, Geometry)
    return found


def test_a_state_does_not_grow() -> None:
    whole = linear(tp=2, pp=2)
    assert whole.token_bytes == 0 and whole.state_bytes == 4 * 1024
    assert {whole.request_bytes(tokens, 16) for tokens in (1, 1000, 10**6)} == {4096}
    assert whole.rank_request_bytes(1000, 16) == 2 * 512
    found = geometry(LinearSettings(layers=1, state_bytes=1024, tp=3))
    assert not isinstance(found, Geometry) and [(f.code, f.setting) for f in found] == [("KVS202", "tp")]


def test_a_hybrid_of_all_three() -> None:
    found = geometry(
        HeadsSettings(layers=2, kv_heads=4, head_dim=128).complete(),
        HeadsSettings(layers=3, kv_heads=4, head_dim=128, window_tokens=128).complete(),
        LinearSettings(layers=5, state_bytes=10_000),
    )
    assert isinstance(found, Geometry)
    # A token in a layer: 4 heads x (128 + 128) numbers x 2 bytes = 2048. Of 1000 tokens in pages of 16 a full layer
    # keeps 63 pages, one with the window 9 (those of tokens 873 to 999), a linear one its state.
    assert found.request_bytes(1000, 16) == 2 * 63 * 16 * 2048 + 3 * 9 * 16 * 2048 + 5 * 10_000
    # 131,072 tokens are 8192 pages; the window is in 8 of them (tokens 130,945 to 131,071: pages 8184 to 8191).
    assert found.request_bytes(131_072, 16) == 2 * 8192 * 16 * 2048 + 3 * 8 * 16 * 2048 + 5 * 10_000


def test_a_transfer_of_states() -> None:
    [point] = transfer("qwen3_next_80b_a3b_linear", "prompt = 1000 tokens; requests = 3", "tp = 2").points
    # 36 layers of 32 x 128 x 128 numbers and 8192 x 3 of the convolution, 2 bytes each, on two ranks.
    assert point.work.block_bytes == 36 * (32 * 128 * 128 + 8192 * 3) * 2 // 2
    assert (point.work.batch, point.work.requests) == (3, 3)


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
    ("given", "code", "at"),
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
def test_mistakes_in_a_hybrid(given: dict[str, str], code: str, at: str) -> None:
    parts = {"window": "", "parts": "[window, full]", "own": "", "model": "m", "sweep": "", **given}
    found = [d for d in problems(HYBRID.format(**parts)) if d.code.startswith("KVS")]
    assert found, "no problem"
    assert (found[0].code, found[0].span.text if found[0].span else "") == (code, at)


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
