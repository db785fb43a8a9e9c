"""What a first scenario is about: its question, its model, its tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.language.suggest import did_you_mean, listed
from kvscen.language.values import format_value

#: What can be asked, and how `kvscen new` asks it.
ABOUTS: Mapping[str, str] = {
    "blocks": "how fast is a tier, by the size of a block?",
    "model": "how fast is the KV of a model stored and loaded?",
    "compare": "which of two tiers is faster, and by how much?",
    "cache": "what does a cache find when users converse, or a trace is replayed, and how fast is it?",
    "network": "how fast is a key-value store behind the network?",
}
#: Those that are about a model, if nothing else is said.
_OF_A_MODEL = ("model", "cache")
DEFAULT_MODEL = "llama3_1_8b"
DEFAULT_PATH = "./kv-data"


@attrs.frozen
class TierForm:
    """How a tier of a driver is written. `name` is what it is called; `place` the setting that takes a folder
    (`path`), or an address."""

    name: str
    about: str
    place: str | None = None
    address: str | None = None
    fixed: str = ""
    comment: str = ""


#: The drivers that a first scenario can have.
TIERS: Mapping[str, TierForm] = {
    "posix": TierForm(
        "disk",
        "a folder on a local or mounted file system",
        "path",
        fixed="direct = true",
        comment="direct: past the page cache, to the device",
    ),
    "memory": TierForm("dram", "host memory"),
    "sim": TierForm(
        "computed",
        "computed, on a virtual clock: what such a device would give",
        fixed="bandwidth = 12 GB/s; latency = 80 us; parallelism = 64",
        comment="these three are the device",
    ),
    "nixl": TierForm("nixl_disk", "a folder, by NIXL's agent", "path"),
    "gds": TierForm("gpu_direct", "a folder, by cuFile (GPUDirect Storage)", "path"),
    "gpu": TierForm("hbm", "the memory of a GPU"),
    "memkv": TierForm("kv", "kvscen's own key-value servers, over TCP", address="endpoints"),
    "redis": TierForm("redis_kv", "a Redis or Valkey server", address="endpoint"),
    "mooncake": TierForm("mooncake_kv", "a Mooncake store", address="master"),
}
STORES = tuple(name for name, form in TIERS.items() if form.address)
#: What can stand below host memory in a cache.
CACHE_TIERS = ("posix", "memory", "sim", "nixl", *STORES)


class ChoiceError(Exception):
    """What was chosen does not go together. `remedy` says what does."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@attrs.frozen
class TierChoice:
    """A driver, with the folder or the address that was given for it."""

    driver: str
    place: str | None = None

    @property
    def form(self) -> TierForm:
        return TIERS[self.driver]


@attrs.frozen
class Choice:
    """`model`: a model of the catalogue, None: plain blocks. Of a cache `tiers` are those below host memory; `trace`
    is what it replays, None: users who converse."""

    about: str
    model: str | None
    tiers: tuple[TierChoice, ...]
    trace: str | None = None


def drivers_for(about: str) -> tuple[str, ...]:
    """The drivers that go with a question, the usual one first."""
    return {"network": STORES, "cache": CACHE_TIERS}.get(about, tuple(TIERS))


def default_model(about: str, trace: str | None = None) -> str | None:
    return DEFAULT_MODEL if about in _OF_A_MODEL and trace is None else None


def chosen(
    about: str,
    model: str | None = None,
    drivers: Sequence[str] = (),
    paths: Sequence[str] = (),
    endpoints: Sequence[str] = (),
    trace: str | None = None,
) -> Choice:
    """The choice that these words make; what is not said is the usual. `model` is `none` or a name of the catalogue.
    Raises ChoiceError."""
    if about not in ABOUTS:
        raise ChoiceError(
            f"no scenario is about `{about}`", did_you_mean(about, ABOUTS, f"they are about {listed(ABOUTS)}")
        )
    if trace is not None and about != "cache":
        raise ChoiceError("--trace is replayed by a cache", f"add --about cache, or leave out --trace {trace}")
    known = drivers_for(about)
    many = 2 if about == "compare" else 1
    asked = tuple(drivers) or known[:many]
    for driver in asked:
        if driver not in known:
            can = f"here it can be {listed(known)}; docs/drivers.md and `kvscen drivers {driver}` help to write another"
            raise ChoiceError(f"`kvscen new` writes no tier of `{driver}` here", did_you_mean(driver, known, can))
    if len(asked) > 3 or (len(asked) != many and about != "cache"):
        raise ChoiceError(
            f"{many} tier{'s' if many > 1 else ''} make this comparison, not {len(asked)}"
            if many > 1
            else f"one tier is measured here, not {len(asked)}",
            "to compare two: --about compare --tier A --tier B",
        )
    if model == "none" and about == "model":
        raise ChoiceError("a scenario about a model needs one", f"name one of the catalogue: --model {DEFAULT_MODEL}")
    named = default_model(about, trace) if model is None else None if model == "none" else _catalogued(model)
    return Choice(about, named, _placed(asked, paths, endpoints), trace)


def _catalogued(model: str) -> str:
    from kvscen.language.define import catalogue_names
    from kvscen.language.published import catalogue_name

    name = catalogue_name(model)
    known = catalogue_names()
    if name not in known:
        there = f"the models are {listed(known)}: kvscen explain models"
        raise ChoiceError(f"no model of the catalogue is called `{model}`", did_you_mean(name, known, there))
    return name


def _placed(drivers: Sequence[str], paths: Sequence[str], endpoints: Sequence[str]) -> tuple[TierChoice, ...]:
    """The drivers with their folders and addresses, in turn."""
    left = {"path": list(paths), "address": list(endpoints)}
    placed = []
    for driver in drivers:
        form = TIERS[driver]
        given = left["path"] if form.place else left["address"] if form.address else []
        place = given.pop(0) if given else DEFAULT_PATH if form.place else None
        placed.append(TierChoice(driver, place))
    for flag, rest, takes in (("--path", left["path"], "a folder"), ("--endpoint", left["address"], "an address")):
        if rest:
            raise ChoiceError(
                f"{flag} {rest[0]}: no tier here takes {takes}", f"leave it out; the tiers are {listed(drivers)}"
            )
    return tuple(placed)


def place_setting(tier: TierChoice, folder: str) -> str:
    """The setting that says where a tier is, `folder` being how its path is written; empty where it says nothing."""
    if tier.form.place:
        return f"{tier.form.place} = {folder}"
    if tier.form.address and tier.place:
        address = format_value(tier.place)
        return f"{tier.form.address} = {f'[{address}]' if tier.driver == 'memkv' else address}"
    return ""
