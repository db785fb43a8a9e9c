"""What a shell offers behind TAB. Nothing here prints or raises, and what takes long to import is imported late."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def _items(words: Iterable[str], begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(begun)]


def explained_words(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `kvscen explain` knows."""
    from kvscen.explain import groups, words

    return _items((*groups(), *words()), begun)


def models(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The models of the catalogue."""
    from kvscen.language.define import catalogue_names

    return _items(catalogue_names(), begun)


def drivers(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The installed drivers."""
    from kvscen.plugin.registry import registry

    return _items(registry().names(), begun)


def drivers_of_a_first_scenario(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The drivers that `kvscen new` knows, for what it is about as far as that is said."""
    from kvscen.starter.choices import drivers_for

    return _items(drivers_for(ctx.params.get("about") or "blocks"), begun)


def questions(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `kvscen new` can be about."""
    from kvscen.starter.choices import ABOUTS

    return _items(ABOUTS, begun)


def scenarios(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The scenario files of a folder, and the folders in it."""
    return _items(_files(begun, (".kvs",)), begun)


def scenarios_and_models(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `kvscen size` takes."""
    return [*_items(_files(begun, (".kvs", ".json")), begun), *models(ctx, parameter, begun)]


def scenarios_and_traces(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `kvscen predict` takes."""
    return _items(_files(begun, (".kvs", ".jsonl", ".json", ".csv", ".parquet", ".gz")), begun)


def _files(begun: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The files with such an ending in the folder that `begun` leads to, and the folders in it, as they are written."""
    folder = begun[: begun.rfind("/") + 1]
    with contextlib.suppress(OSError):
        for entry in sorted(Path(folder or ".").expanduser().iterdir()):
            if entry.name.startswith(".") and not begun.removeprefix(folder).startswith("."):
                continue
            if entry.is_dir():
                yield f"{folder}{entry.name}/"
            elif entry.name.endswith(suffixes):
                yield folder + entry.name


def sweeps(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The sweeps of the scenario that the command names."""
    from kvscen.language.diagnose import Source
    from kvscen.language.files import read_source
    from kvscen.language.parse import parse
    from kvscen.language.syntax import Block

    names: list[str] = []
    for scenario in _scenarios_of(ctx):
        source = read_source(scenario)
        if isinstance(source, Source):
            blocks = [item for item in parse(source)[0].items if isinstance(item, Block)]
            names += [block.name.name for block in blocks if block.kind == "sweep"]
    return _items(names, begun)


def pins(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `--set` can fix in the scenario that the command names: `dir=`, `pages.`, then `pages.requests=`."""
    return _items(dict.fromkeys(_paths(ctx, begun)), begun)


def _paths(ctx: click.Context, begun: str) -> Iterator[str]:
    from kvscen.language.blocks import SweepSettings
    from kvscen.language.define import define
    from kvscen.language.diagnose import Source
    from kvscen.language.files import read_source
    from kvscen.language.schema import settings_of
    from kvscen.language.use import load
    from kvscen.plugin.registry import registry

    block, dot, _ = begun.partition(".")
    for scenario in _scenarios_of(ctx):
        source = read_source(scenario)
        if not isinstance(source, Source):
            continue
        loaded = load(source, scenario.parent)
        definitions = define(loaded, registry())
        own = [item for document in (loaded.own, *loaded.used) for item in document.items]
        names = [item.name.name for item in own if hasattr(item, "name")]
        if not dot:
            yield from (f"{name}=" if name in definitions.lets else f"{name}." for name in names)
        elif block in definitions.built_ins:
            yield from (f"{block}.{name}=" for name in settings_of(definitions.built_ins[block].declaration))
        elif block in names:
            yield from (f"{block}.{name}=" for name in settings_of(SweepSettings))


def _scenarios_of(ctx: click.Context) -> Iterator[Path]:
    """The scenarios among the words before the one that is completed."""
    # Where an option has no value yet, click leaves the arguments unread.
    given = [ctx.params.get("scenario"), *(ctx.params.get("what") or ()), *ctx.args]
    for word in given:
        if str(word).endswith(".kvs") and Path(str(word)).is_file():
            yield Path(str(word))
