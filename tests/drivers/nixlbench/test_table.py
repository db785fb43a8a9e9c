"""The table, figure by figure: 10 and 12 columns, and what is no table."""

from __future__ import annotations

import pytest

from kvscen_drivers.nixlbench.table import HEADER, WIDE_HEADER, Row, read_table

WIDTHS = (20, *[15] * 9)
WIDE_WIDTHS = (20, 15, 15, 25, 20, *[15] * 7)
TEN = ("65536", "8", "0.524288", "125.0", "3.0", "8.0", "42.1", "94.0", "711.9", "5884.0")
# Four processes, two pairs: each moves 0.524288 GB/s; the network is reckoned at 50 GB/s for a pair.
TWELVE = (*TEN[:3], "1.048576", "1.048576", *TEN[3:])


def table(*rows: tuple[str, ...], wide: bool = False, before: str = "", between: str = "") -> str:
    widths = WIDE_WIDTHS if wide else WIDTHS

    def line(cells: tuple[str, ...]) -> str:
        return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + "\n"

    return before + line(WIDE_HEADER if wide else HEADER) + "-" * 160 + "\n" + between.join(map(line, rows))


def test_ten_columns() -> None:
    read = read_table(table(TEN), 1)
    assert read.began and not read.garbled
    assert read.rows == (Row(65536, 8, 524288000.0, 524288000.0, None, 125e3, 3e3, 8e3, 42.1e3, 94e3, 711.9e3, 5884e3),)


def test_twelve_columns() -> None:
    [row] = read_table(table(TWELVE, wide=True), 1).rows
    assert (row.bytes_per_s, row.own_bytes_per_s) == (1.048576e9, 0.524288e9)
    assert row.network_share == pytest.approx(0.01048576)
    assert (row.time_per_block_ns, row.transfer_p99_ns) == (125e3, 5884e3)


def test_long_figures_that_push_columns_together() -> None:
    long = (*TEN[:4], "123456789012.0", "1234567890123.5", *TEN[6:])
    [row] = read_table(table(long), 1).rows
    assert (row.prep_mean_ns, row.prep_p99_ns) == (123456789012.0e3, 1234567890123.5e3)


def test_what_is_logged_before_and_between_is_skipped() -> None:
    log = "W1120 08:48:01.502494 31443 nixl_agent.cpp:318] slow\n"
    read = read_table(table(TEN, TEN, before="65536 8 is no table\n", between=log), 1)
    assert len(read.rows) == 2 and not read.garbled


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_columns_say_of_each_other(threads: int) -> None:
    """A rate and a time for a block that cannot both be true: a digit is lost."""
    row = (*TEN[:3], f"{125.0 * threads:.1f}", *TEN[4:])
    assert not read_table(table(row), threads).garbled
    wrong = read_table(table(TEN, (*TEN[:2], "5.242880", *row[3:])), threads)
    assert "contradicts itself: 5.242880 GB/s" in wrong.garbled or threads > 1
    assert read_table(table((*TEN[:2], "5.242880", *row[3:])), threads).garbled


@pytest.mark.parametrize(("rate", "time"), [("0.000000", "9000000.0"), ("65.536000", "1.0"), ("136.533333", "0.5")])
def test_figures_at_the_end_of_what_can_be_printed(rate: str, time: str) -> None:
    """Rounded to a microsecond's tenth and a kilobyte per second, they agree as far as they can."""
    block = "4096" if rate == "0.000000" else "65536"
    assert not read_table(table((block, "8", rate, time, *TEN[4:])), 1).garbled


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        (table((*TEN[:2], "-nan", *TEN[3:])), "a row of the table cannot be read: 65536 8 -nan 125.0"),
        (table((*TEN[:2], "inf", *TEN[3:])), "a row of the table cannot be read"),
        (table(TEN).replace("711.9", "711,9"), "a row of the table cannot be read"),
        (table(TEN)[:-5], "the table ends within a row: 65536 8"),
        (table(TEN).rstrip(), "the table ends within a row"),
        ("Block Size (B)   Batch   GB/s\n65536 8 1\n", "its columns are not those of nixlbench 1.4: Block Size (B) |"),
        (table(TEN).replace(" 5884.0", ""), "a row of the table cannot be read"),
    ],
)
def test_what_cannot_be_read(text: str, garbled: str) -> None:
    read = read_table(text, 1)
    assert read.began and read.garbled.startswith(garbled) and not read.rows


def test_rows_before_a_bad_one_are_kept_and_those_after_it_are_not() -> None:
    read = read_table(table(TEN, ("65536", "16", "x", *TEN[3:]), TEN), 1)
    assert len(read.rows) == 1 and read.garbled


def test_no_table() -> None:
    read = read_table("WARNING: Adjusting num_iter to 1008\n65536 8\n", 1)
    assert not read.began and not read.rows and not read.garbled
