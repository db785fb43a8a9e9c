"""Capacities as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kvscen.predict import PredictionError, parse_bytes, parse_capacity


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("7", 7),
        ("20_000 blocks", 20_000),
        ("1 block", 1),
        ("10%", 18_279),
        ("0.5 %", 913),
        ("200%", 365_580),
        ("1 GiB", 102),
        ("25 MB", 2),
        (" none ", None),
    ],
)
def test_in_whole_blocks_rounded_down(text: str, blocks: int | None) -> None:
    """Of 182,790 blocks of 10 MiB; a tenth of them is what the independent counts call 10 %."""
    assert parse_capacity(text).blocks(182_790, 10 << 20) == blocks


def test_nothing_is_lost_in_floats() -> None:
    assert parse_capacity("29%").value == Fraction(29, 100)
    assert parse_capacity("29%").blocks(100, None) == 29
    assert parse_capacity("0.7 TiB").blocks(1, 1 << 20) == 7 * (1 << 20) // 10


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1 2", "5 s", "5 GiB/s", "1.5", "1.5 blocks", "0", "0%", "0 GiB", "%", "1e3"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(PredictionError) as caught:
        parse_capacity(text)
    assert caught.value.remedy


def test_less_than_a_block() -> None:
    with pytest.raises(PredictionError, match="`1%` of the 99 unique blocks is less than one block"):
        parse_capacity("1%").blocks(99, None)
    with pytest.raises(PredictionError, match="`1 MiB` is less than one block, which has 1,048,577 bytes"):
        parse_capacity("1 MiB").blocks(99, (1 << 20) + 1)
    with pytest.raises(PredictionError, match="how many blocks `1 MiB` holds"):
        parse_capacity("1 MiB").blocks(99, None)


def test_sizes() -> None:
    assert parse_bytes("2.5 MiB") == 5 << 19 and parse_bytes("1B") == 1
    for text in ("2.5", "0 B", "0.5 B", "5 %", "5 gib", "-1 B", ""):
        with pytest.raises(PredictionError):
            parse_bytes(text)
    with pytest.raises(PredictionError) as caught:
        parse_bytes("5 gib")
    assert caught.value.remedy == "did you mean `GiB`?"
