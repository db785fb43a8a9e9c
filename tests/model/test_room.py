"""How many tokens and requests have room, by trying lengths one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.model.geometry import Geometry, LayerKind
from kvscen.model.room import room
from kvscen.plan.sizing import size_model

KIND = st.one_of(
    st.builds(lambda layers: LayerKind(layers, 10, 10, 1), st.integers(1, 3)),
    st.builds(lambda layers, window: LayerKind(layers, 10, 10, 1, window), st.integers(1, 3), st.integers(2, 40)),
    st.builds(lambda layers, chunk: LayerKind(layers, 10, 10, 1, None, chunk), st.integers(1, 3), st.integers(2, 40)),
    st.builds(lambda layers: LayerKind(layers, 0, 0, 1, state_bytes=100, rank_state_bytes=100), st.integers(1, 3)),
)


@given(st.lists(KIND, min_size=1, max_size=3), st.integers(0, 3000), st.integers(1, 9))
def test_to_how_many_tokens_a_request_can_grow(kinds: list[LayerKind], capacity: int, page: int) -> None:
    geometry = Geometry(tuple(kinds), (tuple(kind.layers for kind in kinds),), 1)
    found = room("x", capacity, geometry, 50, page)

    def fit(tokens: int) -> bool:
        return all(geometry.request_bytes(length, page) <= capacity for length in range(1, tokens + 1))

    if found.tokens is None:
        assert fit(1000) and not any(kind.grows for kind in kinds)
    else:
        assert fit(found.tokens), "it can"
        if all(kind.grows or kind.state_bytes for kind in kinds):
            assert not fit(found.tokens + page), "and to no more"
        # Windows and chunks may be fullest at different lengths: all of them at once is what has no room.
        fullest = sum(
            kind.layers * kind.page_bytes(page) * min(found.tokens // page + 1, kind.most_pages(page) or 10**9)
            for kind in kinds
        )
        assert fullest > capacity
    assert found.rank_tokens == found.tokens, "one rank has all of it"
    each = geometry.request_bytes(50, page)
    assert found.requests == (capacity // each if each else 0)


def test_by_hand() -> None:
    size = size_model("llama3_1_70b", ["tp=8", "kv_dtype=fp8"]).with_rooms({"80 GiB": 80 * 2**30})
    [found] = size.rooms
    # A token has 80 x 8 x 256 x 1 = 163,840 bytes, a page of 16 tokens 2,621,440: 85,899,345,920 bytes hold 32,768.
    assert found.tokens == 32_768 * 16 == 80 * 2**30 // 163_840
    # A rank keeps one of the eight heads.
    assert found.rank_tokens == 8 * found.tokens
    # A request of 1000 tokens has 63 pages.
    assert (found.requests, found.rank_requests) == (32_768 // 63, 8 * 32_768 // 63)


@pytest.mark.parametrize(("capacity", "tokens"), [(39_518_208, 0), (39_518_208 + 393_216, 16), (2**30, 42_080)])
def test_of_a_hybrid_with_a_state(capacity: int, tokens: int) -> None:
    # 36 states of 1,097,728 bytes come first; then a page of 16 tokens has 12 x 2 x 512 x 2 x 16 = 393,216 bytes.
    [found] = size_model("qwen3_next_80b_a3b").with_rooms({"x": capacity}).rooms
    assert found.tokens == tokens == (capacity - 39_518_208) // 393_216 * 16
