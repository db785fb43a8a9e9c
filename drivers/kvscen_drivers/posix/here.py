"""What the driver `posix` says of its tiers on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kvscen.plugin import DriverError, Finding, Severity, Work
from kvscen_drivers.posix import honesty
from kvscen_drivers.posix.folder import examine
from kvscen_drivers.posix.settings import PosixSettings


def alignment(settings: PosixSettings, work: Work) -> Iterator[Finding]:
    """On this machine: whether the blocks are what its device moves."""
    try:
        descriptor = honesty.scratch(examine(Path(settings.path)))
    except (DriverError, OSError):
        return  # that the folder cannot be used is said elsewhere
    if descriptor is None:
        return
    try:
        unit = honesty.direct_alignment(descriptor)
    finally:
        os.close(descriptor)
    if unit and work.block_bytes % unit.bytes and not work.block_bytes % 512:
        yield Finding(
            "KVS310",
            f"direct I/O to {settings.path} is in units of {unit.bytes} bytes, and {work.block_bytes} are none: the "
            "block is moved padded",
            "direct",
            help="the padding is moved but not counted: throughput is of the block alone",
            severity=Severity.INFO,
        )
