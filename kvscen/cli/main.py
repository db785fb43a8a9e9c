"""The command line. A verb's module is imported only when it is used, so that `kvscen --help` stays light."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

import kvscen

#: verb -> (module under kvscen.cli, one line of help). The module has a click command named `command`.
VERBS = {
    "new": ("new", "Write a first scenario: commented, correct, done in about a minute."),
    "run": ("run", "Run a scenario and write its tables."),
    "plan": ("plan", "Show what a run would do: points, bytes, space and time. Runs nothing."),
    "size": ("size", "Show how large the blocks of a model's KV are, exactly and as KVBench has it."),
    "predict": ("predict", "Predict from a trace what a cache of each capacity would hit."),
    "explain": ("explain", "Say what a code, a setting, a measure or another word means."),
    "lint": ("lint", "Check scenario files."),
    "fmt": ("fmt", "Format scenario files: one layout, without options."),
    "lsp": ("lsp", "Serve an editor: problems while you type, completion, hover, rename."),
    "import": ("imports", "Read a trace, or make a scenario from the files of another tool."),
    "show": ("show", "Print a run's table again."),
    "export": ("exports", "Write a run's results in the form of another program: MLPerf Storage's kv-cache.py."),
    "serve": ("serve", "Run a driver's own server, for tiers on other machines."),
    "doctor": ("doctor", "Find what on this machine would spoil a measurement."),
    "completion": ("completion", "Print a script that teaches bash, zsh or fish to complete all this."),
    "drivers": ("drivers", "List the drivers: what is installed, what can run here and why not."),
}


#: The exit code of a command that Ctrl-C has ended; `run` ends its trial first.
INTERRUPTED = 130


#: Verbs that read scenarios and end. What they make is many objects and hardly any garbage: looking for that, also at
#: the end, took about a fifth of their time.
_BRIEF = ("lint", "fmt", "plan")


class _Verbs(click.Group):
    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        if args is None:  # not given by somebody in whose process we are
            from kvscen.cli.arrow import as_program

            as_program()
            if sys.argv[1:2] and sys.argv[1] in _BRIEF:
                gc.set_threshold(500_000, 20, 20)
                atexit.register(gc.freeze)
        return super().main(args, *more, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command = importlib.import_module(f"kvscen.cli.{VERBS[name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; the commands are {', '.join(VERBS)}"
            raise click.UsageError(f"no command is called `{args[0]}`{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kvscen.__version__, prog_name="kvscen")
def main() -> None:
    """Measure how fast KV-cache blocks move between tiers, from a scenario file.

    A first run: kvscen run scenarios/llama70b.kvs
    """
