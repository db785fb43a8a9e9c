"""What a shell offers behind TAB. Nothing here may print, raise or take long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def explained_words(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What `kvscen explain` knows."""
    from click.shell_completion import CompletionItem

    from kvscen.explain import groups, words

    return [CompletionItem(word) for word in (*groups(), *words()) if word.startswith(begun)]


def models(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The models of the catalogue."""
    from click.shell_completion import CompletionItem

    from kvscen.language.define import catalogue_names

    return [CompletionItem(name) for name in catalogue_names() if name.startswith(begun)]


def drivers_of_a_first_scenario(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The drivers that `kvscen new` knows, for what it is about as far as that is said."""
    from click.shell_completion import CompletionItem

    from kvscen.starter.choices import TIERS, drivers_for

    return [
        CompletionItem(name, help=TIERS[name].about)
        for name in drivers_for(ctx.params.get("about") or "blocks")
        if name.startswith(begun)
    ]
