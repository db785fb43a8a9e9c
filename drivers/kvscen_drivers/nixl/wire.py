"""Which way bytes went, by what the machine's interfaces have sent meanwhile.

A library chooses among shared memory, TCP and RDMA by itself and tells nobody. Interfaces count what they send, so what
was moved either stands in one of their counters or crossed none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kvscen.plugin import PathReport

#: Headers and other traffic make a counter larger; one that grew by less than this share of what moved has not sent it.
_SHARE = 0.9


def sent_bytes(root: Path = Path("/")) -> dict[str, int]:
    """Bytes that each interface has sent: network interfaces and, under "device/port", RDMA adapters."""
    sent = {}
    for counter in sorted(root.glob("sys/class/net/*/statistics/tx_bytes")):
        sent[counter.parts[-3]] = int(counter.read_text())
    for counter in sorted(root.glob("sys/class/infiniband/*/ports/*/counters/port_xmit_data")):
        # In units of four bytes (InfiniBand Architecture Specification, PortXmitData).
        sent[f"{counter.parts[-5]}/{counter.parts[-3]}"] = 4 * int(counter.read_text())
    return sent


def path_of(what: str, moved: int, before: Mapping[str, int], after: Mapping[str, int], part: str = "") -> PathReport:
    """Which way `moved` bytes went, by the counters before and after. `what` moved them; `part` says which bytes they
    are (default: the first ones)."""
    grown = {name: after[name] - before[name] for name in after if name in before}
    if not grown:
        return PathReport("unknown", f"{what}; the machine shows no counters of its network interfaces")
    carried = sorted(name for name, nbytes in grown.items() if nbytes >= _SHARE * moved)
    first = f"{what}; of {part or f'its first {moved} bytes'}"
    if carried:
        return PathReport("rdma" if any("/" in name for name in carried) else "tcp", f"{first} {carried[0]} sent all")
    most = max(grown, key=lambda name: grown[name])
    if grown[most] <= (1 - _SHARE) * moved:
        return PathReport("shm", f"{first} no network interface sent any")
    return PathReport("mixed", f"{first} {most} sent {grown[most]}")
