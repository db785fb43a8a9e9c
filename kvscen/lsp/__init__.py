"""The language server: what an editor asks about a scenario while it is typed.

Every question is a function of an Analysis (kvscen.lsp.analysis) and an offset, answered by values of this package;
kvscen.lsp.server alone knows the protocol, and needs the extra `lsp`."""
