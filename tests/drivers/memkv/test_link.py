"""memkv over a network of two hosts: a link that is slowed, cut and restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvscen.execute.messages import Go
from tests.drivers.memkv.link import Link, linked
from tests.drivers.memkv.support import served
from tests.e2e.support import kvscen, scenario, trials
from tests.execute.struck import run_struck

TEXT = """kvs 1
tier kv : memkv {{ endpoints = ["{place}"]; secret = secret("shared"); timeout = 2 s; coalesce = true }}
pattern reads : transfer {{ op = read; block = 1 MiB; batch = 16; wait = batch; keys = 1 }}
sweep s {{
  pattern = reads; tier = kv; trials = 1; warmup = 20 ms; time = {time}; timeout = 20 s; seed = 1; order = sequential
  {axes}
}}
"""

pytestmark = pytest.mark.slow


def run(folder: Path, place: str, out: str, time: str = "400 ms", axes: str = "") -> list[dict[str, object]]:
    path = scenario(folder, TEXT.format(place=place, time=time, axes=axes))
    done = kvscen(folder, "run", path, "--out", out)
    rows = trials(folder / out)
    assert rows, done.stdout + done.stderr
    return rows


def serving_there(link: Link, folder: Path):  # type: ignore[no-untyped-def]
    (folder / "shared").write_text("open sesame\n")
    options = ("--secret", str(folder / "shared"), "--capacity", "64 MiB")
    return served(*options, before=link.inside([]), listen=f"{link.there}:7707")


def test_a_slow_link_shows_what_coalescing_saves(tmp_path: Path) -> None:
    """Of 16 reads that share a block of 1 MiB one crosses a link of 1 Gbit/s: the batch takes about as long as one
    read, and the wire carries no more than the link does."""
    with linked() as link, serving_there(link, tmp_path) as (_, place):
        link.slow("1gbit")
        axes = "(reads.batch, kv.coalesce) in [(1, true), (16, true), (16, false)]"
        one, shared, alone = run(tmp_path, place, "out", "1 s", axes)
    assert {row["status"] for row in (one, shared, alone)} == {"ok"}, (one["reason"], shared["reason"], alone["reason"])
    assert {row["interface"] for row in (one, shared, alone)} == {link.card}
    for row in (one, shared, alone):
        seconds = int(str(row["window_ns"]))
        assert int(str(row["wire_bytes"])) <= 1.2 * 125e6 * seconds / 1e9, "no more than the link carries"
    rate = {
        name: float(str(row["throughput_bytes_per_s"]))
        for name, row in (("one", one), ("shared", shared), ("alone", alone))
    }
    assert rate["shared"] > 3 * max(rate["one"], rate["alone"]), "what is delivered is above what the link carries"
    assert float(str(shared["wire_ratio"])) > 15 > 1.1 > float(str(alone["wire_ratio"]))


def test_a_link_that_is_cut_costs_its_point_and_comes_back(tmp_path: Path) -> None:
    with linked() as link, serving_there(link, tmp_path) as (_, place):
        text = TEXT.format(place=place, time="8 s", axes="")
        (record,) = run_struck(tmp_path, text, Go, lambda _: link.cut())
        assert record.status == "error" and place in record.reason, record.reason
        assert "sent nothing for 2 s" in record.reason
        link.restore()
        (row,) = run(tmp_path, place, "again")
        assert row["status"] == "ok", row["reason"]
