"""Models of the catalogue as people name them."""

from __future__ import annotations

import re


def catalogue_name(what: str) -> str:
    """The catalogue's name for KVBench's `LLAMA3.1_8B` or Hugging Face's `meta-llama/Llama-3.1-8B`: alike but for the
    signs between letters and digits. `what` itself where there is none."""
    from kvscen.language.define import catalogue_names

    wanted = _bare(what.rpartition("/")[2])
    return next((name for name in catalogue_names() if _bare(name) == wanted), what)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
