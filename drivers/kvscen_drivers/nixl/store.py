"""One tier of the driver `nixl` in one worker: what its two kinds of store have in common, and the one of files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import (
    Arena,
    DriverError,
    Lane,
    Layout,
    Limits,
    Load,
    PathReport,
    Peer,
    Store,
    Tier,
    Unavailable,
    Work,
    host_arena,
)
from kvscen_drivers.nixl import wheel
from kvscen_drivers.nixl.agent import Agent, Place
from kvscen_drivers.nixl.lane import NixlLane
from kvscen_drivers.nixl.settings import NixlSettings, as_dict
from kvscen_drivers.nixl.transfers import Figures
from kvscen_drivers.posix import honesty
from kvscen_drivers.posix.folder import DATA, folder_error
from kvscen_drivers.posix.settings import PosixSettings
from kvscen_drivers.posix.store import PosixStore

#: What `posix` calls the way in which each `api` does its I/O: for what it knows of it, and for fio beside it.
ENGINES: Mapping[str, Literal["io_uring", "libaio", "threads"]] = {
    "aio": "libaio",
    "uring": "io_uring",
    "posix_aio": "threads",
}


def network_verdict(tier: Tier) -> wheel.Verdict:
    """What a plugin can do that moves bytes between processes. Raises Unavailable where it is none, or cannot be
    used."""
    verdict = refuse_absent(tier)
    if "DRAM" not in verdict.memory or "FILE" in verdict.memory:
        raise Unavailable(
            f"tier `{tier.name}`: NIXL's {tier.settings.backend} moves {', '.join(verdict.memory)}; what is "
            "measured here is files, and the memory of another process (DRAM)",
            "where the backend keeps blocks in files give the tier a `path`; else use another one",
        )
    return verdict


def refuse_absent(tier: Tier) -> wheel.Verdict:
    """What NIXL's plugin can do. Raises Unavailable where it, or NIXL, cannot be used here."""
    if wheel.package() is None:
        raise Unavailable(f"tier `{tier.name}`: {wheel.MISSING}", wheel.INSTALL)
    settings: NixlSettings = tier.settings
    verdict = wheel.examine(settings.backend, settings.plugin_parameters(), as_dict(settings.env))
    if not verdict.ok:
        raise Unavailable(
            f"tier `{tier.name}`: {verdict.reason}", "see `kvscen drivers nixl` for the backends that work here"
        )
    return verdict


class NixlStore(Store):
    """Lanes, each with an agent of its own, and one place for all of them."""

    def __init__(self, tier: Tier, work: Work) -> None:
        self._tier, self._work = tier, work
        self._settings: NixlSettings = tier.settings
        self._whole_batches = work.wait == "batch"
        self._lanes: list[NixlLane] = []
        self._place: Place | None = None
        self._layout = Layout(0, 0, 1)
        self._sign: npt.NDArray[np.int64] | None = None

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes, huge=self._settings.buffers == "huge")

    def lane(self, index: int, arena: Arena) -> Lane:
        settings = self._settings
        agent = Agent(settings.backend, settings.plugin_parameters(), as_dict(settings.env), arena)
        lane = NixlLane(
            agent,
            arena,
            self.limits.max_in_flight,
            self.clock,
            batch=self._work.batch if self._whole_batches else 0,
            again=not settings.recreate,
            sign=self._sign,
        )
        if self._place is not None:
            lane.turn_to(self._place, self._layout)
        self._lanes.append(lane)
        return lane

    def turn_to(self, place: Place, layout: Layout) -> None:
        """Where the blocks are from now on, for all lanes. Nothing is in flight."""
        self._place, self._layout = place, layout
        for lane in self._lanes:
            if not lane.closed:
                lane.turn_to(place, layout)

    def reset(self) -> None:
        for lane in self._lanes:
            lane.figures = Figures()

    def measures(self) -> Mapping[str, int | float | str | None]:
        seen = [lane.figures for lane in self._lanes]
        total = Figures(*(sum(column) for column in zip(*map(attrs.astuple, seen), strict=True)) if seen else ())

        def mean(time_ns: int, count: int) -> float | None:
            return time_ns / count if count else None

        return {
            "nixl_version": wheel.version(),
            "transfers": total.transfers,
            "requests_made": total.made,
            "prep_mean_ns": mean(total.making_ns, total.made),
            "post_mean_ns": mean(total.posting_ns, total.transfers),
            "transfer_mean_ns": mean(total.moving_ns, total.transfers),
            "look_mean_ns": mean(total.looking_ns, total.looks),
        }


class FileStore(NixlStore):
    """Blocks in the file that a `posix` tier of this folder has: `posix` claims the folder, makes room in the file and
    looks after it; NIXL moves the bytes."""

    def __init__(self, tier: Tier, work: Work) -> None:
        super().__init__(tier, work)
        refuse_absent(tier)
        settings = self._settings
        self._files = PosixStore(attrs.evolve(tier, driver="posix", settings=posix_settings(settings)), work)
        self._descriptor: int | None = None
        own = self._files.limits
        self.limits = Limits(own.alignment_bytes, settings.max_in_flight, pipelined=self._whole_batches)
        try:
            self._open_file()
        except OSError as error:
            self.close()
            raise folder_error(error, Path(posix_settings(settings).path)) from error

    def _open_file(self) -> None:
        folder = Path(posix_settings(self._settings).path)
        direct = self._files.path().kind == "direct"
        flags = (os.O_DIRECT if direct else 0) | (os.O_DSYNC if self._work.durability == "each" else 0)
        self._descriptor = os.open(folder / DATA, os.O_RDWR | os.O_CLOEXEC | flags)
        settings = self._settings
        how = f"O_DIRECT, alignment {self.limits.alignment_bytes}" if direct else "buffered"
        facts = [f"NIXL {wheel.version()} {settings.backend}" + (f" ({settings.api})" if settings.api else "")]
        facts += [how, honesty.file_system(folder)]
        if self._work.durability == "each":
            facts.append("each write durable (O_DSYNC)")
        kind = self._files.path().kind
        if settings.backend != "POSIX":
            kind = "unknown"
            facts.append("which way the plugin moves them is not known")
        self._path = PathReport(kind, ", ".join(facts))

    def prepare(self, layout: Layout) -> Sequence[int]:
        missing = self._files.prepare(layout)
        assert self._descriptor is not None
        self.turn_to(Place("FILE", 0, self._descriptor), layout)
        return missing

    def settle(self) -> None:
        self._files.settle()

    def reset(self) -> None:
        super().reset()
        self._files.reset()

    def counters(self) -> Mapping[str, int]:
        return self._files.counters()

    def path(self) -> PathReport:
        return self._path

    def locate(self, key: int) -> str:
        return self._files.locate(key)

    def check(self) -> None:
        self._files.check()

    def ceiling(self, load: Load) -> Peer:
        if self._settings.backend != "POSIX":
            raise DriverError(f"no ceiling: fio does not do what {self._settings.backend} does")
        return self._files.ceiling(load)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._files.close()


def posix_settings(settings: NixlSettings) -> PosixSettings:
    """The `posix` tier whose folder this is."""
    assert settings.path is not None
    return PosixSettings(
        path=settings.path,
        direct=bool(settings.direct),
        allow_buffered=bool(settings.allow_buffered),
        engine=ENGINES.get(settings.api or "", "threads"),
        buffers=settings.buffers,
        max_in_flight=min(settings.max_in_flight, 4096),
    )
