"""`kvscen import kvbench-traffic CONFIG.yaml`: what KVBench's ct-perftest or sequential-ct-perftest is given, as a
scenario.

The keys are those that its main.py reads and its documents name: `traffic_pattern` with `iters` and `warmup_iters`, or
a list `traffic_patterns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from kvscen.plugin import DriverError, Duration, Imported, Importer
from kvscen_drivers.nixlbench.from_kvbench import read_yaml
from kvscen_drivers.nixlbench.scenario import Writer, quoted

_SLEEPS = ("sleep_before_launch_sec", "sleep_after_launch_sec")
_KEYS = frozenset({"matrix_file", "shards", "mem_type", "xfer_op", "metadata", *_SLEEPS})
_COUNTS = ("iters", "warmup_iters")


def read(paths: Sequence[Path]) -> Imported:
    [path] = paths
    config = read_yaml(path)
    several = "traffic_patterns" in config
    steps = _steps(config, several, path)
    writer = Writer()
    test = "sequential-ct-perftest" if several else "ct-perftest"
    writer.comment(f"From {path.name}, a configuration of KVBench's {test}.")
    writer.line()
    writer.leave_out(dict.fromkeys(sentence for step in steps for sentence in _idle(step)))
    known = {"traffic_patterns" if several else "traffic_pattern", *(() if several else _COUNTS)}
    writer.leave_out(f"{key}: KVBench has no such key, and would skip it" for key in config if key not in known)
    writer.leave_out(
        f"{key} = {config[key]}: here `time` and `warmup` say how long, or `operations` how many transfers"
        for key in _COUNTS
        if key in known and key in config
    )
    writer.line("tier ucx : nixl { backend = UCX }")
    writer.line()
    files = [str(step["matrix_file"]) for step in steps]
    if not all(Path(name).is_absolute() for name in files):
        writer.comment("Paths are relative to this file; KVBench's are to its working directory.")
    pattern = {"files": f"[{', '.join(map(quoted, files))}]"}
    compute = _compute(steps, path)
    if any(compute):
        shown = [Duration().show(time_ns) for time_ns in compute]
        pattern["compute"] = shown[0] if len(set(shown)) == 1 else f"[{', '.join(shown)}]"
        if any(step.get(_SLEEPS[0]) for step in steps):
            writer.comment("KVBench does not read sleep_before_launch_sec, and sends without a pause; here it counts.")
    writer.block("pattern traffic : matrix", pattern)
    modes = "traffic.mode in [isolated, sequence]" if several else "traffic.mode = isolated"
    sweep = {"pattern": "traffic", "tier": "ucx", "trials": "5", "warmup": "200 ms", "time": "2 s", "seed": "1"}
    writer.block("sweep kvbench", sweep, [modes, "expect errors == 0"])
    return writer.done()


def _steps(config: Mapping[str, Any], several: bool, path: Path) -> list[Mapping[str, Any]]:
    """The traffic patterns. Raises DriverError where there are none, or one has no matrix."""
    found = config.get("traffic_patterns") if several else [config.get("traffic_pattern")]
    if not isinstance(found, list) or not found or not all(isinstance(step, dict) for step in found):
        raise DriverError(
            f"{path} has no traffic: `traffic_pattern:` or a list `traffic_patterns:` is expected",
            "name a configuration of KVBench's ct-perftest or sequential-ct-perftest",
        )
    for number, step in enumerate(found):
        if not isinstance(step.get("matrix_file"), str) or not step["matrix_file"]:
            raise DriverError(f"{path}: traffic pattern {number} has no `matrix_file`", "name its file")
    return found


def _compute(steps: Sequence[Mapping[str, Any]], path: Path) -> list[int]:
    """How long the senders of each step compute before it, in ns: its own sleep, and that after the step before."""
    times, after = [], Fraction(0)
    for step in steps:
        before, later = (_seconds(step.get(key), key, path) for key in _SLEEPS)
        times.append(round((before + after) * 10**9))
        after = later
    return times


def _seconds(value: Any, key: str, path: Path) -> Fraction:
    if value is None:
        return Fraction(0)
    try:
        found = Fraction(str(value))
    except ValueError:
        found = Fraction(-1)
    if found < 0 or isinstance(value, bool):
        raise DriverError(f"{path}: `{key}` is {value!r}, and a number of seconds is needed", "correct it")
    return found


def _idle(step: Mapping[str, Any]) -> Iterator[str]:
    for key in step:
        if key not in _KEYS:
            yield f"{key}: KVBench has no such key, and would skip it"
    if step.get("shards", 1) != 1:
        yield f"shards = {step['shards']}: KVBench takes 1 alone"
    memory = str(step.get("mem_type", "cuda")).lower()
    if memory not in ("cpu", "dram"):
        yield f"mem_type = {memory}: ranks send from host memory to host memory here"
    if str(step.get("xfer_op", "WRITE")).upper() != "WRITE":
        yield f"xfer_op = {step['xfer_op']}: KVBench writes whatever it says, and so is done here"


IMPORTER = Importer(
    "kvbench-traffic", "a configuration of KVBench's ct-perftest or sequential-ct-perftest", ("CONFIG.yaml",), read
)
