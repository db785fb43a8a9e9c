"""What is in the file of a `secret("file")`. Only a worker or a probe asks: no plan, table or log holds it."""

from __future__ import annotations

from pathlib import Path

from kvscen.language.values import SecretFile
from kvscen.plugin.contract import DriverError

_MOST_BYTES = 4096


def read_secret(file: SecretFile) -> str:
    """The secret, without the end of its line. Raises DriverError."""
    where = f"the file of `{file}`"
    try:
        with Path(file.path).open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1).decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise DriverError(f"{where} cannot be read: {error.strerror}", "write the secret into it") from error
    except UnicodeDecodeError:
        raise DriverError(f"{where} is not text", "write the secret into it, as one line") from None
    if not text or "\n" in text or "\0" in text or len(text) > _MOST_BYTES:
        raise DriverError(f"{where} does not hold one line", "write the secret into it, as one line")
    return text
