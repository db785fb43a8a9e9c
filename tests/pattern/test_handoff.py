"""What prefill sends to decode, against cases worked out by hand and against what must always hold."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kvscen.language.blocks import HeadsSettings, HybridSettings, LatentSettings, LinearSettings
from kvscen.language.matrix import MatrixSettings
from kvscen.model.geometry import Geometry, geometry
from kvscen.pattern.handoff import Handoff, handoff
from kvscen.plan.point import ModelBlock
from kvscen.plan.traffic import Step

#: 2 layers x 8 heads x (4 + 4) numbers x 2 bytes: 256 bytes a token, 16 for a head of a layer.
HEADS = ModelBlock("m", "gqa", HeadsSettings(layers=2, kv_heads=8, head_dim=4).complete())
#: 4 layers x (12 + 4) numbers x 2 bytes: 32 bytes a token and layer.
LATENT = ModelBlock("m", "mla", LatentSettings(layers=4, latent_dim=12, rope_dim=4).complete())


def spread(model: ModelBlock, **settings: int) -> Handoff:
    pattern = MatrixSettings(model="m", prompt_tokens=(1,), page_tokens=16, **settings).complete()  # type: ignore[arg-type]
    found = handoff(pattern, model)
    assert isinstance(found, Handoff), found
    return found


def flows(step: Step) -> dict[tuple[int, int], int]:
    return {(flow.sender, flow.receiver): flow.nbytes for flow in step.flows}


def test_each_prefill_rank_feeds_two_of_decode() -> None:
    # tp 2 keeps 4 heads each, tp 4 needs 2 each: 10 tokens are one page of 16, 2 layers x 2 heads x 16 B x 16 = 1 KiB.
    found = spread(HEADS, prefill_tp=2, decode_tp=4)
    assert found.ranks == 6
    assert flows(found.step(0, (10,), 0)) == {(0, 2): 1024, (0, 3): 1024, (1, 4): 1024, (1, 5): 1024}


def test_two_prefill_ranks_feed_one_of_decode() -> None:
    assert flows(spread(HEADS, prefill_tp=2, decode_tp=1).step(0, (16,), 0)) == {(0, 2): 2048, (1, 2): 2048}


def test_heads_that_do_not_line_up_are_cut() -> None:
    # 6 heads: of prefill 0-1 2-3 4-5, of decode 0-2 3-5.
    model = ModelBlock("m", "gqa", HeadsSettings(layers=1, kv_heads=6, head_dim=4).complete())
    head = 16 * 16
    assert flows(spread(model, prefill_tp=3, decode_tp=2).step(0, (16,), 0)) == {
        (0, 3): 2 * head,
        (1, 3): head,
        (1, 4): head,
        (2, 4): 2 * head,
    }


def test_more_decode_ranks_than_heads_get_each_head_several_times() -> None:
    # tp 16 of 8 heads: two ranks need each head, and each gets all of it.
    found = flows(spread(HEADS, prefill_tp=8, decode_tp=16).step(0, (16,), 0))
    head = 2 * 16 * 16
    assert found == {(rank // 2, 8 + rank): head for rank in range(16)}


def test_replicas_of_prefill_share_the_work() -> None:
    # Both sides keep each head twice: each prefill rank feeds one decode rank, none idles.
    found = flows(spread(HEADS, prefill_tp=16, decode_tp=16).step(0, (16,), 0))
    assert found == {(rank, 16 + rank): 2 * 16 * 16 for rank in range(16)}
    # Of more replicas than are needed the others send nothing.
    assert set(flows(spread(HEADS, prefill_tp=16, decode_tp=8).step(0, (16,), 0))) == {
        (2 * i, 16 + i) for i in range(8)
    }


def test_the_latent_vector_goes_whole_to_each_rank() -> None:
    # Nothing of it is split: 4 layers x 32 B x 16 tokens to each decode rank, whatever tp prefill has.
    whole = 4 * 32 * 16
    assert flows(spread(LATENT, prefill_tp=1, decode_tp=2).step(0, (1,), 0)) == {(0, 1): whole, (0, 2): whole}
    assert flows(spread(LATENT, prefill_tp=4, decode_tp=2).step(0, (1,), 0)) == {(0, 4): whole, (2, 5): whole}


def test_a_state_goes_over_once_for_a_request() -> None:
    # 3 layers with a state of 1200 bytes: each of two prefill ranks has half, which the one of decode needs.
    model = ModelBlock("m", "linear", LinearSettings(layers=3, state_bytes=1200))
    found = spread(model, prefill_tp=2, decode_tp=1)
    assert flows(found.step(0, (16,), 0)) == flows(found.step(0, (1000,), 0)) == {(0, 2): 1800, (1, 2): 1800}
    assert flows(found.step(0, (16, 16), 0)) == {(0, 2): 3600, (1, 2): 3600}


def test_a_scale_of_other_heads_cannot_be_handed_over() -> None:
    settings = HeadsSettings(layers=2, kv_heads=8, head_dim=4, kv_dtype="fp8", scale_bytes=4, scale_per="token")
    model = ModelBlock("m", "gqa", settings.complete())
    pattern = MatrixSettings(model="m", prompt_tokens=(1,), page_tokens=16, prefill_tp=2, decode_tp=4).complete()
    found = handoff(pattern, model)
    assert not isinstance(found, Handoff)
    assert [(finding.code, finding.setting) for finding in found] == [("KVS114", "decode_tp")]
    assert spread(model, prefill_tp=2, decode_tp=2).ranks == 4


def test_layers_of_stages_that_do_not_line_up() -> None:
    # 4 layers: of prefill 0-1 | 2-3, of decode 0-1 | 2 | 3. A layer is 32 B x 16.
    found = flows(spread(LATENT, prefill_pp=2, decode_pp=3).step(0, (16,), 0))
    assert found == {(0, 2): 2 * 512, (1, 3): 512, (1, 4): 512}


def test_workers_take_the_steps_in_turn() -> None:
    found = spread(HEADS, prefill_workers=2, decode_workers=3)
    pairs = [next(iter(flows(found.step(number, (16,), 0)))) for number in range(6)]
    assert pairs == [(0, 2), (1, 3), (0, 4), (1, 2), (0, 3), (1, 4)]


def test_requests_have_pages_of_their_own() -> None:
    found = spread(HEADS)
    assert found.step(0, (1, 17), 5).nbytes == (16 + 32) * 256
    assert found.step(0, (1, 17), 5).compute_ns == 5


def test_a_window_keeps_only_the_newest_pages() -> None:
    # Half the layers keep 17 tokens at most: of 100 (7 pages) the pages of tokens 84 to 99: pages 5 and 6.
    near = ModelBlock("near", "gqa", HeadsSettings(layers=1, kv_heads=1, head_dim=4, window_tokens=17).complete())
    far = ModelBlock("far", "gqa", HeadsSettings(layers=1, kv_heads=1, head_dim=4).complete())
    model = ModelBlock("m", "hybrid", HybridSettings(parts=("near", "far")), (near, far))
    assert spread(model).step(0, (100,), 0).nbytes == (2 + 7) * 16 * 16


@pytest.mark.parametrize(
    ("settings", "code", "at"),
    [
        ({"prefill_tp": 3}, "KVS201", "prefill_tp"),
        ({"decode_tp": 12}, "KVS201", "decode_tp"),
        ({"decode_pp": 3}, "KVS204", "decode_pp"),
    ],
)
def test_what_cannot_be_spread(settings: dict[str, int], code: str, at: str) -> None:
    pattern = MatrixSettings(model="m", prompt_tokens=(1,), **settings).complete()  # type: ignore[arg-type]
    found = handoff(pattern, HEADS)
    assert isinstance(found, tuple)
    assert [(finding.code, finding.setting) for finding in found] == [(code, at)]


def test_the_models_own_parallelism_counts_for_nothing() -> None:
    own = ModelBlock("m", "gqa", HeadsSettings(layers=2, kv_heads=8, head_dim=4, tp=2).complete())
    found = handoff(MatrixSettings(model="m", prompt_tokens=(1,)).complete(), own)
    assert isinstance(found, tuple) and (found[0].code, found[0].setting) == ("KVS114", "tp")


_MODELS = st.builds(
    lambda layers, heads: HeadsSettings(layers=layers, kv_heads=heads, head_dim=4).complete(),
    st.integers(1, 7),
    st.sampled_from([1, 2, 4, 6, 8]),
) | st.builds(lambda layers: LatentSettings(layers=layers, latent_dim=6, rope_dim=2).complete(), st.integers(1, 7))


@given(_MODELS, st.integers(1, 16), st.integers(1, 16), st.integers(1, 7), st.integers(1, 7), st.integers(1, 100))
def test_each_decode_rank_gets_what_it_keeps_once(
    settings: HeadsSettings | LatentSettings, tp: int, other_tp: int, pp: int, other_pp: int, prompt: int
) -> None:
    model = ModelBlock("m", "gqa", settings)
    pattern = MatrixSettings(
        model="m", prompt_tokens=(1,), prefill_tp=tp, prefill_pp=pp, decode_tp=other_tp, decode_pp=other_pp
    ).complete()
    found = handoff(pattern, model)
    assume(isinstance(found, Handoff))
    assert isinstance(found, Handoff)
    tokens = -(-prompt // 16) * 16
    step = found.step(0, (prompt,), 0)
    received, sent = [0] * found.ranks, [0] * found.ranks
    for flow in step.flows:
        assert flow.sender < tp * pp <= flow.receiver and flow.nbytes > 0
        sent[flow.sender] += flow.nbytes
        received[flow.receiver] += flow.nbytes
    decode = found.decode
    assert received[tp * pp :] == [
        tokens * decode.rank_token_bytes(s) for s in range(other_pp) for _ in range(other_tp)
    ]
    # A layer leaves only ranks that have it; where tp does not grow, no rank sends more than it keeps.
    if other_tp <= tp:
        kept = [tokens * found.prefill.rank_token_bytes(s) for s in range(pp) for _ in range(tp)]
        if found.decode.kinds[0].replicas == 1:
            assert all(a <= b for a, b in zip(sent[: tp * pp], kept, strict=True))
    whole = geometry(settings)
    assert isinstance(whole, Geometry)
    replicas = decode.kinds[0].replicas
    assert step.nbytes == tokens * whole.token_bytes * replicas
    order = [(flow.sender, flow.receiver) for flow in step.flows]
    assert all(a < b for a, b in pairwise(order))
