"""`POST /v1/chat/completions`: what a program asks for, as arguments of a `chat` tool.

Taken from "Create chat completion" of OpenAI's API reference. What only tunes is left out where the tool has nothing
like it; what would change the meaning of the answer is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tidegate.pipeline.era.openai.model_names import model_of
from tidegate.pipeline.era.openai.parameters import BadParameter, flag, number, whole

_MOST_TOKENS: Final = 1 << 24
_MOST_STOPS: Final = 4
_SEEDS: Final = 1 << 63
_TOOL_SEEDS: Final = 1 << 32
"""The tool knows fewer. The same one still gives the same answer."""
_ABOVE: Final = ("system", "developer")
"""Roles that speak to the model ahead of the conversation."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    model: str
    arguments: dict[str, Any]
    stream: bool
    include_usage: bool
    """A stream ends with a chunk that says what was used."""


def read_chat(values: dict[str, Any]) -> ChatRequest:
    """Raises: BadParameter."""
    model = model_of(values)
    _refuse_what_changes_meaning(values)
    arguments = _conversation(values.get("messages"))
    most = whole(values, "max_completion_tokens", low=1, high=_MOST_TOKENS)
    if most is None:
        most = whole(values, "max_tokens", low=1, high=_MOST_TOKENS)
    seed = whole(values, "seed", low=-_SEEDS, high=_SEEDS - 1)
    optional = {
        "max_tokens": most,
        "temperature": number(values, "temperature", low=0.0, high=2.0),
        "top_p": number(values, "top_p", low=0.0, high=1.0),
        "stop": _stops(values.get("stop")),
        "seed": seed % _TOOL_SEEDS if seed is not None else None,
    }
    arguments.update({name: value for name, value in optional.items() if value is not None})
    options = values.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadParameter("`stream_options` must be an object", "stream_options")
    return ChatRequest(model, arguments, flag(values, "stream"), flag(options or {}, "include_usage"))


def _refuse_what_changes_meaning(values: dict[str, Any]) -> None:
    if whole(values, "n", low=1, high=1 << 16) not in (None, 1):
        raise BadParameter("`n` can only be 1 here", "n")
    for name in ("tools", "functions", "logit_bias", "audio", "web_search_options"):
        # Empty ones ask for nothing.
        if values.get(name):
            raise BadParameter(f"`{name}` is not supported here", name)
    if flag(values, "logprobs") or values.get("top_logprobs"):
        name = "logprobs" if values.get("logprobs") else "top_logprobs"
        raise BadParameter(f"`{name}` is not supported here", name)
    form = values.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
        raise BadParameter("`response_format` can only be `text` here", "response_format")
    if values.get("modalities") not in (None, ["text"]):
        raise BadParameter("`modalities` can only be text here", "modalities")


def _conversation(messages: object) -> dict[str, Any]:
    """`messages`, and `system` where the program has anything to say ahead of them."""
    if not isinstance(messages, list) or not messages:
        raise BadParameter("`messages` must be a list of at least one message", "messages")
    above: list[str] = []
    turns: list[dict[str, str]] = []
    for number_of, message in enumerate(messages):
        where = f"messages[{number_of}]"
        if not isinstance(message, dict):
            raise BadParameter(f"`{where}` must be an object", where)
        role = message.get("role")
        if role in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
            raise BadParameter(f"`{where}` is about a tool call, which is not supported here", where)
        if role not in (*_ABOVE, "user", "assistant"):
            raise BadParameter(f"`{where}.role` must be `system`, `developer`, `user` or `assistant`", f"{where}.role")
        content = _text(message.get("content"), f"{where}.content")
        if role in _ABOVE:
            above.append(content)
        else:
            turns.append({"role": str(role), "content": content})
    system = "\n\n".join(above)
    if not turns:
        # Nobody has spoken yet: what stands above is all that there is to answer.
        return {"messages": [{"role": "user", "content": system}]}
    return {"messages": turns, "system": system} if above else {"messages": turns}


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise BadParameter(f"`{where}` must be a string or a list of text parts", where)
    pieces: list[str] = []
    for number_of, part in enumerate(content):
        at = f"{where}[{number_of}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(kind, str):
            raise BadParameter(f"`{at}` must be an object with a `type`", at)
        if kind != "text":
            raise BadParameter(f"`{at}` is of type `{kind[:40]}`; the model takes text alone", at)
        text = part.get("text")
        if not isinstance(text, str):
            raise BadParameter(f"`{at}.text` must be a string", f"{at}.text")
        pieces.append(text)
    return "".join(pieces)


def _stops(stop: object) -> list[str] | None:
    if stop is None:
        return None
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > _MOST_STOPS or not all(isinstance(one, str) for one in stops):
        raise BadParameter(f"`stop` must be a string or a list of at most {_MOST_STOPS} strings", "stop")
    return [one for one in stops if one] or None
