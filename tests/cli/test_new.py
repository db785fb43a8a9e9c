"""`kvscen new`: every scenario that it can write is correct, formatted, and says how to go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli import new
from kvscen.cli.main import main
from kvscen.language.diagnose import Source
from kvscen.language.format import format_source
from kvscen.language.render import render
from kvscen.lint import lint_file
from kvscen.starter import ABOUTS, STORES, TIERS, Choice, ChoiceError, chosen, scenario_text
from kvscen.starter.choices import drivers_for
from tests.e2e.support import kvscen

TRACES = Path(__file__).resolve().parents[2] / "scenarios" / "traces"

#: A model of each shape: alike layers, latent vectors, layers with a window, layers with a state, and a large one.
MODELS = ("llama3_1_8b", "deepseek_r1", "gemma3_27b", "qwen3_5_35b_a3b", "llama3_1_405b")


def every_choice() -> Iterator[Choice]:
    for about in ABOUTS:
        for driver in drivers_for(about):
            if about == "compare":
                yield chosen(about, drivers=[driver, "memory"])
                yield chosen(about, "llama3_1_8b", [driver, driver])
            else:
                yield chosen(about, drivers=[driver])
            if about == "cache":
                yield chosen(about, drivers=[driver], trace="chats.jsonl")
            elif about in ("blocks", "network"):
                yield chosen(about, "llama3_1_8b", [driver])
        for model in MODELS:
            yield chosen(about, model)
    yield chosen("cache", "none")
    yield chosen("cache", drivers=["posix", "redis"])
    yield chosen("network", drivers=["memkv"], endpoints=["10.0.0.7:7707"])
    yield chosen("compare", drivers=["posix", "posix"], paths=["./a", "./b c"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TRACES / "chats.jsonl", tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["new", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lint(text: str) -> str:
    Path("x.kvs").write_text(text)
    return render(lint_file(Path("x.kvs")).diagnostics)


def test_every_scenario_is_correct(here: Path) -> None:
    for choice in every_choice():
        text = scenario_text(choice, "x.kvs")
        assert lint(text) == "", choice
        assert format_source(Source("x.kvs", text)) == text, choice
        assert max(map(len, text.splitlines())) <= 140, choice


def test_what_the_comments_offer_is_correct(here: Path) -> None:
    for about in ABOUTS:
        text = scenario_text(chosen(about), "x.kvs")
        offered = re.sub(r"^  # (expect .*)$", r"  \1", text, flags=re.MULTILINE)
        assert offered != text and lint(offered) == "", offered
        axis = re.search(r"^#   (\w+\.\w+ in \[.*\])$", text, re.MULTILINE)
        if axis is not None:
            more = re.sub(rf"^  {re.escape(axis[1].split()[0])} .*$", "", text, flags=re.MULTILINE)
            assert lint(more.replace("\n  trials", f"\n  {axis[1]}\n  trials")) == ""
        for command in re.findall(r"^#   kvscen (\w+) ", text, re.MULTILINE):
            assert command in ("plan", "run", "lint", "explain", "size", "predict")


def test_a_file_is_written_and_never_written_over(here: Path) -> None:
    done = run()
    assert (done.exit_code, done.stdout) == (0, "wrote first.kvs: kvscen run first.kvs\n")
    assert "tier disk : posix { path = dir; direct = true }" in Path("first.kvs").read_text()
    Path("first.kvs").write_text("mine")
    again = run()
    assert again.exit_code == 2 and "--force" in again.stderr and Path("first.kvs").read_text() == "mine"
    assert run("--force").exit_code == 0 and Path("first.kvs").read_text().startswith("kvs 1\n")
    assert run("other", "--about", "model", "--model", "meta-llama/Llama-3.1-70B").exit_code == 0
    assert "model llm : llama3_1_70b {" in Path("other.kvs").read_text()
    assert run("nowhere/x.kvs").exit_code == 2


def test_layers_of_one_kind_stand_for_a_model_that_has_several(here: Path) -> None:
    assert "model llm : gemma3_27b {" in scenario_text(chosen("model", "gemma3_27b"), "x.kvs")
    assert "model llm : gemma3_27b_full {" in scenario_text(chosen("cache", "gemma3_27b"), "x.kvs")
    assert "model llm : qwen3_5_35b_a3b_full {" in scenario_text(chosen("model", "qwen3_5_35b_a3b"), "x.kvs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--about", "block"), "did you mean `blocks`?"),
        (("--model", "llama3_1_8bb"), "did you mean `llama3_1_8b`?"),
        (("--tier", "posx"), "did you mean `posix`?"),
        (("--tier", "tiered"), "`kvscen new` writes no tier of `tiered` here"),
        (("--about", "network", "--tier", "posix"), "`kvscen new` writes no tier of `posix` here"),
        (("--about", "model", "--model", "none"), "a scenario about a model needs one"),
        (("--tier", "memory", "--path", "x"), "no tier here takes a folder"),
        (("--tier", "posix", "--endpoint", "a:1"), "no tier here takes an address"),
        (("--tier", "posix", "--tier", "memory"), "one tier is measured here, not 2"),
        (("--about", "compare", "--tier", "posix"), "2 tiers make this comparison, not 1"),
        (("--trace", "missing.jsonl"), "there is no such file"),
        (("--about", "blocks", "--trace", "chats.jsonl"), "--trace is replayed by a cache"),
    ],
)
def test_what_does_not_go_together(here: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("x", *arguments)
    assert done.exit_code == 2 and said in done.stderr and "help: " in done.stderr
    assert not Path("x.kvs").exists()


def test_questions(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "_asks", lambda: True)
    asked = CliRunner().invoke(main, ["new", "q"], input="compare\nnone\nposix\nredis\n/mnt/nvme/kv\n10.0.0.7:6379\n")
    assert asked.exit_code == 0, asked.output
    text = Path("q.kvs").read_text()
    assert 'let dir = "/mnt/nvme/kv"' in text and 'endpoint = "10.0.0.7:6379"' in text
    usual = CliRunner().invoke(main, ["new", "u"], input="\n" * 8)
    assert usual.exit_code == 0 and "sweep sizes {" in Path("u.kvs").read_text()
    some = CliRunner().invoke(main, ["new", "s", "--about", "network", "--model", "none"], input="memkv\n\n")
    assert some.exit_code == 0 and "tier kv : memkv { }" in Path("s.kvs").read_text()
    wrong = CliRunner().invoke(main, ["new", "w"], input="model\nllama9\n")
    assert wrong.exit_code == 2 and "no model of the catalogue is called `llama9`" in wrong.output


def test_drivers_are_those_that_are_installed() -> None:
    from kvscen.plugin.registry import registry

    assert set(TIERS) <= set(registry().names()) and set(STORES) <= set(TIERS)


def test_a_wrong_question_names_the_right_ones() -> None:
    with pytest.raises(ChoiceError, match="no scenario is about `speed`"):
        chosen("speed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "short"),
    [
        (("--about", "model"), ("requests.trials=1", "requests.time=200 ms", "pages.prompt=64 tokens")),
        (("--tier", "sim"), ("sizes.trials=1", "sizes.time=50 ms")),
        (("--about", "compare"), ("both.trials=1", "both.time=200 ms", "blocks.working_set=16 MiB")),
    ],
    ids=str,
)
def test_a_handful_run(tmp_path: Path, arguments: tuple[str, ...], short: tuple[str, ...]) -> None:
    assert kvscen(tmp_path, "new", "x", *arguments).returncode == 0
    done = kvscen(tmp_path, "run", "x.kvs", "--out", "out", *(word for pin in short for word in ("--set", pin)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "trials.parquet").exists()
