"""The worker process: `python -m kvscen.worker REQUESTS REPLIES BEAT PARENT`, spawned by the conductor, never
forked.

The first three arguments are inherited file descriptors: a pipe of requests, a pipe of replies, and shared
memory for the heartbeat. What a driver prints goes to the worker's log. The worker dies with the conductor,
whatever it is doing.
"""

from __future__ import annotations

import mmap
import os
import pickle
import sys

from kvscen.execute.framing import read_frame, write_frame
from kvscen.execute.leash import die_with
from kvscen.execute.loop import Beat
from kvscen.execute.messages import Bye
from kvscen.execute.session import Session


def main(argv: list[str]) -> int:
    requests, replies, beat_fd, parent = (int(arg) for arg in argv)
    die_with(parent)
    memory = mmap.mmap(beat_fd, mmap.PAGESIZE)
    beat = Beat.shared(memory)
    session = Session(beat)
    beat.add(1)  # it has started
    with os.fdopen(requests, "rb", buffering=0) as source, os.fdopen(replies, "wb", buffering=0) as sink:
        while (frame := read_frame(source)) is not None:
            reply = session.handle(pickle.loads(frame))
            write_frame(sink, pickle.dumps(reply, protocol=5))
            if isinstance(reply, Bye):
                return 0
    session.close()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # A driver's lingering threads (a read that never returns) must not keep the process.
    os._exit(code)
