"""What is wrong with a text: the code, and the exact text under the caret."""

from __future__ import annotations

import pytest

from kvscen.language.codes import CODES
from kvscen.language.diagnose import Severity
from tests.semantics.support import HEAD, problems, shown, sweep

#: code, what stands under the caret, the text
CASES = [
    # ---- names
    ("KVS101", "dsk", sweep("tier = dsk")),
    ("KVS101", "raed", sweep("tier = disk; pages.op = raed")),
    ("KVS101", "pags.op", sweep("tier = disk; pags.op = read")),
    ("KVS101", "sizes", sweep("tier = disk; pages.block in sizes")),
    ("KVS101", "pages.block", sweep("tier = disk; pages.working_set = pages.block")),
    ("KVS101", "powtwo", sweep("tier = disk; pages.block in powtwo(1 KiB, 4 KiB)")),
    ("KVS102", "direkt", HEAD + "tier b : ssd { direkt = true }\n" + sweep("tier = disk", "")),
    ("KVS102", "trails", sweep("tier = disk; trails = 3")),
    ("KVS102", "pages.opp", sweep("tier = disk; pages.opp = read")),
    ("KVS102", "pages", sweep("tier = disk; pages = 3")),
    ("KVS102", "a.b.c", sweep("tier = disk; a.b.c = 3")),
    ("KVS103", "disk", HEAD + "let disk = 3\n" + sweep("tier = disk", "")),
    ("KVS108", "fast", HEAD + "let fast = 1\n" + sweep("tier = dram; dram.engine = fast", "")),
    ("KVS115", "transfer", HEAD + "let transfer = 1\n" + sweep("tier = disk", "")),
    ("KVS115", "ssd", HEAD + "let ssd = 1\n" + sweep("tier = disk", "")),
    ("KVS115", "mla", HEAD + "let mla = 1\n" + sweep("tier = disk", "")),
    ("KVS115", "uniform", HEAD + "let uniform = 1\n" + sweep("tier = disk", "")),
    ("KVS115", "trials", HEAD + "let trials = 1\n" + sweep("tier = disk", "")),
    ("KVS115", "min", HEAD + "let min = 1\n" + sweep("tier = disk", "")),
    # ---- bases
    ("KVS117", "b", HEAD + 'tier b { path = "x" }\n' + sweep("tier = disk", "")),
    ("KVS117", "pages", HEAD + "tier b : pages {}\n" + sweep("tier = disk", "")),
    ("KVS117", "trnsfer", HEAD + "pattern b : trnsfer {}\n" + sweep("tier = disk", "")),
    ("KVS117", "llama3_1_8b", HEAD + "model m : llama3_1_8b {}\n" + sweep("tier = disk", "")),
    ("KVS117", "disk", HEAD + "sweep t : disk {}\n" + sweep("tier = disk", "")),
    ("KVS240", '"c.json"', HEAD + 'model m : hf("c.json") {}\n' + sweep("tier = disk", "")),
    ("KVS109", "hf(3)", HEAD + "model m : hf(3) {}\n" + sweep("tier = disk", "")),
    ("KVS109", 'hf("a", "b")', HEAD + 'model m : hf("a", "b") {}\n' + sweep("tier = disk", "")),
    ("KVS109", 'fh("c.json")', HEAD + 'model m : fh("c.json") {}\n' + sweep("tier = disk", "")),
    ("KVS109", "hf", HEAD + 'let m = hf("c.json")\n' + sweep("tier = disk", "")),
    ("KVS115", "hf", HEAD + "let hf = 1\n" + sweep("tier = disk", "")),
    ("KVS117", 'hf("c.json")', HEAD + 'tier t : hf("c.json") {}\n' + sweep("tier = disk", "")),
    ("KVS301", "pisox", HEAD + "tier b : pisox {}\n" + sweep("tier = disk", "")),
    ("KVS301", "broken", HEAD + "tier b : broken {}\n" + sweep("tier = disk", "")),
    ("KVS301", "twice", HEAD + "tier b : twice {}\n" + sweep("tier = disk", "")),
    ("KVS111", "c", HEAD + "tier b : c {}\ntier c : b {}\n" + sweep("tier = disk", "")),
    ("KVS111", "b", HEAD + "tier b : b {}\n" + sweep("tier = disk", "")),
    ("KVS111", "a", HEAD + "let a = b\nlet b = a\n" + sweep("tier = disk", "")),
    ("KVS111", "[t]", HEAD + "tier t : stack { levels = [t] }\n" + sweep("tier = t", "")),
    # ---- units and values
    ("KVS104", "GiBs", sweep("tier = disk; pages.block = 4 GiBs")),
    ("KVS104", "KB", sweep("tier = disk; pages.block = 4 KB")),
    ("KVS105", "4", sweep("tier = disk; pages.block = 4")),
    ("KVS105", "4 s", sweep("tier = disk; pages.block = 4 s")),
    ("KVS105", "4 %", sweep("tier = disk; trials = 4 %")),
    ("KVS105", "0", sweep("tier = disk; trials = 0")),
    ("KVS105", "2.5", sweep("tier = disk; trials = 2.5")),
    ("KVS105", "1 MiB / 3", sweep("tier = disk; pages.block = 1 MiB / 3")),
    ("KVS105", "dram", sweep("tier = disk; pages.pattern = dram").replace("pages.pattern", "pages.model")),
    ("KVS105", "pages", sweep("tier = pages")),
    ("KVS105", '"fast"', sweep('tier = dram; dram.engine = "fast"')),
    ("KVS105", "1", HEAD + "tier t : stack { levels = [disk, 1] }\n" + sweep("tier = t", "")),
    ("KVS105", "disk", HEAD + "tier t : stack { levels = disk }\n" + sweep("tier = t", "")),
    ("KVS105", "1 MiB", sweep("tier = disk; pages.block in [1 MiB, 2 MiB]; seed = 1 MiB")),
    ("KVS106", "1 MiB + 1 s", sweep("tier = disk; pages.block = 1 MiB + 1 s")),
    ("KVS106", "0", sweep("tier = disk; pages.block = 1 MiB / 0")),
    ("KVS106", "read", sweep("tier = disk; trials = 1 + read")),
    ("KVS107", "1e30", sweep("tier = disk; trials = 1e30")),
    ("KVS107", "8000000 TiB * 1000", sweep("tier = disk; pages.block = 8000000 TiB * 1000")),
    ("KVS109", "pow2(1 KiB)", sweep("tier = disk; pages.block in pow2(1 KiB)")),
    ("KVS109", "5 KiB", sweep("tier = disk; pages.block in pow2(1 KiB, 5 KiB)")),
    ("KVS109", "1", sweep("tier = disk; pages.block in linear(1 KiB, 5 KiB, 1)")),
    ("KVS109", "hf", sweep('tier = disk; pages.block in hf("config.json")')),
    ("KVS105", 'secret("key")', sweep('tier = disk; pages.block = secret("key")')),
    ("KVS109", "zipf(5)", sweep("tier = disk; pages.block in zipf(5)")),
    ("KVS105", "uniform(1 KiB, 2 KiB)", sweep("tier = disk; pages.block = uniform(1 KiB, 2 KiB)")),
    ("KVS105", "uniform(1 KiB, 2 KiB)", sweep("tier = disk; pages.block in [1 KiB, uniform(1 KiB, 2 KiB)]")),
    # ---- statements
    ("KVS112", "trials", sweep("tier = disk; trials = 3; trials = 4")),
    ("KVS112", "pages.op", sweep("tier = disk; pages.op in [read]; pages.op in [write]")),
    ("KVS112", "s.tier", sweep("tier = disk; s.tier in [disk]")),
    ("KVS112", "path", HEAD + 'tier b : ssd { path = "a"; path = "b" }\n' + sweep("tier = disk", "")),
    ("KVS116", "path in [1]", HEAD + "tier b : ssd { path in [1] }\n" + sweep("tier = disk", "")),
    ("KVS116", "disk.path", HEAD + 'tier b : ssd { disk.path = "x" }\n' + sweep("tier = disk", "")),
    ("KVS116", "order", sweep("tier = disk; order in [interleaved, sequential]")),
    (
        "KVS116",
        "t.trials",
        HEAD + "sweep t { pattern = pages; tier = disk }\n" + sweep("tier = disk; t.trials = 3", ""),
    ),
    ("KVS118", "3", sweep("tier = disk; trials in 3")),
    ("KVS118", "[]", sweep("tier = disk; trials in []")),
    ("KVS118", "3", sweep("tier = disk; (trials, pages.threads) in [(1, 2), 3]")),
    ("KVS118", "(1, 2, 3)", sweep("tier = disk; (trials, pages.threads) in [(1, 2, 3)]")),
    ("KVS118", "n", HEAD + "let n = 1\n" + sweep("tier = disk; n in [1, 2]; pages.threads in [n]; trials = n", "")),
    ("KVS120", "pages.op < read", sweep("tier = disk; skip when pages.op < read")),
    ("KVS105", "3 s", sweep("tier = disk; skip when pages.threads == 3 s")),
    ("KVS120", "3 s", sweep("tier = disk; expect errors == 3 s")),
    ("KVS120", "200", sweep("tier = disk; expect throughput >= 200")),
    ("KVS121", "througput", sweep("tier = disk; expect througput >= 200 MiB/s")),
    ("KVS121", "latency_p99_ns", sweep("tier = disk; expect latency_p99_ns <= 1 ms")),
    ("KVS121", "dsk.hit_rate", sweep("tier = disk; expect dsk.hit_rate >= 1 %")),
    ("KVS122", "use foo", "kvs 1\nuse foo\n" + sweep("tier = disk").removeprefix("kvs 1\n")),
    ("KVS122", 'use "a.kvs"', 'kvs 1\nuse "a.kvs"\n' + sweep("tier = disk").removeprefix("kvs 1\n")),
    ("KVS123", "}", HEAD),
    # ---- at the points
    ("KVS113", "b", HEAD + "tier b : ssd {}\n" + sweep("tier = b", "")),
    ("KVS113", "s", sweep("")),
    ("KVS113", "mixed", sweep("tier = disk; pages.op = mixed")),
    ("KVS114", "7", sweep("tier = disk; time = 1 s; operations = 7")),
    ("KVS113", "strided", sweep("tier = disk; pages.order = strided")),
    ("KVS105", '"3-1"', sweep('tier = disk; pages.cpus = "3-1"')),
    ("KVS105", '"0,0"', sweep('tier = disk; pages.cpus = "0,0"')),
    ("KVS105", '"a"', sweep('tier = disk; pages.cpus = "a"')),
    ("KVS105", "11", sweep("tier = disk; pages.order = zipf; pages.skew = 11")),
    ("KVS114", "1", sweep('tier = disk; pages.cpus = "0-3"; pages.numa = 1')),
    ("KVS114", "7", sweep("tier = disk; until = steady; operations = 7")),
    ("KVS114", "2", sweep("tier = disk; until = steady; pages.processes = 2")),
    ("KVS403", "4 s", sweep("tier = disk; until = steady; time = 1 s; cap = 4 s")),
    ("KVS403", "13 s", sweep("tier = disk; until = steady; time = 13 s")),
    ("KVS119", "dram.engine", sweep("tier = disk; dram.engine in [fast, slow]")),
    (
        "KVS119",
        "disk.direct",
        HEAD + "tier b : disk { direct = true }\n" + sweep("tier = b; disk.direct in [true, false]", ""),
    ),
    ("KVS126", "skip when tier == disk", sweep("tier = disk; skip when tier == disk")),
    ("KVS125", "skip when tier == dram", sweep("tier = disk; skip when tier == dram")),
    ("KVS125", "dram.engine = slow", sweep("tier = disk; dram.engine = slow")),
    ("KVS125", "pages.reads = 50 %", sweep("tier = disk; pages.reads = 50 %")),
    ("KVS203", "16 tokens", sweep("tier = disk; pages.page = 16 tokens")),
    ("KVS205", "1 KiB", sweep("tier = disk; pages.working_set = 1 KiB")),
    ("KVS302", "write", HEAD + "tier n : net {}\n" + sweep("tier = n; pages.op = write", "")),
    ("KVS302", "vram", sweep("tier = disk; pages.memory = vram")),
    ("KVS302", "2", sweep("tier = dram; pages.processes = 2")),
    ("KVS302", "2000", sweep("tier = disk; disk.queue = 2000")),
    ("KVS302", "2", HEAD + "tier t : stack { levels = [dram] }\n" + sweep("tier = t; pages.processes = 2", "")),
    ("KVS303", "c", HEAD + "tier c : crashing {}\n" + sweep("tier = c", "")),
    ("SSD1", "1000 B", sweep("tier = disk; pages.block = 1000 B")),
]


@pytest.mark.parametrize(("code", "under", "text"), CASES, ids=[f"{c}-{u}" for c, u, _ in CASES])
def test_one_problem(code: str, under: str, text: str) -> None:
    found = problems(text)
    assert [(d.code, d.span.text if d.span else None) for d in found] == [(code, under)], shown(found)
    shown(found)
    assert code not in CODES or found[0].severity is CODES[code].severity


def test_every_problem_says_what_to_do() -> None:
    for code, under, text in CASES:
        for diagnostic in problems(text):
            assert diagnostic.help or code == "SSD1", (code, under, diagnostic.message)


def test_all_problems_at_once() -> None:
    found = problems(
        """kvs 1
let a = 1 MiB + 1 s
tier disk : ssd { pth = "x"; direct = yes }
pattern pages : transfer { block = 4; op = red }
sweep s {
  pattern = pages
  tier = dsk
  trails = 3
  expect througput >= 1 MiB/s when pages.op == rite
}
"""
    )
    assert [d.span.text for d in found if d.span] == [
        "1 MiB + 1 s",
        "pth",
        "yes",
        "4",
        "red",
        "dsk",
        "trails",
        "througput",
        "rite",
    ] or [d.span.text for d in found if d.span] == [
        "1 MiB + 1 s",
        "pth",
        "yes",
        "4",
        "red",
        "dsk",
        "trails",
        "rite",
        "througput",
    ], shown(found)
    assert all(d.severity is Severity.ERROR for d in found)


def test_no_cascade_from_a_broken_name() -> None:
    # The tier's driver is unknown: that its settings and its points cannot be judged is no problem of its own.
    found = problems(HEAD + "tier b : pisox { path = 3 }\n" + sweep("tier = b; b.path = 7", ""))
    assert [d.code for d in found] == ["KVS301"], shown(found)
    found = problems(HEAD + "let n = 1 MiB + 1\n" + sweep("tier = disk; pages.block = n", ""))
    assert [d.code for d in found] == ["KVS106"], shown(found)
    # A block that could not be read is not missed where it is used.
    found = problems(HEAD + "tier b : ssd { path = = }\n" + sweep("tier = b", ""))
    assert all(d.code.startswith("KVS0") for d in found), shown(found)


def test_help_names_what_was_meant() -> None:
    for text, meant in (
        (sweep("tier = dsk"), "disk"),
        (sweep("tier = disk; trails = 3"), "trials"),
        (sweep("tier = disk; pages.op = raed"), "read"),
        (sweep("tier = disk; pages.block = 4 gib"), "GiB"),
        (sweep("tier = disk; expect latnecy_p99 <= 1 ms"), "latency_p99"),
        (sweep("tier = disk; pages.block in pow(1 KiB, 4 KiB)"), "pow2"),
        (HEAD + "tier b : sdd {}\n" + sweep("tier = disk", ""), "ssd"),
    ):
        [found] = problems(text)
        assert f"did you mean `{meant}`" in found.help, (text, found.help)
    [found] = problems(HEAD + "model m : llama3_1_8b {}\n" + sweep("tier = disk", ""))
    assert "use models" in found.help


def test_the_point_is_named_where_a_problem_depends_on_it() -> None:
    [found] = problems(sweep("tier in [disk, dram]; pages.processes in [1, 2]"))
    assert found.code == "KVS302"
    assert found.label == "at tier = dram, pages.processes = 2"


USERS = "users talkers : chat { }\n"
TALK = "pattern day : conversations { block = 64 KiB; %s }\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TALK % "mix = [talkers]", "define a kind of users: `users talkers : chat { }`"),
        (
            USERS + TALK % "mix = [chat]",
            "define a kind of users, `users NAME : chat { ... }`",
        ),
        (USERS + TALK % "mix = [disk]", "`disk` is a tier; expected the name of a kind of users"),
        (USERS + TALK % "mix = [toker]", "the kinds of users here are `talkers`"),
        (
            USERS + "tier t : stack { levels = [talkers] }\n",
            "`talkers` is a kind of users; expected the name of a tier",
        ),
        (
            TALK % "context = 20 tokens",
            "`context` is a setting of users: write it into a block `users NAME : chat { }`",
        ),
        ("users u : chat { p95 = 3 ms }\n", "did you mean `target_p95`?"),
        (TALK % "qps = 3 /s", "did you mean `rate`?"),
        (TALK % "rate = 3 rps", "write `/s`"),
        (USERS + sweep("tier = disk; expect talkers.latency_p95 < 1 s", ""), "give them a `target_p95`"),
        (sweep("tier = disk; expect qos_met == 1", ""), "write `qos_missed == 0`"),
    ],
)
def test_a_newcomer_is_told_what_to_do(text: str, says: str) -> None:
    said = [f"{found.message} {found.help}" for found in problems(HEAD + text)]
    assert any(says in each for each in said), said
