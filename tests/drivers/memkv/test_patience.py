"""Who waits looks again as long as what it waits for comes soon, and sleeps else."""

from __future__ import annotations

from kvscen_drivers.memkv.patience import Patience


def _looks(patience: Patience, begin: int, step: int) -> int:
    """How often it looks in vain, each look `step` later, until it would sleep."""
    count = 0
    while patience.again(begin + count * step):
        count += 1
    return count


def test_it_looks_for_so_long_and_no_longer() -> None:
    patience = Patience(100)
    assert _looks(patience, 1000, 10) == 10


def test_what_came_soon_is_looked_for_again() -> None:
    patience = Patience(100)
    _looks(patience, 1000, 10)
    patience.came(1199)
    assert patience.looks
    assert _looks(patience, 5000, 50) == 2


def test_what_came_late_is_slept_for_until_it_comes_soon() -> None:
    patience = Patience(100)
    _looks(patience, 1000, 10)
    patience.came(1200)
    assert not patience.looks
    assert not patience.again(2000)
    patience.came(2050)
    assert patience.looks


def test_what_is_there_at_once_changes_nothing() -> None:
    patience = Patience(100)
    assert not (patience.again(1) and patience.again(900))
    patience.came(901)
    patience.came(902)
    assert not patience.looks


def test_without_time_it_never_looks() -> None:
    patience = Patience(0)
    assert not patience.looks
    assert not patience.again(5)
    patience.came(5)
    assert not patience.looks
