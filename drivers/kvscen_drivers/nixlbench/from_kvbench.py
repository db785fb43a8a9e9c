"""`kvscen import kvbench MODEL.yaml CONFIG.yaml`: KVBench's description of a model and of its use, as a scenario.

The schema is that of its models/models.py and models/model_config.py. Of a model each class takes its own keys and no
others; a configuration has three sections, and KVBench skips what it does not know in them without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.plugin import DriverError, Imported, Importer
from kvscen_drivers.nixlbench.scenario import Writer, quoted, read_text

#: KVBench's names of formats -> ours; it knows no others.
DTYPES: Mapping[str, str] = {"fp8": "fp8", "int8": "int8", "fp16": "fp16", "bfloat16": "bf16"}
_LLAMA = ("num_layers", "num_query_heads_with_mha", "query_head_dimension", "gqa_num_queries_in_group")
_GQA = ("num_layers", "num_query_heads", "num_kv_heads", "query_head_dimension")
_MLA = ("num_layers", "rope_mla_dimension", "mla_latent_vector_dimension")
#: What KVBench finds in a lower-case model_name -> the keys that its class asks for. The first that is found counts.
_ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    "llama3.1": _LLAMA,
    "deepseek_r1": _MLA,
    "gpt_oss": _GQA,
    "qwen3": _GQA,
}
#: Keys that say nothing of the KV.
_IDLE = frozenset({"model_name", "num_model_params", "num_query_heads", "embedding_dimension", "query_head_dimension"})


@attrs.frozen
class Section:
    """A section of a configuration: its keys with their defaults."""

    name: str
    defaults: Mapping[str, Any]


SECTIONS = (
    Section("strategy", {"tp_size": 1, "pp_size": 1, "model_quant_mode": "fp8", "kvcache_quant_mode": "fp8"}),
    Section("runtime", {"num_requests": 1, "isl": 1, "osl": 1}),
    Section(
        "system",
        {
            "backend": "SGLANG",
            "hardware": None,
            "page_size": 1,
            "access_pattern": None,
            "source": None,
            "destination": None,
        },
    ),
)
_COUNTS = frozenset({"tp_size", "pp_size", "num_requests", "isl", "osl", "page_size"})


def read(paths: Sequence[Path]) -> Imported:
    model_path, config_path = paths
    model, config = (read_yaml(path) for path in paths)
    writer = Writer()
    writer.comment(f"From {model_path.name} and {config_path.name}, a model and a configuration of KVBench.")
    writer.line()
    values: dict[str, Any] = {}
    for section in SECTIONS:
        found = config.pop(section.name, None)
        if found is not None and not isinstance(found, dict):
            writer.leave_out([f"{section.name}: it is no section, and KVBench would skip it"])
        found = found if isinstance(found, dict) else {}
        unknown = [key for key in found if key not in section.defaults]
        writer.leave_out(f"{section.name}.{key}: KVBench has no such setting, and would skip it" for key in unknown)
        values |= {**section.defaults, **{key: found[key] for key in found if key not in unknown}}
    writer.leave_out(f"{key}: KVBench has no such section, and would skip it" for key in config)
    _check(values, config_path)
    writer.leave_out(_idle(values))
    kind, settings = _model(model, model_path, values)
    name = _name(str(model["model_name"]))
    settings |= {"kv_dtype": DTYPES[values["kvcache_quant_mode"]], "tp": values["tp_size"], "pp": values["pp_size"]}
    writer.block(f"model {name} : {kind}", {key: str(value) for key, value in settings.items()})
    _scenario(writer, name, kind, values)
    return writer.done()


def read_yaml(path: Path) -> dict[str, Any]:
    """What a file of KVBench says. Raises DriverError with one sentence."""
    try:
        import yaml
    except ImportError as error:
        raise DriverError(
            "KVBench's files are YAML, and PyYAML is not installed", "pip install 'kvscen[kvbench]'"
        ) from error
    text = read_text(path)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise DriverError(f"{path}{where} is no YAML: {getattr(error, 'problem', error)}", "correct it") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise DriverError(f"{path} holds no settings: `key: value` lines are expected", "name KVBench's file")
    return found


def _check(values: Mapping[str, Any], path: Path) -> None:
    """Raises DriverError for a value that nothing can be made of."""
    for key in _COUNTS:
        if type(values[key]) is not int or values[key] < 1:
            raise DriverError(f"{path}: `{key}` is {values[key]!r}, and a whole number above 0 is needed", "correct it")
    for key in ("model_quant_mode", "kvcache_quant_mode"):
        if values[key] not in DTYPES:
            known = ", ".join(DTYPES)
            raise DriverError(f"{path}: KVBench has no `{key}` {values[key]!r}", f"it knows {known}")
    if values["access_pattern"] not in ("block", "layer"):
        raise DriverError(
            f"{path}: `access_pattern` is {values['access_pattern']!r}, and KVBench needs one",
            "set it to block or layer",
        )


def _idle(values: Mapping[str, Any]) -> Iterator[str]:
    if values["osl"] != 1:
        yield f"runtime.osl = {values['osl']}: KVBench does not use it; `output` of a pattern counts generated tokens"
    for key in ("hardware", "source", "destination"):
        if values[key] is not None:
            yield f"system.{key} = {values[key]}: KVBench does not use it"
    if values["backend"] != "SGLANG":
        yield f"system.backend = {values['backend']}: the name of an engine, which KVBench does not use"


def _model(model: Mapping[str, Any], path: Path, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(family, settings) of a model. Raises DriverError where KVBench has no class for it, or its keys do not fit."""
    name = model.get("model_name")
    architecture = next((key for key in _ARCHITECTURES if isinstance(name, str) and key in name.lower()), None)
    if architecture is None:
        known = ", ".join(_ARCHITECTURES)
        raise DriverError(f"{path}: KVBench knows no model like `model_name: {name}`", f"its names contain {known}")
    needed = _ARCHITECTURES[architecture]
    for key in needed:
        if type(model.get(key)) is not int or model[key] < 1:
            wrong = f"is {model[key]!r}" if key in model else "is missing"
            raise DriverError(f"{path}: `{key}` {wrong}, and {name} needs a whole number above 0 there", "correct it")
    unknown = [key for key in model if key not in needed and key not in _IDLE]
    if unknown:
        raise DriverError(f"{path}: {name} has no `{unknown[0]}` (KVBench ends with a TypeError)", "take it out")
    settings = {"layers": model["num_layers"]}
    if needed is _MLA:
        latent, rope = model["mla_latent_vector_dimension"], model["rope_mla_dimension"]
        return "mla", settings | {"latent_dim": latent, "rope_dim": rope}
    if needed is _GQA:
        heads = model["num_kv_heads"]
    else:
        heads, rest = divmod(model["num_query_heads_with_mha"], model["gqa_num_queries_in_group"])
        if rest:
            raise DriverError(
                f"{path}: {model['num_query_heads_with_mha']} query heads are no whole number of groups of "
                f"{model['gqa_num_queries_in_group']}",
                "correct `gqa_num_queries_in_group`",
            )
    return "gqa", settings | {"kv_heads": heads, "head_dim": model["query_head_dimension"]}


def _name(text: str) -> str:
    """A name of the language from a model's: LLAMA3.1_70B -> llama3_1_70b."""
    name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in text.lower())
    return name if name[:1].isalpha() else f"model_{name}"


def _scenario(writer: Writer, name: str, kind: str, values: Mapping[str, Any]) -> None:
    writer.comment("`sizing = kvbench` gives KVBench's own block and batch; without it they are those of one rank.")
    pattern = {
        "model": name,
        "sizing": "kvbench",
        "access": values["access_pattern"],
        "page": f"{values['page_size']} tokens",
        "prompt": f"{values['isl']} tokens",
        "requests": str(values["num_requests"]),
        "op": "read",
        "wait": "batch",
    }
    if values["model_quant_mode"] != values["kvcache_quant_mode"] and kind != "mla":
        pattern["weight_dtype"] = DTYPES[values["model_quant_mode"]]
    writer.block("pattern pages : transfer", pattern)
    writer.comment(
        "KVBench takes the backend from its command line. Here it is `--backend POSIX`, beside kvscen's own driver."
    )
    writer.line(f"tier disk : posix {{ path = {quoted('./kv-data')} }}")
    writer.line(
        f"tier bench : nixlbench {{ backend = POSIX; filepath = {quoted('./kv-nixlbench')}; "
        "storage_enable_direct = true; posix_api_type = URING }"
    )
    writer.line()
    sweep = {"pattern": "pages", "trials": "5", "warmup": "500 ms", "time": "2 s", "seed": "1"}
    writer.block("sweep kvbench", sweep, ["tier in [disk, bench]", "pages.op in [write, read]", "expect errors == 0"])


IMPORTER = Importer("kvbench", "a model and a configuration of NIXL's KVBench", ("MODEL.yaml", "CONFIG.yaml"), read)
