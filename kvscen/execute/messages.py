"""What the conductor and a worker say to each other. Every request has one reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.measure.recorder import Sample
from kvscen.measure.steady import Steadiness
from kvscen.pattern.replay_source import LookedUp
from kvscen.plan.point import Tier, Work
from kvscen.plugin.peer import Peer


@attrs.frozen
class Open:
    """Open a point's tier for client process `process` of `work.processes`. `targets` maps driver names to
    `module:Class`.
    """

    point_id: str
    tier: Tier
    work: Work
    process: int
    targets: Mapping[str, str]
    content_seed: int


@attrs.frozen
class Opened:
    """How the point is set up in this worker. `in_flight` operations are in flight in a lane at most. `fresh`: it was
    not open before, so its data must be prepared. `card` is what other ranks need to reach this one.
    """

    fresh: bool
    stride_bytes: int
    alignment_bytes: int
    in_flight: int
    arena_bytes: int
    pages: str
    path: str
    path_evidence: str
    virtual: bool
    card: bytes = b""


@attrs.frozen
class Meet:
    """Get to know the other ranks of a point with traffic. `cards` are those of all ranks, `place` is the path of the
    memory in which they wait for each other, which may be gone after the reply."""

    point_id: str
    cards: tuple[bytes, ...]
    place: str


@attrs.frozen
class Met:
    pass


@attrs.frozen
class Prepare:
    """Lay out what is missing of the point's data. Untimed."""

    point_id: str


@attrs.frozen
class Prepared:
    written_bytes: int


@attrs.frozen
class Verify:
    """Run the point's operations with stamped content and compare every byte. Untimed. `seed` makes the content: it is
    never used twice on the same data, and is the same for all workers of a point.
    """

    point_id: str
    seed: int


@attrs.frozen
class Verified:
    """`verified_bytes` is None where there is nothing to verify (a simulation). `mismatch` says what was wrong, else
    empty.
    """

    verified_bytes: int | None
    misses: int = 0
    mismatch: str = ""


@attrs.frozen
class Precondition:
    """Write over the data set as often as the work says. Untimed."""

    point_id: str


@attrs.frozen
class Preconditioned:
    written_bytes: int


@attrs.frozen
class Arm:
    """Get ready for a trial."""

    point_id: str
    seed: int


@attrs.frozen
class Armed:
    now_ns: int


@attrs.frozen
class Go:
    """Start the armed trial at this time of the monotonic clock (a virtual clock starts at its own time)."""

    start_ns: int


@attrs.frozen
class Approach:
    """How a load came to its window where it was to become steady: its rounds, as the intervals of `rounds`, from
    `start_ns` on (since the start of the window: below 0), and the verdict at their end."""

    rounds: Sample
    start_ns: int
    verdict: Steadiness


@attrs.frozen
class StepTimes:
    """When this rank sent what it sends in one step, once for each pass: from when all senders were there to the end of
    its last transfer, in ns of the monotonic clock. `errors`: transfers that failed. Arrays of shape (passes,)."""

    step: int
    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    errors: npt.NDArray[np.int64]


@attrs.frozen
class Measured:
    """One worker's trial. The window is in ns of the store's clock; `counters` are differences over the whole load.
    `sync_ns` is how long it took to make durable what was written, None where that was not asked for."""

    sample: Sample
    window_start_ns: int
    window_end_ns: int
    cpu_ns: int | None
    late_ns: int
    counters: Mapping[str, int]
    edges: tuple[Mapping[str, Any], ...]
    measures: Mapping[str, int | float | str | None]
    path: str
    path_evidence: str
    facts: Mapping[str, str | int | None]
    logical_bytes: int
    expected_operations: int | None = None
    sync_ns: int | None = None
    approach: Approach | None = None
    steps: tuple[StepTimes, ...] = ()
    looked_up: LookedUp | None = None


@attrs.frozen
class AskPeer:
    """How the point's ceiling is measured, for a window of this length."""

    point_id: str
    window_ns: int


@attrs.frozen
class PeerFound:
    peer: Peer


@attrs.frozen
class Failed:
    """The request failed. `corrupt` is never sent: a mismatch is a result. `lost`: this worker can no longer use the
    tier."""

    status: Literal["unavailable", "error"]
    reason: str
    lost: bool = False


@attrs.frozen
class Quit:
    """Close everything and end."""


@attrs.frozen
class Bye:
    pass


Request: TypeAlias = Open | Meet | Prepare | Verify | Precondition | Arm | Go | AskPeer | Quit
Reply: TypeAlias = Opened | Met | Prepared | Verified | Preconditioned | Armed | Measured | PeerFound | Failed | Bye
