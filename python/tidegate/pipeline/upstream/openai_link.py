"""A service with OpenAI's API as a link: a stateless server of 2026-07-28 with the tools `chat` and `embed`.

They look as those of local models do, so one may stand in for the other. Nothing is sent until a tool is called: what
it offers is what the configuration says. Its key is in the headers of requests to it and nowhere else; redirects,
which would carry it away, are not followed.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tidegate import __version__
from tidegate.clock import Clock
from tidegate.config.snapshot import Backend
from tidegate.errors import INVALID_PARAMS, METHOD_NOT_FOUND, TidegateError
from tidegate.models.chat_call import ChatCall
from tidegate.models.task import BadInput
from tidegate.pipeline.codec import Envelope, SseDecoder, scan
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.upstream.http_client import HttpCall, HttpClient
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.pipeline.upstream.openai_post import OpenAIPost
from tidegate.pipeline.upstream.openai_shapes import (
    MOST_TOKENS,
    Spoken,
    chat_body,
    embed_body,
    embed_texts,
    tools,
)
from tidegate.protocol.meta_keys import SERVER_INFO
from tidegate.protocol.revisions import LATEST_MODERN

_LIST_TTL_MS: Final = 3_600_000
"""What it offers changes with the configuration, and then the gateway says so."""
_ENDING_S: Final = 2.0
"""How long a stream that has said all may stay open, so that its connection can be used again."""
_SHORTEST_SECRET: Final = 4


class OpenAILink:
    """Implements `Link`. Every call is a request of its own."""

    cancels_by_closing = True

    def __init__(self, backend: Backend, client: HttpClient, clock: Clock, *, max_bytes: int, depth: int) -> None:
        """`max_bytes`: of an answer. `depth`: of JSON."""
        self.backend = backend
        self.max_bytes = max_bytes
        self._client = client
        self._clock = clock
        self._depth = depth
        self._owner: LinkOwner | None = None
        self._headers = [(key, value.reveal()) for key, value in backend.headers]
        self._live: set[OpenAIPost] = set()
        self._tools = _tools(backend)
        self._calls = 0

    @property
    def name(self) -> str:
        return self.backend.name

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner

    # -- what it is sent ----------------------------------------------------------------------------------------------

    def send(self, message: bytes, call: Call | None) -> None:
        if call is None or self._owner is None:
            # Nothing that it could be told without being asked concerns it.
            return
        envelope = scan(message, self._depth)
        if envelope.method == "tools/call":
            self._call_tool(message, envelope, call)
        elif envelope.method == "server/discover":
            version = json_bytes([LATEST_MODERN])
            self._answer_soon(call, b'"supportedVersions":' + version + b',"capabilities":{"tools":{}},' + _HINTS)
        elif envelope.method == "tools/list":
            self._answer_soon(call, b'"tools":' + self._tools + b"," + _HINTS)
        else:
            self._refuse_soon(call, METHOD_NOT_FOUND, f"Method not found: `{envelope.method}`")

    def _call_tool(self, message: bytes, envelope: Envelope, call: Call) -> None:
        backend, span = self.backend, envelope.arguments_span
        arguments = json_value(message[span[0] : span[1]]) if span is not None else {}
        try:
            if not isinstance(arguments, dict):
                raise BadInput("`arguments` must be an object")
            if envelope.name == "chat" and backend.chat_model:
                token = envelope.progress_token
                asked = ChatCall.read(arguments, most_tokens=MOST_TOKENS, most_bytes=self.max_bytes)
                post = OpenAIPost(self, call, spoken=Spoken(backend.chat_model), token=token)
                body = chat_body(asked, backend.chat_model, stream=token is not None)
                self._post(post, call, "/chat/completions", body, stream=token is not None)
            elif envelope.name == "embed" and backend.embedding_model:
                texts = embed_texts(arguments, self.max_bytes)
                body = embed_body(texts, backend.embedding_model)
                self._post(OpenAIPost(self, call, texts=len(texts)), call, "/embeddings", body, stream=False)
            else:
                self._refuse_soon(call, INVALID_PARAMS, f"Unknown tool: `{envelope.name}`")
        except BadInput as error:
            text = json_bytes([{"type": "text", "text": str(error)}])
            self._answer_soon(call, b'"resultType":"complete","content":' + text + b',"isError":true')

    def _post(self, post: OpenAIPost, call: Call, path: str, body: bytes, *, stream: bool) -> None:
        self._live.add(post)
        self._calls += 1
        call.link_state = post
        post.http = self._client.request(
            "POST",
            _under(self.backend.url, path),
            [
                *self._headers,
                ("accept", "text/event-stream" if stream else "application/json"),
                ("content-type", "application/json"),
            ],
            body,
            post,
            # The caller's deadline gives it up.
            deadline_s=None,
            tenant=self.backend.name,
        )

    def _answer_soon(self, call: Call, members: bytes) -> None:
        """Never while it is being asked."""
        asyncio.get_running_loop().call_soon(self.answer, call, b',"result":{' + members + b"}")

    def _refuse_soon(self, call: Call, code: int, text: str) -> None:
        error = b',"error":' + json_bytes({"code": code, "message": text})
        asyncio.get_running_loop().call_soon(self.answer, call, error)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Never relayed: nothing of a call goes out as it came in."""

    def abandon(self, call: Call) -> None:
        post = call.link_state
        if isinstance(post, OpenAIPost):
            post.cancel()

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        for post in list(self._live):
            post.cancel()

    def statistics(self) -> dict[str, object]:
        return {"streams": len(self._live), "calls": self._calls}

    # -- for its posts ------------------------------------------------------------------------------------------------

    def decoder(self) -> SseDecoder:
        return SseDecoder(self.max_bytes)

    def answer(self, call: Call, member: bytes) -> None:
        if self._owner is not None:
            self._owner.received(b'{"jsonrpc":"2.0","id":' + call.id + member + b"}", call)

    def progressed(self, token: bytes, done: int, piece: str, call: Call | None) -> None:
        if self._owner is not None:
            params = b'{"progressToken":%b,"progress":%d,"message":%b}' % (token, done, json_bytes(piece))
            self._owner.received(b'{"jsonrpc":"2.0","method":"notifications/progress","params":' + params + b"}", call)

    def fail(self, call: Call, error: TidegateError) -> None:
        if self._owner is not None:
            self._owner.call_failed(call, error)

    def forget(self, post: OpenAIPost) -> None:
        self._live.discard(post)

    def let_end(self, http: HttpCall) -> None:
        http.limit_to(_ENDING_S, self._clock.now_s())

    def redacted(self, text: str) -> str:
        """What the service said, less what it was told in secret."""
        for _, value in self._headers:
            for secret in {value, *value.split()}:
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, "***")
        return text


_HINTS: Final = b'"resultType":"complete","ttlMs":%d,"cacheScope":"public","_meta":' % _LIST_TTL_MS + json_bytes(
    {SERVER_INFO: {"name": "openai", "version": __version__}}
)


def _tools(backend: Backend) -> bytes:
    return json_bytes(
        [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "inputSchema": tool.input_schema,
                "outputSchema": tool.output_schema,
                "annotations": {
                    "readOnlyHint": True,
                    "destructiveHint": False,
                    "idempotentHint": True,
                    "openWorldHint": True,
                },
            }
            for tool in tools(bool(backend.chat_model), bool(backend.embedding_model))
        ]
    )


def _under(base: str, path: str) -> str:
    """Some services have a query in their address, and it stays behind the path."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))
