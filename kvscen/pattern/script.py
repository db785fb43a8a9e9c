"""Writes down what users who converse will do, drawn from a seed: every request with its blocks, before any of it runs.

A user asks, has the answer when it is generated, thinks, and asks again. Requests come in the order in which they would
with a storage that moves one step's blocks after the other's at a stated pace. That order is kept whatever the real
storage does, so the same seed asks for the same blocks in the same order.

A prompt has the shared system prompt, what was retrieved for it, the conversation before it and what its turn adds. It
is cut into blocks: whole blocks of the system prompt are those of every conversation that has it; whole blocks of the
conversation are the same in its next turn; a last block that is not full is nobody else's, as the next turn fills it.
Retrieved pieces have blocks of their own, the same wherever they stand.
"""

from __future__ import annotations

import functools
import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import attrs
import numpy as np

from kvscen.language.drawn import Drawn
from kvscen.language.values import NUMBER, Distribution, Quantity
from kvscen.pattern.laws import Sampler
from kvscen.plan.talk import Talk, Users
from kvscen.trace.requests import DOCUMENT, HISTORY, LOAD, NEW, REREAD, REREAD_KIND, SHARED, STORE, Requests, Script

#: Of kv-cache.py: an entry is read again for every so many generated tokens...
REREAD_TOKENS = 32
#: ...but not where its prompt is so long that the request is one of prefill alone.
PREFILL_ONLY_TOKENS = 10_000
#: Blocks of all requests together, each as often as it is asked for: they are held in memory, in 9 bytes each.
MOST_KEYS = 200_000_000
_BUFFER = 1024
_NOT_DUE = -1


class TooMany(ValueError):
    """The first `requests` requests have more than MOST_KEYS blocks."""

    def __init__(self, requests: int) -> None:
        super().__init__(f"the first {requests:,} requests ask for more than {MOST_KEYS:,} blocks")


@functools.lru_cache(maxsize=4)
def write_script(talk: Talk) -> Requests:
    """Every request. Raises TooMany."""
    return _Writer(talk).write()


class _Draws:
    """One value at a time from a Sampler."""

    def __init__(self, drawn: Drawn, seed: int) -> None:
        self._sampler = Sampler(drawn, seed)
        self._values: list[int] = []

    def __call__(self) -> int:
        if not self._values:
            self._values = np.asarray(self._sampler.draw(_BUFFER), np.int64).tolist()[::-1]
        return self._values.pop()


def _ranks(count: int, skew: Fraction) -> Drawn:
    """1 to `count`, rank k with a weight of k^-skew."""
    law = Distribution("zipf", (Quantity(Fraction(count), NUMBER), Quantity(skew, NUMBER)))
    return Drawn(law, 1, True, 1, count)


def _shares() -> Drawn:
    """Parts of 2^30, evenly."""
    law = Distribution("uniform", (Quantity(Fraction(0), NUMBER), Quantity(Fraction(2**30 - 1), NUMBER)))
    return Drawn(law, 1, True, 0, 2**30 - 1)


class _Kind:
    """What is drawn for users of one kind, and the blocks that they share."""

    def __init__(self, users: Users, page_tokens: int, seed: int, fresh: Callable[[int], range]) -> None:
        settings = users.settings
        assert settings.context_tokens and settings.prompt_tokens and settings.output_tokens, "completed"
        assert settings.turns and settings.think_ns, "completed"
        self.name, self.settings = users.name, settings
        self._page, self._fresh = page_tokens, fresh
        streams = iter(range(seed, seed + 16))
        self.context = _Draws(settings.context_tokens, next(streams))
        self.prompt = _Draws(settings.prompt_tokens, next(streams))
        self.output = _Draws(settings.output_tokens, next(streams))
        self.turns = _Draws(settings.turns, next(streams))
        self.think = _Draws(settings.think_ns, next(streams))
        self._system = _Draws(_ranks(settings.systems, Fraction(0)), next(streams))
        self._systems: dict[int, range] = {}
        self._pieces: dict[int, list[tuple[int, range | None]]] = {}
        if settings.documents:
            assert settings.document_tokens and settings.skew is not None, "completed"
            self._document = _Draws(_ranks(settings.documents, settings.skew), next(streams))
            self._length = _Draws(settings.document_tokens, next(streams))
            self._dice = _Draws(_shares(), next(streams))

    def system(self) -> range:
        """The whole blocks of the system prompt of a new conversation."""
        number = self._system()
        if number not in self._systems:
            self._systems[number] = self._fresh(self.settings.system_tokens // self._page)
        return self._systems[number]

    def retrieved(self) -> Iterator[tuple[int, range]]:
        """(tokens, blocks) of each piece of a document that a request has before its own text."""
        settings = self.settings
        if not settings.documents or self._dice() >= (settings.rag_share or 0) * 2**30:
            return
        assert settings.chunk_tokens is not None and settings.retrieved is not None, "completed"
        document = self._document()
        pieces = self._pieces.get(document)
        if pieces is None:
            whole, rest = divmod(self._length(), settings.chunk_tokens)
            sizes = [settings.chunk_tokens] * whole + ([rest] if rest else [])
            pieces = self._pieces[document] = [(size, None) for size in sizes]
        for place in self._some(len(pieces), settings.retrieved):
            size, blocks = pieces[place]
            if blocks is None:
                blocks = self._fresh(-(-size // self._page))
                pieces[place] = size, blocks
            yield size, blocks

    def _some(self, count: int, wanted: int) -> list[int]:
        """Different places below `count`, in the order of the document."""
        left = list(range(count))
        return sorted(left.pop(self._dice() * len(left) >> 30) for _ in range(min(wanted, count)))


@attrs.define
class _User:
    """A user in the middle of a conversation. `blocks` are the whole ones of the conversation so far, `stored` how many
    of them were written or looked up; `tokens` are those of the conversation, the system prompt not among them."""

    number: int
    place: int
    kind: _Kind
    left: int = 0
    turn: int = 0
    tokens: int = 0
    system: range = range(0)
    blocks: list[int] = attrs.field(factory=list)
    told: Sequence[tuple[int, int]] = ()
    #: Steps that the request under way has yet to make: (action, keys, kinds, gap before the next step).
    steps: list[tuple[int, Sequence[int], Sequence[int], int]] = attrs.field(factory=list)
    request: int = -1


class _Writer:
    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        settings = self._settings = talk.settings
        self._page = settings.page_tokens
        self._limit = settings.context_limit_tokens
        self._next_key = 0
        #: How long the nominal storage takes for a block, and when it will be free.
        self._block_ns = max(1, int(10**9 * talk.block_bytes / settings.order_for_bytes_per_s))
        self._free_ns = 0
        seed = talk.seed << 16
        self._kinds = [
            _Kind(users, self._page, seed + 64 * (place + 1), self._fresh) for place, users in enumerate(talk.mix)
        ]
        self._arrivals = self._due(seed) if settings.rate_per_s is not None else None
        self._users = [
            _User(number, place, self._kinds[place])
            for number, place in enumerate(apportion([users.settings.weight for users in talk.mix], settings.users))
        ]
        self._told = 0
        self._keys, self._lookup_kind, self._offsets = array("q"), array("b"), array("q", [0])
        self._request, self._user = array("q"), array("q")
        self._action, self._gap, self._due_ns = array("b"), array("q"), array("q")
        self._users_of, self._turn = array("q"), array("q")
        self._prompt, self._output = array("q"), array("q")

    def write(self) -> Requests:
        (self._closed if self._arrivals is None else self._open)()
        script = Script(
            request=np.array(self._request, np.int64),
            action=np.array(self._action, np.int8),
            user=np.array(self._user, np.int64),
            gap_ns=np.array(self._gap, np.int64),
            due_ns=np.array(self._due_ns, np.int64),
            lookup_kind=np.array(self._lookup_kind, np.int8),
            users_of=np.array(self._users_of, np.int64),
            turn=np.array(self._turn, np.int64),
            prompt_tokens=np.array(self._prompt, np.int64),
            output_tokens=np.array(self._output, np.int64),
            mix=tuple(users.name for users in self._talk.mix),
            targets_ns=tuple((u.settings.target_p95_ns, u.settings.target_p99_ns) for u in self._talk.mix),
            open_loop=self._arrivals is not None,
            stored=self._next_key if self._settings.phases == "decode" else 0,
        )
        keys, offsets = np.array(self._keys, np.int64), np.array(self._offsets, np.int64)
        return Requests(keys, offsets, None, self._next_key, self._page, True, script)

    # ---- in which order

    def _closed(self) -> None:
        """Whoever is ready first goes on; of those who are ready at the same time, who has waited longest."""
        ready = [(0, number, user) for number, user in enumerate(self._users)]
        ticks = len(ready)
        while ready:
            now, _, user = ready[0]
            if not user.steps and not self._ask(user):
                heapq.heappop(ready)
                continue
            heapq.heapreplace(ready, (self._step(user, now), ticks, user))
            ticks += 1

    def _open(self) -> None:
        """A request becomes due, and the user who has been ready for longest asks it."""
        assert self._arrivals is not None
        idle = [(0, number, user) for number, user in enumerate(self._users)]
        busy: list[tuple[int, int, _User]] = []
        ticks = len(idle)
        for due in self._arrivals:
            while (busy and busy[0][0] <= due) or not idle:
                now, _, user = heapq.heappop(busy)
                ticks += 1
                then = (self._step(user, now), ticks, user)
                heapq.heappush(busy if user.steps else idle, then)
            _, _, user = heapq.heappop(idle)
            if not self._ask(user):
                break
            ticks += 1
            then = (self._step(user, due, due), ticks, user)
            heapq.heappush(busy if user.steps else idle, then)
        while busy:
            now, _, user = heapq.heappop(busy)
            ticks += 1
            then = (self._step(user, now), ticks, user)
            if user.steps:
                heapq.heappush(busy, then)

    def _due(self, seed: int) -> Iterator[int]:
        """When each request becomes due, in ns."""
        rate = self._settings.rate_per_s
        assert rate is not None
        mean = 10**9 / rate
        if self._settings.arrival == "constant":
            for number in range(self._settings.requests):
                yield int(number * mean)
            return
        gap = Drawn(Distribution("exponential", (Quantity(mean, NUMBER),)), 1, False, 0, None)
        sampler, now = Sampler(gap, seed), 0.0
        for start in range(0, self._settings.requests, _BUFFER):
            for each in sampler.draw(min(_BUFFER, self._settings.requests - start)).tolist():
                now += each
                yield int(now)

    # ---- a request

    def _ask(self, user: _User) -> bool:
        """Give a user the steps of a new request. False: there are enough."""
        if len(self._turn) == self._settings.requests:
            return False
        added, output, pieces = self._next_turn(user)
        page, history = self._page, self._settings.history == "kept"
        if not history:
            user.tokens, user.blocks = 0, []
        known = len(user.blocks)
        user.tokens += added
        # What the system prompt leaves of a block is private, as the conversation fills it.
        private = user.tokens + (user.kind.settings.system_tokens - len(user.system) * page)
        whole, rest = divmod(private, page)
        user.blocks.extend(self._fresh(whole - known))
        tail = [*self._fresh(1)] if rest else []
        given = [key for _, blocks in pieces for key in blocks]
        new = max(0, whole - known) + len(tail)
        keys = [*user.system, *given, *user.blocks, *tail]
        kinds = [SHARED] * len(user.system) + [DOCUMENT] * len(given) + [HISTORY] * known + [NEW] * new
        prompt_tokens = user.kind.settings.system_tokens + sum(size for size, _ in pieces) + user.tokens
        user.request = len(self._turn)
        self._users_of.append(user.place)
        self._turn.append(user.turn)
        self._prompt.append(prompt_tokens)
        self._output.append(output)
        user.steps = [(LOAD, keys, kinds, 0)]
        self._decode(user, output, keys[len(keys) - new :], prompt_tokens, private)
        user.tokens += output
        user.steps.reverse()
        return True

    def _decode(self, user: _User, output: int, written: Sequence[int], prompt_tokens: int, private: int) -> None:
        """The steps behind the first one, and the gap before the user's next request."""
        settings = self._settings
        token_ns = 0 if settings.phases == "prefill" else settings.token_ns
        left_ns = output * token_ns
        steps = user.steps
        if settings.decode_reads != "none" and written and prompt_tokens < PREFILL_ONLY_TOKENS:
            kinds = [REREAD_KIND] * len(written)
            steps.append((REREAD, written, kinds, 0))
            for start in range(0, output, REREAD_TOKENS):
                gap = min(REREAD_TOKENS, output - start) * token_ns
                left_ns -= gap
                _wait(steps, gap)
                steps.append((REREAD, written, kinds, 0))
        _wait(steps, left_ns)
        kept = settings.outputs == "kept" and settings.phases == "both" and settings.history == "kept"
        if kept:
            whole = (private + output) // self._page
            fresh = [*self._fresh(whole - len(user.blocks))]
            user.blocks.extend(fresh)
            if fresh:
                steps.append((STORE, fresh, [NEW] * len(fresh), 0))
        _wait(steps, user.kind.think())

    def _next_turn(self, user: _User) -> tuple[int, int, list[tuple[int, range]]]:
        """Tokens that the user's next prompt adds, those of its answer, and what is retrieved for it.
        A conversation that has no turn left, or would outgrow the limit, is followed by a new one."""
        kind = user.kind
        pieces = [*kind.retrieved()]
        beside = kind.settings.system_tokens + sum(size for size, _ in pieces)
        if user.left:
            added, output = self._turn_of(user, kind.prompt)
            if beside + user.tokens + added <= self._limit:
                user.left -= 1
                user.turn += 1
                return added, output, pieces
        user.turn, user.tokens, user.blocks = 0, 0, []
        user.system = kind.system()
        if self._talk.turns is None:
            user.left = kind.turns() - 1
        else:
            user.told = self._talk.turns[self._told % len(self._talk.turns)]
            user.left = len(user.told) - 1
            self._told += 1
        added, output = self._turn_of(user, kind.context)
        user.turn = 1
        return min(added, max(1, self._limit - beside)), output, pieces

    def _turn_of(self, user: _User, prompt: Callable[[], int]) -> tuple[int, int]:
        if self._talk.turns is not None:
            return user.told[user.turn]
        return prompt(), user.kind.output()

    def _step(self, user: _User, now: int, due_ns: int = _NOT_DUE) -> int:
        """Write the user's next step down; when the user goes on after it, with the nominal storage."""
        action, keys, kinds, gap = user.steps.pop()
        if len(self._keys) + len(keys) > MOST_KEYS:
            raise TooMany(len(self._turn))
        self._keys.extend(keys)
        self._lookup_kind.extend(kinds)
        self._offsets.append(len(self._keys))
        self._request.append(user.request)
        self._user.append(user.number)
        self._action.append(action)
        self._gap.append(gap)
        self._due_ns.append(due_ns)
        self._free_ns = max(self._free_ns, now) + len(keys) * self._block_ns
        return self._free_ns + gap

    def _fresh(self, count: int) -> range:
        first, self._next_key = self._next_key, self._next_key + count
        return range(first, self._next_key)


def _wait(steps: list[tuple[int, Sequence[int], Sequence[int], int]], gap_ns: int) -> None:
    """Let the last step be followed by a longer gap."""
    action, keys, kinds, gap = steps[-1]
    steps[-1] = action, keys, kinds, gap + gap_ns


def apportion(weights: Sequence[Fraction], count: int) -> list[int]:
    """The place of each of `count` users in a mix: each kind has one at least where there are enough, the others go by
    weight, and kinds take turns."""
    total = sum(weights, Fraction())
    given = [0] * len(weights)
    places = []
    for number in range(count):
        # Whoever is furthest behind its share is next.
        place = max(range(len(weights)), key=lambda p: (weights[p] / total * (number + 1) - given[p], -p))
        given[place] += 1
        places.append(place)
    return places
