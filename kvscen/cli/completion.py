"""`kvscen completion SHELL`: the script that teaches a shell to complete kvscen's words."""

from __future__ import annotations

import click

#: What is changed in click's scripts: no space behind a folder, and behind what is not yet whole (`--set dir=`).
_NO_SPACE = {
    "bash": (
        "COMPREPLY+=($value)",
        "COMPREPLY+=($value)\n            [[ $value == *[/=.] ]] && compopt -o nospace",
    ),
    "zsh": (
        'completions+=("$key")\n',
        'if [[ "$key" == *[/=.] ]]; then compadd -U -S \'\' -- "$key"; else completions+=("$key"); fi\n',
    ),
}
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, options, scenarios, sweeps, paths after --set, models and the words of
    kvscen explain.

    \b
    bash   echo 'eval "$(kvscen completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(kvscen completion zsh)"' >> ~/.zshrc
    fish   kvscen completion fish > ~/.config/fish/completions/kvscen.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    root = ctx.find_root().command
    # Its `source()` would start a shell to ask for its version.
    script = made(root, {}, "kvscen", "_KVSCEN_COMPLETE")
    text = script.source_template % script.source_vars()
    click.echo(text.replace(*_NO_SPACE.get(shell, ("", ""))) if shell in _NO_SPACE else text, nl=False)
