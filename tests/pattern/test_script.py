"""What users who converse ask for: drawn from a seed, before any of it runs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.conversations import USER_TYPES, ConversationsSettings, CustomUsers, UsersSettings
from kvscen.language.drawn import Drawn, DrawnFrom
from kvscen.language.schema import Count, Duration, Tokens
from kvscen.language.values import NUMBER, TIME, TOKENS, Dimension, Distribution, Quantity
from kvscen.pattern import script
from kvscen.pattern.script import TooMany, apportion, write_script
from kvscen.plan.talk import Talk, Turns, Users
from kvscen.trace.requests import DOCUMENT, HISTORY, LOAD, NEW, REREAD, REREAD_KIND, SHARED, STORE, Requests, Script

MS = 10**6
#: What Llama 3.1 8B has of 16 tokens; storage moves it in 0.8 ms (`order_for`).
BLOCK = 2 << 20


def fixed(value: float, dimension: Dimension = TOKENS) -> Drawn:
    kind = {TOKENS: Tokens(1), NUMBER: Count(), TIME: Duration()}[dimension]
    return DrawnFrom(kind).convert(Quantity(Fraction(str(value)), dimension))


def uniform(low: int, high: int) -> Drawn:
    law = Distribution("uniform", (Quantity(Fraction(low), TOKENS), Quantity(Fraction(high), TOKENS)))
    return DrawnFrom(Tokens(1)).convert(law)


def users(**more: Any) -> UsersSettings:
    """One turn after the other of 40 tokens, answers of 24, blocks of 16."""
    given: dict[str, Any] = {
        "context_tokens": fixed(40),
        "prompt_tokens": fixed(40),
        "output_tokens": fixed(24),
        "turns": fixed(3, NUMBER),
        "think_ns": fixed(0, TIME),
    }
    return CustomUsers(**(given | more)).complete()


def written(
    mix: UsersSettings | list[UsersSettings] | None = None, turns: Turns | None = None, **more: Any
) -> tuple[Requests, Script]:
    given: dict[str, Any] = {"block_bytes": 4096, "users": 1, "requests": 3}
    own = mix if isinstance(mix, list) else [mix or users()]
    kinds = tuple(Users(f"u{number}", each) for number, each in enumerate(own))
    requests = write_script(Talk(ConversationsSettings(**(given | more)).complete(), kinds, 7, BLOCK, turns))
    assert requests.script is not None
    return requests, requests.script


def steps(requests: Requests) -> list[tuple[int, list[int]]]:
    own = requests.script
    assert own is not None
    return [
        (int(own.action[i]), requests.keys[requests.offsets[i] : requests.offsets[i + 1]].tolist())
        for i in range(len(requests))
    ]


def test_a_conversation_block_by_block() -> None:
    """40 tokens are 2 whole blocks and a rest; with the answer there are 4 whole ones; the next turn makes them 104."""
    requests, own = written(requests=2)
    assert steps(requests) == [
        (LOAD, [0, 1, 2]),  # 2 is the rest, which is nobody else's
        (STORE, [3, 4]),
        (LOAD, [0, 1, 3, 4, 5, 6, 7]),
        (STORE, [8, 9]),
    ]
    kinds = [own.lookup_kind[requests.offsets[i] : requests.offsets[i + 1]].tolist() for i in range(4)]
    assert kinds == [[NEW] * 3, [NEW] * 2, [HISTORY] * 4 + [NEW] * 3, [NEW] * 2]
    assert own.prompt_tokens.tolist() == [40, 104] and own.output_tokens.tolist() == [24, 24]
    assert own.turn.tolist() == [1, 2] and requests.distinct == 10


def test_answers_that_are_dropped_are_written_with_the_next_prompt() -> None:
    requests, _ = written(requests=2, outputs="dropped")
    assert steps(requests) == [(LOAD, [0, 1, 2]), (LOAD, [0, 1, 3, 4, 5, 6, 7])]


def test_without_history_every_turn_is_new() -> None:
    requests, own = written(requests=2, history="none")
    assert steps(requests) == [(LOAD, [0, 1, 2]), (LOAD, [3, 4, 5])]
    assert own.prompt_tokens.tolist() == [40, 40]


def test_a_conversation_ends_and_another_one_begins() -> None:
    _, own = written(requests=7)
    assert own.turn.tolist() == [1, 2, 3, 1, 2, 3, 1]
    # 104 tokens fit and 168 do not.
    _, own = written(requests=4, context_limit_tokens=120)
    assert own.turn.tolist() == [1, 2, 1, 2]
    _, own = written(requests=2, context_limit_tokens=20)
    assert own.prompt_tokens.tolist() == [20, 20], "a single turn is cut"


def test_reads_while_decoding_as_kv_cache_py_does() -> None:
    """What was written is read once, and again for every 32 generated tokens; not where prefill is all there is."""
    requests, own = written(users(output_tokens=fixed(70)), requests=1, history="none", decode_reads="as_kv_cache_py")
    assert steps(requests) == [(LOAD, [0, 1, 2]), *[(REREAD, [0, 1, 2])] * 4]
    assert set(own.lookup_kind[3:].tolist()) == {REREAD_KIND}
    long = users(context_tokens=fixed(10_000))
    requests, _ = written(long, requests=1, history="none", decode_reads="as_kv_cache_py")
    assert [action for action, _ in steps(requests)] == [LOAD]
    requests, _ = written(users(context_tokens=fixed(9_999)), requests=1, history="none", decode_reads="as_kv_cache_py")
    assert [action for action, _ in steps(requests)] == [LOAD, REREAD, REREAD]


def test_time_passes_between_steps() -> None:
    """Generated tokens take time, and their user thinks: between reads that fall into the generating as well."""
    talkers = users(think_ns=fixed(1, TIME), output_tokens=fixed(70))
    _, own = written(talkers, requests=2, tpot_ns=MS)
    assert own.action.tolist() == [LOAD, STORE, LOAD, STORE]
    assert own.gap_ns.tolist() == [70 * MS, 1000 * MS, 70 * MS, 1000 * MS]
    _, own = written(talkers, requests=1, history="none", decode_reads="as_kv_cache_py", generation="realistic")
    assert own.gap_ns.tolist() == [0, 32 * 30 * MS, 32 * 30 * MS, 6 * 30 * MS, 1000 * MS]
    _, own = written(talkers, requests=1, phases="prefill", generation="realistic")
    assert own.action.tolist() == [LOAD] and own.gap_ns.tolist() == [1000 * MS]


def test_system_prompts_are_shared() -> None:
    """Whole blocks of them; what is left of one is the conversation's own."""
    requests, own = written(users(system_tokens=20, turns=fixed(1, NUMBER)), requests=3)
    loads = [keys for action, keys in steps(requests) if action == LOAD]
    assert [len(keys) for keys in loads] == [4, 4, 4], "20 + 40 tokens are 3 whole blocks and a rest"
    assert len({keys[0] for keys in loads}) == 1 and len({keys[1] for keys in loads}) == 3
    assert own.prompt_tokens.tolist() == [60, 60, 60]
    kinds = np.bincount(own.lookup_kind, minlength=5)
    assert kinds[SHARED] == 3
    requests, _ = written(users(system_tokens=16, systems=4, turns=fixed(1, NUMBER)), requests=200)
    first = [keys[0] for action, keys in steps(requests) if action == LOAD]
    counts = [first.count(key) for key in set(first)]
    assert len(counts) == 4 and min(counts) > 25, "all as likely"


def test_documents_are_the_same_wherever_they_stand() -> None:
    retrieving = users(
        documents=1,
        document_tokens=fixed(100),
        chunk_tokens=40,
        retrieved=2,
        rag_share=Fraction(1),
        turns=fixed(2, NUMBER),
    )
    requests, own = written(retrieving, requests=100)
    found = set()
    for i in np.flatnonzero(own.action == LOAD).tolist():
        span = slice(requests.offsets[i], requests.offsets[i + 1])
        kinds = own.lookup_kind[span]
        pieces = requests.keys[span][kinds == DOCUMENT].tolist()
        found.add(tuple(pieces))
    # 40, 40 and 20 tokens: two pieces of three, of 3, 3 and 2 blocks each.
    assert sorted(map(len, found)) == [5, 5, 6] and len({key for each in found for key in each}) == 8
    some = users(documents=5, document_tokens=fixed(600), rag_share=Fraction(1, 4), turns=fixed(1, NUMBER))
    requests, own = written(some, requests=2000)
    with_document = sum(
        bool((own.lookup_kind[requests.offsets[i] : requests.offsets[i + 1]] == DOCUMENT).any())
        for i in range(len(requests))
    )
    assert 430 < with_document < 570


def test_everything_is_there_before_where_only_decoding_is_measured() -> None:
    requests, own = written(phases="decode", requests=4)
    assert set(own.action.tolist()) == {LOAD} and own.stored == requests.distinct


def test_turns_of_a_trace() -> None:
    told = (((40, 24), (40, 24)), ((5, 3),))
    requests, own = written(turns=told, requests=4)
    assert own.turn.tolist() == [1, 2, 1, 1] and own.prompt_tokens.tolist() == [40, 104, 5, 40]
    assert own.output_tokens.tolist() == [24, 24, 3, 24]
    assert steps(requests)[2][1] == [0, 1, 3, 4, 5, 6, 7]


def test_requests_that_are_due() -> None:
    _, own = written(users=4, requests=8, rate_per_s=Fraction(100), arrival="constant")
    due = own.due_ns[own.action == LOAD]
    assert own.open_loop and due.tolist() == [10 * MS * i for i in range(8)]
    assert (own.due_ns[own.action == STORE] == -1).all()
    _, own = written(users=4, requests=4000, rate_per_s=Fraction(100))
    gaps = np.diff(own.due_ns[own.action == LOAD])
    assert (gaps >= 0).all() and 0.95 < gaps.mean() / (10 * MS) < 1.05 and 0.9 < gaps.std() / gaps.mean() < 1.1


def test_the_mix_is_apportioned() -> None:
    assert apportion([Fraction(1), Fraction(1), Fraction(1)], 7) == [0, 1, 2, 0, 1, 2, 0]
    places = apportion([Fraction(3), Fraction(1)], 8)
    assert (places.count(0), places.count(1)) == (6, 2) and places[:4] == [0, 0, 1, 0]


def test_those_who_do_not_think_leave_room_for_others() -> None:
    """The order is that of a storage that takes time: who thinks for 1 ms is not left out."""
    _, own = written([users(), users(think_ns=fixed("0.001", TIME))], users=8, requests=400)
    counts = np.bincount(own.users_of)
    assert counts.min() > 150


def test_there_are_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "MOST_KEYS", 100)
    with pytest.raises(TooMany, match="ask for more than 100 blocks"):
        written(requests=1000, tpot_ns=12345)


@pytest.mark.parametrize(
    ("name", "digest"),
    [("chat", "109d7555910a6f0f"), ("code", "a53065ec737789d6"), ("document", "8dc481d4251317ad")],
)
def test_known_draws(name: str, digest: str) -> None:
    """The same on every machine, in every version: a change here is a change of everybody's experiment."""
    own = Talk(
        ConversationsSettings(block_bytes=1, users=10, requests=200, decode_reads="as_kv_cache_py").complete(),
        (Users("them", USER_TYPES[name]().complete()),),
        42,
        BLOCK,
    )
    assert write_script(own).digest() == digest


mixes = st.lists(
    st.builds(
        lambda context, turns, system, documents, think: users(
            context_tokens=uniform(1, context),
            turns=fixed(turns, NUMBER),
            system_tokens=system,
            documents=documents,
            document_tokens=uniform(1, 900),
            think_ns=fixed(think, TIME),
        ),
        st.integers(1, 300),
        st.integers(1, 5),
        st.integers(0, 40),
        st.integers(0, 3),
        st.sampled_from([0, 1]),
    ),
    min_size=1,
    max_size=3,
)
patterns = st.fixed_dictionaries(
    {
        "users": st.integers(3, 9),
        "requests": st.integers(1, 60),
        "page_tokens": st.sampled_from([1, 16, 100]),
        "history": st.sampled_from(["kept", "none"]),
        "outputs": st.sampled_from(["kept", "dropped"]),
        "decode_reads": st.sampled_from(["none", "as_kv_cache_py"]),
        "rate_per_s": st.sampled_from([None, Fraction(50)]),
        "context_limit_tokens": st.sampled_from([64, 131072]),
        "tpot_ns": st.sampled_from([0, MS]),
    }
)


@settings(max_examples=60, deadline=None)
@given(mixes, patterns)
def test_whatever_is_asked(mix: list[UsersSettings], pattern: dict[str, Any]) -> None:
    requests, own = written(mix, **pattern)
    again, _ = written([attrs.evolve(each) for each in mix], **pattern)
    assert requests.digest() == again.digest()
    loads = own.action == LOAD
    assert own.requests == pattern["requests"] == int(loads.sum())
    # Every block has a number, and each number is used; no step is empty.
    assert np.array_equal(np.unique(requests.keys), np.arange(requests.distinct))
    sizes = np.diff(requests.offsets)
    assert (sizes > 0).all() and len(own.lookup_kind) == len(requests.keys) == requests.offsets[-1]
    # A prompt has as many blocks as its tokens need, and at most a few more for what is cut apart.
    tokens = own.prompt_tokens[own.request[loads]]
    least = -(-tokens // pattern["page_tokens"])
    assert (sizes[loads] >= least).all() and (sizes[loads] <= least + 7).all()
    assert (own.prompt_tokens > 0).all() and own.users <= pattern["users"]
    # What is called history was asked for or written before by the same user, what is new never before.
    seen: set[int] = set()
    seen_by: dict[int, set[int]] = {}
    for i in range(len(requests)):
        mine = seen_by.setdefault(int(own.user[i]), set())
        for place in range(requests.offsets[i], requests.offsets[i + 1]):
            key, kind = int(requests.keys[place]), int(own.lookup_kind[place])
            assert (kind != NEW or key not in seen) and (kind not in (HISTORY, REREAD_KIND) or key in mine)
            mine.add(key)
        seen |= mine
    # The steps of a request follow each other, first the one that loads.
    assert (np.diff(own.request[loads]) > 0).all()
    for user in range(own.users):
        assert (np.diff(own.request[own.user == user]) >= 0).all()
