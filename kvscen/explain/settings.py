"""Settings of blocks, the words that they take, and the built-ins that have them."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kvscen.explain.meaning import Meaning, table
from kvscen.language.blocks import BUILT_INS, SweepSettings
from kvscen.language.schema import SettingInfo, settings_of
from kvscen.plugin.contract import Driver
from kvscen.plugin.registry import PluginError, Registry

#: What the built-ins of each kind of block are called.
_BUILT_IN = {"model": "a family of models", "pattern": "a type of pattern", "users": "a type of users"}


@attrs.frozen
class Owner:
    """What has settings: a driver, a family or a type, by its name; the name of a sweep's is `sweep`."""

    kind: str
    name: str
    declaration: type


def owners(registry: Registry) -> Iterator[Owner]:
    yield Owner("sweep", "sweep", SweepSettings)
    for kind, built_ins in BUILT_INS.items():
        for name, declaration in built_ins.items():
            yield Owner(kind, name, declaration)
    for name in registry.names():
        driver = _loaded(registry, name)
        if not isinstance(driver, PluginError):
            yield Owner("tier", name, driver.settings)


def settings(all_owners: list[Owner]) -> Iterator[Meaning]:
    """One meaning for each setting; those of several owners that are declared alike are one."""
    alike: dict[tuple[str, str, str, str], list[Owner]] = {}
    infos: dict[tuple[str, str, str, str], SettingInfo] = {}
    for owner in all_owners:
        for info in settings_of(owner.declaration).values():
            key = (owner.kind, info.name, info.help, _value(info))
            alike.setdefault(key, []).append(owner)
            infos[key] = info
    for (kind, name, help_text, value), having in alike.items():
        info = infos[kind, name, help_text, value]
        qualified = [f"{owner.name}.{name}" for owner in having]
        base = "" if kind == "sweep" else f" : {having[0].name}"
        found = setting(info, f"a setting of {_of(kind, having)}", name if kind == "sweep" else f"NAME.{name}")
        write = ("write", f"{kind} NAME{base} {{ {name} = ... }}")
        yield attrs.evolve(
            found,
            names=tuple(dict.fromkeys([name, *qualified, f"{kind}.{name}"])),
            facts=(write, *found.facts, ("from the shell", f"--set NAME.{name}=...")),
            see=tuple(f"kvscen explain {owner.name}" for owner in having[:1]),
        )


def setting(info: SettingInfo, what: str, path: str) -> Meaning:
    """One setting; `what` says whose, `path` how a sweep writes it."""
    facts = (
        ("value", info.type.describe()),
        ("default", _default(info)),
        ("as an axis", f"{path} in [...]" if info.varies else "no: it cannot vary"),
    )
    return Meaning("settings", (info.name,), what, info.help, facts=facts)


def words(all_owners: list[Owner]) -> Iterator[Meaning]:
    """What a setting takes as a bare word."""
    found: dict[str, dict[tuple[str, str], dict[str, list[Owner]]]] = {}
    for owner in all_owners:
        for info in settings_of(owner.declaration).values():
            for word in info.type.words:
                found.setdefault(word, {}).setdefault((owner.kind, info.name), {}).setdefault(info.help, []).append(
                    owner
                )
    for word, places in found.items():
        rows = [
            (f"{name} = {word}", f"{_of(kind, having)}: {help_text}")
            for (kind, name), helps in places.items()
            for help_text, having in helps.items()
        ]
        names = ", ".join(dict.fromkeys(f"`{name}`" for _, name in places))
        if len(rows) == 1:
            yield Meaning("words", (word,), f"a value of {names}", rows[0][1], (("write", rows[0][0]),))
        else:
            yield Meaning("words", (word,), "a value of several settings", names, lines=table(rows))


def built_ins() -> Iterator[Meaning]:
    for kind, named in BUILT_INS.items():
        for name in named:
            yield built_in(kind, name)


def built_in(kind: str, name: str) -> Meaning:
    """A family or a type."""
    declaration = BUILT_INS[kind][name]
    return Meaning(
        f"bases of a {kind}" if kind != "users" else "bases of users",
        (name,),
        _BUILT_IN[kind],
        _about(declaration),
        facts=(("write", f"{kind} NAME : {name} {{ ... }}"),),
        lines=setting_lines(declaration),
        see=(f"kvscen explain {name}.{next(iter(settings_of(declaration)))}",),
    )


def drivers(registry: Registry) -> Iterator[Meaning]:
    for name in registry.names():
        yield driver(registry, name)


def driver(registry: Registry, name: str) -> Meaning:
    found = _loaded(registry, name)
    if isinstance(found, PluginError):
        return Meaning("drivers", (name,), "a driver that cannot be used", f"{found}", lines=(found.remedy,))
    first = next(iter(settings_of(found.settings)), None)
    return Meaning(
        "drivers",
        (name,),
        f"a driver, of the package {registry.refs[name].distribution}: what a tier can be",
        found.summary,
        facts=(("write", f"tier NAME : {name} {{ ... }}"), ("operations", ", ".join(sorted(found.operations)))),
        lines=setting_lines(found.settings),
        see=(f"kvscen drivers {name}", *((f"kvscen explain {name}.{first}",) if first else ())),
    )


def driver_of(registry: Registry, name: str) -> Driver | None:
    driver = _loaded(registry, name)
    return None if isinstance(driver, PluginError) else driver


def setting_lines(declaration: type) -> tuple[str, ...]:
    """The settings of a declaration, a line for each."""
    rows = [(info, short_default(info)) for info in settings_of(declaration).values()]
    return table([(info.name, f"{info.help} ({default})" if default else info.help) for info, default in rows])


def _loaded(registry: Registry, name: str) -> Driver | PluginError:
    try:
        return registry.driver(name)
    except PluginError as error:
        return error


def _of(kind: str, having: list[Owner]) -> str:
    if kind == "sweep":
        return "sweeps"
    many = kind if kind == "users" else f"{kind}s"
    return f"{many} ({', '.join(owner.name for owner in having)})"


def _about(declaration: type) -> str:
    return " ".join((declaration.__doc__ or "").split("\n\n")[0].split())


def _value(info: SettingInfo) -> str:
    return f"{info.type.describe()}, {_default(info)}"


def _default(info: SettingInfo) -> str:
    if info.required:
        return "none: it must be given"
    return "as said above" if info.default is None and "(default" in info.help else (_shown(info) or "not set")


def short_default(info: SettingInfo) -> str:
    if info.required:
        return "required"
    shown = _shown(info)
    return f"default: {shown}" if shown else ""


def _shown(info: SettingInfo) -> str:
    return "" if info.default is None else info.type.show(info.default)
