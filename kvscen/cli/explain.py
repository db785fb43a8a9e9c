"""`kvscen explain [WORD]...`: what a word of a scenario, a diagnostic or a table means."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

from kvscen.cli.complete import explained_words
from kvscen.cli.loading import USAGE

#: Wider lines are hard to read, whatever the terminal is.
_WIDEST = 110


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...", shell_complete=explained_words)
def command(words: Sequence[str]) -> None:
    """Say what a word means: the code of a diagnostic, a kind of block, a setting (`batch`, `tier.path`,
    `posix.direct`), a driver, a model, a function, a unit, a measure, a status, or a column of the tables.

    Without WORD: what can be asked. The exit code is 0, or 2 where a word means nothing.
    """
    from kvscen.explain import groups, is_long, meanings, near
    from kvscen.explain.render import explain, group_list, overview

    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    grouped = groups()
    if not words:
        click.echo(overview(grouped, filter(is_long, grouped), width), nl=False)
        return
    # `kvscen explain columns of drivers` asks for one thing, and needs no quotes.
    asked = [" ".join(words)] if " ".join(words) in grouped else list(words)
    unknown = False
    for number, word in enumerate(asked):
        found = meanings(word)
        if not found and word not in grouped:
            close = near(word)
            hint = f"did you mean `{close}`?" if close else "without a word it lists what can be asked: kvscen explain"
            click.echo(f"error: `{word}` means nothing to kvscen\n  help: {hint}", err=True)
            unknown = True
            continue
        if number:
            click.echo()
        if word in grouped:
            click.echo(group_list(word, grouped[word], width), nl=False)
        if found:
            click.echo(("\n" if word in grouped else "") + explain(word, found, width), nl=False)
    if unknown:
        sys.exit(USAGE)
