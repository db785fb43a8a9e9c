"""Checks of the kernel, the kind of machine and the interpreter."""

from __future__ import annotations

from kvscen.doctor.case import Case
from kvscen.doctor.finding import Finding, note, ok, problem

#: What is lost below each version of Linux.
_FEATURES = (
    ((5, 1), "io_uring"),
    ((6, 1), "the alignment of direct I/O by statx (it is found by trial instead)"),
    ((6, 5), "cachestat, which tells how much of a file the page cache holds"),
)


def kernel(case: Case) -> Finding | None:
    version = case.facts.host.kernel_version
    if version is None:
        return None
    lost = [what for since, what in _FEATURES if version < since]
    if not lost:
        return ok(str(case.facts.host.kernel))
    return note(
        str(case.facts.host.kernel),
        "it lacks " + "; ".join(lost),
        f"use Linux {'.'.join(map(str, _FEATURES[-1][0]))} or newer",
    )


def virtual_machine(case: Case) -> Finding | None:
    virtual, host = case.facts.host.virtual, case.facts.host
    if virtual is None:
        return None
    if not virtual:
        return ok(f"no{f' ({host.product})' if host.product else ''}")
    named = " ".join(word for word in (host.maker, host.product) if word)
    return note(
        f"yes{f' ({named})' if named else ''}",
        "the host's clock rate, its page cache and its other guests cannot be seen from here, and change figures",
        "measure on the machine itself where figures are to be compared with others",
    )


def container(case: Case) -> Finding | None:
    kind = case.facts.host.container
    if kind is None:
        return ok("no sign of one")
    return note(
        kind,
        "its root is mostly an overlay, and others on the machine cannot be seen from here",
        "measure in a mounted volume, on a machine of your own",
    )


def wsl(case: Case) -> Finding | None:
    if case.facts.host.wsl is None:
        return None
    if not case.facts.host.wsl:
        return ok("no")
    return problem(
        str(case.facts.host.kernel),
        "disks are files of Windows behind its cache; paths under /mnt go through a network protocol",
        "measure on Linux itself",
    )


def python_build(case: Case) -> Finding | None:
    python = case.facts.python
    if not python.version:
        return None
    if python.debug:
        return problem(
            f"{python.version}, built for debugging",
            "the loop that keeps operations in flight is several times slower: small blocks measure the interpreter",
            "use an ordinary build of Python",
        )
    if python.traced:
        return problem(
            f"{python.version}, watched by a debugger, a profiler or coverage",
            "every line of the loop is recorded",
            "run kvscen without it",
        )
    if python.free_threaded:
        return note(
            f"{python.version}, free-threaded",
            "one thread is slower than in an ordinary build: small blocks with one lane cost more CPU time",
            "compare only runs of one build; environment.json names it",
        )
    return ok(python.version)


CHECKS = (kernel, virtual_machine, container, wsl, python_build)
