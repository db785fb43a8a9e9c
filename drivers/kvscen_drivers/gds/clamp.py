"""How many operations cuFile's configuration has room for.

In compat mode each operation of a batch takes a bounce buffer in host memory, and before cuFile 1.18 a submission that
finds none waits for ever: nothing tells, and nothing ends it but killing the process. Without registered buffers an
operation takes one in the GPU's memory.
"""

from __future__ import annotations

import attrs

KIB, MIB = 1 << 10, 1 << 20
#: What an empty configuration comes to.
DEFAULT_BATCH = 128
_DEFAULT_CACHE_KIB, _DEFAULT_BUFFER_KIB = 131_072, 1024
_DEFAULT_POOL = ((4 * KIB, 128), (MIB, 64), (16 * MIB, 32))
#: From here on a batch may be larger than the bounce buffers.
_NO_LIMIT_SINCE = 1180


@attrs.frozen
class Configuration:
    """What is in force, where it is known. `version` is cuFile's: 1170 is 1.17."""

    version: int = 0
    batch: int | None = None
    cache_kib: int | None = None
    buffer_kib: int | None = None
    pool: tuple[tuple[int, int], ...] = ()


@attrs.frozen
class Clamp:
    """At most so many in flight in a lane, and which setting of cufile.json says so."""

    limit: int
    setting: str


def clamp(configuration: Configuration, block_bytes: int, lanes: int, *, registered: bool, bounced: bool) -> Clamp:
    """For batches of each of the `lanes` of a process. `bounced`: blocks may go through host memory."""
    found = [Clamp(configuration.batch or DEFAULT_BATCH, "io_batchsize")]
    if configuration.version < _NO_LIMIT_SINCE:
        if bounced:
            pool = sorted(configuration.pool or _DEFAULT_POOL)
            count = next((count for size, count in pool if block_bytes <= size), pool[-1][1])
            found.append(Clamp(max(1, count // lanes), "posix_pool_slab_count"))
        if not registered:
            cache = configuration.cache_kib or _DEFAULT_CACHE_KIB
            each = configuration.buffer_kib or _DEFAULT_BUFFER_KIB
            found.append(Clamp(max(1, cache // each // lanes), "max_device_cache_size_kb"))
    return min(found, key=lambda entry: entry.limit)
