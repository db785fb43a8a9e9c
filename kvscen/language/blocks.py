"""What the blocks of the core may contain: sweeps, the families of models, the types of patterns. Drivers declare their
own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import attrs

from kvscen.language.conversations import USER_TYPES as USER_TYPES
from kvscen.language.conversations import ConversationsSettings
from kvscen.language.cpus import CpuList
from kvscen.language.matrix import MatrixSettings
from kvscen.language.replay import ReplaySettings
from kvscen.language.schema import (
    Count,
    Duration,
    Finding,
    ListOf,
    Number,
    Rate,
    Reference,
    Share,
    Size,
    Tokens,
    Word,
    setting,
)

#: Bits of one number in each format that KV can be kept in.
DTYPE_BITS: Mapping[str, int] = {"fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}

DEFAULT_TIME_NS = 5 * 10**9
DEFAULT_PAGE_TOKENS = 16
DEFAULT_CAP_NS = 60 * 10**9
DEFAULT_SYNC_TIMEOUT_NS = 600 * 10**9
DEFAULT_SKEW = Fraction(99, 100)
#: Rounds over which a load is judged to be steady, as in SNIA's Solid State Storage Performance Test Specification.
STEADY_ROUNDS = 5


@attrs.frozen
class SweepSettings:
    """How the points of a sweep are measured."""

    pattern: str = setting(Reference("pattern"), help="what is accessed, and when")
    tier: str = setting(Reference("tier"), help="where the blocks are kept")
    trials: int = setting(Count(), default=5, help="how often each point is measured")
    warmup_ns: int = setting(Duration(), default=500 * 10**6, help="load before the measured window, of the same kind")
    time_ns: int | None = setting(
        Duration(minimum=1),
        default=None,
        help="length of the measured window (default: 5 s, unless `operations` is given)",
    )
    operations: int | None = setting(
        Count(), default=None, help="measure this many operations, of all lanes together, instead of a time"
    )
    until: str = setting(
        Word("time", "steady"),
        default="time",
        help="`steady`: the window begins when rounds of its length no longer differ, in throughput and latency",
    )
    cap_ns: int | None = setting(
        Duration(minimum=1),
        default=None,
        help="with `until = steady`: the longest to wait for it; then the trial is measured as it is (default: 60 s)",
    )
    precondition: int = setting(
        Count(minimum=0),
        default=0,
        help="how often the data set is written over, at random and untimed, before the point's first trial",
    )
    durability: str = setting(
        Word("none", "each", "end"),
        default="none",
        help="of what is written: `each` write is durable when it ends, or all are at the `end`, within the time",
    )
    ceiling: str = setting(
        Word("none", "fio"), default="none", help="what else is measured on the same tier, for comparison"
    )
    seed: int = setting(Count(minimum=0), default=0, help="what random orders and contents are drawn from")
    verify: str = setting(
        Word("full", "off"), default="full", help="compare every byte, in a pass of its own before the first trial"
    )
    timeout_ns: int = setting(
        Duration(minimum=1),
        default=30 * 10**9,
        help="a point in which nothing completes for so long is given up as hung",
    )
    sync_timeout_ns: int | None = setting(
        Duration(minimum=1),
        default=None,
        help="so long may it take to make durable what was written (default: 10 min, or `timeout` if that is longer)",
    )
    order: str = setting(
        Word("interleaved", "sequential"),
        default="interleaved",
        varies=False,
        help="trials of all points mixed, or one point after the other",
    )

    def check(self) -> Iterator[Finding]:
        if self.time_ns is not None and self.operations is not None:
            yield Finding(
                "KVS114",
                "`time` and `operations` both say how long a trial lasts",
                "operations",
                "keep one of the two",
            )
        if self.until != "steady":
            return
        if self.operations is not None:
            yield Finding(
                "KVS114",
                "`until = steady` compares rounds of equal time, and `operations` sets none",
                "operations",
                "say how long the window is: `time = 5 s`",
            )
            return
        round_ns, cap_ns = self.time_ns or DEFAULT_TIME_NS, self.cap_ns or DEFAULT_CAP_NS
        least_ns = STEADY_ROUNDS * round_ns
        if cap_ns < least_ns:
            show = Duration().show
            yield Finding(
                "KVS403",
                f"within the cap of {show(cap_ns)} there are no {STEADY_ROUNDS} rounds of {show(round_ns)}",
                "cap" if self.cap_ns is not None else "time",
                f"a round is as long as `time`: make `time` shorter, or `cap` at least {show(least_ns)}",
            )

    def complete(self) -> SweepSettings:
        done: dict[str, Any] = {}
        if self.time_ns is None and self.operations is None:
            done["time_ns"] = DEFAULT_TIME_NS
        if self.until != "steady":
            done["cap_ns"] = None
        elif self.cap_ns is None:
            done["cap_ns"] = DEFAULT_CAP_NS
        if self.sync_timeout_ns is None:
            done["sync_timeout_ns"] = max(DEFAULT_SYNC_TIMEOUT_NS, self.timeout_ns)
        return attrs.evolve(self, **done)


_DTYPE = Word(*DTYPE_BITS)
#: No model has so many layers, and a stage for each of them is a list that fits in memory.
MOST_LAYERS = 10_000


@attrs.frozen
class HeadsSettings:
    """A model whose every layer keeps K and V for each KV head: multi-head (`mha`) or grouped-query (`gqa`)
    attention."""

    layers: int = setting(Count(maximum=MOST_LAYERS), help="layers that keep KV")
    kv_heads: int = setting(Count(), help="KV heads of a layer (of `mha`: all its heads)")
    head_dim: int = setting(Count(), help="numbers in the K of one head for one token")
    v_head_dim: int | None = setting(Count(), default=None, help="numbers in the V of one head (default: `head_dim`)")
    window_tokens: int | None = setting(
        Tokens(minimum=2),
        default=None,
        help="how many tokens a layer attends to, the newest included: it keeps no older ones (default: all)",
    )
    chunk_tokens: int | None = setting(
        Tokens(minimum=2),
        default=None,
        help="a layer attends within chunks of so many tokens, and keeps none of chunks that are full (default: all)",
    )
    kv_dtype: str = setting(_DTYPE, default="bf16", help="format in which K and V are kept")
    v_dtype: str | None = setting(_DTYPE, default=None, help="format in which V is kept (default: `kv_dtype`)")
    scale_bytes: int = setting(
        Size(unit_in_name=True),
        default=0,
        help="bytes of one quantization scale of K and of V, its zero point included (default: none is kept)",
    )
    v_scale_bytes: int | None = setting(
        Size(unit_in_name=True), default=None, help="bytes of one quantization scale of V (default: `scale_bytes`)"
    )
    scale_per: str | None = setting(
        Word("head", "token"),
        default=None,
        help="K has one scale, and V one, for a token, layer and KV head (`head`, the default), or for all heads "
        "that a rank keeps (`token`)",
    )
    scale_group: int | None = setting(
        Count(), default=None, help="numbers of one vector that share a scale (default: all of them)"
    )
    tp: int = setting(Count(), default=1, help="ranks that share each layer (tensor parallelism)")
    pp: int = setting(Count(), default=1, help="stages that the layers are spread over (pipeline parallelism)")

    def check(self) -> Iterator[Finding]:
        if self.window_tokens is not None and self.chunk_tokens is not None:
            yield Finding(
                "KVS114", "`window` and `chunk` both say what a layer attends to", "chunk", "keep one of the two"
            )
        if self.scale_per == "token" and self.scale_group is not None:
            yield Finding(
                "KVS114",
                "`scale_per = token` has one scale for all heads, and `scale_group` several for each",
                "scale_group",
                "keep one of the two",
            )
        asked = (("scale_per", self.scale_per), ("scale_group", self.scale_group))
        yield from _without_scales(asked, max(self.scale_bytes, self.v_scale_bytes or 0))

    def complete(self) -> HeadsSettings:
        return self if self.v_head_dim is not None else attrs.evolve(self, v_head_dim=self.head_dim)


@attrs.frozen
class LatentSettings:
    """A model with multi-head latent attention (`mla`): one compressed vector for a token and layer, whatever the
    heads."""

    layers: int = setting(Count(maximum=MOST_LAYERS), help="layers that keep KV")
    latent_dim: int = setting(Count(), help="numbers in the compressed KV vector of a token and layer")
    rope_dim: int = setting(Count(minimum=0), help="numbers in the rotary key beside it")
    kv_dtype: str = setting(_DTYPE, default="bf16", help="format in which the compressed vector is kept")
    rope_dtype: str | None = setting(
        _DTYPE, default=None, help="format in which the rotary key is kept (default: `kv_dtype`)"
    )
    scale_bytes: int = setting(
        Size(unit_in_name=True),
        default=0,
        help="bytes of one quantization scale, of the compressed vector of one token and layer",
    )
    scale_group: int | None = setting(
        Count(),
        default=None,
        help="numbers of the compressed vector that share a scale; the rotary key has none (default: all of them)",
    )
    tp: int = setting(
        Count(), default=1, help="ranks that share each layer (tensor parallelism); each keeps all of its KV"
    )
    pp: int = setting(Count(), default=1, help="stages that the layers are spread over (pipeline parallelism)")

    def check(self) -> Iterator[Finding]:
        yield from _without_scales((("scale_group", self.scale_group),), self.scale_bytes)

    def complete(self) -> LatentSettings:
        return self if self.rope_dtype is not None else attrs.evolve(self, rope_dtype=self.kv_dtype)


def _without_scales(asked: Iterable[tuple[str, object]], scale_bytes: int) -> Iterator[Finding]:
    for name, value in asked:
        if value is not None and not scale_bytes:
            yield Finding(
                "KVS113",
                f"`{name}` says what shares a scale, and `scale_bytes` is missing",
                name,
                "add `scale_bytes = 2 B`, the bytes of one scale",
            )


@attrs.frozen
class LinearSettings:
    """Layers with linear attention or a state space (`linear`: Mamba, gated delta nets, lightning attention): a request
    has a state of a fixed size in each, whatever its length."""

    layers: int = setting(Count(maximum=MOST_LAYERS), help="layers that keep a state")
    state_bytes: int = setting(
        Size(minimum=1), help="bytes of the state of one request in one layer, on all its ranks together"
    )
    tp: int = setting(
        Count(), default=1, help="ranks that share each layer (tensor parallelism); they split the state evenly"
    )
    pp: int = setting(Count(), default=1, help="stages that the layers are spread over (pipeline parallelism)")


@attrs.frozen
class HybridSettings:
    """A model whose layers do not keep alike (`hybrid`): some attend to a window only, keep vectors of another shape,
    or a state of a fixed size. Its layers are those of its parts, which take turns as evenly as their numbers allow."""

    parts: tuple[str, ...] = setting(
        ListOf(Reference("model"), minimum=2),
        help="models of `mha`, `gqa`, `mla` or `linear`, one for each kind of layer, the first layer's first",
    )
    kv_dtype: str | None = setting(
        _DTYPE, default=None, help="format in which all parts keep their KV (default: each part's own)"
    )
    tp: int = setting(Count(), default=1, help="ranks that share each layer (tensor parallelism)")
    pp: int = setting(Count(), default=1, help="stages that the layers are spread over (pipeline parallelism)")


@attrs.frozen
class TransferSettings:
    """Blocks that are read or written, of a model's KV or of a plain size."""

    model: str | None = setting(Reference("model"), default=None, help="whose KV is moved; gives block and batch")
    access: str | None = setting(
        Word("block", "layer"),
        default=None,
        help="with a model: one object holds all layers of a page (`block`, the default), or one layer of it (`layer`)",
    )
    page_tokens: int | None = setting(
        Tokens(minimum=1), default=None, help="with a model: tokens of one page (default: 16 tokens)"
    )
    prompt_tokens: int | None = setting(
        Tokens(minimum=1), default=None, help="with a model: tokens of a request's prompt"
    )
    output_tokens: int | None = setting(
        Tokens(), default=None, help="with a model: generated tokens, added to the prompt (default: 0 tokens)"
    )
    requests: int | None = setting(Count(), default=None, help="with a model: requests moved together (default: 1)")
    sizing: str | None = setting(
        Word("exact", "kvbench"),
        default=None,
        help="with a model: `exact` is what one rank moves (the default), `kvbench` what NIXL's KVBench computes; "
        "where its batch is no multiple of `requests` these share blocks, and have no latency of their own",
    )
    weight_dtype: str | None = setting(
        _DTYPE,
        default=None,
        help="with `sizing = kvbench`: format of the weights, which KVBench takes for K and V (default: `kv_dtype`)",
    )
    block_bytes: int | None = setting(Size(minimum=1), default=None, help="without a model: what one operation moves")
    batch: int | None = setting(Count(), default=None, help="without a model: operations posted together (default: 1)")
    working_set_bytes: int | None = setting(
        Size(minimum=1), default=None, help="distinct bytes that are touched, in whole blocks (default: batch x block)"
    )
    keys: int | None = setting(
        Count(),
        default=None,
        help="distinct blocks that are touched, in place of `working_set`; 1: all operations share it",
    )
    op: str = setting(Word("read", "write", "mixed"), help="what is done with a block")
    reads_share: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        Share(), default=None, help="with `op = mixed`: how many operations read"
    )
    order: str = setting(
        Word("sequential", "random", "strided", "zipf"),
        default="sequential",
        help="the order in which a lane touches its blocks; `zipf` touches some far more often than others",
    )
    stride: int | None = setting(
        Count(),
        default=None,
        help="with `order = strided`: every how many-th block comes next; a pass touches each block once",
    )
    skew: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        Number(maximum=10),
        default=None,
        help="with `order = zipf`: the k-th most popular block has a weight of k^-skew (default: 0.99)",
    )
    depth: int | None = setting(
        Count(),
        default=None,
        help="operations (batches where `wait = batch`) in flight in a lane (default: the batch, if the driver can)",
    )
    wait: str = setting(
        Word("operation", "batch"),
        default="operation",
        help="post the next operation when one has ended, or the next batch when the last has ended",
    )
    threads: int = setting(Count(), default=1, help="lanes in a worker")
    processes: int = setting(Count(), default=1, help="workers")
    cpus: tuple[int, ...] | None = setting(
        CpuList(), default=None, help="CPUs that the lanes run on, one each, in turn (default: any)"
    )
    numa: int | None = setting(
        Count(minimum=0, maximum=1023), default=None, help="NUMA node on whose CPUs and memory the lanes run"
    )
    rate_per_s: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        Rate(),
        default=None,
        help="operations that become due per second, of all lanes together (default: as fast as they go)",
    )
    arrival: str | None = setting(
        Word("constant", "poisson"), default=None, help="with `rate`: how they are spread over time (default: constant)"
    )
    memory: str = setting(Word("dram", "vram"), default="dram", help="where the program's buffers are")

    def check(self) -> Iterator[Finding]:
        of_model = {
            "access": self.access,
            "page": self.page_tokens,
            "prompt": self.prompt_tokens,
            "output": self.output_tokens,
            "requests": self.requests,
            "sizing": self.sizing,
            "weight_dtype": self.weight_dtype,
        }
        given = [name for name, value in of_model.items() if value is not None]
        if self.keys is not None and self.working_set_bytes is not None:
            yield Finding(
                "KVS114",
                "`keys` and `working_set` both say how much is touched",
                "keys",
                "leave one of them out",
            )
        if self.model is not None:
            for name, value in (("block", self.block_bytes), ("batch", self.batch)):
                if value is not None:
                    yield Finding(
                        "KVS203",
                        f"`{name}` and `model` both say what is moved",
                        name,
                        f"leave out `{name}`, which follows from the model, or `model`",
                    )
            if self.prompt_tokens is None:
                yield Finding(
                    "KVS113",
                    "`prompt` is missing: how many tokens does a request have?",
                    "model",
                    "add `prompt = 1000 tokens`",
                )
        elif self.block_bytes is not None:
            for name in given:
                yield Finding(
                    "KVS203",
                    f"`{name}` describes the KV of a model, and this pattern has none",
                    name,
                    f"leave out `{name}`, or name a `model` instead of `block`",
                )
        else:
            yield Finding(
                "KVS113",
                "the pattern does not say what is moved",
                given[0] if given else None,
                "add `model = ...` and `prompt = 1000 tokens`, or plainly `block = 1 MiB`",
            )
        if self.op == "mixed" and self.reads_share is None:
            yield Finding("KVS113", "`op = mixed` needs `reads`", "op", "add `reads = 70 %`")
        if self.order == "strided" and self.stride is None:
            yield Finding("KVS113", "`order = strided` needs `stride`", "order", "add `stride = 16`")
        if self.cpus is not None and self.numa is not None:
            yield Finding("KVS114", "`cpus` and `numa` both say where the lanes run", "numa", "keep one of the two")
        if self.rate_per_s == 0:
            yield Finding("KVS105", "a rate of zero would never do anything", "rate", "write a rate such as `100 /s`")

    def complete(self) -> TransferSettings:
        done: dict[str, Any] = {}
        if self.model is not None:
            defaults: dict[str, Any] = {
                "access": "block",
                "page_tokens": DEFAULT_PAGE_TOKENS,
                "output_tokens": 0,
                "requests": 1,
                "sizing": "exact",
            }
            done = {name: value for name, value in defaults.items() if getattr(self, name) is None}
            if self.sizing != "kvbench":
                done["weight_dtype"] = None
        elif self.batch is None:
            done["batch"] = 1
        if self.op != "mixed":
            done["reads_share"] = None
        if self.order != "strided":
            done["stride"] = None
        if self.order != "zipf":
            done["skew"] = None
        elif self.skew is None:
            done["skew"] = DEFAULT_SKEW
        if self.rate_per_s is None:
            done["arrival"] = None
        elif self.arrival is None:
            done["arrival"] = "constant"
        return attrs.evolve(self, **done)


#: The families of models by name.
FAMILIES: Mapping[str, type] = {
    "mha": HeadsSettings,
    "gqa": HeadsSettings,
    "mla": LatentSettings,
    "linear": LinearSettings,
    "hybrid": HybridSettings,
}

#: The types of patterns by name.
PATTERN_TYPES: Mapping[str, type] = {
    "transfer": TransferSettings,
    "matrix": MatrixSettings,
    "replay": ReplaySettings,
    "conversations": ConversationsSettings,
}

#: The built-ins of each kind of block that has some: what a block's bases end in. A tier's are the drivers.
BUILT_INS: Mapping[str, Mapping[str, type]] = {"model": FAMILIES, "users": USER_TYPES, "pattern": PATTERN_TYPES}
