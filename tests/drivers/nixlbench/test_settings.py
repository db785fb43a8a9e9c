"""Flags as settings, what they say about each other, what a backend cannot do, which points go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.schema import settings_of, show_settings
from kvscen.language.values import Quantity, Symbol
from kvscen.plugin import Finding, Severity, Tier, Unfit, Work
from kvscen_drivers.nixlbench.driver import NixlbenchDriver
from kvscen_drivers.nixlbench.flags import FLAGS, NETWORK, PATTERN, STORAGE
from kvscen_drivers.nixlbench.invocation import flags, grouped, iterations, least_buffer_bytes
from kvscen_drivers.nixlbench.settings import BACKEND, WORKED_OUT, NixlbenchSettings, kind_of, processes
from tests.drivers.nixlbench.support import WORK, grid, point, settings


def found(of: Any, work: Work = WORK, **changes: Any) -> list[Finding]:
    return list(NixlbenchDriver().lint(Tier("t", "nixlbench", of), attrs.evolve(work, **changes)))


def checked(**values: Any) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.setting) for finding in NixlbenchSettings(**values).check()]


def test_every_flag_is_a_setting_of_the_tier_or_of_the_pattern() -> None:
    declared = settings_of(NixlbenchSettings)
    for name, flag in FLAGS.items():
        if name in PATTERN:
            assert name not in declared
            continue
        info = declared[name]
        assert flag.help in info.help
        if name in WORKED_OUT:
            assert info.default is None and WORKED_OUT[name] in info.help
        elif info.default is None:
            assert flag.default == ""
        else:
            assert info.type.show(info.default).strip('"') == flag.default
        for choice in flag.choices:
            assert choice in info.type.words


def test_a_setting_reads_back_what_it_shows() -> None:
    of = settings(num_iter=7, total_buffer_size_bytes=1 << 20)
    for name, text in show_settings(of).items():
        assert text, name


def test_backends() -> None:
    kind = BACKEND
    assert kind.convert(Symbol("GDS_MT")) == "GDS_MT" and kind.convert("MEMKV") == "MEMKV"
    assert (kind.show("UCX"), kind.show("MEMKV")) == ("UCX", '"MEMKV"')
    for wrong in (Symbol("MEMKV"), "", "a b", "--x", Quantity(1)):  # type: ignore[arg-type]
        with pytest.raises(Unfit):
            kind.convert(wrong)
    assert {*STORAGE, *NETWORK} >= set(FLAGS["backend"].choices)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"backend": "POSIX", "filepath": "kv"}, []),
        ({"backend": "POSIX"}, [("KVS113", "backend")]),
        ({"backend": "GDS"}, [("KVS113", "backend")]),
        ({"backend": "OBJ"}, []),
        ({"backend": "UCX"}, []),
        ({"backend": "UCX", "start": "first"}, [("KVS113", "start")]),
        ({"backend": "UCX", "start": "first", "asio_port": 1234}, []),
        ({"backend": "UCX", "start": "first", "etcd_endpoints": "e", "benchmark_group": "g"}, []),
        ({"backend": "POSIX", "filepath": "kv", "start": "first"}, [("KVS114", "start")]),
        ({"backend": "UCX", "runtime_type": "ASIO", "num_target_dev": 2}, [("KVS114", "runtime_type")]),
        ({"backend": "UCX", "prepared_xfer": True, "reregister_mem": True}, [("KVS114", "prepared_xfer")]),
        ({"backend": "POSIX", "filepath": "kv", "filenames": "a,b"}, [("KVS114", "filenames")]),
        ({"backend": "POSIX", "filepath": "kv", "filenames": "a,b", "num_files": 2}, []),
        ({"backend": "POSIX", "filepath": "kv", "filenames": "/etc/passwd"}, [("KVS114", "filenames")]),
        ({"backend": "POSIX", "filepath": "kv", "filenames": "../x"}, [("KVS114", "filenames")]),
        ({"backend": "UCX", "flags": ("--new_flag=3",)}, []),
        ({"backend": "UCX", "flags": ("--new_flag",)}, [("KVS105", "flags")]),
        ({"backend": "UCX", "flags": ("new_flag=3",)}, [("KVS105", "flags")]),
        ({"backend": "UCX", "flags": ("--num_threads=3",)}, [("KVS114", "flags")]),
        ({"backend": "UCX", "env": ("UCX_TLS=tcp",)}, []),
        ({"backend": "UCX", "env": ("UCX_TLS",)}, [("KVS105", "env")]),
    ],
)
def test_settings_together(values: dict[str, Any], expected: list[tuple[str, str | None]]) -> None:
    assert checked(**values) == expected


def test_what_is_for_another_backend_belongs_to_no_point() -> None:
    shown = show_settings(settings())
    assert "posix_api_type" in shown and not [name for name in shown if name.startswith(("gds_", "obj_", "asio_"))]
    shown = show_settings(settings(backend="UCX"))
    assert shown["runtime_type"] == "ASIO" and "filepath" not in shown and "posix_api_type" not in shown


@pytest.mark.parametrize(
    ("values", "count", "runtime"),
    [
        ({"backend": "UCX"}, 2, "ASIO"),
        ({"backend": "UCX", "etcd_endpoints": "http://e:2379"}, 2, "ETCD"),
        ({"backend": "UCX", "runtime_type": "ETCD"}, 2, "ETCD"),
        ({"backend": "UCX", "num_initiator_dev": 2, "num_target_dev": 2}, 4, "ETCD"),
        ({"backend": "UCX", "num_initiator_dev": 2, "num_target_dev": 2, "mode": "MG"}, 2, "ASIO"),
        ({"backend": "UCX", "scheme": "manytoone", "num_initiator_dev": 3}, 4, "ETCD"),
        ({}, 1, None),
        ({"etcd_endpoints": "http://e:2379"}, 1, "ETCD"),
        ({"backend": "MEMKV"}, 2, "ASIO"),
        ({"backend": "MEMKV", "storage": True}, 1, None),
    ],
)
def test_processes_and_how_they_meet(values: dict[str, Any], count: int, runtime: str | None) -> None:
    of = settings(**values)
    assert (processes(of), of.runtime_type) == (count, runtime)


@pytest.mark.parametrize(
    ("values", "changes", "codes"),
    [
        ({}, {}, []),
        ({}, {"wait": "operation"}, ["KVS332"]),
        ({}, {"wait": "operation", "batch": 1, "keys": 1}, []),
        ({}, {"wait": "operation", "depth": 4}, ["KVS330", "KVS332"]),
        ({}, {"order": "random"}, ["KVS330"]),
        ({}, {"rate_per_s": 5}, ["KVS330"]),
        ({}, {"keys": 100}, ["KVS330"]),
        ({}, {"keys": 8, "threads": 2}, []),
        ({}, {"durability": "each"}, ["KVS330"]),
        ({}, {"batch": 65536, "keys": 65536}, []),
        ({}, {"batch": 65537, "keys": 65537}, ["KVS331"]),
        ({}, {"batch": 119141, "keys": 119141}, ["KVS331"]),
        ({}, {"batch": 32769, "keys": 32769, "threads": 2}, ["KVS331"]),
        ({}, {"batch": 32769, "keys": 32769, "depth": 2}, ["KVS331"]),
        ({"posix_ios_pool_size": 128}, {"batch": 129, "keys": 129}, ["KVS331"]),
        ({"posix_ios_pool_size": 1 << 20}, {"batch": 65537, "keys": 65537}, ["KVS331"]),
        ({"backend": "GDS", "filepath": "kv"}, {"batch": 4096, "keys": 4096}, []),
        ({"backend": "GDS", "filepath": "kv"}, {"batch": 4097, "keys": 4097}, ["KVS331"]),
        ({"backend": "GDS", "filepath": "kv"}, {"batch": 4096, "keys": 4096, "threads": 2}, ["KVS331"]),
        ({"backend": "GDS", "filepath": "kv"}, {"batch": 2049, "keys": 2049, "block_bytes": 32 << 20}, ["KVS331"]),
        ({"total_buffer_size_bytes": 262144}, {}, []),
        ({"total_buffer_size_bytes": 262143}, {}, ["KVS331"]),
        ({"total_buffer_size_bytes": 786433}, {"threads": 2}, ["KVS331"]),
        ({"num_files": 2}, {}, ["KVS331"]),
        ({"num_files": 2}, {"threads": 4}, []),
        ({"storage_enable_direct": True}, {"block_bytes": 1000}, ["KVS331"]),
        ({"storage_enable_direct": True}, {"block_bytes": 562176}, []),
        ({"use_hugepages": True}, {"threads": 2}, ["KVS331"]),
    ],
)
def test_limits(values: dict[str, Any], changes: dict[str, Any], codes: list[str]) -> None:
    findings = found(settings(**values), **changes)
    assert [finding.code for finding in findings] == codes
    for finding in findings:
        assert finding.help and finding.severity is (Severity.WARNING if finding.code == "KVS332" else Severity.ERROR)


@given(
    block=st.integers(1, 1 << 22),
    batch=st.integers(1, 700),
    threads=st.integers(1, 9),
    initiators=st.integers(1, 5),
    targets=st.integers(1, 5),
    deep=st.integers(1, 3),
)
def test_nixlbench_accepts_the_size_of_the_buffers(
    block: int, batch: int, threads: int, initiators: int, targets: int, deep: int
) -> None:
    """What its utils.cpp asks for; and threads x batch x block where there is one device on each side."""
    of = settings(backend="UCX", num_initiator_dev=initiators, num_target_dev=targets)
    work = attrs.evolve(WORK, block_bytes=block, batch=batch, threads=threads, depth=deep)
    total = least_buffer_bytes(of, work, block, batch)
    assert all(block * batch <= total // count for count in (initiators, targets, threads))
    assert total % (threads * initiators) == 0 == total % (threads * targets)
    if initiators == targets == deep == 1:
        assert total == threads * batch * block


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 16), st.sampled_from([4096, 1 << 20, 1 << 21]))
def test_at_least_the_operations_that_were_asked_for(operations: int, batch: int, threads: int, block: int) -> None:
    work = attrs.evolve(WORK, operations=operations, batch=batch, threads=threads, block_bytes=block)
    counts = iterations(settings(), work)
    assert counts is not None
    done = counts.measured(block) * batch
    assert operations <= done < operations + batch * threads
    assert counts.num_iter % threads == 0 == counts.warmup_iter % threads


def places(groups: list[list[Any]]) -> list[list[tuple[int, int]]]:
    return [[(p.work.block_bytes, p.work.batch) for p in group] for group in groups]


def test_a_doubling_grid_is_one_run() -> None:
    of = settings(num_iter=16)
    assert places(grouped(grid(of, [4096, 8192, 16384], [1, 2]))) == [
        [(4096, 1), (4096, 2), (8192, 1), (8192, 2), (16384, 1), (16384, 2)]
    ]
    assert places(grouped(grid(of, [4096, 12288], [3]))) == [[(4096, 3)], [(12288, 3)]]
    assert places(grouped(grid(of, [3000, 6000, 12000, 13000], [3]))) == [
        [(3000, 3), (6000, 3), (12000, 3)],
        [(13000, 3)],
    ]
    assert places(grouped(grid(of, [4096, 8192], [1, 3]))) == [[(4096, 1), (8192, 1)], [(4096, 3), (8192, 3)]]


def test_points_that_are_not_alike_do_not_go_together() -> None:
    of = settings(num_iter=16)
    one = point(of, 0, block_bytes=4096)
    for other in (
        point(of, 1, block_bytes=8192, op="read"),
        point(of, 1, block_bytes=8192, threads=2),
        point(settings(num_iter=32), 1, block_bytes=8192),
        attrs.evolve(point(of, 1, block_bytes=8192), sweep="t"),
    ):
        assert len(grouped([one, other])) == 2
    assert len(grouped([one, point(of, 1, block_bytes=8192)])) == 1
    alone = settings(num_iter=16, invocation="point")
    assert len(grouped(grid(alone, [4096, 8192], [1]))) == 2


def test_counts_that_differ_do_not_go_together() -> None:
    """By `operations` a row of twice the batch has half the iterations, and a run has one count for all its rows."""
    assert len(grouped(grid(settings(), [4096, 8192], [1, 2], operations=64))) == 2
    assert len(grouped(grid(settings(), [4096, 8192], [4], operations=64))) == 1
    # Above 1 MiB nixlbench divides the count, which then has to be larger.
    assert len(grouped(grid(settings(large_blk_iter_ftr=16), [1 << 20, 2 << 20], [4], operations=64))) == 2
    assert len(grouped(grid(settings(), [1 << 20, 2 << 20], [4], operations=64))) == 1
    assert len(grouped(grid(settings(), [4096, 8192], [4], operations=None, time_ns=10**9))) == 2


def test_a_group_has_buffers_for_its_largest_row() -> None:
    points = grid(settings(num_iter=16), [4096, 8192], [1, 2])
    passed = flags(points, iterations(points[0].tier.settings, points[0].work))
    assert passed["total_buffer_size"] == "16384"
    assert (passed["start_block_size"], passed["max_block_size"]) == ("4096", "8192")


def test_every_flag_that_is_passed_is_accepted_by_the_table() -> None:
    for backend in (*STORAGE, *NETWORK):
        of = settings(backend=backend, filepath="kv")
        passed = flags([point(of)], iterations(of, WORK))
        for name, text in passed.items():
            assert FLAGS[name].takes(text), (backend, name, text)


def test_flags_take_what_the_program_takes() -> None:
    assert (
        FLAGS["num_iter"].takes("1000")
        and not FLAGS["num_iter"].takes("1e3")
        and not FLAGS["num_iter"].takes("2147483648")
    )
    assert not FLAGS["total_buffer_size"].takes("-1") and FLAGS["total_buffer_size"].takes(str(2**64 - 1))
    assert FLAGS["enable_pt"].takes("true") and not FLAGS["enable_pt"].takes("True")
    assert not FLAGS["target_seg_type"].takes("FILE") and FLAGS["backend"].takes("MEMKV")
    assert kind_of(FLAGS["num_iter"]).describe().startswith("a count")


def test_what_it_takes() -> None:
    footprint = NixlbenchDriver().footprint(Tier("t", "nixlbench", settings()), attrs.evolve(WORK, threads=2))
    assert (footprint.memory_bytes, footprint.disk_bytes) == (2 * 4 * 65536, 2 * 4 * 65536)
    of = settings(backend="UCX")
    footprint = NixlbenchDriver().footprint(Tier("t", "nixlbench", of), WORK)
    assert (footprint.memory_bytes, footprint.disk_bytes) == (2 * 4 * 65536, 0)


def test_the_probe_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = NixlbenchDriver().probe(None)
    assert not answer.ok and "nixlbench" in answer.reason and "posix" in answer.remedy and "nixl" in answer.remedy
    assert NixlbenchDriver().probe(Tier("t", "nixlbench", settings())).ok
