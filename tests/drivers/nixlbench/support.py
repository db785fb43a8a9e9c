"""Points on `nixlbench` tiers, and the stand-in for the program (tests/drivers/nixlbench/stand-in)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from kvscen.language.blocks import SweepSettings, TransferSettings
from kvscen.plan.point import PatternBlock
from kvscen.plugin import Point, Tier, ToolRow, Work
from kvscen_drivers.nixlbench.driver import NixlbenchDriver
from kvscen_drivers.nixlbench.settings import NixlbenchSettings

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = Path(__file__).resolve().parent / "stand-in"
#: Recorded runs of the real program, where they are.
RECORDED = ROOT.parent / "shared" / "nixlbench"
WORK = Work("write", 65536, 4, 4, wait="batch", operations=64, timeout_ns=20 * 10**9)


def settings(play: Mapping[str, Any] | None = None, **values: Any) -> Any:
    """Completed settings of a tier whose program is the stand-in, which does what `play` says."""
    env = (*values.pop("env", ()), f"STAND_IN={json.dumps(play or {})}")
    chosen = {"backend": "POSIX", "filepath": "kv", "program": str(STAND_IN), **values}
    if chosen["backend"] != "POSIX":
        chosen = {name: value for name, value in chosen.items() if name != "filepath" or "filepath" in values}
    made = NixlbenchSettings(env=env, **chosen)
    wrong = list(made.check())
    assert not wrong, wrong
    return made.complete()


def point(of: Any, number: int = 0, **work: Any) -> Point:
    """A point on a tier with these settings; `work` differs from WORK."""
    import attrs

    own = attrs.evolve(WORK, **work)
    if "keys" not in work:
        own = attrs.evolve(own, keys=own.batch)
    pattern = PatternBlock("p", "transfer", TransferSettings(block_bytes=own.block_bytes, batch=own.batch, op=own.op))
    sweep = SweepSettings(pattern="p", tier="bench")
    return Point(f"p{number}", number, "s", {}, pattern, Tier("bench", "nixlbench", of), None, sweep, own)


def grid(of: Any, blocks: Sequence[int], batches: Sequence[int], **work: Any) -> list[Point]:
    places = [(block, batch) for block in blocks for batch in batches]
    return [point(of, i, block_bytes=block, batch=batch, **work) for i, (block, batch) in enumerate(places)]


def run(
    points: Sequence[Point],
    folder: Path,
    deadline_s: float = 20,
    trial: int = 1,
    driver: NixlbenchDriver | None = None,
) -> list[ToolRow]:
    """One trial of points that are measured together."""
    folder.mkdir(exist_ok=True)

    async def main() -> list[ToolRow]:
        return list(await (driver or NixlbenchDriver()).run(points, trial, folder, deadline_s))

    return trio.run(main)


def commands(folder: Path) -> list[str]:
    words: list[str] = json.loads((folder / "command.json").read_text())["argv"]
    return words


def flags_of(words: Sequence[str]) -> dict[str, str]:
    """The flags of a command line; every word is `--flag=value`."""
    assert all(word.startswith("--") and "=" in word for word in words[1:])
    return dict(word[2:].split("=", 1) for word in words[1:])
