"""The functions of the language: ranges of values for an axis, distributions to draw from, files of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from kvscen.language import distributions, outside, ranges, syntax
from kvscen.language.codes import problem
from kvscen.language.suggest import did_you_mean, listed
from kvscen.language.values import Value

#: What a model's base may be, and a value may not: `model m : hf("config.json") {}`.
BASE_FUNCTION = "hf"
BASE_FUNCTION_ABOUT = "a model, by its Hugging Face configuration; the base of a model, never a value"


@attrs.frozen
class Function:
    """`usage` is how it is called; what stands in [ ] at its end may be left out. `about` says in a few words what it
    gives. `make` gives the value of a call with as many arguments as the usage says, or raises ScenarioError."""

    usage: str
    about: str
    make: Callable[[syntax.Call, Sequence[Value]], Value]

    @property
    def counts(self) -> range:
        """How many arguments it takes."""
        needed, _, optional = self.usage.partition("[")
        least = needed.count(",") + 1
        return range(least, least + optional.count(",") + 1)


#: Every function of the language by its name.
FUNCTIONS: Mapping[str, Function] = {
    "pow2": Function("pow2(from, to)", "values that double from one to the other", ranges.pow2),
    "linear": Function("linear(from, to, count)", "so many values at equal distances", ranges.linear),
    "log": Function("log(from, to, count)", "so many values at equal ratios", ranges.log),
    "uniform": Function("uniform(from, to)", "drawn: any value between the two, all as likely", distributions.uniform),
    "normal": Function("normal(mean, deviation)", "drawn: by mean and standard deviation", distributions.normal),
    "lognormal": Function(
        "lognormal(median, p95)",
        "drawn: half of it below the one, a twentieth above the other",
        distributions.lognormal,
    ),
    "exponential": Function(
        "exponential(mean)", "drawn: times between events that do not know of each other", distributions.exponential
    ),
    "poisson": Function("poisson(mean)", "drawn: whole numbers, how many such events there are", distributions.poisson),
    "zipf": Function(
        "zipf(count, skew)", "drawn: ranks 1 to count, rank k with a weight of k^-skew", distributions.zipf
    ),
    "empirical": Function(
        "empirical(values[, weights])", "drawn: one of a list, each as likely or by its weight", distributions.empirical
    ),
    "trace": Function("trace(file)", "a trace of requests, by the name of its file", outside.trace_file),
    "secret": Function(
        "secret(file)", "one line of a file, which only the process that uses it reads", outside.secret_file
    ),
}


_RANGES = "`pow2(from, to)`, which doubles, or `linear(from, to, count)`"

#: What other languages call them.
_MEANT: Mapping[str, str] = {
    **dict.fromkeys(("range", "arange", "seq", "steps", "sweep", "interval"), _RANGES),
    **dict.fromkeys(("linspace", "lin"), "`linear(from, to, count)`"),
    **dict.fromkeys(("logspace", "geomspace", "log10", "geometric"), "`log(from, to, count)`"),
    **dict.fromkeys(("log2", "powers", "powers_of_2", "double", "doubling", "exp2"), "`pow2(from, to)`"),
    **dict.fromkeys(("gauss", "gaussian"), "`normal(mean, deviation)`"),
    **dict.fromkeys(("random", "rand", "randint"), "`uniform(from, to)`"),
    **dict.fromkeys(("choice", "choices"), "`empirical(values[, weights])`"),
    "zipfian": "`zipf(count, skew)`",
    "env": "`let` with a value, which `--set` replaces",
    "file": "`trace(file)`",
}


def check_call(expr: syntax.Call) -> Function:
    """The function that is called, with as many values as it takes. Raises ScenarioError."""
    name = expr.function.name
    function = FUNCTIONS.get(name)
    if function is None:
        if name == BASE_FUNCTION:
            raise problem(
                "KVS109",
                f"`{name}` makes a model, and this is a value",
                expr.function.span,
                help='write `model m : hf("config.json") {}`, and use `m`',
            )
        raise problem(
            "KVS101",
            f"no function is called `{name}`",
            expr.function.span,
            help=f"did you mean {_MEANT[name]}?"
            if name in _MEANT
            else did_you_mean(name, FUNCTIONS, f"the functions are {listed(FUNCTIONS)}"),
        )
    counts = function.counts
    if len(expr.arguments) not in counts:
        wanted = " or ".join(map(str, counts))
        noun = "value" if wanted == "1" else "values"
        raise problem(
            "KVS109",
            f"`{name}` takes {wanted} {noun}, not {len(expr.arguments)}",
            expr.span,
            help=f"write `{function.usage}`",
        )
    return function
