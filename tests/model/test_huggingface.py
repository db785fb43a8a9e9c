"""Hugging Face configurations against the catalogue, against figures reckoned by hand, and against what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from kvscen.language.blocks import LinearSettings
from kvscen.language.huggingface import Unknown, known_types, model_text, read_model
from kvscen.lint import lint_file
from kvscen.model.catalogue import entries
from kvscen.model.geometry import kinds_of
from kvscen.plan.sizing import Sized, size_model

#: The fields that count of the configurations that the catalogue was read from.
CONFIGS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("configs.json").read_text())
#: Bytes of one token in all layers in the configuration's own format, and of the state, reckoned by hand.
BY_HAND = {
    # 32 layers x 32 heads x (128 + 128) numbers x 2 bytes; 128 = 4096 / 32
    "llama2_7b": (524_288, 0),
    # 126 x 8 x 256 x 2; 128 = 16384 / 128
    "llama3_1_405b": (516_096, 0),
    # 48 x 8 x 256 x 2, a chunk in three of four layers
    "llama4_scout": (196_608, 0),
    # 61 x (512 + 64) x 2
    "deepseek_v3": (70_272, 0),
    # 27 x 576 x 2
    "deepseek_v2_lite": (31_104, 0),
    # 62 x 16 x 256 x 2
    "gemma3_27b": (507_904, 0),
    # 12 x 2 x 512 x 2; 36 x (32 x 128 x 128 + (2 x 16 x 128 + 32 x 128) x 3) x 2
    "qwen3_next_80b_a3b": (24_576, 36 * (524_288 + 8192 * 3) * 2),
    # 16 x 4 x 512 x 2; 48 x (48 x 128 x 128 x 4 + (4096 + 6144) x 3 x 2)
    "qwen3_5_27b": (65_536, 48 * (786_432 * 4 + 10_240 * 3 * 2)),
    # 6 attention layers x 2 x 256 x 2; 23 x (64 x 64 x 128 x 4 + (4096 + 2 x 8 x 128) x 3 x 2)
    "nemotron_3_nano_30b_a3b": (6_144, 23 * (524_288 * 4 + 6144 * 3 * 2)),
    # 10 x 8 x 256 x 2; 70 x 64 x 128 x 128 x 2
    "minimax_text_01": (40_960, 70 * 64 * 128 * 128 * 2),
    # 40 x 10 x 256 x 2
    "phi4": (204_800, 0),
    # 46 x 8 x 256 x 2
    "glm4_5_air": (188_416, 0),
    # 88 x 8 x 256 x 2
    "mistral_large_123b": (360_448, 0),
}


def sized(config: dict[str, Any], folder: Path) -> Sized:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return size_model("model", config=path)


def keeps(size: Sized) -> list[Any]:
    """What each kind of layers keeps, in bf16."""
    alike = [
        kind if isinstance(kind, LinearSettings) else attrs.evolve(kind, kv_dtype="bf16")
        for kind in kinds_of(size.model)
    ]
    return [attrs.evolve(kind, rope_dtype="bf16") if hasattr(kind, "rope_dtype") else kind for kind in alike]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_what_the_catalogue_has(name: str, tmp_path: Path) -> None:
    assert keeps(sized(CONFIGS[name]["config"], tmp_path)) == keeps(size_model(name))


@pytest.mark.parametrize("name", BY_HAND)
def test_figures_by_hand(name: str, tmp_path: Path) -> None:
    for size in (sized(CONFIGS[name]["config"], tmp_path), size_model(name)):
        assert size.geometry is not None
        assert (size.geometry.token_bytes, size.geometry.state_bytes) == BY_HAND[name]


def test_each_model_says_where_it_is_from_and_what_a_token_takes() -> None:
    listed = list(entries())
    assert [entry.name for entry in listed] == list(CONFIGS) and len(listed) >= 60
    for entry in listed:
        size = size_model(entry.name)
        assert size.geometry is not None
        assert (entry.repository, entry.token_bytes) == (CONFIGS[entry.name]["repository"], size.geometry.token_bytes)
        assert entry.source


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "torch_dtype": "bfloat16",
}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in LLAMA.items() if key != name}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ([], "no object"),
        ({}, "no `model_type`"),
        ({**LLAMA, "model_type": "deepseek_v32"}, "'deepseek_v32', and how such a model keeps its KV is not known"),
        ({**LLAMA, "model_type": 3}, "no `model_type`"),
        (without("num_hidden_layers"), "no `num_hidden_layers`"),
        ({**LLAMA, "num_hidden_layers": True}, "`num_hidden_layers` is True"),
        ({**LLAMA, "num_hidden_layers": -1}, "`num_hidden_layers` is -1"),
        ({**LLAMA, "num_key_value_heads": "8"}, "`num_key_value_heads` is '8'"),
        ({**LLAMA, "hidden_size": 4097}, "4097 is not whole heads of 32"),
        ({**LLAMA, "torch_dtype": "float64"}, "`torch_dtype` is 'float64'"),
        ({**LLAMA, "layer_types": ["full_attention"]}, "1 entries, and `num_hidden_layers` is 32"),
        ({**LLAMA, "layer_types": ["strided"] * 32}, "a layer of 'strided'"),
        ({**LLAMA, "layer_types": ["sliding_attention"] * 32}, "no `sliding_window`"),
        ({**LLAMA, "quantization_config": {"kv_cache_scheme": {"num_bits": 4, "type": "int"}}}, "`kv_cache_scheme`"),
        ({**without("num_key_value_heads"), "model_type": "qwen3", "head_dim": 128}, "no `num_key_value_heads`"),
        ({**LLAMA, "model_type": "qwen3"}, "no `head_dim`"),
        ({**LLAMA, "model_type": "mistral"}, "whether there is a `sliding_window`"),
        ({**LLAMA, "model_type": "qwen2", "use_sliding_window": True}, "no `max_window_layers`"),
        ({**LLAMA, "model_type": "deepseek_v2"}, "no `kv_lora_rank`"),
        ({**LLAMA, "model_type": "nemotron_h"}, "neither `hybrid_override_pattern`"),
        ({**LLAMA, "model_type": "nemotron_h", "hybrid_override_pattern": "M?" * 16}, "has '?'"),
        ({**LLAMA, "model_type": "nemotron_h", "hybrid_override_pattern": "M"}, "has 1 layers"),
        ({**LLAMA, "model_type": "nemotron_h", "hybrid_override_pattern": "-" * 32}, "none of its layers"),
        ({**LLAMA, "model_type": "minimax"}, "neither `layer_types` nor an `attn_type_list`"),
        ({**LLAMA, "model_type": "llama4_text", "head_dim": 128, "no_rope_layers": [1]}, "1 entries"),
    ],
)
def test_what_is_not_known_is_said(config: Any, said: str) -> None:
    with pytest.raises(Unknown) as caught:
        read_model(config)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        # transformers: without num_key_value_heads each head of Llama has its own.
        (without("num_key_value_heads"), ["layers = 32; kv_heads = 32; head_dim = 128; kv_dtype = bf16"]),
        ({**LLAMA, "num_key_value_heads": None}, ["layers = 32; kv_heads = 32; head_dim = 128; kv_dtype = bf16"]),
        ({**LLAMA, "head_dim": 64}, ["layers = 32; kv_heads = 8; head_dim = 64; kv_dtype = bf16"]),
        (
            {"torch_dtype": "float16", "text_config": without("torch_dtype")},
            ["layers = 32; kv_heads = 8; head_dim = 128; kv_dtype = fp16"],
        ),
        (without("torch_dtype"), ["layers = 32; kv_heads = 8; head_dim = 128"]),
        (
            {**LLAMA, "quantization_config": {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}},
            ["layers = 32; kv_heads = 8; head_dim = 128; kv_dtype = fp8"],
        ),
        (
            {
                **LLAMA,
                "model_type": "qwen2",
                "use_sliding_window": True,
                "max_window_layers": 28,
                "sliding_window": 4096,
            },
            [
                "layers = 28; kv_heads = 8; head_dim = 128",
                "layers = 4; kv_heads = 8; head_dim = 128; window = 4096 tokens",
            ],
        ),
        (
            {**LLAMA, "model_type": "cohere2", "sliding_window": 4096},
            [
                "layers = 24; kv_heads = 8; head_dim = 128; window = 4096 tokens",
                "layers = 8; kv_heads = 8; head_dim = 128",
            ],
        ),
        (
            {**LLAMA, "model_type": "gemma3_text", "head_dim": 256, "sliding_window": 512, "sliding_window_pattern": 4},
            [
                "layers = 24; kv_heads = 8; head_dim = 256; window = 512 tokens",
                "layers = 8; kv_heads = 8; head_dim = 256",
            ],
        ),
        (
            {
                **LLAMA,
                "model_type": "llama4_text",
                "head_dim": 128,
                "attention_chunk_size": 8192,
                "no_rope_layers": [1, 0] * 16,
            },
            [
                "layers = 16; kv_heads = 8; head_dim = 128; chunk = 8192 tokens",
                "layers = 16; kv_heads = 8; head_dim = 128",
            ],
        ),
    ],
)
def test_what_fields_mean(config: dict[str, Any], parts: list[str]) -> None:
    written = model_text("m", read_model(config))
    found = [
        "; ".join(line.partition("#")[0].strip() for line in block.split("{\n")[1].splitlines() if line.strip())
        for block in written.split("}\n")
        if "{\n" in block
    ]
    assert found == parts


def test_every_known_type_is_read_of_a_complete_configuration() -> None:
    complete = {
        **LLAMA,
        "head_dim": 128,
        "sliding_window": None,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "attention_chunk_size": 8192,
        "layer_types": ["full_attention"] * 32,
    }
    for name in known_types():
        model = read_model({**complete, "model_type": name})
        assert [part.suffix for part in model.parts] == ["full"], name


SCENARIO = """kvs 1
model mine : hf("models/config.json") { kv_dtype = fp8; tp = 2 }
tier dram : memory { capacity = 1 GiB }
pattern pages : transfer { model = mine; prompt = 1000 tokens; op = read }
sweep s { pattern = pages; tier = dram; seed = 1; mine_hf_window.window in [128 tokens, 1024 tokens] }
"""


def test_a_scenario_names_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    text = json.dumps(CONFIGS["gpt_oss_20b"]["config"])
    (tmp_path / "models" / "config.json").write_text(text)
    path = tmp_path / "a.kvs"
    path.write_text(SCENARIO)
    plan = lint_file(path).plan
    assert plan is not None
    # 12 layers x 16 tokens x 4 heads of a rank x (64 + 64) x 1 byte; 63 pages and 9, or 64 of the next 1024 tokens.
    assert [(p.work.block_bytes, p.work.batch) for p in plan.points] == [(98_304, 63 + 9), (98_304, 63 + 63)]
    assert dict(plan.files)["models/config.json"] == text, "a run keeps what it was made from"


def test_a_used_file_names_a_configuration_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "team" / "models.kvs").write_text('kvs 1\nmodel mine : hf("config.json") {}\n')
    path = tmp_path / "a.kvs"
    path.write_text(
        SCENARIO.replace(
            'model mine : hf("models/config.json") { kv_dtype = fp8; tp = 2 }', 'use "team/models.kvs"'
        ).replace("; mine_hf_window.window in [128 tokens, 1024 tokens]", "")
    )
    plan = lint_file(path).plan
    assert plan is not None
    assert [p.work.block_bytes for p in plan.points] == [16 * 131_072]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "KVS240"),
        ("[]", "KVS240"),
        ("[" * 100_000, "KVS240"),
        ("\x00", "KVS240"),
        ("{}", "KVS241"),
        ('{"a": NaN}', "KVS241"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text(content)
    path = tmp_path / "a.kvs"
    path.write_text(SCENARIO)
    assert [d.code for d in lint_file(path).diagnostics if d.span and "hf(" in d.span.source.text][:1] == [code]
