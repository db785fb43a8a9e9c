"""KVS315: blocks that were just written are read from the page cache."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.cached import BufferedRule
from kvscen.lint.rule import at
from kvscen.plan.point import Point, Tier
from kvscen.report.numbers import show_one

#: A data set that any machine keeps in its page cache. Whether a larger one fits, `--here` says (KVS364).
SURELY_CACHED_BYTES = 1 << 30


class BufferedReads(BufferedRule):
    code = "KVS315"
    finds = """
A tier with `direct = false` and `cache = keep` whose blocks are read, and are 1 GiB or less altogether. A sweep
that compares it with direct I/O is let be.
"""
    why = """
The blocks were written just before, so they are in the page cache, and reading them copies memory: the device has
no part in it. Each row says so in its column `path`; a reader who only sees the name of the tier takes it for the
disk.
"""
    remedy = """
Measure `direct = true` (the default), drop the blocks from the cache before each trial with `cache = drop`, or use
a `working_set` of more than twice the memory. Where the page cache is what is to be measured, allow it with that
reason.
"""

    def of(self, point: Point, tier: Tier) -> Iterator[Diagnostic]:
        size = point.work.working_set_bytes
        kept = getattr(tier.settings, "cache", "keep") == "keep"
        if point.work.op != "write" and kept and size <= SURELY_CACHED_BYTES and self.first(tier.name):
            yield self.say(
                f"{show_one(size, 'B')} that were just written are read from the page cache",
                self.place(f"{tier.name}.direct"),
                label=at(point),
                help="write `direct = true` or `cache = drop`, or use a `working_set` of twice the memory",
            )
