"""`python -m kvscen.execute.leash PARENT PROGRAM [ARGUMENT...]`: becomes PROGRAM, and dies with the process PARENT.

The wish to be killed with the parent outlives `exec`. The kernel binds it to the thread that spawned this process, so
that has to be the parent's main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """This process is killed when the thread of `parent` that spawned it ends; at once if that was before."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # The parent was gone before the kernel knew of our wish.
        sys.exit(1)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{sys.argv[2]} could not be started: {error.strerror}")
