"""Calls of `chat` and `embed` as a service with OpenAI's API takes them, and its answers as local models give theirs.

Only shapes, no bytes on a wire: `openai_post.py` sends and receives. What a service says is believed in the
shape that is written here and in no other; an answer that does not say that it is whole is none.
"""

from __future__ import annotations

from typing import Any, Final

from tidegate.models.chat_call import ChatCall, chat_tool, said
from tidegate.models.embed_call import TEXTS, embed_tool
from tidegate.models.inputs.arguments import several_texts
from tidegate.models.task import BadInput, Json, Tool
from tidegate.pipeline.json_text import json_bytes, json_value

MOST_TOKENS: Final = 1_048_576
"""Of an answer. What the service has as its own bound it says itself."""
_NAME_CHARS_MAX: Final = 200
_LENGTH: Final = "length"
_REASONS: Final = {"stop": "end", _LENGTH: "length", "eos": "end", "end_turn": "end", "max_tokens": "length"}
"""Reasons to end, as services spell them → as the tool says them."""
_WITHHELD: Final = "content_filter"


class Nonsense(Exception):
    """The service answered, but not as this API does. The message says what is wrong, and quotes nothing of it."""


class Withheld(Exception):
    """The service has an answer and does not give it."""


def tools(chat: bool, embed: bool) -> list[Tool]:
    found = []
    if chat:
        found.append(chat_tool("Answers a conversation by a language model elsewhere.", MOST_TOKENS))
    if embed:
        found.append(embed_tool(False))
    return found


# -- requests --------------------------------------------------------------------------------------------------------


def chat_body(call: ChatCall, model: str, *, stream: bool) -> bytes:
    body: Json = {
        "model": model,
        "messages": [{"role": role, "content": content} for role, content in call.messages],
        "max_tokens": call.max_tokens,
        "temperature": call.temperature,
    }
    if call.top_p < 1:
        body["top_p"] = call.top_p
    if call.stops:
        body["stop"] = list(call.stops)
    if call.seed is not None:
        body["seed"] = call.seed
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return json_bytes(body)


def embed_texts(arguments: Json, most_bytes: int) -> list[str]:
    """Raises: BadInput."""
    if unknown := sorted(set(arguments) - {"texts"}):
        raise BadInput(f"`{unknown[0][:_NAME_CHARS_MAX]}` is no argument of this tool")
    return several_texts(arguments.get("texts"), "texts", TEXTS, most_bytes)


def embed_body(texts: list[str], model: str) -> bytes:
    return json_bytes({"model": model, "input": texts, "encoding_format": "float"})


# -- answers ---------------------------------------------------------------------------------------------------------


class Spoken:
    """An answer as it comes in: whole, or in the chunks of a stream."""

    def __init__(self, model: str) -> None:
        self.model = model
        """As configured, until the service names one."""
        self.pieces: list[str] = []
        self.reason = ""
        """Why it ended, as the service says; empty: it has not said."""
        self._stopped_by = False
        self._usage: tuple[int, int] | None = None

    def whole(self, body: bytes) -> None:
        """Raises: Nonsense."""
        value = _object(body)
        choice = _first_choice(value)
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, dict):
            raise Nonsense("there is no message in its answer")
        self._hear(value, choice, message)
        if not self.reason:
            raise Nonsense("its answer does not say why it ended, so it may not be whole")

    def chunk(self, data: bytes) -> str:
        """The new piece of text, which may be empty. Raises: Nonsense."""
        value = _object(data)
        if "error" in value:
            raise Nonsense("it broke its answer off with an error of its own")
        choice = _first_choice(value) if "choices" in value or "usage" not in value else None
        if choice is None:
            # Usage comes without a choice.
            self._count(value)
            return ""
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            raise Nonsense("there is no piece of a message in its answer")
        return self._hear(value, choice, delta)

    def _hear(self, value: Json, choice: Json, message: Json) -> str:
        content, reason, name = message.get("content"), choice.get("finish_reason"), value.get("model")
        if content is None:
            content = ""
        if not isinstance(content, str) or not (reason is None or isinstance(reason, str)):
            raise Nonsense("its answer is no text")
        if isinstance(name, str) and 0 < len(name) <= _NAME_CHARS_MAX:
            self.model = name
        if content:
            self.pieces.append(content)
        if reason:
            self.reason = reason
            # Some say by which string; most do not tell this end from the other.
            self._stopped_by = isinstance(choice.get("stop_reason"), str)
        self._count(value)
        return content

    def _count(self, value: Json) -> None:
        usage = value.get("usage")
        asked, answered = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
        if asked is not None and answered is not None:
            self._usage = asked, answered

    def answer(self) -> tuple[Json, str]:
        """(structured, text). Raises: Nonsense, Withheld."""
        if self.reason == _WITHHELD:
            raise Withheld
        reason = _REASONS.get(self.reason or "stop")
        if reason is None:
            raise Nonsense("its answer ended for a reason that this API does not have")
        if reason == "end" and self._stopped_by:
            reason = "stop"
        content = "".join(self.pieces)
        return said(content, self.model, reason, self._usage), content


def embedded(body: bytes, texts: int, model: str) -> tuple[Json, str]:
    """(structured, text) for so many texts. Raises: Nonsense."""
    value = _object(body)
    data = value.get("data")
    if not isinstance(data, list) or len(data) != texts:
        raise Nonsense(f"there are not {texts} vectors in its answer")
    rows: list[list[float] | None] = [None] * texts
    for position, entry in enumerate(data):
        index = entry.get("index", position) if isinstance(entry, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < texts or rows[index] is not None:
            raise Nonsense("it does not say which text a vector is of")
        vector = entry.get("embedding")
        if not isinstance(vector, list) or not vector or not all(_is_number(number) for number in vector):
            raise Nonsense("a vector in its answer is none")
        rows[index] = vector
    vectors = [row for row in rows if row is not None]
    dimensions = len(vectors[0])
    if any(len(vector) != dimensions for vector in vectors):
        raise Nonsense("its vectors are not of one length")
    name = value.get("model")
    tokens = _tokens(value.get("usage"), "prompt_tokens")
    structured = {
        "model": name if isinstance(name, str) and 0 < len(name) <= _NAME_CHARS_MAX else model,
        "dimensions": dimensions,
        "embeddings": vectors,
    }
    if tokens is not None:
        structured["usage"] = {"input_tokens": tokens}
    many = f"{texts} vectors" if texts > 1 else "1 vector"
    return structured, f"{many} of {dimensions} numbers"


def complaint(body: bytes) -> str:
    """What a service says in a refusal, on one line and bounded; empty when it is not in the API's shape. Not to be
    shown before secrets are taken out.
    """
    try:
        error = _object(body).get("error")
    except Nonsense:
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:300] if isinstance(message, str) else ""


def _object(body: bytes) -> Json:
    try:
        value = json_value(body)
    except (ValueError, RecursionError):
        raise Nonsense("its answer is no JSON") from None
    if not isinstance(value, dict):
        raise Nonsense("its answer is no JSON object")
    return value


def _first_choice(value: Json) -> Json | None:
    choices = value.get("choices")
    if not isinstance(choices, list):
        raise Nonsense("there are no choices in its answer")
    if not choices:
        return None
    if not isinstance(choices[0], dict):
        raise Nonsense("a choice in its answer is none")
    return choices[0]


def _tokens(usage: object, key: str) -> int | None:
    """None where it does not say."""
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53 else None


def _is_number(value: Any) -> bool:
    """A finite one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
