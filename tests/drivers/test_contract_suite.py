"""The contract's test suite finds what it is there to find: each fault of the fake driver fails its test."""

import pytest

from kvscen.plugin import Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen.testing.fake import FakeDriver, FakeSettings


class TestFakeKeepsTheContract(DriverContract):
    @pytest.fixture
    def driver(self):
        return FakeDriver()

    @pytest.fixture
    def settings(self):
        return FakeSettings()

    def test_too_much_is_refused_with_a_sentence(self):
        pytest.skip("the fake driver keeps blocks one by one and has no limit of its own")


def _store(fault, after=0):
    tier = Tier("t", "fake", FakeSettings(fault=fault, after=after))
    return FakeDriver().open(tier, Work("mixed", DriverContract.block_bytes, 8, DriverContract.keys), ())


@pytest.mark.parametrize("fault", ["corrupt", "lost_write", "swapped"])
def test_wrong_contents_are_found(fault):
    # The first operations lay the data out.
    with pytest.raises(AssertionError, match="bytes differ"):
        DriverContract().test_write_then_read_back_every_byte(_store(fault, after=30))


@pytest.mark.parametrize(("fault", "said"), [("twice", "came back twice"), ("unknown_id", "never submitted")])
def test_wrong_completions_are_found(fault, said):
    with pytest.raises(AssertionError, match=said):
        DriverContract().test_every_operation_is_reaped_once_at_random_depths(_store(fault, after=40))


def test_a_lost_operation_is_found(monkeypatch):
    monkeypatch.setattr("kvscen.testing.contract.STALL_S", 0.2)
    with pytest.raises(AssertionError, match="did not come back"):
        DriverContract().test_every_operation_is_reaped_once_at_random_depths(_store("lost", after=40))


@pytest.mark.parametrize("fault", ["short", "too_many", "error"])
def test_wrong_bytes_are_found(fault):
    with pytest.raises(AssertionError):
        DriverContract().test_completions_are_exact(_store(fault, after=30))
