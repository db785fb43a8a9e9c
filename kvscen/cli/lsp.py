"""`kvscen lsp`: the language server that editors talk to."""

from __future__ import annotations

import importlib.util
import sys

import click

from kvscen.cli.loading import fail


@click.command()
@click.option("--tcp", metavar="[HOST:]PORT", help="Listen there instead of talking over stdin and stdout.")
@click.option("--stdio", is_flag=True, help="Talk over stdin and stdout: the default. Some editors add this flag.")
def command(tcp: str | None, stdio: bool) -> None:
    """Serve an editor: problems while you type, completion, hover, definitions, rename, format.

    It speaks the Language Server Protocol over stdin and stdout; an editor starts it (docs/editors.md). It needs pygls:
    pip install 'kvscen[lsp]'.
    """
    if tcp is not None and stdio:
        raise click.UsageError("--tcp and --stdio exclude each other")
    host, port = _address(tcp) if tcp is not None else ("", 0)
    if importlib.util.find_spec("pygls") is None:
        fail("the language server needs pygls, which is not installed", "pip install 'kvscen[lsp]'")
    if tcp is None and sys.stdin.isatty():
        click.echo("kvscen lsp waits for an editor on stdin (docs/editors.md); Ctrl-C ends it", err=True)
    try:
        from kvscen.lsp.server import make_server
    except ImportError as error:
        fail(f"pygls cannot be used: {error}", "pip install --upgrade 'kvscen[lsp]'")
    server = make_server()
    if tcp is None:
        server.start_io()
        return
    try:
        server.start_tcp(host, port)
    except OSError as error:
        fail(f"{host}:{port} cannot be listened on ({error.strerror or error})", "choose another port")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"--tcp takes PORT or HOST:PORT, not `{text}`")
    return host.strip("[]") or "127.0.0.1", int(port)
