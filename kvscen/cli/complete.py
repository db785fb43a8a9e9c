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
