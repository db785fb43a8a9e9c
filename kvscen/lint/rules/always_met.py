"""KVS410: an expectation that always holds judges nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.scenario import ExpectDef
from kvscen.lint.rule import ExpectRule
from kvscen.plan.point import Expectation, Point

#: Measures that may be less than zero.
SIGNED = frozenset({"steady_slope", "steady_drift"})


class AlwaysMet(ExpectRule):
    code = "KVS410"
    finds = (
        "An expectation that holds whatever is measured: `errors >= 0`, `throughput > -1 MiB/s`, `hit_rate <= 100 %`."
    )
    why = """
The table of verdicts shows a `pass` that means nothing. Mostly the operator is turned round (`errors >= 0` for
`errors == 0`), and then the run passes with every operation failed.
"""
    remedy = "Turn the operator round, or expect a figure that can be missed."

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        limit = getattr(expected.value, "value", None)
        if limit is None or written.info.name in SIGNED:
            return
        operator = expected.operator
        low = (operator == ">=" and limit <= 0) or (operator in (">", "!=") and limit < 0)
        high = written.info.percent and ((operator == "<=" and limit >= 1) or (operator in ("<", "!=") and limit > 1))
        if low or high:
            yield self.say(
                f"`{expected.text.removeprefix('expect ')}` always holds: "
                + ("nothing is less than zero" if low else "there is no more than 100 %"),
                written.span,
                help=f"write `{expected.measure} == {expected.value}`"
                if low and operator == ">=" and not limit
                else "expect a figure that can be missed",
            )
