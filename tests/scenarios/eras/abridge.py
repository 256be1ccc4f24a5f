"""A message in a few short lines: what it is to people, how its era writes it, and its members with the noise left out.

Text is made of spans, `(text, style)`; what a style looks like is the business of the terminal and of the picture.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any, Literal, TypeAlias

from conversation import Event, Kind, questions_in
from transcript import Message

Style: TypeAlias = Literal[
    "plain", "faint", "strong", "caption", "bar", "good", "bad",
    "request", "notice", "question", "answer", "result", "error",
]  # fmt: skip
Span: TypeAlias = tuple[str, Style]
Line: TypeAlias = list[Span]

NOISE = frozenset(("clientInfo", "serverInfo", "description", "inputSchema", "ttlMs", "cacheScope", "maxTokens"))
NOISE |= {"isError", "model", "stopReason"}
"""Members that are there, and of which only `…` is shown."""
BRIDGED = ("resultType", "inputRequests", "inputResponses", "requestState")
"""Members that are the questions and answers of 2026-07-28; in the colour of their message."""
PREFIX = "io.modelcontextprotocol/"
OPAQUE = 12, 5
"""Characters of a `requestState` that are shown, of its beginning and its end."""
TEXT = 90
"""Characters of any other string."""
LINES = 6
"""A member takes at most so many."""
INDENT = "  "
GLUE = "\N{NO-BREAK SPACE}"
NAME = re.compile(r"(?<!^)(\b\w+:) ")
NAME_OF_PLAIN = re.compile(r"(\b\w+:) (?![\[{]\S*\w)")


def abridged(event: Event, before: Event | None, width: int) -> list[Line]:
    """At most `width` characters a line. What `before`, the last call at this end, had as well is only named."""
    if event.introduces:
        kind, about = _head(event)
        method = [about, ("  ", "plain")] if "method" in event.message else []
        return [_fit([kind, *method, (_introduction(event.message), "plain")], width)]
    lines = _head_lines(event, width)
    members = _members(event.message)
    earlier = _members(before.message) if before is not None and event.kind is Kind.ANSWER else {}
    same = [key for key, value in members.items() if key in earlier and earlier[key] == value]
    for key, value in members.items():
        if key not in same:
            strong = key in BRIDGED or event.kind is Kind.ERROR
            lines += _member(key, value, width, event.kind.value if strong else "faint")
    if same:
        lines.append([(f"{INDENT}{', '.join(same)}: as before", "faint")])
    if not NOISE.isdisjoint(_body(event.message)):
        if sum(len(text) for text, _ in lines[-1]) + 2 <= width:
            lines[-1].append((" …", "faint"))
        else:
            lines.append([(f"{INDENT}…", "faint")])
    return lines


def _body(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = message.get("params") or message.get("result") or {}
    return found


def _head(event: Event) -> Line:
    about = event.method
    if event.kind in (Kind.QUESTION, Kind.ANSWER):
        about = ", ".join(questions_in(event.message, event.method))
    return [(f"{event.kind.value.upper():<9}", event.kind.value), (about, "strong")]


def _head_lines(event: Event, width: int) -> list[Line]:
    """With the words of its era, beside or below."""
    head = _head(event)
    if event.kind is Kind.NOTICE:
        return [_fit(head, width)]
    way = "by " if event.kind in (Kind.QUESTION, Kind.ANSWER) else ""
    own_id = json.dumps(event.message["id"]).strip('"')
    how = f"{way}{'request' if 'method' in event.message else 'result'} {own_id}"
    if sum(len(text) for text, _ in head) + 2 + len(how) <= width:
        return [[*head, ("  " + how, "faint")]]
    return [_fit(head, width), _fit([(" " * 9 + how, "faint")], width)]


def _introduction(message: Message) -> str:
    """What matters of a message with which gateway and server get to know each other."""
    if "error" in message:
        return f"{message['error']['code']} {message['error']['message']}"
    found = _body(message)
    facts: list[str] = [found[key] for key in ("protocolVersion",) if key in found]
    facts += found.get("supportedVersions", [])
    facts += [tool["name"] for tool in found.get("tools", [])]
    if "method" in message and found.get("capabilities"):
        facts += sorted(found["capabilities"])
    return ", ".join(facts)


def _members(message: Message) -> dict[str, Any]:
    """Those people want to see. `_meta` is about the message, and stands last."""
    if "error" in message:
        return {"error": message["error"]}
    found = _body(message)
    shown = {key: value for key, value in found.items() if key not in NOISE and key != "_meta"}
    return {**shown, "_meta": found["_meta"]} if found.get("_meta") else shown


def _member(key: str, value: Any, width: int, style: Style) -> list[Line]:
    text = f"{key}: {_short(value, key)}"
    # A value stays on the line of its name; where that makes pieces too long, one that holds others need not.
    pieces = NAME.sub(rf"\1{GLUE}", text)
    if max(map(len, pieces.split(" "))) > width - 2 * len(INDENT):
        pieces = NAME_OF_PLAIN.sub(rf"\1{GLUE}", text)
    first, *more = textwrap.wrap(
        pieces,
        width - len(INDENT),
        subsequent_indent=INDENT,
        break_on_hyphens=False,
        max_lines=LINES,
        placeholder=" …",
    )
    first, *more = (line.replace(GLUE, " ") for line in (first, *more))
    lines: list[Line] = [[(f"{INDENT}{key}:", style), (first.removeprefix(f"{key}:"), "plain")]]
    return lines + [[(INDENT + line, "plain")] for line in more]


def _short(value: Any, key: str = "") -> str:
    """JSON without quotes around names, without noise, with long strings cut."""
    if isinstance(value, str):
        head, tail = OPAQUE if key == "requestState" else (TEXT, 0)
        shown = value if len(value) <= head + tail else f"{value[:head]}…{value[len(value) - tail :]}"
        return json.dumps(shown, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(_short(each) for each in value)}]"
    if isinstance(value, dict):
        names = {name: name.removeprefix(PREFIX) for name in value}
        parts = [f"{name}: {_short(value[full], name)}" for full, name in names.items() if name not in NOISE]
        return f"{{{', '.join(parts if len(parts) == len(value) else [*parts, '…'])}}}"
    return json.dumps(value)


def _fit(line: Line, width: int) -> Line:
    """Cut at the end."""
    fitting: Line = []
    for text, style in line:
        left = width - sum(len(each) for each, _ in fitting)
        if len(text) > left:
            return [*fitting, (text[: left - 1] + "…", style)] if left else fitting
        fitting.append((text, style))
    return fitting
