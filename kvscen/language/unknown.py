"""What is said of a setting that there is not: most are those of another program, or of another kind of block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvscen.language.blocks import BUILT_INS, SweepSettings
from kvscen.language.codes import problem
from kvscen.language.conversations import UsersSettings
from kvscen.language.diagnose import ScenarioError, Span
from kvscen.language.schema import settings_of
from kvscen.language.suggest import closest, listed, one_of

#: What is set here and what else it is called: by fio, vLLM, kv-cache.py, nixlbench, KVBench, or just so.
CALLED: Mapping[str, str] = {
    "block": "block_size blocksize bs io_size iosize request_size transfer_size xfer_size chunk_size",
    "working_set": "size filesize total_size file_size dataset total_buffer_size",
    "depth": "iodepth queue_depth qd inflight in_flight outstanding max_concurrency concurrency max_concurrent_allocs",
    "threads": "numjobs jobs workers nthreads num_threads",
    "keys": "key_count objects entries nkeys",
    "op": "rw readwrite operation op_type mode direction",
    "reads": "rwmixread read_ratio read_percent read_share mix_read",
    "batch": "batch_size",
    "page": "page_size tokens_per_page tokens_per_block block_size block_tokens",
    "prompt": "isl input_len input_length prompt_len prompt_length prompt_tokens context context_length seq_len",
    "output": "osl output_len output_length max_tokens output_tokens",
    "requests": "prompts num_reqs nreq samples",
    "access": "access_pattern",
    "memory": "initiator_seg_type seg_type buffer_type mem_type",
    "order": "access_order distribution",
    "skew": "theta zipf_theta",
    "arrival": "burstiness arrival_process",
    "time": "runtime duration measure_time window time_based",
    "warmup": "ramp_time ramp warmup_iter warm_up warmup_time",
    "operations": "num_iter iter loops_per_trial num_ops",
    "trials": "iterations repeats repeat runs loops repetitions reps",
    "rate": "qps rps request_rate rate_iops arrival_rate iops",
    "users": "concurrency clients max_concurrency",
    "generation": "generation_mode",
    "seed": "randseed random_seed",
    "verify": "check check_consistency",
    "engine": "ioengine io_engine",
    "direct": "o_direct directio odirect",
    "path": "dir directory folder filename filepath file_path cache_dir location mount root",
    "capacity": "size max_size limit capacity_gb mem_gb",
    "capacities": "capacity sizes",
    "eviction": "policy eviction_policy cache_policy replacement",
    "levels": "tiers layers_of_cache",
    "endpoint": "host port address url server addr endpoints hostname",
    "endpoints": "host port address url server addr endpoint hostname nodes",
    "parallelism": "queue_depth qd depth concurrency channels",
    "latency": "delay access_time",
    "bandwidth": "throughput bw speed",
    "kv_dtype": "dtype kv_cache_dtype quant precision cache_dtype quantization",
    "tp": "tensor_parallel_size tp_size tensor_parallel",
    "pp": "pipeline_parallel_size pp_size pipeline_parallel",
    "layers": "num_layers num_hidden_layers n_layers",
    "kv_heads": "num_key_value_heads num_kv_heads heads n_kv_heads",
    "head_dim": "head_size",
    "target_p95": "p95 p99 qos sla slo target",
    "think": "think_time",
    "context": "context_length input_len prompt",
}

#: What no setting does, and how it is done.
OTHERWISE: Mapping[str, str] = {
    **dict.fromkeys(("exclude", "skip_when", "filter"), "`skip when CONDITION` drops points"),
    "include": "`(PATH, PATH) in [(a, b), (c, d)]` varies several settings together",
    **dict.fromkeys(("group_reporting", "name", "output_format"), "take it out: it needs no setting here"),
    **dict.fromkeys(("percentiles", "percentile_list", "metrics"), "take it out: all that is measured is written"),
    **dict.fromkeys(("thresholds", "assert", "slo", "sla"), "`expect latency_p99 <= 5 ms` judges in a sweep"),
}

#: Settings of most drivers, to tell where they belong.
_OF_TIERS = frozenset({"path", "direct", "engine", "capacity", "capacities", "eviction", "levels", "endpoint"})


def unknown_setting(
    name: str, kind: str, built_in: str, settings: Mapping[str, Any], span: Span, paths: Sequence[str] = ()
) -> ScenarioError:
    """`settings` are those of the block, of this kind and built-in; `paths` may be meant instead."""
    what = one_of(kind) if not built_in else f"{one_of(kind)} of `{built_in}`"
    near = meant(name, settings) or closest(name, settings)
    if near is not None or paths:
        help_text = f"did you mean {listed(paths or [near or ''], 4)}?"
    else:
        help_text = _elsewhere(name, kind, settings) or _all(settings)
    return problem("KVS102", f"{what} has no setting `{name}`", span, help=help_text)


def meant(name: str, settings: Mapping[str, Any]) -> str | None:
    """Which of these settings others call so."""
    asked = name.lower()
    for called in dict.fromkeys((asked, _bare(asked))):
        if called in settings and called != name:
            return called
        for setting, names in CALLED.items():
            if setting in settings and called in names.split():
                return setting
    return None


def _bare(name: str) -> str:
    """Without what other programs put before and behind the names of their options."""
    return re.sub(r"^(num|n|max|min|start|kv|initial)_|_(size|count|num|gb|mb|ms|s)$", "", name)


def _elsewhere(name: str, kind: str, settings: Mapping[str, Any]) -> str | None:
    """Where such a setting stands, if not here."""
    of_users = settings_of(UsersSettings)
    asked = name if name in of_users else meant(name, of_users)
    if kind == "pattern" and asked is not None and (asked == name or "mix" in settings):
        where = ", and name that in `mix`" if "mix" in settings else " of a pattern of `conversations`"
        return f"`{asked}` is a setting of users: write it into a block `users NAME : chat {{ }}`{where}"
    if kind == "tier" and name == "capacity":
        return "as a level of a cache it has one there: `tiered { levels = [a, b]; capacities = [4 GiB, 1 TiB] }`"
    if name in OTHERWISE:
        return OTHERWISE[name]
    for other, others in _kinds():
        found = name if name in others else meant(name, others)
        if other != kind and found is not None:
            block = "the sweep" if other == "sweep" else f"a {other}"
            return f"`{found}` is a setting of {other}s: write it into {block}"
    return None


def _kinds() -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "sweep", settings_of(SweepSettings)
    for kind in ("pattern", "model"):
        for declaration in BUILT_INS[kind].values():
            yield kind, settings_of(declaration)
    yield "tier", dict.fromkeys(_OF_TIERS)


def _all(settings: Mapping[str, Any]) -> str:
    return f"its settings are {listed(settings, 30)}" if settings else "it has no settings"
