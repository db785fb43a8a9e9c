"""Did you mean ...? The nearest known name to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be: at most a third of it differs. None where nothing is near."""
    wanted = name.casefold()
    best: tuple[int, int, str] | None = None
    for candidate in sorted(set(candidates)):
        limit = max(1, min(len(name), len(candidate)) // 3)
        if abs(len(candidate) - len(name)) > limit:
            continue
        found = _distance(wanted, candidate.casefold())
        if found <= limit and found < max(len(name), len(candidate)):
            # Of several that are as near, the one that begins and ends most alike: `llama3_8b` is `llama3_1_8b`.
            alike = _common(wanted, candidate.casefold()) + _common(wanted[::-1], candidate.casefold()[::-1])
            if best is None or (found, -alike) < best[:2]:
                best = found, -alike, candidate
    return best[2] if best else None


def did_you_mean(name: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """A help line: the nearest candidate, else `otherwise`."""
    near = closest(name, candidates)
    return f"did you mean `{near}`?" if near else otherwise


def one_of(kind: str) -> str:
    """A block of this kind, with its article: "a tier"."""
    return "a kind of users" if kind == "users" else f"a {kind}"


def listed(names: Iterable[str], most: int = 12) -> str:
    """``` `a`, `b` and 3 more```"""
    shown = [f"`{name}`" for name in names]
    if len(shown) > most:
        return ", ".join(shown[:most]) + f" and {len(shown) - most} more"
    return ", ".join(shown)


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _distance(a: str, b: str) -> int:
    """Edits from `a` to `b`: insertions, deletions, substitutions and swaps of neighbours."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, before_above = row, before
        row = [i]
        for j, y in enumerate(b, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before_above[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]
