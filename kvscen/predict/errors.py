"""What stands in the way of a prediction is one sentence, and what to do."""

from __future__ import annotations


class PredictionError(Exception):
    """A capacity, size, policy or sample gives no answer. The message is one sentence; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
