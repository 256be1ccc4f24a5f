"""`sampling/createMessage` as a call of a tool like `chat`, and what such a tool says as the answer to it.

The tool: {messages: [{role, content}], system?, max_tokens?, temperature?, stop?} -> {content, model, stop_reason}.
Only text goes through it. What a server may leave to whoever answers (`modelPreferences`, `includeContext`,
`metadata`) is left out. Sources: `CreateMessageRequest` and `CreateMessageResult` of the five `schema.ts`.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import QuestionRefused, QuestionUnanswered
from tidegate.pipeline.json_text import json_bytes, json_value

METHOD: Final = "sampling/createMessage"
_STOPS: Final = {"end": "endTurn", "length": "maxTokens", "stop": "stopSequence"}
_MOST_TOKENS: Final = 1 << 31
_SAID_CHARS: Final = 300
"""Of what a tool says when it fails."""


def most_tokens(entry: bytes | None) -> int:
    """How long an answer the tool may be asked for, by its entry in the catalogue (raw)."""
    found: object = json_value(entry) if entry is not None else None
    for name in ("inputSchema", "properties", "max_tokens", "maximum"):
        found = found.get(name) if isinstance(found, dict) else None
    return int(found) if isinstance(found, int | float) and 1 <= found < _MOST_TOKENS else _MOST_TOKENS


def chat_arguments(params: bytes, most: int = _MOST_TOKENS) -> bytes:
    """The tool's arguments, for the params of a question. Both raw JSON objects. `most`: tokens of an answer; who asks
    for more gets less, as servers must expect. Raises: QuestionRefused.
    """
    asked = json_value(params)
    if asked.get("tools") or asked.get("toolChoice"):
        raise QuestionRefused("the model that answers here uses no tools: ask without `tools` and `toolChoice`")
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise QuestionRefused("`messages` must be an array of messages")
    arguments: dict[str, object] = {"messages": [_message(message) for message in messages]}
    system = asked.get("systemPrompt")
    if isinstance(system, str) and system:
        arguments["system"] = system
    wanted = asked.get("maxTokens")
    if isinstance(wanted, int | float) and 1 <= wanted < _MOST_TOKENS:
        arguments["max_tokens"] = min(int(wanted), most)
    temperature = asked.get("temperature")
    if isinstance(temperature, int | float):
        arguments["temperature"] = temperature
    stops = asked.get("stopSequences")
    if isinstance(stops, list) and stops:
        arguments["stop"] = [stop for stop in stops if isinstance(stop, str)]
    return json_bytes(arguments)


def _message(message: object) -> dict[str, str]:
    known = message if isinstance(message, dict) else {}
    role = known.get("role")
    if role not in ("user", "assistant"):
        raise QuestionRefused("each of `messages` must have a `role`: `user` or `assistant`")
    content = known.get("content")
    blocks = content if isinstance(content, list) else [content]
    return {"role": str(role), "content": "\n".join(_text(block) for block in blocks)}


def _text(block: object) -> str:
    known = block if isinstance(block, dict) else {}
    text = known.get("text")
    if known.get("type") != "text" or not isinstance(text, str):
        raise QuestionRefused(f"the model that answers here reads text only, no `{known.get('type')}`")
    return text


def message_result(result: bytes, tool: str) -> bytes:
    """The answer to the question, for the tool's result. Both raw JSON objects. Raises: QuestionUnanswered."""
    said = json_value(result)
    if said.get("isError") is True:
        raise QuestionUnanswered(f"tool `{tool}` failed: {_texts(said)[:_SAID_CHARS]}")
    found = said.get("structuredContent")
    structured = found if isinstance(found, dict) else {}
    content = structured.get("content", None if structured else _texts(said))
    if not isinstance(content, str):
        raise QuestionUnanswered(f"tool `{tool}` answered with no `content`, a string")
    model = structured.get("model")
    answer: dict[str, object] = {
        "role": "assistant",
        "content": {"type": "text", "text": content},
        "model": model if isinstance(model, str) and model else tool,
    }
    stop = _STOPS.get(str(structured.get("stop_reason")))
    if stop is not None:
        answer["stopReason"] = stop
    return json_bytes(answer)


def _texts(said: dict[str, object]) -> str:
    content = said.get("content")
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(block["text"]) for block in blocks if isinstance(block, dict) and "text" in block)
