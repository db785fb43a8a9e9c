"""The machine as a whole: what it is, whether it is virtual or a container, its kernel, network cards and GPUs."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import attrs

from kvscen.facts.files import Files, fields

#: How long nvidia-smi may take.
GPU_PATIENCE_S = 4.0


@attrs.frozen
class Host:
    """`virtual` is whether the processor says that it runs under a hypervisor; `container` names the kind of container,
    where one can be told; `wsl` is the Windows Subsystem for Linux."""

    product: str | None = None
    maker: str | None = None
    virtual: bool | None = None
    container: str | None = None
    wsl: bool | None = None
    kernel: str | None = None
    kernel_version: tuple[int, int] | None = None


@attrs.frozen
class Card:
    name: str
    state: str | None = None
    speed_mbit_per_s: int | None = None
    mtu_bytes: int | None = None
    driver: str | None = None
    numa_node: int | None = None
    rdma: tuple[str, ...] = ()


def host(files: Files) -> Host:
    flags = fields(files.lines("/proc/cpuinfo")).get("flags", "").split()
    release = files.read("/proc/sys/kernel/osrelease")
    numbers = re.match(r"(\d+)\.(\d+)", release or "")
    return Host(
        product=files.read("/sys/class/dmi/id/product_name"),
        maker=files.read("/sys/class/dmi/id/sys_vendor"),
        virtual="hypervisor" in flags if flags else None,
        container=_container(files),
        wsl=None if release is None else "microsoft" in release.lower(),
        kernel=release,
        kernel_version=(int(numbers[1]), int(numbers[2])) if numbers else None,
    )


def _container(files: Files) -> str | None:
    if files.exists("/run/.containerenv"):
        return "podman"
    if files.exists("/.dockerenv"):
        return "docker"
    named = files.read("/run/systemd/container")
    if named:
        return named
    groups = files.read("/proc/1/cgroup") or ""
    return next((kind for kind in ("kubepods", "docker", "lxc", "containerd") if kind in groups), None)


def network(files: Files) -> tuple[Card, ...]:
    """The cards that are devices, not those that are only software."""
    cards = []
    for card in files.found("/sys/class/net", "*"):
        if not files.exists(card / "device"):
            continue
        speed = files.number(card / "speed")
        driver = files.link(card / "device/driver")
        cards.append(
            Card(
                name=card.name,
                state=files.read(card / "operstate"),
                speed_mbit_per_s=speed if speed and speed > 0 else None,
                mtu_bytes=files.number(card / "mtu"),
                driver=driver.name if driver else None,
                numa_node=files.number(card / "device/numa_node"),
                rdma=tuple(device.name for device in files.found(card / "device/infiniband", "*")),
            )
        )
    return tuple(cards)


_GPU_FIELDS = {
    "index": "index",
    "name": "name",
    "uuid": "uuid",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "pci": "pci.bus_id",
    "pcie_generation": "pcie.link.gen.current",
    "pcie_width": "pcie.link.width.current",
}


def gpus() -> Any:
    """One entry for each GPU that nvidia-smi lists. Nothing is imported: a GPU library may hang for ever."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    process = subprocess.Popen(
        [program, f"--query-gpu={','.join(_GPU_FIELDS.values())}", "--format=csv,noheader,nounits"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=GPU_PATIENCE_S)
    except subprocess.TimeoutExpired:
        # Not waited for: a process that hangs in the GPU's driver may not die.
        process.kill()
        return {"problem": "nvidia-smi did not answer"}
    if process.returncode != 0:
        return {"problem": f"nvidia-smi: {output.strip().splitlines()[0] if output.strip() else process.returncode}"}
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line.strip()]
    return [dict(zip(_GPU_FIELDS, row, strict=False)) for row in rows]
