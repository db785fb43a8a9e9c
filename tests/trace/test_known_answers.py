"""Real traces against the counts of an independent simulator, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvscen.trace import Counter, Summary, Trace, open_trace, write_parquet

TRACES = Path(__file__).parents[3] / "shared" / "traces"
pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces are not on this machine")


def counted(trace: Trace) -> Summary:
    counter = Counter(trace.about)
    for batch in trace.batches():
        counter.add(batch)
    return counter.summary()


@pytest.mark.parametrize("name", ["mooncake_conversation.jsonl", "agentic50_sequential.jsonl.gz"])
def test_counts(name: str, tmp_path: Path) -> None:
    known = json.loads((TRACES / "reference_hit_rates.json").read_text())["traces"][name]
    trace = open_trace(TRACES / name)
    assert trace.about.block_tokens == known["block_size_tokens"]
    found = counted(trace)
    for figure in ("requests", "block_lookups", "unique_blocks", "input_tokens", "output_tokens"):
        assert getattr(found, figure) == known[figure], figure
    assert round(found.reuse_ratio or 0, 6) == known["reuse_ratio"]
    assert found.odd_requests == 0
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    assert counted(open_trace(path)) == found


def test_azure() -> None:
    trace = open_trace(TRACES / "azure_llm_2023_conv.csv")
    found = counted(trace)
    # Requests as its README counts them; the times of the first and the last line, by hand.
    assert found.requests == 19_366
    assert found.duration_ns == (58 * 60 + 21) * 10**9 + 721_937_000
