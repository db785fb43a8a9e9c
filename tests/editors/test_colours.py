"""Scenarios in colour: the words are those of the declarations, and both grammars see the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Keyword, Name, Number, String, Token

from kvscen.editors import textmate
from kvscen.editors.lexer import KvsLexer
from kvscen.editors.words import CALLED, CONSTANTS, INNER, ITEMS, STATEMENTS
from kvscen.language.functions import FUNCTIONS
from kvscen.language.grammar import grammar_text
from kvscen.language.scan import KINDS, scan
from kvscen.language.values import UNITS
from tests.language.support import EXAMPLE

ROOT = Path(__file__).resolve().parents[2]
VSCODE = ROOT / "editors" / "vscode"
SCENARIOS = sorted(
    [*(ROOT / "scenarios").rglob("*.kvs"), *(ROOT / "docs").rglob("*.kvs"), *(ROOT / "grammar").rglob("*.kvs")]
)
BAD = sorted(path for path in (ROOT / "tests" / "rules").rglob("bad.kvs") if b"\xe9es" not in path.read_bytes())


def colours(text: str) -> list[tuple[int, object, str]]:
    return [(at, kind, word) for at, kind, word in KvsLexer().get_tokens_unprocessed(text)]


# ---- the words


def test_the_words_are_those_of_the_grammar() -> None:
    syntax, words = grammar_text().split("// ---- words and signs")
    spelled = set(re.findall(r'"([a-z]+)"', syntax))
    for line in words.splitlines():
        match = re.match(r'_?[A-Z]+(?:\.\d+)?: (?:/\(?([a-z|]+)\)?\(\?!|"([a-z]+)"$)', line)
        if match:
            spelled.update((match[1] or match[2]).split("|"))
    assert {"model", "in", "skip", "within", "saturation", "not"} <= spelled
    assert spelled == {"kvs", *ITEMS, *STATEMENTS, *INNER, *CONSTANTS}
    assert set(FUNCTIONS) < set(CALLED)


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_one(unit: str) -> None:
    """Whole: `MiB` is no unit where `MiB/s` stands."""
    assert (Keyword.Type, unit) in [(kind, word) for _, kind, word in colours(f"time = 5 {unit}\n")]
    assert ("keyword.other.unit.kvs", unit) in list(scopes(f"time = 5 {unit}"))


# ---- Pygments


def test_pygments_finds_the_lexer() -> None:
    assert isinstance(get_lexer_by_name("kvs"), KvsLexer)
    assert isinstance(get_lexer_for_filename("x.kvs"), KvsLexer)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.name)
def test_every_scenario_has_no_error_and_no_character_is_lost(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = colours(text)
    assert not [word for _, kind, word in found if kind is Token.Error]
    assert "".join(word for _, _, word in found) == text


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.parent.name)
def test_of_a_broken_one_no_character_is_lost(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "".join(word for _, _, word in colours(text)) == text


def test_what_a_word_is_depends_on_where_it_stands() -> None:
    found = {(kind, word) for _, kind, word in colours(EXAMPLE)}
    assert {
        (Keyword.Namespace, "kvs"),
        (Keyword.Declaration, "tier"),
        (Name.Class, "llama70b"),
        (Name.Variable, "dir"),
        (Name.Attribute, "page"),
        (Keyword, "expect"),
        (Keyword, "when"),
        (Keyword, "in"),
        (Number, "16"),
        (Keyword.Type, "tokens"),
        (String.Double, "./kv-data"),
    } <= found
    # Words of the language as names of settings.
    found = {(kind, word) for _, kind, word in colours("sweep s {\n  tier in [a]\n  model = x\n  skip = 1\n}\n")}
    assert {(Name.Attribute, "tier"), (Name.Attribute, "model"), (Name.Attribute, "skip")} <= found


# ---- TextMate


def test_the_grammar_of_the_extension_is_the_generated_one() -> None:
    """`python -m kvscen.editors.textmate editors/vscode/syntaxes/kvs.tmLanguage.json` writes it anew."""
    assert (VSCODE / "syntaxes" / "kvs.tmLanguage.json").read_text(encoding="utf-8") == textmate.text()


def test_the_extension_names_files_that_are_there() -> None:
    package = json.loads((VSCODE / "package.json").read_text())
    (language,) = package["contributes"]["languages"]
    (grammar,) = package["contributes"]["grammars"]
    for name in (package["main"], language["configuration"], grammar["path"]):
        assert (VSCODE / name).is_file()
    assert language["id"] == grammar["language"] and language["extensions"] == [".kvs"]
    assert grammar["scopeName"] == textmate.grammar()["scopeName"]
    configuration = json.loads((VSCODE / language["configuration"]).read_text())
    assert re.fullmatch(configuration["wordPattern"], "kv_dtype")
    assert re.search(configuration["indentationRules"]["increaseIndentPattern"], "sweep s {  # more")
    assert package["contributes"]["configuration"]["properties"]["kvscen.command"]["default"] == ["kvscen", "lsp"]


PATTERNS = [(re.compile(rule.get("match") or rule["begin"]), rule) for rule in textmate.grammar()["patterns"]]
STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)')


def scopes(line: str) -> Iterator[tuple[str, str]]:
    """(scope, word) of a line, by the rules of the grammar as editors apply them: the earliest match, the first of
    equals."""
    at = 0
    while at < len(line):
        matches = [
            (match.start(), index) for index, (pattern, _) in enumerate(PATTERNS) if (match := pattern.search(line, at))
        ]
        if not matches:
            return
        _, index = min(matches)
        pattern, rule = PATTERNS[index]
        match = pattern.search(line, at)
        assert match is not None
        if "begin" in rule:
            match = STRING.match(line, match.start())
            assert match is not None
        captures = rule.get("captures")
        if captures is None:
            yield rule["name"], match[0]
        else:
            for number, capture in captures.items():
                yield capture["name"], match[int(number)]
        assert match.end() > at or match.start() > at, (line, rule)
        at = match.end()


ALIKE = {
    "comment.line.number-sign.kvs": Comment.Single,
    "constant.numeric.kvs": Number,
    "keyword.other.unit.kvs": Keyword.Type,
    "constant.language.kvs": Keyword.Constant,
    "support.function.kvs": Name.Function,
    "variable.other.property.kvs": Name.Attribute,
    "entity.name.type.kvs": Name.Class,
    "storage.type.kvs": Keyword.Declaration,
}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.name)
def test_both_grammars_see_the_same(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        seen = list(scopes(line))
        by_pygments = [(kind, word) for _, kind, word in colours(line)]
        for scope, word in seen:
            if scope in ALIKE:
                assert (ALIKE[scope], word) in by_pygments, line
        # Nothing that the language has a word for is left without a scope.
        covered = "".join(word for _, word in seen)
        for word in scan(line):
            assert word.text in covered, (line, word)


NODE_SCRIPT = """
const fs = require("fs"), path = require("path"), modules = process.argv[2];
const textmate = require(path.join(modules, "vscode-textmate"));
const oniguruma = require(path.join(modules, "vscode-oniguruma"));
const wasm = fs.readFileSync(path.join(modules, "vscode-oniguruma/release/onig.wasm")).buffer;
const onigLib = oniguruma.loadWASM(wasm).then(() => ({
  createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
  createOnigString: (text) => new oniguruma.OnigString(text),
}));
const registry = new textmate.Registry({
  onigLib,
  loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(process.argv[3], "utf8"), process.argv[3]),
});
registry.loadGrammar("source.kvs").then((grammar) => {
  const lines = fs.readFileSync(0, "utf8").split("\\n");
  let state = textmate.INITIAL;
  for (const line of lines) {
    const result = grammar.tokenizeLine(line, state);
    state = result.ruleStack;
    for (const token of result.tokens) {
      const scope = token.scopes[token.scopes.length - 1];
      console.log(JSON.stringify([scope, line.slice(token.startIndex, token.endIndex)]));
    }
  }
});
"""


def test_in_the_engine_of_vs_code(tmp_path: Path) -> None:
    """With vscode-textmate and vscode-oniguruma (npm) in the folder that KVSCEN_NODE_MODULES names."""
    modules = os.environ.get("KVSCEN_NODE_MODULES")
    node = shutil.which("node")
    if not modules or node is None:
        pytest.skip("KVSCEN_NODE_MODULES names no folder with vscode-textmate and vscode-oniguruma")
    script = tmp_path / "tokens.js"
    script.write_text(NODE_SCRIPT)
    text = "\n".join(path.read_text(encoding="utf-8") for path in SCENARIOS)
    grammar = VSCODE / "syntaxes" / "kvs.tmLanguage.json"
    done = subprocess.run(
        [node, str(script), modules, str(grammar)], input=text, capture_output=True, text=True, check=True, timeout=300
    )
    seen = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    seen = [(scope, word) for scope, word in seen if scope in ALIKE]
    ours = [(scope, word) for line in text.split("\n") for scope, word in scopes(line) if scope in ALIKE]
    assert seen == ours and len(seen) > 1000
    assert {scope for scope, _ in seen} == set(ALIKE)
    assert set(KINDS) <= {word for scope, word in seen if scope == "storage.type.kvs"}
