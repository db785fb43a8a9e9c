"""`kvscen predict`: what it says, what it refuses, what it leaves behind."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.trace import open_trace, write_parquet
from tests.predict.support import BY_HAND, GROWING, mooncake
from tests.trace.support import write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    mooncake(tmp_path / "t.jsonl", BY_HAND)
    return tmp_path


def predict(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["predict", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result


def found(*arguments: str) -> dict:  # type: ignore[type-arg]
    result = predict(*arguments, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_by_hand() -> None:
    shown = found("t.jsonl", "--model", "Llama-3.1-70B", *(f"--capacity={n}" for n in ("4", "50%", "1 GiB", "none")))
    # 512 tokens x 80 layers x 8 heads x 2 x 128 numbers x 2 bytes.
    block = 512 * 80 * 8 * 2 * 128 * 2
    assert (shown["block_bytes"], shown["block_rank_bytes"], shown["model"]) == (block, block, "llama3_1_70b")
    assert [(at["asked"], at["capacity_blocks"], at["hits"], at["prefix_hits"]) for at in shown["capacities"]] == [
        ("50%", 3, 2, 2),
        ("4", 4, 3, 2),
        ("1 GiB", 6, 5, 5),
        ("none", None, 5, 5),
    ]
    assert [at["capacity_bytes"] for at in shown["capacities"]] == [3 * block, 4 * block, 6 * block, None]
    assert shown["limit"]["compulsory_misses"] == 6 and shown["limit"]["compulsory_miss_rate"] == 6 / 11
    assert [(at["capacity_blocks"], at["hits"]) for at in shown["curve"]] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 4),
        (6, 5),
    ]


def test_ranks() -> None:
    shown = found("t.jsonl", "--model", "llama3_1_70b", "--kv-dtype", "fp8", "--tp", "16", "--pp", "3")
    token = 8 * 2 * 128
    assert shown["block_bytes"] == 512 * 80 * token * 2, "16 ranks share 8 heads, so each is kept twice"
    assert shown["block_rank_bytes"] == 512 * 27 * token // 8, "80 layers in 3 stages: 27, 27, 26"
    assert shown["block_notes"] == ["the ranks together keep 2 times the model's KV: some of it is on several of them"]
    (note,) = found("t.jsonl", "--model", "gpt_oss_20b")["block_notes"]
    assert note.startswith("layers with a window count as if they kept every block")


def test_every_format_has_the_same(here: Path) -> None:
    mooncake(here / "g.jsonl", GROWING)
    for arguments in (("--block-bytes", "2.5 MiB"), ("--policy", "s3fifo", "--capacity", "10%"), ("--sample", "50%")):
        shown = found("g.jsonl", *arguments)
        rows = list(csv.DictReader(io.StringIO(predict("g.jsonl", *arguments, "--format", "csv").stdout)))
        assert len(rows) == len(shown["capacities"])
        for row, at in zip(rows, shown["capacities"], strict=True):
            expected = {key: shown[key] for key in row if key in shown} | at
            assert row == {key: "" if value is None else str(value) for key, value in expected.items()}
        table = predict("g.jsonl", *arguments).stdout
        assert all(f"{at['hit_rate'] * 100:.2f}" in table for at in shown["capacities"])


def test_parquet_says_the_same(here: Path) -> None:
    trace = open_trace(Path("t.jsonl"))
    write_parquet(here / "t.parquet", trace.about, trace.batches())
    first, second = found("t.jsonl"), found("t.parquet")
    assert first | {"trace": ""} == second | {"trace": ""}


def test_the_chart_is_drawn_when_asked_for_and_in_a_terminal() -> None:
    assert "┤" not in predict("t.jsonl").stdout
    assert "┤" in predict("t.jsonl", "--text-chart").stdout
    one = predict("t.jsonl", "--text-chart", "--policy", "arc", "--capacity", "3").stdout
    assert one.count("█") > 2


def test_a_png(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    mooncake(here / "g.jsonl", GROWING)
    runs = {
        "lru.png": ("--model", "llama3_1_8b"),
        "sample.png": ("--sample", "1/2"),
        "some.png": ("--policy", "lfu", "--capacity", "10%", "--capacity", "none"),
        "none.PNG": ("--policy", "lfu", "--capacity", "none"),
        "many.png": ("--capacity", "1000%", "--block-bytes", "1 TiB"),
    }
    for name, arguments in runs.items():
        result = predict("g.jsonl", *arguments, "--chart", name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert Path(name).read_bytes()[:24].endswith((1600).to_bytes(4, "big") + (1000).to_bytes(4, "big"))
    assert predict("g.jsonl", "--chart", "lru.png").stderr.startswith("error: lru.png is there already")
    assert predict("g.jsonl", "--chart", "no/x.png").stderr.startswith("error: cannot write no/x.png: No such file")
    monkeypatch.setattr("kvscen.report.chart_png.can_draw", lambda: False)
    result = predict("t.jsonl", "--chart", "x.png")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: a PNG is drawn by matplotlib, which is not installed\n  help: pip install 'kvscen[chart]'\n"
    )
    assert not Path("x.png").exists()


def test_matplotlib_is_imported_for_a_png_only() -> None:
    import subprocess
    import sys

    run = "import sys; from kvscen.cli.main import main; main.main(['predict', 't.jsonl'], standalone_mode=False)"
    subprocess.run([sys.executable, "-c", f"{run}; assert 'matplotlib' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.jsonl",), "error: cannot read nowhere.jsonl: No such file"),
        (("empty.jsonl",), "error: empty.jsonl is empty"),
        (("blank.jsonl",), "error: blank.jsonl: no request in it has a block"),
        (("a.csv",), "error: a.csv: an Azure LLM inference trace has no block ids"),
        (("b.csv", "--model", "llama3_1_8b"), "error: b.csv: a BurstGPT trace has no block ids"),
        (("t.jsonl", "--model", "lama3_1_8b"), "did you mean `llama3_1_8b`?"),
        (("t.jsonl", "--model", "gpt4"), "help: there are `llama2_7b`, `llama2_13b`"),
        (("t.jsonl", "--model", "llama3_1_8b", "--tp", "3"), "8 KV heads cannot be shared evenly by 3 ranks"),
        (("t.jsonl", "--model", "llama3_1_8b", "--kv-dtype", "fp7"), "error[KVS10"),
        (("t.jsonl", "--tp", "2"), "--tp is about a model, and none is named"),
        (("t.jsonl", "--kv-dtype", "fp8", "--block-bytes", "1 MiB"), "--kv-dtype is about a model"),
        (("t.jsonl", "--model", "llama3_1_8b", "--block-bytes", "1 MiB"), "--model and --block-bytes both say"),
        (("t.jsonl", "--block-bytes", "7"), "error: the size `7` has no unit"),
        (("t.jsonl", "--capacity", "many"), "error: `many` is no capacity\n  help: write blocks (20000), a share"),
        (("t.jsonl", "--capacity", "0"), "error: a capacity of `0` is less than one block"),
        (("t.jsonl", "--capacity", "10%"), "error: a capacity of `10%` of the 6 unique blocks is less than one block"),
        (("t.jsonl", "--capacity", "1 GiB"), "name the model with --model, or give --block-bytes"),
        (("t.jsonl", "--capacity", "1 B", "--block-bytes", "1 kB"), "less than one block, which has 1,000 bytes"),
        (("t.jsonl", "--policy", "arc"), "error: `arc` has no curve in one pass, so its capacities must be named"),
        (("t.jsonl", "--policy", "mru"), "'mru' is not one of 'lru', 'lru_tail_first'"),
        (("t.jsonl", "--policy", "arc", "--capacity", "1", "--sample", "1%"), "a sample tells nothing of `arc`"),
        (("t.jsonl", "--sample", "1%"), "too few to tell anything"),
        (("t.jsonl", "--sample", "0"), "`0` is no share of the blocks"),
        (("t.jsonl", "--sample", "1/0"), "`1/0` is no share of the blocks"),
        (("t.jsonl", "--sample", "some"), "`some` is no share of the blocks"),
        (("t.jsonl", "--sample", "1/99999999999"), "a sample of `1/99999999999` of the blocks is none"),
        (("t.jsonl", "--chart", "x.pdf"), "`x.pdf` does not end in .png"),
        (("t.jsonl", "--trace-format", "mooncak"), "no format of traces is called mooncak"),
        (("t.jsonl", "--trace-format", "qwen"), "or name its --trace-format"),
        (("back.jsonl",), "say so with --sort"),
        ((), "Missing argument 'TRACE|SCENARIO.kvs'"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], said: str, here: Path) -> None:
    write(here, "azure"), write(here, "burstgpt")
    mooncake(here / "back.jsonl", BY_HAND[::-1])
    mooncake(here / "blank.jsonl", [(0, [])])
    Path("empty.jsonl").touch()
    before = sorted(here.iterdir())
    result = predict(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert sorted(here.iterdir()) == before


def test_options_of_the_trace(here: Path) -> None:
    mooncake(here / "back.jsonl", BY_HAND[::-1])
    sorted_by_time = found("back.jsonl", "--sort", "--block-tokens", "512", "--trace-format", "mooncake")
    assert sorted_by_time | {"trace": ""} == found("t.jsonl") | {"trace": ""}


def test_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvscen.predict.prediction.lru_curve", interrupted)
    result = predict("t.jsonl")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


# ---- of a scenario

SCENARIO = """kvs 1
tier fast : sim { bandwidth = 1 GB/s; latency = 10 us; parallelism = 4 }
tier slow : sim { bandwidth = 100 MB/s; latency = 100 us; parallelism = 4 }
tier mix  : tiered { levels = [fast, slow]; capacities = [4 MB, 16 MB] }
tier dram : memory { }
tier real : tiered { levels = [dram]; capacities = [3 MB] }
pattern p : replay { trace = trace("t.jsonl"); block = 1 MB; users = 2; prefill = 1000 tokens/s }
pattern q : transfer { block = 1 MB; op = read }
sweep mixes { pattern = p; tier = mix; seed = 1; trials = 3; mix.capacities in [[2 MB, 8 MB], [4 MB, 8 MB]] }
sweep reals { pattern = p; tier = real; seed = 1; trials = 3 }
sweep plain { pattern = q; tier = dram; seed = 1; trials = 3 }
"""


@pytest.fixture
def scenario(here: Path) -> str:
    (here / "a.kvs").write_text(SCENARIO)
    return "a.kvs"


def test_points_of_a_scenario(scenario: str, here: Path) -> None:
    result = predict(scenario, "--format", "json")
    assert result.exit_code == 0 and "1 point has no requests" in result.stderr
    shown = json.loads(result.stdout)
    assert shown["scenario"] == "a"
    assert [(each["sweep"], each["timed"], each["status"]) for each in shown["points"]] == [
        ("mixes", True, "ok"), ("mixes", True, "ok"), ("reals", False, "ok"),
    ]  # fmt: skip
    small, large, real = shown["points"]
    # BY_HAND has 11 look-ups of 6 blocks: what 10 MB hold is all that can be found.
    assert (small["hits"], large["hits"]) == (5, 5) and large["levels"][0]["hits"] > small["levels"][0]["hits"]
    assert small["ttft_mean_ns"] > 0 and real["ttft_mean_ns"] is None and real["throughput_bytes_per_s"] is None
    alone = found("t.jsonl", "--capacity", "3")
    assert (real["hits"], real["prefix_hits"]) == tuple(alone["capacities"][0][key] for key in ("hits", "prefix_hits"))
    assert sorted(path.name for path in here.iterdir()) == ["a.kvs", "t.jsonl"], "nothing is left behind"
    rows = list(csv.DictReader(io.StringIO(predict(scenario, "mixes", "--format", "csv").stdout)))
    assert [int(row["hits"]) for row in rows] == [5, 5] and rows[0]["axis.mix.capacities"] == "[2 MB, 8 MB]"
    table = predict(scenario, "mixes", "--set", "mix.capacities=[1 MB, 8 MB]", "--text-chart").stdout
    assert "fast → slow" in table and "█ fast" in table and "TTFT mean" in table


def test_the_curve_of_a_pattern(scenario: str) -> None:
    curve, alone = found(scenario, "mixes", "--curve", "p"), found("t.jsonl", "--block-bytes", "1 MB")
    assert curve["trace_format"] == "the requests of the pattern `p`" and curve["block_bytes"] == 10**6
    for key in ("limit", "reached", "capacities", "curve", "block_tokens", "duration_ns"):
        assert curve[key] == alone[key]
    some = found(scenario, "mixes", "--curve", "p", "--policy", "arc", "--capacity", "3")
    assert [at["capacity_blocks"] for at in some["capacities"]] == [3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plain",), "error: no point of a has requests that look up blocks"),
        (("nothing",), "error[KVS123]: no sweep is called `nothing`"),
        (("--set", "mix.x=1"), "error[KVS"),
        (("--policy", "lfu"), "--policy is about a trace; of a scenario fix a path: --set CACHE.eviction=..."),
        (("--capacity", "10%"), "--capacity is about a trace"),
        (("--tp", "8"), "--tp is about a trace; of a scenario fix a path: --set MODEL.tp=..."),
        (("--sort",), "--sort is about a trace"),
        (("--curve", "p", "--sample", "1%"), "--sample is about a trace"),
        (("--curve", "pp"), "help: did you mean `p`?"),
        (("--curve", "q"), "no pattern of a that has requests is called `q`"),
        (("--curve", "p", "--capacity", "0"), "less than one block"),
        (("--by", "mix.capacities"), "--by says against what --chart draws"),
        (("reals", "--chart", "c.png"), "error: the points differ along no axis"),
        (("--chart", "c.png", "--by", "mix.capacity"), "help: did you mean `mix.capacities`?"),
        (("--chart", "c.txt"), "does not end in .png"),
    ],
)
def test_what_is_wrong_with_a_scenario_or_its_options(scenario: str, arguments: tuple[str, ...], said: str) -> None:
    result = predict(scenario, *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert said in result.stderr, result.stderr


@pytest.mark.parametrize("arguments", [("mixes",), ("--set", "a=1"), ("--curve", "p"), ("--by", "x")])
def test_a_trace_has_no_sweeps(arguments: tuple[str, ...]) -> None:
    result = predict("t.jsonl", *arguments)
    assert result.exit_code == 2 and "is about a scenario, and `t.jsonl` does not end in .kvs" in result.stderr


def test_a_value_and_its_unit_are_one_word() -> None:
    result = predict("t.jsonl", "--capacity", "10", "%")
    assert result.exit_code == 2 and "`%` stands alone" in result.stderr


def test_points_that_differ_have_no_common_curve(here: Path) -> None:
    (here / "b.kvs").write_text(
        SCENARIO.replace("mix.capacities in [[2 MB, 8 MB], [4 MB, 8 MB]]", "p.requests in [1, 2]")
    )
    result = predict("b.kvs", "mixes", "--curve", "p")
    assert result.exit_code == 2 and "fix what varies with --set: `p.requests`" in result.stderr
    assert predict("b.kvs", "mixes", "--curve", "p", "--set", "p.requests=2").exit_code == 0


def test_a_chart_of_a_scenario(scenario: str, here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert predict(scenario, "mixes", "--chart", "c.png").exit_code == 0
    assert (here / "c.png").read_bytes().startswith(b"\x89PNG")
    again = predict(scenario, "mixes", "--chart", "c.png")
    assert again.exit_code == 2 and "c.png is there already" in again.stderr


def test_a_point_that_cannot_be_predicted(scenario: str, here: Path) -> None:
    """Its trace is changed between the plan and the reading of it: the others are still shown."""
    from kvscen.execute import planned

    original = planned.planned_requests

    def changed(replay: object) -> object:
        (here / "t.jsonl").write_text("")
        planned._read.cache_clear()
        return original(replay)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kvscen.execute.session.planned_requests", changed)
        result = predict(scenario, "mixes")
    assert result.exit_code == 3 and "error:" in result.stdout and "–" in result.stdout
