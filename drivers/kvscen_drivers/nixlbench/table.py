"""The table that nixlbench prints, read completely: 10 columns, or 12 where more than two processes are paired.

    Block Size (B)      Batch Size     B/W (GB/Sec)   Avg Lat. (us)  Avg Prep (us)  P99 Prep (us)  ...
    65536               8              0.694910       94.3           8.0            8.0            ...

Its utils.cpp says what the columns are. A GB is 1e9 bytes. "Avg Lat." is the measured time / (iterations of a thread x
batch): time for a block, which is no latency. Prep is the making of a transfer request, Post the call that posts a
batch, Tx the time from its return to the completion of the batch: averages over the batches of all threads, in whole
microseconds each.
"""

from __future__ import annotations

import re

import attrs

HEADER = (
    "Block Size (B)",
    "Batch Size",
    "B/W (GB/Sec)",
    "Avg Lat. (us)",
    "Avg Prep (us)",
    "P99 Prep (us)",
    "Avg Post (us)",
    "P99 Post (us)",
    "Avg Tx (us)",
    "P99 Tx (us)",
)
WIDE_HEADER = (*HEADER[:3], "Aggregate B/W (GB/Sec)", "Network Util (%)", *HEADER[3:])
_BYTES_PER_GB = 10**9
# Figures have a fixed number of digits after the point, so columns that a long one pushes together still come apart.
_COUNTS, _RATE, _SHORT = r"(\d+)\s+(\d+)\s+", r"(\d+\.\d{6})\s*", r"(\d+\.\d)\s*"
_ROW = re.compile(_COUNTS + _RATE + _SHORT * 7)
_WIDE_ROW = re.compile(_COUNTS + _RATE * 3 + _SHORT * 7)


@attrs.frozen
class Row:
    """One row. `bytes_per_s` is of all initiators, `own_bytes_per_s` of the one that prints; `network_share` is what
    nixlbench calls the utilization of a network of 50 GB/s for each pair. The phases are of one batch."""

    block_bytes: int
    batch: int
    bytes_per_s: float
    own_bytes_per_s: float
    network_share: float | None
    time_per_block_ns: float
    prep_mean_ns: float
    prep_p99_ns: float
    post_mean_ns: float
    post_p99_ns: float
    transfer_mean_ns: float
    transfer_p99_ns: float


@attrs.frozen
class Table:
    """The rows in the order of printing. `began`: the header was there. `garbled`: the first line of the table that
    cannot be read, and why; what follows it is not trusted."""

    began: bool
    rows: tuple[Row, ...] = ()
    garbled: str = ""


def read_table(text: str, threads: int) -> Table:
    """Everything in stdout that is a table. `threads`: of a process, for what columns say of each other."""
    lines = iter(text.splitlines(keepends=True))
    header: tuple[str, ...] = ()
    for line in lines:
        if line.startswith(HEADER[0]):
            header = tuple(re.split(r"\s{2,}", line.strip()))
            break
    else:
        return Table(False)
    if header not in (HEADER, WIDE_HEADER):
        return Table(True, (), f"its columns are not those of nixlbench 1.4: {' | '.join(header)}")
    rows: list[Row] = []
    for line in lines:
        if not line[:1].isdigit():
            continue  # the line under the header, and what the libraries log between the rows
        row = _row(line, header == WIDE_HEADER)
        if isinstance(row, Row):
            row = _contradiction(row, threads) or row
        if isinstance(row, str):
            return Table(True, tuple(rows), row)
        rows.append(row)
    return Table(True, tuple(rows))


def _row(line: str, wide: bool) -> Row | str:
    if not line.endswith("\n"):
        return f"the table ends within a row: {_shown(line)}"
    found = (_WIDE_ROW if wide else _ROW).fullmatch(line.strip() + " ")
    if found is None:
        return f"a row of the table cannot be read: {_shown(line)}"
    block, batch, *figures = found.groups()
    own, *rest = (float(figure) for figure in figures)
    total, share = (rest.pop(0), rest.pop(0)) if wide else (own, None)
    per_gb = _BYTES_PER_GB
    return Row(
        int(block),
        int(batch),
        total * per_gb,
        own * per_gb,
        None if share is None else share / 100,
        *(microseconds * 1000 for microseconds in rest),
    )


def _contradiction(row: Row, threads: int) -> str:
    """Rate x time for a block is block x threads, whatever was measured, as exactly as the figures are printed."""
    rate, time_ns = row.own_bytes_per_s, row.time_per_block_ns
    least = max(rate - 501, 0) * max(time_ns - 51, 0)
    if least <= row.block_bytes * threads * 10**9 <= (rate + 501) * (time_ns + 51):
        return ""
    return (
        f"a row of the table contradicts itself: {rate / _BYTES_PER_GB:.6f} GB/s and {time_ns / 1000:.1f} us for each "
        f"block of {row.block_bytes} bytes"
    )


def _shown(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= 120 else text[:117] + "..."
