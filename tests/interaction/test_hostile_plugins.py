"""Plugins that mean harm, behind a real gateway: each gets its named error, and nobody else notices."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from clients import Reply
from gateway import House, house
from heard import Json, until
from hostile import BUILD, FILTERS, REFUSED, SERVED, hostile, hostile_filter, plugin
from scripted_server import ScriptedServer, dump

from tidegate.config.snapshot import Backend, Limits
from tidegate.events import BackendState, Event
from tidegate.pipeline.plugins import Plugins
from tidegate.sandbox.artefacts import Artefacts, sha256_of

_sandbox = pytest.importorskip("tidegate._sandbox")
if not BUILD.is_dir():
    pytest.skip("needs `make -C wasm hostile`", allow_module_level=True)

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ["session", "modern"])
one_mode = pytest.mark.parametrize("relay_mode", ["on"], indirect=True)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the code of all guests is that can be compiled; a gateway would take half a minute for it, in children."""
    folder = tmp_path_factory.mktemp("plugins")
    folder.chmod(0o700)
    artefacts, engine = Artefacts(folder), _sandbox.engine_key()
    fail_when_loaded = [name for name in REFUSED if name.startswith(("imports-", "exports-")) or "-too-large" in name]
    for name in (*SERVED, *FILTERS, *fail_when_loaded):
        wasm = (BUILD / f"{name}.wasm").read_bytes()
        artefacts.put(sha256_of(wasm), engine, _sandbox.compile(wasm))
    return folder


@pytest.fixture(autouse=True)
def kept(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every gateway finds the code there."""
    for file in compiled.glob("plugins.sqlite3*"):
        file.unlink()
    monkeypatch.setattr("tidegate.pipeline.serve.Plugins", lambda _, *rest: Plugins(compiled, *rest))
    return compiled


GOOD = Backend("good", "wasm", plugin=plugin(BUILD / "answers-in-lines.wasm"), prefix="good__")


def outcome(reply: Reply) -> str:
    """As the README says it."""
    if "result" in reply.message:
        return "result"
    return str(reply.error.get("data", {}).get("reason", reply.error))


def calls(home: House) -> int:
    """Of plugins, that run or wait."""
    found: Json = home.daemon.gateway.plugins.statistics()
    return int(found["calls"]) if found is not None else 0


def idle(home: House) -> bool:
    return calls(home) == 0


def unlike(found: dict[str, str], wanted: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}


@both_eras
async def test_every_hostile_tool_gets_its_named_error_and_its_neighbour_is_served(era: str) -> None:
    async with house(backends=[*map(hostile, SERVED), GOOD]) as home:
        client = await home.client("http", era)
        for _ in range(2):
            # The second time, every one is loaded, and what could be learnt was.
            found = {}
            for name in SERVED:
                found[name] = outcome(await client.tool(f"{name}__go", {"name": f"{name}__go"}).reply())
                assert outcome(await client.tool("good__go").reply()) == "result", f"after {name}"
            assert unlike(found, SERVED) == {}
        await until(lambda: idle(home))


@both_eras
@one_mode
@pytest.mark.parametrize("on_failure", ["refuse", "pass"])
async def test_every_hostile_filter_is_named_and_what_it_should_have_seen_goes_no_further(
    era: str, on_failure: str
) -> None:
    filters = [hostile_filter(name, [f"{name}__*"], on_failure) for name in FILTERS]
    servers = [ScriptedServer(era, name=f"server-{name}") for name in FILTERS]
    fields = [{"prefix": f"{name}__"} for name in FILTERS]
    async with house(*servers, transport="tcp", fields=fields, filters=filters) as home:
        client = await home.client("http", era)
        found = {}
        for name, server in zip(FILTERS, servers, strict=True):
            pending = client.tool(f"{name}__echo")
            if on_failure == "pass" and FILTERS[name] != "ask":
                (await server.next_call("tools/call")).text("served")
                assert (await pending.reply()).text == "served"
                found[name] = FILTERS[name]
                continue
            reply = await pending.reply()
            if FILTERS[name] == "ask":
                # This client cannot ask anybody.
                assert "error" in reply.message or reply.result["isError"], reply.raw
                found[name] = "ask"
            else:
                assert reply.error["data"]["filter"] == name
                cause = reply.error["data"]["cause"]
                # What is wrong with a change is found by the filters' side.
                found[name] = "plugin_garbage" if cause == "filter_failed" else cause
            assert not [call for call in server.heard if call.method == "tools/call"], name
        assert unlike(found, FILTERS) == {}
        await until(lambda: idle(home))


@one_mode
async def test_what_cannot_be_loaded_is_told_with_its_reason_and_its_neighbours_are_served() -> None:
    told: dict[str, str] = {}

    def hear(event: Event) -> None:
        if isinstance(event, BackendState) and event.reason:
            told[event.backend] = event.reason

    async with house(backends=[*map(hostile, REFUSED), GOOD]) as home:
        home.daemon.events.subscribe(hear)
        client = await home.client("http", "modern")
        pending = [client.tool(f"{name}__go") for name in (*REFUSED, "good")]
        *refused, good = [outcome(await one.reply()) for one in pending]
        assert good == "result"
        assert "result" not in refused
        await until(lambda: told.keys() >= set(REFUSED))
    assert {name: reason for name, reason in told.items() if f"plugin `{name}` is refused: " not in reason} == {}


def state_of_process() -> tuple[int, int, int]:
    """Threads, descriptors, and KiB that are resident."""
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    threads, descriptors = (len(list(Path(f"/proc/self/{kind}").iterdir())) for kind in ("task", "fd"))
    return threads, descriptors, int(resident.split()[1])


QUICK = [name for name, slug in SERVED.items() if slug not in ("plugin_deadline", "result")]


@one_mode
async def test_two_hundred_hostile_calls_leave_nothing_behind() -> None:
    async with house(backends=[*map(hostile, QUICK), GOOD]) as home:
        client = await home.client("http", "modern")

        async def all_of_them(rounds: int) -> tuple[int, int, int]:
            for _ in range(rounds):
                for name in QUICK:
                    reply = await client.tool(f"{name}__go", {"name": "some arguments"}).reply()
                    assert outcome(reply) == SERVED[name], name
            await until(lambda: idle(home))
            return state_of_process()

        threads, descriptors, kib = await all_of_them(2)
        rounds = 200 // len(QUICK) + 1
        more_threads, more_descriptors, more_kib = await all_of_them(rounds)
        assert more_threads <= threads + 4
        assert more_descriptors <= descriptors + rounds * len(QUICK) + 8
        assert more_kib < kib + 6 * 1024
        assert calls(home) == 0
        assert outcome(await client.tool("good__go").reply()) == "result"


def endless(**bounds: int) -> Backend:
    return hostile("loops", deadline_ms=3_600_000, **bounds)


@both_eras
@pytest.mark.parametrize("transport", ["http", "tcp"])
async def test_a_guest_whose_call_is_cancelled_or_whose_client_goes_away_stops(era: str, transport: str) -> None:
    async with house(backends=[endless(), GOOD]) as home:
        client = await home.client(transport, era)
        # So that a relay knows it, too.
        assert outcome(await client.tool("good__go").reply()) == "result"
        for _ in range(2):
            pending = client.tool("loops__go")
            await until(lambda: not idle(home))
            client.cancel(pending)
            await until(lambda: idle(home))
        client.tool("loops__go")
        await until(lambda: not idle(home))
        client.close()
        await until(lambda: idle(home))
        other = await home.client(transport, era)
        assert outcome(await other.tool("good__go").reply()) == "result"


def plugin_threads() -> int:
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text())
        except OSError:
            continue
    return sum(name.startswith("tidegate-plugin") for name in names)


@both_eras
async def test_a_gateway_with_looping_guests_stops_and_takes_them_with_it(era: str) -> None:
    await until(lambda: plugin_threads() == 0)
    async with house(backends=[endless()], limits=Limits(rate_per_s=0, drain_s=0.2)) as home:
        client = await home.client("http", era)
        for _ in range(3):
            client.tool("loops__go")
        await until(lambda: calls(home) == 3)
    await until(lambda: plugin_threads() == 0)


@both_eras
async def test_a_guest_that_waits_for_a_server_that_never_answers_ends_at_its_deadline(era: str) -> None:
    async with house(
        ScriptedServer(era), fields=[{"prefix": "server__"}], backends=[hostile("calls-itself", deadline_ms=200)]
    ) as home:
        client = await home.client("http", era)
        pending = client.tool("calls-itself__go", {"name": "server__echo"})
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"name": "server__echo"}
        assert outcome(await pending.reply()) == "plugin_deadline"
        await until(lambda: idle(home))


@both_eras
async def test_what_a_guest_writes_is_one_line_and_complete(era: str) -> None:
    async with house(backends=[hostile("answers-in-lines"), hostile("answers-input-required")]) as home:
        client = await home.client("tcp", era)
        for name in ("answers-in-lines", "answers-input-required"):
            for _ in range(2):
                reply = await client.tool(f"{name}__go").reply()
                assert b"\n" not in reply.raw
                assert reply.result["content"] == []
                assert reply.result.get("resultType", "complete") == "complete"
        assert list(client.stray) == []


@both_eras
@one_mode
async def test_secrets_in_settings_are_neither_logged_nor_answered(era: str, caplog: pytest.LogCaptureFixture) -> None:
    secret = "xyzzy-5up3r-s3cr3t"
    settings = dump({"token": secret, "nested": {"key": [secret]}}).decode()
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    backends = [
        replace(backend, plugin=replace(backend.plugin, settings=settings))
        for backend in map(hostile, [*QUICK, "is-no-wasm", "imports-unknown"])
        if backend.plugin is not None
    ]
    async with house(backends=backends) as home:
        home.daemon.events.subscribe(lambda event: told.append(repr(event)))
        client = await home.client("http", era)
        for backend in backends:
            reply = await client.tool(f"{backend.name}__go").reply()
            assert "error" in reply.message
            assert secret.encode() not in reply.raw
        told.append(repr(home.daemon.snapshot))
    assert told
    assert secret not in "".join(told)
    assert caplog.records
    assert secret not in caplog.text


@both_eras
async def test_more_calls_than_may_wait_are_refused_and_nobody_else_waits_for_them(era: str) -> None:
    backend = replace(endless(concurrency=1), max_in_flight=1000)
    limits = Limits(rate_per_s=0, drain_s=0.0, in_flight=1000)
    async with house(backends=[backend, GOOD], limits=limits) as home:
        client = await home.client("tcp", era)
        assert outcome(await client.tool("good__go").reply()) == "result"
        waiting = [client.tool("loops__go") for _ in range(300)]
        # One runs, 256 wait.
        await until(lambda: sum(pending.answer.done() for pending in waiting) == 43)
        refused = {outcome(pending.answer.result()) for pending in waiting if pending.answer.done()}
        assert refused == {"plugin_busy"}
        assert outcome(await client.tool("good__go").reply()) == "result"
        client.close()
        await until(lambda: idle(home))
