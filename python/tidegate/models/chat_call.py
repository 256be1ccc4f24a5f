"""A call of `chat`: its tool, its arguments and its answer, the same whoever answers: a model on this box
(`tasks/chat.py`), or a service elsewhere (`pipeline/upstream/openai_shapes.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tidegate.models.task import BadInput, Json, Tool

MAX_TOKENS: Final = 256
"""Of an answer, unless the caller says otherwise."""
MESSAGES_MAX: Final = 1024
STOPS_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
SEED_MAX: Final = 2**32 - 1
ROLES: Final = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """Arguments, read."""

    messages: tuple[tuple[str, str], ...]
    """(role, content), at least one; `system` is the first of them."""
    max_tokens: int
    temperature: float
    top_p: float
    stops: tuple[str, ...]
    seed: int | None

    @classmethod
    def read(cls, arguments: Json, *, most_tokens: int, most_bytes: int) -> ChatCall:
        """`most_tokens`: of an answer; `most_bytes`: of all contents together. Raises: BadInput."""
        return cls(
            _messages(arguments, most_bytes),
            _whole(arguments, "max_tokens", 1, most_tokens) or min(MAX_TOKENS, most_tokens),
            _number(arguments, "temperature", 0.0, 0.0, 2.0),
            _number(arguments, "top_p", 1.0, 0.0, 1.0),
            _stops(arguments),
            _whole(arguments, "seed", 0, SEED_MAX),
        )


def said(content: str, model: str, stop_reason: str, tokens: tuple[int, int] | None) -> Json:
    """The answer. `stop_reason`: "end", "length" or "stop"; `tokens`: of question and answer, None: nobody counted."""
    usage = {} if tokens is None else {"usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]}}
    return {"role": "assistant", "content": content, "model": model, "stop_reason": stop_reason, **usage}


def chat_tool(description: str, most_tokens: int) -> Tool:
    """`description`: who answers."""
    return Tool(
        "chat",
        "Chat with a language model",
        f"{description} With a progress token, each progress notification carries the next piece of the answer.",
        {
            "type": "object",
            "properties": {
                "messages": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MESSAGES_MAX,
                    "description": "The conversation so far, the oldest message first",
                    "items": {
                        "type": "object",
                        "properties": {"role": {"enum": list(ROLES)}, "content": {"type": "string"}},
                        "required": ["role", "content"],
                    },
                },
                "system": {"type": "string", "description": "How to answer"},
                "max_tokens": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": most_tokens,
                    "default": min(MAX_TOKENS, most_tokens),
                    "description": "Length of the answer at most",
                },
                "temperature": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 2,
                    "default": 0,
                    "description": "0: always the likeliest word",
                },
                "top_p": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "default": 1,
                    "description": "Only among the likeliest words that are this likely together",
                },
                "stop": {
                    "type": "array",
                    "maxItems": STOPS_MAX,
                    "items": {"type": "string", "minLength": 1, "maxLength": STOP_CHARS_MAX},
                    "description": "Where to end; not part of the answer",
                },
                "seed": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": SEED_MAX,
                    "description": "The same seed gives the same answer again",
                },
            },
            "required": ["messages"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "role": {"const": "assistant"},
                "content": {"type": "string"},
                "model": {"type": "string", "description": "Which model answered"},
                "stop_reason": {
                    "enum": ["end", "length", "stop"],
                    "description": "The answer is complete, was cut at its length, or met a stop string",
                },
                "usage": {
                    "type": "object",
                    "properties": {
                        "input_tokens": {"type": "integer", "minimum": 0},
                        "output_tokens": {"type": "integer", "minimum": 0},
                    },
                    "required": ["input_tokens", "output_tokens"],
                    "additionalProperties": False,
                    "description": "Missing where a service does not count",
                },
            },
            "required": ["role", "content", "model", "stop_reason"],
            "additionalProperties": False,
        },
    )


def _messages(arguments: Json, most_bytes: int) -> tuple[tuple[str, str], ...]:
    given = arguments.get("messages")
    if not isinstance(given, list) or not 1 <= len(given) <= MESSAGES_MAX:
        raise BadInput(f"`messages` must be a list of 1 to {MESSAGES_MAX} messages")
    messages: list[tuple[str, str]] = []
    system = arguments.get("system", "")
    if not isinstance(system, str):
        raise BadInput("`system` must be a string")
    if system:
        messages.append(("system", system))
    for index, message in enumerate(given):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise BadInput(
                f'`messages[{index}]` must be {{"role": …, "content": …}} with a role of '
                f"{', '.join(f'`{known}`' for known in ROLES)} and a string as content"
            )
        messages.append((role, content))
    if system and any(role == "system" for role, _ in messages[1:]):
        raise BadInput("either `system` or a message with the role `system` says how to answer, not both")
    try:
        size = sum(len(content.encode()) for _, content in messages)
    except UnicodeEncodeError:
        raise BadInput("`messages` hold half of a surrogate pair, which is no character") from None
    if size > most_bytes:
        raise BadInput(f"`messages` are {size} bytes long; this model takes at most {most_bytes}")
    if any("\0" in content for _, content in messages):
        raise BadInput("`messages` hold the character U+0000, which no text has")
    return tuple(messages)


def _number(arguments: Json, key: str, default: float, low: float, high: float) -> float:
    value = arguments.get(key, default)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise BadInput(f"`{key}` must be a number from {low:g} to {high:g}")
    return float(value)


def _whole(arguments: Json, key: str, low: int, high: int) -> int | None:
    """None when it is absent."""
    if key not in arguments:
        return None
    value = arguments[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInput(f"`{key}` must be a whole number from {low} to {high}")
    return value


def _stops(arguments: Json) -> tuple[str, ...]:
    given = arguments.get("stop", [])
    if (
        not isinstance(given, list)
        or len(given) > STOPS_MAX
        or not all(isinstance(stop, str) and 1 <= len(stop) <= STOP_CHARS_MAX for stop in given)
    ):
        raise BadInput(f"`stop` must be a list of up to {STOPS_MAX} strings of 1 to {STOP_CHARS_MAX} characters")
    return tuple(given)
