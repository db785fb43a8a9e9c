"""Completion: a real bash offers what can follow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import VERBS, main

SCENARIO = """kvs 1
let dir = "./x"
tier disk : posix { path = dir }
pattern pages : transfer { block = 1 MiB; op = read }
sweep first { pattern = pages; tier = disk }
sweep second : first { trials = 3 }
"""


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """A folder with a scenario, and `kvscen` on the path of what runs in it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "kvscen"
    program.write_text(f'#!{sys.executable}\nfrom kvscen.cli.main import main\nmain(prog_name="kvscen")\n')
    program.chmod(0o755)
    (tmp_path / "a.kvs").write_text(SCENARIO)
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.kvs").write_text(SCENARIO)
    return tmp_path


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash(shell: Path) -> None:
    asked = {
        "explai": ["explain"],
        "run ": ["a.kvs", "bin/", "sub/"],
        "run sub/": ["sub/c.kvs"],
        "run a.kvs --res": ["--resume"],
        "run a.kvs --sweep ": ["first", "second"],
        "run a.kvs --set di": ["dir=", "disk."],
        "run a.kvs --set disk.regis": ["disk.registered="],
        "run a.kvs --set first.tri": ["first.trials="],
        "explain KVS20": [f"KVS20{n}" for n in range(1, 8)],
        "size llama3_1": ["llama3_1_8b", "llama3_1_70b", "llama3_1_405b"],
        "new --about network --tier ": ["memkv", "redis", "mooncake"],
    }
    lines = ['eval "$(kvscen completion bash)"', 'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=();']
    lines += ['NOSPACE=; _kvscen_completion kvscen; echo "${COMPREPLY[*]}$NOSPACE"; }', "compopt() { NOSPACE=' +'; }"]
    for words in asked:
        quoted = " ".join(f"'{word}'" for word in f"kvscen {words}".split(" "))
        lines.append(f"ask {quoted}")
    lines.append("complete -p kvscen")
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        cwd=shell,
        env={"PATH": f"{shell / 'bin'}:/usr/bin:/bin", "HOME": str(shell)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    *answers, registered = done.stdout.splitlines()
    assert done.stderr == ""
    assert registered == "complete -o nosort -F _kvscen_completion kvscen"
    for (words, wanted), answer in zip(asked.items(), answers, strict=True):
        unfinished = any(word[-1] in "/=." for word in wanted)
        assert answer == " ".join(wanted) + (" +" if unfinished else ""), words


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_scripts(shell_name: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell_name])
    assert script.exit_code == 0
    assert f"_KVSCEN_COMPLETE={shell_name}_complete" in script.stdout
    assert ("nospace" in script.stdout) == (shell_name == "bash")
    assert ("-S ''" in script.stdout) == (shell_name == "zsh")
    if shutil.which(shell_name):
        subprocess.run([shell_name, "-n"], input=script.stdout, text=True, check=True)


def test_every_verb_has_its_line() -> None:
    assert set(VERBS) >= {"new", "explain", "completion"}
