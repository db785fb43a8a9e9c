"""`kvscen show`, as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.report import load_report, plain_table, write_report
from kvscen.results.journal import Journal
from tests.report.scenes import SCENES, lay_out


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def show(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["show", *arguments])


def test_a_folder_and_the_newest_run() -> None:
    older = lay_out(Path("runs/older"), SCENES["plain"]())
    lay_out(Path("runs/newer"), SCENES["single"]())
    os.utime(older / "plan.json", ns=(1, 1))
    named = show("runs/older")
    assert named.exit_code == 0
    assert named.stdout == plain_table(load_report(older))
    assert show().stdout.startswith("one  sweep blocks")


def test_a_run_with_failures_is_still_shown_with_0() -> None:
    lay_out(Path("runs/x"), SCENES["troubled"]())
    assert show("runs/x").exit_code == 0


def test_json_is_one_object() -> None:
    lay_out(Path("runs/x"), SCENES["troubled"]())
    found = json.loads(show("runs/x", "--format", "json").stdout)
    assert found["trials_planned"] == found["trials_ended"] == 20
    point = found["points"][1]
    assert point["axes"] == {"pages.op": "write", "pages.requests": 10}
    assert point["trials_ok"] == 4
    assert point["left_out"][0]["status"] == "hang"
    assert point["measures"]["throughput_bytes_per_s"]["n"] == 4
    assert point["measures"]["errors"] == {"sum": 0, "trials_without": [3]}
    assert {verdict["outcome"] for verdict in found["verdicts"]} == {"pass", "fail"}


def test_csv_has_the_rows_of_the_table() -> None:
    lay_out(Path("runs/x"), SCENES["open_loop"]())
    rows = list(csv.DictReader(io.StringIO(show("runs/x", "--format", "csv").stdout)))
    assert len(rows) == 9
    assert rows[0]["axis.pages.rate"] == "100"
    assert json.loads(rows[0]["settings"])["disk.path"] == '"./kv-data"'
    assert rows[0]["engine"] == "io_uring"


def test_a_killed_run_is_shown_as_far_as_it_came() -> None:
    run = lay_out(Path("runs/x"), SCENES["plain"](), tables=False)
    journal = run / "journal.arrows"
    journal.write_bytes(journal.read_bytes()[:-100])
    shown = show("runs/x")
    assert shown.exit_code == 0
    assert "read from the journal: the run was stopped before it wrote its tables" in shown.stdout
    assert "1 of 20 trials did not run: go on with kvscen run SCENARIO --resume runs/x" in shown.stdout
    assert "bytes of a trial that was not completely written" in shown.stdout


def test_a_resumed_run_that_was_killed_shows_what_came_after_its_tables() -> None:
    plan, records = SCENES["plain"]()
    run = lay_out(Path("runs/x"), (plan, records[:5]))
    with Journal.create(run) as journal:
        for record in records[5:8]:
            journal.append(record)
    shown = show("runs/x").stdout
    assert "read from the journal" in shown
    assert "8 trials in runs/x" in shown


def test_a_run_that_is_still_going_on() -> None:
    plan, records = SCENES["plain"]()
    run = lay_out(Path("runs/x"), (plan, []), tables=False)
    with Journal.create(run) as journal:
        journal.append(records[0])
        shown = show("runs/x").stdout
    assert "read from the journal: it is still going on" in shown
    assert "19 of 20 trials are still to come" in shown
    assert "--resume" in show("runs/x").stdout


def test_what_is_no_run_is_one_sentence() -> None:
    for arguments, sentence in {
        (): "error: there is no run in ",
        ("typo",): "error: there is no folder typo",
        (".",): "error: . is not the folder of a run: it has no plan.json",
    }.items():
        result = show(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(sentence)
        assert "  help: " in result.stderr
        assert result.stdout == ""


def test_a_run_that_ended_before_its_first_trial() -> None:
    run = lay_out(Path("runs/x"), SCENES["plain"](), tables=False)
    (run / "journal.arrows").unlink()
    result = show("runs/x")
    assert result.exit_code == 2
    assert "holds no results" in result.stderr
    journal = run / "journal.arrows"
    journal.write_bytes(b"")
    assert "no trial has ended" in show("runs/x").stdout


def test_a_damaged_table_is_one_sentence() -> None:
    run = lay_out(Path("runs/x"), SCENES["plain"]())
    (run / "trials.parquet").write_bytes(b"PAR1 is not enough")
    result = show("runs/x")
    assert result.exit_code == 2
    assert "is no Parquet file or is damaged" in result.stderr


def test_a_terminal_gets_colours_and_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    write_report(load_report(lay_out(Path("runs/x"), SCENES["troubled"]())), "table", out)
    assert "\x1b[" in out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 99, 101, 150, 250])
def test_no_number_is_ever_cut(width: int) -> None:
    """Whatever the width, each point's median is there with all its digits."""
    report = load_report(lay_out(Path("runs/x"), SCENES["troubled"]()))
    text = plain_table(report, width)
    for median in ("1.27", "1.58", "1.88", "2.17", "1,300", "1,500", "1,700"):
        assert median in text, (median, text)
