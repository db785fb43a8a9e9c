"""`kvscen import nixlbench CONFIG.toml`: a configuration file of nixlbench as a scenario that does the same.

nixlbench takes every flag as a key at the top level, and skips a key that it does not know or that has a value of
another type, without a word. Here each of these is said.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvscen.plugin import DriverError, Imported, Importer
from kvscen_drivers.nixlbench.flags import FLAGS, STORAGE, FlagInfo
from kvscen_drivers.nixlbench.invocation import spelled
from kvscen_drivers.nixlbench.scenario import Writer, axis, quoted, read_text, size
from kvscen_drivers.nixlbench.settings import BACKEND, kind_of

# kvscen works these out for each run, and what a file says of them has no meaning there.
_OURS = {
    "total_buffer_size": "kvscen takes threads x batch x block",
    "asio_port": "each run gets a free port",
    "benchmark_group": "each run gets a group of its own",
}


def read(paths: Sequence[Path]) -> Imported:
    [path] = paths
    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise DriverError(f"{path} is no TOML: {error}", "nixlbench could not read it either") from error
    writer = Writer()
    writer.comment(f"From {path.name}, a configuration of nixlbench.")
    writer.line()
    known: dict[str, str] = {}
    for key, value in values.items():
        problem = _problem(FLAGS.get(key), key, value)
        if problem:
            writer.leave_out([problem])
        else:
            known[key] = spelled(value)
    writer.leave_out(f"{key} = {known.pop(key)}: {why}" for key, why in _OURS.items() if key in known)
    flags = {name: known.get(name, flag.default) for name, flag in FLAGS.items()}
    of_other = [name for name in known if FLAGS[name].of and flags["backend"] not in FLAGS[name].of]
    writer.leave_out(f"{name}: the backend {flags['backend']} has no use for it" for name in of_other)
    _blocks(writer, flags, {name: text for name, text in known.items() if name not in of_other})
    return writer.done()


def _problem(flag: FlagInfo | None, key: str, value: Any) -> str:
    """Why nixlbench 1.4 would skip a key, or refuse it."""
    if flag is None:
        return f"{key}: nixlbench 1.4 has no such flag, and would skip it"
    wanted = {"bool": bool, "string": str}.get(flag.type, int)
    if type(value) is not wanted:
        return f"{key} = {value!r}: nixlbench takes a {flag.type}, and would go on with {flag.default or 'nothing'}"
    if not flag.takes(spelled(value)):
        return f"{key} = {value!r}: nixlbench would refuse it"
    return ""


def _blocks(writer: Writer, flags: Mapping[str, str], known: Mapping[str, str]) -> None:
    backend = flags["backend"]
    tier = {"backend": BACKEND.show(backend)}
    for name, text in known.items():
        if name not in tier and FLAGS[name].said_by is None and (text or FLAGS[name].default):
            tier[name] = _shown(FLAGS[name], text)
    if STORAGE.get(backend) and not known.get("filepath"):
        tier["filepath"] = quoted("./kv-data")
        writer.comment("The file names no `filepath`: nixlbench would write where it is started.")
    for name in ("num_iter", "warmup_iter"):
        tier.setdefault(name, flags[name])
    writer.block("tier bench : nixlbench", tier)
    block, blocks = axis(int(flags["start_block_size"]), int(flags["max_block_size"]), size)
    batch, batches = axis(int(flags["start_batch_size"]), int(flags["max_batch_size"]))
    pattern = {"block": blocks} if block == "=" else {"block": size(int(flags["start_block_size"]))}
    if batch == "=":
        pattern["batch"] = batches
    pattern |= {"op": flags["op_type"].lower(), "wait": "batch", "threads": flags["num_threads"]}
    pattern["memory"] = flags["initiator_seg_type"].lower()
    if flags["pipeline_depth"] != "1":
        pattern["depth"] = flags["pipeline_depth"]
    writer.block("pattern blocks : transfer", pattern)
    axes = [f"blocks.block in {blocks}"] * (block == "in") + [f"blocks.batch in {batches}"] * (batch == "in")
    sweep = {"pattern": "blocks", "tier": "bench", "seed": "1", "trials": "5", "timeout": "10 min"}
    writer.block("sweep nixlbench_file", sweep, [*axes, "expect errors == 0"])


def _shown(flag: FlagInfo, text: str) -> str:
    """A flag's value as the language spells it in a tier."""
    if flag.name == "total_buffer_size":
        return size(int(text))
    kind = kind_of(flag)
    if flag.type == "string" and not kind.words:
        return quoted(text)
    return text


IMPORTER = Importer("nixlbench", "a configuration file of nixlbench", ("CONFIG.toml",), read)
