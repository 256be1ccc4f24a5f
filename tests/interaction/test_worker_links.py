"""Resource links that workers of models want read: by the gateway, with the caller's rights, and seen by no client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from gateway import House, house
from heard import Json, until
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.config.snapshot import Limits, Model, Sampling
from tidegate.events import Event, ExchangeDone

pytestmark = pytest.mark.anyio

URI = "test://files/a"
HELD: Json = {"contents": [{"uri": URI, "mimeType": "image/png", "blob": "AAAA"}]}
ERAS = pytest.mark.parametrize(("era", "way_in"), [("modern", "http"), ("modern", "tcp"), ("session", "http")])
KINDS = pytest.mark.parametrize("files_era", ["modern", "session"])


def wanting(*uris: object, state: str = "s") -> Json:
    requests = {f"{n}": {"method": "resources/read", "params": {"uri": uri}} for n, uri in enumerate(uris)}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


@asynccontextmanager
async def worker_house(
    files_era: str = "modern", *, models: bool = True, **more: Json
) -> AsyncIterator[tuple[House, ScriptedServer]]:
    """With a worker of models (or not) that has the tool `read`, and a server with resources."""
    worker = ScriptedServer("modern", "worker", tools=(tool("read"),))
    worker.offers["resources"], worker.offers["resourceTemplates"] = [], []
    files = ScriptedServer(files_era, "files")
    fields: list[Json] = [{"prefix": "", "models": (Model("x", shipped=True),) if models else ()}, {"prefix": ""}]
    async with house(worker, files, transport=["stdio", "tcp"], fields=fields, **more) as home:
        yield home, files


@ERAS
@KINDS
async def test_a_link_is_read_and_the_call_goes_on(era: str, way_in: str, files_era: str) -> None:
    async with worker_house(files_era) as (home, files):
        told: list[Event] = []
        home.daemon.events.subscribe(told.append)
        client = await home.client(way_in, era, capabilities={"elicitation": {}})
        for _ in range(3):
            pending = client.tool("read", {"image": {"type": "resource_link", "uri": URI}})
            call = await home.server.next_call()
            call.reply(wanting(URI))
            read = await files.next_call("resources/read")
            assert read.params["uri"] == URI
            read.reply(files.complete(HELD))
            call = await home.server.next_call()
            assert call.params["arguments"] == {"image": {"type": "resource_link", "uri": URI}}
            assert call.params["requestState"] == "s"
            assert call.params["inputResponses"]["0"]["contents"] == HELD["contents"]
            call.text("ABC")
            assert (await pending.reply()).text == "ABC"
        assert not len(client.questions)
        done = [(event.method, event.transport) for event in told if isinstance(event, ExchangeDone)]
        assert ("resources/read", "gateway") in done


@ERAS
async def test_several_links_and_several_rounds(era: str, way_in: str) -> None:
    async with worker_house() as (home, files):
        files.offers["resources"].append(b'{"uri":"test://files/b","name":"b"}')
        client = await home.client(way_in, era)
        pending = client.tool("read")
        call = await home.server.next_call()
        call.reply(wanting(URI, "test://files/b"))
        for _ in range(2):
            read = await files.next_call("resources/read")
            read.reply(files.complete({"contents": [{"uri": read.params["uri"], "text": read.params["uri"]}]}))
        call = await home.server.next_call()
        given = call.params["inputResponses"]
        assert [given[key]["contents"][0]["text"] for key in ("0", "1")] == [URI, "test://files/b"]
        call.reply(wanting(URI, state="t"))
        (await files.next_call("resources/read")).reply(files.complete(HELD))
        call = await home.server.next_call()
        assert (call.params["requestState"], list(call.params["inputResponses"])) == ("t", ["0"])
        call.text("done")
        assert (await pending.reply()).text == "done"


@ERAS
@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://127.0.0.1:1/x", "test://nowhere/x", 7])
async def test_what_no_backend_has_is_not_read(era: str, way_in: str, uri: object) -> None:
    async with worker_house() as (home, files):
        client = await home.client(way_in, era)
        pending = client.tool("read")
        (await home.server.next_call()).reply(wanting(uri))
        error = (await pending.reply()).error
        assert error["data"]["method"] == "resources/read"
        assert error["data"]["cause"] in ("unknown_resource", "question_refused")
        assert f"the resource `{uri}` could not be read: " in error["message"]
        assert not len(files.calls)
        assert home.daemon.gateway.admission.in_flight == 0


@ERAS
async def test_what_the_caller_may_not_use_is_not_read(era: str, way_in: str) -> None:
    owners = [TokenOwner("ada", sha256(b"ada").hexdigest(), resources=("test://other/*",))]
    async with worker_house(owners=owners) as (home, files):
        client = await home.client(way_in, era, token="ada")
        pending = client.tool("read")
        (await home.server.next_call()).reply(wanting(URI))
        assert (await pending.reply()).error["data"]["cause"] == "unknown_resource"
        assert not len(files.calls)


@ERAS
async def test_what_is_too_large_ends_the_call(era: str, way_in: str) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, line_bytes=100_000)
    async with worker_house(limits=limits) as (home, files):
        client = await home.client(way_in, era)
        for size, cause in ((99_970, "question_unanswered"), (97_000, None)):
            pending = client.tool("read")
            (await home.server.next_call()).reply(wanting(URI))
            held = {"contents": [{"uri": URI, "blob": "A" * size}]}
            # Over HTTP, answers have a bound of their own; here they come as lines.
            (await files.next_call("resources/read")).reply(held)
            error = (await pending.reply()).error
            if cause is not None:
                assert error["data"]["cause"] == cause
            else:
                assert "makes a request of more than 100000 bytes" in error["message"]
        assert len(home.server.calls) == 2


@ERAS
@pytest.mark.parametrize("sampling", [Sampling(), Sampling("read")], ids=["alone", "one that may ask for a model"])
async def test_only_workers_may_want_that(era: str, way_in: str, sampling: Sampling) -> None:
    async with worker_house(models=False, sampling=sampling) as (home, files):
        client = await home.client(way_in, era)
        pending = client.tool("read")
        (await home.server.next_call()).reply(wanting(URI))
        reply = await pending.reply()
        assert era == "modern" or "may not ask" in reply.error["message"]
        assert not len(files.calls)


async def test_who_gives_up_stops_the_reading() -> None:
    async with worker_house() as (home, files):
        client = await home.client("tcp", "modern")
        pending = client.tool("read")
        (await home.server.next_call()).reply(wanting(URI))
        read = await files.next_call("resources/read")
        client.cancel(pending)
        assert (await files.wait_heard("notifications/cancelled")).params["requestId"] == read.id
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)
