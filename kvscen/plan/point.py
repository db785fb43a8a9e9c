"""What a plan is made of: points, each with everything that running it needs, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.language.values import Quantity, Value
from kvscen.plan.replay import Replay
from kvscen.plan.traffic import Traffic

Operation: TypeAlias = Literal["read", "write", "mixed"]
Order: TypeAlias = Literal["sequential", "random", "strided", "zipf"]
Durability: TypeAlias = Literal["none", "each", "end"]
FindKind: TypeAlias = Literal["highest", "lowest", "saturation"]


@attrs.frozen
class Work:
    """One point's work in numbers. It travels to the worker process; it holds nothing of the language.

    `block_bytes` is what one operation asks for; `batch` operations are posted together, of `requests` requests;
    `keys` distinct blocks are touched. `depth` None means: the batch, within the driver's limit. Exactly one of
    `time_ns` and `operations` is set (of a whole point: all lanes of all processes together). `stride` (blocks) is
    there where `order` is strided, `skew` where it is zipf, `cap_ns` where `until` is steady. `durability` is "none"
    where nothing is written.

    With `traffic` the `processes` are ranks that write to each other's memory: `block_bytes` is the largest transfer,
    `batch` the most of them in a step, `keys` are the ranks.

    With `replay` the operations are what the requests of a trace or of users come to, and end with them:
    neither `time_ns` nor `operations` is set, there is one lane, and `read_share` is that of a tier that keeps every
    block.
    """

    op: Operation
    block_bytes: int
    batch: int
    keys: int
    requests: int = 1
    read_share: Fraction = Fraction(1)
    order: Order = "sequential"
    stride: int | None = None
    skew: Fraction | None = None
    wait: Literal["operation", "batch"] = "operation"
    depth: int | None = None
    threads: int = 1
    processes: int = 1
    cpus: tuple[int, ...] | None = None
    numa_node: int | None = None
    rate_per_s: Fraction | None = None
    arrival: Literal["constant", "poisson"] = "constant"
    memory: Literal["dram", "vram"] = "dram"
    warmup_ns: int = 0
    time_ns: int | None = None
    operations: int | None = None
    until: Literal["time", "steady"] = "time"
    cap_ns: int | None = None
    precondition: int = 0
    durability: Durability = "none"
    ceiling: Literal["none", "fio"] = "none"
    timeout_ns: int = 30 * 10**9
    sync_timeout_ns: int = 600 * 10**9
    verify: Literal["full", "off"] = "full"
    seed: int = 0
    traffic: Traffic | None = None
    replay: Replay | None = None

    @property
    def working_set_bytes(self) -> int:
        """Distinct bytes that are touched; of traffic the memory that the ranks write to."""
        if self.traffic is not None:
            return sum(map(self.traffic.inbox_bytes, range(self.traffic.ranks)))
        return self.keys * self.block_bytes

    @property
    def request_blocks(self) -> int | None:
        """Blocks of one request; None where requests share blocks, so that none has blocks of its own: KVBench lays the
        tokens of all requests of a batch end to end."""
        blocks, left = divmod(self.batch, self.requests)
        return None if left else blocks


@attrs.frozen
class ModelBlock:
    """A model as resolved for one point. `settings` is an instance of the family's settings class. `parts` are the
    models that one of the family `hybrid` is made of."""

    name: str
    family: str
    settings: Any
    parts: tuple[ModelBlock, ...] = ()


@attrs.frozen
class PatternBlock:
    """A pattern as resolved for one point. `settings` is an instance of the pattern type's settings class."""

    name: str
    type: str
    settings: Any


@attrs.frozen
class UsersBlock:
    """Users as resolved for one point. `settings` is an instance of their type's settings class."""

    name: str
    type: str
    settings: Any


@attrs.frozen
class Tier:
    """A tier as resolved for one point. `settings` is an instance of the driver's settings class. `virtual`: its times
    are computed; of a tier with levels, those of all levels are."""

    name: str
    driver: str
    settings: Any
    levels: tuple[Tier, ...] = ()
    virtual: bool = False


@attrs.frozen
class Expectation:
    """`expect measure op value`, with its `when` already found true for the point. `text` is as written."""

    measure: str
    operator: str
    value: Value
    text: str


@attrs.frozen
class Point:
    """One point of a sweep.

    `id` is the point's identity (12 hex digits). `axes` maps the paths that this point reaches to their values, in the
    order of the sweep. `sweep_settings` is a `SweepSettings`.
    """

    id: str
    index: int
    sweep: str
    axes: Mapping[str, Value]
    pattern: PatternBlock
    tier: Tier
    model: ModelBlock | None
    sweep_settings: Any
    work: Work
    expectations: tuple[Expectation, ...] = ()
    users: tuple[UsersBlock, ...] = ()

    @property
    def trials(self) -> int:
        return int(self.sweep_settings.trials)


@attrs.frozen
class Skipped:
    """A point that `skip when` dropped, and the condition as written."""

    id: str
    sweep: str
    axes: Mapping[str, Value]
    condition: str


@attrs.frozen
class Candidate:
    """A point that a search may measure, and its value on the axis that is searched."""

    point_id: str
    value: Quantity


@attrs.frozen
class Find:
    """What `find` looks for among points that share the values of all `others` axes.

    `candidates` ascend on the axis `path`. For `highest` and `lowest` a candidate keeps all `conditions`, or does not;
    for `saturation` its `measure` rises by more than `share`, or no longer does. `text` is as written.
    """

    sweep: str
    kind: FindKind
    path: str
    candidates: tuple[Candidate, ...]
    text: str
    others: Mapping[str, Value] = attrs.field(factory=dict)
    conditions: tuple[Expectation, ...] = ()
    measure: str | None = None
    share: Fraction = Fraction(1, 20)


@attrs.frozen
class Large:
    """What is known of a large plan without making it: `points` stand for all. `trials`, `load_ns` and `ceiling_ns` are
    of all its points, the latter two None where they are not known."""

    points: tuple[Point, ...]
    trials: int
    load_ns: int | None
    ceiling_ns: int | None


@attrs.frozen
class Plan:
    """Everything that a run will do. `files` are the texts it was made from: (name, text), the scenario first. Of the
    points that a search of `finds` has as candidates only those are run that it needs; all others are.

    A plan is large where it has too many points to hold them (kvscen.plan.large): then `large` says what is known of
    it, and each of `points` and `skipped` is made when it is asked for.
    """

    scenario: str
    files: tuple[tuple[str, str], ...]
    pins: tuple[tuple[str, str], ...]
    points: Sequence[Point]
    skipped: Sequence[Skipped] = ()
    finds: tuple[Find, ...] = ()
    large: Large | None = None

    @property
    def looked_at(self) -> Plan:
        """The plan with points that stand for all of its points, where it is large; else itself."""
        return self if self.large is None else attrs.evolve(self, points=self.large.points, skipped=(), large=None)
