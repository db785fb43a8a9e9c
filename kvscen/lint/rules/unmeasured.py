"""KVS407: some measures are there only where a pattern asks for them, and without them there is nothing to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.point import Point
from kvscen.plan.talk import Talk


@attrs.frozen
class Need:
    """Measures whose names begin so are there where `met` is true of a point."""

    begins: tuple[str, ...]
    met: Callable[[Point], bool]
    lacks: str
    help: str


def _talks(met: Callable[[Talk], bool]) -> Callable[[Point], bool]:
    def of_point(point: Point) -> bool:
        talk = None if point.work.replay is None else point.work.replay.talk
        return talk is not None and met(talk)

    return of_point


NEEDS = (
    Need(
        ("ttft",),
        lambda point: point.work.replay is not None and point.work.replay.prefill_tokens_per_s is not None,
        "no pattern says how fast tokens are computed",
        "add `prefill = 8000 tokens/s` to the pattern",
    ),
    Need(
        ("qos_",),
        _talks(lambda talk: any(u.settings.target_p95_ns or u.settings.target_p99_ns for u in talk.mix)),
        "no users have a target",
        "give users one: `target_p95 = 500 ms`",
    ),
    Need(
        ("reread",),
        _talks(lambda talk: talk.settings.decode_reads != "none"),
        "no pattern reads again while it decodes",
        "add `decode_reads = as_kv_cache_py` to the pattern",
    ),
    Need(
        ("shared_",),
        _talks(lambda talk: any(users.settings.system_tokens for users in talk.mix)),
        "no users have a system prompt",
        "give users one: `system = 500 tokens`",
    ),
    Need(
        ("document_",),
        _talks(lambda talk: any(users.settings.documents for users in talk.mix)),
        "no users retrieve from documents",
        "give users some: `documents = 100`",
    ),
    Need(
        ("history_",),
        _talks(lambda talk: talk.settings.history == "kept"),
        "no pattern goes on with what was said before",
        "it is measured of `conversations` with `history = kept`",
    ),
    Need(
        ("request_wait", "request_storage", "order_wait", "wall_tokens", "storage_tokens", "asked", "generated"),
        _talks(lambda talk: True),
        "no pattern has users who converse",
        "it is measured of patterns of the type `conversations`",
    ),
    Need(
        ("offered", "achieved", "backlog", "delay_"),
        lambda point: point.work.rate_per_s is not None or point.work.replay is not None,
        "nothing is due at a time",
        "give the pattern a `rate`: of a closed loop nobody can say what it was late for",
    ),
    Need(
        ("read_latency", "write_latency"),
        lambda point: point.work.op == "mixed" or point.work.replay is not None,
        "no pattern mixes reads and writes",
        "judge `latency_...`, which is that of the reads or of the writes alone",
    ),
    Need(
        ("rounds", "steady_"),
        lambda point: point.work.until == "steady",
        "no trial waits until its load is steady",
        "add `until = steady` to the sweep",
    ),
    Need(
        ("ceiling_",),
        lambda point: point.work.ceiling != "none",
        "nothing is measured beside it",
        "add `ceiling = fio` to the sweep",
    ),
    Need(
        ("prefix_hit", "load_latency", "request_rate"),
        lambda point: point.work.replay is not None,
        "no pattern has requests that look blocks up",
        "it is measured of the patterns `replay` and `conversations`",
    ),
)


class Unmeasured(PointRule):
    code = "KVS407"
    finds = """
An expectation, or a condition of `find`, whose measure is empty at every point of the sweep, as nothing in the
pattern gives it a value: a time to first token without `prefill`, missed targets where nobody has one, hit rates of
documents without documents.
"""
    why = """
An expectation without a value fails at the end of the run, however good the figures are. A count of missed targets
is 0 where there is none, and passes whatever the storage does.
"""
    remedy = "Add the setting that gives the measure its value, or judge another one."

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        levels = subject.levels(sweep)
        searched = [condition for level in levels if level.find is not None for condition in level.find.conditions]
        self.judged = [
            (expect, need)
            for expect in (*(each for level in levels for each in level.expects), *searched)
            for need in NEEDS
            if expect.measure.startswith(need.begins)
        ]
        self.unmet = {id(need): need for _, need in self.judged}

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        for key in [key for key, need in self.unmet.items() if need.met(point)]:
            del self.unmet[key]
        return ()

    def end(self) -> Iterator[Diagnostic]:
        for expect, need in self.judged:
            if id(need) in self.unmet:
                yield self.say(
                    f"no point of the sweep `{self.sweep}` measures `{expect.measure}`: {need.lacks}",
                    expect.span,
                    help=need.help,
                )
