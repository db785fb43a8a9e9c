"""A scenario with real workers, and something that strikes at a known moment of it: no test has to guess from the clock
when a run is in its window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.execute.messages import Request
from kvscen.language.check import check_source
from kvscen.language.diagnose import Source
from kvscen.plan.expand import make_plan
from kvscen.plugin.registry import registry
from kvscen.results.record import TrialRecord
from tests.execute.support import Silent


def run_struck(
    folder: Path, text: str, when: type[Request], strike: Callable[[int], None], worker: int = 0, workers: int = 1
) -> list[TrialRecord]:
    """Run the scenario `text` in `folder`. `strike(pid)` is called once, right after the worker with the number
    `worker` of a point that has `workers` of them was first sent a request of the kind `when`."""
    checked = check_source(Source(str(folder / "t.kvs"), text), folder)
    assert checked.scenario is not None, checked.diagnostics
    plan = make_plan(checked.scenario)
    records: list[TrialRecord] = []
    struck = False

    class Struck(ProcessChannel):
        number = -1

        async def send(self, request: Request) -> None:
            nonlocal struck
            await super().send(request)
            if self.number == worker and not struck and isinstance(request, when):
                struck = True
                strike(self.pid)

    started: list[Struck] = []

    async def start(log: Path) -> Channel:
        await trio.lowlevel.checkpoint()
        started.append(Struck(log))
        started[-1].number = (len(started) - 1) % workers
        return started[-1]

    async def main() -> None:
        await Conductor(plan, registry(), folder, 7, records.append, start, Silent()).run()

    trio.run(main)
    assert struck
    return records
