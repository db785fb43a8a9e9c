"""The protocol: an editor's messages to questions, and answers to messages. Needs pygls (the extra `lsp`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

import kvscen
from kvscen.language.diagnose import Severity
from kvscen.lsp.analysis import Analysis, Place
from kvscen.lsp.complete import Completion, complete
from kvscen.lsp.definition import defined, definition, references
from kvscen.lsp.hover import hover
from kvscen.lsp.layout import layout
from kvscen.lsp.looker import Died, Looker, TookTooLong
from kvscen.lsp.names import occurrence_at
from kvscen.lsp.open import Open, Texts
from kvscen.lsp.outline import outline
from kvscen.lsp.rename import Edit, Refused, renamable, rename
from kvscen.lsp.shown import Shown
from kvscen.lsp.text import Lines, Position

#: After a keystroke without another one, problems are shown that the text has by itself, and then what its plan has.
CHECK_AFTER_S = 0.1
LOOK_AFTER_S = 0.4

_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.INFO: lsp.DiagnosticSeverity.Information,
}
_KINDS = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "setting": lsp.CompletionItemKind.Property,
    "block": lsp.CompletionItemKind.Class,
    "let": lsp.CompletionItemKind.Variable,
    "base": lsp.CompletionItemKind.Class,
    "word": lsp.CompletionItemKind.EnumMember,
    "unit": lsp.CompletionItemKind.Unit,
    "function": lsp.CompletionItemKind.Function,
    "measure": lsp.CompletionItemKind.Field,
    "file": lsp.CompletionItemKind.File,
}
_SYMBOLS = {
    "model": lsp.SymbolKind.Struct,
    "tier": lsp.SymbolKind.Module,
    "users": lsp.SymbolKind.Interface,
    "pattern": lsp.SymbolKind.Class,
    "sweep": lsp.SymbolKind.Event,
    "let": lsp.SymbolKind.Variable,
}


class Server(LanguageServer):
    """One editor's session."""

    def __init__(self, looker: Looker | None = None) -> None:
        super().__init__("kvscen", kvscen.__version__)
        self.texts = Texts()
        self.looker = looker or Looker()
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: The texts that are shown with an error: they are shown again as soon as it is gone.
        self._wrong: set[str] = set()
        self._uris: dict[str, str] = {}

    # ---- what changes

    def opened(self, uri: str, text: str, version: int) -> None:
        path = path_of(uri)
        self._uris[path] = uri
        self._schedule(self.texts.open(path, text, version), at_once=True)

    def changed(self, params: lsp.DidChangeTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        if self.texts.get(path) is None:
            return
        changes = [
            (_between(change.range) if isinstance(change, lsp.TextDocumentContentChangePartial) else None, change.text)
            for change in params.content_changes
        ]
        item = self.texts.change(path, changes, params.text_document.version)
        self._schedule(item)
        self._schedule_users(path)

    def closed(self, uri: str) -> None:
        path = path_of(uri)
        self._cancel(path)
        self.texts.close(path)
        self._wrong.discard(path)
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))
        self._schedule_users(path)

    def files_changed(self) -> None:
        self.texts.touched()
        for item in self.texts:
            self._schedule(item)

    def _schedule_users(self, path: str) -> None:
        for other in self.texts:
            if other.path != path and path in self.texts.analysis(other).paths:
                self._schedule(other)

    def _schedule(self, item: Open, at_once: bool = False) -> None:
        self._cancel(item.path)
        loop = asyncio.get_running_loop()
        self._timers[item.path] = [
            loop.call_later(0 if at_once else CHECK_AFTER_S, self._check, item),
            loop.call_later(0 if at_once else LOOK_AFTER_S, self._look, item),
        ]

    def _cancel(self, path: str) -> None:
        for timer in self._timers.pop(path, ()):
            timer.cancel()

    # ---- what is wrong

    def _check(self, item: Open) -> None:
        """Errors are shown at once, and that there are none any more. Else what was said before stays until the closer
        look: warnings would only flicker."""
        found = self.texts.shown(item)
        if any(each.severity is Severity.ERROR for each in found) or item.path in self._wrong:
            self._publish(item, found)

    def _look(self, item: Open) -> None:
        task = asyncio.get_running_loop().create_task(self._look_closer(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_closer(self, item: Open) -> None:
        revision = self.texts.revision
        try:
            looked = await self.looker.look(self.texts.job(item))
        except TookTooLong:
            self._log(f"{item.path}: its plan was not looked at, for that takes longer than {self.looker.limit_s:g} s")
            looked = None
        except Died:
            self._log(f"{item.path}: its plan was not looked at: the process ended")
            looked = None
        if revision != self.texts.revision or self.texts.get(item.path) is not item:
            return
        if looked is not None:
            item.looked, item.looked_at = looked, revision
        self._publish(item, self.texts.shown(item))

    def _publish(self, item: Open, found: tuple[Shown, ...]) -> None:
        if any(each.severity is Severity.ERROR for each in found):
            self._wrong.add(item.path)
        else:
            self._wrong.discard(item.path)
        shown = [self._diagnostic(item.lines, each) for each in found]
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(self._uri(item.path), shown, version=item.version)
        )

    def _diagnostic(self, lines: Lines, item: Shown) -> lsp.Diagnostic:
        related = [
            lsp.DiagnosticRelatedInformation(self.location(other.place), other.message) for other in item.related
        ]
        return lsp.Diagnostic(
            _range(lines, item.start, item.end),
            item.message,
            severity=_SEVERITIES[item.severity],
            code=item.code,
            source="kvscen",
            related_information=related or None,
        )

    def _log(self, text: str) -> None:
        self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Warning, text))

    # ---- for the questions

    def at(self, uri: str, position: lsp.Position) -> tuple[Open, Analysis, int] | None:
        """The text, what is known about it, and the offset; None where it is not open."""
        item = self.texts.get(path_of(uri))
        if item is None:
            return None
        return item, self.texts.analysis(item), item.lines.offset(Position(position.line, position.character))

    def location(self, place: Place) -> lsp.Location:
        return lsp.Location(self._uri(place.path), _range(Lines(place.text), place.start, place.end))

    def edits(self, edits: Iterable[Edit]) -> lsp.WorkspaceEdit:
        changes: dict[str, list[lsp.TextEdit]] = {}
        for edit in edits:
            changes.setdefault(self._uri(edit.path), []).append(_text_edit(edit))
        return lsp.WorkspaceEdit(changes=dict(changes))

    def folders(self) -> list[str]:
        found = [to_fs_path(folder.uri) for folder in self.workspace.folders.values()]
        return [folder for folder in (found or [self.workspace.root_path]) if folder]

    def _uri(self, path: str) -> str:
        # As the editor spells it, where it has told.
        return self._uris.get(path) or from_fs_path(path) or path


def path_of(uri: str) -> str:
    """The absolute path of a text. One that is in no file yet gets a name in the working directory."""
    path = to_fs_path(uri) if urlsplit(uri).scheme in ("file", "") else None
    return os.path.abspath(path or unquote(urlsplit(uri).path).rpartition("/")[2] or "untitled.kvs")  # noqa: PTH100


def _between(between: lsp.Range) -> tuple[Position, Position]:
    return (
        Position(between.start.line, between.start.character),
        Position(between.end.line, between.end.character),
    )


def _range(lines: Lines, start: int, end: int) -> lsp.Range:
    first, last = lines.position(start), lines.position(end)
    return lsp.Range(lsp.Position(first.line, first.character), lsp.Position(last.line, last.character))


def _text_edit(edit: Edit) -> lsp.TextEdit:
    return lsp.TextEdit(_range(Lines(edit.text), edit.start, edit.end), edit.replacement)


def _markdown(text: str) -> lsp.MarkupContent:
    return lsp.MarkupContent(lsp.MarkupKind.Markdown, text)


def _completion(item: Completion, between: lsp.Range, snippets: bool, order: int) -> lsp.CompletionItem:
    snippet = snippets and item.insert is not None
    text = item.insert if snippet and item.insert is not None else item.label
    return lsp.CompletionItem(
        item.label,
        kind=_KINDS[item.kind],
        detail=item.detail or None,
        documentation=_markdown(item.about) if item.about else None,
        # As the declarations have them, which is by importance.
        sort_text=f"{order:04}",
        filter_text=item.label,
        insert_text_format=lsp.InsertTextFormat.Snippet if snippet else lsp.InsertTextFormat.PlainText,
        text_edit=lsp.TextEdit(between, text),
    )


def make_server(looker: Looker | None = None) -> Server:
    """A server with all its features, not started."""
    server = Server(looker)

    @server.feature(lsp.INITIALIZED)
    def initialized(ls: Server, params: lsp.InitializedParams) -> None:
        asyncio.get_running_loop().set_exception_handler(_unless_exit)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
        ls.opened(params.text_document.uri, params.text_document.text, params.text_document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
        ls.changed(params)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
        ls.closed(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def did_save(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
        ls.files_changed()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
        ls.files_changed()

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", " ", "[", "(", '"', "/"])
    )
    def completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        item, analysis, offset = found
        completions = complete(analysis, offset)
        between = _range(item.lines, completions.start, offset)
        snippets = _snippets(ls)
        items = [_completion(each, between, snippets, i) for i, each in enumerate(completions.items)]
        return lsp.CompletionList(is_incomplete=False, items=items)

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def on_hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        item, analysis, offset = found
        looked = ls.texts.looked(item)
        about = hover(analysis, offset, looked.figures if looked is not None else None)
        if about is None:
            return None
        return lsp.Hover(_markdown(about.about), range=_range(item.lines, about.start, about.end))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def on_definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
        found = ls.at(params.text_document.uri, params.position)
        place = definition(*found[1:]) if found is not None else None
        return ls.location(place) if place is not None else None

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def on_references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location] | None:
        found = ls.at(params.text_document.uri, params.position)
        item = occurrence_at(*found[1:]) if found is not None else None
        if found is None or item is None or item.kind != "name":
            return None
        home = None if params.context.include_declaration else defined(found[1], item.name)
        return [ls.location(place) for place in references(found[1], item.name) if place != home]

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepare_rename(ls: Server, params: lsp.PrepareRenameParams) -> lsp.PrepareRenamePlaceholder | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        try:
            name, start, end = renamable(*found[1:])
        except Refused as refused:
            raise _failed(refused) from None
        return lsp.PrepareRenamePlaceholder(_range(found[0].lines, start, end), name)

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def on_rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        item, analysis, offset = found
        try:
            name, _, _ = renamable(analysis, offset)
            users = [user for user in ls.texts.users(name, ls.folders()) if user.path != item.path]
            return ls.edits(rename(analysis, offset, params.new_name, users, ls.texts.others(item.path)))
        except Refused as refused:
            raise _failed(refused) from None

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        found = ls.at(params.text_document.uri, lsp.Position(0, 0))
        edit = layout(found[1]) if found is not None else None
        return [_text_edit(edit)] if edit is not None else None

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    )
    def code_action(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction] | None:
        found = ls.at(params.text_document.uri, params.range.start)
        if found is None:
            return None
        item, _, start = found
        end = item.lines.offset(Position(params.range.end.line, params.range.end.character))
        return [
            lsp.CodeAction(
                each.help or f"write `{each.edit.replacement}`",
                kind=lsp.CodeActionKind.QuickFix,
                diagnostics=[ls._diagnostic(item.lines, each)],
                is_preferred=True,
                edit=ls.edits([each.edit]),
            )
            for each in ls.texts.shown(item)
            if each.edit is not None and each.start <= end and start <= each.end
        ]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol] | None:
        found = ls.at(params.text_document.uri, lsp.Position(0, 0))
        if found is None:
            return None
        item, analysis, _ = found
        return [
            lsp.DocumentSymbol(
                each.name,
                _SYMBOLS[each.kind],
                _range(item.lines, each.start, each.end),
                _range(item.lines, each.name_start, each.name_end),
                detail=each.detail,
            )
            for each in outline(analysis)
        ]

    @server.feature(lsp.SHUTDOWN)
    async def shutdown(ls: Server, params: Any) -> None:
        await ls.looker.close()

    return server


def _unless_exit(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Over TCP pygls ends the program from inside of a task; that is no error to be shown."""
    if not isinstance(context.get("exception"), SystemExit):
        loop.default_exception_handler(context)


def _snippets(ls: Server) -> bool:
    document = ls.client_capabilities.text_document
    completion = document.completion if document is not None else None
    item = completion.completion_item if completion is not None else None
    return bool(item is not None and item.snippet_support)


def _failed(refused: Refused) -> JsonRpcException:
    return JsonRpcException(str(refused), int(lsp.LSPErrorCodes.RequestFailed.value))
