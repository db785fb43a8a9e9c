from __future__ import annotations

import attrs
import pytest

from kvscen.plugin import Severity, Tier, Work
from kvscen_drivers.command import CommandDriver, CommandSettings
from kvscen_drivers.command.template import PLACEHOLDERS, BadTemplate, fill, placeholders, values_of

WORK = Work("read", 2621440, 63, 630, requests=10, depth=16, threads=2, processes=3, time_ns=1_500_000_000, seed=7)


def lint(*argv: str, work: Work = WORK) -> list[tuple[str, str, str]]:
    findings = CommandDriver().lint(Tier("t", "command", CommandSettings(argv=argv)), work)
    return [(finding.code, finding.message, finding.help) for finding in findings]


def test_every_placeholder_has_the_value_of_the_work() -> None:
    values = values_of(attrs.evolve(WORK, warmup_ns=500_000_000))
    assert values == {
        "op": "read",
        "block_bytes": "2621440",
        "batch": "63",
        "depth": "16",
        "threads": "2",
        "processes": "3",
        "requests": "10",
        "keys": "630",
        "warmup_s": "0.5",
        "time_s": "1.5",
        "seed": "7",
        "folder": "folder",
        "trial": "1",
    }
    counted = values_of(attrs.evolve(WORK, time_ns=None, operations=1000, depth=None))
    assert (counted["operations"], counted["depth"], "time_s" in counted) == ("1000", "63", False)
    assert set(values) | {"operations"} == set(PLACEHOLDERS)


@pytest.mark.parametrize(
    ("time_ns", "text"), [(1, "0.000000001"), (10**9, "1"), (30 * 10**9, "30"), (1_500_000_000, "1.5"), (0, "0")]
)
def test_seconds_are_exact(time_ns: int, text: str) -> None:
    assert values_of(attrs.evolve(WORK, time_ns=time_ns))["time_s"] == text


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("--op={op}", "--op=read"),
        ("{op}{seed}", "read7"),
        ('{{"n": {batch}}}', '{"n": 63}'),
        ("{{op}}", "{op}"),
        ("{{{op}}}", "{read}"),
        ("plain $HOME; rm -rf *", "plain $HOME; rm -rf *"),
        ("", ""),
    ],
)
def test_filling(word: str, filled: str) -> None:
    assert fill(word, values_of(WORK)) == filled
    assert lint("{op}", word) == []


@pytest.mark.parametrize(
    ("word", "message", "help"),
    [
        ("{blok_bytes}", "`{blok_bytes}` is no placeholder", "did you mean `{block_bytes}`?"),
        ("{}", "`{}` is no placeholder", "the placeholders are op, "),
        ("{op:x}", "`{op:x}` is no placeholder", "did you mean `{op}`?"),
        ("a{", "a single `{` in `a{`", "write `{{` for a brace"),
        ("a}b", "a single `}` in `a}b`", "write `}}` for a brace"),
        ("{a{op}}", "a single `{` in `{a{op}}`", "write `{{` for a brace"),
    ],
)
def test_what_is_no_placeholder(word: str, message: str, help: str) -> None:
    with pytest.raises(BadTemplate, match=r"single|no placeholder"):
        list(placeholders(word))
    [(code, said, remedy)] = lint("{op}", word)
    assert (code, said) == ("KVS324", message) and remedy.startswith(help)


def test_a_placeholder_without_a_value() -> None:
    [(code, message, help)] = lint("prog", "{operations}")
    assert (code, message) == ("KVS325", "`{operations}` has no value here: the sweep measures by `time`")
    counted = attrs.evolve(WORK, time_ns=None, operations=5)
    [(code, message, help)] = lint("prog", "{time_s}", work=counted)
    assert (code, message) == ("KVS325", "`{time_s}` has no value here: the sweep measures by `operations`")
    assert help.startswith("give the sweep `time`")


def test_no_placeholder_at_all_is_a_warning() -> None:
    settings = CommandSettings(argv=("prog", "--fast"))
    [finding] = CommandDriver().lint(Tier("t", "command", settings), WORK)
    assert (finding.code, finding.severity) == ("KVS326", Severity.WARNING)


def test_an_empty_program() -> None:
    assert [code for code, *_ in lint(" ", "{op}")] == ["KVS324"]
