"""How much a solid-state device has been written, as it counts itself: by smartctl or nvme, where they may ask it.

Both need the right to send commands to the device, which mostly means root. The rated endurance (TBW) is in no log of
the device: its data sheet has it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

#: How long a device may take to answer.
PATIENCE_S = 3.0
#: A data unit of NVMe's health log is a thousand blocks of 512 bytes (NVM Express Base Specification 2.0, 5.16.1.3).
NVME_UNIT_BYTES = 512_000


@attrs.frozen
class Wear:
    """`used_percent` is the device's own estimate of its used life (may exceed 100), `written_bytes` what hosts have
    written to it. Where nothing could be read `problem` says why."""

    source: str | None = None
    used_percent: int | None = None
    written_bytes: int | None = None
    media_errors: int | None = None
    warning: bool | None = None
    problem: str | None = None


Command = Sequence[str]


def run(command: Command) -> str | None:
    """What a program prints; None where it is not installed. Raises subprocess.TimeoutExpired, OSError."""
    program = shutil.which(command[0], path=_WHERE)
    if program is None:
        return None
    child = subprocess.Popen(
        [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        out, _ = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()  # not waited for: a command that hangs in the device's driver may not die
        raise
    return out.decode(errors="replace")


#: They are tools of the administrator, and not on everybody's PATH.
_WHERE = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def wear_of(disk: str, ask: Callable[[Command], str | None] = run) -> Wear:
    """The wear of a disk such as `nvme0n1` or `sda`. Never raises."""
    if not disk.startswith(("nvme", "sd")):
        return Wear(problem="only NVMe, SATA and SAS devices do")
    asked = []
    for command, read in _SOURCES:
        if command[0] == "nvme" and not disk.startswith("nvme"):
            continue
        try:
            text = ask([*command, f"/dev/{disk}"])
            answer = json.loads(text) if text else None
        except (ValueError, OSError, subprocess.TimeoutExpired) as error:
            asked.append(f"{command[0]} gave no answer ({type(error).__name__})")
            continue
        if text is None:
            continue
        found = read(answer) if isinstance(answer, Mapping) else None
        if found is not None:
            return attrs.evolve(found, source=command[0])
        asked.append(f"{command[0]} could not read it (it needs root)")
    return Wear(problem="; ".join(asked) or "neither smartctl nor nvme is installed")


def _smartctl(answer: Mapping[str, Any]) -> Wear | None:
    nvme = answer.get("nvme_smart_health_information_log")
    if isinstance(nvme, Mapping):
        units = _int(nvme.get("data_units_written"))
        return Wear(
            used_percent=_int(nvme.get("percentage_used")),
            written_bytes=None if units is None else units * NVME_UNIT_BYTES,
            media_errors=_int(nvme.get("media_errors")),
            warning=_warning(nvme.get("critical_warning")),
        )
    pages = answer.get("ata_device_statistics")
    statistics = {
        entry.get("name"): _int(entry.get("value"))
        for page in (pages.get("pages") or () if isinstance(pages, Mapping) else ())
        for entry in page.get("table") or ()
    }
    used = statistics.get("Percentage Used Endurance Indicator")
    sectors = statistics.get("Logical Sectors Written")
    passed = (answer.get("smart_status") or {}).get("passed")
    if used is None and sectors is None and passed is None:
        return None
    return Wear(
        used_percent=used,
        written_bytes=None if sectors is None else sectors * (_int(answer.get("logical_block_size")) or 512),
        warning=None if passed is None else not passed,
    )


def _nvme(answer: Mapping[str, Any]) -> Wear | None:
    used = answer.get("percent_used", answer.get("percentage_used"))
    units = _int(answer.get("data_units_written"))
    if used is None and units is None:
        return None
    return Wear(
        used_percent=_int(used),
        written_bytes=None if units is None else units * NVME_UNIT_BYTES,
        media_errors=_int(answer.get("media_errors")),
        warning=_warning(answer.get("critical_warning")),
    )


def _int(value: Any) -> int | None:
    """nvme-cli writes numbers of 128 bits as text."""
    if isinstance(value, str):
        digits = value.replace(",", "").replace(".", "")
        return int(digits) if digits.isdigit() else None
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _warning(value: Any) -> bool | None:
    if isinstance(value, Mapping):  # newer versions of nvme-cli spell out the bits under `value`
        value = value.get("value")
    number = _int(value)
    return None if number is None else bool(number)


_SOURCES: tuple[tuple[Command, Callable[[Mapping[str, Any]], Wear | None]], ...] = (
    # A disk that sleeps is left asleep.
    (("smartctl", "--json=c", "--nocheck=standby", "-i", "-H", "-A", "-l", "devstat"), _smartctl),
    (("nvme", "smart-log", "--output-format=json"), _nvme),
)
