"""A network of two hosts: a namespace of its own at the end of a pair of virtual cards, whose link is slowed, cut and
restored. It takes root and `ip`."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import pytest

_numbers = itertools.count()


@attrs.frozen
class Link:
    """`here` and `there` are the addresses of its ends; `inside(command)` is a command that runs there."""

    name: str
    card: str
    here: str
    there: str

    def inside(self, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def slow(self, rate: str) -> None:
        """At most so much each way, as `tc` writes it: 1gbit."""
        shape = ("root", "tbf", "rate", rate, "burst", "256k", "latency", "50ms")
        _run("tc", "qdisc", "replace", "dev", self.card, *shape)
        _run(*self.inside(["tc", "qdisc", "replace", "dev", "eth0", *shape]))

    def cut(self) -> None:
        """Nothing arrives any more and nobody is told, as when a cable is pulled beyond a switch."""
        _run(*self.inside(["ip", "link", "set", "eth0", "down"]))

    def restore(self) -> None:
        _run(*self.inside(["ip", "link", "set", "eth0", "up"]))
        # That nobody answered for the address is remembered for a while.
        _run("ip", "neigh", "flush", "dev", self.card)


@contextmanager
def linked() -> Iterator[Link]:
    """Skips the test where this machine has no such network."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root, `ip` and `tc`")
    number = next(_numbers)
    name, card = f"kvscen-{os.getpid()}-{number}", f"kvs{os.getpid() % 100000}x{number}"
    net = f"10.{200 + number % 50}.{os.getpid() % 250}"
    link = Link(name, card, f"{net}.1", f"{net}.2")
    try:
        try:
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "addr", "add", f"{link.here}/24", "dev", card)
            _run("ip", "link", "set", card, "up")
            _run(*link.inside(["ip", "addr", "add", f"{link.there}/24", "dev", "eth0"]))
            _run(*link.inside(["ip", "link", "set", "eth0", "up"]))
            _run(*link.inside(["ip", "link", "set", "lo", "up"]))
            link.slow("40gbit")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no virtual network on this machine: {error.stderr.strip()}")
        yield link
    finally:
        subprocess.run(["ip", "link", "del", card], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)
