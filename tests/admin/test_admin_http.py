"""The operator's HTTP, over a real socket of a real daemon in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tidegate.config.bearer_token import token_sha256
from tidegate.config.snapshot import Backend, Client, Listen, Secret, Snapshot
from tidegate.control.telemetry.log_ring import MAX_LINES
from tidegate.daemon import Daemon, Tasks
from tidegate.protocol.meta_keys import TOKEN

pytestmark = pytest.mark.anyio

WAIT_S = 20.0
log = logging.getLogger("tidegate.test")
SECRET = "a-secret-of-the-broken-one"
HOST = Backend(name="host", transport="builtin", address="host")
BROKEN = Backend(name="broken", transport="stdio", command=(f"/nowhere/{SECRET}",), env=(("TOKEN", Secret(SECRET)),))
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def running(*backends: Backend, clients: tuple[Client, ...] = ()) -> AsyncIterator[Daemon]:
    listen = Listen(tcp=("127.0.0.1:0",), admin="127.0.0.1:0")
    async with anyio.create_task_group() as group:
        daemon = Daemon(Snapshot(listen=listen, backends=backends, clients=clients), Tasks(group))
        try:
            await daemon.listen()
            yield daemon
        finally:
            with anyio.CancelScope(shield=True):
                await daemon.aclose()
            group.cancel_scope.cancel()


async def exchange(where: str, data: bytes) -> bytes:
    host, _, port = where.removeprefix("http://").rpartition(":")
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def ask(daemon: Daemon, path: str, *, method: str = "GET", host: str = "localhost", more: str = "") -> Any:
    """(status, headers, body)."""
    request = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n"
    raw = await exchange(str(daemon.addresses["admin"]), request.encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return int(status.split()[1]), headers, body


async def call(daemon: Daemon, method: str, token: str | None = None, **params: object) -> dict[str, Any]:
    """One request of a client on the TCP listener."""
    (where,) = daemon.addresses["tcp"]  # type: ignore[misc, attr-defined]
    host, _, port = where.rpartition(":")
    meta = META if token is None else {**META, TOKEN: token}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
        try:
            writer.write(json.dumps(message).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()
            await writer.wait_closed()


async def test_health_is_ok_while_nothing_is_known_to_be_broken() -> None:
    async with running(HOST) as daemon:
        status, headers, body = await ask(daemon, "/health")
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {"status": "ok", "backends": [{"backend": "host", "up": True, "error": None}]}


async def test_health_is_degraded_by_a_backend_that_cannot_be_reached_and_keeps_its_secret() -> None:
    async with running(HOST, BROKEN) as daemon:
        await call(daemon, "tools/list")
        status, _, body = await ask(daemon, "/health")
        assert status == 200
        health = json.loads(body)
        assert health["status"] == "degraded"
        assert health["backends"][0]["up"] is True
        assert health["backends"][1]["error"] == "backend `broken`: the program `/nowhere/…` was not found"


async def test_live_and_ready_are_200_while_it_runs() -> None:
    async with running(HOST) as daemon:
        assert (await ask(daemon, "/health/live"))[0] == 200
        assert (await ask(daemon, "/health/ready"))[0] == 200


async def test_ready_is_503_while_it_drains_and_live_stays() -> None:
    async with running(HOST) as daemon:
        daemon.gateway.stopping = True
        assert (await ask(daemon, "/health/ready"))[0] == 503
        assert (await ask(daemon, "/health/live"))[0] == 200
        assert (await ask(daemon, "/health"))[0] == 200


async def test_info_names_version_revisions_addresses_and_what_backends_speak() -> None:
    async with running(HOST) as daemon:
        await call(daemon, "tools/list")
        info = json.loads((await ask(daemon, "/info"))[2])
        assert info["name"] == "tidegate"
        assert info["revisions"][0] == "2026-07-28"
        assert info["revisions"][-1] == "2024-11-05"
        assert info["listen"] == daemon.addresses
        (backend,) = info["backends"]
        assert backend["backend"] == "host"
        assert backend["eras"] == ["stateless"]
        assert backend["slots"] == [{"serves": "stateless", "state": "ready", "revision": "2026-07-28"}]
        assert info["features"]["authentication"] is False


async def test_status_is_what_the_daemon_counts() -> None:
    async with running(HOST) as daemon:
        await call(daemon, "tools/list")
        status = json.loads((await ask(daemon, "/status"))[2])
        assert status["connections"]["served_total"] == 1
        assert status["backends"][0]["slots"][0]["offers"]["tools"] > 5


async def test_metrics_count_the_calls_of_clients() -> None:
    async with running(HOST) as daemon:
        answer = await call(daemon, "tools/call", name="uptime", arguments={})
        assert "result" in answer
        status, headers, body = await ask(daemon, "/metrics")
        assert status == 200
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        sample = (
            'tidegate_requests_total{backend="host",method="tools/call",tool="uptime",era="stateless",'
            'transport="tcp",outcome="ok"} 1\n'
        )
        assert sample in body.decode()
        assert 'tidegate_backend_up{backend="host"} 1\n' in body.decode()


async def test_a_tool_that_says_it_failed_is_told_apart() -> None:
    async with running(HOST) as daemon:
        answer = await call(daemon, "tools/call", name="processes", arguments={"sort": "by colour"})
        assert answer["result"]["isError"] is True
        await call(daemon, "tools/call", name="processes", arguments={"limit": 1})
        metrics = (await ask(daemon, "/metrics"))[2].decode()
        labels = 'backend="host",method="tools/call",tool="processes",era="stateless",transport="tcp"'
        assert f'tidegate_requests_total{{{labels},outcome="tool_error"}} 1\n' in metrics
        assert f'tidegate_requests_total{{{labels},outcome="ok"}} 1\n' in metrics


async def test_what_is_turned_away_at_the_door_is_counted() -> None:
    async with running(HOST, clients=(Client("laptop", token_sha256("tg_something")),)) as daemon:
        (where,) = daemon.addresses["tcp"]  # type: ignore[misc, attr-defined]
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(WAIT_S):
            for line in (b"{broken", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'):
                writer.write(line + b"\n")
                assert "error" in json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        metrics = (await ask(daemon, "/metrics"))[2].decode()
        assert 'tidegate_refused_total{transport="tcp",reason="not_json"} 1\n' in metrics
        assert 'tidegate_refused_total{transport="tcp",reason="unauthorized"} 1\n' in metrics
        assert json.loads((await ask(daemon, "/activity"))[2])["refused"] == 2


async def test_no_page_shows_a_secret() -> None:
    token = "tg_of-a-client-that-is-only-here"
    digest = token_sha256(token)
    async with running(HOST, BROKEN, clients=(Client("laptop", digest),)) as daemon:
        answer = await call(daemon, "tools/list", token=token)
        assert "result" in answer
        for path in ("/health", "/info", "/status", "/metrics", "/activity", "/logs"):
            body = (await ask(daemon, path))[2].decode()
            assert "broken" in body
            assert not [secret for secret in (SECRET, token, digest) if secret in body]


async def test_activity_has_the_counts_that_rates_are_made_of() -> None:
    async with running(HOST) as daemon:
        for _ in range(3):
            await call(daemon, "tools/call", name="uptime", arguments={})
        activity = json.loads((await ask(daemon, "/activity"))[2])
        (row,) = [row for row in activity["calls"] if row["tool"] == "uptime"]
        assert row["outcomes"] == {"ok": 3}
        assert sum(count for _, count in row["latency"]) == 3
        assert all(at <= len(activity["bounds_s"]) for at, _ in row["latency"])
        assert activity["gateway"]["memory_bytes"] > 1_000_000
        assert activity["backends"][0]["state"] == "ready"
        assert activity["backends"][0]["max_in_flight"] == 64


async def test_logs_are_one_object_a_line_and_can_be_chosen() -> None:
    async with running(HOST) as daemon:
        log.info("from=%s", "nobody")
        log.info("started TOKEN=hunter2", extra={"backend": "files"})
        log.warning("lost", extra={"backend": "files"})

        async def texts(query: str) -> list[str]:
            status, headers, body = await ask(daemon, f"/logs{query}")
            assert (status, headers["content-type"]) == (200, "application/x-ndjson")
            return [json.loads(line)["text"] for line in body.splitlines()]

        assert await texts("") == ["from=nobody", "started TOKEN=…", "lost"]
        assert await texts("?backend=files&level=warning") == ["lost"]
        assert await texts("?lines=2") == ["started TOKEN=…", "lost"]
        assert await texts("?since_s=0") == []
        assert await texts("?lines=0") == []


@pytest.mark.parametrize("query", ["level=loud", "lines=-1", "lines=x", "since_s=nan", "colour=red"])
async def test_a_question_about_logs_that_makes_no_sense_is_400(query: str) -> None:
    async with running(HOST) as daemon:
        status, _, body = await ask(daemon, f"/logs?{query}")
        assert status == 400
        assert query.split("=")[0] in json.loads(body)["error"]


@asynccontextmanager
async def following(daemon: Daemon, query: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """The body of `/logs?follow=1`, still in chunks."""
    host, _, port = str(daemon.addresses["admin"]).removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET /logs?follow=1{query} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(WAIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            yield reader
    finally:
        writer.close()


async def next_line(reader: asyncio.StreamReader) -> dict[str, Any]:
    while True:
        line = (await reader.readline()).strip()
        if line.startswith(b"{"):
            found: dict[str, Any] = json.loads(line)
            return found


async def test_who_follows_the_log_hears_what_comes_also_from_other_threads() -> None:
    async with running(HOST) as daemon:
        log.info("before")
        async with following(daemon, "&backend=files") as reader:
            await reader.readline()
            log.info("not this one")
            await asyncio.to_thread(log.info, "from a thread", extra={"backend": "files"})
            assert (await next_line(reader))["text"] == "from a thread"
            log.info("more", extra={"backend": "files"})
            assert (await next_line(reader))["text"] == "more"


async def test_a_follower_that_misses_lines_is_told_how_many() -> None:
    async with running(HOST) as daemon, following(daemon) as reader:
        await reader.readline()
        # All in one turn of the loop: more than the ring keeps.
        for number in range(MAX_LINES + 7):
            log.info("%s", number)
        assert await next_line(reader) == {"lost": 7}
        assert (await next_line(reader))["text"] == "7"


async def test_a_follower_that_does_not_read_costs_little_and_is_told_what_it_missed() -> None:
    async with running(HOST) as daemon:
        host, _, port = str(daemon.addresses["admin"]).removeprefix("http://").rpartition(":")
        link = socket.create_connection((host, int(port)))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
        link.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=link)
        writer.write(b"GET /logs?follow=1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            await reader.readuntil(b"\r\n\r\n")
            pages = daemon._admin_pages
            assert pages is not None
            (follower,) = pages._logs._followers
            sent = 0
            while follower._lost < 300:
                # A portion that the ring has room for, in each turn of the loop: the ring itself loses none.
                for _ in range(100):
                    log.info("%05d %s", sent, "x" * 3000)
                    sent += 1
                await asyncio.sleep(0)
                assert follower._stream.buffered_bytes < 2**20
            lost = follower._lost
            seen = b""
            while follower._stream.buffered_bytes:
                seen += await reader.read(2**20)
            log.info("the last one")
            while b"the last one" not in seen:
                seen += await reader.read(2**20)
        writer.close()
        assert b'{"lost": %d}\n' % lost in seen
        assert len(re.findall(rb'"text": "\d{5} x', seen)) == sent - lost


async def test_the_stream_ends_with_the_gateway_and_places_are_given_back() -> None:
    async with running(HOST) as daemon:
        for _ in range(3):
            for _ in range(5):
                async with following(daemon) as reader:
                    await reader.readline()
            async with asyncio.timeout(WAIT_S):
                while json.loads((await ask(daemon, "/health"))[2])["status"] != "ok":
                    pass
        async with following(daemon) as reader:
            await reader.readline()
            daemon._admin_pages.close()  # type: ignore[union-attr]
            assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")


async def test_head_has_the_head_alone() -> None:
    async with running(HOST) as daemon:
        for path in ("/health", "/health/ready", "/info", "/status", "/metrics", "/activity"):
            status, headers, body = await ask(daemon, path, method="HEAD")
            assert status == 200
            assert int(headers["content-length"]) > 10
            assert body == b""


async def test_other_methods_are_405_and_other_paths_404() -> None:
    async with running(HOST) as daemon:
        status, headers, _ = await ask(daemon, "/metrics", method="POST", more="content-length: 0\r\n")
        assert status == 405
        assert headers["allow"] == "GET, HEAD"
        assert (await ask(daemon, "/"))[0] == 404
        assert (await ask(daemon, "/mcp"))[0] == 404
        assert (await ask(daemon, "/health?verbose"))[0] == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8809", "[::1]:1"])
async def test_loopback_names_are_let_in(host: str) -> None:
    async with running(HOST) as daemon:
        assert (await ask(daemon, "/status", host=host))[0] == 200


async def test_a_page_that_rebound_its_name_is_refused() -> None:
    async with running(HOST) as daemon:
        status, _, body = await ask(daemon, "/status", host="evil.example")
        assert status == 403
        assert b"backends" not in body
        assert (await ask(daemon, "/status", more="origin: https://evil.example\r\n"))[0] == 403


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
async def test_a_page_of_another_site_cannot_use_up_the_followers(site: str, status: int) -> None:
    async with running(HOST) as daemon:
        found, _, _ = await ask(daemon, "/logs", more=f"sec-fetch-site: {site}\r\n")
        assert found == status
