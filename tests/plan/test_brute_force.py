"""The expansion against a model of the rules that crosses everything and knows no shortcuts."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kvscen.language.values import format_value
from tests.semantics.support import check, expanded, shown

#: Block -> (base, own settings). Chains end at `ssd` and `ram`.
DEFAULTS = {"ssd": {"direct": "true", "queue": "64"}, "ram": {"engine": "fast"}}
#: Path -> values that it can take.
PATHS = {
    "tier": ["a", "b", "c", "dram"],
    "trials": ["3", "5"],
    "n": ["1", "2", "7"],
    "pages.threads": ["1", "2"],
    "pages.op": ["read", "write"],
    "a.queue": ["8", "16"],
    "b.queue": ["8", "32"],
    "c.queue": ["16", "32"],
    "a.direct": ["true", "false"],
    "b.direct": ["true", "false"],
    "dram.engine": ["fast", "slow"],
}


@attrs.frozen
class Case:
    own: dict[str, dict[str, str]]
    fixed: dict[str, str]
    axes: list[tuple[tuple[str, ...], list[tuple[str, ...]]]]
    base_axes: list[tuple[tuple[str, ...], list[tuple[str, ...]]]]
    pins: dict[str, str]
    skip: tuple[str, str] | None

    def text(self) -> str:
        def body(block: str) -> str:
            return "; ".join(f"{key} = {value}" for key, value in self.own[block].items())

        def axis(keys: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
            if len(keys) == 1:
                return f"  {keys[0]} in [{', '.join(row[0] for row in rows)}]"
            return f"  ({', '.join(keys)}) in [{', '.join('(' + ', '.join(row) + ')' for row in rows)}]"

        lines = ["kvs 1", "let n = 3"]
        lines += [f'tier a : ssd {{ path = "/a"; {body("a")} }}', f"tier b : a {{ {body('b')} }}"]
        lines += [f"tier c : b {{ {body('c')} }}", f"tier dram : ram {{ {body('dram')} }}"]
        lines += ["pattern pages : transfer { block = 1 MiB; op = read; depth = n }"]
        lines += ["sweep base {", "  pattern = pages", "  tier = a"]
        lines += [axis(*item) for item in self.base_axes]
        lines += ["}", "sweep s : base {"]
        lines += [f"  {key} = {value}" for key, value in self.fixed.items()]
        lines += [axis(*item) for item in self.axes]
        if self.skip:
            lines += [f"  skip when {self.skip[0]} == {self.skip[1]}"]
        return "\n".join([*lines, "}"]) + "\n"

    # ---- the rules again, naively

    def all_axes(self) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        """The base's axes without the paths that the derived sweep gives, then its own as they are written; one of
        the same paths as a base's is in its place. Pinned paths are taken out."""
        given = set(self.fixed) | {key for keys, _ in self.axes for key in keys}
        result = []
        own = list(self.axes)
        for keys, rows in self.base_axes:
            replaced = next((item for item in own if set(item[0]) == set(keys)), None)
            if replaced:
                own.remove(replaced)
                result.append(replaced)
            else:
                result.append(_without((keys, rows), given))
        result += own
        pinned = {key.removeprefix("s.") for key in self.pins}
        return [item for item in (_without(item, pinned) for item in result) if item[0]]

    def points(self) -> tuple[list[dict[str, Any]], set[str]]:
        """Merged points in order: axes, settings, skipped; and the axes and pins that some point took a value from."""
        axes = self.all_axes()
        merged: dict[tuple[Any, ...], dict[str, Any]] = {}
        reached: set[str] = set()
        for rows in itertools.product(*(rows for _, rows in axes)):
            combo = {
                key: value
                for (keys, _), row in zip(axes, rows, strict=True)
                for key, value in zip(keys, row, strict=True)
            }
            point = self.resolve(combo)
            reached |= point["used"]
            merged.setdefault(point["identity"], point)
        return list(merged.values()), reached

    def resolve(self, combo: dict[str, str]) -> dict[str, Any]:
        used: set[str] = set()
        answers: dict[str, str] = {}

        def find(chain: tuple[str, ...], setting: str, default: str | None) -> str | None:
            asked = []
            value = default
            for block in chain:
                key = f"{block}.{setting}"
                asked.append(key)
                if key in self.pins:
                    value = self.pins[key]
                    used.add(key)
                elif key in combo:
                    value = combo[key]
                    used.add(key)
                elif key in self.fixed:
                    value = self.fixed[key]
                elif setting in self.own.get(block, {}):
                    value = self.own[block][setting]
                else:
                    continue
                break
            answers.update({key: value for key in asked if value is not None})
            return value

        def own(name: str, pin: str, default: str) -> str:
            if pin in self.pins:
                used.add(pin)
                return self.pins[pin]
            if name in combo:
                used.add(name)
                return combo[name]
            return self.fixed.get(name, default)

        tier = own("tier", "s.tier", "a")
        trials = own("trials", "s.trials", "5")
        n = own("n", "n", "3")
        answers |= {"tier": tier, "trials": trials, "n": n}
        chain = {"a": ("a",), "b": ("b", "a"), "c": ("c", "b", "a"), "dram": ("dram",)}[tier]
        driver = "ram" if tier == "dram" else "ssd"
        settings_of_tier = {name: find(chain, name, value) for name, value in DEFAULTS[driver].items()}
        pattern = {
            "threads": find(("pages",), "threads", "1"),
            "op": find(("pages",), "op", "read"),
            "depth": n,
        }
        varied = trials if "trials" in used else None
        identity = (tier, varied, *sorted(settings_of_tier.items()), *sorted(pattern.items()))
        return {
            "identity": identity,
            "used": used,
            "axes": {key: value for key, value in combo.items() if key in used},
            "tier": tier,
            "settings": settings_of_tier,
            "pattern": pattern,
            "trials": trials,
            "skipped": bool(self.skip) and answers.get(self.skip[0]) == self.skip[1],
        }


def _without(
    axis: tuple[tuple[str, ...], list[tuple[str, ...]]], gone: set[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    keys, rows = axis
    kept = [i for i, key in enumerate(keys) if key not in gone]
    return tuple(keys[i] for i in kept), [tuple(row[i] for i in kept) for row in rows]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    own: dict[str, dict[str, str]] = {"a": {}, "b": {}, "c": {}, "dram": {}, "pages": {"op": "read"}}
    for path in ("a.queue", "b.queue", "c.queue", "b.direct", "dram.engine"):
        if draw(st.booleans()):
            block, name = path.split(".")
            own[block][name] = draw(st.sampled_from(PATHS[path]))

    def some_axes(paths: list[str], most: int) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        result = []
        chosen = draw(st.lists(st.sampled_from(paths), unique=True, max_size=most)) if paths else []
        while chosen:
            size = draw(st.integers(1, min(2, len(chosen))))
            keys, chosen = tuple(chosen[:size]), chosen[size:]
            rows = draw(st.lists(st.tuples(*(st.sampled_from(PATHS[key]) for key in keys)), min_size=1, max_size=4))
            result.append((keys, rows))
        return result

    base_axes = some_axes([path for path in PATHS if path != "tier"], 4)
    # Half of the time the derived sweep gives just what the base varies, so that joint axes are split and replaced.
    again = [path for keys, _ in base_axes for path in keys]
    axes = some_axes(draw(st.sampled_from([list(PATHS), again])), 4)
    varied = {key for keys, _ in axes for key in keys}
    free = [path for path in PATHS if path not in varied]
    fixed = {
        path: draw(st.sampled_from(PATHS[path]))
        for path in draw(st.lists(st.sampled_from(free), unique=True, max_size=2))
    }
    pins = {
        "s.trials" if path == "trials" else "s.tier" if path == "tier" else path: draw(st.sampled_from(PATHS[path]))
        for path in draw(st.lists(st.sampled_from(list(PATHS)), unique=True, max_size=1))
    }
    skip = draw(
        st.none() | st.sampled_from(list(PATHS)).flatmap(lambda p: st.tuples(st.just(p), st.sampled_from(PATHS[p])))
    )
    return Case(own, fixed, axes, base_axes, pins, skip)


def split(base: tuple[str, ...], axes: list[str], fixed: dict[str, str] | None = None) -> Case:
    """A base with an axis of several paths, then one of `n`; the derived sweep gives some of the paths alone."""
    blocks: dict[str, dict[str, str]] = {"a": {}, "b": {}, "c": {}, "dram": {}}
    rows = [tuple(PATHS[path][i] for path in base) for i in (0, 1)]
    own = [((path,), [(value,) for value in PATHS[path]]) for path in axes]
    return Case(blocks, fixed or {}, own, [(base, rows), (("n",), [("1",), ("7",)])], {}, None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@example(split(base=("pages.threads", "pages.op"), axes=["pages.threads", "pages.op"]))
@example(split(base=("pages.threads", "pages.op"), axes=["pages.op"], fixed={"pages.threads": "2"}))
@example(split(base=("pages.threads", "pages.op"), axes=["pages.threads"]))
def test_expansion_is_what_the_rules_say(case: Case) -> None:
    compare(case)


def compare(case: Case) -> None:
    text = case.text()
    checked = check(text)
    assert checked.scenario is not None, text + shown(checked.diagnostics)
    result = expanded(text, [f"{key}={value}" for key, value in case.pins.items()], ["s"])
    points, reached = case.points()
    unreached = {key for keys, _ in case.all_axes() for key in keys} - reached
    codes = {item.code for item in result.diagnostics if item.severity.value == "error"}
    if unreached:
        assert codes == {"KVS119"}, text + shown(result.diagnostics)
        # The same without them.
        axes, base_axes = (
            [left for item in part if (left := _without(item, unreached))[0]] for part in (case.axes, case.base_axes)
        )
        compare(attrs.evolve(case, axes=axes, base_axes=base_axes))
        return
    if set(case.pins) - reached:
        assert codes == {"KVS124"}, text + shown(result.diagnostics)
        compare(attrs.evolve(case, pins={}))
        return
    kept = [point for point in points if not point["skipped"]]
    if not kept:
        assert codes == {"KVS126"}, text + shown(result.diagnostics)
        return
    assert result.plan is not None, text + shown(result.diagnostics)
    order = {key: i for i, (keys, _) in enumerate(case.all_axes()) for key in keys}
    assert [
        {key: format_value(value) for key, value in sorted(p.axes.items(), key=lambda kv: order[kv[0]])}
        for p in result.plan.points
    ] == [p["axes"] for p in kept], text
    for found, wanted in zip(result.plan.points, kept, strict=True):
        assert found.tier.name == wanted["tier"]
        assert str(found.trials) == wanted["trials"]
        assert str(found.work.depth) == wanted["pattern"]["depth"]
        assert (str(found.work.threads), found.work.op) == (wanted["pattern"]["threads"], wanted["pattern"]["op"])
        if found.tier.driver == "ssd":
            assert str(found.tier.settings.queue) == wanted["settings"]["queue"]
            assert str(found.tier.settings.direct).lower() == wanted["settings"]["direct"]
        else:
            assert found.tier.settings.engine == wanted["settings"]["engine"]
    assert len({p.id for p in result.plan.points}) == len(kept)
    assert [p.index for p in result.plan.points] == list(range(len(kept)))
    assert len(result.plan.skipped) == len(points) - len(kept)
