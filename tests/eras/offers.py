"""What the servers of these tests offer: tools, prompts and resources that use everything MCP has between two peers.

Written once for both eras; the programs `session_server.py` and `stateless_server.py` each serve it in theirs only.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
from asking import Ctx, Questions, ask, form, in_session, said, sample, state_of, visit
from journal import Journal
from mcp import types
from mcp.shared.exceptions import MCPError

Params: TypeAlias = types.CallToolRequestParams
Answer: TypeAlias = types.CallToolResult | types.InputRequiredResult
Call: TypeAlias = Callable[["Offers", Ctx, Params], Awaitable[Answer]]

LEVELS = ("debug", "info", "notice", "warning", "error")
STEP_S = 0.01
"""Pause between two notifications of one call, so that they do not come as one packet."""
LONG_S = 30.0
"""No call of a test lives as long."""

TOOLS: dict[str, Call] = {}


def offered(call: Call) -> Call:
    """Enters the method in `TOOLS` under its name."""
    TOOLS[call.__name__] = call
    return call


def text(line: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=line)], is_error=is_error)


class Offers:
    """The handlers of one server process."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.levels: dict[str, str] = {}
        """Log level by session."""
        self.subscribed: dict[str, set[str]] = {}
        """URIs by session."""

    # -- handlers -------------------------------------------------------------------------------------------------

    async def list_tools(self, ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        names = [*TOOLS, *self.journal.read("tools").split()]
        schema = {"type": "object", "additionalProperties": True}
        return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name in names])

    async def call_tool(self, ctx: Ctx, params: Params) -> Answer:
        if params.name in self.journal.read("tools").split():
            return text(f"I am {params.name}")
        if params.name not in TOOLS:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await TOOLS[params.name](self, ctx, params)

    async def list_prompts(self, ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        name = types.PromptArgument(name="name", required=True)
        return types.ListPromptsResult(
            prompts=[types.Prompt(name="greet", arguments=[name]), types.Prompt(name="asking_prompt")]
        )

    async def get_prompt(
        self, ctx: Ctx, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        if params.name == "greet":
            line = f"Greet {(params.arguments or {}).get('name')}."
        elif params.name == "asking_prompt":
            answers = await ask(ctx, params, {"about": form("About what?", "topic")})
            if isinstance(answers, types.InputRequiredResult):
                return answers
            line = f"About {said(answers['about'])}"
        else:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
        content = types.TextContent(type="text", text=line)
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])

    async def list_resources(self, ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        uris = ("eras://plain", "eras://watched", "eras://other", "eras://asking")
        return types.ListResourcesResult(resources=[types.Resource(uri=uri, name=uri[7:]) for uri in uris])

    async def list_templates(
        self, ctx: Ctx, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(uri_template="eras://item/{id}", name="item")
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, ctx: Ctx, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult | types.InputRequiredResult:
        uri = params.uri
        if uri == "eras://plain":
            line = "plain"
        elif uri in ("eras://watched", "eras://other"):
            line = self.journal.read(uri[7:], "untouched")
        elif uri == "eras://asking":
            answers = await ask(ctx, params, {"why": form("Why?", "reason")})
            if isinstance(answers, types.InputRequiredResult):
                return answers
            line = said(answers["why"])
        elif uri.startswith("eras://item/") and uri != "eras://item/missing":
            line = f"item {uri[12:]}"
        else:
            code = -32002 if in_session(ctx) else types.INVALID_PARAMS
            raise MCPError(code, "Resource not found", {"uri": uri})
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type="text/plain", text=line)]
        )

    async def complete(self, ctx: Ctx, params: types.CompleteRequestParams) -> types.CompleteResult:
        values = [word for word in ("Ada", "Adam", "Bea") if word.startswith(params.argument.value)]
        if params.context is not None:
            values += sorted((params.context.arguments or {}).values())
        return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))

    async def set_level(self, ctx: Ctx, params: types.SetLevelRequestParams) -> types.EmptyResult:
        self.levels[session_of(ctx)] = params.level
        return types.EmptyResult()

    async def subscribe(self, ctx: Ctx, params: types.SubscribeRequestParams) -> types.EmptyResult:
        self.subscribed.setdefault(session_of(ctx), set()).add(str(params.uri))
        self.journal.note("subscribed", str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Ctx, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self.subscribed.get(session_of(ctx), set()).discard(str(params.uri))
        self.journal.note("unsubscribed", str(params.uri))
        return types.EmptyResult()

    async def roots_changed(self, ctx: Ctx, params: types.NotificationParams | None) -> None:
        self.journal.note("roots-changed", "roots")

    # -- tools: plain ---------------------------------------------------------------------------------------------

    @offered
    async def echo(self, ctx: Ctx, params: Params) -> Answer:
        return types.CallToolResult(
            content=[types.TextContent(type="text", text="echo")], structured_content=params.arguments or {}
        )

    @offered
    async def fail(self, ctx: Ctx, params: Params) -> Answer:
        return text("it did not work", is_error=True)

    @offered
    async def refuse(self, ctx: Ctx, params: Params) -> Answer:
        """Answers with the protocol error of this code."""
        raise MCPError(int((params.arguments or {})["code"]), "refused on purpose", {"why": "test"})

    @offered
    async def need_sampling(self, ctx: Ctx, params: Params) -> Answer:
        """Refuses a client that did not declare sampling, as each era has it."""
        capabilities = ctx.session.client_capabilities
        if capabilities is not None and capabilities.sampling is not None:
            return text("declared")
        if in_session(ctx):
            raise MCPError(types.INVALID_REQUEST, "Sampling not supported")
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "needs the `sampling` capability", needed)

    @offered
    async def seen_of_client(self, ctx: Ctx, params: Params) -> Answer:
        """The abilities that this request's client has, as the server was told."""
        capabilities = ctx.session.client_capabilities or types.ClientCapabilities()
        seen = capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
        return text(json.dumps({"revision": ctx.protocol_version, "capabilities": seen}))

    # -- tools: what comes before the answer ------------------------------------------------------------------------

    @offered
    async def report(self, ctx: Ctx, params: Params) -> Answer:
        for step in (1, 2, 3):
            await ctx.session.report_progress(step, 3, f"step {step}")
            await anyio.sleep(STEP_S)
        return text("reported")

    @offered
    async def log(self, ctx: Ctx, params: Params) -> Answer:
        """One line of each level that this client wants."""
        lowest = self.levels.get(session_of(ctx), "debug") if in_session(ctx) else "debug"
        for level in LEVELS:
            if not in_session(ctx) or LEVELS.index(level) >= LEVELS.index(lowest):
                await ctx.session.send_log_message(
                    level,  # type: ignore[arg-type]  # one of the literals
                    f"at {level}",
                    logger="eras",
                    related_request_id=ctx.request_id,
                )
                await anyio.sleep(STEP_S)
        return text("logged")

    @offered
    async def wait(self, ctx: Ctx, params: Params) -> Answer:
        """Answers when it is let go; notes when it is cancelled."""
        key = str((params.arguments or {})["key"])
        self.journal.note("started", key)
        try:
            with anyio.move_on_after(LONG_S):
                await self.journal.wait_flag(key)
        except anyio.get_cancelled_exc_class():
            self.journal.note("cancelled", key)
            raise
        return text("waited")

    # -- tools: questions -------------------------------------------------------------------------------------------

    async def _ask(self, ctx: Ctx, params: Params, questions: Questions) -> Answer:
        """Asks, notes how that ended, and answers with what was said, by key."""
        key = str((params.arguments or {}).get("key", ""))
        try:
            answers = await ask(ctx, params, questions)
        except MCPError as refused:
            self.journal.note("refused", key, code=refused.error.code)
            return text(f"refused {refused.error.code}", is_error=True)
        except anyio.get_cancelled_exc_class():
            self.journal.note("cancelled", key)
            raise
        if isinstance(answers, types.InputRequiredResult):
            self.journal.note("left-asking", key)
            return answers
        line = "; ".join(f"{name}: {said(answers[name])}" for name in questions)
        self.journal.note("answered", key, said=line)
        return text(line)

    @offered
    async def elicit_form(self, ctx: Ctx, params: Params) -> Answer:
        who = str((params.arguments or {}).get("who", "you"))
        return await self._ask(ctx, params, {"name": form(f"What is the name of {who}?", "name")})

    @offered
    async def elicit_url(self, ctx: Ctx, params: Params) -> Answer:
        return await self._ask(ctx, params, {"page": visit(ctx, "Please look here", "https://example.org/look")})

    @offered
    async def page_done(self, ctx: Ctx, params: Params) -> Answer:
        """Tells that the person has been on a page; sessions only."""
        if in_session(ctx):
            await ctx.session.send_elicit_complete("visit-1", related_request_id=ctx.request_id)
        return text("told")

    @offered
    async def page_until_seen(self, ctx: Ctx, params: Params) -> Answer:
        """Sends the person to a page again and again until the test says that it was seen; stateless only."""
        key = str((params.arguments or {})["key"])
        if (self.journal.folder / f"go-{key}").exists():
            return text("seen")
        page = visit(ctx, "Look and stay", "https://example.org/stay")
        return types.InputRequiredResult(input_requests={"page": page}, request_state=json.dumps({}))

    @offered
    async def page_first(self, ctx: Ctx, params: Params) -> Answer:
        """Works after the person was sent to a page, which a session server says by an error of 2025-11-25."""
        key = str((params.arguments or {})["key"])
        if not in_session(ctx):
            return await self._ask(ctx, params, {"page": visit(ctx, "First look here", "https://example.org/first")})
        if self.journal.entries("sent", key):
            return text("welcome back")
        self.journal.note("sent", key)
        place = {"mode": "url", "message": "First look here", "url": "https://example.org/first", "elicitationId": key}
        raise MCPError(types.URL_ELICITATION_REQUIRED, "Look there first", {"elicitations": [place]})

    @offered
    async def sample(self, ctx: Ctx, params: Params) -> Answer:
        return await self._ask(ctx, params, {"model": sample("Say something")})

    @offered
    async def list_roots(self, ctx: Ctx, params: Params) -> Answer:
        return await self._ask(ctx, params, {"roots": types.ListRootsRequest()})

    @offered
    async def ask_aside(self, ctx: Ctx, params: Params) -> Answer:
        """Asks by the session's own channel, which names no request; sessions only."""
        if not in_session(ctx):
            return text("nothing to ask")
        return text(f"roots: {said(await ctx.session.list_roots())}")

    @offered
    async def ask_together(self, ctx: Ctx, params: Params) -> Answer:
        questions: Questions = {
            "name": form("Your name?", "name"),
            "model": sample("A greeting, please"),
            "roots": types.ListRootsRequest(),
        }
        return await self._ask(ctx, params, questions)

    @offered
    async def ask_in_rounds(self, ctx: Ctx, params: Params) -> Answer:
        """Three questions, each with the answer to the one before."""
        heard: list[str] = list(state_of(params).get("heard", []))
        while len(heard) < 3:
            message = f"Round {len(heard) + 1} after {heard[-1] if heard else 'nothing'}"
            answers = await ask(ctx, params, {f"round{len(heard) + 1}": form(message, "word")}, {"heard": heard})
            if isinstance(answers, types.InputRequiredResult):
                return answers
            [answer] = answers.values()
            heard.append(said(answer))
        return text("; ".join(heard))

    @offered
    async def ask_while_reporting(self, ctx: Ctx, params: Params) -> Answer:
        await ctx.session.report_progress(1, 3, "before")
        answer = await self._ask(ctx, params, {"go": form("Go on?", "go")})
        if not isinstance(answer, types.InputRequiredResult):
            await ctx.session.report_progress(2, 3, "after")
            await ctx.session.report_progress(3, 3, "done")
        return answer

    @offered
    async def ask_when_told(self, ctx: Ctx, params: Params) -> Answer:
        """Asks only after the test let it go."""
        key = str((params.arguments or {})["key"])
        self.journal.note("started", key)
        try:
            await self.journal.wait_flag(key)
        except anyio.get_cancelled_exc_class():
            self.journal.note("cancelled", key)
            raise
        return await self._ask(ctx, params, {"late": form("Still there?", "word")})


def session_of(ctx: Ctx) -> str:
    """Which session a request came in by; a process on stdio has one."""
    return str(ctx.request.headers.get("mcp-session-id", "")) if ctx.request is not None else ""
