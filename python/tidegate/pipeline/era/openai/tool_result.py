"""What a tool said, and who it was: the parts of its result that OpenAI's shapes have a place for."""

from __future__ import annotations

from typing import Any, Final

from tidegate.errors import UpstreamError
from tidegate.pipeline.codec import patch_object
from tidegate.protocol.meta_keys import SERVED_BY

HEADER_SERVED_BY: Final = "x-tidegate-served-by"
_MOST_SAID_CHARS: Final = 2000
"""Of what a tool says went wrong."""
_MOST_HEADER_CHARS: Final = 400


class ToolFailed(UpstreamError):
    """The tool ran, and says that it could not do it: so it would again."""

    slug = "tool_error"
    status = 400


class NotServed(UpstreamError):
    """A filter stopped the call."""

    slug = "refused"
    status = 403


def text_of(result: dict[str, Any]) -> str:
    """Its blocks of text, one after the other."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def without_served_by(result: bytes) -> bytes:
    """The result of a tool that is no capability: who served is not for it to say. `result`: a raw JSON object."""
    return patch_object(result, [("_meta", None)]) if SERVED_BY.encode() in result or b"\\" in result else result


def structured_of(result: dict[str, Any]) -> dict[str, Any]:
    """Raises: ToolFailed."""
    if result.get("isError") is True:
        raise ToolFailed(text_of(result)[:_MOST_SAID_CHARS] or "the tool failed without a word")
    structured = result.get("structuredContent")
    return structured if isinstance(structured, dict) else {}


def count_of(usage: object, name: str) -> int | None:
    """One of the counts that the tool gives, if it makes sense."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 1 << 53 else None


class ServedBy:
    """Who served: what routing said of it, or else the tool that was asked."""

    __slots__ = ("header", "said")

    def __init__(self, result: dict[str, Any], tool: str) -> None:
        meta = result.get("_meta")
        said = meta.get(SERVED_BY) if isinstance(meta, dict) else None
        self.said: dict[str, Any] = said if isinstance(said, dict) else {"tool": tool}
        """For the body."""
        words = [word for name in ("where", "tool") if isinstance(word := self.said.get(name), str)]
        line = " ".join(words)
        why = self.said.get("why")
        if isinstance(why, str) and why:
            line += f"; why={why}"
        self.header = (
            HEADER_SERVED_BY,
            "".join(sign if " " <= sign <= "~" else "?" for sign in line)[:_MOST_HEADER_CHARS],
        )
