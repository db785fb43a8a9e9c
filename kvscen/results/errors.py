"""What goes wrong with a run's folder is one sentence and a remedy."""

from __future__ import annotations

import errno
import os


class ResultsError(Exception):
    """A run's results cannot be written or read. The message is one sentence for the user; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class JournalError(ResultsError):
    """A finished trial could not be kept. What was kept before is still there."""


def why(error: OSError) -> str:
    """An OSError's cause in words, with the errno's name: `No space left on device (ENOSPC)`."""
    code = errno.errorcode.get(error.errno or 0, "")
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"{text} ({code})" if code else text
