"""`kvscen serve`: the server that a driver brings with it."""

from __future__ import annotations

import difflib

import click

from kvscen.cli.loading import fail


class _Servers(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_servers())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = _servers()
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            fail(
                f"no driver `{name}` brings a server",
                f"did you mean `{close[0]}`?" if close else f"those of {', '.join(sorted(found))} do",
            )
        return found[name]


def _servers() -> dict[str, click.Command]:
    from kvscen.plugin.registry import PluginError, registry

    found: dict[str, click.Command] = {}
    for name in registry().names():
        try:
            server = registry().driver(name).server()
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
            continue
        if server is not None:
            found[name] = server
    return found


@click.group("serve", cls=_Servers)
def command() -> None:
    """Run the server that a driver brings with it, for tiers on other machines. Ctrl-C ends it."""
