"""The two traces with hash ids that an independent simulator has counted, for tests; skipped where they are not."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "traces"
MOONCAKE, AGENTIC = "mooncake_conversation.jsonl", "agentic50_sequential.jsonl.gz"
#: The agentic trace has 6.8 million look-ups.
TRACES = (MOONCAKE, pytest.param(AGENTIC, marks=pytest.mark.long))
Workload = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@cache
def counted(name: str) -> dict[str, Any]:
    """What the independent simulator counted."""
    path = FOLDER / "reference_hit_rates.json"
    if not path.exists():
        pytest.skip(f"no traces in {FOLDER}")
    return json.loads(path.read_text())["traces"][name]


@cache
def workload(name: str) -> Workload:
    """ids and offsets: request r asks for ids[offsets[r]:offsets[r + 1]]."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no trace {path}")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        requests = [np.array(json.loads(line)["hash_ids"], np.int64) for line in lines]
    return np.concatenate(requests), np.cumsum([0, *map(len, requests)])
