"""The paths below `/v1/`, and what each of them comes to."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from tidegate.clock import Clock
from tidegate.errors import BadEncoding, MethodNotFound, TidegateError, UnknownTool
from tidegate.pipeline.era.front import Front
from tidegate.pipeline.era.openai.body import read_object
from tidegate.pipeline.era.openai.chat_answer import ChatAnswer, Completion
from tidegate.pipeline.era.openai.chat_request import read_chat
from tidegate.pipeline.era.openai.chat_stream import ChatStream
from tidegate.pipeline.era.openai.embeddings import Embeddings, read_embeddings
from tidegate.pipeline.era.openai.model_names import Models, UnknownModel, listed, tool_of
from tidegate.pipeline.era.openai.model_names import leads as leads_to
from tidegate.pipeline.era.openai.parameters import BadParameter
from tidegate.pipeline.era.openai.refusal import refuse
from tidegate.pipeline.era.openai.tool_calls import TRANSPORT, call_tool, list_tools, names_of, takes
from tidegate.pipeline.era.openai.tool_result import HEADER_SERVED_BY, ToolFailed
from tidegate.pipeline.era.streams import JSON
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.peer import HttpPost
from tidegate.pipeline.principal import Principal

Tools = Callable[[set[str]], None]

_OWNER: Final = "tidegate"
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "POST, GET, OPTIONS"),
    # What programs tell of themselves in headers of their own is of no consequence here.
    ("access-control-allow-headers", "authorization, content-type, *"),
    ("access-control-max-age", "600"),
)
_WHAT_NOT: Final = {"messages": "does not chat", "texts": "does not embed texts"}
"""Of a tool without this argument."""
_EXPOSED: Final = ("access-control-expose-headers", HEADER_SERVED_BY)


class WrongMethod(MethodNotFound):
    """The path is there, for another method."""

    slug = "method_not_allowed"
    status = 405


class NoSuchPath(MethodNotFound):
    slug = "unknown_url"


class NotJson(BadEncoding):
    slug = "unsupported_media_type"
    status = 415


class WrongModel(BadParameter):
    """The model does something else than this path is for."""

    slug = "wrong_model"


class OpenAIEndpoint:
    """Serves requests whose sender is known and may be served."""

    preflight = _PREFLIGHT

    def __init__(self, front: Front, models: Callable[[], Models], clock: Clock) -> None:
        """`models`: of the configuration in force."""
        self._front = front
        self._models = models
        self._clock = clock
        self._since_s = int(clock.wall_s())
        """When models were "created": nobody knows, and clients want a number."""

    def serve(self, request: HttpPost, principal: Principal) -> None:
        """Answers one request, now or later. Raises: TidegateError, which is `refuse`d."""
        path = request.path
        if request.extra_headers:
            request.extra_headers = (*request.extra_headers, _EXPOSED)
        if path == "/v1/chat/completions":
            _check_post(request)
            self._chat(request, principal)
        elif path == "/v1/embeddings":
            _check_post(request)
            self._embeddings(request, principal)
        elif path == "/v1/models":
            _check_get(request)
            self._list(request, principal)
        elif path.startswith("/v1/models/"):
            _check_get(request)
            self._model(request, principal, unquote(path.removeprefix("/v1/models/"), errors="replace"))
        else:
            raise NoSuchPath(f"nothing is served at `{path[:200]}`")

    def refuse(self, request: HttpPost, error: TidegateError) -> None:
        self._front.refused(TRANSPORT, error)
        refuse(request, error)

    def _fail_for(
        self, request: HttpPost, principal: Principal, model: str, tool: str, error: TidegateError, wanted: str
    ) -> None:
        """As `_fail`; where the tool said that it could not, and has no argument `wanted`, for a reason that the
        sender can see: it knows nothing of arguments. Looked up then alone, so it costs good calls nothing.
        """
        if not isinstance(error, ToolFailed) or request.gone:
            self._fail(request, model, error)
            return
        request.on_disconnect = None

        def answered(result: bytes | None, _: TidegateError | None) -> None:
            arguments = takes(result, tool) if result is not None else None
            cursor = names_of(result)[1] if result is not None else None
            if arguments is not None and wanted not in arguments:
                self._fail(request, model, WrongModel(f"`{model}` {_WHAT_NOT[wanted]}", "model"))
            elif arguments is None and cursor is not None and not request.gone:
                list_tools(self._front, request, principal, answered, cursor)
            else:
                self._fail(request, model, error)

        list_tools(self._front, request, principal, answered, None)

    def _fail(self, request: HttpPost, model: str, error: TidegateError) -> None:
        """Of what was dispatched, and so is counted already."""
        request.on_disconnect = None
        refuse(request, UnknownModel(model) if isinstance(error, UnknownTool) else error)

    # -- chat -------------------------------------------------------------------------------------------------

    def _chat(self, request: HttpPost, principal: Principal) -> None:
        asked = read_chat(read_object(request.body, self._front.limits.depth))
        tool = tool_of(self._models(), asked.model)
        key, created_s = secrets.token_hex(16), int(self._clock.wall_s())
        completion = Completion(key, created_s, asked.model, include_usage=asked.stream and asked.include_usage)
        arguments = json_bytes(asked.arguments)
        if asked.stream:
            self._stream(request, principal, asked.model, tool, arguments, completion, asked.include_usage)
            return

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is not None:
                try:
                    answer = ChatAnswer(result, tool)
                except TidegateError as failure:
                    error = failure
            if error is not None:
                self._fail_for(request, principal, asked.model, tool, error, "messages")
            else:
                request.respond(200, [JSON, answer.served_by.header], completion.whole(answer))

        call_tool(self._front, request, principal, tool, arguments, answered)

    def _stream(
        self,
        request: HttpPost,
        principal: Principal,
        model: str,
        tool: str,
        arguments: bytes,
        completion: Completion,
        include_usage: bool,
    ) -> None:
        most_bytes = self._front.limits.result_bytes
        stream = ChatStream(request, completion, include_usage=include_usage, most_bytes=most_bytes)

        def fail(error: TidegateError) -> None:
            if stream.begun:
                stream.fail(error)
            else:
                self._fail_for(request, principal, model, tool, error, "messages")

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is not None:
                try:
                    stream.finish(ChatAnswer(result, tool))
                except TidegateError as failure:
                    error = failure
            if error is not None:
                fail(error)

        def progressed(params: bytes) -> None:
            try:
                stream.progressed(params)
            except TidegateError as error:
                stop, request.on_disconnect = request.on_disconnect, None
                if stop is not None:
                    stop()
                fail(error)

        call_tool(self._front, request, principal, tool, arguments, answered, progressed)

    # -- embeddings -------------------------------------------------------------------------------------------

    def _embeddings(self, request: HttpPost, principal: Principal) -> None:
        asked = read_embeddings(read_object(request.body, self._front.limits.depth))
        tool = tool_of(self._models(), asked.model)
        embeddings = Embeddings(asked, tool, self._front.limits.result_bytes)

        def go_on() -> None:
            arguments = embeddings.next_arguments()
            if arguments is not None:
                call_tool(self._front, request, principal, tool, arguments, answered)
                return
            served_by = embeddings.served_by
            request.respond(200, [JSON, served_by.header] if served_by is not None else [JSON], embeddings.body())

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is not None:
                try:
                    embeddings.take(result)
                except TidegateError as failure:
                    error = failure
            if error is not None:
                self._fail_for(request, principal, asked.model, tool, error, "texts")
            elif not request.gone:
                go_on()

        go_on()

    # -- models -----------------------------------------------------------------------------------------------

    def _list(self, request: HttpPost, principal: Principal) -> None:
        def use(tools: set[str]) -> None:
            models = [self._shape(name) for name in listed(self._models(), tools)]
            request.respond(200, [JSON], json_bytes({"object": "list", "data": models}))

        self._with_tools(request, principal, use)

    def _model(self, request: HttpPost, principal: Principal, name: str) -> None:
        tool_of(self._models(), name)

        def use(tools: set[str]) -> None:
            if leads_to(self._models(), name, tools):
                request.respond(200, [JSON], json_bytes(self._shape(name)))
            else:
                self._fail(request, name, UnknownModel(name))

        self._with_tools(request, principal, use)

    def _shape(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._since_s, "owned_by": _OWNER}

    def _with_tools(self, request: HttpPost, principal: Principal, use: Tools) -> None:
        """Calls `use` with the names of those tools that the caller may use."""
        found: set[str] = set()

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is None:
                assert error is not None
                self._fail(request, "", error)
                return
            names, cursor = names_of(result)
            found.update(names)
            if cursor is None:
                use(found)
            elif not request.gone:
                list_tools(self._front, request, principal, answered, cursor)

        list_tools(self._front, request, principal, answered, None)


def _check_post(request: HttpPost) -> None:
    """Raises: WrongMethod, NotJson."""
    if request.method != "POST":
        raise WrongMethod(f"`{request.path}` takes `POST` alone")
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise NotJson("the body must be `application/json`")


def _check_get(request: HttpPost) -> None:
    """Raises: WrongMethod."""
    if request.method not in ("GET", "HEAD"):
        raise WrongMethod(f"`{request.path[:200]}` takes `GET` alone")
