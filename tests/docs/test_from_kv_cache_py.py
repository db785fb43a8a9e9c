"""docs/from-kv-cache-py.md: every option and key of kv-cache.py is there, fields and figures are right."""

from __future__ import annotations

import csv
import io
import re
import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.export.mlperf.reference import up_to_date

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "from-kv-cache-py.md").read_text("utf-8")

# Of kv-cache.py 3.0.1.
OPTIONS = """
--log-level --config --model --num-users --duration --gpu-mem-gb --num-gpus --tensor-parallel --cpu-mem-gb --cache-dir
--generation-mode --performance-profile --disable-multi-turn --disable-prefix-caching --enable-rag --rag-num-docs
--enable-autoscaling --autoscaler-mode --target-saturation --use-burst-trace --burst-trace-path --trace-speedup
--replay-cycles --validation-trace --dataset-path --max-conversations --output --xlsx-output --seed
--max-concurrent-allocs --request-rate --max-requests --storage-capacity-gb --precondition --precondition-size-gb
--precondition-threads --prefill-only --decode-only --io-trace-log --enable-latency-tracing
"""
KEYS = """
user_templates context_range generation_range think_time_range generation_timing target_latency_p95_ms
target_latency_p99_ms target_latency_p999_ms target_latency_p9999_ms priority interactive_probability
responsive_threshold max_recursion_depth target_usage_ratio large_entry_limit_ratio max_evictions_hard_cap
max_evictions_min memory_fraction max_eviction_attempts free_memory_threshold min_prefix_length max_prefix_entries
system_prompt_hit_probability chunk_size_tokens top_k_chunks max_chunk_bytes request_probability retrieval_distribution
max_documents large_model_doc_tokens_min max_conversations max_turns_per_conv end_conversation_probability autoscaler
batch_size sharegpt saturation_detection validation_limits model_configs kv_lora_rank qk_rope_head_dim
"""


def rows(title: str) -> list[list[str]]:
    """The cells of the tables of a section."""
    section = PAGE[PAGE.index(f"\n## {title}\n") + 4 :]
    section = section[: section.find("\n## ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"]


@pytest.mark.parametrize("option", OPTIONS.split())
def test_every_option_is_answered(option: str) -> None:
    options = [cells for cells in rows("Its options") if len(cells) == 2]
    answers = [cells[1] for cells in options if re.search(rf"{option}(?![\w-])", cells[0])]
    assert len(answers) == 1 and answers[0], option


@pytest.mark.parametrize("key", KEYS.split())
def test_every_key_is_answered(key: str) -> None:
    answers = [cells for cells in rows("Keys of config.yaml") if re.search(rf"(?<![\w]){key}(?!\w)", " ".join(cells))]
    assert answers and all(cells[1] for cells in answers), key


def test_the_fields_are_up_to_date() -> None:
    command = "python -m kvscen.export.mlperf.reference docs/from-kv-cache-py.md"
    assert up_to_date(PAGE) == PAGE, f"run: {command}"


def test_the_models_have_these_bytes(tmp_path: Path) -> None:
    sizes = [cells for cells in rows("Its options") if len(cells) == 3 and cells[2][:1].isdigit()]
    assert len(sizes) == 9
    for _, said, per_token in sizes:
        name = said.split("`")[1]
        own = f"{name}\n" if " : " in name else f"model m : {name} {{ }}\n"
        (tmp_path / "m.kvs").write_text(
            f"kvs 1\nuse models\n{own}tier dram : memory {{ }}\n"
            "pattern pages : transfer { model = m; page = 1 tokens; prompt = 1 tokens; op = read }\n"
            "sweep s { pattern = pages; tier = dram; seed = 1 }\n"
        )
        result = CliRunner().invoke(main, ["size", str(tmp_path / "m.kvs"), "--format", "csv"])
        assert result.exit_code == 0, result.stderr
        [row] = csv.DictReader(io.StringIO(result.stdout))
        assert f"{int(row['exact_block_bytes']):,}" == per_token, name


def test_the_studys_figures() -> None:
    """Each row again from its trials, and these from tokens and seconds."""
    trials = {
        "GPU": [(146_900, 86.83), (148_262, 98.74), (147_313, 78.35)],
        "GPU + CPU": [(148_297, 85.37), (146_891, 85.38), (148_164, 125.60)],
        "GPU + CPU + NVMe": [(118_293, 82.96), (147_313, 146.68), (147_832, 134.89)],
        "NVMe": [(147_313, 553.26), (146_625, 562.26), (146_684, 560.58)],
    }
    table = {cells[0]: cells[1:] for cells in rows("Reading the published study")}
    for name, own in trials.items():
        printed, each, _, population, sample, median = table[name]
        rates = [int(rate.replace(",", "")) for rate in each.split()]
        assert rates == pytest.approx([tokens / seconds for tokens, seconds in own], abs=2)
        assert f"{statistics.mean(rates):,.0f}" == printed.split()[0]
        assert [round(statistics.pstdev(rates)), round(statistics.stdev(rates))] == [int(population), int(sample)]
        assert f"{statistics.median(rates):,.0f}" == median
    without = [147_313 / 146.68, 147_832 / 134.89]
    assert f"{statistics.mean(without):,.0f}" == "1,050" and "1,004 and 1,096: 1,050, not 1,175" in PAGE
