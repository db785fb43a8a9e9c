"""The watch over a worker, on trio's mock clock: what is a hang, what is late, and what is only slow."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing

from kvscen.execute import messages
from kvscen.execute.loop import Beat, Pulse
from kvscen.execute.workers import Hang, Late, ask
from kvscen.plan.point import Tier, Work
from kvscen_drivers.memory import MemoryDriver
from tests.execute.support import make_point

S = 10**9
#: So long may operations and making durable take: 1 s and 60 s.
WORK = Work("write", 4096, 1, 1, time_ns=S, timeout_ns=S, sync_timeout_ns=60 * S)
POINT = make_point("p", Tier("dram", "memory", MemoryDriver.settings()), WORK)


@attrs.define
class ScriptedChannel:
    """Does one thing after the other, each for so many seconds, then replies: "work" (operations finish), "sync", and
    "idle" (nothing finishes)."""

    script: Sequence[tuple[str, float]]
    pid: int = 0
    beat: Beat = attrs.field(factory=Beat)

    async def started(self) -> None:
        raise NotImplementedError

    async def send(self, request: messages.Request) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> messages.Reply:
        for what, seconds in self.script:
            if what == "sync":
                with self.beat.syncing():
                    await trio.sleep(seconds)
            elif what == "idle":
                await trio.sleep(seconds)
            else:
                for _ in range(round(seconds * 10)):
                    self.beat.add(1)
                    await trio.sleep(0.1)
        return messages.Armed(7)

    def last_words(self) -> str:
        raise NotImplementedError

    def pulse(self) -> Pulse:
        return self.beat.read()

    async def death(self) -> None:
        raise NotImplementedError

    async def kill(self) -> None:
        raise NotImplementedError


def asked(*script: tuple[str, float], deadline_s: float | None = None) -> tuple[str, float]:
    """What becomes of it, and after how many seconds."""

    async def main() -> tuple[str, float]:
        began = trio.current_time()
        deadline_ns = None if deadline_s is None else round(deadline_s * S)
        try:
            reply = await ask(ScriptedChannel(script), messages.Arm("p", 1), messages.Armed, POINT, deadline_ns)
            assert reply.now_ns == 7
            said = "done"
        except (Hang, Late) as error:
            said = f"{type(error).__name__}: {error}"
        return said, trio.current_time() - began

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


FOREVER = 10.0**6
OF_OPERATIONS = "Hang: no operation finished for 1 s (timeout)"
OF_SYNC = "Hang: what was written was not durable after 60 s (sync_timeout)"


@pytest.mark.parametrize(
    ("script", "said", "after_s"),
    [
        ([("work", 100)], "done", 100),
        ([("work", 3), ("idle", 0.8), ("work", 3)], "done", 6.8),
        ([("work", 3), ("idle", FOREVER)], OF_OPERATIONS, 4),
        ([("work", 3), ("sync", 50)], "done", 53),
        ([("work", 3), ("idle", 0.8), ("sync", 50), ("idle", 0.8)], "done", 54.6),
        # One after the other, as after the passes of the verification: each has its own time.
        ([("sync", 50), ("sync", 50)], "done", 100),
        ([("work", 3), ("sync", FOREVER)], OF_SYNC, 63),
        ([("sync", 50), ("idle", FOREVER)], OF_OPERATIONS, 51),
    ],
)
def test_each_kind_of_standstill_has_its_limit(script: list[tuple[str, float]], said: str, after_s: float) -> None:
    found, seconds = asked(*script)
    assert found == said
    assert seconds == pytest.approx(after_s, abs=0.25)


def test_making_it_durable_does_not_make_a_load_late() -> None:
    assert asked(("work", 3), ("sync", 50), ("work", 1), deadline_s=5)[0] == "done"
    found, seconds = asked(("work", 3), ("sync", 50), ("work", FOREVER), deadline_s=5)
    assert found == "Late: "
    assert seconds == pytest.approx(55, abs=0.25)
