"""How long the language server takes to answer in a long file: the time of one keystroke and what an editor asks then.

    python benchmarks/language.py [--lines 1000] [--repeat 20]

Each question is asked of a text that has just changed by a keystroke, as an editor does. One table: median, smallest
and largest time in milliseconds, and the median of the CPU time, which other programs disturb less. The file is made of
blocks as people write them; half of the keystrokes leave it broken.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from kvscen.lsp.analysis import Analysis, analyse
from kvscen.lsp.complete import complete
from kvscen.lsp.definition import definition
from kvscen.lsp.hover import hover
from kvscen.lsp.layout import layout
from kvscen.lsp.looking import Job, look
from kvscen.lsp.outline import outline
from kvscen.lsp.pieces import Parser
from kvscen.lsp.rename import rename
from kvscen.lsp.shown import shown
from kvscen.lsp.text import Lines, Position, edited

HEAD = 'kvs 1\n\nuse models\n\nlet dir = "./kv-data"\nlet most = 4 MiB\n\n'

STUDY = """\
# Study {n}: blocks of one model on a disk and in memory
model m{n} : llama3_1_70b {{ kv_dtype = fp8; tp = 8 }}

tier disk{n} : posix  {{ path = dir + "/{n}"; direct = true }}
tier dram{n} : memory {{ capacity = 4 GiB }}

pattern pages{n} : transfer {{
  model    = m{n}
  page     = 16 tokens
  prompt   = 1000 tokens
  requests = 1
}}

sweep blocks{n} {{
  pattern           = pages{n}
  tier              in [disk{n}, dram{n}]
  pages{n}.op       in [write, read]
  pages{n}.requests in [1, 10]
  skip when tier == disk{n} and pages{n}.requests == 10

  trials = 5
  warmup = 0.5 s
  time   = 1.5 s
  seed   = 1

  expect throughput >= 200 MiB/s when pages{n}.op == read
  expect errors == 0
}}

"""

PATH = str(Path.cwd() / "long.kvs")


def text_of(lines: int) -> str:
    studies = max(1, round((lines - HEAD.count("\n")) / STUDY.count("\n")))
    return HEAD + "".join(STUDY.format(n=n) for n in range(studies))


def timed(ask: Callable[[int], object], repeat: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each, and of CPU; the first call, which fills what is kept, is left out."""
    ask(0)
    taken, cpu = [], []
    for number in range(1, repeat + 1):
        start, used = time.perf_counter(), time.process_time()
        ask(number)
        taken.append((time.perf_counter() - start) * 1e3)
        cpu.append((time.process_time() - used) * 1e3)
    return taken, cpu


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=1000)
    options.add_argument("--repeat", type=int, default=20)
    given = options.parse_args()
    text, parser = text_of(given.lines), Parser()
    middle = text.index("prompt", len(text) // 2)
    line = Lines(text).position(middle).line

    def typed(number: int, what: str = "x") -> tuple[str, int]:
        """The text after a keystroke in its middle, and where the cursor is then."""
        at = Position(line, 2)
        # Every second one leaves a setting that is half written.
        new = f"{what}{number}" if number % 2 else f"  stride = {number} \n"
        return edited(Lines(text), at, at, new).text, middle + len(new)

    def known(number: int) -> tuple[Analysis, int]:
        changed, cursor = typed(number)
        return analyse(PATH, changed, parser), cursor

    def problems(number: int) -> object:
        analysis, _ = known(number)
        return shown(analysis, analysis.diagnostics)

    name = text.index("dir")

    def renamed(number: int) -> object:
        return rename(analyse(PATH, text, parser), name, f"folder{number}")

    questions: dict[str, Callable[[int], object]] = {
        "open (parse and check all)": lambda _: analyse(PATH, text, Parser()),
        "keystroke: problems": problems,
        "keystroke: completion": lambda n: complete(*known(n)),
        "keystroke: hover": lambda n: hover(known(n)[0], name),
        "keystroke: definition": lambda n: definition(known(n)[0], name),
        "keystroke: outline": lambda n: list(outline(known(n)[0])),
        "rename everywhere": renamed,
        "format": lambda _: layout(analyse(PATH, text, parser)),
        "closer look (lint and plan)": lambda _: look(Job(PATH, text)),
    }
    print(f"{text.count(chr(10)):,} lines, Python {platform.python_version()}, {given.repeat} times each, ms")
    print(f"{'':30}{'median':>8}{'min':>8}{'max':>8}{'CPU':>8}")
    for what, ask in questions.items():
        slow = not what.startswith("keystroke")
        taken, cpu = timed(ask, max(3, given.repeat // 5) if slow else given.repeat)
        print(
            f"{what:30}{statistics.median(taken):8.1f}{min(taken):8.1f}{max(taken):8.1f}{statistics.median(cpu):8.1f}"
        )


if __name__ == "__main__":
    main()
