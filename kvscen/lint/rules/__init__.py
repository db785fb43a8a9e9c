"""The rules of the core, each in a module of its own: those that look at the text, and those that look at points."""

from __future__ import annotations

from kvscen.lint.rule import PointRule, TextRule
from kvscen.lint.rules.always_met import AlwaysMet
from kvscen.lint.rules.budget_bytes import BudgetBytes
from kvscen.lint.rules.budget_time import BudgetTime
from kvscen.lint.rules.budget_wear import BudgetWear
from kvscen.lint.rules.buffered_reads import BufferedReads
from kvscen.lint.rules.buffered_writes import BufferedWrites
from kvscen.lint.rules.closed_loop import ClosedLoop
from kvscen.lint.rules.deprecated import Deprecated
from kvscen.lint.rules.durability import Durability
from kvscen.lint.rules.exactly import Exactly
from kvscen.lint.rules.expected_twice import ExpectedTwice
from kvscen.lint.rules.foreign import Foreign
from kvscen.lint.rules.hidden_models import HiddenModels
from kvscen.lint.rules.idle_users import IdleUsers
from kvscen.lint.rules.never_full import NeverFull
from kvscen.lint.rules.nothing_due import NothingDue
from kvscen.lint.rules.one_after_the_other import OneAfterTheOther
from kvscen.lint.rules.one_value import OneValue
from kvscen.lint.rules.page_over_request import PageOverRequest
from kvscen.lint.rules.percentile import Percentile
from kvscen.lint.rules.replication import Replication
from kvscen.lint.rules.same_block import SameBlock
from kvscen.lint.rules.seed import Seed
from kvscen.lint.rules.shared_cpus import SharedCpus
from kvscen.lint.rules.short_window import ShortWindow
from kvscen.lint.rules.skipped_values import SkippedValues
from kvscen.lint.rules.slower_than_timeout import SlowerThanTimeout
from kvscen.lint.rules.trials import Trials
from kvscen.lint.rules.undone import Undone
from kvscen.lint.rules.units import Units
from kvscen.lint.rules.unmeasured import Unmeasured
from kvscen.lint.rules.unmet import Unmet
from kvscen.lint.rules.unused_blocks import UnusedBlocks
from kvscen.lint.rules.unused_lets import UnusedLets
from kvscen.lint.rules.unused_uses import UnusedUses
from kvscen.lint.rules.value_twice import ValueTwice
from kvscen.lint.rules.warmup import Warmup

TEXT_RULES: tuple[type[TextRule], ...] = (
    Units,
    UnusedLets,
    UnusedBlocks,
    UnusedUses,
    OneValue,
    ValueTwice,
    Deprecated,
    HiddenModels,
    IdleUsers,
    BudgetTime,
    BudgetBytes,
    BudgetWear,
)

POINT_RULES: tuple[type[PointRule], ...] = (
    SkippedValues,
    ExpectedTwice,
    Replication,
    PageOverRequest,
    BufferedWrites,
    BufferedReads,
    Trials,
    Seed,
    Durability,
    Unmeasured,
    Percentile,
    Unmet,
    AlwaysMet,
    Exactly,
    ClosedLoop,
    Warmup,
    OneAfterTheOther,
    ShortWindow,
    NeverFull,
    SameBlock,
    SharedCpus,
    SlowerThanTimeout,
    Undone,
    Foreign,
    NothingDue,
)
