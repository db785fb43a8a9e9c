"""How many bytes one block of a trace is."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.model.geometry import dtypes_of, kinds_of
from kvscen.plan.sizing import size_model


@attrs.frozen
class BlockSize:
    """`total_bytes`: on all tp x pp ranks of the model together, which is what a cache that they share holds.
    `rank_bytes`: on one rank of the fullest stage. Of a size that was given outright there is no model and no rank."""

    total_bytes: int
    rank_bytes: int | None = None
    model: str | None = None
    kv_dtype: str | None = None
    tp: int | None = None
    pp: int | None = None
    notes: tuple[str, ...] = ()


def block_of_model(model: str, tokens: int, pins: Sequence[str] = ()) -> BlockSize:
    """Of `tokens` tokens of a model of the catalogue. `pins` are `setting=value`s of it. Raises ScenarioError."""
    size = size_model(model, pins)
    assert size.geometry is not None, "size_model raises where there is none"
    geometry, kinds = size.geometry, kinds_of(size.model)
    notes = []
    if geometry.token_bytes and geometry.all_ranks_token_bytes != geometry.token_bytes:
        copies = geometry.all_ranks_token_bytes / geometry.token_bytes
        notes.append(f"the ranks together keep {copies:.3g} times the model's KV: some of it is on several of them")
    if geometry.state_bytes:
        notes.append(
            f"linear layers keep {geometry.state_bytes:,} bytes of state for a request, which no block of tokens holds"
        )
    if any(kind.window_tokens or kind.chunk_tokens for kind in geometry.kinds):
        notes.append(
            "layers with a window count as if they kept every block: engines that free what has left it need less"
        )
    return BlockSize(
        tokens * geometry.all_ranks_token_bytes,
        tokens * geometry.fullest_rank_token_bytes,
        model,
        dtypes_of(kinds),
        kinds[0].tp,
        kinds[0].pp,
        tuple(notes),
    )
