"""When a server needs to know something before it answers: asks the person at the terminal, and tries again.

2026-07-28, basic/patterns/mrtr: an `input_required` result ends the request; it is made again with the answers and
the server's opaque state. Only elicitation is declared, and only when somebody is there to answer it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tidegate.cli import exit_codes
from tidegate.cli.arguments import BadArguments, read_value
from tidegate.cli.client import Client, Reply, RpcError
from tidegate.cli.raw_json import Raw, encode_object, members
from tidegate.cli.schema_words import choices_of, properties_of, required_of, resolve, type_words, types_of
from tidegate.cli.terminal import clean, complain, is_person, one_line, say
from tidegate.errors import MISSING_CLIENT_CAPABILITY

MAX_ROUNDS: Final = 20
"""A server that still asks after this many answers is going round in circles."""
_IDLE_ROUND_S: Final = 1.0
"""Between rounds in which the server asks for nothing but another try."""

ReadLine = Callable[[str], str]
"""Shows a prompt and returns what was typed. Raises: EOFError."""


class Unanswered(Exception):
    """The server wants to know what nobody here can say."""


def capabilities() -> dict[str, object]:
    """What to declare: questions only where they can be asked."""
    return {"elicitation": {"form": {}, "url": {}}} if can_ask() else {}


def can_ask() -> bool:
    return is_person(sys.stdin) and is_person(sys.stderr)


def ask_until_complete(
    client: Client,
    method: str,
    params: Mapping[str, object],
    *,
    name: str,
    headers: Sequence[tuple[str, str]] = (),
    progress: bool = True,
    read: ReadLine | None = None,
) -> Reply | int:
    """Makes the request, as often as the server's questions take; an exit code where they have no answer.

    `progress`: somebody wants to hear how far it is. Who asks for that gets the beginning of an answer before the end
    of it is sure. Raises: as `Client.request`.
    """
    more: dict[str, object] = {}
    try:
        for _ in range(MAX_ROUNDS):
            reply = client.request(method, {**params, **more}, name=name, headers=headers, progress=progress)
            if reply.value.get("resultType") != "input_required":
                return reply
            more = _answers(reply, name, read)
            if "inputResponses" not in more:
                _pause()
    except RpcError as error:
        if error.rpc_code != MISSING_CLIENT_CAPABILITY:
            raise
        complain(f"{error}")
        if not can_ask():
            say(f"`{name}` wants to ask somebody something; run this in a terminal.")
        return exit_codes.FAILED
    except Unanswered as unanswered:
        complain(str(unanswered))
        return exit_codes.FAILED
    complain(f"`{name}` still asks after {MAX_ROUNDS} rounds")
    return exit_codes.FAILED


def _answers(reply: Reply, name: str, read: ReadLine | None) -> dict[str, object]:
    """The members that the next try has more. Raises: Unanswered."""
    raw = members(reply.text)
    more: dict[str, object] = {}
    if "requestState" in raw:
        more["requestState"] = raw["requestState"]
    requests = reply.value.get("inputRequests")
    if not isinstance(requests, dict) or not requests:
        return more
    if read is None and not can_ask():
        wanted = "; ".join(_wish(request) for request in requests.values())
        raise Unanswered(f"`{name}` asks for input, and there is no terminal to ask on: {wanted}")
    answers = {key: _answer(name, request, read or _read_terminal) for key, request in requests.items()}
    more["inputResponses"] = encode_object(answers.items())
    return more


def _answer(name: str, request: object, read: ReadLine) -> object:
    method, params = _parts(request)
    if method != "elicitation/create":
        raise Unanswered(f"`{name}` asks for `{clean(method)}`, which the command line does not offer")
    try:
        if params.get("mode") == "url":
            return _visit(name, params, read)
        return fill_form(name, params, read)
    except EOFError:
        say("")
        return {"action": "cancel"}


def _visit(name: str, params: dict[str, Any], read: ReadLine) -> dict[str, object]:
    """Shows an address; opening it is left to the person, who alone can judge where it leads."""
    from urllib.parse import urlsplit

    url = str(params.get("url", ""))
    try:
        host = urlsplit(url).hostname or "?"
    except ValueError:
        host = "?"
    say(f"\n`{name}` asks you to open a page on {host}:\n  {_message(params)}\n  {url}")
    if "xn--" in host or not host.isascii():
        say("  Mind the host name: it has characters that may look like others.")
    said = read("Open it yourself, then press Enter; n refuses: ").strip().lower()
    return {"action": "decline" if said in ("n", "no") else "accept"}


def fill_form(name: str, params: dict[str, Any], read: ReadLine) -> dict[str, object]:
    """The result of a form elicitation: asks field by field."""
    schema = params.get("requestedSchema")
    say(f"\n`{name}` asks:\n  {_message(params)}")
    fields = properties_of(schema)
    if not fields:
        said = read("Agree? [Y/n] ").strip().lower()
        return {"action": "decline"} if said in ("n", "no") else {"action": "accept", "content": {}}
    say("  Enter takes the default or leaves a field out; `!` refuses to answer, Ctrl-D gives up.")
    required = required_of(schema)
    content: dict[str, object] = {}
    for key, part in fields.items():
        found = _fill_field(key, part, schema, key in required, read)
        if found is _REFUSED:
            return {"action": "decline"}
        if found is not _LEFT_OUT:
            content[key] = found
    return {"action": "accept", "content": encode_object(content.items())}


_REFUSED: Final = object()
_LEFT_OUT: Final = object()


def _fill_field(key: str, part: object, root: object, required: bool, read: ReadLine) -> object:
    schema = resolve(part, root)
    name = schema.get("title")
    label = one_line(name) if isinstance(name, str) and name else clean(key)
    description = schema.get("description")
    if isinstance(description, str) and description:
        say(f"  {one_line(description)}")
    several = "array" in types_of(part, root)
    offered = _offered(schema.get("items") if several else part, root)
    for number, (value, title) in enumerate(offered, 1):
        say(f"    {number}) {one_line(title)}" + (f" [{one_line(str(value))}]" if title != value else ""))
    words = "numbers, with commas" if several else "number" if offered else type_words(part, root)
    words = "yes or no" if words == "boolean" else words
    default = schema.get("default")
    shown = {True: "yes", False: "no"}[default] if isinstance(default, bool) else one_line(str(default))
    shown_default = f", default {shown}" if default is not None else ""
    optional = "" if required or default is not None else ", optional"
    while True:
        text = read(f"  {label} ({words}{shown_default}{optional}): ").strip()
        if text == "!":
            return _REFUSED
        if not text:
            if default is not None:
                return default
            if not required:
                return _LEFT_OUT
            say("  It is required.")
            continue
        try:
            if several:
                return [_pick(item.strip(), offered) for item in text.split(",") if item.strip()]
            if offered:
                return _pick(text, offered)
            return _checked(key, text, part, root)
        except BadArguments as error:
            say(f"  {error}")


def _offered(part: object, root: object) -> list[tuple[Any, str]]:
    """(value, title) of an enumeration."""
    schema = resolve(part, root)
    for key in ("oneOf", "anyOf"):
        options = schema.get(key)
        if (
            isinstance(options, list)
            and options
            and all(isinstance(each, dict) and "const" in each for each in options)
        ):
            return [(each["const"], str(each.get("title", each["const"]))) for each in options]
    names = schema.get("enumNames")
    values = choices_of(part, root)
    if isinstance(names, list) and len(names) == len(values):
        return [(value, str(name)) for value, name in zip(values, names, strict=True)]
    return [(value, str(value)) for value in values]


def _pick(text: str, offered: list[tuple[Any, str]]) -> object:
    for value, shown in offered:
        if text == str(value) or text.casefold() == shown.casefold():
            return value
    if text.isdecimal() and 1 <= int(text) <= len(offered):
        return offered[int(text) - 1][0]
    raise BadArguments(f"`{text}` is none of them; give a number from 1 to {len(offered)}")


def _checked(key: str, text: str, part: object, root: object) -> object:
    """Raises: BadArguments."""
    schema = resolve(part, root)
    if types_of(part, root) == {"boolean"}:
        lowered = text.lower()
        if lowered in ("y", "yes", "true", "1"):
            return True
        if lowered in ("n", "no", "false", "0"):
            return False
        raise BadArguments("answer yes or no")
    value = read_value(key, text, part, root)
    size: float = float(value) if isinstance(value, Raw) and not value.startswith(("[", "{")) else len(str(value))
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    if (isinstance(low, int | float) and size < low) or (isinstance(high, int | float) and size > high):
        raise BadArguments(f"expected {type_words(part, root)}")
    return value


def _wish(request: object) -> str:
    method, params = _parts(request)
    return f"{method}: {_message(params)}" if params.get("message") else method


def _parts(request: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(request, dict):
        return "?", {}
    params = request.get("params")
    return str(request.get("method", "?")), params if isinstance(params, dict) else {}


def _message(params: dict[str, Any]) -> str:
    return clean(str(params.get("message", ""))).strip().replace("\n", "\n  ")


def _read_terminal(prompt: str) -> str:
    sys.stdout.flush()
    sys.stderr.write(clean(prompt))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _pause() -> None:
    import time

    time.sleep(_IDLE_ROUND_S)
