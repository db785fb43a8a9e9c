"""`kvscen size`: what it takes, what it refuses, what it ends with."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.language.define import catalogue_names
from tests.e2e.support import ROOT

PLAIN = """kvs 1
tier dram : memory { capacity = 1 GiB }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s { pattern = pages; tier = dram; seed = 1 }
"""
SIZED = """kvs 1
use models
tier dram : memory {}
pattern pages : transfer { model = llama3_1_8b; prompt = 1000 tokens; op = read }
sweep s { pattern = pages; tier = dram; seed = 1 }
sweep t : s { pages.requests = 2 }
"""


def size(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["size", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result


def row(*arguments: str) -> dict[str, str]:
    [found] = csv.DictReader(io.StringIO(size(*arguments, "--format", "csv").stdout))
    return found


@pytest.mark.parametrize("name", ["llama3_1_8b", "LLAMA3.1_8B", "Llama-3.1-8B", "meta-llama/Llama-3.1-8B"])
def test_a_model_by_the_names_it_goes_by(name: str) -> None:
    found = row(name)
    assert (found["model"], found["exact_block_bytes"], found["exact_rank_batch"]) == ("llama3_1_8b", "2097152", "63")


def test_no_two_models_have_names_alike() -> None:
    names = [re.sub(r"[^a-z0-9]", "", name) for name in catalogue_names()]
    assert len(set(names)) == len(names)
    assert (row("GPT_OSS_20B")["model"], row("DeepSeek-R1")["model"]) == ("gpt_oss_20b", "deepseek_r1")


def test_flags_and_pins_say_the_same() -> None:
    flags = row(
        *("llama3_1_70b", "--tp", "8", "--pp", "4", "--page", "256", "--prompt", "10000 tokens", "--requests", "10"),
        *("--output", "100", "--access", "layer", "--kv-dtype", "fp8", "--weight-dtype", "bf16"),
    )
    pins = ["tp=8", "llama3_1_70b.pp=4", "page=256 tokens", "pages.prompt=10000 tokens", "requests=10"]
    pins += ["output=100 tokens", "access=layer", "kv_dtype=fp8", "pages.weight_dtype=bf16"]
    assert flags == row("llama3_1_70b", *(word for pin in pins for word in ("--set", pin)))
    assert flags["exact_block_bytes"] == str(256 * 256) and flags["kvbench_block_bytes"] == str(2 * 256 * 256)
    assert flags["exact_rank_batch"] == str(10 * 40 * 20), "10,100 tokens are 40 pages, and a stage has 20 layers"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lama3_1_8b",), "did you mean `llama3_1_8b`?"),
        (("gpt4",), "the models are `llama2_7b`, `llama2_13b`"),
        (("missing.kvs",), "error[KVS001]"),
        (("missing.json",), "error[KVS240]"),
        (("llama3_1_8b", "--fit", "80"), "--fit: the size `80` has no unit"),
        (("llama3_1_8b", "--tp", "3"), "8 KV heads cannot be shared evenly by 3 ranks"),
        (("llama3_1_8b", "--tp", "x"), "error[KVS101]"),
        (("llama3_1_8b", "--tp", "0"), "error[KVS105]"),
        (("llama3_1_8b", "--pp", "33"), "error[KVS204]"),
        (("llama3_1_8b", "--page", "16 s"), "error[KVS105]"),
        (("llama3_1_8b", "--access", "page"), "error[KVS10"),
        (("llama3_1_8b", "--tp", "2", "--set", "tp=4"), "`llama3_1_8b.tp` is set twice"),
        (("llama3_1_8b", "--set", "latent_dim=4"), "a model of `gqa` has no setting `latent_dim`"),
        (("llama3_1_8b", "--set", "block=1 MiB"), "error[KVS203]"),
        (("llama3_1_8b", "--set", "qwen3_8b.tp=4"), "`--set qwen3_8b.tp` changes nothing"),
        (("llama3_1_8b", "--sweep", "s"), "--sweep is about a scenario"),
        ((), "Missing argument 'SCENARIO|MODEL'"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = size(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_room_in_a_capacity() -> None:
    [shown] = json.loads(size("llama3_1_8b", "--fit", "1 GiB", "--format", "json").stdout)["sizes"]
    # 131,072 bytes of a token: a GiB holds 8192 of them, and eight requests of 63 pages.
    assert shown["rooms"] == [
        {
            "place": "1 GiB",
            "capacity_bytes": 2**30,
            "requests": 8,
            "tokens": 8192,
            "rank_requests": 8,
            "rank_tokens": 8192,
        }
    ]
    assert "8,192" in size("llama3_1_8b", "--fit", "1 GiB").stdout


def test_room_in_the_tiers_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "tiers.kvs"
    tiers = """tier dram : memory { capacity = 1 GiB }
tier disk : memory {}
tier cache : tiered { levels = [dram, disk]; capacities = [512 MiB] }
"""
    text = SIZED.replace("tier dram : memory {}\n", tiers)
    path.write_text(text.replace("tier = dram;", "tier in [dram, cache];"))
    [one, two] = json.loads(size(str(path), "--format", "json").stdout)["sizes"]
    for shown in (one, two):
        assert [(room["place"], room["tokens"]) for room in shown["rooms"]] == [("dram", 8192), ("cache.dram", 4096)]
    assert (one["rooms"][0]["requests"], two["requests"]) == (8, 2)


def test_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps(
            {
                "model_type": "phi3",
                "num_hidden_layers": 40,
                "num_attention_heads": 40,
                "num_key_value_heads": 10,
                "hidden_size": 5120,
                "sliding_window": None,
            }
        )
    )
    # 40 layers x 10 heads x 256 numbers x 2 bytes; 128 = 5120 / 40
    assert row(str(path))["exact_token_bytes"] == "204800"
    assert row(str(path), "--kv-dtype", "fp8", "--tp", "2")["exact_block_bytes"] == str(16 * 204_800 // 4)


def test_a_model_without_a_common_block() -> None:
    found = row("qwen3_next_80b_a3b")
    # 63 pages of 393,216 bytes, and 36 states of 1,097,728.
    assert found["exact_request_bytes"] == str(63 * 393_216 + 36 * 1_097_728)
    assert found["exact_block_bytes"] == "" and "blocks of one size cannot hold both" in found["reasons"]
    shown = json.loads(size("qwen3_next_80b_a3b", "--format", "json").stdout)["sizes"][0]
    assert [(each["layers"], each["layer_state_bytes"], each["most_bytes"]) for each in shown["layers"]] == [
        (36, 1_097_728, 36 * 1_097_728),
        (12, 0, None),
    ]
    by_length = {each["tokens"]: each["request_bytes"] for each in shown["lengths"]}
    assert by_length[131_072] == 131_072 * 24_576 + 39_518_208


def test_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.kvs").write_text(PLAIN)
    Path("sized.kvs").write_text(SIZED)
    assert "no point of plain.kvs moves the KV of a model" in size("plain.kvs").stderr
    assert size("plain.kvs").exit_code == 2
    result = size("sized.kvs", "--tp", "8")
    assert result.exit_code == 2 and "--set MODEL.tp=8" in result.stderr
    shown = json.loads(size("sized.kvs", "--format", "json", "--set", "llama3_1_8b.tp=8").stdout)
    assert [(s["pattern"], s["requests"], s["exact"]["block_bytes"]) for s in shown["sizes"]] == [
        ("pages", 1, 262_144),
        ("pages", 2, 262_144),
    ]
    assert row("sized.kvs", "--sweep", "t")["requests"] == "2"
    assert size("sized.kvs").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"plain.kvs", "sized.kvs"}, "nothing is written"


def test_a_matrix_has_no_blocks() -> None:
    path = ROOT / "scenarios" / "kvbench" / "traffic.kvs"
    done = CliRunner().invoke(main, ["size", str(path)])
    assert done.exit_code == 2
    assert f"the points of {path} move no blocks" in done.stderr and f"kvscen plan {path}" in done.stderr
