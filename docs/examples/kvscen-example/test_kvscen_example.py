import pytest
from kvscen_example import FilesDriver, FilesSettings

from kvscen.plugin import DriverError, Tier, Work
from kvscen.testing.contract import DriverContract


class TestFiles(DriverContract):
    @pytest.fixture
    def driver(self):
        return FilesDriver()

    @pytest.fixture
    def settings(self, tmp_path):
        return FilesSettings(path=str(tmp_path / "blocks"))


class TestFilesWithSync(TestFiles):
    @pytest.fixture
    def settings(self, tmp_path):
        return FilesSettings(path=str(tmp_path / "blocks"), sync=True)


def _open(path):
    tier = Tier("t", "files", FilesSettings(path=str(path)))
    return FilesDriver().open(tier, Work("read", 4096, 1, 1), ())


def test_what_it_warns_of():
    tier = Tier("t", "files", FilesSettings(path="./blocks"))
    assert [found.code for found in FilesDriver().lint(tier, Work("read", 4000, 1, 1))] == ["FILES001"]
    assert not list(FilesDriver().lint(tier, Work("read", 4096, 1, 1)))
    assert [found.code for found in FilesDriver().lint_here(tier, Work("read", 4096, 1, 2**62))] == ["FILES002"]


def test_files_of_others_are_not_touched(tmp_path):
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(DriverError, match="not ours"):
        _open(tmp_path)


def test_a_missing_parent_is_an_error(tmp_path):
    with pytest.raises(DriverError, match="No such file or directory"):
        _open(tmp_path / "missing" / "blocks")
