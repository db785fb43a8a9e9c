"""`command`: a tool driver that runs a program for each trial of a point and takes the measures that it prints.

    tier bench : command { argv = ["./bench.sh", "--block", "{block_bytes}", "--op", "{op}", "--seconds", "{time_s}"] }

The program is started without a shell, in a session of its own, with no stdin. Its stdout and stderr are kept in the
trial's folder as they are. The last line of stdout that is a JSON object gives measures by the names of the columns of
trials.parquet:

    {"operations": 1200, "throughput_bytes_per_s": 2.1e9, "latency_p50_ns": 81000}

At the deadline, and whenever the run is interrupted, its whole process group is killed. What a program reports is taken
as it is: kvscen has not seen a byte of it, and every row says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from kvscen.plugin import Finding, ListOf, PathText, Point, Severity, String, Tier, Tool, ToolRow, Work, setting
from kvscen_drivers.command.answer import BadAnswer, read_answer
from kvscen_drivers.command.template import BadTemplate, fill, placeholders, values_of
from kvscen_drivers.program import ending, last_line, run_program


@attrs.frozen
class CommandSettings:
    argv: tuple[str, ...] = setting(
        ListOf(String()), help="the program and its arguments; `{block_bytes}` and other placeholders are filled in"
    )
    cwd: str | None = setting(
        PathText(), default=None, help="the folder in which it runs; default: the one in which kvscen runs"
    )


class CommandDriver(Tool):
    name = "command"
    summary = "Runs a program for each trial and takes the measures that it prints as JSON."
    settings = CommandSettings
    memory = frozenset({"dram", "vram"})

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        argv = tier.settings.argv
        if not argv[0].strip():
            yield Finding("KVS324", "the program has no name", "argv", help="the first item is the program")
        known, used = values_of(work), 0
        for word in argv:
            try:
                for name in placeholders(word):
                    used += 1
                    if name not in known:
                        other = "time" if name == "operations" else "operations"
                        yield Finding(
                            "KVS325",
                            f"`{{{name}}}` has no value here: the sweep measures by `{other}`",
                            "argv",
                            help=f"give the sweep `{name.removesuffix('_s')}`, or use the other placeholder",
                        )
            except BadTemplate as error:
                yield Finding("KVS324", str(error), "argv", help=error.help)
        if not used:
            yield Finding(
                "KVS326",
                "no placeholder in the command line: the same program runs whatever the pattern says",
                "argv",
                help="pass on what the pattern varies, as in `{op}` or `{block_bytes}`",
                severity=Severity.WARNING,
            )

    async def run(self, points: Sequence[Point], trial: int, folder: Path, deadline_s: float) -> Sequence[ToolRow]:
        [point] = points
        settings: CommandSettings = point.tier.settings
        values = {**values_of(point.work), "folder": str(folder.resolve()), "trial": str(trial)}
        try:
            argv = [fill(word, values) for word in settings.argv]
        except BadTemplate as error:
            return [ToolRow(point.id, "error", f"the command line of {point.tier.name}: {error}")]
        stdout = folder / "stdout"
        (folder / "command.json").write_text(json.dumps({"argv": argv, "cwd": settings.cwd}) + "\n")
        try:
            status = await run_program(argv, stdout, folder / "stderr", deadline_s, cwd=settings.cwd)
        except OSError as error:
            return [_not_started(point.id, argv[0], settings.cwd, error)]
        if status is None:
            return [ToolRow(point.id, "incomplete", f"{argv[0]} was killed after {deadline_s:g} s, its deadline")]
        if status:
            said = last_line(folder / "stderr")
            return [ToolRow(point.id, "error", f"{argv[0]} {ending(status)}" + (f": {said}" if said else ""))]
        try:
            measures = read_answer(stdout)
        except BadAnswer as error:
            return [ToolRow(point.id, "error", f"{argv[0]}: {error}")]
        measures |= {
            "path": "unknown",
            "path_evidence": f"reported by the program {argv[0]}; kvscen has not seen the bytes",
        }
        if measures.get("errors"):
            return [ToolRow(point.id, "error", f"{argv[0]} reports {measures['errors']} failed operations", measures)]
        return [ToolRow(point.id, "ok", "", measures)]


def _not_started(point_id: str, program: str, cwd: str | None, error: OSError) -> ToolRow:
    if cwd is not None and error.filename == cwd:
        return ToolRow(point_id, "error", f"{program} could not be started in the folder {cwd}: {error.strerror}")
    if isinstance(error, FileNotFoundError):
        return ToolRow(point_id, "unavailable", f"the program {program} is not installed here (not found)")
    return ToolRow(point_id, "error", f"{program} could not be started: {error.strerror}")
