"""Asking the person behind a call for something, in the way of whichever era the call came in.

Called by the tools and prompts of the everything-server. A 2026-07-28 call is answered with an `InputRequiredResult`
and comes again with the answers; a session call (2025-11-25 and older) gets the same questions as requests on its own
stream while it is still running. Writing it once means that every asking tool here works in both eras, which is what
a gateway between eras needs.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias

import anyio
from mcp import types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.message import ServerMessageMetadata

Ctx: TypeAlias = ServerRequestContext[Any, Any]
Asking: TypeAlias = types.CallToolRequestParams | types.GetPromptRequestParams

# Sampling, roots and logging are deprecated by 2026-07-28 and still part of what a gateway has to carry.
warnings.simplefilter("ignore", MCPDeprecationWarning)


def is_session_era(ctx: Ctx) -> bool:
    """Revisions before 2026-07-28 speak over a session and let the server send requests."""
    return ctx.protocol_version < "2026-07-28"


def form(message: str, **properties: dict[str, Any]) -> types.ElicitRequest:
    """A form elicitation whose properties without a `default` are required."""
    required = [name for name, schema in properties.items() if "default" not in schema]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    """A sampling request of one user message."""
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def declared(ctx: Ctx, question: types.InputRequest) -> bool:
    """Whether the client declared the capability this question needs."""
    capabilities = ctx.session.client_capabilities
    if capabilities is None:
        return False
    needed = {
        "elicitation/create": capabilities.elicitation,
        "sampling/createMessage": capabilities.sampling,
        "roots/list": capabilities.roots,
    }
    return needed[question.method] is not None


async def ask(
    ctx: Ctx, params: Asking, questions: dict[str, types.InputRequest], state: str | None = None
) -> dict[str, types.InputResponse] | types.InputRequiredResult:
    """The answers by key, or what to return to the caller so that it comes back with them.

    A question that no answer in the right shape was given for is asked again; answers nobody asked for are ignored.

    Raises: MCPError when a session client refuses, or declared no capability for the question.
    """
    if is_session_era(ctx):
        return await _ask_all(ctx, questions)
    given = params.input_responses or {}
    answers = {key: given[key] for key, question in questions.items() if key in given and _fits(question, given[key])}
    if len(answers) == len(questions):
        return answers
    return types.InputRequiredResult(input_requests=questions, request_state=state)


async def _ask_all(ctx: Ctx, questions: dict[str, types.InputRequest]) -> dict[str, types.InputResponse]:
    """All at once, as a stateless call asks them, in the order of their keys."""
    answers: dict[str, types.InputResponse] = {}

    async def put(key: str, question: types.InputRequest) -> None:
        answers[key] = await _ask_now(ctx, question)

    try:
        async with anyio.create_task_group() as asking:
            for key, question in questions.items():
                asking.start_soon(put, key, question, name=key)
    except ExceptionGroup as refused:
        raise refused.exceptions[0] from None
    return {key: answers[key] for key in questions}


async def _ask_now(ctx: Ctx, question: types.InputRequest) -> types.InputResponse:
    """One request on the stream of the call in service, and its answer."""
    if not declared(ctx, question):
        raise MCPError(types.INVALID_REQUEST, f"the client declared no capability for `{question.method}`")
    here = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await ctx.session.send_request(question, _answer_type(question), metadata=here)


def _answer_type(question: types.InputRequest) -> type[Any]:
    if isinstance(question, types.ElicitRequest):
        return types.ElicitResult
    if isinstance(question, types.CreateMessageRequest):
        return types.CreateMessageResult
    return types.ListRootsResult


def _fits(question: types.InputRequest, answer: types.InputResponse) -> bool:
    if isinstance(question, types.CreateMessageRequest):
        return isinstance(answer, types.CreateMessageResult | types.CreateMessageResultWithTools)
    return isinstance(answer, _answer_type(question))


def elicited(answer: types.InputResponse) -> dict[str, Any]:
    """The content of an accepted form, else nothing."""
    assert isinstance(answer, types.ElicitResult)
    return dict(answer.content or {}) if answer.action == "accept" else {}


def sampled(answer: types.InputResponse) -> str:
    """The text of a sampling answer."""
    assert isinstance(answer, types.CreateMessageResult | types.CreateMessageResultWithTools)
    blocks = answer.content if isinstance(answer.content, list) else [answer.content]
    return " ".join(block.text for block in blocks if isinstance(block, types.TextContent))
