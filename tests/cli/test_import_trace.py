"""`kvscen import trace`: what it says, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.trace import TraceError, open_trace
from tests.trace.support import MOONCAKE, lines, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kvscen(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["import", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_what_is_said_of_a_trace(here: Path) -> None:
    write(here, "mooncake")
    result = kvscen("trace", "m.jsonl")
    assert result.exit_code == 0 and result.stderr == ""
    size = Path("m.parquet").stat().st_size
    assert result.stdout == (
        "m.jsonl: a Mooncake trace\n"
        "  requests          3\n"
        "  duration          0.0005556 h\n"
        "  sessions          –\n"
        "  input tokens      3,236\n"
        "  output tokens     28\n"
        "  block             512 tokens\n"
        "  blocks looked up  8\n"
        "  unique blocks     5\n"
        "  reuse ratio       37.5 %\n"
        f"wrote m.parquet, {size / 1024:.2f} KiB\n"
    )


def test_what_a_trace_cannot_tell_is_said(here: Path) -> None:
    write(here, "azure")
    said = kvscen("trace", "a.csv", "--out", "x.parquet").stdout
    assert "  reuse ratio       –\n  no block ids and no text: every request has blocks of its own" in said
    Path("odd.jsonl").write_text(lines([*MOONCAKE * 20, MOONCAKE[2] | {"input_length": 9}]))
    said = kvscen("trace", "odd.jsonl", "--sort").stdout
    assert "  1 request with more or fewer blocks than the prompt's length gives\n" in said


def test_parquet_is_a_trace_too(here: Path) -> None:
    write(here, "sharegpt")
    first = kvscen("trace", "s.json", "--block-tokens", "8", "--out", "one.parquet").stdout
    second = kvscen("trace", "one.parquet", "--out", "two.parquet").stdout
    assert "8 tokens" in first
    assert first.replace("one.parquet", "two.parquet").splitlines()[1:] == second.splitlines()[1:]
    assert Path("one.parquet").read_bytes() == Path("two.parquet").read_bytes()


def test_a_file_that_is_there_stays(here: Path) -> None:
    write(here, "mooncake")
    Path("m.parquet").write_text("mine")
    result = kvscen("trace", "m.jsonl")
    assert result.exit_code == 2
    assert result.stderr == ("error: m.parquet is there already\n  help: name another file with --out, or remove it\n")
    assert Path("m.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.json",), "error: cannot read nowhere.json: No such file or directory (ENOENT)\n  help: name a file"),
        (("m.jsonl", "--format", "burst"), "error: no format of traces is called burst\n  help: there are kv_cache"),
        (("m.jsonl", "--format", "azure"), "error: m.jsonl:1: the column `TIMESTAMP` is missing"),
        (("m.jsonl", "--out", "x.csv"), "error: a trace becomes Parquet, and `x.csv` does not end in .parquet"),
        (("m.jsonl", "--out", "no/x.parquet"), "error: cannot write no/x.parquet: No such file or directory"),
        (("back.jsonl",), "error: back.jsonl:4: this request came 2 s before the one above it"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(arguments: tuple[str, ...], said: str, here: Path) -> None:
    write(here, "mooncake")
    Path("back.jsonl").write_text(lines(MOONCAKE * 2))
    result = kvscen("trace", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(said)
    assert sorted(path.name for path in here.iterdir()) == ["back.jsonl", "m.jsonl"]


def test_an_interrupt_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, "mooncake")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvscen.trace.Counter.add", interrupted)
    result = kvscen("trace", "m.jsonl")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    assert [path.name for path in here.iterdir()] == ["m.jsonl"]


def test_traces_stand_among_what_can_be_imported(here: Path) -> None:
    said = kvscen("--help").stdout
    assert "trace" in said and "kvbench" in said
    result = kvscen("trase", "x")
    assert result.exit_code == 2
    assert result.stderr == "error: nothing imports from `trase`\n  help: did you mean `trace`?\n"


def test_the_help_names_every_format() -> None:
    from kvscen.trace import FORMATS

    said = kvscen("trace", "--help").stdout
    assert all(form in said for form in FORMATS)


def test_the_written_file_opens(here: Path) -> None:
    write(here, "kv_cache_tester")
    assert kvscen("trace", "t.json").exit_code == 0
    assert len(open_trace(Path("t.parquet")).blocks()) == 4
    with pytest.raises(TraceError):
        open_trace(Path("t.parquet"), "qwen")
