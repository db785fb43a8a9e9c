"""`secret("file")`: the name of a file goes through plan and tables, what is in it does not."""

import os

import pytest

from kvscen.language.values import SecretFile
from kvscen.plugin import DriverError, Secret, Unfit, read_secret
from tests.semantics.test_distributions import value


def test_a_secret_is_named_as_it_is_written_and_found_beside_the_file():
    found = value('secret("keys/store.txt")')
    assert isinstance(found, SecretFile)
    assert str(found) == 'secret("keys/store.txt")'
    assert Secret().show(Secret().convert(found)) == 'secret("keys/store.txt")'


def test_a_secret_in_the_scenario_itself_is_refused_and_not_repeated():
    with pytest.raises(Unfit) as refused:
        Secret().convert("hunter2")
    assert "hunter2" not in str(refused.value) + refused.value.help


def test_what_is_read_is_the_line(tmp_path):
    for written in (b"s3same", b"s3same\n", b"s3same\r\n"):
        (tmp_path / "key").write_bytes(written)
        assert read_secret(SecretFile("key", str(tmp_path / "key"))) == "s3same"


@pytest.mark.parametrize("written", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"x" * 5000, b"a\0b"])
def test_what_is_no_line_is_refused_without_repeating_it(tmp_path, written):
    (tmp_path / "key").write_bytes(written)
    with pytest.raises(DriverError) as refused:
        read_secret(SecretFile("key", str(tmp_path / "key")))
    assert 'secret("key")' in str(refused.value)
    assert refused.value.remedy
    assert "two" not in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DriverError, match=os.strerror(2)):
        read_secret(SecretFile("key", str(tmp_path / "key")))
