"""The machines on which the bad files of codes that only `--here` finds give their diagnostic; that of the good file is
in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from kvscen.facts.gather import Facts
from kvscen.lint.here import Look
from kvscen.plan.point import Tier
from kvscen.plugin.contract import Availability
from kvscen.plugin.probe import DriverReport
from tests.doctor.machines import FOLDER, LIMITS, Machine

_MOUNTED = "27 1 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw\n40 27 {} / /mnt/nvme rw,noatime - {} rw\n"
_SMALL = "MemTotal: 65536000 kB\nMemAvailable: 1000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"

#: What is wrong with the machine of the bad file.
MACHINES: Mapping[str, Machine] = {
    "KVS360": Machine(look=attrs.evolve(FOLDER, seen="/", real="/mnt/nvme/kv")),
    "KVS361": Machine(look=attrs.evolve(FOLDER, free_bytes=1 << 30)),
    "KVS362": Machine(
        tree={"proc/self/mountinfo": _MOUNTED.format("0:40", "nfs4 server:/export")},
        look=attrs.evolve(FOLDER, device=(0, 40), direct_io=None),
    ),
    "KVS363": Machine(look=attrs.evolve(FOLDER, direct_io=(0, 0))),
    "KVS364": Machine(),
    "KVS365": Machine(tree={"proc/meminfo": _SMALL}),
    "KVS366": Machine(),
    "KVS367": Machine(tree={"proc/self/limits": LIMITS.format(fsize="unlimited", files="65536", memlock=str(8 << 20))}),
    "KVS368": Machine(),
}


def look(code: str, folder: Path, name: str) -> Look:
    bad = name == "bad.kvs"
    # What the scenario asks is right in the good file of these, on the same machine.
    machine = MACHINES[code] if bad or code in ("KVS364", "KVS366") else Machine()

    def facts(paths: Sequence[str]) -> Facts:
        return machine.facts(folder / "machine", *paths[:1])

    def ask(driver: str, tier: Tier) -> DriverReport:
        ok = Availability(not (bad and code == "KVS368"), "the program is not installed here", "install it")
        return DriverReport(driver, available=ok)

    return Look(facts, ask)
