"""A whole session of an editor over stdio, by pygls' own client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

import kvscen
from kvscen.lsp.text import Lines, Position
from tests.lsp.support import TEXT

#: Nothing takes so long; whoever waits for it in vain ends.
DEADLINE_S = 120


class Editor(LanguageClient):
    """One text as an editor holds it: what is typed goes into the text and to the server."""

    def __init__(self, path: Path) -> None:
        super().__init__("test editor", "1")
        self.uri = path.as_uri()
        self.lines = Lines("")
        self.version = 0
        self.shown: dict[str, tuple[lsp.Diagnostic, ...]] = {}
        self.news = asyncio.Event()

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def on_diagnostics(params: lsp.PublishDiagnosticsParams) -> None:
            self.shown[params.uri] = tuple(params.diagnostics)
            self.news.set()

    async def start(self, folder: Path) -> lsp.InitializeResult:
        await self.start_io(sys.executable, "-c", "from kvscen.cli.main import main; main()", "lsp")
        result = await self.initialize_async(
            lsp.InitializeParams(
                lsp.ClientCapabilities(
                    text_document=lsp.TextDocumentClientCapabilities(
                        completion=lsp.CompletionClientCapabilities(
                            completion_item=lsp.ClientCompletionItemOptions(snippet_support=True)
                        )
                    )
                ),
                workspace_folders=[lsp.WorkspaceFolder(folder.as_uri(), "test")],
            )
        )
        self.initialized(lsp.InitializedParams())
        return result

    async def see(self, seen: Callable[[tuple[lsp.Diagnostic, ...]], bool]) -> tuple[lsp.Diagnostic, ...]:
        """Wait until the diagnostics of the text are such."""
        while not (self.uri in self.shown and seen(self.shown[self.uri])):
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), DEADLINE_S)
        return self.shown[self.uri]

    def open(self, text: str) -> None:
        self.lines = Lines(text)
        self.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(self.uri, "kvs", self.version, text))
        )

    def replace(self, start: int, end: int, text: str) -> None:
        between = lsp.Range(self.position(start), self.position(end))
        self.version += 1
        self.lines = Lines(self.lines.text[:start] + text + self.lines.text[end:])
        self.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(self.version, self.uri),
                [lsp.TextDocumentContentChangePartial(between, text)],
            )
        )

    def apply(self, edits: list[lsp.TextEdit]) -> None:
        for edit in sorted(edits, key=lambda edit: (edit.range.start.line, edit.range.start.character), reverse=True):
            start, end = (
                self.lines.offset(Position(place.line, place.character)) for place in (edit.range.start, edit.range.end)
            )
            self.replace(start, end, edit.new_text)

    def type(self, offset: int, text: str) -> None:
        """Character by character."""
        for index, character in enumerate(text):
            self.replace(offset + index, offset + index, character)

    def position(self, offset: int) -> lsp.Position:
        found = self.lines.position(offset)
        return lsp.Position(found.line, found.character)

    def at(self, needle: str) -> lsp.Position:
        return self.position(self.lines.text.index(needle))

    @property
    def document(self) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri)

    async def offered(self, offset: int) -> lsp.CompletionList:
        found = await self.text_document_completion_async(lsp.CompletionParams(self.document, self.position(offset)))
        assert isinstance(found, lsp.CompletionList)
        return found


def codes(shown: tuple[lsp.Diagnostic, ...]) -> list[str]:
    return [str(item.code) for item in shown]


async def session(folder: Path) -> None:
    editor = Editor(folder / "test.kvs")
    started = await editor.start(folder)
    assert started.server_info is not None and started.server_info.version == kvscen.__version__
    assert started.capabilities.rename_provider and started.capabilities.hover_provider

    editor.open(TEXT)
    assert await editor.see(lambda shown: True) == ()

    # A mistake, character by character, behind an emoji on the line before.
    place = editor.lines.text.index("  page   = 16")
    editor.type(place, "  working_set = 2 gigs\n")
    shown = await editor.see(lambda shown: "KVS104" in codes(shown))
    (wrong,) = shown
    start = editor.lines.text.index("gigs")
    assert wrong.range == lsp.Range(editor.position(start), editor.position(start + 4))
    assert wrong.severity is lsp.DiagnosticSeverity.Error and "`gigs` is not a unit" in wrong.message

    # Complete what is half written.
    editor.replace(start, start + 4, "Gi")
    offers = await editor.offered(start + 2)
    labels = [item.label for item in offers.items]
    assert "GiB" in labels and "s" not in labels
    edit = next(item.text_edit for item in offers.items if item.label == "GiB")
    assert isinstance(edit, lsp.TextEdit)
    editor.apply([edit])
    assert "working_set = 2 GiB\n" in editor.lines.text
    assert await editor.see(lambda shown: not shown) == ()

    hovered = await editor.text_document_hover_async(lsp.HoverParams(editor.document, editor.at("working_set")))
    assert hovered is not None and isinstance(hovered.contents, lsp.MarkupContent)
    assert "`2 GiB` (2,147,483,648 bytes)" in hovered.contents.value

    went = await editor.text_document_definition_async(
        lsp.DefinitionParams(editor.document, editor.at("dram.hit_rate"))
    )
    assert isinstance(went, lsp.Location) and went.uri == editor.uri
    assert went.range.start == editor.position(editor.lines.text.index("dram  : memory"))

    # Rename, everywhere; and not to what is taken.
    renamed = await editor.text_document_rename_async(
        lsp.RenameParams(editor.document, editor.at("disk, dram"), "nvme")
    )
    assert renamed is not None and renamed.changes is not None
    editor.apply(list(renamed.changes[editor.uri]))
    assert "disk" not in editor.lines.text and editor.lines.text.count("nvme") == 3
    with pytest.raises(JsonRpcException, match="is taken: it is a tier already"):
        await editor.text_document_rename_async(lsp.RenameParams(editor.document, editor.at("nvme, dram"), "dram"))
    with pytest.raises(JsonRpcException, match="a driver, family or type"):
        await editor.text_document_prepare_rename_async(lsp.PrepareRenameParams(editor.document, editor.at("posix")))

    formatted = await editor.text_document_formatting_async(
        lsp.DocumentFormattingParams(editor.document, lsp.FormattingOptions(2, True))
    )
    assert formatted
    editor.apply(list(formatted))
    assert "  working_set = 2 GiB\n" in editor.lines.text and "  page        = 16 tokens\n" in editor.lines.text

    # What lint says of the plan comes a moment later; a fix mends what is wrong.
    one = editor.lines.text.index("3\n", editor.lines.text.index("trials"))
    editor.replace(one, one + 1, "1")
    await editor.see(lambda shown: codes(shown) == ["KVS401"])
    second = editor.lines.text.index("1.5 s") + len("1.5 s")
    editor.type(second, "ec")
    (wrong,) = await editor.see(lambda shown: codes(shown) == ["KVS104"])
    actions = await editor.text_document_code_action_async(
        lsp.CodeActionParams(editor.document, wrong.range, lsp.CodeActionContext([wrong]))
    )
    (action,) = actions or ()
    assert isinstance(action, lsp.CodeAction) and action.title == "write `s`" and action.edit is not None
    editor.apply(list((action.edit.changes or {})[editor.uri]))
    await editor.see(lambda shown: codes(shown) == ["KVS401"])

    symbols = await editor.text_document_document_symbol_async(lsp.DocumentSymbolParams(editor.document))
    assert symbols is not None and [item.name for item in symbols][:3] == ["dir", "most", "llama"]

    editor.text_document_did_close(lsp.DidCloseTextDocumentParams(editor.document))
    await editor.see(lambda shown: not shown)
    await editor.shutdown_async(None)
    editor.exit(None)
    assert editor._server is not None and await asyncio.wait_for(editor._server.wait(), DEADLINE_S) == 0
    await editor.stop()


def test_a_session(tmp_path: Path) -> None:
    asyncio.run(session(tmp_path))
