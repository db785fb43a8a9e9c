"""Has a process of its own look closer (kvscen.lsp.child), from an asyncio program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sys

import attrs

from kvscen.lsp.child import LENGTH, packed
from kvscen.lsp.looking import Job, Looked

#: A look that takes longer is given up: whoever types waits for it.
LIMIT_S = 20.0


class TookTooLong(Exception):
    """The look was given up; its process is killed."""


class Died(Exception):
    """The process ended in the middle of a look."""


@attrs.define
class Looker:
    """One process, started when it is needed first, and again when it was killed."""

    limit_s: float = LIMIT_S
    command: tuple[str, ...] = attrs.Factory(
        # It dies with this process, by whose main thread it has to be started.
        lambda: (sys.executable, "-P", "-m", "kvscen.lsp.child", str(os.getpid()))
    )
    _process: asyncio.subprocess.Process | None = None
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def look(self, job: Job) -> Looked:
        """Raises TookTooLong and Died."""
        async with self._turn:
            try:
                return await asyncio.wait_for(self._ask(job), self.limit_s)
            except TimeoutError:
                await self.close()
                raise TookTooLong from None
            except (OSError, asyncio.IncompleteReadError) as error:
                await self.close()
                raise Died from error
            except asyncio.CancelledError:
                # Its answer would be taken for that of the next question.
                await self.close()
                raise

    async def _ask(self, job: Job) -> Looked:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
            )
        to, of = self._process.stdin, self._process.stdout
        assert to is not None and of is not None
        to.write(packed(job))
        await to.drain()
        (length,) = LENGTH.unpack(await of.readexactly(LENGTH.size))
        answer = pickle.loads(await of.readexactly(length))
        assert isinstance(answer, Looked)
        return answer

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
