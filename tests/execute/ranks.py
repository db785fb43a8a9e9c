"""Ranks for tests: drivers of their own, and sessions that answer in threads, as workers do in processes."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.execute import messages
from kvscen.execute.meeting import meeting_place
from kvscen.execute.session import Session
from kvscen.plan.point import Tier, Work
from kvscen.plan.traffic import Flow, Step, Traffic
from kvscen.plugin import Driver, Store, Word, setting
from kvscen_drivers.memory_ranks import RankStore

HERE = __name__

#: Three ranks: in step 0 both others send to rank 2 (and rank 0 to itself), in step 1 rank 2 answers.
STEPS = (
    Step((Flow(0, 0, 700), Flow(0, 2, 300_000), Flow(1, 2, 1))),
    Step((Flow(2, 0, 5000), Flow(2, 1, 64)), 1_000_000),
)


#: With the fault `wait`: transfers of so many bytes end only when one of the others has begun.
WAITS, WAKES = 64, 65
_woken = threading.Event()


@attrs.frozen
class FaultySettings:
    fault: str = setting(
        Word("none", "lose", "flip", "swap", "refuse", "fail", "wait"), default="none", help="what goes wrong in rank 0"
    )


class FaultyStore(RankStore):
    """Does one thing wrong with what rank 0 sends to rank 2."""

    def __init__(self, tier: Tier) -> None:
        super().__init__(tier)
        self.fault = tier.settings.fault

    def meet(self, cards: Sequence[bytes]) -> None:
        if self.fault == "refuse":
            raise OSError(errno.EHOSTUNREACH, "no way to rank 1")
        super().meet(cards)

    def transfer(self, op: np.void, view: npt.NDArray[np.uint8]) -> int:
        if self.fault == "wait":
            if int(op["bytes"]) == WAKES:
                _woken.set()
            elif not _woken.wait(30):
                raise OSError(errno.ETIMEDOUT, "nobody came")
        if int(op["bytes"]) != 300_000 or self.fault == "none":
            return super().transfer(op, view)
        if self.fault == "fail":
            raise OSError(errno.ECONNRESET, "gone")
        if self.fault == "flip":
            view = view.copy()
            view[270_001] ^= 4
        if self.fault == "swap":  # what was meant for another place
            view = np.roll(view, 1024)
        return int(op["bytes"]) if self.fault == "lose" else super().transfer(op, view)


class FaultyDriver(Driver):
    name = "faulty"
    summary = "ranks of which one may do something wrong"
    settings = FaultySettings
    ranks = True

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        return FaultyStore(tier)


def work(steps: tuple[Step, ...] = STEPS, mode: Any = "sequence", ranks: int = 3, **more: Any) -> Work:
    settings: dict[str, Any] = {"time_ns": 20_000_000, **more}
    traffic = Traffic(ranks, mode, steps)
    largest = max(flow.nbytes for step in steps for flow in step.flows)
    return Work("write", largest, 4, ranks, processes=ranks, traffic=traffic, **settings)


class Ranks:
    """A session for each rank. `ask` gets all replies at once: the ranks wait for each other."""

    def __init__(self, own: Work, fault: str = "none") -> None:
        self.work = own
        self.sessions = [Session() for _ in range(own.processes)]
        tier = Tier("t", "faulty", FaultySettings(fault=fault))
        targets: Mapping[str, str] = {"faulty": f"{HERE}:FaultyDriver"}
        self.opened = self.ask(lambda rank: messages.Open("p", tier, own, rank, targets, 5))

    def meet(self) -> list[Any]:
        cards = tuple(reply.card for reply in self.opened)
        with meeting_place(len(cards)) as place:
            return self.ask(lambda rank: messages.Meet("p", cards, place))

    def measure(self) -> list[Any]:
        armed = self.ask(lambda rank: messages.Arm("p", 1))
        start = max(reply.now_ns for reply in armed) + 1_000_000
        return self.ask(lambda rank: messages.Go(start))

    def ask(self, request: Callable[[int], messages.Request]) -> list[Any]:
        replies: list[Any] = [None] * len(self.sessions)

        def one(rank: int) -> None:
            replies[rank] = self.sessions[rank].handle(request(rank))

        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(len(self.sessions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert all(reply is not None for reply in replies), "a rank does not answer"
        return replies

    def close(self) -> None:
        for session in self.sessions:
            session.close()
