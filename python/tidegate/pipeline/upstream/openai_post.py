"""One call of a service with OpenAI's API: what is sent for it, and what comes of the answer.

The pieces of a stream go on as progress while they come in. An answer that breaks off before the service said that it
is whole is an error, never a short answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.errors import (
    TidegateError,
    UpstreamClosed,
    UpstreamError,
    UpstreamProtocol,
    UpstreamRefused,
)
from tidegate.models.task import Json
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.http_call import HttpCall
from tidegate.pipeline.upstream.http_refusal import of_backend, refusal
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.openai_shapes import Nonsense, Spoken, Withheld, complaint, embedded

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.openai_link import OpenAILink

_DONE: Final = b"[DONE]"
_TELLS_WHY: Final = (400, 413, 414, 422)
"""Statuses by which a service says what is wrong with a call: whoever made it can mend it."""


class OpenAIPost:
    """Receives what a request is answered with. One of `spoken` and `texts` is set."""

    __slots__ = (
        "_body",
        "_chars",
        "_decoder",
        "_headers",
        "_link",
        "_spoken",
        "_status",
        "_texts",
        "_token",
        "_told",
        "call",
        "http",
    )

    def __init__(
        self, link: OpenAILink, call: Call, *, spoken: Spoken | None = None, texts: int = 0, token: bytes | None = None
    ) -> None:
        """`texts`: how many are embedded. `token`: raw progress token, of a caller who wants to hear pieces."""
        self._link = link
        self.call: Call | None = call
        """None once there is an outcome."""
        self._spoken = spoken
        self._texts = texts
        self._token = token
        self._status = 0
        self._headers: dict[str, str] = {}
        self._decoder: SseDecoder | None = None
        self._body: list[bytes] = []
        self._chars = 0
        """Of the answer's text so far."""
        self._told = 0
        self.http: HttpCall | None = None

    def cancel(self) -> None:
        self._settle()
        http, self.http = self.http, None
        if http is not None:
            http.cancel()

    # -- ResponseReceiver ---------------------------------------------------------------------------------------------

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._headers = headers
        kind = headers.get("content-type", "").lower()
        if self._spoken is not None and status == 200 and kind.startswith("text/event-stream"):
            self._decoder = self._link.decoder()

    def body_received(self, data: bytes) -> None:
        if self.call is None:
            return
        if self._decoder is None:
            self._body.append(data)
            return
        try:
            for event in self._decoder.feed(data):
                if event.data and not self._goes_on(event.data):
                    return
        except TidegateError as error:
            self._give_up(UpstreamProtocol(f"{self._who} answered with what is no stream of events: {error}"))
        except Nonsense as error:
            self._give_up(UpstreamProtocol(f"{self._who} answered, but {error}"))

    def response_ended(self) -> None:
        self.http = None
        if self.call is None:
            return
        body = b"".join(self._body)
        self._body.clear()
        try:
            if self._decoder is not None:
                self._stream_over(UpstreamClosed(f"{self._who} ended the stream before the answer was whole"))
            elif self._status != 200:
                self._refused(body)
            elif self._spoken is not None:
                self._spoken.whole(body)
                self._tell("".join(self._spoken.pieces))
                self._finish_speech(self._spoken)
            else:
                self._finish(*embedded(body, self._texts, self._link.backend.embedding_model))
        except Nonsense as error:
            self._fail(UpstreamProtocol(f"{self._who} answered, but {error}"))

    def request_failed(self, error: TidegateError) -> None:
        self.http = None
        if self.call is None:
            return
        if self._decoder is None:
            self._fail(of_backend(self._link.name, error))
            return
        if not isinstance(error, UpstreamError):
            self._fail(error)
            return
        self._stream_over(UpstreamClosed(f"{self._who} broke the stream off before the answer was whole: {error}"))

    # -- a stream -----------------------------------------------------------------------------------------------------

    def _goes_on(self, data: bytes) -> bool:
        """After this event. Raises: Nonsense."""
        spoken = self._spoken
        assert spoken is not None
        if data.strip() == _DONE:
            self._finish_speech(spoken)
            return False
        piece = spoken.chunk(data)
        self._chars += len(piece)
        if self._chars > self._link.max_bytes:
            self._give_up(UpstreamProtocol(f"{self._who} said more than {self._link.max_bytes} characters"))
            return False
        self._tell(piece)
        return True

    def _stream_over(self, broken: UpstreamClosed) -> None:
        """Whether it ended or broke off: the answer is whole if the service has said why it ended."""
        spoken = self._spoken
        assert spoken is not None
        if spoken.reason:
            self._finish_speech(spoken)
        else:
            self._fail(broken)

    def _tell(self, piece: str) -> None:
        if self._token is not None and piece:
            self._told += 1
            self._link.progressed(self._token, self._told, piece, self.call)

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def _finish_speech(self, spoken: Spoken) -> None:
        try:
            self._finish(*spoken.answer())
        except Withheld:
            self._tell_caller("it has an answer and withholds it, for what is in it (`content_filter`)")
        except Nonsense as error:
            self._fail(UpstreamProtocol(f"{self._who} answered, but {error}"))

    def _finish(self, structured: Json, text: str) -> None:
        content = json_bytes([{"type": "text", "text": text}])
        members = b'"content":' + content + b',"structuredContent":' + json_bytes(structured)
        self._answer(members)

    def _tell_caller(self, what: str) -> None:
        """The call is at fault, so whoever made it hears that as a result."""
        text = f"{self._who}: {what}"
        self._answer(b'"content":' + json_bytes([{"type": "text", "text": text}]) + b',"isError":true')

    def _answer(self, members: bytes) -> None:
        link, call = self._link, self._settle()
        if self.http is not None:
            # The end of a stream that has said all may take its time, but not for ever.
            link.let_end(self.http)
        if call is not None:
            link.answer(call, b',"result":{"resultType":"complete",' + members + b"}")

    def _refused(self, body: bytes) -> None:
        status, backend, said = self._status, self._link.backend, f"HTTP status {self._status}"
        if status in _TELLS_WHY:
            why = self._link.redacted(complaint(body))
            self._tell_caller(f"it does not take this ({said})" + (f": {why}" if why else ""))
        elif status == 403:
            self._fail(UpstreamRefused(f"{self._who} does not allow this ({said}): see what its key may do"))
        elif status == 404:
            model = backend.embedding_model if self._spoken is None else backend.chat_model
            self._fail(UpstreamProtocol(f"{self._who} has no model `{model}`, or is not at this address ({said})"))
        elif 300 <= status < 400:
            self._fail(UpstreamProtocol(f"{self._who} has moved ({said}): put its new address into `openai`"))
        elif status < 300:
            self._fail(UpstreamProtocol(f"{self._who} answered with nothing that was asked for ({said})"))
        else:
            self._fail(refusal(backend, status, self._headers))

    def _give_up(self, error: TidegateError) -> None:
        """The rest of the answer is of no use."""
        self._fail(error)
        self.cancel()

    def _fail(self, error: TidegateError) -> None:
        call = self._settle()
        if call is not None:
            self._link.fail(call, error)

    def _settle(self) -> Call | None:
        """Nothing more comes of it."""
        call, self.call = self.call, None
        if call is not None:
            call.link_state = None
        self._link.forget(self)
        return call

    @property
    def _who(self) -> str:
        return f"backend `{self._link.name}`"
