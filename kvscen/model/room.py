"""How much of a model's KV has room in a capacity: requests of one length, and tokens of a single one."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.model.geometry import Geometry, LayerKind


@attrs.frozen
class Room:
    """What `capacity_bytes` hold, once of the whole model, each byte once, and once of one rank of the stage with the
    most bytes, whose memory it may be.

    `requests`: whole ones of the length that was asked for. `tokens`: to which a single request can grow, in whole
    pages; None: to any length, for nothing of it grows without end.
    """

    place: str
    capacity_bytes: int
    requests: int
    tokens: int | None
    rank_requests: int
    rank_tokens: int | None


def room(place: str, capacity_bytes: int, geometry: Geometry, tokens: int, page_tokens: int) -> Room:
    """`tokens`: of one request."""
    each, rank_each = (
        geometry.request_bytes(tokens, page_tokens),
        geometry.rank_request_bytes(tokens, page_tokens),
    )
    whole = [kind.layers * kind.page_bytes(page_tokens) for kind in geometry.kinds]
    ranks = [
        [layers * kind.rank_page_bytes(page_tokens) for layers, kind in zip(own, geometry.kinds, strict=True)]
        for own in dict.fromkeys(geometry.stages)
    ]

    def longest(*parts: list[int]) -> int | None:
        """Of several parts of a model, what has room of each."""
        found = [_most(pages, capacity_bytes, geometry.kinds, page_tokens) for pages in parts]
        bounded = [pages for pages in found if pages is not None]
        return min(bounded) * page_tokens if bounded else None

    return Room(
        place,
        capacity_bytes,
        capacity_bytes // each if each else 0,
        longest(whole),
        capacity_bytes // rank_each if rank_each else 0,
        longest(*ranks),
    )


def _most(page_bytes: Sequence[int], capacity_bytes: int, kinds: Sequence[LayerKind], page_tokens: int) -> int | None:
    """Pages to which one request can grow; None: without end. `page_bytes`: of a page in all layers of each kind. On
    its way a request has each window and chunk at its fullest."""
    most = [kind.most_pages(page_tokens) for kind in kinds]

    def needs(pages: int) -> int:
        return sum(
            each * (pages if limit is None else limit if kind.state_bytes else min(pages, limit))
            for each, limit, kind in zip(page_bytes, most, kinds, strict=True)
        )

    settled = max((limit for limit in most if limit is not None), default=1)
    grows = any(each for each, limit in zip(page_bytes, most, strict=True) if limit is None)
    if not grows and needs(settled) <= capacity_bytes:
        return None
    low, high = 0, 1
    while needs(high) <= capacity_bytes:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needs(middle) <= capacity_bytes else (low, middle)
    return low
