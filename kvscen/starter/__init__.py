"""A first scenario for a question: what `kvscen new` writes."""

from kvscen.starter.choices import ABOUTS, CACHE_TIERS, STORES, TIERS, Choice, ChoiceError, TierChoice, chosen
from kvscen.starter.text import scenario_text

__all__ = [
    "ABOUTS",
    "CACHE_TIERS",
    "STORES",
    "TIERS",
    "Choice",
    "ChoiceError",
    "TierChoice",
    "chosen",
    "scenario_text",
]
