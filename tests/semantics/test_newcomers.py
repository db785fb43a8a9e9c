"""What someone gets wrong who knows no more than what `kvscen new` writes, and what helps them on.

In newcomers/ are whole files by people who come from elsewhere, and what each is told: read it aloud before you keep it
(`UPDATE_GOLDEN=1 pytest tests/semantics/test_newcomers.py`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kvscen.language import instead, scan, unknown
from kvscen.language.blocks import BUILT_INS, SweepSettings
from kvscen.language.conversations import UsersSettings
from kvscen.language.mistakes import items as mistaken
from kvscen.language.render import render
from kvscen.language.schema import settings_of
from kvscen.lint import lint_file
from kvscen.plugin.registry import registry
from kvscen.starter import chosen, scenario_text

NEWCOMERS = Path(__file__).parent / "newcomers"

#: What is changed in the scenario about this, as a pattern and its replacement; and what must be said.
MISTAKES = [
    ("blocks", r"= 256 MiB", "= 256 mb", "KVS104", "write `MiB` (1024^2 bytes) or `MB` (1000^2 bytes)"),
    ("blocks", r"= 1 MiB ", "= 64 KB ", "KVS104", "write `KiB` (1024 bytes) or `kB` (1000 bytes)"),
    ("blocks", r"= 1 MiB ", "= 1048576 ", "KVS105", "write a size in bytes such as `4 MiB`"),
    ("blocks", r"= 0\.5 s", "= 10 seconds", "KVS104", "write `s`"),
    ("blocks", r"depth ", "iodepth ", "KVS102", "did you mean `depth`?"),
    ("blocks", r"block  ", "blocksize ", "KVS102", "did you mean `block`?"),
    ("blocks", r"working_set", "size", "KVS102", "did you mean `working_set`?"),
    ("blocks", r"time ", "runtime ", "KVS102", "did you mean `time`?"),
    ("blocks", r"op          = read", "rw = read", "KVS102", "did you mean `op`?"),
    ("blocks", r"= read ", '= "read" ', "KVS105", "write `read`"),
    ("blocks", r"op          =", "op:", "KVS024", "write `=`"),
    ("blocks", r'"\./kv-data"', '"~/kv-data"', "KVS105", "a folder that is called so is `./~`"),
    ("blocks", r'"\./kv-data"', '"$HOME/kv-data"', "KVS105", "a folder that is called so is `./$HOME`"),
    ("blocks", r'"\./kv-data"', "/mnt/nvme", "KVS025", 'write "/mnt/nvme"'),
    ("blocks", r": posix", ": nvme", "KVS301", "did you mean `posix`?"),
    ("blocks", r"path = dir; ", "", "KVS113", "add `path = ...`"),
    ("blocks", r"\n}\n\nsweep", "\n\nsweep", "KVS022", "write `}` behind the last setting of the block"),
    ("blocks", r"sweep sizes(.|\n)*", "", "KVS123", "add `sweep NAME {"),
    ("blocks", r"block in \[", "block = [", "KVS105", "in a sweep `in` varies it over a list"),
    ("blocks", r"blocks\.op ", "op ", "KVS102", "did you mean `blocks.op`?"),
    ("blocks", r"blocks\.op ", "pattern.op ", "KVS101", "a setting is named by its block: `blocks.op`"),
    ("blocks", r"blocks\.op ", "transfer.op ", "KVS101", "a setting is named by its block: `blocks.op`"),
    ("blocks", r"errors == 0", "p99 <= 10 ms", "KVS121", "write `latency_p99`"),
    ("blocks", r"errors == 0", "latency <= 10 ms", "KVS121", "kvscen explain latency"),
    ("blocks", r"errors == 0", "iops > 1000 /s", "KVS121", "write `operations_per_s`"),
    ("blocks", r"errors == 0", "bandwidth > 1 GB/s", "KVS121", "write `throughput`"),
    ("blocks", r"errors == 0", "throughput > 1 GB", "KVS120", "write a bandwidth such as `200 MiB/s`"),
    ("blocks", r"errors == 0", "errors = 0", "KVS024", "write `==`"),
    ("blocks", r"errors == 0", "ttft_p50 < 1 s", "KVS407", "add `prefill = 8000 tokens/s` to the pattern"),
    ("blocks", r"trials = 3", "trials = -3", "KVS105", "write a count"),
    ("cache", r'\[dram, disk\]', '["dram", "disk"]', "KVS105", "write `dram`"),
    ("cache", r"errors == 0", "hit_rate >= 0.5", "KVS120", "write a percentage such as `85 %`"),
    ("model", r"llama3_1_8b \{", "llama3_8b {", "KVS117", "did you mean `llama3_1_8b`?"),
    ("model", r"use models.*\n", "", "KVS117", "add `use models` below the first line"),
    ("model", r"= 16 tokens", "= 16", "KVS105", "write `16 tokens`"),
    ("model", r"= 16 tokens", "= 16 toks", "KVS104", "write `tokens`"),
    ("model", r": llama3_1_8b ", ': "meta-llama/Llama-3.1-8B-Instruct" ', "KVS020", "write `llama3_1_8b`"),
    ("model", r": llama3_1_8b ", ": llama3.1:8b ", "KVS020", "write `llama3_1_8b`"),
    ("model", r"= 1000 tokens", "= 1k", "KVS104", "write `1_000 tokens` or `1_024 tokens`"),
    ("model", r"in \[1, 10\]", "in 1-16", "KVS118", "write `pow2(1, 16)`"),
    ("blocks", r"in \[4 KiB.*\]", "in 4 KiB..16 MiB", "KVS027", "write `pow2(4 KiB, 16 MiB)`"),
    ("blocks", r"in \[4 KiB.*\]", "in [4, 64, 1024] KiB", "KVS027", "write `[4 KiB, 64 KiB, 1024 KiB]`"),
    ("blocks", r"in \[4 KiB.*\]", "in [4, 64, 1024]", "KVS105", "write a size in bytes such as `4 MiB`"),
    ("blocks", r"in \[4 KiB.*\]", "in range(4 KiB, 16 MiB)", "KVS101", "`pow2(from, to)`"),
    ("blocks", r"in \[write, read\]", "in write, read", "KVS029", "in [write, read]"),
    ("blocks", r"in \[write, read\]", "in all", "KVS118", "write some of `[read, write, mixed]`"),
    ("blocks", r"op          = read", "op = randread", "KVS101", "write `read` with `order = random`"),
    ("blocks", r"direct = true", "direct = yes", "KVS101", "write `true`"),
    ("blocks", r"= disk\n", "= posix\n", "KVS101", "`tier NAME : posix { ... }`"),
    ("blocks", r"time   = 0.5 s", "time = 60", "KVS105", "such as `60 s`"),
    ("blocks", r"errors == 0", "p99 latency < 5 ms", "KVS030", "write `latency_p99`"),
    ("cache", r"capacities = \[.*\] }", "capacities = 1 GiB }", "KVS105", "write `[1 GiB]`"),
    ("network", r"memkv \{ \}", 'redis { host = "a" }', "KVS102", "did you mean `endpoint`?"),
    ("network", r"memkv \{ \}", "sim { bandwidth = 10 Gb/s; latency = 1 us; parallelism = 8 }", "KVS104", "`Gbit/s`"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "right", "wrong", "code", "help"), MISTAKES, ids=[m[2][:24] for m in MISTAKES])
def test_mistake(
    about: str, right: str, wrong: str, code: str, help: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = scenario_text(chosen(about), "x.kvs")
    changed, count = re.subn(right, wrong.replace("\\", "\\\\"), text, count=1)
    assert count == 1
    Path("x.kvs").write_text(changed)
    found = lint_file(Path("x.kvs")).diagnostics
    assert code in {d.code for d in found} and any(help in d.help for d in found), render(found)


@pytest.mark.parametrize("name", sorted(path.stem for path in NEWCOMERS.glob("*.kvs")))
def test_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.kvs").write_text((NEWCOMERS / f"{name}.kvs").read_text())
    shown = render(lint_file(Path(f"{name}.kvs")).diagnostics)
    golden = NEWCOMERS / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown)
    assert shown == golden.read_text()


def test_what_is_meant_is_there() -> None:
    """The settings and words that are offered instead of others' are ones of the language."""
    declared = [SweepSettings, UsersSettings, *(d for kind in BUILT_INS.values() for d in kind.values())]
    declared += [registry().driver(name).settings for name in registry().names()]
    settings = {name: info for each in declared for name, info in settings_of(each).items()}
    assert set(unknown.CALLED) <= set(settings)
    words = {word for each in declared for info in settings_of(each).values() for word in info.type.words}
    assert {word for word, _ in instead.WORDS_MEANT.values()} <= words
    assert set(mistaken.NOT_THERE).isdisjoint(scan.KINDS)
