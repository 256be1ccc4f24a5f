"""What a plugin says of itself: name, tools, what it would use and need. TOML, inside its file or beside it.

Written by whoever made the plugin, so nothing here is trusted: size, depth, names and counts are bounded, and what it
asks for is not what it gets (`granting.py`). Plain code, because the daemon reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.config.guest_path import MAX_CHARS, is_guest_path
from tidegate.config.snapshot import Bounds
from tidegate.config.toml_text import toml_value
from tidegate.config.untrusted_toml import NotAcceptable, check_values, read_untrusted
from tidegate.sandbox.sections import MAX_WASM_BYTES, NotWasm, custom_section, with_custom_section

SECTION: Final = "tidegate:manifest"

MAX_MANIFEST_BYTES: Final = 256 * 1024
MAX_TOOLS: Final = 256
MAX_ITEMS: Final = 64
"""Hosts, patterns or folders that are asked for."""

_MAX_TEXT: Final = 16 * 1024
"""Characters of a description; models read all of them at every turn."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST: Final = re.compile(r"\*|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?|[A-Za-z0-9._-]{1,253}(?::\d{1,5})?")

World = Literal["tool", "filter"]
Folders = tuple[tuple[str, Literal["read", "write"]], ...]


class BrokenManifest(ValueError):
    """It cannot be used. The message names the key and what was expected, for whoever made the plugin."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the plugin serves."""

    name: str
    json: str
    """As MCP has it: an object with `name`, `inputSchema` and what else there is."""


@dataclass(frozen=True, slots=True)
class Asks:
    """What it would use, were it granted."""

    folders: Folders = ()
    http: tuple[str, ...] = ()
    """Hosts; `*` for such as the operator names."""
    store_bytes: int = 0
    log: bool = False
    time: bool = False
    random: bool = False
    call: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a plugin says of itself."""

    name: str
    version: str
    world: World
    description: str = ""
    inspects: tuple[str, ...] = ()
    """Of a filter: some of `request`, `result` and `end`."""
    tools: tuple[Tool, ...] = ()
    """Of a component, these may be known only once it was asked."""
    asks: Asks = field(default_factory=Asks)
    limits: Bounds = field(default_factory=Bounds)
    """What it needs; 0 where it does not say."""


def manifest_of(wasm: bytes, beside: Path | None = None) -> Manifest:
    """The manifest inside a binary or, where there is none, in `NAME.toml` beside `NAME.wasm`.

    Raises: NotWasm, BrokenManifest.
    """
    return parse_manifest(manifest_text(wasm, beside))


def manifest_text(wasm: bytes, beside: Path | None = None) -> bytes:
    """As it is written. `beside` is the path of the `.wasm` file. Raises: NotWasm, BrokenManifest."""
    inside = custom_section(wasm, SECTION)
    if inside is not None:
        return inside
    path = beside.with_suffix(".toml") if beside is not None else None
    if path is not None and path.is_file():
        try:
            with path.open("rb") as stream:
                return stream.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise BrokenManifest(f"`{path}` cannot be read: {error.strerror}") from error
    place = f", and there is no `{path}` beside it" if path is not None else ""
    raise BrokenManifest(f"there is no manifest in it (a custom section named `{SECTION}`){place}")


def read_wasm(path: Path) -> bytes:
    """A whole file. Raises: NotWasm when it is too large, OSError."""
    with path.open("rb") as stream:
        wasm = stream.read(MAX_WASM_BYTES + 1)
    if len(wasm) > MAX_WASM_BYTES:
        raise NotWasm(f"has more than {MAX_WASM_BYTES} bytes")
    return wasm


def embed(wasm: bytes, manifest: bytes) -> bytes:
    """The binary with this manifest in it, in place of any it had. Raises: NotWasm, BrokenManifest."""
    parse_manifest(manifest)
    return with_custom_section(wasm, SECTION, manifest)


def parse_manifest(text: bytes) -> Manifest:
    """Raises: BrokenManifest, whatever the bytes are."""
    try:
        tree = read_untrusted(text, MAX_MANIFEST_BYTES)
    except NotAcceptable as error:
        raise BrokenManifest(str(error)) from error
    _known(tree, "", {"name", "version", "description", "world", "inspects", "tools", "asks", "limits"})
    world = _choice(tree, "world", ("tool", "filter"))
    if (inspects := tree.get("inspects")) is not None or world == "filter":
        if world != "filter":
            raise BrokenManifest('`inspects`: expected only beside `world = "filter"`')
        inspects = _strings(inspects, "inspects")
        if not inspects or len(set(inspects)) < len(inspects) or not set(inspects) <= {"request", "result", "end"}:
            raise BrokenManifest('`inspects`: expected some of "request", "result" and "end" in a list')
    tools = tree.get("tools")
    if world == "filter" and tools is not None:
        raise BrokenManifest("`tools`: expected none; a filter serves no tools")
    return Manifest(
        name=_matching(tree, "name", _NAME, "at most 32 lower-case letters, digits and `-`"),
        version=_matching(tree, "version", re.compile(r"[0-9A-Za-z.+-]{1,64}"), "a version such as `1.0.0`"),
        description=_text(tree, "description", ""),
        world="filter" if world == "filter" else "tool",
        inspects=tuple(inspects or ()),
        tools=_declared(tools) if tools is not None else (),
        asks=_asks(tree.get("asks", {})),
        limits=_limits(tree.get("limits", {})),
    )


def listed_tools(text: str) -> tuple[Tool, ...]:
    """The tools of a component as its `list-tools` told them: a JSON array. Raises: BrokenManifest."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise BrokenManifest(f"`list-tools`: expected at most {MAX_MANIFEST_BYTES} bytes")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise BrokenManifest("`list-tools`: expected a JSON array") from None
    if not isinstance(listed, list) or not listed:
        raise BrokenManifest("`list-tools`: expected a JSON array of at least one tool")
    return _tools("list-tools", [_as_mcp(f"list-tools[{at}]", tool) for at, tool in enumerate(listed[: MAX_TOOLS + 1])])


def with_tools(text: bytes, tools: tuple[Tool, ...]) -> bytes:
    """A manifest that names no tools, with these. Raises: BrokenManifest."""
    lines = [text.decode().rstrip("\n"), ""]
    for tool in tools:
        values = json.loads(tool.json)
        lines += ["[[tools]]", f"name = {toml_value(tool.name)}"]
        lines += [f"{key} = {toml_value(values[key])}" for key in ("title", "description") if key in values]
        for key, ours in (("inputSchema", "input_schema"), ("outputSchema", "output_schema")):
            if key in values:
                lines.append(f"{ours} = {toml_value(json.dumps(values[key], ensure_ascii=False))}")
        if "annotations" in values:
            lines.append(f"annotations = {toml_value(json.dumps(values['annotations'], ensure_ascii=False))}")
        lines.append("")
    whole = "\n".join(lines).encode()
    if parse_manifest(whole).tools != tools:
        raise BrokenManifest("the tools cannot be written into the manifest")
    return whole


def _declared(value: object) -> tuple[Tool, ...]:
    """`[[tools]]`, in our spelling."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise BrokenManifest("`tools`: expected `[[tools]]` tables")
    tools = []
    for at, table in enumerate(value[: MAX_TOOLS + 1]):
        place = f"tools[{at}]"
        known = {"name", "title", "description", "input_schema", "output_schema", "annotations"}
        _known(table, f"{place}.", known)
        tool: dict[str, Any] = {"name": table.get("name")}
        for key in ("title", "description"):
            if key in table:
                tool[key] = table[key]
        if "input_schema" not in table:
            raise BrokenManifest(f"`{place}.input_schema`: expected it to be given")
        for key, theirs in (
            ("input_schema", "inputSchema"),
            ("output_schema", "outputSchema"),
            ("annotations", "annotations"),
        ):
            if key in table:
                tool[theirs] = _table_or_json(f"{place}.{key}", table[key])
        tools.append(_as_mcp(place, tool))
    return _tools("tools", tools)


def _tools(place: str, tools: list[Tool]) -> tuple[Tool, ...]:
    if len(tools) > MAX_TOOLS:
        raise BrokenManifest(f"`{place}`: expected at most {MAX_TOOLS} tools")
    if len({tool.name for tool in tools}) < len(tools):
        raise BrokenManifest(f"`{place}`: expected each name once")
    return tuple(tools)


def _as_mcp(place: str, tool: object) -> Tool:
    """One tool with the members that are taken over; what else a guest says of it is dropped."""
    if not isinstance(tool, dict):
        raise BrokenManifest(f"`{place}`: expected an object")
    try:
        check_values(tool)
    except NotAcceptable as error:
        raise BrokenManifest(str(error)) from error
    name = tool.get("name")
    if not isinstance(name, str) or _TOOL_NAME.fullmatch(name) is None:
        raise BrokenManifest(f"`{place}.name`: expected at most 64 letters, digits, `_`, `-` and `.`")
    found: dict[str, Any] = {"name": name}
    for key in ("title", "description"):
        if tool.get(key) is not None:
            found[key] = _text(tool, key, "", f"{place}.")
    found["inputSchema"] = _schema(f"{place}.inputSchema", tool.get("inputSchema"))
    if tool.get("outputSchema") is not None:
        found["outputSchema"] = _schema(f"{place}.outputSchema", tool["outputSchema"])
    if tool.get("annotations") is not None:
        if not isinstance(tool["annotations"], dict):
            raise BrokenManifest(f"`{place}.annotations`: expected an object")
        found["annotations"] = tool["annotations"]
    return Tool(name, json.dumps(found, ensure_ascii=False, separators=(",", ":")))


def _schema(place: str, schema: object) -> dict[str, Any]:
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise BrokenManifest(f"`{place}`: expected a JSON Schema of type `object`")
    return {"type": "object", **schema}


def _table_or_json(place: str, value: object) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BrokenManifest(f"`{place}`: expected a table, or JSON in a string") from None
    return value


def _asks(value: object) -> Asks:
    table = _table("asks", value)
    _known(table, "asks.", {"folders", "http", "store_bytes", "log", "time", "random", "call"})
    folders = []
    for path, how in _table("asks.folders", table.get("folders", {})).items():
        if not is_guest_path(path):
            raise BrokenManifest(
                f"`asks.folders`: expected absolute paths of at most {MAX_CHARS} characters, such as `/data`"
            )
        if how not in ("read", "write"):
            raise BrokenManifest(f'`asks.folders.{path}`: expected "read" or "write"')
        folders.append((path, how))
    if len(folders) > MAX_ITEMS:
        raise BrokenManifest(f"`asks.folders`: expected at most {MAX_ITEMS}")
    http = _strings(table.get("http", []), "asks.http")
    if not all(_HOST.fullmatch(host) for host in http):
        raise BrokenManifest("`asks.http`: expected host names, with `:port` or without, or `*`")
    return Asks(
        folders=tuple(folders),
        http=tuple(host.lower() for host in http),
        store_bytes=_number(table, "store_bytes", "asks."),
        log=_switch(table, "log"),
        time=_switch(table, "time"),
        random=_switch(table, "random"),
        call=tuple(_strings(table.get("call", []), "asks.call")),
    )


def _limits(value: object) -> Bounds:
    table = _table("limits", value)
    keys = ("memory_bytes", "deadline_ms", "output_bytes", "concurrency")
    _known(table, "limits.", set(keys))
    return replace(Bounds(), **{key: _number(table, key, "limits.") for key in keys})


def _known(table: Mapping[str, object], place: str, known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise BrokenManifest(f"`{place}{key[:64]}`: unknown key; expected {', '.join(sorted(known))}")


def _table(place: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BrokenManifest(f"`{place}`: expected a table")
    return value


def _matching(table: Mapping[str, object], key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise BrokenManifest(f"`{key}`: expected {expected}")
    return value


def _choice(table: Mapping[str, object], key: str, choices: tuple[str, ...]) -> str:
    value = table.get(key)
    if not isinstance(value, str) or value not in choices:
        raise BrokenManifest(f"`{key}`: expected {' or '.join(json.dumps(choice) for choice in choices)}")
    return value


def _text(table: Mapping[str, object], key: str, default: str, place: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise BrokenManifest(f"`{place}{key}`: expected text of at most {_MAX_TEXT} characters")
    return value


def _strings(value: object, place: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise BrokenManifest(f"`{place}`: expected a list of at most {MAX_ITEMS} strings")
    if not all(isinstance(item, str) and 0 < len(item) <= 256 for item in value):
        raise BrokenManifest(f"`{place}`: expected strings of 1 to 256 characters")
    return value


def _number(table: Mapping[str, object], key: str, place: str) -> int:
    value = table.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 40:
        raise BrokenManifest(f"`{place}{key}`: expected a whole number that is not negative")
    return value


def _switch(table: Mapping[str, object], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BrokenManifest(f"`asks.{key}`: expected `true` or `false`")
    return value
