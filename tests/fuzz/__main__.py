"""`make fuzz`: texts through lint and fmt on all cores. The exit code is 1 where one failed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import secrets
import sys
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fuzz.minimise import minimised
from tests.fuzz.target import probe, small_plans
from tests.fuzz.texts import text_of

#: Of a worker: a text that takes more is a finding.
MEMORY_BYTES = 4 * 2**30
#: Texts that a worker treats between two reports.
_BATCH = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=float, default=1e7, help="texts in all [1e7]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes [all cores]")
    parser.add_argument("--seed", type=int, help="texts follow from it [drawn, and printed]")
    parser.add_argument("--first", type=int, default=0, help="number of the first text: goes on with a seed")
    parser.add_argument("--limit", type=int, default=20, help="seconds that a text may take [20]")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder of failing texts")
    asked = parser.parse_args()
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    numbers = range(asked.first, asked.first + int(asked.count))
    print(f"seed {seed}, texts {numbers.start:,} to {numbers.stop - 1:,}, {asked.jobs} processes", flush=True)
    began, done, kinds = time.monotonic(), 0, dict[str, str]()
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    for job in range(asked.jobs):
        here, there = context.Pipe(duplex=False)
        own = numbers[job :: asked.jobs]
        context.Process(target=_work, args=(there, seed, own, asked.limit, began + asked.seconds), daemon=True).start()
        there.close()
        pipes.append(here)
    shown = began
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                count, findings = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
                continue
            done += count
            for number, finding in findings:
                if finding.kind not in kinds:
                    kinds[finding.kind] = _keep(asked.keep, seed, number, finding.kind, finding.details, asked.limit)
                    print(f"text {number} of seed {seed}: {finding.kind}: {kinds[finding.kind]}", flush=True)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"{done:,} texts, {done / (shown - began):,.0f} a second, {len(kinds)} findings", flush=True)
    took = time.monotonic() - began
    print(f"{done:,} texts in {took:,.0f} s, {done / max(took, 1e-9):,.0f} a second: {len(kinds)} findings")
    unfinished = done < len(numbers) and took < asked.seconds
    if unfinished:
        print("a process died: its texts were not all treated", file=sys.stderr)
    return 1 if kinds or unfinished else 0


def _work(pipe: Connection, seed: int, numbers: range, limit_s: int, until: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with small_plans():
        for at in range(0, len(numbers), _BATCH):
            batch = numbers[at : at + _BATCH]
            found, done = [], 0
            for number in batch:
                if time.monotonic() > until:
                    break
                finding = probe(text_of(seed, number), limit_s)
                done += 1
                if finding is not None:
                    found.append((number, finding))
            pipe.send((done, found))
            if done < len(batch):
                return


def _keep(folder: Path, seed: int, number: int, kind: str, details: str, limit_s: int) -> str:
    """Writes the text as short as it fails, the text as it was, and what happened."""
    data = text_of(seed, number)

    def fails(shorter: bytes) -> bool:
        finding = probe(shorter, limit_s)
        return finding is not None and finding.kind == kind

    with small_plans():
        short = data if kind == "Hang" else minimised(data, fails)
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / f"{seed}-{number}"
    name.with_suffix(".kvs").write_bytes(short)
    name.with_suffix(".whole.kvs").write_bytes(data)
    name.with_suffix(".txt").write_text(f"{kind}\n\n{details}")
    return str(name.with_suffix(".kvs"))


if __name__ == "__main__":
    sys.exit(main())
