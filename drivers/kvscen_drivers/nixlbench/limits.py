"""What nixlbench and its backends cannot do, known before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kvscen.plugin import Finding, RuleText, Severity, Tier, Work
from kvscen_drivers.nixlbench.flags import GDS_REQUEST_BYTES, HUGE_PAGE_BYTES, POSIX_POOL, STORAGE
from kvscen_drivers.nixlbench.invocation import buffer_step_bytes, depth, least_buffer_bytes
from kvscen_drivers.nixlbench.settings import storage

RULES = (
    RuleText(
        "KVS333",
        finds="A tier of `nixlbench` with `backend = GUSLI` that is given more than one operation in a batch.",
        why="""
nixlbench registers one buffer with this backend and asks for all of the batch: it ends with NIXL_ERR_NOT_FOUND, and the
points have no figures (ai-dynamo/nixl#1357, open in August 2026).
""",
        remedy="Use `batch = 1` and more `threads`, or allow it where a version of nixlbench is used that can.",
    ),
)


def findings(tier: Tier, work: Work) -> Iterator[Finding]:
    """What is wrong with this work on this tier; nothing is looked up on the machine."""
    yield from _not_done(work)
    yield from _gusli(tier.settings, work)
    yield from _in_flight(tier.settings, work)
    yield from _buffers(tier.settings, work)
    yield from _files(tier.settings, work)


def _not_done(work: Work) -> Iterator[Finding]:
    """What a pattern may ask for and nixlbench does not do: it moves one batch over and over."""
    asked = (
        (work.rate_per_s is not None, "rate", "keeps its queue full: it has no `rate`", "leave `rate` out"),
        (work.order != "sequential", "order", f"has no `order = {work.order}`: it touches the same blocks in turn", ""),
        (
            work.depth is not None and work.wait == "operation",
            "depth",
            "counts what is in flight in whole batches",
            "with `wait = batch`, `depth` is `pipeline_depth`",
        ),
        (
            work.keys not in (work.batch, work.batch * work.threads * depth(work)),
            "working_set",
            f"touches threads x batch x depth = {work.threads * work.batch * depth(work)} blocks, and no others",
            "leave `working_set` out",
        ),
        (work.durability == "each", "durability", "makes no write durable", "leave `durability` out"),
    )
    for wanted, setting, reason, help in asked:
        if wanted:
            yield Finding(
                "KVS330", f"nixlbench {reason}", setting, help or "give the points of `nixlbench` a sweep of their own"
            )
    if work.wait == "operation" and work.batch > 1:
        yield Finding(
            "KVS332",
            "nixlbench posts a batch when the last one has ended; `wait = operation` refills at once elsewhere",
            "wait",
            help="write `wait = batch`: then the other tiers do what nixlbench does",
            severity=Severity.WARNING,
        )


def _gusli(settings: Any, work: Work) -> Iterator[Finding]:
    if settings.backend == "GUSLI" and work.batch > 1:
        yield Finding(
            "KVS333",
            f"nixlbench fails with GUSLI and {work.batch} operations in a batch (NIXL_ERR_NOT_FOUND)",
            "backend",
            help="use `batch = 1` and more `threads`",
            severity=Severity.WARNING,
        )


def _in_flight(settings: Any, work: Work) -> Iterator[Finding]:
    posted = work.threads * depth(work)
    if settings.backend == "POSIX":
        pool = min(max(settings.posix_ios_pool_size, POSIX_POOL.start), POSIX_POOL.stop - 1)
        if posted * work.batch > pool:
            more = f"raise `posix_ios_pool_size`, to at most {POSIX_POOL.stop - 1}, or "
            yield Finding(
                "KVS331",
                f"{_at_once(work)}, and the POSIX backend takes {pool}",
                "posix_ios_pool_size",
                ("" if pool == POSIX_POOL.stop - 1 else more) + "move fewer requests in a batch",
            )
    elif settings.backend == "GDS":
        requests = work.batch * -(-work.block_bytes // GDS_REQUEST_BYTES)
        batches = posted * -(-requests // settings.gds_batch_limit)
        if batches > settings.gds_batch_pool_size:
            yield Finding(
                "KVS331",
                f"{_at_once(work)} of {work.block_bytes} bytes are {batches} cuFile batches of "
                f"{settings.gds_batch_limit}, and the pool has {settings.gds_batch_pool_size}",
                "gds_batch_pool_size",
                f"set `gds_batch_pool_size = {batches}`, raise `gds_batch_limit`, or use a smaller batch",
            )


def _at_once(work: Work) -> str:
    """`2 threads x 100 = 200 operations at once`."""
    factors = [f"{count} {noun}" for count, noun in ((work.threads, "threads"), (depth(work), "batches")) if count > 1]
    total = work.threads * depth(work) * work.batch
    product = " x ".join((*factors, str(work.batch))) + " = " if factors else ""
    return f"{product}{total} operations at once"


def _buffers(settings: Any, work: Work) -> Iterator[Finding]:
    given = settings.total_buffer_size_bytes
    if given is None:
        return
    least = least_buffer_bytes(settings, work, work.block_bytes, work.batch)
    step = buffer_step_bytes(settings, work)
    if given < least or given % step:
        problem = f"is less than the {least} bytes that it moves" if given < least else f"is no multiple of {step}"
        yield Finding(
            "KVS331",
            f"`total_buffer_size` {problem}",
            "total_buffer_size",
            "leave it out: kvscen sets threads x batch x block",
        )


def _files(settings: Any, work: Work) -> Iterator[Finding]:
    if settings.use_hugepages and work.block_bytes % HUGE_PAGE_BYTES and work.threads > 1:
        yield Finding(
            "KVS331",
            f"with `use_hugepages` a thread has whole pages of 2 MiB, and {work.block_bytes} bytes are none",
            "use_hugepages",
            "use one thread, or blocks of a multiple of 2 MiB",
        )
    if not (storage(settings) and STORAGE.get(settings.backend)):
        return
    if work.threads % settings.num_files:
        yield Finding(
            "KVS331",
            f"`num_files = {settings.num_files}`, and nixlbench spreads {work.threads} threads evenly over its files",
            "num_files",
            "let `num_files` divide `threads`",
        )
    if settings.storage_enable_direct and work.block_bytes % 512:
        yield Finding(
            "KVS331",
            f"direct I/O needs blocks of a multiple of 512 bytes, and nixlbench does not pad {work.block_bytes}",
            "storage_enable_direct",
            "use `storage_enable_direct = false` for these blocks",
        )
