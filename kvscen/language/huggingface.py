"""Reads what a Hugging Face config.json says of a model's KV, as blocks of the language.

What a field means, and what its absence means, depends on `model_type`: the configuration classes of transformers
say it, and they are what this follows (version 5.24). A `model_type` or a kind of layer that is not here is a problem:
nothing is guessed from fields that look alike, for one that is not known (an index beside the keys, layers that share
KV) would change the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

Config: TypeAlias = Mapping[str, Any]


class Unknown(ValueError):
    """The configuration does not say, or says what is not known here. `help` says what to do."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


@attrs.frozen
class Part:
    """Layers that keep alike: `suffix` is what its block's name ends in, `settings` (name, value as it is written, the
    fields it is from)."""

    suffix: str
    family: str
    settings: tuple[tuple[str, str, str], ...]


@attrs.frozen
class HfModel:
    """What a configuration comes to: one part, or several that take turns. `kv_dtype` is None where it says none."""

    model_type: str
    parts: tuple[Part, ...]
    kv_dtype: str | None


#: Where configurations of models that see or hear keep what their language model is.
NESTED = ("text_config", "llm_config", "language_config")

_FULL, _WINDOW, _CHUNK, _LINEAR = "full", "window", "chunk", "linear"

#: What the entries of `layer_types`, `layers_block_type` are called; None: such a layer keeps nothing.
_LAYER_TYPES: Mapping[str, str | None] = {
    "full_attention": _FULL,
    "attention": _FULL,
    "sliding_attention": _WINDOW,
    "chunked_attention": _CHUNK,
    "linear_attention": _LINEAR,
    "mamba": _LINEAR,
    "mlp": None,
    "moe": None,
}
#: `hybrid_override_pattern` of Nemotron-H.
_LETTERS: Mapping[str, str | None] = {"*": _FULL, "M": _LINEAR, "-": None, "E": None}

_DTYPES: Mapping[str, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_BYTES: Mapping[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}


def known_types() -> tuple[str, ...]:
    """Every `model_type` that is known."""
    return tuple(sorted(_TYPES))


def read_model(config: Config) -> HfModel:
    """What a configuration says of the KV. Raises Unknown."""
    if not isinstance(config, Mapping):
        raise Unknown("it is no object with fields, as a model's config.json is")
    outer = config
    for name in NESTED:
        if isinstance(config.get(name), Mapping):
            config = config[name]
            break
    kind = config.get("model_type") or outer.get("model_type")
    if not isinstance(kind, str):
        raise Unknown("it has no `model_type`", "is this the config.json of a model?")
    known = _TYPES.get(kind)
    if known is None:
        raise Unknown(
            f"`model_type` is {kind!r}, and how such a model keeps its KV is not known here",
            "write the model out with a family: `gqa`, `mla`, `linear`, or `hybrid` of several",
        )
    fields = _Fields(config, known)
    dtype = _dtype(config, outer)
    layers = [layer for layer in known.layers(fields) if layer is not None]
    if not layers:
        raise Unknown("none of its layers keeps anything")
    kinds = tuple(dict.fromkeys(layers))
    return HfModel(kind, tuple(_part(each, layers.count(each), fields, dtype) for each in kinds), dtype)


def model_text(name: str, model: HfModel) -> str:
    """The blocks of a model called `name`; those of its parts are called `name_full` and so on."""
    dtype = model.kv_dtype
    if len(model.parts) == 1:
        return _block(name, model.parts[0], dtype if model.parts[0].family != "linear" else None)
    blocks = [_block(f"{name}_{part.suffix}", part, None) for part in model.parts]
    own = f"; kv_dtype = {dtype}" if dtype else ""
    listed = ", ".join(f"{name}_{part.suffix}" for part in model.parts)
    return "".join(blocks) + f"model {name} : hybrid {{ parts = [{listed}]{own} }}\n"


def _block(name: str, part: Part, dtype: str | None) -> str:
    rows = [*part.settings, *([("kv_dtype", dtype, "torch_dtype")] if dtype else [])]
    lines = "".join(f"  {setting} = {value}  # {source}\n" for setting, value, source in rows)
    return f"model {name} : {part.family} {{\n{lines}}}\n"


# ---- fields


@attrs.frozen
class _Type:
    """What transformers does with one `model_type`. `derives_head_dim`: hidden_size / num_attention_heads where
    `head_dim` is missing. `kv_heads_may_miss`: without `num_key_value_heads` each head has KV of its own."""

    layers: Callable[[_Fields], Sequence[str | None]]
    latent: bool = False
    derives_head_dim: bool = True
    kv_heads_may_miss: bool = False


@attrs.frozen
class _Fields:
    config: Config
    known: _Type

    def has(self, *names: str) -> str | None:
        """The first of these fields that is there and not null."""
        return next((name for name in names if self.config.get(name) is not None), None)

    def count(self, *names: str) -> int:
        """A positive whole number, by the first of these names that is there. Raises Unknown."""
        name = self.has(*names)
        if name is None:
            raise Unknown(f"it has no `{names[0]}`", "write the model out with a family, or complete the file")
        value = self.config[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Unknown(f"its `{name}` is {value!r}, and no positive whole number")
        return value

    @property
    def layers(self) -> int:
        return self.count("num_hidden_layers")

    def kv_heads(self) -> tuple[int, str]:
        if self.has("num_key_value_heads"):
            return self.count("num_key_value_heads"), "num_key_value_heads"
        if self.known.kv_heads_may_miss or "num_key_value_heads" in self.config:
            return self.count("num_attention_heads"), "num_attention_heads, for num_key_value_heads is not given"
        raise Unknown("it has no `num_key_value_heads`", "write the model out with a family, or complete the file")

    def head_dim(self) -> tuple[int, str]:
        name = self.has("head_dim", "attention_head_dim")
        if name:
            return self.count(name), name
        if not self.known.derives_head_dim:
            raise Unknown("it has no `head_dim`", "write the model out with a family, or complete the file")
        hidden, heads = self.count("hidden_size"), self.count("num_attention_heads")
        if hidden % heads:
            raise Unknown(f"it has no `head_dim`, and hidden_size {hidden} is not whole heads of {heads}")
        return hidden // heads, f"hidden_size {hidden} / num_attention_heads {heads}"


def _dtype(config: Config, outer: Config) -> str | None:
    """The format in which an engine keeps KV that is told nothing else: that of the activations."""
    scheme = (outer.get("quantization_config") or config.get("quantization_config") or {}).get("kv_cache_scheme")
    if scheme is not None:
        if isinstance(scheme, Mapping) and (scheme.get("num_bits"), scheme.get("type")) == (8, "float"):
            return "fp8"
        raise Unknown(f"its `kv_cache_scheme` is {scheme!r}", "only one of 8 bits of the type float is known")
    for source in (config, outer):
        for name in ("torch_dtype", "dtype"):
            value = source.get(name)
            if value is not None:
                if value not in _DTYPES:
                    raise Unknown(f"its `{name}` is {value!r}", f"known are {', '.join(_DTYPES)}")
                return _DTYPES[value]
    return None


# ---- layers


def _part(kind: str, layers: int, fields: _Fields, dtype: str | None) -> Part:
    count = ("layers", str(layers), _why(kind, layers, fields))
    if kind == _LINEAR:
        state, why = _state(fields, dtype)
        return Part(kind, "linear", (count, ("state", f"{state} B", why)))
    if fields.known.latent:
        latent = ("latent_dim", str(fields.count("kv_lora_rank")), "kv_lora_rank")
        return Part(
            kind, "mla", (count, latent, ("rope_dim", str(fields.count("qk_rope_head_dim")), "qk_rope_head_dim"))
        )
    (heads, heads_why), (dim, dim_why) = fields.kv_heads(), fields.head_dim()
    rows = [count, ("kv_heads", str(heads), heads_why), ("head_dim", str(dim), dim_why)]
    if kind == _WINDOW:
        rows.append(("window", f"{fields.count('sliding_window')} tokens", "sliding_window"))
    elif kind == _CHUNK:
        rows.append(("chunk", f"{fields.count('attention_chunk_size')} tokens", "attention_chunk_size"))
    return Part(kind, "gqa", tuple(rows))


def _why(kind: str, layers: int, fields: _Fields) -> str:
    whole = fields.config.get("num_hidden_layers")
    return "num_hidden_layers" if layers == whole else f"the {kind} ones of num_hidden_layers {whole}"


def _state(fields: _Fields, dtype: str | None) -> tuple[int, str]:
    """Bytes of one request in one layer. The convolution keeps the inputs that it needs again, in the format of the
    activations; the recurrent state its own format where the configuration has one (as vLLM's `auto`)."""
    wide = fields.has("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
    activations = _BYTES.get(dtype or "bf16", 2)
    recurrent = activations
    if wide:
        value = fields.config[wide]
        if value not in _DTYPES:
            raise Unknown(f"its `{wide}` is {value!r}", f"known are {', '.join(_DTYPES)}")
        recurrent = _BYTES[_DTYPES[value]]
    if fields.has("linear_num_value_heads"):
        values, keys = fields.count("linear_num_value_heads"), fields.count("linear_num_key_heads")
        key_dim, value_dim = fields.count("linear_key_head_dim"), fields.count("linear_value_head_dim")
        kernel = fields.count("linear_conv_kernel_dim")
        channels = 2 * keys * key_dim + values * value_dim
        numbers = values * key_dim * value_dim
        what = f"{values} x {key_dim} x {value_dim}"
    elif fields.has("mamba_num_heads"):
        heads, dim = fields.count("mamba_num_heads"), fields.count("mamba_head_dim")
        size, groups = fields.count("ssm_state_size"), fields.count("n_groups")
        kernel = fields.count("conv_kernel")
        channels = heads * dim + 2 * groups * size
        numbers = heads * dim * size
        what = f"{heads} x {dim} x {size}"
    else:
        heads, (dim, _) = fields.count("num_attention_heads"), fields.head_dim()
        return heads * dim * dim * recurrent, f"{heads} x {dim} x {dim} numbers of {recurrent} bytes"
    why = f"{what} numbers of {recurrent} bytes, and {channels} x {kernel - 1} of {activations}"
    return numbers * recurrent + channels * (kernel - 1) * activations, why


def _listed(fields: _Fields) -> list[str | None] | None:
    """The layers where the configuration has a list of them."""
    name = fields.has("layer_types", "layers_block_type")
    if name is not None:
        given = fields.config[name]
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise Unknown(f"its `{name}` is no list")
        for each in given:
            if each not in _LAYER_TYPES:
                raise Unknown(f"its `{name}` has a layer of {each!r}", f"known are {', '.join(_LAYER_TYPES)}")
        if fields.has("num_hidden_layers") and len(given) != fields.layers:
            raise Unknown(f"its `{name}` has {len(given)} entries, and `num_hidden_layers` is {fields.layers}")
        return [_LAYER_TYPES[each] for each in given]
    return None


def _full(fields: _Fields) -> list[str | None]:
    listed = _listed(fields)
    return [_FULL] * fields.layers if listed is None else listed


def _all_windows(fields: _Fields) -> list[str | None]:
    """Every layer has the window, where there is one."""
    listed = _listed(fields)
    if listed is not None:
        return listed
    if "sliding_window" not in fields.config:
        raise Unknown("it does not say whether there is a `sliding_window`", "complete the file: `null` means none")
    return [_WINDOW if fields.has("sliding_window") else _FULL] * fields.layers


def _later_windows(fields: _Fields) -> list[str | None]:
    """Qwen: with `use_sliding_window` the layers from `max_window_layers` on."""
    listed = _listed(fields)
    if listed is not None:
        return listed
    if not fields.config.get("use_sliding_window"):
        return [_FULL] * fields.layers
    first = fields.config.get("max_window_layers")
    if not isinstance(first, int):
        raise Unknown("it has `use_sliding_window` and no `max_window_layers`")
    return [_WINDOW if layer >= first else _FULL for layer in range(fields.layers)]


def _every(most: str, interval: str, default: int | None) -> Callable[[_Fields], list[str | None]]:
    """Each `interval`-th layer is full, the others are `most`."""

    def layers(fields: _Fields) -> list[str | None]:
        listed = _listed(fields)
        if listed is not None:
            return listed
        if fields.has(interval):
            each = fields.count(interval)
        elif default is None:
            raise Unknown(f"it has neither `layer_types` nor `{interval}`")
        else:
            each = default
        return [most if (layer + 1) % each else _FULL for layer in range(fields.layers)]

    return layers


def _llama4(fields: _Fields) -> list[str | None]:
    """`no_rope_layers` has 0 where a layer attends to everything; an empty list means each fourth one."""
    rope = fields.config.get("no_rope_layers")
    if _listed(fields) is not None or not rope:
        return _every(_CHUNK, "no_rope_layer_interval", 4)(fields)
    if len(rope) != fields.layers:
        raise Unknown(f"its `no_rope_layers` has {len(rope)} entries, and `num_hidden_layers` is {fields.layers}")
    return [_CHUNK if each else _FULL for each in rope]


def _nemotron(fields: _Fields) -> list[str | None]:
    pattern = fields.config.get("hybrid_override_pattern")
    if pattern is None:
        listed = _listed(fields)
        if listed is None:
            raise Unknown("it has neither `hybrid_override_pattern` nor `layers_block_type`")
        return listed
    strange = next(iter(set(pattern) - set(_LETTERS)), None)
    if strange is not None:
        raise Unknown(f"its `hybrid_override_pattern` has {strange!r}", f"known are {', '.join(_LETTERS)}")
    if fields.has("num_hidden_layers") and len(pattern) != fields.layers:
        raise Unknown(
            f"its `hybrid_override_pattern` has {len(pattern)} layers, and `num_hidden_layers` is {fields.layers}"
        )
    return [_LETTERS[letter] for letter in pattern]


def _minimax(fields: _Fields) -> list[str | None]:
    """`attn_type_list` has 1 for attention and 0 for lightning attention."""
    listed = _listed(fields)
    if listed is not None:
        return listed
    given = fields.config.get("attn_type_list")
    if not isinstance(given, Sequence) or len(given) != fields.layers or set(given) - {0, 1}:
        raise Unknown("it has neither `layer_types` nor an `attn_type_list` of 0 and 1 for each layer")
    return [_FULL if each else _LINEAR for each in given]


def _types() -> Iterator[tuple[str, _Type]]:
    for name in ("llama", "granite", "olmo2", "stablelm"):
        yield name, _Type(_full, kv_heads_may_miss=True)
    for name in ("glm", "glm4", "glm4_moe", "gemma", "qwen3_vl_text", "qwen3_vl_moe_text"):
        yield name, _Type(_full, derives_head_dim=False)
    for name in ("mistral", "ministral3", "mixtral", "phimoe"):
        yield name, _Type(_all_windows)
    yield "phi3", _Type(_all_windows, kv_heads_may_miss=True)
    for name in ("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"):
        yield name, _Type(_later_windows)
    for name in ("qwen3", "qwen3_moe"):
        yield name, _Type(_later_windows, derives_head_dim=False)
    for name in ("deepseek_v2", "deepseek_v3", "kimi_k2"):
        yield name, _Type(_full, latent=True)
    for name in ("gemma2", "gpt_oss"):
        yield name, _Type(_every(_WINDOW, "sliding_window_pattern", 2), derives_head_dim=False)
    yield "gemma3_text", _Type(_every(_WINDOW, "sliding_window_pattern", 6), derives_head_dim=False)
    yield "cohere2", _Type(_every(_WINDOW, "sliding_window_pattern", 4))
    yield "llama4_text", _Type(_llama4, derives_head_dim=False)
    for name in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"):
        yield name, _Type(_every(_LINEAR, "full_attention_interval", 4), derives_head_dim=False)
    yield "nemotron_h", _Type(_nemotron, derives_head_dim=False)
    for name in ("minimax", "minimax_text_01"):
        yield name, _Type(_minimax)
    yield "minimax_m2", _Type(_minimax_m2, derives_head_dim=False)


def _minimax_m2(fields: _Fields) -> list[str | None]:
    if 0 in (fields.config.get("attn_type_list") or ()):
        raise Unknown("its `attn_type_list` has 0, and layers of `minimax_m2` attend to everything")
    return _full(fields)


_TYPES: Mapping[str, _Type] = dict(_types())
