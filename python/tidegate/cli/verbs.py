"""The table of verbs: name, module, one line for `tidegate --help`. A new verb is a new line here.

The module is imported only when its verb is used. It offers `add_arguments(parser: ArgumentParser) -> None`, which
also sets `parser.description` and `parser.epilog`, and `run(args: Namespace) -> int`, which returns an exit code.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    name: str
    module: str
    help: str


VERBS: Final = (
    Verb("serve", "tidegate.cli.serve", "run the gateway"),
    Verb("connect", "tidegate.cli.connect", "speak MCP on stdin and stdout: what a host application launches"),
    Verb("tools", "tidegate.cli.tools", "list the tools behind the gateway"),
    Verb("call", "tidegate.cli.call", "call one tool: call NAME key=value ..."),
    Verb("resources", "tidegate.cli.resources", "list resources, or read one"),
    Verb("prompts", "tidegate.cli.prompts", "list prompts, or get one"),
    Verb("status", "tidegate.cli.status", "what the running gateway is doing"),
    Verb("doctor", "tidegate.cli.doctor", "say in words what is wrong, and what to do"),
    Verb("logs", "tidegate.cli.logs", "the last log lines of the gateway and its servers, and new ones as they come"),
    Verb("top", "tidegate.cli.top", "watch it live: calls, errors, latencies, processes, memory"),
    Verb("reload", "tidegate.cli.reload", "have the running gateway take up its changed configuration"),
    Verb("check", "tidegate.cli.check", "validate configuration files and say what they would do"),
    Verb("schema", "tidegate.cli.schema", "print the JSON Schema of tidegate.toml"),
    Verb("import", "tidegate.cli.import_servers", "turn the mcpServers JSON of a desktop host into tidegate.toml"),
    Verb("install", "tidegate.cli.install", "have a host application launch `tidegate connect`"),
    Verb("token", "tidegate.cli.token", "make and list client tokens"),
    Verb("plugin", "tidegate.cli.plugin", "add, list, inspect and make WASM plugins"),
    Verb("model", "tidegate.cli.model", "add, list, inspect and describe local models"),
    Verb("completion", "tidegate.cli.completion", "print what a shell needs to complete this command line"),
    Verb("man", "tidegate.cli.man", "print the manual page"),
)
