"""The text of a first scenario. Its comments say what each line does and how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from kvscen.language.diagnose import Source
from kvscen.language.format import format_source
from kvscen.language.values import Quantity, format_value
from kvscen.starter.choices import ABOUTS, DEFAULT_PATH, Choice, ChoiceError, TierChoice, place_setting

#: What one request of a cache's users is to have at most, so that a first run is short.
_REQUEST_BYTES = 48 << 20
#: What the larger of two batches is to have at most.
_BATCH_BYTES = 1 << 30
_CHAT_TOKENS = 2304  # the mean first prompt of the users of the type `chat`


@attrs.frozen
class _Model:
    """`name` is what the scenario's own model is based on: of some models the layers with full attention alone. The
    bytes are those of fp8, on one rank."""

    base: str
    whole: bool
    token_bytes: int
    block_bytes: int
    blocks: int


def scenario_text(choice: Choice, file: str) -> str:
    """The scenario, formatted; `file` is what it will be called. Raises ChoiceError."""
    body = {"blocks": _blocks, "model": _of_model, "compare": _compare, "cache": _cache, "network": _blocks}
    model = None if choice.model is None else _model(choice.model, choice.about == "cache")
    lines = [*_head(choice, file), *_models(choice, model), *body[choice.about](choice, model, file)]
    formatted = format_source(Source(file, "\n".join(lines) + "\n"))
    assert isinstance(formatted, str), formatted
    return formatted


def _head(choice: Choice, file: str) -> Iterator[str]:
    question = ABOUTS[choice.about]
    yield from ("kvs 1", "", f"# {question[0].upper()}{question[1:]}", "#")
    commands = {
        f"kvscen plan {file}": "what a run would do: points, bytes, time. Nothing is run",
        f"kvscen run {file}": "measures; the table is shown, and left in runs/ for any tool",
        f"kvscen lint {file}": "what is wrong with it, after you have changed it",
        "kvscen explain WORD": "what a word of this file means: kvscen explain depth",
    }
    width = max(map(len, commands)) + 3
    yield from (f"#   {command:<{width}}{says}" for command, says in commands.items())
    yield ""


def _models(choice: Choice, model: _Model | None) -> Iterator[str]:
    if model is None:
        return
    yield "use models  # the catalogue: kvscen explain models"
    yield ""
    size, block = (_size(number) for number in (model.token_bytes, model.block_bytes))
    alone = model.block_bytes == 16 * model.token_bytes
    block_is = "one block of" if alone else "several blocks, of layers that keep alike, each of"
    yield f"# {size} of KV for a token, and a page of 16 tokens is {block_is} {block}:"
    yield f"#   kvscen size {model.base} --kv-dtype fp8"
    if not model.whole:
        yield f"# These are its layers of one kind; the others keep something else: kvscen explain {choice.model}"
    yield f"model llm : {model.base} {{ kv_dtype = fp8 }}  # tp = 8 shares each layer among 8 ranks"
    yield ""


def _tiers(tiers: Sequence[TierChoice], before: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The lines of the tiers, and their names. `before` are names that are taken."""
    folders = list(dict.fromkeys(tier.place for tier in tiers if tier.form.place and tier.place is not None))
    lines = []
    for number, folder in enumerate(folders):
        name = "dir" if number == 0 else f"dir{number + 1}"
        note = "on the file system under test; for one run another: --set dir=/mnt/nvme/kv-data" if number == 0 else ""
        lines.append(f"let {name} = {format_value(folder or DEFAULT_PATH)}" + (f"  # {note}" if note else ""))
    if folders:
        lines.append("")
    names: list[str] = []
    for tier in tiers:
        form = tier.form
        same = form.name in (*before, *names) or sum(other.driver == tier.driver for other in tiers) > 1
        name = next(
            n for n in ([] if same else [form.name]) + [f"{form.name}{i}" for i in range(1, 9)] if n not in names
        )
        names.append(name)
        folder = "dir2" if len(folders) > 1 and tier.place == folders[1] else "dir"
        body = "; ".join(part for part in (place_setting(tier, folder), form.fixed) if part)
        comment = form.comment
        if form.address and not tier.place:
            comment = (
                f"a private one, started for the run; yours: {place_setting(attrs.evolve(tier, place='host:port'), '')}"
            )
        lines.append(f"tier {name} : {tier.driver} {{ {body} }}" + (f"  # {comment}" if comment else ""))
    return [*lines, ""], names


def _blocks(choice: Choice, model: _Model | None, file: str) -> Iterator[str]:
    tiers, names = _tiers(choice.tiers)
    yield from tiers
    yield from _pattern_of_blocks(choice, model)
    yield from ("sweep sizes {", "  pattern = blocks", f"  tier    = {names[0]}", "")
    yield from _axes_of_blocks(choice, model)
    yield from _method("blocks")
    yield from _further("blocks", "depth in [1, 4, 16]", "what more in flight brings")


def _pattern_of_blocks(choice: Choice, model: _Model | None) -> Iterator[str]:
    small = choice.about == "network" or any(tier.form.address for tier in choice.tiers)
    yield "pattern blocks : transfer {"
    yield "  op = read  # read, write, or mixed with reads = 70 %"
    if model is None:
        yield "  block = 1 MiB  # what one operation moves; the sweep below varies it"
    else:
        yield "  model = llm"
        yield "  page = 16 tokens  # a block is the KV of so many tokens; the sweep varies it"
        yield "  prompt = 1000 tokens"
    touched = "64 MiB" if small else "256 MiB"
    yield f"  working_set = {touched}  # bytes touched in all; for real figures more than any cache holds"
    yield f"  depth = {4 if small else 16}  # operations in flight"
    yield "  order = random  # or sequential, strided, zipf"
    yield from ("}", "")


def _axes_of_blocks(choice: Choice, model: _Model | None) -> Iterator[str]:
    small = choice.about == "network" or any(tier.form.address for tier in choice.tiers)
    yield "  # `in` varies a setting: an axis. Every value of the one is measured with every value of the other."
    yield "  blocks.op in [write, read]"
    if model is not None:
        largest = (2 << 20) if small else (16 << 20)
        pages = [tokens for tokens in (16, 32, 64, 128, 256) if tokens * model.token_bytes <= largest]
        if len(pages) > 1:
            yield f"  blocks.page in [{', '.join(f'{tokens} tokens' for tokens in pages)}]"
    elif small:
        yield "  blocks.block in [16 KiB, 256 KiB, 1 MiB, 4 MiB]  # or pow2(16 KiB, 4 MiB)"
    else:
        yield "  blocks.block in [4 KiB, 64 KiB, 1 MiB, 16 MiB]  # or pow2(4 KiB, 16 MiB)"
    yield ""


def _of_model(choice: Choice, model: _Model | None, file: str) -> Iterator[str]:
    assert model is not None
    tiers, names = _tiers(choice.tiers)
    yield from tiers
    yield from _pattern_of_pages()
    yield from ("sweep requests {", "  pattern = pages", f"  tier    = {names[0]}", "")
    most = next((n for n in (10, 4, 2) if n * model.blocks * model.block_bytes <= _BATCH_BYTES), 1)
    yield "  # `in` varies a setting: an axis. Every value of the one is measured with every value of the other."
    yield "  pages.op in [write, read]  # the KV is stored, and loaded"
    if most > 1:
        yield f"  pages.requests in [1, {most}]  # so many requests' blocks are posted together"
    yield ""
    yield from _method("pages")
    yield from _further("pages", "page in [16 tokens, 32 tokens, 64 tokens]", "what larger pages bring")


def _pattern_of_pages() -> Iterator[str]:
    yield "pattern pages : transfer {"
    yield "  model = llm"
    yield "  access = block  # one object holds all layers of a page; layer: one for each layer"
    yield "  page = 16 tokens"
    yield "  prompt = 1000 tokens  # of a request"
    yield "  depth = 16  # blocks in flight"
    yield from ("}", "")


def _compare(choice: Choice, model: _Model | None, file: str) -> Iterator[str]:
    tiers, names = _tiers(choice.tiers)
    yield from tiers
    if model is None:
        yield from _pattern_of_blocks(choice, None)
    else:
        yield from _pattern_of_pages()
    pattern = "blocks" if model is None else "pages"
    yield from ("sweep both {", f"  pattern = {pattern}", "")
    yield "  # `in` varies a setting: an axis. Trials of all points are mixed: a drift of the machine hits both tiers."
    yield f"  tier in [{', '.join(names)}]"
    yield f"  {pattern}.op in [write, read]"
    if model is None:
        yield "  blocks.block in [64 KiB, 1 MiB]"
    yield ""
    yield from _method(pattern, f"{pattern}.op == read and tier == {names[0]}")
    varied = "depth in [1, 4, 16]" if model is None else "requests in [1, 4]"
    yield from _further(pattern, varied, "whether the faster one stays it")


def _cache(choice: Choice, model: _Model | None, file: str) -> Iterator[str]:
    upper = "sim" if choice.tiers[0].driver == "sim" else "memory"
    tiers, names = _tiers([TierChoice(upper), *choice.tiers])
    if upper == "sim":
        tiers = [
            line.replace("12 GB/s; latency = 80 us", "100 GB/s; latency = 1 us", 1)
            if line.startswith("tier computed1")
            else line
            for line in tiers
        ]
    yield from tiers[:-1]
    # Small, so that blocks go down and are dropped even in a first run.
    least = 16 if choice.trace is not None or model is None else 64
    sizes = [f"{least * 3**number} MiB" for number in range(len(names))]
    yield "# The cache over them. What the first level has no room for moves down; from the last it is dropped."
    yield f"tier cache : tiered {{ levels = [{', '.join(names)}]; capacities = [{', '.join(sizes)}] }}"
    yield ""
    yield from _requests(choice, model)
    yield from ("sweep policies {", "  pattern = asked", "  tier    = cache", "")
    yield "  # `in` varies a setting: an axis. Each of its values is measured, with the same requests."
    yield "  cache.eviction in [lru, s3fifo]  # which block goes down when a level is full; kvscen explain eviction"
    yield ""
    yield "  trials = 3"
    yield "  seed = 1  # what is drawn at random is drawn from it"
    yield ""
    yield "  # What must hold: else the run ends with exit code 1."
    yield "  expect errors == 0"
    yield "  # expect hit_rate >= 50 %"
    yield "  # expect request_latency_p50 <= 200 ms"
    yield from ("}", "")
    yield "# To go on: other sizes of the cache, and without moving a byte what a cache of any size would find:"
    room = ", ".join(f"{4**number} GiB" for number in range(len(names)))
    yield f"#   kvscen run {file} --set 'cache.capacities=[{room}]'"
    yield f"#   kvscen predict {file} --curve asked"


def _requests(choice: Choice, model: _Model | None) -> Iterator[str]:
    if choice.trace is not None:
        yield "pattern asked : replay {"
        yield f"  trace = trace({format_value(choice.trace)})  # the formats: kvscen import trace --help"
        yield "  requests = 200  # only the first so many"
        yield "  users = 4  # under way at a time; speed = 10 instead follows the trace's times, ten times as fast"
        if model is None:
            yield "  block = 256 KiB  # of a block of the trace; with `model = ...` instead it is that model's"
        else:
            yield "  model = llm"
        yield from ("}", "")
        return
    context = ""
    if model is not None and _CHAT_TOKENS * model.token_bytes > _REQUEST_BYTES:
        tokens = max(32, _REQUEST_BYTES // model.token_bytes // 32 * 32)
        context = f"uniform({tokens // 2} tokens, {tokens} tokens)"
    yield "users people : chat {"
    if context:
        yield f"  context = {context}  # the first prompt, short for a short run; without this line 512 to 4,096 tokens"
    yield "  system = 128 tokens  # a system prompt, which all conversations share"
    yield "  target_p95 = 200 ms  # 95 % of the requests are to wait no longer for the cache"
    yield from ("}", "")
    yield "pattern asked : conversations {"
    if model is None:
        yield "  block = 256 KiB"
    else:
        yield "  model = llm"
    yield "  page = 16 tokens  # of a block"
    yield "  mix = [people]  # other kinds of users beside them: code, document, custom"
    yield "  users = 8"
    # The more a token has, the fewer: the first run is short.
    requests = 40 if model is None else max(10, min(40, 40 * (64 << 10) // model.token_bytes))
    yield f"  requests = {requests}  # of all users together; more for real figures"
    yield from ("}", "")


def _method(pattern: str, condition: str = "") -> Iterator[str]:
    """How it is measured, and what must hold."""
    yield "  trials = 3  # of each point: the table has their median and how far they spread"
    yield "  warmup = 0.2 s"
    yield "  time = 0.5 s  # short, for a first run; 10 s and more for figures that you rely on"
    yield "  seed = 1  # what is drawn at random is drawn from it"
    yield ""
    yield "  # What must hold: else the run ends with exit code 1. Write what you need, and take the # away."
    yield "  expect errors == 0"
    yield f"  # expect throughput >= 1 GiB/s when {condition or f'{pattern}.op == read'}"
    yield from ("}", "")


def _further(pattern: str, axis: str, why: str) -> Iterator[str]:
    yield f"# To go on: another axis in the sweep shows {why}:"
    yield f"#   {pattern}.{axis}"


def _model(name: str, for_a_cache: bool) -> _Model:
    """Its size in fp8, or that of its layers with full attention, where the others do not keep pages of the same
    tokens."""
    from kvscen.language.define import catalogue_names
    from kvscen.plan.sizing import size_model

    for base in (name, f"{name}_full"):
        if base not in catalogue_names():
            continue
        size = size_model(base, ["kv_dtype=fp8"])
        if size.exact is None or size.geometry is None or (for_a_cache and len(size.geometry.kinds) > 1):
            continue
        return _Model(base, base == name, size.geometry.token_bytes, size.exact.block_bytes, size.exact.batch)
    raise ChoiceError(
        f"the layers of `{name}` keep no blocks of one size", "name another model, or --model none for plain blocks"
    )


def _size(nbytes: int) -> str:
    return str(Quantity.of(nbytes, "B"))
