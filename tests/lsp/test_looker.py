"""The process that looks closer: what it answers, and what happens when it hangs or dies."""

from __future__ import annotations

import asyncio
import sys

import pytest

from kvscen.lsp.looker import Died, Looker, TookTooLong
from kvscen.lsp.looking import Job
from tests.lsp.support import TEXT

JOB = Job("/nowhere/test.kvs", TEXT.replace("trials = 3", "trials = 1"))


def test_it_answers_and_goes_on_after_it_was_killed() -> None:
    async def session() -> None:
        looker = Looker(limit_s=300)
        looked = await looker.look(JOB)
        assert [item.code for item in looked.diagnostics] == ["KVS401"] and "pages" in looked.figures
        assert looker._process is not None
        looker._process.kill()
        await looker._process.wait()
        assert [item.code for item in (await looker.look(JOB)).diagnostics] == ["KVS401"]
        await looker.close()

    asyncio.run(session())


def test_a_look_that_takes_too_long_is_given_up_and_its_process_ends() -> None:
    async def session() -> None:
        hangs = (sys.executable, "-c", "import signal; signal.pause()")
        looker = Looker(limit_s=0.01, command=hangs)
        with pytest.raises(TookTooLong):
            await looker.look(JOB)
        assert looker._process is None

    asyncio.run(session())


def test_a_process_that_ends_is_said() -> None:
    async def session() -> None:
        with pytest.raises(Died):
            await Looker(limit_s=300, command=(sys.executable, "-c", "pass")).look(JOB)

    asyncio.run(session())
