"""How many operations cuFile's configuration has room for.

In compat mode each operation of a batch takes a bounce buffer in host memory, and before cuFile 1.18 a submission that
finds none waits for ever: nothing tells, and nothing ends it but killing the process. Without registered buffers an
operation takes one in the GPU's memory. Operations on streams go through a queue of cuFile's threads: those that found
it full were seen to fail (128 of them and what the threads were at: NVIDIA/MagnumIO#18).
"""

from __future__ import annotations

import attrs

KIB, MIB = 1 << 10, 1 << 20
#: What an empty configuration comes to.
DEFAULT_BATCH = 128
_DEFAULT_QUEUE = 128
_DEFAULT_CACHE_KIB, _DEFAULT_BUFFER_KIB = 131_072, 1024
_DEFAULT_POOL = ((4 * KIB, 128), (MIB, 64), (16 * MIB, 32))
#: From here on a batch may be larger than the bounce buffers.
_NO_LIMIT_SINCE = 1180


@attrs.frozen
class Configuration:
    """What is in force, where it is known. `version` is cuFile's: 1170 is 1.17. `pool` has (bytes, buffers) of each
    class of bounce buffers in host memory; `source` is where it comes from."""

    version: int = 0
    batch: int | None = None
    queue: int | None = None
    cache_kib: int | None = None
    buffer_kib: int | None = None
    pool: tuple[tuple[int, int], ...] = ()
    source: str = "cuFile's default configuration"


@attrs.frozen
class Clamp:
    """At most so many in flight in a lane, and which setting of cufile.json says so. `risk`: what more may come to.
    `by_version`: newer versions of cuFile do not mind."""

    limit: int
    setting: str
    risk: str
    by_version: bool = False


def clamp(
    configuration: Configuration, block_bytes: int, lanes: int, *, mode: str, registered: bool, bounced: bool
) -> Clamp:
    """For each of the `lanes` of a process, of `mode` batch or stream. `bounced`: blocks may go through host memory."""
    if mode == "stream":
        queue = configuration.queue or _DEFAULT_QUEUE
        found = [Clamp(max(1, queue // lanes), "max_io_queue_depth", "they may fail")]
    else:
        found = [Clamp(configuration.batch or DEFAULT_BATCH, "io_batchsize", "it takes several batches")]
    if configuration.version < _NO_LIMIT_SINCE:
        hang = "before cuFile 1.18 it may hang" if not configuration.version else "it may hang"
        if bounced:
            pool = sorted(configuration.pool or _DEFAULT_POOL)
            count = next((count for size, count in pool if block_bytes <= size), pool[-1][1])
            found.append(Clamp(max(1, count // lanes), "posix_pool_slab_count", hang, True))
        if not registered:
            cache = configuration.cache_kib or _DEFAULT_CACHE_KIB
            each = configuration.buffer_kib or _DEFAULT_BUFFER_KIB
            found.append(Clamp(max(1, cache // each // lanes), "max_device_cache_size_kb", hang, True))
    return min(found, key=lambda entry: entry.limit)
