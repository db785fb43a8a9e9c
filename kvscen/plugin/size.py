"""Sizes as users write them on a command line."""

from __future__ import annotations

from kvscen.plugin.contract import DriverError


def parse_size(text: str) -> int:
    """The bytes of "8 GiB". Raises DriverError."""
    from kvscen.predict.capacity import parse_bytes
    from kvscen.predict.errors import PredictionError

    try:
        return parse_bytes(text)
    except PredictionError as error:
        raise DriverError(str(error), error.remedy) from error
