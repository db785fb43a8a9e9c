"""A file of any size is read in the same memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trace.support import MOONCAKE, SHAREGPT

_READ = r"""
import re, sys
from pathlib import Path
from kvscen.trace import Counter, open_trace, write_parquet
trace = open_trace(Path(sys.argv[1]))
counter = Counter(trace.about)
def rows():
    for batch in trace.batches():
        counter.add(batch)
        yield batch
write_parquet(Path(sys.argv[1] + ".parquet"), trace.about, rows())
# Not ru_maxrss: a new program begins with what the one had that started it.
peak_kib = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
print(counter.summary().requests, int(peak_kib) * 1024)
"""


def _members(path: Path, start: bytes, member: bytes, times: int, end: bytes) -> None:
    """A gzip file of many members: gigabytes that are soon written."""
    packed = gzip.compress(member, 1)
    with path.open("wb") as file:
        file.write(gzip.compress(start))
        for _ in range(times):
            file.write(packed)
        file.write(gzip.compress(end))


@pytest.mark.parametrize(
    ("form", "size_mib"),
    [
        ("sharegpt", 200),
        pytest.param("mooncake", 200, marks=pytest.mark.slow),
        pytest.param("burstgpt", 200, marks=pytest.mark.slow),
        pytest.param("mooncake", 10 * 1024, marks=pytest.mark.long),
        pytest.param("sharegpt", 1024, marks=pytest.mark.long),
        pytest.param("burstgpt", 1024, marks=pytest.mark.long),
    ],
)
def test_any_size_in_300_mib(form: str, size_mib: int, tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    mib = 1 << 20
    if form == "mooncake":
        line = json.dumps(MOONCAKE[0] | {"input_length": 512 * 1000, "hash_ids": list(range(1000))}).encode() + b"\n"
        start, end, requests = b"", b"", mib // len(line)
        member = line * requests
    elif form == "sharegpt":
        item = json.dumps(SHAREGPT[0] | {"pad": "x" * 10_000}).encode() + b",\n"
        start, end, requests = b"[", json.dumps(SHAREGPT[1]).encode() + b"]", mib // len(item)
        member, requests = item * requests, 2 * requests
    else:
        line = b"5,ChatGPT,472,18,490,API log" + b" " * 400 + b"\n"
        start, end = b"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n", b""
        requests = mib // len(line)
        member = line * requests
    _members(path, start, member, size_mib, end)
    done = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True, check=True)
    counted, peak_bytes = map(int, done.stdout.split())
    assert counted == requests * size_mib
    assert peak_bytes < 300 * mib
