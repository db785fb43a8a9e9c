"""Every diagnostic code, once: its title and its severity. It has a page docs/rules/<code>.md and tests/rules/<code>/.

KVS001-099 file and syntax, KVS1xx names, settings, values, units and axes, KVS2xx models and sizes, KVS3xx drivers and
tiers, KVS4xx the method of measuring. A code is never given to another problem, not even when its problem is gone.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kvscen.language.diagnose import Diagnostic, Fix, ScenarioError, Severity, Span


@attrs.frozen
class Code:
    """`title` is what stands over the page of the code: the problem in a few words, without a full stop."""

    code: str
    title: str
    severity: Severity = Severity.ERROR


_WARNING, _INFO = Severity.WARNING, Severity.INFO

_TABLE = (
    # ---- the file
    Code("KVS001", "The file cannot be read"),
    Code("KVS002", "The file is empty"),
    Code("KVS003", "The file is not text"),
    Code("KVS004", "The file is too large"),
    Code("KVS005", "A character that cannot be seen"),
    # ---- the first line
    Code("KVS010", "The `kvs 1` line is missing"),
    Code("KVS011", "The version of the language is unknown"),
    # ---- syntax
    Code("KVS020", "The text cannot be understood here"),
    Code("KVS021", "Two settings stand on one line"),
    Code("KVS022", "A bracket is never closed"),
    Code("KVS023", "A closing bracket has no opening one"),
    Code("KVS024", "The wrong sign between a name and its value"),
    Code("KVS025", "A string is not closed or uses the wrong quotes"),
    Code("KVS026", "The kind of a block is unknown"),
    Code("KVS027", "A number is malformed"),
    Code("KVS028", "A character or comment of another language"),
    Code("KVS029", "A comma where the language has none"),
    Code("KVS030", "A `when` or its condition is missing"),
    Code("KVS031", "A value is missing"),
    Code("KVS032", "A string has an unknown escape"),
    Code("KVS033", "An expression is nested too deeply"),
    Code("KVS034", "A `find` does not say what is looked for"),
    Code("KVS040", "An `allow` that cannot be understood", _WARNING),
    Code("KVS041", "An `allow` of a code that there is not", _WARNING),
    Code("KVS042", "An `allow` that allows nothing", _WARNING),
    # ---- names, settings, values, units, axes (KVS1xx)
    Code("KVS101", "A name is unknown"),
    Code("KVS102", "A setting is unknown"),
    Code("KVS103", "A name is defined twice"),
    Code("KVS104", "A unit is unknown"),
    Code("KVS105", "A value does not fit its setting"),
    Code("KVS106", "Values that cannot be calculated with each other"),
    Code("KVS107", "A value is too large"),
    Code("KVS108", "A name could mean two things"),
    Code("KVS109", "A function is called in a way that it does not have"),
    Code("KVS110", "Decimal and binary units side by side", _WARNING),
    Code("KVS111", "Something leads back to itself"),
    Code("KVS112", "A setting is given twice"),
    Code("KVS113", "A setting is missing"),
    Code("KVS114", "Settings that exclude each other"),
    Code("KVS115", "A name belongs to the language"),
    Code("KVS116", "A statement stands where it has no meaning"),
    Code("KVS117", "The base of a block is missing or of another kind"),
    Code("KVS118", "The values of an axis are not what an axis needs"),
    Code("KVS119", "An axis reaches no point"),
    Code("KVS120", "A comparison that cannot be made"),
    Code("KVS121", "A measure is unknown"),
    Code("KVS122", "A `use` cannot be followed"),
    Code("KVS123", "There is nothing to run"),
    Code("KVS124", "A `--set` cannot be used"),
    Code("KVS125", "A statement has no effect", _WARNING),
    Code("KVS126", "Every point is skipped"),
    Code("KVS127", "What is searched is no axis"),
    Code("KVS128", "A search has nothing to choose from", _WARNING),
    Code("KVS129", "An axis has no order to search in"),
    Code("KVS130", "A `let` that nothing uses", _WARNING),
    Code("KVS131", "A block that nothing uses", _WARNING),
    Code("KVS132", "A `use` that nothing needs", _WARNING),
    Code("KVS133", "An axis with one value", _INFO),
    Code("KVS134", "A value stands in an axis twice", _WARNING),
    Code("KVS135", "A value of an axis is always skipped", _WARNING),
    Code("KVS136", "A word that has another name now", _WARNING),
    Code("KVS137", "A name hides a model of the catalogue", _WARNING),
    Code("KVS138", "The same is expected twice", _WARNING),
    Code("KVS140", "Some points stand for a large plan", Severity.INFO),
    # ---- models and sizes (KVS2xx)
    Code("KVS201", "KV heads cannot be shared by so many ranks"),
    Code("KVS202", "KV that does not fill whole bytes"),
    Code("KVS203", "A pattern is sized by a model and by hand"),
    Code("KVS204", "More pipeline stages than layers"),
    Code("KVS205", "The working set is smaller than a block"),
    Code("KVS206", "KVBench has no size for this"),
    Code("KVS207", "The layers of a model keep blocks of different sizes"),
    Code("KVS210", "KV heads are replicated by tensor parallelism", _WARNING),
    Code("KVS211", "KVBench reckons with a fraction", _WARNING),
    Code("KVS212", "KVBench leaves a setting out", Severity.INFO),
    Code("KVS213", "A page is larger than a request", _WARNING),
    Code("KVS220", "A traffic matrix is malformed"),
    Code("KVS221", "Traffic matrices of different sizes"),
    Code("KVS230", "A trace cannot be read"),
    Code("KVS231", "A trace does not have what a replay needs"),
    Code("KVS240", "A Hugging Face configuration cannot be read"),
    Code("KVS241", "A Hugging Face configuration says what kvscen does not know"),
    # ---- drivers and tiers (KVS3xx)
    Code("KVS301", "A driver is unknown or cannot be used"),
    Code("KVS302", "A driver cannot do this work"),
    Code("KVS303", "A driver failed while it checked the scenario"),
    Code("KVS304", "A driver has nothing to hold its figures against"),
    Code("KVS305", "The ceiling cannot repeat this work", _WARNING),
    Code("KVS310", "A block is padded for direct I/O", Severity.INFO),
    Code("KVS311", "The pattern touches more than a memory tier holds"),
    Code("KVS312", "A block is too large for one system call"),
    Code("KVS313", "Registered buffers are asked of an engine that has none"),
    Code("KVS314", "Writes that nothing makes durable", _WARNING),
    Code("KVS315", "Reads that the page cache answers", _WARNING),
    Code("KVS320", "The pattern touches more than a simulated tier holds"),
    Code("KVS321", "A tier cannot be a level of this one"),
    Code("KVS322", "The capacity of a level is missing or does not fit"),
    Code("KVS323", "A tiered tier is driven by one thread"),
    Code("KVS324", "A command line cannot be filled in"),
    Code("KVS325", "A placeholder has no value at this point"),
    Code("KVS326", "A command line passes nothing on", _WARNING),
    Code("KVS327", "Requests are larger than a cache admits"),
    Code("KVS328", "A level that nothing goes down to", _WARNING),
    Code("KVS330", "nixlbench does not do this"),
    Code("KVS331", "A limit of nixlbench or of its backend"),
    Code("KVS332", "nixlbench waits for a whole batch", _WARNING),
    Code("KVS333", "GUSLI is given batches", _WARNING),
    Code("KVS340", "A batch is posted to NIXL in parts", _WARNING),
    Code("KVS341", "More is in flight than cuFile has room for", _WARNING),
    Code("KVS350", "Reads are to be coalesced and are not posted together", _WARNING),
    Code("KVS351", "Memory is to be shared with another machine"),
    # ---- this machine (KVS360-379), with --here
    Code("KVS360", "The folder of a tier cannot be used here"),
    Code("KVS361", "The data set does not fit in the free space"),
    Code("KVS362", "The file system is not the device's", _WARNING),
    Code("KVS363", "There is no direct I/O here", _WARNING),
    Code("KVS364", "The data set fits into this machine's memory", _WARNING),
    Code("KVS365", "A point needs more memory than there is"),
    Code("KVS366", "More lanes than CPUs", _WARNING),
    Code("KVS367", "Too little memory may be locked", _WARNING),
    Code("KVS368", "A driver cannot be used here", _WARNING),
    # ---- method of measuring (KVS4xx)
    Code("KVS401", "Too few trials for an interval", _WARNING),
    Code("KVS402", "The seed is not fixed", _WARNING),
    Code("KVS403", "The cap leaves no time to become steady"),
    Code("KVS404", "Nothing is written that could be made durable", _WARNING),
    Code("KVS405", "A search has nothing to judge by"),
    Code("KVS406", "Users that no pattern has", _WARNING),
    Code("KVS407", "What is judged is not measured", _WARNING),
    Code("KVS408", "Too few operations for a percentile", _WARNING),
    Code("KVS409", "An expectation that cannot be met", _WARNING),
    Code("KVS410", "An expectation that always holds", _WARNING),
    Code("KVS411", "A measured figure is expected exactly", _WARNING),
    Code("KVS412", "The latency of a closed loop is judged", _WARNING),
    Code("KVS413", "The plan takes longer than it may", _WARNING),
    Code("KVS414", "The plan writes more than it may", _WARNING),
    Code("KVS415", "The plan wears a device more than it may", _WARNING),
    Code("KVS416", "There is no warm-up", _WARNING),
    Code("KVS417", "Points are measured one after the other", _WARNING),
    Code("KVS418", "The window is very short", _WARNING),
    Code("KVS419", "The trial ends before its queue is full", _WARNING),
    Code("KVS420", "Writes in flight fall on the same blocks", _WARNING),
    Code("KVS421", "Lanes share the CPUs that they were given", _WARNING),
    Code("KVS422", "Operations come less often than the timeout", _WARNING),
    Code("KVS423", "A choice that its own value undoes", _WARNING),
    Code("KVS424", "Some points do not have what is judged", _WARNING),
    Code("KVS425", "Hardly anything becomes due", _WARNING),
)

#: Every code by its name.
CODES: Mapping[str, Code] = {entry.code: entry for entry in _TABLE}
assert len(CODES) == len(_TABLE), "a code is defined twice"


def _stripped(text: str) -> str:
    return text.strip()


def _own_title(text: RuleText) -> str:
    return CODES[text.code].title if text.code in CODES else ""


def _own_severity(text: RuleText) -> Severity:
    return CODES[text.code].severity if text.code in CODES else Severity.ERROR


@attrs.frozen
class RuleText:
    """What the page of a rule says, in Markdown: what it finds, why that matters, what to do. `title` and `severity`
    are those of the code; a driver whose codes are its own (`FILES001`, never `KVS...`) gives them here."""

    code: str
    finds: str = attrs.field(converter=_stripped)
    why: str = attrs.field(converter=_stripped)
    remedy: str = attrs.field(converter=_stripped)
    title: str = attrs.field(default=attrs.Factory(_own_title, takes_self=True))
    severity: Severity = attrs.field(default=attrs.Factory(_own_severity, takes_self=True))


def diagnostic(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    label: str = "",
    help: str = "",
    fix: Fix | None = None,
    related: tuple[tuple[Span, str], ...] = (),
    severity: Severity | None = None,
) -> Diagnostic:
    """A diagnostic with the severity of its code, or `severity` (drivers choose their own). KeyError: no such code."""
    return Diagnostic(code, severity or CODES[code].severity, message, span, label, help, fix, related)


def problem(code: str, message: str, span: Span, *, label: str = "", help: str = "") -> ScenarioError:
    """A diagnostic on its way out of a function that cannot go on."""
    return ScenarioError([diagnostic(code, message, span, label=label, help=help)])
