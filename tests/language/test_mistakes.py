"""The mistakes that people make: each gives one diagnostic with the right code under the right words."""

from __future__ import annotations

import re

import pytest

from kvscen.language import grammar
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.parse import parse
from kvscen.language.render import render
from kvscen.language.syntax import Block


def problems(text: str) -> tuple[Diagnostic, ...]:
    return parse(Source("test.kvs", text))[1]


# What is wrong, its code, the words under the caret, a piece of the message or the help.
IN_A_BLOCK = [
    ("capacity = 4 TiB path = dir", "KVS021", "path", "`capacity = 4 TiB; path = dir`"),
    ("time = 5 warmup = 3", "KVS021", "warmup", "`time = 5; warmup = 3`"),
    ("trials = 5 pages.op in [a]", "KVS021", "pages.op", ";"),
    ("trials = 5 skip when a == 1", "KVS021", "skip", ";"),
    ("trials = 5 expect errors == 0", "KVS021", "expect", ";"),
    ("trials = 5 find highest a.rate where errors == 0", "KVS021", "find", ";"),
    ('path = "a" direct = true', "KVS021", "direct", ";"),
    ("a in [1] b in [2]", "KVS021", "b", ";"),
    ("path: dir", "KVS024", ":", "write `=`"),
    ("path := dir", "KVS024", ":=", "write `=`"),
    ("trials == 3", "KVS024", "==", "compares"),
    ("trials >= 3", "KVS024", ">=", "compares"),
    ("trials => 3", "KVS024", "=>", "write `=`"),
    ("trials += 3", "KVS024", "+=", "whole value"),
    ("direct true", "KVS024", "true", "`=` is missing"),
    ("pages.op [read, write]", "KVS024", "[", "in [...]"),
    ("skip when a = 3", "KVS024", "=", "write `==`"),
    ("skip when a: 3", "KVS024", ":", "write `==`"),
    ("skip when a => 3", "KVS024", "=>", "write `>=`"),
    ("skip when a =< 3", "KVS024", "=<", "write `<=`"),
    ("skip when a <> 3", "KVS024", "<>", "write `!=`"),
    ("expect errors = 0", "KVS024", "=", "write `==`"),
    ("find highest a.rate where latency_p99 = 5 ms", "KVS024", "=", "write `==`"),
    ("find highest a.rate where latency_p99 =< 5 ms", "KVS024", "=<", "write `<=`"),
    ("find", "KVS034", "find", "what should be found"),
    ("find max a.rate where errors == 0", "KVS034", "max", "did you mean `highest`"),
    ("find higest a.rate where errors == 0", "KVS034", "higest", "did you mean `highest`"),
    ("find a.rate where errors == 0", "KVS034", "a", "find highest PATH where"),
    ("find highest", "KVS034", "", "an axis is missing after `highest`"),
    ("find lowest where errors == 0", "KVS034", "where", "find lowest PATH where"),
    ("find highest a.rate", "KVS034", "", "`where` is missing"),
    ("find highest a.rate when errors == 0", "KVS034", "when", "write `where`"),
    ("find highest a.rate where", "KVS034", "", "a measure is missing"),
    ("find highest a.rate where errors", "KVS030", "errors", "compared with nothing"),
    ("find highest a.rate where errors ==", "KVS031", "", "a value is missing after `==`"),
    ("find highest a.rate where a <= 5 ms or b == 0", "KVS034", "or", "joined by `and`"),
    ("find highest a.rate where a <= 5 ms when b == 0", "KVS034", "when b == 0", "has no `when`"),
    ("find saturation", "KVS034", "", "`of` is missing"),
    ("find saturation over a.depth", "KVS034", "over", "`of` is missing"),
    ("find saturation of throughput", "KVS034", "", "`over` is missing"),
    ("find saturation of throughput by a.depth", "KVS034", "by", "write `over`"),
    ("find saturation of throughput over", "KVS034", "", "an axis is missing"),
    ("find saturation of throughput over a.depth by 5 %", "KVS034", "by", "write `within`"),
    ("find saturation of throughput over a.depth where errors == 0", "KVS034", "where errors == 0", "no condition"),
    ("path = 'a b'", "KVS025", "'a b'", 'write "a b"'),
    ("path = “a”", "KVS025", "“a”", 'write "a"'),
    ('path = "a', "KVS025", '"a', "closing"),
    ("path = /mnt/nvme", "KVS025", "/mnt/nvme", 'write "/mnt/nvme"'),
    ("path = ./data", "KVS025", "./data", 'write "./data"'),
    ("path = ~/data", "KVS025", "~/data", 'write "~/data"'),
    ("levels = [./a, b]", "KVS025", "./a", 'write "./a"'),
    ("endpoint = tcp://host:1", "KVS025", "tcp://host:1", 'write "tcp://host:1"'),
    ("path = ${HOME}", "KVS028", "${HOME}", "let home"),
    ("path = $DIR", "KVS028", "$DIR", "--set dir="),
    ("trials = 3 // three", "KVS028", "//", "#"),
    ("trials = 3 /* three */", "KVS028", "/*", "#"),
    ("skip when a == 1 && b == 2", "KVS028", "&", "`and`"),
    ("skip when a == 1 || b == 2", "KVS028", "|", "`or`"),
    ("skip when !a == 1", "KVS028", "!", "`not`"),
    ("trials = 5\u00a0", "KVS028", "\u00a0", "no-break space (U+00A0)"),
    ("naïve = 3", "KVS028", "ï", "cannot be part of a name"),
    ("a = 3 × 4", "KVS028", "×", "`*`"),
    ("a = 5 \u2212 4", "KVS028", "\u2212", "`-`"),
    ("a = @", "KVS028", "@", "quotes"),
    ("a = 1,000,000", "KVS027", "1,000,000", "`1000000` or `1_000_000`"),
    ("a = 1 000", "KVS027", "1 000", "`1000` or `1_000`"),
    ("a = .5", "KVS027", ".5", "`0.5`"),
    ("a = 5.", "KVS027", "5.", "2.5"),
    ("a = 1.2.3", "KVS027", "1.2.3", "one point"),
    ("a = 1..4", "KVS027", "1..4", "`in pow2(1, 4)`"),
    ("a = 1_", "KVS027", "1_", "underscore"),
    ("a = 1e999999999", "KVS027", "1e999999999", "exponent"),
    (f"a = {'9' * 101}", "KVS027", "9" * 101, "digits"),
    ("trials = 3, warmup = 4", "KVS029", ",", "newline or `;`"),
    ("trials = 3,", "KVS029", ",", "newline or `;`"),
    ("tier in a, b", "KVS029", ",", "[ ]"),
    ("a = [b c]", "KVS029", "c", "write `,`"),
    ("a = [1 GiB 2 GiB]", "KVS029", "2", "write `,`"),
    ("a = [1, , 2]", "KVS029", ",", "value is missing"),
    ("a = [1; 2]", "KVS029", ";", "write `,`"),
    ("a = 3 4", "KVS020", "4", "list"),
    ("a = b c", "KVS020", "c", "list"),
    ("skip tier == a", "KVS030", "tier", "`when` is missing"),
    ("skip if tier == a", "KVS030", "if", "skip when"),
    ("skip", "KVS030", "", "`when` is missing"),
    ("skip when", "KVS030", "", "condition is missing"),
    ("skip when direct", "KVS030", "direct", "`direct == true`"),
    ("skip when a.b and c == 1", "KVS030", "a.b", "`a.b == true`"),
    ("skip when 3 == a", "KVS030", "3", "path on the left"),
    ("skip when a < b < c", "KVS030", "<", "chained"),
    ("skip when a == 1 and", "KVS030", "", "after `and`"),
    ("skip when a is b", "KVS030", "is", "a == ..."),
    ("expect", "KVS030", "", "measure is missing"),
    ("expect throughput", "KVS030", "throughput", "expect errors == 0"),
    ("expect errors == 0 pages.op == read", "KVS030", "pages.op", "`when pages.op == read`"),
    ("expect t >= 200 MiB/s a == b", "KVS030", "a", "`when a == b`"),
    ("expect t >= 5 if a == b", "KVS030", "if", "not `if`"),
    ("trials = 5 when a == b", "KVS030", "when a == b", "no condition"),
    ("a =", "KVS031", "", "value is missing after `=`"),
    ("a in", "KVS031", "", "in [a, b]"),
    ("a = 1 +", "KVS031", "", "after `+`"),
    ("direct", "KVS031", "direct", "`direct = ...`"),
    ('path = "a\\q"', "KVS032", "\\q", "escapes"),
    ("a = " + "-" * 80 + "1", "KVS033", "-" * 80 + "1", "let"),
    ("a = " + "1+" * 80 + "1", "KVS033", "1+" * 80 + "1", "let"),
    ("a = [1, 2)", "KVS022", ")", "`]` belongs here"),
    ("a = (1, 2", "KVS022", "(", "closing `)`"),
    ("a = [1, 2", "KVS022", "[", "closing `]`"),
    ("a = 1)", "KVS023", ")", "closes nothing"),
    ("a = 1]", "KVS023", "]", "closes nothing"),
    ("let x = 3", "KVS020", "let", "outside of blocks"),
    ("use models", "KVS020", "use", "outside of blocks"),
    ("options { a = 1 }", "KVS020", "options {", "braces"),
    ("options = { a = 1 }", "KVS020", "options = {", "braces"),
    ("tier x : posix { a = 1 }", "KVS020", "tier x", "side by side"),
    ("= 3", "KVS020", "=", "cannot stand here"),
    ("mix = [talkers = 2, coders]", "KVS020", "=", "cannot stand here"),
    # ---- as other languages have it
    ("a in\n    - 1\n    - 2", "KVS020", "a in", "write `a in [1, 2]`"),
    ("a:\n    - 1\n    - b", "KVS020", "a:", "write `a in [1, b]`"),
    ("- a\n  - b", "KVS020", "- a", "[a, b]"),
    ("expect:\n    - errors == 0", "KVS020", "expect:", "`expect errors == 0`"),
    ("a in {1, 2}", "KVS020", "a in {", "write `a in [1, 2]`"),
    ("a = [{ b = 1 }, { b = 2 }]", "KVS020", "{", "no braces in a list"),
    ("a in [4, 64] KiB", "KVS027", "[4, 64] KiB", "write `[4 KiB, 64 KiB]`"),
    ("a in linear(4, 64, 3) KiB", "KVS027", "linear(4, 64, 3) KiB", "write `linear(4 KiB, 64 KiB, 3)`"),
    ("a in 4 KiB..16 MiB", "KVS027", "4 KiB..16 MiB", "write `pow2(4 KiB, 16 MiB)`"),
    ("a in [1 .. 60]", "KVS027", "1 .. 60", "write `linear(1, 60, 5)`"),
    ("a in [1, 2, ..., 64]", "KVS027", "1, 2, ..., 64", "write `pow2(1, 64)`"),
    ("a in 1 to 64", "KVS027", "1 to 64", "not written with `to`"),
    ("a = 32k tokens", "KVS027", "32k tokens", "write `32_000 tokens` or `32_768 tokens`"),
    ("a = 80 % of 4 GiB", "KVS020", "of", "write `80 % * 4 GiB`"),
    ("a = 1 << 20", "KVS028", "<<", "no sign of the language"),
    ("a = 2 ** 20", "KVS028", "**", "no sign of the language"),
    ("a = 8 // 2", "KVS028", "//", "`/` divides"),
    ("a in pow2[1, 64]", "KVS020", "[", "write `pow2(from, to)`"),
    ("model = llama3.1-8b", "KVS020", "llama3.1-8b", "write `llama3_1_8b`"),
    ("endpoint = localhost:7777", "KVS025", "localhost:7777", 'write "localhost:7777"'),
    ("tier in a, b", "KVS029", ",", "write `tier in [a, b]`"),
    ("expect a == 1, b == 2", "KVS029", ",", "with `expect`"),
    ("expect 0 == errors", "KVS030", "0", "the measure on the left"),
    ("expect min(throughput) > 1", "KVS030", "min(", "the name of a measure"),
    ("expect p99.9 < 1 ms", "KVS020", "p99.9", "write `latency_p999`"),
    ("skip when a in [b]", "KVS030", "in", "write `a == b`"),
    ("when a == b expect errors == 0", "KVS024", "when", "at the end"),
    ("vary a.b in [1, 2]", "KVS024", "vary", "leave it out"),
    ("assert errors == 0", "KVS024", "assert", "write `expect errors == 0`"),
    ("a = b or c", "KVS020", "or", "write `a in [b, c]`"),
    ("a = 1 min 30 s", "KVS020", "30 s", "write `1 min + 30 s`"),
    ("a = 00:01:30", "KVS027", "00:01", "write `90 s`"),
    ("expect throughput >= 1 GiB per second", "KVS020", "per", "write `1 GiB/s`"),
    ("expect p99 latency < 1 ms", "KVS030", "p99 latency", "write `latency_p99`"),
    ("a = {b}", "KVS020", "a = {", "write `a = b`"),
]


@pytest.mark.parametrize(("text", "code", "marked", "said"), IN_A_BLOCK)
@pytest.mark.parametrize("last", [False, True])
def test_in_a_block(text: str, code: str, marked: str, said: str, last: bool) -> None:
    after = "" if last else "  after = 2\n"
    source = Source("test.kvs", f"kvs 1\nsweep s {{\n  before = 1\n  {text}\n{after}}}\ntier t : posix {{ }}\n")
    document, found = parse(source)
    assert [d.code for d in found] == [code], render(found)
    (problem,) = found
    assert problem.span is not None and problem.span.text == marked
    assert said in problem.message + problem.label + problem.help
    # What stands around it is read all the same.
    blocks = {item.name.name: item for item in document.items if isinstance(item, Block)}
    assert "t" in blocks
    assert [s.span.text for s in blocks["s"].body] == ["before = 1"] + ([] if last else ["after = 2"])


OUTSIDE = [
    ("teir a : posix { }", "KVS026", "teir", "`tier`"),
    ("storage a { }", "KVS026", "storage", "`tier`"),
    ('import "a.kvs"', "KVS026", "import", "`use`"),
    ("var x = 3", "KVS026", "var", "`let`"),
    ("foo bar", "KVS026", "foo", "model, tier, users, pattern and sweep"),
    ("trials = 4", "KVS020", "trials", "let trials"),
    ("a.b = 4\nc = 5", "KVS020", "a.b", "outside"),
    ("expect errors == 0", "KVS020", "expect", "outside"),
    ("tier a posix { }", "KVS024", "posix", "`tier a : posix`"),
    ("tier a = posix { }", "KVS024", "=", "write `:`"),
    ("tier : posix { }", "KVS020", ":", "no name"),
    ("tier { }", "KVS020", "tier", "no name"),
    ("tier a : { }", "KVS031", ":", "base is missing"),
    ("tier a : b c { }", "KVS020", "c", "one base"),
    ("tier a : b, c { }", "KVS020", ",", "one base"),
    ("model 70b : mha { }", "KVS020", "70b", "begins with a letter"),
    ('model "a" : mha { }', "KVS020", '"a"', "without quotes"),
    ("model llama-70b : mha { }", "KVS020", "llama-70b", "llama_70b"),
    ("tier a : posix", "KVS022", "", "missing"),
    ("tier a : posix\n  path = dir\n}", "KVS022", "", "missing"),
    ("tier a : posix { path = dir\n", "KVS022", "{", "never closed"),
    ("tier a : posix {\n  path = dir\n\nlet x = 3", "KVS022", "{", "never closed"),
    ("tier a : posix {\n  path = dir\n\ntier b : posix { }", "KVS022", "{", "never closed"),
    ("tier a : posix { } }", "KVS023", "}", "closes nothing"),
    ("tier a : posix { }\n)", "KVS023", ")", "closes nothing"),
    ("tier a : posix { } tier b : posix { }", "KVS021", "tier", "two blocks"),
    ("tier a : posix { } a = 3 }\nb = 4\n}", "KVS023", "}", "more stands behind"),
    ("{ a = 1 }", "KVS020", "{", "no block"),
    ("let x 3", "KVS024", "3", "`=` is missing"),
    ("let x: 3", "KVS024", ":", "write `=`"),
    ("let x", "KVS031", "x", "no value"),
    ("let", "KVS020", "let", "let NAME = VALUE"),
    ("let a-b = 3", "KVS020", "a-b", "one word"),
    ("let a = 3 let b = 4", "KVS021", "let b", "`let a = 3; let b = 4`"),
    ("let a = [1,\nlet b = 4", "KVS022", "[", "closing"),
    ("let a = { b = 1 }\nlet c = 3", "KVS020", "{", "no braces"),
    ("use", "KVS031", "use", "use models"),
    ("use team.kvs", "KVS025", "team.kvs", 'write "team.kvs"'),
    ("use ./team.kvs", "KVS025", "./team.kvs", 'write "./team.kvs"'),
    ("use models, x", "KVS020", ",", "one for a line"),
    ("kvs 1", "KVS010", "kvs 1", "once"),
    ('"text"', "KVS020", '"text"', "begins nothing"),
    ('model m : "meta-llama/Llama-3.1-70B" { }', "KVS020", '"meta-llama/Llama-3.1-70B"', "write `llama3_1_70b`"),
    ("model m : llama-3.1-70b-instruct { }", "KVS020", "llama-3.1-70b-instruct", "write `llama3_1_70b`"),
    ("model m : Foo/Bar-13B { }", "KVS020", "Foo/Bar-13B", 'hf("config.json")'),
    ('tier a : "posix" { }', "KVS025", '"posix"', "write `posix`"),
    ("tier a : /mnt/nvme { }", "KVS020", "/mnt/nvme", 'tier a : posix { path = "/mnt/nvme" }'),
    ('tier "posix" "a" { }', "KVS020", '"posix"', "write `tier a : posix`"),
    ("tier a = posix(path=dir)", "KVS020", "= posix(path=dir)", "write `tier a : posix { path = dir }`"),
    ("tier a:\n  driver: gds\n  path: b\n\n  direct: true", "KVS020", "tier a:", "write `tier a : gds {"),
    ("tiers:\n- name: a\n  path: b", "KVS020", "tiers:", "write `tier NAME : posix {"),
    ("[tier.a]\npath = 3\nb.c = 4", "KVS020", "[tier.a]", "write `tier a : posix {"),
    ("for a in [1, 2]:\n  b", "KVS020", "for a in [1, 2]:", "nothing loops"),
    ("# fine\n\u200btier a : posix { }", "KVS005", "\u200b", "zero width space"),
]


@pytest.mark.parametrize(("text", "code", "marked", "said"), OUTSIDE)
def test_outside_of_blocks(text: str, code: str, marked: str, said: str) -> None:
    found = problems(f"kvs 1\nuse models\n{text}\n")
    assert [d.code for d in found] == [code], render(found)
    assert found[0].span is not None and found[0].span.text == marked
    assert said in found[0].message + found[0].label + found[0].help


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "KVS010", "kvs 1"),
        ("# only a comment", "KVS010", "kvs 1"),
        ("tier a : posix { }", "KVS010", "kvs 1"),
        ("kvs 2\nanything ( goes", "KVS011", "this kvscen reads version 1"),
        ("kvs", "KVS011", "missing"),
        ("kvs one", "KVS011", "not a number"),
        ("kvs = 1", "KVS011", "kvs 1"),
        ("kvs 1.0", "KVS011", "unknown"),
        ("kvs 1 use models", "KVS021", "line of its own"),
    ],
)
def test_the_first_line(text: str, code: str, said: str) -> None:
    document, found = parse(Source("test.kvs", text))
    assert [d.code for d in found] == [code]
    assert said in found[0].message + found[0].help
    assert document.version is None


def test_a_missing_version_hides_nothing() -> None:
    document, found = parse(Source("test.kvs", "tier a : posix { path = dir }\nsweep s { trials: 3 }"))
    assert [d.code for d in found] == ["KVS010", "KVS024"]
    assert len(document.items) == 2


def test_a_half_written_file() -> None:
    text = 'kvs 1\n\ntier disk : posix {\n  path = "./x\n  direct = \n\nsweep s {\n  tier in [disk,\n  trials 3\n'
    document, found = parse(Source("test.kvs", text))
    assert [d.code for d in found] == ["KVS022", "KVS025", "KVS031", "KVS022", "KVS022"]
    assert [item.name.name for item in document.items if isinstance(item, Block)] == ["disk", "s"]


@pytest.mark.parametrize("end", ["- a\n    -", "-", "- - -", "- [", "- {"])
def test_a_list_with_dashes_may_end_the_text(end: str) -> None:
    assert "KVS020" in [d.code for d in problems(f"kvs 1\nsweep s {{\n  a in\n    {end}")]


def test_too_many_problems_end_the_reading() -> None:
    found = problems("kvs 1\nsweep s {\n" + "a : 1\n" * 5000 + "}\n")
    assert len(found) == 101
    assert "more than 100 problems" in found[-1].message


def test_fixes_mend() -> None:
    """Where a diagnostic offers a replacement, the text that it leads to has that problem no more."""
    mended = 0
    for text, code, _, _ in IN_A_BLOCK:
        source = Source("test.kvs", f"kvs 1\nsweep s {{\n  {text}\n}}\n")
        for problem in parse(source)[1]:
            if problem.fix is not None:
                fix = problem.fix
                after = source.text[: fix.span.start] + fix.replacement + source.text[fix.span.end :]
                assert code not in [d.code for d in problems(after)], after
                mended += 1
    assert mended > 20


def test_no_terminal_is_ever_named() -> None:
    terminals = {t.name.strip("_") for t in grammar.parser().terminals} - {"KIND", "NAME", "UNIT"}
    for text, _, _, _ in [*IN_A_BLOCK, *OUTSIDE]:
        for source in (f"kvs 1\nsweep s {{\n {text}\n}}\n", f"kvs 1\n{text}\n", text):
            for problem in problems(source):
                own = re.findall(r"[A-Z_]{2,}", problem.message + problem.help)
                assert not {word.strip("_") for word in own} & terminals, problem
