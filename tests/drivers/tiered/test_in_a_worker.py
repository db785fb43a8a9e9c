"""A tiered tier as a worker runs it: layout, verification, trials, rows for the tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import attrs
import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.execute.summary import Summary, summarise
from kvscen.plugin import Tier, Work
from kvscen.results.schema import TIERS
from kvscen.testing.fake import FakeSettings
from kvscen_drivers.memory import MemorySettings
from kvscen_drivers.tiered import TieredSettings
from tests.execute.support import make_point

KIB = 1024
TARGETS = {
    "tiered": "kvscen_drivers.tiered:TieredDriver",
    "memory": "kvscen_drivers.memory:MemoryDriver",
    "sim": "kvscen_drivers.sim:SimDriver",
    "fake": "kvscen.testing.fake:FakeDriver",
}


def a_tier(fault: str = "none", after: int = 0) -> Tier:
    levels = (
        Tier("upper", "memory", MemorySettings(capacity_bytes=8 * KIB)),
        Tier("lower", "fake", FakeSettings(fault=fault, after=after)),
    )
    return Tier("cache", "tiered", TieredSettings(levels=("upper", "lower"), capacities=(8 * KIB, 20 * KIB)), levels)


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


def trial(session: Session, tier: Tier, work: Work, verify: bool = True) -> Summary:
    def ask(request: messages.Request) -> messages.Reply:
        reply = session.handle(request)
        assert not isinstance(reply, messages.Failed), reply
        return reply

    opened = ask(messages.Open("p", tier, work, 0, TARGETS, 1))
    assert isinstance(opened, messages.Opened)
    ask(messages.Prepare("p"))
    verified = ask(messages.Verify("p", 2)) if verify else messages.Verified(None)
    assert isinstance(verified, messages.Verified) and not verified.mismatch
    ask(messages.Arm("p", 7))
    measured = ask(messages.Go(time.perf_counter_ns()))
    assert isinstance(measured, messages.Measured)
    return summarise(make_point("p", tier, work), opened, [measured], verified.verified_bytes)


def test_a_trial_and_its_rows(session: Session) -> None:
    work = Work("mixed", KIB, 4, 40, read_share=Fraction(1, 2), depth=4, order="random", operations=500)
    summary = trial(session, a_tier(), work)
    assert (summary.status, summary.reason) == ("ok", "")
    # of 40 blocks 28 have room; verification reads each of them, and misses the others
    assert summary.measures["verified_bytes"] >= 28 * KIB  # type: ignore[operator]
    assert summary.measures["misses"] > 0 and summary.measures["path"] == "memory"  # type: ignore[operator]
    upper, lower, edge = summary.tiers
    assert (upper["tier"], lower["tier"], edge["tier"], edge["to_tier"]) == ("upper", "lower", "upper", "lower")
    assert (upper["occupancy_bytes"], lower["occupancy_bytes"]) == (8 * KIB, 20 * KIB)
    assert upper["hits"] + lower["hits"] == summary.measures["hits"]
    assert edge["operations"] == upper["evicted"] > 0
    assert all(set(row) <= {column.name for column in TIERS} for row in summary.tiers)


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_hits_are_the_same_at_every_depth(session: Session, depth: int) -> None:
    """As far as depth does not change what is asked for: the same operations in the same order."""
    work = Work("mixed", KIB, 4, 40, read_share=Fraction(1, 2), depth=1, order="random", operations=500)
    alone = trial(Session(), a_tier(), work, verify=False)
    deep = trial(session, a_tier(), attrs.evolve(work, depth=depth), verify=False)
    counts = [{name: s.measures[name] for name in ("hits", "misses", "writes", "logical_bytes")} for s in (alone, deep)]
    assert counts[0] == counts[1]
    rows = [[(row["tier"], row["admitted"], row["evicted"]) for row in s.tiers[:2]] for s in (alone, deep)]
    assert rows[0] == rows[1]


def test_blocks_that_are_lost_on_their_way_down_make_the_trial_an_error(session: Session) -> None:
    """Even where nobody reads them: writing fast by losing what is evicted must not look good."""
    work = Work("write", KIB, 4, 40, depth=4, operations=100)
    summary = trial(session, a_tier("error", after=80), work, verify=False)
    assert summary.measures["errors"] == 0
    assert summary.status == "error"
    assert summary.reason.startswith(
        "lost between levels of the tier: 1 block from `upper` to `lower`; the first: write of slot "
    )
