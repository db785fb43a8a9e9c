"""How a block declares its settings: once, as an attrs class. Checking, help and the reference pages all come from it.

    @attrs.frozen
    class DiskSettings:
        path: str = setting(PathText(), help="folder on the device under test")
        direct: bool = setting(Flag(), default=True, help="bypass the page cache (O_DIRECT)")
        capacity_bytes: int | None = setting(Size(), default=None, help="most bytes to keep")

A field that holds a raw number ends in its unit (`capacity_bytes`, `time_ns`); the language calls it by the name before
the unit (`capacity`, `time`). The type of a setting turns a value of the language into a Python value and back into
text. A settings class may have two methods more. `def check(self) -> Iterable[Finding]` says what is wrong with several
settings together. `def complete(self) -> Self` then fills in the defaults that depend on other settings and takes out
(sets to None) the settings that have no meaning beside the others; a setting that is taken out does not belong to the
point.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from kvscen.language.diagnose import Severity
from kvscen.language.sealed import placeholder
from kvscen.language.suggest import one_of
from kvscen.language.values import (
    BANDWIDTH,
    BYTES,
    NUMBER,
    RATE,
    TIME,
    TOKEN_RATE,
    TOKENS,
    Dimension,
    Quantity,
    SecretFile,
    Symbol,
    Value,
    describe,
    format_quantity,
    format_value,
)


@attrs.frozen
class Finding:
    """What a settings class or a driver has to say about a block, without a place: the caller knows the spans.

    `setting` names the setting at fault (None: the whole block).
    """

    code: str
    message: str
    setting: str | None = None
    help: str = ""
    severity: Severity = Severity.ERROR


class Unfit(ValueError):
    """A value does not fit its setting. `help` says what would."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class SettingType:
    """The type of a setting. `suffix` is what the attrs field's name ends in."""

    suffix: str = ""
    #: The words that this type takes as bare names.
    words: tuple[str, ...] = ()
    #: Words that it still takes, and what they are called now.
    renamed: Mapping[str, str] = {}
    #: The kind of block that a bare name may name, if any.
    refers_to: str | None = None

    def describe(self) -> str:
        """One phrase for help and errors: "a size such as 4 MiB"."""
        raise NotImplementedError

    def convert(self, value: Value) -> Any:
        """The Python value. Raises Unfit."""
        raise NotImplementedError

    def fit(self, value: Value) -> Value:
        """The value as this setting takes it: what comes out of a range is rounded where a whole number is needed."""
        return value

    def show(self, value: Any) -> str:
        """The language's spelling of a Python value; `convert` reads it back to the same value."""
        raise NotImplementedError


class Measured(SettingType):
    """A quantity of one dimension, held as an int or a Fraction in `scale` units per base unit."""

    dimension: ClassVar[Dimension] = NUMBER
    scale: ClassVar[int] = 1
    whole: ClassVar[bool] = True
    noun: ClassVar[str] = "a number"
    example: ClassVar[str] = "1"
    unit_word: ClassVar[str] = ""
    #: Where the dimension has no other.
    only_unit: ClassVar[str] = ""

    def __init__(self, minimum: int | Fraction = 0, maximum: int | Fraction | None = 2**63 - 1) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def describe(self) -> str:
        return f"{self.noun} such as `{self.example}`"

    def fit(self, value: Value) -> Value:
        if not (self.whole and isinstance(value, Quantity) and value.loose) or value.dimension != self.dimension:
            return value
        exact = value.value if self.scale == 1 else value.value * self.scale
        return value if exact.denominator == 1 else attrs.evolve(value, value=Fraction(round(exact), self.scale))

    def convert(self, value: Value) -> Any:
        value = self.fit(value)
        if not isinstance(value, Quantity):
            raise Unfit(f"expected {self.noun}, found {_kind_of(value)}", f"write {self.describe()}")
        if value.percent or value.dimension != self.dimension:
            if value.is_count and self.dimension != NUMBER:
                raise Unfit("a unit is missing here", f"write {self._with_unit(value)}")
            found = "a percentage" if value.percent else str(value.dimension)
            raise Unfit(f"expected {self.noun}, found {found} (`{value}`)", f"write {self.describe()}")
        exact = value.value if self.scale == 1 else value.value * self.scale
        # Most are whole, and those are compared many times as fast.
        scaled = exact.numerator if exact.denominator == 1 else exact
        if scaled < self.minimum:
            raise Unfit(f"`{value}` is below the smallest value, {self.show(self.minimum)}")
        if self.maximum is not None and scaled > self.maximum:
            raise Unfit(f"`{value}` is above the largest value, {self.show(self.maximum)}")
        if not self.whole:
            return exact
        if exact.denominator != 1:
            raise Unfit(
                f"{float(scaled):.12g} {self.unit_word or 'is'} {'is ' if self.unit_word else ''}not a whole number",
                "quantities are exact and nothing is rounded silently: write a value that comes out whole",
            )
        return exact.numerator

    def _with_unit(self, bare: Quantity) -> str:
        """What is probably meant by a number without a unit."""
        if self.only_unit:
            return f"`{bare} {self.only_unit}`"
        if self.dimension == BYTES and bare.value >= 1024:
            return f"{self.describe()}; so many bytes are `{Quantity(bare.value, BYTES)}`"
        return f"{self.noun} such as `{bare} s` or `{bare} ms`" if self.dimension == TIME else self.describe()

    def show(self, value: Any) -> str:
        return _shown(value, self.scale, self.dimension)


@functools.lru_cache(maxsize=4096)
def _shown(value: int | Fraction, scale: int, dimension: Dimension) -> str:
    return format_quantity(Quantity(Fraction(value) / scale, dimension))


class Count(Measured):
    """A bare whole number."""

    noun = "a count (a whole number without a unit)"
    example = "8"

    def __init__(self, minimum: int = 1, maximum: int | None = 2**63 - 1) -> None:
        super().__init__(minimum, maximum)


class Number(Measured):
    """A bare exact number, held as a Fraction."""

    whole = False
    noun = "a number without a unit"
    example = "1.5"


class Size(Measured):
    """Bytes, held as an int."""

    suffix = "_bytes"
    dimension = BYTES
    noun = "a size in bytes"
    example = "4 MiB"
    unit_word = "bytes"

    def __init__(self, minimum: int = 0, maximum: int | None = 2**63 - 1, unit_in_name: bool = False) -> None:
        """`unit_in_name`: the language's name of the setting ends in `_bytes` as well."""
        super().__init__(minimum, maximum)
        if unit_in_name:
            self.suffix = ""


class Tokens(Measured):
    """Tokens, held as an int."""

    suffix = "_tokens"
    dimension = TOKENS
    noun = "a number of tokens"
    example = "16 tokens"
    unit_word = "tokens"
    only_unit = "tokens"


class Duration(Measured):
    """A time, held as whole nanoseconds."""

    suffix = "_ns"
    dimension = TIME
    scale = 10**9
    noun = "a time"
    example = "1.5 s"
    unit_word = "nanoseconds"


class Rate(Measured):
    """Operations per second, held as a Fraction."""

    suffix = "_per_s"
    dimension = RATE
    whole = False
    noun = "a rate"
    example = "100 /s"
    only_unit = "/s"


class Bandwidth(Measured):
    """Bytes per second, held as a Fraction."""

    suffix = "_bytes_per_s"
    dimension = BANDWIDTH
    whole = False
    noun = "a bandwidth"
    example = "2 GiB/s` or `400 Gbit/s"


class TokenRate(Measured):
    """Tokens per second, held as a Fraction."""

    suffix = "_tokens_per_s"
    dimension = TOKEN_RATE
    whole = False
    noun = "a rate of tokens"
    example = "8000 tokens/s"
    only_unit = "tokens/s"


class Share(SettingType):
    """A percentage, held as a Fraction between 0 and 1."""

    suffix = "_share"

    def describe(self) -> str:
        return "a percentage such as `70 %`"

    def convert(self, value: Value) -> Fraction:
        if not isinstance(value, Quantity) or not value.percent:
            meant = self.describe()
            if isinstance(value, Quantity) and value.is_count and 0 <= value.value <= 100:
                share = value.value if value.value <= 1 else value.value / 100
                meant = f"`{Quantity(share, percent=True)}`"
            raise Unfit(f"expected a percentage, found {_kind_of(value)}", f"write {meant}")
        if not 0 <= value.value <= 1:
            raise Unfit(f"`{value}` is not between 0 % and 100 %")
        return value.value

    def show(self, value: Fraction) -> str:
        return format_quantity(Quantity(Fraction(value), percent=True))


class Flag(SettingType):
    """`true` or `false`."""

    def describe(self) -> str:
        return "`true` or `false`"

    def convert(self, value: Value) -> bool:
        if not isinstance(value, bool):
            raise Unfit(f"expected `true` or `false`, found {_kind_of(value)}")
        return value

    def show(self, value: bool) -> str:
        return format_value(bool(value))


class String(SettingType):
    """Any text in quotes."""

    def describe(self) -> str:
        return 'a text in quotes such as `"name"`'

    def convert(self, value: Value) -> str:
        if not isinstance(value, str):
            raise Unfit(f"expected a text in quotes, found {_kind_of(value)}", f"write {self.describe()}")
        if "\0" in value:
            raise Unfit("a text cannot contain a NUL character")
        return value

    def show(self, value: str) -> str:
        return format_value(value)


class PathText(String):
    """A path. Of a tier: relative to the working directory."""

    def describe(self) -> str:
        return 'a path in quotes such as `"./kv-data"`'

    def convert(self, value: Value) -> str:
        text = super().convert(value)
        if not text:
            raise Unfit("the path is empty", f"write {self.describe()}")
        if re.match(r"~|\$[A-Za-z_{]", text):
            raise Unfit(
                f"a path is taken as it stands: `{text[0]}` is not replaced",
                f"write it in full; a folder that is called so is `./{text.partition('/')[0]}`",
            )
        return text


class Secret(SettingType):
    """`secret("file")`, held as a SecretFile."""

    def describe(self) -> str:
        return 'a secret such as `secret("password.txt")`'

    def convert(self, value: Value) -> SecretFile:
        if not isinstance(value, SecretFile):
            # What a text says may be the secret itself: it is not repeated.
            found = "a text" if isinstance(value, str) else _kind_of(value)
            raise Unfit(f"expected a secret, found {found}", f"write {self.describe()}, with the secret in that file")
        return value

    def show(self, value: SecretFile) -> str:
        return format_value(value)


class Word(SettingType):
    """One of a fixed list of bare words. `renamed`: words of earlier versions and what they are called now; they are
    taken for the new ones, and lint says so (KVS136)."""

    def __init__(self, *words: str, renamed: Mapping[str, str] | None = None) -> None:
        self.current = words
        self.renamed = dict(renamed or {})
        self.words = (*words, *self.renamed)

    def describe(self) -> str:
        return "one of " + ", ".join(f"`{word}`" for word in self.current)

    def convert(self, value: Value) -> str:
        if isinstance(value, str) and value in self.words:
            raise Unfit(f"a word stands without quotes, and this is the text {format_value(value)}", f"write `{value}`")
        if not isinstance(value, Symbol) or value.name not in self.words:
            raise Unfit(f"expected {self.describe()}, found {_kind_of(value)}")
        return self.renamed.get(value.name, value.name)

    def show(self, value: str) -> str:
        return value


class Reference(SettingType):
    """The name of a block of one kind."""

    def __init__(self, kind: str) -> None:
        self.refers_to = kind

    def describe(self) -> str:
        return f"the name of {one_of(self.refers_to or '')}"

    def convert(self, value: Value) -> str:
        if isinstance(value, str) and value.isidentifier():
            raise Unfit(f"a name stands without quotes, and this is the text {format_value(value)}", f"write `{value}`")
        if not isinstance(value, Symbol):
            raise Unfit(f"expected {self.describe()}, found {_kind_of(value)}")
        return value.name

    def show(self, value: str) -> str:
        return value


class ListOf(SettingType):
    """A list of values of one type, held as a tuple."""

    def __init__(self, item: SettingType, minimum: int = 1) -> None:
        self.item = item
        self.minimum = minimum
        self.words = item.words
        self.renamed = item.renamed
        self.refers_to = item.refers_to

    def describe(self) -> str:
        return f"a list in [ ], each item {self.item.describe()}"

    def convert(self, value: Value) -> tuple[Any, ...]:
        if not isinstance(value, tuple):
            alone = isinstance(value, Symbol | Quantity)
            meant = f"`[{value}]`: a list, if of one" if alone else self.describe()
            raise Unfit(f"expected a list in [ ], found {_kind_of(value)}", f"write {meant}")
        if len(value) < self.minimum:
            raise Unfit(f"the list needs at least {self.minimum} item{'s' if self.minimum > 1 else ''}")
        return tuple(self.item.convert(item) for item in value)

    def fit(self, value: Value) -> Value:
        return tuple(self.item.fit(item) for item in value) if isinstance(value, tuple) else value

    def show(self, value: Iterable[Any]) -> str:
        return "[" + ", ".join(self.item.show(item) for item in value) + "]"


class OneOrMore(ListOf):
    """One value of a type, or a list of them; held as a tuple either way."""

    def __init__(self, item: SettingType) -> None:
        super().__init__(item)
        self.suffix = item.suffix

    def describe(self) -> str:
        return f"{self.item.describe()}, or a list of such in [ ]"

    def convert(self, value: Value) -> tuple[Any, ...]:
        return super().convert(value) if isinstance(value, tuple) else (self.item.convert(value),)

    def fit(self, value: Value) -> Value:
        return super().fit(value) if isinstance(value, tuple) else self.item.fit(value)

    def show(self, value: Iterable[Any]) -> str:
        items = tuple(value)
        return self.item.show(items[0]) if len(items) == 1 else super().show(items)


def _kind_of(value: Value) -> str:
    if isinstance(value, bool):
        return f"`{format_value(value)}`"
    if isinstance(value, Quantity):
        return f"`{value}`"
    if isinstance(value, Symbol):
        return f"the name `{value.name}`"
    if isinstance(value, str):
        return f"the text {format_value(value)}"
    return "a list" if isinstance(value, tuple) else describe(value)


REQUIRED: Any = attrs.NOTHING
_KEY = "kvscen.setting"


@attrs.frozen
class SettingInfo:
    """One declared setting. `name` is the language's, `field` the attrs field's."""

    name: str
    field: str
    type: SettingType
    help: str
    default: Any
    varies: bool

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


def setting(type: SettingType, *, help: str, default: Any = REQUIRED, varies: bool = True) -> Any:
    """Declare a setting of a block. `varies=False`: cannot be an axis."""
    return attrs.field(default=default, kw_only=True, metadata={_KEY: (type, help, varies)})


def settings_of(declaration: type) -> Mapping[str, SettingInfo]:
    """The settings that a class declares, by the language's name, in the order of the declaration."""
    cached = declaration.__dict__.get("__kvscen_settings__")
    if cached is not None:
        return cached  # type: ignore[no-any-return]
    found: dict[str, SettingInfo] = {}
    for field in attrs.fields(declaration):
        if _KEY not in field.metadata:
            continue
        kind, help_text, varies = field.metadata[_KEY]
        if not field.name.endswith(kind.suffix):
            raise TypeError(f"{declaration.__name__}.{field.name}: a {type(kind).__name__} field ends in {kind.suffix}")
        name = field.name[: -len(kind.suffix)] if kind.suffix else field.name
        found[name] = SettingInfo(name, field.name, kind, help_text, field.default, varies)
    declaration.__kvscen_settings__ = found  # type: ignore[attr-defined]
    return found


def show_settings(settings: Any) -> dict[str, str]:
    """Every setting of a settings object that has a value, in the language's spelling."""
    shown = {}
    for name, info in settings_of(type(settings)).items():
        value = getattr(settings, info.field)
        if value is not None:
            shown[name] = placeholder(value) or info.type.show(value)
    return shown
