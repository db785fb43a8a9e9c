"""`kvscen import`: users' files become scenarios that lint clean and ask nixlbench for the same."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.lint import lint_file
from tests.drivers.nixlbench.support import flags_of

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the extra kvbench)")

# The schema of KVBench's examples, and the figures of three of its models.
LLAMA70B = {
    "model_name": "LLAMA3.1_70B",
    "num_layers": 80,
    "num_query_heads_with_mha": 64,
    "query_head_dimension": 128,
    "gqa_num_queries_in_group": 8,
    "num_model_params": 70000000000,
}
DEEPSEEK = {
    "model_name": "DEEPSEEK_R1",
    "num_layers": 61,
    "num_query_heads": 128,
    "query_head_dimension": 128,
    "embedding_dimension": 7168,
    "rope_mla_dimension": 64,
    "mla_latent_vector_dimension": 512,
    "num_model_params": 671000000000,
}
GPT_OSS = {
    "model_name": "GPT_OSS_20B",
    "num_layers": 24,
    "num_query_heads": 64,
    "num_kv_heads": 8,
    "query_head_dimension": 64,
    "num_model_params": 5100000000,
}


def config(access: str = "block", tp: int = 1, pp: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "strategy": {"tp_size": tp, "pp_size": pp, "model_quant_mode": "fp8", "kvcache_quant_mode": "fp8"},
        "runtime": {"isl": 1000, "osl": 100, "num_requests": 10},
        "system": {"hardware": "H100", "backend": "SGLANG", "access_pattern": access, "page_size": 16},
        **changes,
    }


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kvscen(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def kvbench(model: Mapping[str, Any] | str, configured: Mapping[str, Any] | str, *more: str) -> Result:
    for name, value in (("model.yaml", model), ("config.yaml", configured)):
        Path(name).write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return kvscen("import", "kvbench", "model.yaml", "config.yaml", *more)


def points(text: str) -> list[dict[str, Any]]:
    """The plan of a scenario that has no fault."""
    Path("made.kvs").write_text(text)
    assert not lint_file(Path("made.kvs")).diagnostics
    found: list[dict[str, Any]] = json.loads(kvscen("plan", "made.kvs", "--format", "json").stdout)["points"]
    return found


@pytest.mark.parametrize(
    ("model", "access", "tp", "pp", "block", "batch"),
    [
        (LLAMA70B, "block", 1, 1, 2621440, 625),
        (LLAMA70B, "layer", 1, 1, 32768, 50000),
        (LLAMA70B, "block", 8, 8, 40960, 40000),
        (DEEPSEEK, "block", 1, 8, 73728, 4766),
        (DEEPSEEK, "layer", 1, 1, 9216, 38125),
        (GPT_OSS, "block", 1, 8, 49152, 5000),
    ],
)
def test_it_moves_what_kvbench_computes(
    model: dict[str, Any], access: str, tp: int, pp: int, block: int, batch: int
) -> None:
    """Sizes that KVBench prints for these files."""
    result = kvbench(model, config(access, tp, pp))
    assert result.exit_code == 0, result.output
    Path("made.kvs").write_text(result.stdout)
    found = lint_file(Path("made.kvs"))
    assert found.plan is not None and not [d for d in found.diagnostics if d.severity.value == "error"]
    assert {(p.work.block_bytes, p.work.batch) for p in found.plan.points} == {(block, batch)}
    assert {p.tier.driver for p in found.plan.points} == {"posix", "nixlbench"}


def test_what_it_reads_like() -> None:
    result = kvbench(LLAMA70B, config(pp=8, extra={"a": 1}))
    assert result.stdout == (Path(__file__).parent / "golden" / "llama70b.kvs").read_text()
    left_out = [line.removeprefix("not translated: ") for line in result.stderr.splitlines()]
    assert left_out == [
        "extra: KVBench has no such section, and would skip it",
        "runtime.osl = 100: KVBench does not use it; `output` of a pattern counts generated tokens",
        "system.hardware = H100: KVBench does not use it",
    ]
    assert points(result.stdout)


def test_the_weights_format_is_what_kvbench_takes() -> None:
    strategy = {"model_quant_mode": "bfloat16", "kvcache_quant_mode": "fp8"}
    found = points(kvbench(LLAMA70B, config(strategy=strategy)).stdout)
    assert {point["block_bytes"] for point in found} == {2 * 2621440}
    # Of MLA it takes the KV's, so there is nothing to say.
    assert "weight_dtype" not in kvbench(DEEPSEEK, config(strategy=strategy)).stdout


def test_unknown_keys_of_sections_are_said() -> None:
    result = kvbench(LLAMA70B, config(runtime={"isl": 100, "batch": 7}))
    assert "not translated: runtime.batch: KVBench has no such setting, and would skip it" in result.stderr
    assert "# not translated: runtime.batch" in result.stdout and points(result.stdout)


@pytest.mark.parametrize(
    ("model", "configured", "said"),
    [
        ({**LLAMA70B, "model_name": "MISTRAL"}, config(), "KVBench knows no model like `model_name: MISTRAL`"),
        ({"num_layers": 3}, config(), "KVBench knows no model like `model_name: None`"),
        ({**LLAMA70B, "num_layers": "80"}, config(), "`num_layers` is '80', and LLAMA3.1_70B needs a whole number"),
        ({k: v for k, v in GPT_OSS.items() if k != "num_kv_heads"}, config(), "`num_kv_heads` is missing"),
        ({**LLAMA70B, "colour": 3}, config(), "LLAMA3.1_70B has no `colour` (KVBench ends with a TypeError)"),
        ({**LLAMA70B, "gqa_num_queries_in_group": 7}, config(), "64 query heads are no whole number of groups of 7"),
        (LLAMA70B, config(access="page"), "`access_pattern` is 'page', and KVBench needs one"),
        (LLAMA70B, config(runtime={"isl": 0}), "`isl` is 0, and a whole number above 0 is needed"),
        (LLAMA70B, config(strategy={"kvcache_quant_mode": "fp4"}), "KVBench has no `kvcache_quant_mode` 'fp4'"),
        (LLAMA70B, "a: [1, 2", "config.yaml:1:9 is no YAML"),
        (LLAMA70B, "- a\n- b\n", "config.yaml holds no settings"),
        ("", config(), "model.yaml holds no settings"),
        (LLAMA70B, "!!python/object/apply:os.system ['true']", "is no YAML"),
    ],
)
def test_files_that_kvbench_could_not_use(
    model: Mapping[str, Any] | str, configured: Mapping[str, Any] | str, said: str
) -> None:
    result = kvbench(model, configured)
    assert (result.exit_code, result.stdout) == (2, "") and said in result.stderr
    assert result.stderr.startswith("error: ") and "  help: " in result.stderr


def test_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    Path("a.yaml").write_text("a: 1\n")
    result = kvscen("import", "kvbench", "a.yaml", "a.yaml")
    assert result.exit_code == 2 and "pip install 'kvscen[kvbench]'" in result.stderr


# ---- nixlbench's TOML

TOML = """
backend = "POSIX"
filepath = "/data/kv"
op_type = "READ"
start_block_size = 65536
max_block_size = 5000000
start_batch_size = 4
max_batch_size = 4
num_threads = 2
pipeline_depth = 2
num_iter = 64
warmup_iter = 0
posix_api_type = "URING"
storage_enable_direct = true
total_buffer_size = 8589934592
benchmark_group = "mine"
gds_batch_limit = 64
num_threds = 8
check_consistency = "yes"
scheme = "ring"
"""


def toml(text: str, *more: str) -> Result:
    Path("config.toml").write_text(text)
    return kvscen("import", "nixlbench", "config.toml", *more)


def test_a_configuration_of_nixlbench() -> None:
    result = toml(TOML)
    assert [line.removeprefix("not translated: ") for line in result.stderr.splitlines()] == [
        "num_threds: nixlbench 1.4 has no such flag, and would skip it",
        "check_consistency = 'yes': nixlbench takes a bool, and would go on with false",
        "scheme = 'ring': nixlbench would refuse it",
        "total_buffer_size = 8589934592: kvscen takes threads x batch x block",
        "benchmark_group = mine: each run gets a group of its own",
        "gds_batch_limit: the backend POSIX has no use for it",
    ]
    assert result.stdout == (Path(__file__).parent / "golden" / "config.kvs").read_text()
    assert {point["op"] for point in points(result.stdout)} == {"read"}
    [command] = json.loads(kvscen("plan", "made.kvs", "--as", "nixlbench", "--format", "json").stdout)["commands"]
    flags = flags_of(command["argv"])
    assert flags == {
        "backend": "POSIX",
        "op_type": "READ",
        "initiator_seg_type": "DRAM",
        "start_block_size": "65536",
        "max_block_size": "4194304",  # the last that its doubling reaches
        "start_batch_size": "4",
        "max_batch_size": "4",
        "total_buffer_size": str(2 * 2 * 4 * 4194304),
        "num_iter": "64",
        "warmup_iter": "0",
        "large_blk_iter_ftr": "16",
        "num_threads": "2",
        "pipeline_depth": "2",
        "filepath": "/data/kv",
        "posix_api_type": "URING",
        "storage_enable_direct": "true",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        'backend = "UCX"\nruntime_type = "ASIO"\nasio_port = 4000\ninitiator_seg_type = "VRAM"\n',
        'backend = "GDS"\nop_type = "WRITE"\ngds_batch_pool_size = 64\nmax_batch_size = 64\n',
        'backend = "MEMKV"\nmax_block_size = 4096\n',
        'backend = "OBJ"\nobj_bucket_name = "b"\nobj_scheme = "https"\n',
        'etcd_endpoints = "http://e:2379"\nnum_initiator_dev = 2\nnum_target_dev = 2\n',
        "max_block_size = 4096\nuse_hugepages = false\nprogress_threads = 0\n",
    ],
)
def test_other_configurations(text: str) -> None:
    result = toml(text)
    assert result.exit_code == 0 and points(result.stdout)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend = UCX\n", "config.toml is no TOML"),
        ("start_block_size = 8192\nmax_block_size = 4096\n", "the smallest, 8 KiB, is above the largest, 4 KiB"),
    ],
)
def test_configurations_that_cannot_be_used(text: str, said: str) -> None:
    result = toml(text)
    assert (result.exit_code, result.stdout) == (2, "") and said in result.stderr


# ---- the verb


def test_out(tmp_path: Path) -> None:
    result = toml('backend = "UCX"\n', "--out", "made.kvs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert points(Path("made.kvs").read_text())
    assert toml('backend = "UCX"\n').stdout == Path("made.kvs").read_text()
    again = toml('backend = "UCX"\n', "--out", "made.kvs")
    assert again.exit_code == 2 and "made.kvs is there already" in again.stderr
    nowhere = toml('backend = "UCX"\n', "--out", "no/where.kvs")
    assert nowhere.exit_code == 2 and "cannot be written: No such file or directory" in nowhere.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kvbnch", "a", "b"], "did you mean `kvbench`?"),
        (
            ["zzz"],
            "there are trace (a trace of requests), kvbench-traffic (",
        ),
        (["kvbench", "a"], "`kvbench` needs 2 files, not 1"),
        (["nixlbench"], "`nixlbench` needs 1 file, not 0"),
        (["nixlbench", "nowhere.toml"], "nowhere.toml cannot be read: No such file or directory"),
        (["nixlbench", "."], "cannot be read: Is a directory"),
    ],
)
def test_usage(arguments: list[str], said: str) -> None:
    result = kvscen("import", *arguments)
    assert (result.exit_code, result.stdout) == (2, "") and said in result.stderr


def test_a_file_that_is_no_text() -> None:
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    result = kvscen("import", "nixlbench", "binary.toml")
    assert result.exit_code == 2 and "binary.toml is not text" in result.stderr
