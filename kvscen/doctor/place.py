"""Checks of a path: the folder, its file system, its space."""

from __future__ import annotations

from kvscen.doctor.case import Place
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.facts.storage import Device
from kvscen.report.numbers import show_one

_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "glusterfs", "gpfs", "beegfs", "afs", "ocfs2", "gfs2", "wekafs"}
)
_HOSTS = frozenset({"9p", "virtiofs", "vboxsf", "vmhgfs", "drvfs"})
_FULL_SHARE = 0.9


def folder(place: Place) -> Finding:
    """Whether there is one, or can be."""
    files = place.files
    if not files.exists:
        parent = files.real_path.rpartition("/")[0] or "/"
        if files.seen != parent:
            return problem(
                f"it cannot be made: {parent} does not exist",
                "kvscen makes the last folder of a path, and takes a missing parent for a disk that is not mounted",
                "make it, or mount the disk that should be there",
                f"mkdir -p {parent}",
                prevents=True,
            )
    elif not files.folder:
        return problem("it is a file", "a tier needs a folder", "choose another path", prevents=True)
    if "ro" in _options(place):
        return problem(
            f"{files.mount_point} is mounted read-only",
            "data must be written before it can be read",
            "mount it writable",
            f"sudo mount -o remount,rw {files.mount_point}",
            prevents=True,
        )
    if not files.writable:
        return problem(
            f"no permission to write in {files.seen}",
            "data must be written before it can be read",
            "choose a folder of your own" + ("" if files.exists else ", or have this one made for you"),
            "" if files.exists else f"sudo install -d -o $USER {files.real_path}",
            prevents=True,
        )
    return ok(f"it can be made in {files.seen}" if not files.exists else files.real_path)


def file_system(place: Place) -> Finding | None:
    files = place.files
    kind = files.type
    if kind is None:
        return None
    named = f"{kind} on {files.device.name}" if files.device else kind
    if kind in _MEMORY:
        return problem(
            f"{kind}: its files are memory",
            "no device takes part: figures are those of copying memory, even with O_DIRECT",
            "choose a folder on the device that is to be measured",
        )
    if kind == "overlay":
        return problem(
            f"{named}, as containers have for their root",
            "a file of a lower layer is copied whole at its first write, and each call passes a second file system",
            "mount a volume into the container and use a folder on it",
            "docker run --volume /mnt/nvme:/data ...",
        )
    if kind in NETWORK:
        return note(
            named,
            "the figures are those of the network and the server, whose memory may answer instead of its disks",
            "use a `working_set` of more than twice the server's memory",
        )
    if kind in _HOSTS:
        return problem(
            f"{named}: a folder of the host",
            "each call goes through the host's file system and its page cache",
            "use a disk of the virtual machine's own",
        )
    if kind.startswith("fuse"):
        return problem(
            named,
            "each call goes through a program in user space, which may keep a cache of its own",
            "choose a folder on the file system below it, unless this is what is to be measured",
        )
    if kind == "zfs":
        return note(
            named,
            "it has a cache of its own (ARC), which serves direct I/O too, always so before version 2.3",
            "use version 2.3 or newer, and make reads bypass the cache",
            f"sudo zfs set direct=always primarycache=metadata {files.source}",
        )
    return ok(named)


def mount_options(place: Place) -> Finding | None:
    options = _options(place)
    if not options:
        return None
    mounted = place.files.mount_point
    remount = "sudo mount -o remount,{} " + str(mounted)
    for option in ("sync", "dirsync"):
        if option in options:
            return problem(
                option, "each write waits until it is durable", f"mount without `{option}`", remount.format("async")
            )
    compressed = next((o for o in options if o.startswith(("compress", "compression")) and not o.endswith("=no")), None)
    if compressed:
        return problem(
            compressed,
            "compressed files go through the page cache, and the device moves other bytes than were asked for",
            "use a folder without compression",
            _made(place, "btrfs property set {} compression none"),
        )
    if "data=journal" in options:
        return problem(
            "data=journal",
            "all data is written twice, and direct I/O is served from the page cache",
            "mount with `data=ordered` (needs an unmount)",
        )
    loose = next((o for o in options if o in ("nobarrier", "barrier=0")), None)
    if loose:
        return note(
            loose,
            "fsync does not flush the device's cache: durable writes look faster than they are",
            "mount with barriers",
        )
    if "discard" in options and place.files.type != "btrfs":
        return note(
            "discard",
            "deleting and truncating sends TRIM to the device at once, which some devices answer slowly",
            "leave it to the weekly fstrim",
            remount.format("nodiscard"),
        )
    if place.files.type == "btrfs" and "nodatacow" not in options:
        return note(
            "copy on write, with checksums",
            "each overwrite moves the block: files fragment, and checksummed data may be read through the page cache",
            "use a folder without copy on write, made before anything is in it",
            _made(place, "chattr +C {}"),
        )
    return ok(",".join(options))


def encryption(place: Place) -> Finding | None:
    device = place.files.device
    if device is None:
        return None
    encrypted = next((part for part in _stack(device) if part.kind == "CRYPT"), None)
    if encrypted is None:
        return ok("no dm-crypt below it")
    return note(
        f"dm-crypt ({encrypted.model or encrypted.name})",
        "each byte is encrypted by the CPU, which may be what limits the figures",
        "say so beside the figures, or use a device without it",
    )


def direct_io(place: Place) -> Finding | None:
    aligned = place.files.direct_io_bytes
    if place.direct is False:
        return ok("not asked for")
    if aligned is None:
        if place.files.type in _MEMORY:
            return problem(
                f"none: {place.files.type} takes O_DIRECT and serves it from memory",
                "the figures would be the page cache's",
                "choose a folder on a device, or say `direct = false`",
            )
        return None
    if aligned == (0, 0):
        return problem(
            "none: statx says so",
            "the figures would be the page cache's",
            "choose another file system, or say `direct = false` or `allow_buffered = true`",
        )
    return ok(f"alignment {aligned[0]}/{aligned[1]} bytes (memory/offset) by statx")


def free_space(place: Place) -> Finding | None:
    files = place.files
    free, total = files.free_bytes, files.total_bytes
    if free is None or not total:
        return None
    found = f"{show_one(free, 'B')} of {show_one(total, 'B')} free"
    needed = place.need.disk_bytes if place.need else 0
    if needed:
        found += f", {show_one(needed, 'B')} needed"
        held = f", {show_one(files.held_bytes, 'B')} of them there" if files.held_bytes else ""
        found += held
    if place.others_bytes:
        found += f", {show_one(place.others_bytes, 'B')} more in other folders of the scenario"
    if needed + place.others_bytes > free + (files.held_bytes or 0):
        return problem(
            found,
            "the data set does not fit",
            "free some space, choose another folder, or use a smaller `working_set`",
            prevents=True,
        )
    missing = max(0, needed - (files.held_bytes or 0)) + place.others_bytes
    if 1 - (free - missing) / total > _FULL_SHARE:
        return note(
            found,
            "file systems scatter new files when they are nearly full, and SSDs have less room to move blocks",
            "keep a tenth free",
        )
    return ok(found)


def io_limits(place: Place) -> Finding | None:
    device = place.files.device
    if device is None or place.facts.limits.cgroup is None:
        return None
    numbers = {part.number for part in _stack(device)} - {None}
    limited = [limit.limit for limit in place.facts.limits.cgroup_io if limit.device in numbers]
    if not limited:
        return ok("no limit on this device")
    return problem(
        "; ".join(limited),
        "the control group slows the device down to this: it is what would be measured",
        "start the container without a limit on block I/O",
    )


def _made(place: Place, command: str) -> str:
    """A command for a new folder: it does nothing for the files of one that is there."""
    path = place.files.real_path
    return "" if place.files.exists else f"mkdir {path} && {command.format(path)}"


def _options(place: Place) -> list[str]:
    return (place.files.options or "").split(",") if place.files.options else []


def _stack(device: Device) -> list[Device]:
    """A device and all below it."""
    return [device, *(below for part in device.parts for below in _stack(part))]


CHECKS = (folder, file_system, mount_options, encryption, direct_io, free_space, io_limits)
