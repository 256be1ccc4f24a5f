"""How a tool asks the person behind its call, in the way of the era the call came in.

A stateless call is answered with an `InputRequiredResult` and comes again with the answers; a session call gets the
same questions as requests, all at once, while it is still running.
"""

from __future__ import annotations

import json
import warnings
from typing import Any, TypeAlias

import anyio
from mcp import types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.message import ServerMessageMetadata

Ctx: TypeAlias = ServerRequestContext[Any, Any]
Params: TypeAlias = types.CallToolRequestParams | types.GetPromptRequestParams | types.ReadResourceRequestParams
Questions: TypeAlias = dict[str, types.InputRequest]
Answers: TypeAlias = dict[str, types.InputResponse]

# Sampling, roots and logging are deprecated by 2026-07-28 and still part of what a gateway has to carry.
warnings.simplefilter("ignore", MCPDeprecationWarning)

ANSWERED_BY: dict[str, type[Any]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


def in_session(ctx: Ctx) -> bool:
    return ctx.protocol_version < "2026-07-28"


def form(message: str, *names: str) -> types.ElicitRequest:
    """Asks for strings."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    }
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def visit(ctx: Ctx, message: str, url: str) -> types.ElicitRequest:
    """Sends the person to a page. The id is of session revisions only."""
    own_id = "visit-1" if in_session(ctx) else None
    return types.ElicitRequest(params=types.ElicitRequestURLParams(message=message, url=url, elicitation_id=own_id))


def sample(prompt: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=9))


def state_of(params: Params) -> dict[str, Any]:
    """What the server gave the stateless caller to bring back."""
    found: dict[str, Any] = json.loads(params.request_state or "{}")
    return found


async def ask(
    ctx: Ctx, params: Params, questions: Questions, state: dict[str, Any] | None = None
) -> Answers | types.InputRequiredResult:
    """The answers by key, or what to return to the caller so that it comes back with them.

    What is answered is kept in the state, the rest is asked again; what was not asked is ignored.

    Raises: MCPError when the session client refuses.
    """
    if in_session(ctx):
        return await _ask_now(ctx, questions)
    given = params.input_responses or {}
    kept: dict[str, Any] = dict(state_of(params).get("kept", {}))
    for key, question in questions.items():
        if isinstance(given.get(key), ANSWERED_BY[question.method]):
            kept[key] = given[key].model_dump(mode="json", by_alias=True, exclude_none=True)
    left = {key: question for key, question in questions.items() if key not in kept}
    if left:
        return types.InputRequiredResult(input_requests=left, request_state=json.dumps({**(state or {}), "kept": kept}))
    return {key: ANSWERED_BY[question.method].model_validate(kept[key]) for key, question in questions.items()}


async def _ask_now(ctx: Ctx, questions: Questions) -> Answers:
    answers: Answers = {}

    async def one(key: str, question: types.InputRequest) -> None:
        here = ServerMessageMetadata(related_request_id=ctx.request_id)
        answers[key] = await ctx.session.send_request(question, ANSWERED_BY[question.method], metadata=here)

    if len(questions) == 1:
        [(key, question)] = questions.items()
        await one(key, question)
        return answers
    async with anyio.create_task_group() as group:
        for key, question in questions.items():
            group.start_soon(one, key, question, name=key)
    return answers


def said(answer: types.InputResponse) -> str:
    """What was answered, in one line that a test can compare."""
    if isinstance(answer, types.ElicitResult):
        content = ",".join(f"{key}={value}" for key, value in sorted((answer.content or {}).items()))
        return f"{answer.action}({content})"
    if isinstance(answer, types.ListRootsResult):
        return " ".join(str(root.uri) for root in answer.roots)
    assert isinstance(answer, types.CreateMessageResult), answer
    assert isinstance(answer.content, types.TextContent)
    return answer.content.text
