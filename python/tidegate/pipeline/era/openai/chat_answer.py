"""What a `chat` tool said, as a chat completion: whole, or in the chunks that a stream is made of."""

from __future__ import annotations

from typing import Any

from tidegate.errors import UpstreamProtocol
from tidegate.pipeline.era.openai.tool_result import ServedBy, count_of, structured_of, text_of
from tidegate.pipeline.json_text import json_bytes, json_value


class ChatAnswer:
    """Read from a tool's result."""

    __slots__ = ("content", "finish_reason", "served_by", "usage")

    def __init__(self, result: bytes, tool: str) -> None:
        """Raises: ToolFailed, UpstreamProtocol."""
        said: dict[str, Any] = json_value(result)
        answer = structured_of(said)
        content = answer.get("content")
        if not isinstance(content, str):
            # Any tool that answers in text will do.
            content = text_of(said)
            if not content:
                raise UpstreamProtocol(f"tool `{tool}` answered without text, so it is no tool to chat with")
        self.content = content
        self.finish_reason = "length" if answer.get("stop_reason") == "length" else "stop"
        self.served_by = ServedBy(said, tool)
        self.usage = _usage(answer.get("usage"))
        """None: the tool does not count."""


def _usage(said: object) -> dict[str, int] | None:
    asked, answered = count_of(said, "input_tokens"), count_of(said, "output_tokens")
    if asked is None or answered is None:
        return None
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


class Completion:
    """One completion: what stays the same in all that is said of it."""

    __slots__ = ("_include_usage", "_same")

    def __init__(self, key: str, created_s: int, model: str, *, include_usage: bool = False) -> None:
        """`model`: by the name that the program has for it."""
        self._same: dict[str, Any] = {"id": f"chatcmpl-{key}", "created": created_s, "model": model}
        self._include_usage = include_usage

    def whole(self, answer: ChatAnswer) -> bytes:
        message = {"role": "assistant", "content": answer.content, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        body = {"object": "chat.completion", **self._same, "choices": [choice]}
        if answer.usage is not None:
            body["usage"] = answer.usage
        return json_bytes({**body, "tidegate": {"served_by": answer.served_by.said}})

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice], more)

    def usage_chunk(self, answer: ChatAnswer) -> bytes:
        return self._chunk([], {"usage": answer.usage})

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return json_bytes({"object": "chat.completion.chunk", **self._same, "choices": choices, **usage, **more})
