"""A chat completion as it comes into being: each piece of text that the tool tells of is a chunk.

Nothing is sent before the first piece, so whatever goes wrong until then has a status of its own. Later it is told in
the stream, which then ends without `[DONE]`.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import TidegateError, TooLarge, UpstreamProtocol
from tidegate.pipeline.codec import encode_sse
from tidegate.pipeline.era.openai.chat_answer import ChatAnswer, Completion
from tidegate.pipeline.era.openai.refusal import shape_of
from tidegate.pipeline.era.streams import EventBody
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.peer import HttpPost

_DONE: Final = encode_sse(b"[DONE]")


class ChatStream:
    """One stream. A client that reads too slowly is cut off by its connection, which stops the call."""

    __slots__ = ("_body", "_completion", "_include_usage", "_most_bytes", "_request", "_said", "_said_bytes")

    def __init__(self, request: HttpPost, completion: Completion, *, include_usage: bool, most_bytes: int) -> None:
        """`most_bytes`: of text, and so what is kept of it."""
        self._request = request
        self._completion = completion
        self._include_usage = include_usage
        self._most_bytes = most_bytes
        self._body: EventBody | None = None
        self._said: list[str] = []
        self._said_bytes = 0

    @property
    def begun(self) -> bool:
        return self._body is not None

    def progressed(self, params: bytes) -> None:
        """As `Progressed`: a message is the next piece. Raises: TooLarge, for a tool that does not come to an end."""
        piece = json_value(params).get("message")
        if not isinstance(piece, str) or not piece or self._request.gone:
            return
        self._said_bytes += len(params)
        if self._said_bytes > self._most_bytes:
            raise TooLarge(f"the answer is longer than `result_bytes` ({self._most_bytes} bytes)")
        self._said.append(piece)
        self._say(piece)

    def finish(self, answer: ChatAnswer) -> None:
        """What was not told yet, and the end. Raises: UpstreamProtocol."""
        if self._request.gone:
            return
        said = "".join(self._said)
        if answer.content.startswith(said):
            rest = answer.content[len(said) :]
        elif answer.content.strip() == said.strip():
            rest = ""
        else:
            raise UpstreamProtocol("the whole answer is another one than what was told of it piece by piece")
        if rest or self._body is None:
            self._say(rest)
        completion, served_by = self._completion, {"served_by": answer.served_by.said}
        self._write(completion.chunk({}, answer.finish_reason, tidegate=served_by))
        if self._include_usage and answer.usage is not None:
            self._write(completion.usage_chunk(answer))
        self._end(_DONE)

    def fail(self, error: TidegateError) -> None:
        """Within the stream."""
        self._end(encode_sse(json_bytes(shape_of(error))))

    def _say(self, piece: str) -> None:
        if self._body is None:
            self._body = EventBody(self._request, [])
            self._write(self._completion.chunk({"role": "assistant", "content": ""}))
        if piece:
            self._write(self._completion.chunk({"content": piece}))

    def _write(self, chunk: bytes) -> None:
        if self._body is not None:
            self._body.write(encode_sse(chunk))

    def _end(self, last: bytes) -> None:
        if self._body is not None:
            self._body.write(last)
            self._body.close()
