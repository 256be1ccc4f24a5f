"""Every revision of a client with every revision of a server, by raw peers that know their own revision only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from abilities import CELLS
from clients import Client, HttpClient, Reply
from gateway_process import Gateway, backend, gateway
from heard import Json, within
from houses import LIMITS
from pinned import ELICITING, REVISIONS, STATELESS, URL_ELICITING, PinnedServer, is_stateless, pinned_client
from scripted_server import Received

pytestmark = pytest.mark.anyio
WAYS_OUT = {
    "2024-11-05": "sse",
    "2025-03-26": "http",
    "2025-06-18": "stdio",
    "2025-11-25": "http",
    "2026-07-28": "http",
}
"""Each server on a transport of its time."""
ANSWERS: dict[str, Json] = {
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"},
    "roots/list": {"roots": [{"uri": "file:///srv"}]},
    "elicitation/create": {"action": "accept", "content": {"name": "Ada"}},
}
QUESTIONS: dict[str, Json] = {
    "sampling/createMessage": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "Capital?"}}],
        "maxTokens": 5,
    },
    "roots/list": {},
    "elicitation/create": {
        "message": "Name?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}


@dataclass
class Shore:
    """One gateway in front of a server of each revision."""

    gateway: Gateway
    servers: dict[str, PinnedServer]


@pytest.fixture(scope="module")
async def shore(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Shore]:
    folder: Path = tmp_path_factory.mktemp("pairs")
    servers = {revision: PinnedServer(revision) for revision in REVISIONS}
    config = LIMITS
    for revision, server in servers.items():
        way = WAYS_OUT[revision]
        found = await server.listen(way, folder)
        if way == "stdio":
            config += backend(found.name, command=found.command)
        else:
            config += backend(found.name, url=found.url, transport=way)
    running = gateway(config)
    daemon = await anyio.to_thread.run_sync(running.__enter__)
    try:
        yield Shore(daemon, servers)
    finally:
        await anyio.to_thread.run_sync(running.__exit__, None, None, None)
        for server in servers.values():
            server.close()


@dataclass
class Pair:
    client: Client
    server: PinnedServer

    @property
    def name(self) -> str:
        """Of the server's tool, as the client sees it."""
        return f"{self.server.name}__echo"

    def stateless(self) -> bool:
        return is_stateless(self.client.revision)

    async def both(self, method: str, sent: Json, answer: Json) -> tuple[Received, Reply]:
        """One request from end to end: as the server got it, and what came back."""
        pending = self.client.begin(method, sent)
        received = await self.server.next_call(method)
        received.reply(self.server.complete(answer))
        return received, await pending.reply()


@pytest.fixture(params=[(client, server) for client in REVISIONS for server in REVISIONS], ids=" to ".join)
async def pair(request: pytest.FixtureRequest, shore: Shore) -> AsyncIterator[Pair]:
    revision, other = request.param
    client = pinned_client(revision, shore.gateway.http)
    await within(client.start())
    try:
        yield Pair(client, shore.servers[other])
    finally:
        if isinstance(client, HttpClient) and client.session:
            # A session that is left without a word keeps its connections to servers until it has been idle long.
            await within(client.open("DELETE", client.headers(), b"", None).ended.wait())
        client.close()


def own(pair: Pair, result: Json) -> Json:
    """The result has what the client's revision has of results, and no more."""
    assert ("resultType" in result) == pair.stateless()
    return result


@pytest.mark.proves("pairs.basic", cells=tuple(CELLS))
async def test_a_pair_opens_lists_calls_reads_completes_and_pings(pair: Pair) -> None:
    client, server = pair.client, pair.server
    # open
    if pair.stateless():
        facts = own(pair, (await client.call("server/discover")).result)
        assert STATELESS in facts["supportedVersions"]
    else:
        assert client.initialized["protocolVersion"] == client.revision
        facts = client.initialized
    assert {"tools", "prompts", "resources"} <= set(facts["capabilities"])
    # list
    listed = own(pair, (await client.call("tools/list")).result)["tools"]
    [tool] = [tool for tool in listed if tool["name"] == pair.name]
    newer = client.revision >= "2025-06-18" and server.revision >= "2025-06-18"
    assert ("outputSchema" in tool) == newer
    assert ("annotations" in tool) >= (client.revision >= "2025-03-26" and server.revision >= "2025-03-26")
    assert f"{server.name}__greet" in await client.names("prompts/list", "prompts")
    uri = f"test://{server.name}/a"
    assert uri in await client.names("resources/list", "resources", "uri")
    # a call with progress
    meta = {"progressToken": "mine"}
    pending = client.begin("tools/call", {"name": pair.name, "arguments": {"n": 1.0}}, meta=meta)
    received = await server.next_call("tools/call")
    assert received.params["name"] == "echo"
    assert b'"n":1.0' in received.raw
    received.progress(4)
    notice = await client.notices.wait(
        lambda item: item["method"] == "notifications/progress" and item["params"]["progressToken"] == "mine"
    )
    assert (notice["params"]["progress"], notice["params"]["total"]) == (4, 10)
    received.text("done")
    assert (await pending.reply()).text == "done"
    own(pair, (await pending.reply()).result)
    # prompt, resource, completion
    message = {"role": "user", "content": {"type": "text", "text": "Hi"}}
    received, reply = await pair.both("prompts/get", {"name": f"{server.name}__greet"}, {"messages": [message]})
    assert received.params["name"] == "greet"
    assert own(pair, reply.result)["messages"] == [message]
    item = f"test://{server.name}/item/7"
    content = {"uri": item, "mimeType": "text/plain", "text": "seven"}
    caching = {"ttlMs": 0, "cacheScope": "private"} if is_stateless(server.revision) else {}
    received, reply = await pair.both("resources/read", {"uri": item}, {"contents": [content], **caching})
    assert own(pair, reply.result)["contents"] == [content]
    assert ("ttlMs" in reply.result) == pair.stateless()
    asked = {"ref": {"type": "ref/prompt", "name": f"{server.name}__greet"}, "argument": {"name": "who", "value": "A"}}
    received, reply = await pair.both("completion/complete", asked, {"completion": {"values": ["Ada"]}})
    assert received.params["ref"]["name"] == "greet"
    assert own(pair, reply.result)["completion"]["values"] == ["Ada"]
    # ping
    answer = await client.call("ping")
    if pair.stateless():
        assert answer.error["code"] == -32601
    else:
        assert answer.result == {}
    assert server.strange == []


@pytest.mark.proves("pairs.questions", cells=tuple(CELLS))
async def test_a_pair_asks_in_the_middle_what_both_have(pair: Pair) -> None:
    client, server = pair.client, pair.server
    shared = ["sampling/createMessage", "roots/list"]
    if client.revision >= ELICITING and server.revision >= ELICITING:
        shared.append("elicitation/create")
    pending = client.tool(pair.name)
    received = await server.next_call("tools/call")
    declared = server.declared(received)
    assert {"sampling", "roots"} <= set(declared)
    # Declared in the handshake, before the server has said what it speaks: an older one leaves it unread.
    assert ("elicitation" in declared) == (client.revision >= ELICITING)
    if client.revision >= ELICITING:
        assert ("url" in declared["elicitation"]) == (client.revision >= URL_ELICITING)
    for method in shared:
        asking = asyncio.ensure_future(_server_asks(server, received, method))
        pending = await _client_answers(client, pending, method, pair.name)
        received = await within(asking)
    received.text("thanks")
    assert (await pending.reply()).text == "thanks"
    own(pair, (await pending.reply()).result)
    assert server.strange == []


async def _server_asks(server: PinnedServer, received: Received, method: str) -> Received:
    """One question in the way of the server's era; the request that is to be answered next."""
    if not is_stateless(server.revision):
        answer = await within(received.ask(method, QUESTIONS[method]))
        assert _less(answer["result"]) == ANSWERS[method]
        return received
    server.input_required(received, {"key": (method, QUESTIONS[method])}, f"state of {method}")
    again = await server.next_call("tools/call")
    assert again.params["requestState"] == f"state of {method}"
    assert _less(again.params["inputResponses"]["key"]) == ANSWERS[method]
    return again


async def _client_answers(client: Client, pending: Any, method: str, name: str) -> Any:
    """One answer in the way of the client's era; the request whose answer is awaited next."""
    if not is_stateless(client.revision):
        question = await client.questions.wait(lambda item: item["method"] == method)
        assert question["params"] if method != "roots/list" else True
        client.answer(question, ANSWERS[method])
        return pending
    result = (await pending.reply()).result
    assert result["resultType"] == "input_required"
    [(key, question)] = result["inputRequests"].items()
    assert question["method"] == method
    params = {
        "name": name,
        "arguments": {},
        "inputResponses": {key: ANSWERS[method]},
        "requestState": result["requestState"],
    }
    return client.begin("tools/call", params)


def _less(answer: Json) -> Json:
    """An answer without what the gateway may have to say about it."""
    return {key: value for key, value in answer.items() if key not in ("_meta", "resultType")}
