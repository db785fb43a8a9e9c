"""KVS407: some measures are there only where a pattern asks for them, and without them there is nothing to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import Rule, Subject
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
        ("prefix_hit", "load_latency", "request_rate"),
        lambda point: point.work.replay is not None,
        "no pattern has requests that look blocks up",
        "it is measured of the patterns `replay` and `conversations`",
    ),
)


def check(subject: Subject) -> Iterator[Diagnostic]:
    for sweep in dict.fromkeys(point.sweep for point in subject.plan.points):
        points = [point for point in subject.plan.points if point.sweep == sweep]
        levels = [subject.scenario.sweeps[name] for name in subject.scenario.sweeps[sweep].chain]
        searched = [condition for level in levels if level.find is not None for condition in level.find.conditions]
        for expect in (*(each for level in levels for each in level.expects), *searched):
            for need in NEEDS:
                if expect.measure.startswith(need.begins) and not any(map(need.met, points)):
                    yield diagnostic(
                        "KVS407",
                        f"no point of the sweep `{sweep}` measures `{expect.measure}`: {need.lacks}",
                        expect.span,
                        help=need.help,
                    )


RULE = Rule("KVS407", check)
