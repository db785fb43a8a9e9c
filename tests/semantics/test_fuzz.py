"""No text makes the check or the plan raise anything, and whatever is wrong has a place."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.semantics.support import check, shown
from tests.semantics.test_problems import CASES

_TEXTS = [text for _, _, text in CASES]
_TOKENS = sorted({token for text in _TEXTS for token in re.findall(r"[A-Za-z_0-9.]+|\S", text)})


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """A scenario in which some words and signs are replaced, doubled or taken out."""
    parts = re.split(r"([A-Za-z_0-9.]+|\S)", draw(st.sampled_from(_TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(parts) - 1))
        parts[place] = draw(st.sampled_from([*_TOKENS, "", parts[place] * 2, "\n", " 1e99 ", "pages.op", "s.tier"]))
    return "".join(parts)


@settings(max_examples=400, deadline=None)
@given(broken_texts())
def test_nothing_raises(text: str) -> None:
    from kvscen.plan.expand import expand

    checked = check(text)
    found = list(checked.diagnostics)
    if checked.scenario is not None:
        found += expand(checked.scenario).diagnostics
    for item in found:
        assert item.message
        assert item.span is None or 0 <= item.span.start <= item.span.end <= len(item.span.source.text)
    shown(found)
