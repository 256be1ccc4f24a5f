"""The tools of the everything-server: a table from tool to what it does.

The names and what each must answer come from the conformance suite's scenario descriptions; the tools below the last
rule are ours, for what the suite only checks by shape (numbers, key order, unknown fields, cancellation).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
from everything_content import PIXEL_PNG, SILENCE_WAV
from everything_questions import Ctx, ask, declared, elicited, form, is_session_era, sample, sampled
from mcp import types
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ResourceUpdated, ToolsListChanged
from mcp.shared.exceptions import MCPError

Params: TypeAlias = types.CallToolRequestParams
Answer: TypeAlias = types.CallToolResult | types.InputRequiredResult
Call: TypeAlias = Callable[[Ctx, Params], Awaitable[Answer]]

STEP_S = 0.05
"""Pause between the notifications of one call, so that they are seen to arrive one by one."""

BUS = InMemorySubscriptionBus()
"""Change events of this process, read by `subscriptions/listen`."""

TABLE: dict[str, tuple[types.Tool, Call]] = {}
"""Every tool by name, in the order of `tools/list`."""


@dataclass(frozen=True)
class Offers:
    """Decorator that enters a function in `TABLE`; the name of the tool is the name of the function."""

    description: str
    properties: dict[str, Any] | None = None
    schema: dict[str, Any] | None = None

    def __call__(self, call: Call) -> Call:
        name = call.__name__
        schema = self.schema or {"type": "object", "properties": self.properties or {}}
        TABLE[name] = (types.Tool(name=name, description=self.description, input_schema=schema), call)
        return call


def text(*lines: str, is_error: bool = False) -> types.CallToolResult:
    """A result of text blocks only."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=line) for line in lines], is_error=is_error
    )


def argument(params: Params, name: str, otherwise: str = "") -> str:
    """One string argument of the call."""
    return str((params.arguments or {}).get(name, otherwise))


def _image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL_PNG, mime_type="image/png")


def _embedded(uri: str, mime_type: str, content: str) -> types.EmbeddedResource:
    resource = types.TextResourceContents(uri=uri, mime_type=mime_type, text=content)
    return types.EmbeddedResource(type="resource", resource=resource)


# ---- one answer, every content type


@Offers("One text block")
async def test_simple_text(ctx: Ctx, params: Params) -> Answer:
    return text("This is a simple text response for testing.")


@Offers("One image block")
async def test_image_content(ctx: Ctx, params: Params) -> Answer:
    return types.CallToolResult(content=[_image()])


@Offers("One audio block")
async def test_audio_content(ctx: Ctx, params: Params) -> Answer:
    return types.CallToolResult(content=[types.AudioContent(type="audio", data=SILENCE_WAV, mime_type="audio/wav")])


@Offers("One embedded resource")
async def test_embedded_resource(ctx: Ctx, params: Params) -> Answer:
    return types.CallToolResult(
        content=[_embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
    )


@Offers("A text block, an image and an embedded resource")
async def test_multiple_content_types(ctx: Ctx, params: Params) -> Answer:
    mixed = _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    opening = types.TextContent(type="text", text="Multiple content types test:")
    return types.CallToolResult(content=[opening, _image(), mixed])


@Offers("A result that says the tool failed")
async def test_error_handling(ctx: Ctx, params: Params) -> Answer:
    return text("This tool intentionally returns an error for testing", is_error=True)


# ---- what arrives before the answer


async def _log_three_steps(ctx: Ctx) -> None:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", line, related_request_id=ctx.request_id)
        await anyio.sleep(STEP_S)


@Offers("Three log notifications, then text")
async def test_tool_with_logging(ctx: Ctx, params: Params) -> Answer:
    await _log_three_steps(ctx)
    return text("Logged three lines.")


@Offers("The same, for a caller that asked for no log level")
async def test_logging_tool(ctx: Ctx, params: Params) -> Answer:
    await _log_three_steps(ctx)
    return text("Logged to whoever asked for it.")


@Offers("Progress 0, 50 and 100 of 100, then text")
async def test_tool_with_progress(ctx: Ctx, params: Params) -> Answer:
    for progress in (0, 50, 100):
        await ctx.session.report_progress(progress, 100, f"Completed step {progress} of 100")
        await anyio.sleep(STEP_S)
    return text("Reported three times.")


@Offers("Closes the stream of this call half-way, then answers on the resumed one")
async def test_reconnection(ctx: Ctx, params: Params) -> Answer:
    await ctx.session.send_log_message("info", "Before disconnect", related_request_id=ctx.request_id)
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    await ctx.session.send_log_message("info", "After reconnect", related_request_id=ctx.request_id)
    return text("Reconnection test completed")


# ---- questions to the person behind the call

_DEFAULTS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "description": "Name", "default": "John Doe"},
    "age": {"type": "integer", "description": "Age", "default": 30},
    "score": {"type": "number", "description": "Score", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "description": "Verified", "default": True},
}


def _titled(**titles: str) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles.items()]


_ENUMS: dict[str, dict[str, Any]] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": _titled(value1="First", value2="Second", value3="Third")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option one", "Option two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled(value1="First", value2="Second", value3="Third")}},
}


async def _fill_in(ctx: Ctx, params: Params, question: types.ElicitRequest) -> Answer:
    """Asks one form and tells what came back."""
    answers = await ask(ctx, params, {"form": question})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    answer = answers["form"]
    assert isinstance(answer, types.ElicitResult)
    return text(f"Elicitation: action={answer.action}, content={json.dumps(answer.content or {})}")


@Offers("Asks the model of the client", {"prompt": {"type": "string"}})
async def test_sampling(ctx: Ctx, params: Params) -> Answer:
    answers = await ask(ctx, params, {"reply": sample(argument(params, "prompt", "Hello"))})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"LLM response: {sampled(answers['reply'])}")


@Offers("Asks the user one thing", {"message": {"type": "string"}})
async def test_elicitation(ctx: Ctx, params: Params) -> Answer:
    question = form(argument(params, "message", "Well?"), username={"type": "string"}, email={"type": "string"})
    return await _fill_in(ctx, params, question)


@Offers("A form with a default of every primitive type")
async def test_elicitation_sep1034_defaults(ctx: Ctx, params: Params) -> Answer:
    return await _fill_in(ctx, params, form("Check your details", **_DEFAULTS))


@Offers("A form with every kind of enumeration")
async def test_elicitation_sep1330_enums(ctx: Ctx, params: Params) -> Answer:
    return await _fill_in(ctx, params, form("Choose", **_ENUMS))


@Offers("Reports progress, then asks the user")
async def test_streaming_elicitation(ctx: Ctx, params: Params) -> Answer:
    await ctx.session.report_progress(1, 2, "About to ask")
    return await _fill_in(ctx, params, form("Go on?", go_on={"type": "boolean"}))


@Offers("Refuses a client that declared no sampling")
async def test_missing_capability(ctx: Ctx, params: Params) -> Answer:
    if not declared(ctx, sample("")):
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        # Sessions have no code of its own for this.
        code = types.INVALID_REQUEST if is_session_era(ctx) else types.MISSING_REQUIRED_CLIENT_CAPABILITY
        raise MCPError(code, "needs the `sampling` capability", needed)
    return text("The client declared sampling.")


_NAME = {"type": "string"}


@Offers("Needs a name")
async def test_input_required_result_elicitation(ctx: Ctx, params: Params) -> Answer:
    answers = await ask(ctx, params, {"user_name": form("What is your name?", name=_NAME)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"Hello, {elicited(answers['user_name']).get('name', 'stranger')}!")


@Offers("Needs the client's model")
async def test_input_required_result_sampling(ctx: Ctx, params: Params) -> Answer:
    answers = await ask(ctx, params, {"capital_question": sample("What is the capital of France?")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(sampled(answers["capital_question"]))


@Offers("Needs the client's roots")
async def test_input_required_result_list_roots(ctx: Ctx, params: Params) -> Answer:
    answers = await ask(ctx, params, {"client_roots": types.ListRootsRequest()})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    roots = answers["client_roots"]
    assert isinstance(roots, types.ListRootsResult)
    return text("Roots: " + ", ".join(str(root.uri) for root in roots.roots))


@Offers("Needs its state back")
async def test_input_required_result_request_state(ctx: Ctx, params: Params) -> Answer:
    answers = await ask(ctx, params, {"confirm": form("Please confirm", ok={"type": "boolean"})}, state="nonce-17")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    kept = is_session_era(ctx) or params.request_state == "nonce-17"
    return text("state-ok" if kept else f"state-lost: {params.request_state}")


@Offers("Takes its state back only unharmed")
async def test_input_required_result_tampered_state(ctx: Ctx, params: Params) -> Answer:
    return await test_input_required_result_request_state(ctx, params)


@Offers("Needs a name, a model and roots at once")
async def test_input_required_result_multiple_inputs(ctx: Ctx, params: Params) -> Answer:
    questions: dict[str, types.InputRequest] = {
        "user_name": form("What is your name?", name=_NAME),
        "greeting": sample("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(),
    }
    answers = await ask(ctx, params, questions, state="three questions")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"{sampled(answers['greeting'])}, {elicited(answers['user_name']).get('name')}")


@Offers("Asks twice, the second question after the first answer")
async def test_input_required_result_multi_round(ctx: Ctx, params: Params) -> Answer:
    state: dict[str, Any] = json.loads(params.request_state or "{}")
    if "name" not in state:
        first = await ask(ctx, params, {"step1": form("Step 1: What is your name?", name=_NAME)}, state='{"round":1}')
        if isinstance(first, types.InputRequiredResult):
            return first
        state = {"round": 2, "name": elicited(first["step1"]).get("name")}
    question = form("Step 2: What is your favorite color?", color={"type": "string"})
    second = await ask(ctx, params, {"step2": question}, state=json.dumps(state))
    if isinstance(second, types.InputRequiredResult):
        return second
    return text(f"{state['name']} likes {elicited(second['step2']).get('color')}.")


@Offers("Asks only what the client can answer")
async def test_input_required_result_capabilities(ctx: Ctx, params: Params) -> Answer:
    questions: dict[str, types.InputRequest] = {
        "sample": sample("Say hello", 50),
        "ask": form("What is your name?", name=_NAME),
    }
    askable = {key: question for key, question in questions.items() if declared(ctx, question)}
    if not askable:
        return text("Nothing can be asked of this client.")
    answers = await ask(ctx, params, askable, state="by capability")
    return answers if isinstance(answers, types.InputRequiredResult) else text(", ".join(answers))


# ---- changes that subscribers hear of: on a listen stream (2026-07-28) or on the open stream of the session


@Offers("Says that the tool list changed")
async def test_trigger_tool_change(ctx: Ctx, params: Params) -> Answer:
    if is_session_era(ctx):
        await ctx.session.send_tool_list_changed()
    else:
        await BUS.publish(ToolsListChanged())
    return text("tool list changed")


@Offers("Says that the prompt list changed")
async def test_trigger_prompt_change(ctx: Ctx, params: Params) -> Answer:
    if is_session_era(ctx):
        await ctx.session.send_prompt_list_changed()
    else:
        await BUS.publish(PromptsListChanged())
    return text("prompt list changed")


@Offers("Says that a resource changed", {"uri": {"type": "string"}})
async def test_trigger_resource_update(ctx: Ctx, params: Params) -> Answer:
    uri = argument(params, "uri", "test://watched-resource")
    if is_session_era(ctx):
        await ctx.session.send_resource_updated(uri)
    else:
        await BUS.publish(ResourceUpdated(uri=uri))
    return text(f"{uri} changed")


# ---- schemas and headers


@Offers(
    "Its argument travels in a header too",
    {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
)
async def test_x_mcp_header(ctx: Ctx, params: Params) -> Answer:
    return text(f"region={argument(params, 'region', 'none')}")


@Offers(
    "Its schema uses the JSON Schema 2020-12 vocabulary",
    schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema_2020_12_tool(ctx: Ctx, params: Params) -> Answer:
    return text(json.dumps(params.arguments))


# ---- ours


@Offers("Returns its arguments as they came", schema={"type": "object", "additionalProperties": True})
async def echo_arguments(ctx: Ctx, params: Params) -> Answer:
    arguments = params.arguments or {}
    block = types.TextContent(type="text", text=json.dumps(arguments, ensure_ascii=False))
    return types.CallToolResult(content=[block], structured_content=arguments)


@Offers("Numbers that a careless hop rewrites")
async def awkward_numbers(ctx: Ctx, params: Params) -> Answer:
    numbers = {"big": 9007199254740993, "negative": -9223372036854775808, "whole": 1.0, "small": 1e-7, "zero": 0}
    block = types.TextContent(type="text", text="see the structured content")
    return types.CallToolResult(
        content=[block], structured_content=numbers, _meta={"example.org/kept": {"order": ["b", "a"]}}
    )


_WAITING = [0]
"""How many calls of `wait_a_while` are in service in this process."""


@Offers("Answers after a while, or never when it is cancelled", {"seconds": {"type": "number"}})
async def wait_a_while(ctx: Ctx, params: Params) -> Answer:
    _WAITING[0] += 1
    try:
        await anyio.sleep(min(float((params.arguments or {}).get("seconds", 1)), 30.0))
    finally:
        _WAITING[0] -= 1
    return text("done waiting")


@Offers("How many calls are waiting: shows whether a cancellation arrived")
async def how_many_wait(ctx: Ctx, params: Params) -> Answer:
    return text(str(_WAITING[0]))


@Offers("A text of so many characters", {"characters": {"type": "integer"}})
async def long_text(ctx: Ctx, params: Params) -> Answer:
    pattern = "0123456789abcdefghijklmnopqrstuvwxyz \u00e9\u4e16\n"
    size = min(int((params.arguments or {}).get("characters", 1000)), 8_000_000)
    return text((pattern * (size // len(pattern) + 1))[:size])
