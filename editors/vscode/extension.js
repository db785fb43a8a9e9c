// Starts `kvscen lsp` and hands it to the editor.
const { window, workspace } = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

async function activate() {
  const [command, ...args] = workspace.getConfiguration("kvscen").get("command");
  client = new LanguageClient(
    "kvscen",
    "kvscen",
    { command, args, transport: TransportKind.stdio },
    {
      documentSelector: [{ language: "kvs" }],
      synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.kvs") },
    },
  );
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(
      `kvscen: \`${[command, ...args].join(" ")}\` could not be started (${error.message}). ` +
        "Install it with: pip install 'kvscen[lsp]', or name its place in the setting kvscen.command.",
    );
  }
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
