"""Models of the catalogue as people name them."""

from __future__ import annotations

import re

from kvscen.language.suggest import closest

#: What a repository's name says beyond the model: nothing that its KV depends on.
_VARIANTS = (
    "meta",
    "instruct",
    "chat",
    "hf",
    "it",
    "base",
    "bf16",
    "fp8",
    "fp4",
    "nvfp4",
    "awq",
    "gptq",
    "int4",
    "gguf",
)


def catalogue_name(what: str) -> str:
    """The catalogue's name for KVBench's `LLAMA3.1_8B` or Hugging Face's `meta-llama/Llama-3.1-8B`: alike but for the
    signs between letters and digits. `what` itself where there is none."""
    return _by_letters().get(_bare(what.rpartition("/")[2]), what)


def is_catalogued(name: str) -> bool:
    return _bare(name) in _by_letters()


def is_shipped(name: str, kind: str) -> bool:
    """A block of this name and kind may be the catalogue's, of which nobody wants a list."""
    from kvscen.language.define import catalogue_names

    return kind == "model" and name in catalogue_names()


def instead_of(what: str) -> str:
    """What to write for a model of this name, which the language does not have."""
    if what.endswith(".json"):
        return f'the base of a model may be a call: model NAME : hf("{what}") {{ }}'
    known = _by_letters()
    words = re.split(r"[^a-z0-9.]+", what.rpartition("/")[2].lower())
    asked = _bare("".join(word for word in words if word not in _VARIANTS))
    if known.get(asked) == what:
        return "it is a model of the catalogue: add `use models` below the first line"
    if asked in known:
        return f"write `{known[asked]}`, as the catalogue calls it (`use models`)"
    near = closest(asked, known)
    there = f"; the nearest there is `{known[near]}`" if near else ""
    return (
        "the catalogue (kvscen explain models) has none of that name: get its config.json and write "
        f'`model NAME : hf("config.json") {{ }}`{there}'
    )


def _by_letters() -> dict[str, str]:
    from kvscen.language.define import catalogue_names

    return {_bare(name): name for name in catalogue_names()}


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
