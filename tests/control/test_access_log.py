"""A line for each request, whoever did it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from gateway import House
from scripted_server import ScriptedServer
from watched import ROADS, ask, keep_busy, page, watched

from tidegate.control.telemetry.access_log import AccessLog
from tidegate.control.telemetry.console import ACCESS
from tidegate.events import CallsEnded, CapabilityServed, Events, ExchangeDone, PluginActed

pytestmark = pytest.mark.anyio

ECHO = {"name": "echo", "arguments": {}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What was logged of requests."""
    found: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    logger, keeper = logging.getLogger(ACCESS), Keeper()
    logger.addHandler(keeper)
    yield found
    logger.removeHandler(keeper)


def said(records: list[logging.LogRecord]) -> list[str]:
    """The lines, without how long it took."""
    return [record.getMessage().rpartition(" duration_ms=")[0] for record in records]


async def relayed(home: House) -> int:
    return int(json.loads(await page(home, "/flows"))["calls"]["relayed"])


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_lines_are_the_same_with_the_relay_and_without(era: str, records: list[logging.LogRecord]) -> None:
    found = []
    for relay in (True, False):
        async with watched(ScriptedServer(era), relay=relay, access_log=True) as home:
            for client_era, way in ROADS:
                await keep_busy(home, await home.client(way, client_era))
            assert (await relayed(home) > 10) is relay
        ends = [record.created for record in records]
        assert ends == sorted(ends)
        found.append(said(records))
        records.clear()
    assert found[0] == found[1]
    line = "request method=tools/call name=echo backend=one principal=anonymous transport=tcp era=stateless outcome="
    assert found[0].count(line + "ok") == 4
    assert found[0].count(line + "tool_error") == 2
    assert found[0].count(line + "error") == 1


async def test_nothing_is_written_unless_it_is_wanted_and_a_reload_decides(records: list[logging.LogRecord]) -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        for wanted, calls in ((False, 3), (True, 4), (False, 3), (True, 1)):
            await home.daemon.take_up(replace(home.daemon.snapshot, access_log=wanted))
            before = len(records)
            for _ in range(calls):
                await ask(home, client, "tools/call", ECHO, {"content": []})
            home.daemon.catch_up()
            assert len(records) - before == (calls if wanted else 0)
        assert await relayed(home) > 0


async def test_a_busy_second_drains_by_itself_and_nothing_is_lost(records: list[logging.LogRecord]) -> None:
    async with watched(ScriptedServer("modern"), access_log=True) as home:
        client = await home.stream_client("tcp", "modern")
        for _ in range(2):
            await ask(home, client, "tools/call", ECHO, {"content": []})
        many = 1500
        pending = []
        for _ in range(many):
            pending.append(client.tool("echo"))
            if len(pending) == 50:
                for _ in pending:
                    (await home.server.next_call("tools/call")).text("")
                for each in pending:
                    await each.reply()
                pending.clear()
        # A moment ago at most: more than a thousand were written without anybody asking.
        assert len(records) > 1000
        home.daemon.catch_up()
        assert said(records).count(said(records)[0]) == many + 2


def done(**more: object) -> ExchangeDone:
    fields = {
        "method": "tools/call",
        "name": "echo",
        "backend": "one",
        "transport": "tcp",
        "stateless": True,
        "principal": "anonymous",
        "outcome": "ok",
        "duration_s": 0.0125,
    }
    return ExchangeDone(**{**fields, **more})  # type: ignore[arg-type]


def written(records: list[logging.LogRecord], *events: ExchangeDone | CallsEnded) -> list[str]:
    bus = Events()
    log = AccessLog(bus, lambda: None)
    for event in events:
        bus.publish(event)
    log.close()
    bus.publish(done())
    return [record.getMessage() for record in records]


def test_a_line_is_one_word_a_value(records: list[logging.LogRecord]) -> None:
    (line,) = written(records, done(name='two words\nand=a "quote" \x1b', backend="", principal="é" * 300))
    rest = line.removeprefix("request method=tools/call name=")
    assert rest.startswith(r'"two words\nand=a \"quote\" \u001b" backend=- principal=ééé')
    assert rest.endswith("é… transport=tcp era=stateless outcome=ok duration_ms=12.500")
    assert len(line) < 450


def test_a_filter_that_stopped_a_call_is_named(records: list[logging.LogRecord]) -> None:
    (line,) = written(records, done(outcome="refused", filter="safety-envelope"))
    assert line.endswith(" outcome=refused filter=safety-envelope duration_ms=12.500")


def test_a_uri_loses_its_secrets(records: list[logging.LogRecord]) -> None:
    uris = [
        "https://joe:hunter22@example.org/a?token=abcdefghijkl&page=2",
        "urn:isbn:0451450523",
        "file:///srv/share/readme.md",
    ]
    lines = written(records, *(done(method="resources/read", name=uri) for uri in uris))
    names = [line.split(" name=")[1].split(" backend=")[0] for line in lines]
    assert names == ['"https://joe:…@example.org/a?token=…&page=2"', *uris[1:]]


def test_the_daemons_calls_to_itself_are_nobodys_requests(records: list[logging.LogRecord]) -> None:
    assert written(records, done(transport="canary")) == []


def test_what_could_not_be_kept_is_counted_in_words(records: list[logging.LogRecord]) -> None:
    lines = written(records, CallsEnded([(2.0, done())], lost=7))
    assert lines[1] == "requests_not_listed count=7"
    assert records[1].levelno == logging.WARNING
    assert records[1].created - records[0].created == pytest.approx(2.0, abs=0.5)


def test_who_served_a_capability_and_why_is_a_line(records: list[logging.LogRecord]) -> None:
    events = Events()
    log = AccessLog(events, lambda: None)
    events.publish(CapabilityServed("ocr", "cloud__read", "cloud", "cloud", "busy", "ok", 0.0125, 2))
    events.publish(CapabilityServed("ocr", "", "", "", "", "must_stay", 0.001, 0))
    log.close()
    assert said(records) == [
        "capability name=ocr tool=cloud__read backend=cloud where=cloud why=busy outcome=ok attempts=2",
        "capability name=ocr tool=- backend=- where=- why=- outcome=must_stay attempts=0",
    ]


def test_what_a_plugin_did_is_a_line_without_secrets(records: list[logging.LogRecord]) -> None:
    events = Events()
    log = AccessLog(events, lambda: None)
    events.publish(
        PluginActed("weather", "http", "GET https://api.example.com/now?key=sk-1234567890abcdef", "alice", "ok", 0.01)
    )
    log.close()
    events.publish(PluginActed("weather", "call", "host__load", "alice", "ok", 0.01))
    (line,) = said(records)
    assert line.startswith("plugin name=weather what=http target=")
    assert line.endswith(" caller=alice outcome=ok")
    assert "api.example.com" in line
    assert "sk-1234567890abcdef" not in line
