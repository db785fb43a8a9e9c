"""Texts for the fuzzer. Text `number` of a seed is the same on every machine that has the same shipped scenarios."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from lark.grammar import NonTerminal, Symbol

from kvscen.language.grammar import parser

ROOT = Path(__file__).parents[2]

#: What people and programs put into files that are no text, or not the text that it looks like.
ODD = (
    *("\x00", "\ufeff", "\r", "\r\n", "\t", "\f", "\v", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u00a0"),
    *("\u202e", "\u202d", "\u2066", "\u2069", "\u200e", "\u061c", "\u200b", "\u200d", "\u2060", "\u00ad", "\U000e0041"),
    *(
        "é",
        "日",
        "\U0001f469\u200d\U0001f52c",
        "\u0301",
        "µ",
        "\u03bc",
        "\u2212",
        "\u201c",
        "\u201d",
        "\u0660",
        "\uff11",
    ),
)
NUMBERS = (
    *(
        "0",
        "1",
        "2",
        "3",
        "7",
        "10",
        "64",
        "1000",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
    ),
    *("1e100", "1e-100", "1e101", "1e99999", "1e999999", "0.1", "0.3333333333", "9" * 99, "9" * 101, "1_000", "0x10"),
    *("1e18", "1e19", "0.5", "1" + "0" * 80, "3.14159", "00012", "1__0"),
)


@functools.cache
def corpus() -> tuple[str, ...]:
    """The shipped scenarios, the catalogue, and the bad and good files of the rules."""
    paths = [*ROOT.glob("scenarios/**/*.kvs"), *ROOT.glob("tests/rules/*/*.kvs")]
    return tuple(path.read_bytes().decode("utf-8", "replace")[:20_000] for path in sorted(paths))


@functools.cache
def words() -> tuple[str, ...]:
    """Every word and sign of the corpus."""
    found = {word: None for text in corpus() for word in re.findall(r'"[^"\n]*"|[\w.]+|[=<>!]=|[^\w\s]', text)}
    return tuple(found)


@functools.cache
def names() -> tuple[str, ...]:
    return tuple(word for word in words() if re.fullmatch(r"[A-Za-z_]\w*", word))


@functools.cache
def units() -> tuple[str, ...]:
    found = (match for text in corpus() for match in re.findall(r"\d +([A-Za-z/%][\w/]*)", text))
    return tuple(dict.fromkeys((*found, "%", "/s")))


def text_of(seed: int, number: int) -> bytes:
    """One text. Most are short: a long one finds no more for its time."""
    draw = random.Random(f"{seed}/{number}")
    way = draw.choices(_WAYS, _WEIGHTS)[0]
    return way(draw)


# ---- ways to make a text


def noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(1, 80))


def characters(draw: random.Random) -> bytes:
    """Printable ones, odd ones, and the beginning of a scenario."""
    parts = [
        chr(draw.randrange(32, 127)) if draw.random() < 0.8 else draw.choice(ODD) for _ in range(draw.randrange(60))
    ]
    return _bytes(draw, draw.choice(("", "kvs 1\n")) + "".join(parts))


def soup(draw: random.Random) -> bytes:
    """Words of the corpus side by side, at times in the body of a sweep."""
    count = draw.randrange(1, draw.choice((6, 12, 30)))
    between = draw.choice((" ", " ", "", "\n"))
    text = between.join(draw.choice(words()) if draw.random() < 0.9 else _odd_part(draw) for _ in range(count))
    frame = draw.choice(("kvs 1\n%s\n", "kvs 1\nsweep s {\n%s\n}\n", "%s", "kvs 1\nlet x = %s\n"))
    return _bytes(draw, frame.replace("%s", text))


def derived(draw: random.Random) -> bytes:
    """What the grammar allows, with words of the corpus: it is refused, if at all, for what it means."""
    text = "".join(_derive(draw, draw.choice(("document", "document", "block", "let")), draw.randrange(2, 7)))
    head = "kvs 1\nuse models\n" if draw.random() < 0.1 else "kvs 1\n"
    return _bytes(draw, text if text.startswith("kvs") else f"{head}{text}\n")


def mutated(draw: random.Random) -> bytes:
    """Pieces of a file of the corpus, changed a few times."""
    text = draw.choice(corpus())
    lines = text.splitlines(keepends=True)
    if len(lines) > 30 and draw.random() < 0.9:
        # Some of a long file: its first lines, a stretch, and its end.
        start = draw.randrange(len(lines))
        text = "".join([*lines[:4], *lines[start : start + draw.randrange(4, 20)], *lines[-draw.randrange(1, 12) :]])
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        text = draw.choice(_CHANGES)(draw, text)
    return _bytes(draw, text)


def nested(draw: random.Random) -> bytes:
    """Brackets, signs, blocks and conditions inside each other, deeper than anybody writes."""
    depth = draw.choice((3, 20, 60, 63, 64, 65, 70, 200, 1000))
    opening, middle, closing = draw.choice(
        (("(", "1", ")"), ("[", "1", "]"), ("-", "1", ""), ("pow2(", "1", ")"), ("(1, ", "1", ")"), ("1 + (", "1", ")"))
    )
    value = opening * depth + middle + closing * (depth - draw.choice((0, 0, 0, 1)))
    condition = draw.choice(("not ", "(", "a == 1 and (")) * depth + "a == 1"
    frames = (
        f"kvs 1\nlet x = {value}\n",
        f"kvs 1\nsweep s {{ skip when {condition} }}\n",
        f"kvs 1\nsweep s {{ pages.op in {value} }}\n",
        "kvs 1\n" + "tier a : b {\n" * min(depth, 100),
        "kvs 1\n" + "".join(f"let a{i} = a{i + 1}\n" for i in range(min(depth, 200))) + "let a0 = 1\n",
        "kvs 1\n" + "".join(f"tier t{i} : t{i + 1} {{}}\n" for i in range(min(depth, 200))),
    )
    return _bytes(draw, draw.choice(frames))


def _bytes(draw: random.Random, text: str) -> bytes:
    if draw.random() < 0.04:
        text = text.replace("\n", draw.choice(("\r\n", "\r", "\n\n", "\n\t", ";")))
    if draw.random() < 0.02:
        text = "\ufeff" + text
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.01:
        at = draw.randrange(len(data) + 1)
        data = data[:at] + draw.randbytes(2) + data[at:]
    return data


# ---- changes


def _odd_part(draw: random.Random) -> str:
    return draw.choice((draw.choice(ODD), draw.choice(NUMBERS), draw.choice(units())))


def _stretch(draw: random.Random, text: str, most: int = 40) -> tuple[int, int]:
    start = draw.randrange(len(text) + 1)
    return start, min(len(text), start + draw.randrange(1, most))


def _delete(draw: random.Random, text: str) -> str:
    start, end = _stretch(draw, text)
    return text[:start] + text[end:]


def _double(draw: random.Random, text: str) -> str:
    start, end = _stretch(draw, text)
    return text[:end] + text[start:end] * draw.choice((1, 1, 2, 30)) + text[end:]


def _insert(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + (draw.choice(words()) if draw.random() < 0.6 else _odd_part(draw)) + text[at:]


def _splice(draw: random.Random, text: str) -> str:
    other = draw.choice(corpus())
    start, end = _stretch(draw, other, 200)
    at = draw.randrange(len(text) + 1)
    return text[:at] + other[start:end] + text[at:]


def _swap_lines(draw: random.Random, text: str) -> str:
    lines = text.split("\n")
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def _a_line(draw: random.Random, text: str) -> str:
    """A line is lost, or stands twice."""
    lines = text.split("\n")
    line = lines.pop(draw.randrange(len(lines)))
    if draw.random() < 0.5:
        lines.insert(draw.randrange(len(lines) + 1), line)
        lines.insert(draw.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def _word(draw: random.Random, text: str) -> str:
    """One word becomes another one."""
    found = list(re.finditer(r"[A-Za-z_]\w*", text))
    return _replaced(text, draw.choice(found).span(), draw.choice(names())) if found else text


def _number(draw: random.Random, text: str) -> str:
    found = list(re.finditer(r"\d[\d_.]*", text))
    return _replaced(text, draw.choice(found).span(), draw.choice(NUMBERS)) if found else text


def _sign(draw: random.Random, text: str) -> str:
    found = list(re.finditer(r"[^\w\s]", text))
    return _replaced(text, draw.choice(found).span(), draw.choice('{}()[]=:;,.#"+-*/%<> \n\\')) if found else text


def _replaced(text: str, span: tuple[int, int], new: str) -> str:
    return text[: span[0]] + new + text[span[1] :]


_CHANGES: Sequence[Callable[[random.Random, str], str]] = (
    *(_delete, _double, _insert, _splice, _swap_lines, _a_line, _word, _word, _word, _number, _number, _sign),
)

_WAYS: Sequence[Callable[[random.Random], bytes]] = (noise, characters, soup, derived, mutated, nested)
_WEIGHTS = (6, 18, 36, 24, 16, 0.4)


# ---- the grammar


@functools.cache
def _rules() -> dict[str, tuple[tuple[int, tuple[Symbol, ...]], ...]]:
    """Each rule's expansions, with how deep what they come to is at least."""
    expansions: dict[str, list[tuple[Symbol, ...]]] = {}
    for rule in parser().rules:
        expansions.setdefault(rule.origin.name, []).append(tuple(rule.expansion))
    least: dict[str, int] = {}

    def depth(expansion: tuple[Symbol, ...]) -> int:
        return max((least.get(s.name, 99) if isinstance(s, NonTerminal) else 0 for s in expansion), default=0)

    while True:
        found = {name: 1 + min(map(depth, own)) for name, own in expansions.items()}
        if found == least:
            break
        least.update(found)
    return {name: tuple((depth(own), own) for own in all_) for name, all_ in expansions.items()}


def _derive(draw: random.Random, start: str, most: int) -> list[str]:
    """Words of a text that the grammar allows; below `most` rules inside each other it takes the shortest way."""
    out: list[str] = []
    pending: list[tuple[Symbol, int]] = [(NonTerminal(start), 0)]
    while pending:
        symbol, depth = pending.pop()
        if not isinstance(symbol, NonTerminal):
            out.append(_terminal(draw, symbol.name))
            continue
        rules = _rules()[symbol.name]
        if depth > most or len(out) > 300:
            shortest = min(own for own, _ in rules)
            rules = tuple(rule for rule in rules if rule[0] == shortest)
        _, expansion = draw.choice(rules)
        pending.extend((part, depth + 1) for part in reversed(expansion))
    return out


_SIGNS = {
    **{"LBRACE": "{", "RBRACE": "}", "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "EQUAL": "=", "COLON": ":"},
    **{"COMMA": ",", "DOT": ".", "SEMICOLON": ";", "PLUS": "+", "MINUS": "-", "TIMES": "*", "DIVIDED": "/"},
    **{"_NEWLINE": "\n", "NOT": "not"},
}


def _terminal(draw: random.Random, name: str) -> str:
    if name in _SIGNS:
        sign = _SIGNS[name]
        return sign if name in ("DOT", "_NEWLINE") else f" {sign} " if name != "LPAR" else sign
    if name == "NAME":
        return f"{draw.choice(names())}"
    if name == "NUMBER":
        return draw.choice(NUMBERS[:8]) if draw.random() < 0.8 else draw.choice(NUMBERS)
    if name == "UNIT":
        return f" {draw.choice(units())}"
    if name == "STRING":
        return draw.choice(('"/tmp/a"', '""', '"a b"', '"\\n"', '"config.json"', '"x.csv"'))
    if name == "KIND":
        return draw.choice(("model ", "tier ", "users ", "pattern ", "sweep "))
    if name == "SIDE":
        return draw.choice((" highest ", " lowest "))
    if name == "COMPARE":
        return draw.choice((" == ", " != ", " < ", " >= "))
    return f" {name.lstrip('_').lower()} "
