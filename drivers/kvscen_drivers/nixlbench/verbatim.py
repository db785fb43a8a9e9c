"""The command lines that KVBench's `plan` prints for the model of a pattern, its mistakes included and each marked:
`kvscen plan --as nixlbench --verbatim`.

The sizes are kvscen's `kvbench_size`; what is here is KVBench's choice of flags (commands/nixlbench.py and main.py of
benchmark/kvbench, the same in NIXL 1.4 as on its main branch): which it prints, in which order, and what it makes of
`--source` and `--destination`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvscen.plugin import CommandLine, KVBenchSize, Point, kvbench_size, show_bytes
from kvscen_drivers.nixlbench.counterpart import settings_of
from kvscen_drivers.nixlbench.flags import FLAGS, POSIX_POOL
from kvscen_drivers.nixlbench.invocation import Iterations, spelled
from kvscen_drivers.nixlbench.settings import field_of

#: Flags that KVBench knows, in the order in which it prints them.
ORDER = (
    *("benchmark_group", "backend", "check_consistency", "device_list", "enable_pt", "progress_threads"),
    *("etcd_endpoints", "storage_enable_direct", "filepath", "enable_vmm", "gds_batch_pool_size", "gds_batch_limit"),
    *("initiator_seg_type", "max_batch_size", "max_block_size", "mode", "num_files", "num_initiator_dev", "num_iter"),
    *("num_target_dev", "num_threads", "op_type", "posix_api_type", "runtime_type", "scheme", "start_batch_size"),
    *("start_block_size", "target_seg_type", "total_buffer_size", "warmup_iter", "worker_type", "gds_mt_num_threads"),
    *("gpunetio_device_list", "gpunetio_oob_list", "hf3fs_iopool_size", "obj_access_key", "obj_secret_key"),
    *("obj_session_token", "obj_bucket_name", "obj_scheme", "obj_region", "obj_use_virtual_addressing"),
    *("obj_endpoint_override", "obj_req_checksum", "large_blk_iter_ftr", "recreate_xfer"),
)
#: What KVBench leaves out of its text because it takes it for nixlbench's default.
DEFAULTS: Mapping[str, str] = {name: FLAGS[name].default for name in ORDER} | {
    "etcd_endpoints": "http://localhost:2379"
}
_RULE = "=" * 80
#: Of a point whose ranks send to each other.
NO_MATRIX = "nixlbench sends no matrix from rank to rank: KVBench's tests of traffic are programs of their own"

#: Of a point that replays a trace.
NO_REPLAY = "nixlbench replays no trace: it has nothing that decides what is read and what is written"


def command_lines(points: Sequence[Point]) -> list[CommandLine]:
    return [_line(point) for point in points]


def _line(point: Point) -> CommandLine:
    """KVBench's line for one point. `source` and `destination` are those that a user would give for its `op`."""
    if point.work.traffic is not None:
        return CommandLine((point,), (), notes=(NO_MATRIX,))
    if point.work.replay is not None:
        return CommandLine((point,), (), notes=(NO_REPLAY,))
    if point.model is None:
        return CommandLine((point,), (), notes=("KVBench needs a model: this pattern says its blocks itself",))
    if point.work.op == "mixed":
        return CommandLine((point,), (), notes=("KVBench reads or writes: it has nothing like `op = mixed`",))
    pattern: Any = point.pattern.settings
    size = kvbench_size(pattern, point.model)
    if not isinstance(size, KVBenchSize):
        return CommandLine((point,), (), notes=tuple(finding.message for finding in size))
    backend, values = _given(point)
    chosen = _chosen(backend, point)
    if chosen is None:
        note = f"KVBench refuses this: it knows no backend `{backend}` for this `op` (ValueError)"
        return CommandLine((point,), (), notes=(note,))
    values |= chosen
    values |= {
        "start_block_size": str(size.block_bytes),
        "max_block_size": str(size.block_bytes),
        "start_batch_size": str(size.batch),
        "max_batch_size": str(size.batch),
        "total_buffer_size": str(size.total_bytes),
    }
    words = [
        w for name in ORDER if values.get(name, DEFAULTS[name]) != DEFAULTS[name] for w in (f"--{name}", values[name])
    ]
    settings: Any = point.model.settings
    banner = (
        _RULE,
        f"Model Config: {point.model.name}",
        f"ISL: {pattern.prompt_tokens} tokens",
        f"Page Size: {pattern.page_tokens}",
        f"Requests: {pattern.requests}",
        f"TP: {settings.tp}",
        f"PP: {settings.pp}",
        _RULE,
    )
    notes = (*_mistakes(point, backend, values, size), *size.fractions)
    return CommandLine((point,), ("nixlbench", *words), notes=notes, banner=banner, two_words=True)


def _given(point: Point) -> tuple[str, dict[str, str]]:
    """The backend, and the options that a user would give to KVBench besides, from the tier."""
    settings: Any = point.tier.settings
    threads = {"num_threads": str(point.work.threads)}
    if point.tier.driver == "nixl":
        settings = settings_of(point)
    elif point.tier.driver != "nixlbench":
        # A tier that keeps no files is taken for KVBench's default: files in the working directory.
        direct = {"storage_enable_direct": "True"} if getattr(settings, "direct", False) else {}
        folder = {"filepath": str(settings.path)} if hasattr(settings, "path") else {}
        return "POSIX", threads | {"backend": "POSIX"} | folder | direct
    known = {
        name: _python(value)
        for name in ORDER
        if FLAGS[name].said_by is None and (value := getattr(settings, field_of(FLAGS[name]))) is not None
    }
    return settings.backend, known | threads


def _python(value: Any) -> str:
    """KVBench prints a Python value: `--recreate_xfer True`; at its default it prints none."""
    return spelled(value) if value is False else str(value)


def _chosen(backend: str, point: Point) -> dict[str, str] | None:
    """What KVBench makes of `--source` and `--destination`; None: it raises ValueError."""
    read, vram = point.work.op == "read", point.work.memory == "vram"
    here = "VRAM" if vram else "DRAM"
    if backend in ("GDS", "GDS_MT"):
        return {"op_type": "READ", "target_seg_type": "VRAM"} if read else {"target_seg_type": "FILE"}
    if backend in ("POSIX", "HF3FS"):
        return {"op_type": "READ"} if read else {}
    if backend in ("UCX", "GPUNETIO", "Mooncake"):
        target = getattr(point.tier.settings, "target_seg_type", None) or "DRAM"
        return {"initiator_seg_type": here, "target_seg_type": target, "op_type": point.work.op.upper()}
    if backend == "OBJ":
        return {"op_type": point.work.op.upper(), "initiator_seg_type": here}
    return None


def _mistakes(point: Point, backend: str, values: Mapping[str, str], size: KVBenchSize) -> Iterator[str]:
    """What is wrong with KVBench's line."""
    work, pattern = point.work, point.pattern.settings
    if values.get("target_seg_type") == "FILE":
        yield "mistake: nixlbench refuses `--target_seg_type FILE` (Invalid segment type: FILE)"
    elif backend in ("GDS", "GDS_MT"):
        yield "mistake: local buffers are those of `initiator_seg_type`, left at DRAM: no byte goes to a GPU"
    if work.threads > 1:
        yield (
            f"mistake: `--total_buffer_size` is for one thread: with {work.threads} nixlbench refuses it "
            "(Incorrect buffer size configuration)"
        )
    if backend == "POSIX" and size.batch * work.threads > POSIX_POOL.stop - 1:
        yield (
            f"mistake: the POSIX backend takes at most {POSIX_POOL.stop - 1} operations at once, and the batch has "
            f"{size.batch} (NIXL_ERR_NOT_ALLOWED)"
        )
    num_iter, warmup, factor = (
        int(values.get(name, DEFAULTS[name])) for name in ("num_iter", "warmup_iter", "large_blk_iter_ftr")
    )
    counts = Iterations.rounded(num_iter, warmup, factor, work.threads)
    iterations = counts.measured(size.block_bytes) + counts.warmup(size.block_bytes)
    yield f"mistake: {iterations} iterations of the whole batch move {show_bytes(iterations * size.total_bytes)}"
    for name in ("storage_enable_direct", "recreate_xfer", "check_consistency", "enable_pt", "enable_vmm"):
        if values.get(name, "false") not in ("false", "False"):
            yield f"mistake: `--{name} {values[name]}` is read as `--{name}` alone, and `False` would be true as well"
    if pattern.sizing != "kvbench" and (size.block_bytes, size.batch) != (work.block_bytes, work.batch):
        yield (
            f"mistake: {size.batch} blocks of {size.block_bytes} bytes are of all ranks together, pages rounded once; "
            f"one rank moves {work.batch} of {work.block_bytes} bytes"
        )
