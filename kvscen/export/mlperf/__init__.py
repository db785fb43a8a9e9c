"""A trial as MLPerf Storage's kv-cache.py would write it: one run, one JSON object."""

from kvscen.export.mlperf.document import TIERS, Chosen, choose, document, levels_of
from kvscen.export.mlperf.explain import explain_rows, explain_text
from kvscen.export.mlperf.fields import FIELDS, VERSION

__all__ = [
    "FIELDS",
    "TIERS",
    "VERSION",
    "Chosen",
    "choose",
    "document",
    "explain_rows",
    "explain_text",
    "levels_of",
]
