"""The hooks for pre-commit and the workflow for GitHub, as people would use them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kvscen.cli.main import main

ROOT = Path(__file__).parents[2]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
WORKFLOW = yaml.safe_load((ROOT / "docs" / "examples" / "kvscen-lint.yml").read_text())

GOOD = """kvs 1

tier dram : memory { }

pattern p : transfer { block = 1 MiB; op = read }

sweep s { pattern = p; tier = dram; seed = 1 }
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.kvs").write_text(GOOD)
    return tmp_path


def test_the_hooks_are_commands_that_there_are(repository: Path) -> None:
    assert [hook["id"] for hook in HOOKS] == ["kvscen-lint", "kvscen-fmt"]
    for hook in HOOKS:
        assert {"id", "name", "description", "entry", "language", "files"} == set(hook)
        assert re.search(hook["files"], "scenarios/a.kvs") and not re.search(hook["files"], "a.kvs.bak")
        program, *arguments = shlex.split(hook["entry"])
        assert program == "kvscen"
        assert CliRunner().invoke(main, [*arguments, "good.kvs"]).exit_code == 0


def test_the_workflow(repository: Path) -> None:
    [job] = WORKFLOW["jobs"].values()
    assert WORKFLOW[True] == ["push", "pull_request"]  # YAML 1.1 takes `on` for a truth value; GitHub does not
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == "pip install kvscen"
    for command in commands[1:]:
        program, *arguments = shlex.split(command.partition(">")[0])
        assert program == "kvscen"
        assert CliRunner().invoke(main, arguments).exit_code == 0, command
    uploads = [step for step in job["steps"] if "upload-sarif" in step.get("uses", "")]
    assert f"> {uploads[0]['with']['sarif_file']}" in commands[-1]
    (repository / "bad.kvs").write_text(GOOD.replace("seed = 1", "seed  = 1; trials = 1"))
    codes = [CliRunner().invoke(main, shlex.split(c.partition(">")[0])[1:]).exit_code for c in commands[1:]]
    assert codes == [1, 2, 0]


@pytest.mark.slow
def test_pre_commit_itself(repository: Path) -> None:
    """The hooks as pre-commit reads and runs them; the program is the one that is installed here, for its own
    installation would need a network."""
    if shutil.which("pre-commit") is None and shutil.which("pre-commit", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("pre-commit is not installed")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(repository / "cache"),
        **{f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def call(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    hooks, own = repository / "hooks", repository / "own"
    for place in (hooks, own):
        place.mkdir()
        call("git", "init", "-q", cwd=place)
    system = (ROOT / ".pre-commit-hooks.yaml").read_text().replace("language: python", "language: system")
    (hooks / ".pre-commit-hooks.yaml").write_text(system)
    call("git", "add", "-A", cwd=hooks)
    assert call("git", "commit", "-qm", "hooks", cwd=hooks).returncode == 0
    revision = call("git", "rev-parse", "HEAD", cwd=hooks).stdout.strip()
    config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [{"id": hook["id"]} for hook in HOOKS]}]}
    (own / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (own / "good.kvs").write_text(GOOD)
    call("git", "add", "-A", cwd=own)
    done = call("pre-commit", "run", "--all-files", cwd=own)
    assert done.returncode == 0 and done.stdout.count("Passed") == 2, done.stdout + done.stderr
    (own / "bad.kvs").write_text(GOOD.replace("seed = 1", "seed  = 1; tirals = 1"))
    call("git", "add", "-A", cwd=own)
    done = call("pre-commit", "run", "--all-files", cwd=own)
    assert done.returncode == 1 and "KVS102" in done.stdout and "files were modified by this hook" in done.stdout
    assert "seed = 1;" in (own / "bad.kvs").read_text()
