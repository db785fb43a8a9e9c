"""fio as the ceiling: the command line that repeats a load, and what is read from its output. Nothing is run here."""

import json
from fractions import Fraction
from itertools import pairwise

import attrs
import pytest

from kvscen.plugin import DriverError, Load, Tier, Work
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from kvscen_drivers.posix.fio import Extent, figures_of, pages_of, peer, why_not
from tests.drivers.posix.fio import HERE, RATE

KIB, MIB = 1 << 10, 1 << 20
OUTPUT = (HERE / "fio-3.33.json").read_text()


def load(block=64 * KIB, depth=16, lanes=((0, 64),), pages="huge", **work):
    keys = sum(count for _, count in lanes)
    work = {"op": "read", "order": "random", "warmup_ns": 200_000_000, "time_ns": 1_500_000_000, **work}
    made = Work(block_bytes=block, batch=depth, keys=keys, **work)
    return Load(made, lanes, depth, block, pages, made.time_ns or 700_000_000)


@pytest.fixture
def call(tmp_path):
    """fio's arguments for a load whose lanes lie in one file one after the other."""

    def arguments(load, engine="io_uring", direct=True, **how):
        file = tmp_path / "blocks:1.data"
        end = max(first + count for first, count in load.lanes) * load.stride_bytes
        with file.open("wb") as made:
            made.truncate(end)
        extents = [Extent(file, first * load.stride_bytes, count * load.stride_bytes) for first, count in load.lanes]
        return peer(load, extents, engine, direct=direct, **how)

    return arguments


def options(peer):
    """Its options, without those of single jobs."""
    first = next(i for i, word in enumerate(peer.argv) if word.startswith("--name"))
    return {word.partition("=")[0].removeprefix("--"): word.partition("=")[2] for word in peer.argv[1:first]}


def jobs(peer):
    found = []
    for word in peer.argv:
        name, _, value = word.removeprefix("--").partition("=")
        if name == "name":
            found.append({})
        elif found:
            found[-1][name] = value
    return found


def test_it_never_lays_out_and_reads_without_writing(call):
    said = options(call(load()))
    assert {k: said[k] for k in ("allow_file_create", "fallocate", "invalidate", "direct")} == {
        "allow_file_create": "0",
        "fallocate": "none",
        "invalidate": "0",
        "direct": "1",
    }
    assert "readonly" in said and "thread" in said
    assert "readonly" not in options(call(load(op="mixed", read_share=Fraction(1, 2))))
    assert options(call(load(), cold=True, direct=False))["invalidate"] == "1"


@pytest.mark.parametrize(
    ("engine", "name", "depth"),
    [("io_uring", "io_uring", "16"), ("libaio", "libaio", "16"), ("threads", "psync", None)],
)
def test_the_engine_and_what_is_in_flight(call, engine, name, depth):
    made = call(load(), engine)
    assert options(made)["ioengine"] == name and options(made).get("iodepth") == depth
    assert jobs(made)[0].get("numjobs") == (None if depth else "16")


def test_registered_buffers_and_files(call):
    said = options(call(load(), registered=True))
    assert said["fixedbufs"] == said["registerfiles"] == "1"


@pytest.mark.parametrize("engine", ["io_uring", "threads"])
@pytest.mark.parametrize("order", ["sequential", "random"])
def test_the_jobs_cover_the_lanes_and_nothing_else(call, engine, order):
    lanes = ((3, 50), (53, 51))
    found = jobs(call(load(lanes=lanes, order=order), engine))
    stride = 64 * KIB
    covered = sorted({(int(job["offset"]), int(job["offset"]) + int(job["size"])) for job in found})
    assert covered[0][0] == 3 * stride and covered[-1][1] == 104 * stride
    assert all(end == start for (_, end), (start, _) in pairwise(covered))
    assert all((end - first) % stride == 0 for first, end in covered)
    lanes_at_once = sum(int(job.get("numjobs", 1)) for job in found)
    assert lanes_at_once == (32 if engine == "threads" else 2)


def test_fewer_blocks_than_threads_are_shared(call):
    found = jobs(call(load(lanes=((0, 4),), order="sequential"), "threads"))
    assert [(job["offset"], job["size"]) for job in found] == [("0", str(256 * KIB))] * 16


def test_names_with_colons(call):
    assert jobs(call(load()))[0]["filename"].endswith("blocks\\:1.data")


def test_orders(call):
    assert options(call(load(order="sequential", op="write")))["rw"] == "write"
    mixed = options(call(load(op="mixed", read_share=Fraction(7, 10))))
    assert (mixed["rw"], mixed["rwmixread"]) == ("randrw", "70")
    zipf = options(call(load(order="zipf", skew=Fraction(99, 100))))
    assert zipf["random_distribution"] == "zipf:0.99"


def test_durability(call):
    assert options(call(load(op="write", durability="each")))["sync"] == "dsync"
    assert options(call(load(op="write", durability="end")))["end_fsync"] == "1"


def test_whole_batches_are_waited_for(call):
    said = options(call(load(wait="batch")))
    assert said["iodepth_batch"] == said["iodepth_batch_complete_min"] == "16" and said["iodepth_low"] == "1"


def test_the_window_and_how_long_it_means_to_run(call):
    made = call(load())
    assert options(made)["runtime"] == "1500ms" and options(made)["ramp_time"] == "200ms"
    assert made.duration_s == pytest.approx(1.7)
    counted = call(load(time_ns=None, operations=100, warmup_ns=0))
    assert options(counted)["runtime"] == "700ms" and "ramp_time" not in options(counted)


def test_cpus(call):
    found = jobs(call(load(lanes=((0, 9), (9, 9), (18, 9)), cpus=(2, 5))))
    assert [job["cpus_allowed"] for job in found] == ["2", "5", "2"]


@pytest.mark.parametrize("block", [512, 4 * KIB, 64 * KIB, MIB, 5 * MIB // 2, 16 * MIB])
@pytest.mark.parametrize("engine", ["io_uring", "threads"])
def test_the_pool_of_buffers_has_room_for_huge_pages(call, block, engine):
    made = call(load(block=block), engine)
    sizes = [int(size) for size in options(made)["bs"].split(",")]
    assert sizes[0] == block and set(sizes[:2]) == {block}, "the last one is of trims, which it never does"
    assert max(sizes) * (16 if engine == "io_uring" else 1) >= 4 * MIB
    assert made.env == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_small_pages_where_ours_are_small(call):
    made = call(load(pages="small"))
    assert made.env == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"} and options(made)["bs"] == str(64 * KIB)


def test_a_file_that_does_not_hold_all_blocks_is_not_touched(tmp_path):
    file = tmp_path / "blocks.data"
    for size in (None, 64 * 64 * KIB - 1):
        if size:
            with file.open("wb") as made:
                made.truncate(size)
        with pytest.raises(DriverError, match="does not hold all blocks"):
            peer(load(), [Extent(file, 0, 64 * 64 * KIB)], "io_uring", direct=True)


@pytest.mark.parametrize(
    ("work", "layout", "engine", "reason"),
    [
        ({"rate_per_s": Fraction(100)}, "file", "io_uring", "open loop"),
        ({"order": "strided", "stride": 4}, "file", "io_uring", "strides"),
        ({"order": "zipf", "skew": Fraction(1)}, "file", "io_uring", "exactly 1"),
        ({"wait": "batch"}, "file", "threads", "wait for each other"),
        ({}, "block", "io_uring", "a file for each block"),
        ({"wait": "batch"}, "lane", "io_uring", None),
    ],
)
def test_what_fio_cannot_repeat(work, layout, engine, reason):
    said = why_not(load(**work).work, layout, engine)
    assert said is None if reason is None else reason in said


def test_what_it_cannot_repeat_is_a_warning():
    tier = Tier("disk", "posix", PosixSettings(path="kv-data"))
    work = load(rate_per_s=Fraction(100), ceiling="fio").work
    assert [f.code for f in PosixDriver().lint(tier, work)] == ["KVS305"]
    assert not list(PosixDriver().lint(tier, attrs.evolve(work, ceiling="none")))


def test_the_figures_of_a_real_run():
    found = figures_of("note: something\n" + OUTPUT, "io_uring", "huge pages")
    assert found.tool == "fio-3.33 io_uring, huge pages"
    assert found.operations_per_s == RATE
    assert found.latency_ns == {"p50": 464896, "p99": 634880, "p999": 2539520}
    assert found.cpu_s_per_s is None, "the conductor watches the process instead"


def test_a_percentile_needs_operations_above_it():
    report = json.loads(OUTPUT)
    report["jobs"][0]["mixed"]["total_ios"] = 999
    assert set(figures_of(json.dumps(report), "io_uring", "").latency_ns) == {"p50"}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"error": 5}, "reports the error 5"), ({"mixed": {}}, "cannot be read"), ({"error": None}, "cannot be read")],
)
def test_what_is_no_figure(change, message):
    report = json.loads(OUTPUT)
    report["jobs"][0].update(change)
    with pytest.raises(DriverError, match=message):
        figures_of(json.dumps(report), "io_uring", "")
    with pytest.raises(DriverError, match="cannot be read"):
        figures_of("fio: out of luck", "io_uring", "")


def smaps(*mappings):
    """(range in MiB, permissions, name, Rss, AnonHugePages in kB)."""
    lines = []
    for (first, last), permissions, name, rss, huge in mappings:
        lines += [f"{first * MIB:x}-{last * MIB:x} {permissions} 00000000 00:00 0 {name}".rstrip()]
        lines += [f"Size: {(last - first) * 1024} kB", f"Rss: {rss} kB", f"AnonHugePages: {huge} kB", "VmFlags: rd"]
    return "\n".join(lines)


def test_pages_are_those_of_the_large_private_mappings():
    shared = ((10, 30), "rw-s", "/dev/zero (deleted)", 400, 0)
    heap = ((1, 4), "rw-p", "[heap]", 2000, 0)
    stack = ((40, 48), "rw-p", "", 24, 0)
    pool = (50, 120)
    assert pages_of(smaps(shared, heap, stack)) == "small pages"
    assert pages_of(smaps(shared, heap, (pool, "rw-p", "", 32772, 32768), stack)) == "huge pages"
    assert pages_of(smaps(heap, (pool, "rw-p", "", 4096, 2048))) == "mixed pages"
    assert pages_of(smaps(heap, shared)) == ""
