"""A line sorts what comes, however it is cut: values to where they go, refusals to whom they are for."""

from __future__ import annotations

import errno
import itertools
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.client import Endpoint
from kvscen_drivers.memkv.line import Line, Unit
from kvscen_drivers.memkv.protocol import Op, Status

#: Of each request the bytes of its value, cut into places, and whether it is refused.
_REQUESTS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 9000) | st.sampled_from([4096, 8160, 8192, 20_000]), min_size=1, max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(_REQUESTS, st.lists(st.integers(1, 30_000), min_size=1, max_size=8))
def test_however_it_is_cut(requests: list[tuple[list[int], bool]], cuts: list[int]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(Endpoint("127.0.0.1", 1), 0, ours)
        stream, wanted, targets = b"", [], []
        for number, (parts, refused) in enumerate(requests):
            nbytes = sum(parts)
            value = bytes((number * 31 + at) % 251 for at in range(nbytes))
            target = memoryview(bytearray(nbytes))
            ends = [sum(parts[:upto]) for upto in range(len(parts) + 1)]
            places = tuple(target[first:last] for first, last in itertools.pairwise(ends))
            unit = Unit(Op.GET, number, nbytes, None, (number,), places)
            line.ask([(unit, b"", None)], False)
            if refused:
                stream += protocol.refusal(Op.GET, Status.MISSING, number, f"there is no key {number}")
            else:
                stream += protocol.answer(Op.GET, Status.OK, number, nbytes, nbytes) + value
            targets.append((target, None if refused else value))
            wanted.append((number, errno.ENODATA if refused else 0))
        answered, turn = [], 0
        while stream:
            piece, stream = stream[: cuts[turn % len(cuts)]], stream[cuts[turn % len(cuts)] :]
            turn += 1
            theirs.sendall(piece)
            while line.receive():
                landed = line.landed()
                if landed is not None:
                    answered.append((landed.number, 0))
                while (told := line.next()) is not None:
                    answered.append((told[0].number, told[1]))
        assert answered == wanted
        assert not line.busy
        for target, value in targets:
            assert value is None or target == value
