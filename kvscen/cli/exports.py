"""`kvscen export`: a run's results in the form of another program."""

from __future__ import annotations

import difflib
from typing import Any

import click

from kvscen.cli.loading import fail

#: What is exported -> what it is.
_FORMS = {"mlperf": "the JSON of MLPerf Storage's kv-cache.py"}


class _Exports(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_FORMS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _FORMS:
            close = difflib.get_close_matches(name, _FORMS, n=1)
            known = ", ".join(f"{form} ({what})" for form, what in _FORMS.items())
            fail(f"nothing exports `{name}`", f"did you mean `{close[0]}`?" if close else f"there is {known}")
        from kvscen.cli.export_mlperf import command as mlperf

        return mlperf


@click.command("export", cls=_Exports, subcommand_metavar="WHAT [RUN]...", no_args_is_help=True)
def command(**_: Any) -> None:
    """Write a run's results in the form of another program.

    \b
    kvscen export mlperf [RUN]      as MLPerf Storage's kv-cache.py writes them, for what reads its JSON
    kvscen export mlperf --explain  what each field means there, and which of our columns it comes from
    """
