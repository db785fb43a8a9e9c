"""The driver `nixlbench`: NIXL's benchmark as a tool."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from kvscen.plugin import (
    Availability,
    CommandLine,
    DriverError,
    Finding,
    Footprint,
    Measure,
    Point,
    Tier,
    Tool,
    ToolRow,
    Work,
)
from kvscen_drivers.nixlbench import from_kvbench, from_toml, spelling
from kvscen_drivers.nixlbench import verbatim as kvbench
from kvscen_drivers.nixlbench.flags import STORAGE
from kvscen_drivers.nixlbench.invocation import Iterations, grouped, iterations, least_buffer_bytes, process_count
from kvscen_drivers.nixlbench.limits import RULES, findings
from kvscen_drivers.nixlbench.measures import MEASURES, initiators, rows
from kvscen_drivers.nixlbench.running import Ran, place_of_run, run_once
from kvscen_drivers.nixlbench.settings import NixlbenchSettings

#: What to do where the program is not there.
REMEDY = (
    "build it from https://github.com/ai-dynamo/nixl (benchmark/nixlbench) and put it on PATH or name it in `program`; "
    "`posix` and `nixl` measure the same here"
)
# A pilot run is long enough to be believed from here on, and aims at the second; so many runs are tried for it.
_PILOT_LEAST_S = 0.1
_PILOT_AIM_S = 0.2
_PILOTS = 3


class NixlbenchDriver(Tool):
    name = "nixlbench"
    summary = "NIXL's nixlbench: storage and network backends, one run for a point or for an axis of blocks or batches."
    settings = NixlbenchSettings
    operations = frozenset({"read", "write"})
    memory = frozenset({"dram", "vram"})
    measures: ClassVar[tuple[Measure, ...]] = MEASURES
    rules = RULES
    max_processes = 1
    importers = (from_kvbench.IMPORTER, from_toml.IMPORTER)

    def __init__(self) -> None:
        #: Seconds that a batch takes, by point, where it measures by time.
        self._batch_s: dict[str, float] = {}

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        return findings(tier, work)

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        settings: Any = tier.settings
        total = settings.total_buffer_size_bytes or least_buffer_bytes(settings, work, work.block_bytes, work.batch)
        on_disk = bool(STORAGE.get(settings.backend)) and settings.filepath is not None
        return Footprint(memory_bytes=total * process_count(settings), disk_bytes=total if on_disk else 0)

    def probe(self, tier: Tier | None) -> Availability:
        program = "nixlbench" if tier is None else tier.settings.program
        found = shutil.which(program)
        if found is None:
            return Availability(False, f"the program {program} is not installed here", REMEDY)
        return Availability(True, facts={"program": found})

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[Point]]:
        return grouped(points)

    def command_lines(self, points: Sequence[Point], verbatim: bool) -> Sequence[CommandLine]:
        return kvbench.command_lines(points) if verbatim else spelling.command_lines(points)

    async def run(self, points: Sequence[Point], trial: int, folder: Path, deadline_s: float) -> Sequence[ToolRow]:
        import trio

        ends = trio.current_time() + deadline_s
        settings: Any = points[0].tier.settings
        found = shutil.which(settings.program)
        if found is None:
            reason = f"the program {settings.program} is not installed here: {REMEDY}"
            return [ToolRow(point.id, "unavailable", reason) for point in points]
        program = str(Path(found).absolute())
        try:
            async with place_of_run(settings) as place:
                counts = iterations(settings, points[0].work, self._batch_s.get(points[0].id))
                if counts is None:
                    paced = await self._pilot(program, points, folder, place, ends)
                    if isinstance(paced, Ran):
                        return rows(points, paced, None, deadline_s)
                    counts = paced
                ran = await run_once(program, points, counts, folder, place, ends - trio.current_time())
                return rows(points, ran, counts, deadline_s)
        except DriverError as error:
            return [ToolRow(point.id, "error", str(error)) for point in points]
        except OSError as error:
            reason = f"{settings.program} could not be started: {error.strerror}"
            return [ToolRow(point.id, "error", reason) for point in points]

    async def _pilot(
        self, program: str, points: Sequence[Point], folder: Path, place: Path | None, ends: float
    ) -> Iterations | Ran:
        """How many batches fill the time: from short runs before the point's first trial. A run that failed instead."""
        import trio

        [point] = points
        settings: Any = point.tier.settings
        count = 1
        for number in range(1, _PILOTS + 1):
            own = folder / f"pilot-{number}"
            own.mkdir(exist_ok=True)
            counts = Iterations.rounded(count, 0, settings.large_blk_iter_ftr or 1, point.work.threads)
            ran = await run_once(program, points, counts, own, place, ends - trio.current_time())
            if not ran.table.rows:
                return ran
            row = ran.table.rows[0]
            batch_s = row.time_per_block_ns * row.batch / point.work.threads / 1e9
            if row.bytes_per_s:
                batch_s = initiators(settings, row) * row.block_bytes * row.batch / row.bytes_per_s
            measured_s = batch_s * counts.measured(row.block_bytes)
            if measured_s >= _PILOT_LEAST_S:
                break
            count = max(4 * count, math.ceil(_PILOT_AIM_S / max(batch_s, 1e-6)))
        self._batch_s[point.id] = batch_s
        found = iterations(settings, point.work, max(batch_s, 1e-9))
        assert found is not None, "the time of a batch is known now"
        return found
