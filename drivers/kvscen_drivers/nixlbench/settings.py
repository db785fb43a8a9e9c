"""The settings of a tier of the driver `nixlbench`: every flag that the pattern does not say, and some of kvscen's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import attrs

from kvscen.plugin import (
    Count,
    Finding,
    Flag,
    ListOf,
    PathText,
    SettingType,
    Size,
    String,
    Word,
    setting,
)
from kvscen_drivers.nixl_backends import BackendName
from kvscen_drivers.nixlbench.flags import ETCD_ENDPOINT, FLAGS, NETWORK, STORAGE, FlagInfo

#: Flags whose setting has no default of its own: kvscen works the value out. What the value comes to, for people.
WORKED_OUT: Mapping[str, str] = {
    "total_buffer_size": "threads x batch x block",
    "num_iter": "what the sweep's `operations` or `time` come to; nixlbench's own is 1000",
    "warmup_iter": "what the sweep's `warmup` comes to; 100 with `num_iter`",
    "large_blk_iter_ftr": "1, and nixlbench's own 16 with `num_iter`",
    "runtime_type": "none for storage; else ETCD where `etcd_endpoints` is given or more than two processes run, ASIO",
    "benchmark_group": "a new one for each run",
    "asio_port": "a free one for each run",
}
#: Flags that name a file or a folder.
PATHS = frozenset({"filepath", "config_file", "infinia_config_file", "obj_ca_bundle"})
#: How a backend that nixlbench knows is written, and any other plugin.
BACKEND = BackendName(*STORAGE, *NETWORK)
_FROM_ZERO = frozenset({"warmup_iter", "progress_threads", "obj_crt_min_limit"})


def kind_of(flag: FlagInfo) -> SettingType:
    """How the language spells a flag's value."""
    if flag.name == "backend":
        return BACKEND
    if flag.name in PATHS:
        return PathText()
    if flag.name == "total_buffer_size":
        return Size(minimum=1)
    if flag.name == "asio_port":
        return Count(1, 65535)
    if flag.type == "bool":
        return Flag()
    if flag.choices:
        return Word(*flag.choices)
    if flag.type == "string":
        return String()
    least = 0 if flag.name in _FROM_ZERO else 1
    return Count(least, 2**31 - 1 if flag.type == "int32" else 2**63 - 1)


def _default(flag: FlagInfo) -> Any:
    if flag.name in WORKED_OUT or (flag.type == "string" and not flag.default):
        return None
    if flag.type == "bool":
        return flag.default == "true"
    return flag.default if flag.type == "string" else int(flag.default)


def _help(flag: FlagInfo) -> str:
    """The help, with the name of the backend that a flag is for and what its value is worked out from."""
    of = f"{'/'.join(flag.of)}: " if flag.of else ""
    worked_out = f" (default: {WORKED_OUT[flag.name]})" if flag.name in WORKED_OUT else ""
    return f"{of}{flag.help}{worked_out}"


class _Checked:
    """What the settings have to say about each other. The attributes are those of NixlbenchSettings below."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """attrs makes the attributes from the table of flags."""

    def check(self) -> Iterator[Finding]:
        yield from self._check_processes()
        yield from self._check_files()
        if self.prepared_xfer and self.reregister_mem:
            yield Finding(
                "KVS114",
                "nixlbench cannot prepare requests whose memory is registered anew",
                "prepared_xfer",
                "keep `prepared_xfer` or `reregister_mem`",
            )
        for word in self.flags or ():
            name, equals, _ = word.removeprefix("--").partition("=")
            if not word.startswith("--") or not equals or not name.isidentifier():
                yield Finding("KVS105", f'"{word}" is no flag', "flags", 'write each as "--name=value"')
            elif name in FLAGS:
                said = FLAGS[name].said_by
                where = f"the pattern's `{said}` says it" if said else f"write `{name} = ...`"
                yield Finding("KVS114", f"`{name}` is a setting of its own", "flags", where)
        for word in self.env or ():
            if not word.partition("=")[0].isidentifier() or "=" not in word:
                yield Finding("KVS105", f'"{word}" sets no variable', "env", 'write each as "UCX_TLS=tcp"')

    def _check_processes(self) -> Iterator[Finding]:
        if storage(self):
            if self.start == "first":
                yield Finding("KVS114", "a storage backend is one process: there is no other one", "start")
            return
        if self.runtime_type == "ASIO" and processes(self) != 2:
            yield Finding(
                "KVS114",
                f"ASIO is for two processes, and these settings ask for {processes(self)}",
                "runtime_type",
                "use `runtime_type = ETCD`, or `num_initiator_dev = 1` and `num_target_dev = 1`",
            )
        if self.start == "first":
            met = "benchmark_group" if runtime(self) == "ETCD" else "asio_port"
            if getattr(self, met) is None:
                yield Finding(
                    "KVS113",
                    f"the other processes must know where to meet: set `{met}`",
                    "start",
                    f"add `{met} = ...`",
                )

    def _check_files(self) -> Iterator[Finding]:
        in_files = storage(self) and STORAGE.get(self.backend, True)
        if STORAGE.get(self.backend) and self.filepath is None:
            yield Finding(
                "KVS113",
                f"{self.backend} needs `filepath`: the folder on the file system under test",
                "backend",
                'add `filepath = "./kv-data"`; each run gets a folder of its own in it',
            )
        names = self.filenames.split(",") if self.filenames else []
        if names and len(names) != self.num_files:
            yield Finding(
                "KVS114",
                f"`filenames` has {len(names)} names and `num_files` is {self.num_files}",
                "filenames",
                f"set `num_files = {len(names)}`",
            )
        if in_files and any(not name or name in (".", "..") or PurePath(name).name != name for name in names):
            yield Finding(
                "KVS114",
                "`filenames` leads out of the folder of the run, and nixlbench writes over what is there",
                "filenames",
                "give names without `/`: they lie in a folder of their own below `filepath`",
            )

    def complete(self) -> Any:
        """Without what is for other backends, and with the runtime by which the processes meet."""
        done: dict[str, Any] = {
            field_of(flag): None
            for flag in FLAGS.values()
            if flag.said_by is None and flag.of and self.backend not in flag.of
        }
        done["storage"] = storage(self)
        done["runtime_type"] = runtime(self)
        if done["runtime_type"] != "ASIO":
            done |= {"asio_address": None, "asio_port": None}
        if done["runtime_type"] != "ETCD":
            done["benchmark_group"] = None
        if done["storage"]:
            done |= {"start": None, "target_seg_type": None}
        else:
            done |= {"filepath": None, "filenames": None, "num_files": None, "storage_enable_direct": None}
        return attrs.evolve(self, **done)  # type: ignore[misc]


def storage(settings: Any) -> bool:
    """Whether the backend keeps data by itself: one process and no peer. A plugin that nixlbench does not know is taken
    for a network, as nixlbench takes it."""
    return bool(settings.storage) if settings.storage is not None else settings.backend in STORAGE


def processes(settings: Any) -> int:
    """How many processes nixlbench waits for."""
    if storage(settings):
        return 1
    return 2 if settings.mode == "MG" else int(settings.num_initiator_dev + settings.num_target_dev)


def runtime(settings: Any) -> str | None:
    """How the processes meet; None where there is one alone."""
    if storage(settings):
        return "ETCD" if settings.etcd_endpoints else None
    if settings.runtime_type is not None:
        return str(settings.runtime_type)
    return "ETCD" if settings.etcd_endpoints or processes(settings) != 2 else "ASIO"


def endpoint(settings: Any) -> str:
    return settings.etcd_endpoints or ETCD_ENDPOINT


def field_of(flag: FlagInfo) -> str:
    """The attribute that holds a flag's value."""
    return flag.name + kind_of(flag).suffix


_OWN = {
    "program": setting(PathText(), default="nixlbench", help="the program: a name that is looked up, or a path"),
    "invocation": setting(
        Word("axis", "point"),
        default="axis",
        help="axis: points that nixlbench's doubling of block and batch reaches are rows of one run; point: each alone",
    ),
    "storage": setting(
        Flag(),
        default=None,
        help="whether the backend keeps data by itself, without a peer; default: as nixlbench knows it, else false",
    ),
    "start": setting(
        Word("all", "first"),
        default="all",
        help="processes that kvscen starts here; first: the others are started elsewhere, by the same command line",
    ),
    "env": setting(ListOf(String()), default=None, help='variables of the program\'s environment: ["UCX_TLS=tcp"]'),
    "flags": setting(
        ListOf(String()), default=None, help='flags that a plugin or another version adds: ["--name=value"]'
    ),
}

NixlbenchSettings: Any = attrs.make_class(
    "NixlbenchSettings",
    {
        **{
            field_of(flag): setting(kind_of(flag), default=_default(flag), help=_help(flag))
            for flag in FLAGS.values()
            if flag.said_by is None
        },
        **_OWN,
    },
    bases=(_Checked,),
    frozen=True,
)
NixlbenchSettings.__doc__ = "Settings of a tier of the driver `nixlbench`: a flag has the name that it has there."
NixlbenchSettings.__module__ = __name__
