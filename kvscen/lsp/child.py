"""`python -m kvscen.lsp.child PARENT`: looks at one Job after the other, and dies with its parent."""

from __future__ import annotations

import contextlib
import pickle
import struct
import sys
from typing import BinaryIO

from kvscen.execute.leash import die_with
from kvscen.lsp.looking import Job, look

#: Goes before each message.
LENGTH = struct.Struct("<Q")


def packed(value: object) -> bytes:
    data = pickle.dumps(value)
    return LENGTH.pack(len(data)) + data


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more jobs."""
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        job = pickle.loads(requests.read(LENGTH.unpack(head)[0]))
        assert isinstance(job, Job)
        answers.write(packed(look(job)))
        answers.flush()


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    channel = sys.stdout.buffer
    # What a driver prints must not stand between the answers.
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, channel)
