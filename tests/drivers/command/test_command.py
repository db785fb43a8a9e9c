"""The command driver against real programs, good and bad."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attrs
import pytest
import trio

from kvscen.plan.point import PatternBlock
from kvscen.plugin import Point, Tier, ToolRow, Work
from kvscen_drivers.command import CommandDriver, CommandSettings
from kvscen_drivers.command.answer import COLUMNS
from tests.processes import gone

WORK = Work("write", 4096, 8, 64, time_ns=10**9)


def point(*argv: str, cwd: str | None = None) -> Point:
    tier = Tier("bench", "command", CommandSettings(argv=argv, cwd=cwd))
    pattern = PatternBlock("p", "transfer", None)
    return Point("abc", 0, "s", {}, pattern, tier, None, None, WORK)


def run(folder: Path, *argv: str, cwd: str | None = None, deadline_s: float = 60, trial: int = 2) -> ToolRow:
    async def main() -> ToolRow:
        [row] = await CommandDriver().run([point(*argv, cwd=cwd)], trial, folder, deadline_s)
        return row

    return trio.run(main)


def python(folder: Path, code: str, *arguments: str, **options: object) -> ToolRow:
    return run(folder, sys.executable, "-c", literally(code), *arguments, **options)  # type: ignore[arg-type]


def literally(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def test_measures_come_from_the_last_json_object(tmp_path: Path) -> None:
    code = """
import json, sys
print('{"operations": 1}')
print("log line")
print(json.dumps({"operations": int(sys.argv[1]), "throughput_bytes_per_s": 5, "latency_p50_ns": 81000, "hits": None}))
print("done")
print("a warning", file=sys.stderr)
"""
    row = python(tmp_path, code, "{batch}")
    assert (row.point_id, row.status, row.reason) == ("abc", "ok", "")
    assert row.measures["operations"] == 8 and row.measures["latency_p50_ns"] == 81000 and row.measures["hits"] is None
    throughput = row.measures["throughput_bytes_per_s"]
    assert throughput == 5.0 and isinstance(throughput, float)
    assert row.measures["path"] == "unknown"
    assert row.measures["path_evidence"] == f"reported by the program {sys.executable}; kvscen has not seen the bytes"
    assert (tmp_path / "stdout").read_text().endswith("done\n")
    assert (tmp_path / "stderr").read_text() == "a warning\n"
    assert json.loads((tmp_path / "command.json").read_text())["argv"][-1] == "8"


def test_arguments_are_passed_as_they_are_without_a_shell(tmp_path: Path) -> None:
    code = "import json, sys; json.dump(sys.argv[1:], open(sys.argv[1] + '/got', 'w')); print('{\"operations\": 1}')"
    words = ("{folder}", "$HOME `id` ; *", "a b", "", '{{"op": "{op}"}}', "{trial}")
    assert python(tmp_path, code, *words).status == "ok"
    got = json.loads((tmp_path / "got").read_text())
    assert got == [str(tmp_path), "$HOME `id` ; *", "a b", "", '{"op": "write"}', "2"]


def test_a_relative_folder_is_passed_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trial").mkdir()
    code = "import os, sys; assert os.path.isabs(sys.argv[1]); print('{\"operations\": 1}')"
    assert python(Path("trial"), code, "{folder}", cwd="/").status == "ok"


def test_cwd(tmp_path: Path) -> None:
    code = "import os; open('here', 'w').close(); print('{\"operations\": 1}')"
    (tmp_path / "work").mkdir()
    assert python(tmp_path, code, cwd=str(tmp_path / "work")).status == "ok"
    assert (tmp_path / "work" / "here").exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("pass", "it printed no line that is a JSON object; its stdout is empty"),
        ("print('all is well')", "it printed no line that is a JSON object; its last line: all is well"),
        ("print('[1, 2]')", "it printed no line that is a JSON object; its last line: [1, 2]"),
        ("print('{\"operations\": ')", "it printed no line that is a JSON object"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 10)", "it printed no line that is a JSON object"),
        ("print('{}')", "its JSON object holds no measure"),
        ("print('{\"operations\": null}')", "its JSON object holds no measure"),
        ("print('{\"operatons\": 1}')", "it reports `operatons`, which is no measure: did you mean `operations`?"),
        ("print('{\"zzz\": 1}')", "a measure is named like its column in trials.parquet"),
        ('print(\'{"status": "ok"}\')', "it reports `status`, which is no measure"),
        ('print(\'{"path": "direct"}\')', "it reports `path`, which is no measure"),
        ("print('{\"verified_bytes\": 10}')", "it reports `verified_bytes`, which only kvscen can know"),
        ("print('{\"operations\": 1.5}')", "it reports 1.5 for `operations`, which is a whole number"),
        ('print(\'{"operations": "12"}\')', 'it reports "12" for `operations`, which is a number'),
        ("print('{\"operations\": true}')", "it reports true for `operations`, which is a number"),
        ("print('{\"operations\": [1]}')", "it reports [1] for `operations`, which is a number"),
        ("print('{\"operations\": -1}')", "it reports -1 for `operations`, which is never below 0"),
        ("print('{\"operations\": ' + str(2**63) + '}')", "which is a whole number of at most 63 bits"),
        (
            "print('{\"throughput_bytes_per_s\": NaN}')",
            "it reports NaN for `throughput_bytes_per_s`, which is no measurement",
        ),
        ("print('{\"throughput_bytes_per_s\": 1e999}')", "it reports Infinity for `throughput_bytes_per_s`"),
        ("print('{\"operations\":' + '[' * 100000)", "it printed no line that is a JSON object"),
    ],
)
def test_an_answer_that_cannot_be_used(tmp_path: Path, code: str, reason: str) -> None:
    row = python(tmp_path, code)
    assert row.status == "error" and not row.measures
    assert reason in row.reason and row.reason.startswith(sys.executable)
    assert "\n" not in row.reason and len(row.reason) < 500


def test_what_a_program_may_report_are_the_measures_of_a_trial() -> None:
    assert {"operations", "throughput_bytes_per_s", "latency_p99_ns", "hit_rate", "wire_bytes"} <= set(COLUMNS)
    assert not {"verified_bytes", "point_id", "status", "path", "path_evidence"} & set(COLUMNS)


def test_failed_operations_make_an_error_and_keep_the_measures(tmp_path: Path) -> None:
    row = python(tmp_path, 'print(\'{"operations": 10, "errors": 3}\')')
    assert row.status == "error" and "reports 3 failed operations" in row.reason and row.measures["operations"] == 10


def test_a_status_other_than_0_is_an_error_whatever_it_printed(tmp_path: Path) -> None:
    code = "import sys; print('{\"operations\": 10}'); print('disk is full', file=sys.stderr); sys.exit(3)"
    row = python(tmp_path, code)
    assert (row.status, row.reason) == ("error", f"{sys.executable} ended with status 3: disk is full")
    row = python(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert (row.status, row.reason) == ("error", f"{sys.executable} was killed by SIGSEGV")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    row = run(tmp_path, "no-such-program-here")
    assert row.status == "unavailable" and "no-such-program-here is not installed here" in row.reason
    not_executable = tmp_path / "script"
    not_executable.write_text("echo hello\n")
    row = run(tmp_path, str(not_executable))
    assert row.status == "error" and "Permission denied" in row.reason
    not_executable.chmod(0o755)
    row = run(tmp_path, str(not_executable))
    assert row.status == "error" and "Exec format error" in row.reason
    row = python(tmp_path, "pass", cwd=str(tmp_path / "nowhere"))
    assert row.status == "error" and f"could not be started in the folder {tmp_path / 'nowhere'}" in row.reason


_FAMILY = """
import os, subprocess, sys, time
signal = __import__("signal")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
with open(sys.argv[1] + "/pids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + "/pids.new", sys.argv[1] + "/pids")
"""


def pids(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "pids").read_text().split()]


def test_at_the_deadline_the_whole_group_is_killed(tmp_path: Path) -> None:
    row = python(tmp_path, _FAMILY + "time.sleep(1000)\n", "{folder}", deadline_s=2)
    assert (row.status, row.reason) == ("incomplete", f"{sys.executable} was killed after 2 s, its deadline")
    assert all(gone(pid) for pid in pids(tmp_path))


def test_what_a_program_leaves_behind_is_killed_and_not_waited_for(tmp_path: Path) -> None:
    row = python(tmp_path, _FAMILY + "print('{\"operations\": 1}')\n", "{folder}")
    assert row.status == "ok"
    assert gone(pids(tmp_path)[1])


def test_cancelled_it_kills_the_whole_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            tool = point(sys.executable, "-c", literally(_FAMILY + "time.sleep(1000)\n"), "{folder}")
            nursery.start_soon(CommandDriver().run, [tool], 0, tmp_path, 1000.0)
            while not (tmp_path / "pids").exists():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_it_reads_nothing_from_our_stdin(tmp_path: Path) -> None:
    code = "import sys; assert sys.stdin.read() == ''; print('{\"operations\": 1}')"
    assert python(tmp_path, code).status == "ok"


def test_a_result_after_much_output(tmp_path: Path) -> None:
    code = "print('x' * 5_000_000); print('{\"operations\": 9}')"
    assert python(tmp_path, code).measures["operations"] == 9


def test_an_operations_placeholder_without_operations(tmp_path: Path) -> None:
    row = run(tmp_path, "prog", "{operations}")
    assert (row.status, row.reason) == (
        "error",
        "the command line of bench: `{operations}` has no value for this point",
    )


def test_each_point_is_run_alone() -> None:
    a, b = point("x"), attrs.evolve(point("x"), id="def")
    assert CommandDriver().group([a, b]) == [[a], [b]]
