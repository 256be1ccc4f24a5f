"""The gateway as a process: event loop, listeners, signals, and the order of start and stop."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from tidegate.clock import Clock
from tidegate.config.address import parse_host_port
from tidegate.config.paths import plugins_directory, state_directory
from tidegate.config.snapshot import Snapshot
from tidegate.control.heap import Heap
from tidegate.errors import ConfigError
from tidegate.events import Events
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.descriptors import make_room
from tidegate.pipeline.accept.listener import peer_uid
from tidegate.pipeline.accept.listeners import Listeners
from tidegate.pipeline.accept.stream import StreamServerProtocol
from tidegate.pipeline.era.conversation import Conversation
from tidegate.pipeline.policy.origin import OriginCheck
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.reload import plan, report
from tidegate.pipeline.serve import Gateway
from tidegate.protocol.meta_keys import ENDPOINT
from tidegate.storage.documents import Documents

if TYPE_CHECKING:
    from tidegate.admin.http import AdminHttp
    from tidegate.config.read import Source
    from tidegate.control.model_memory import ModelMemory
    from tidegate.control.reloading import Reloading
    from tidegate.control.telemetry.access_log import AccessLog
    from tidegate.pipeline.era.http_binding import HttpBinding
    from tidegate.pipeline.relay.lane import FastLane
    from tidegate.systemd.contract import Contract
    from tidegate.systemd.sockets import Inherited

_log = logging.getLogger("tidegate.daemon")


_LARGEST_BLOCK_BYTES = 8 << 20


class Tasks:
    """Starts named tasks in the daemon's one group; a task that fails is logged and ends alone."""

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group
        sniffio = sys.modules.get("sniffio")
        if sniffio is not None:
            # anyio asks it where it is installed, and it knows of no loop in callbacks, where tasks are started here.
            sniffio.thread_local.name = "asyncio"

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        async def guarded() -> None:
            try:
                await step(*args)
            except Exception:
                _log.exception("task_failed name=%s", name)

        self._group.start_soon(guarded, name=name)


class Daemon:
    """One gateway and everything it listens on."""

    def __init__(
        self,
        snapshot: Snapshot,
        tasks: Tasks,
        inherited: Inherited | None = None,
        documents: Documents | None = None,
        plugins_directory: Path | None = None,
    ) -> None:
        """`inherited`: listening sockets from the service manager; `snapshot` has adopted them. `plugins_directory`: as
        of `Plugins`.
        """
        self.snapshot = snapshot
        self.clock = Clock()
        self.events = Events()
        self.gateway = Gateway(snapshot, self.clock, self.events, tasks.spawn, documents, plugins_directory)
        make_room(snapshot.limits.connections)
        self.registry = ConnectionRegistry(snapshot.limits.connections, self.clock)
        self.registry.on_leave = Heap().trim_soon
        self.started_s = self.clock.now_s()
        self.addresses: dict[str, object] = {}
        self.reloading: Reloading | None = None
        """None: this one cannot be given another configuration."""
        self._tasks = tasks
        self._listeners = Listeners(self._protocols, self.registry, self.clock, self._passed)
        self._http: HttpBinding | None = None
        self._origin = _origin_check(snapshot)
        self._admin_pages: AdminHttp | None = None
        self._access_log: AccessLog | None = None
        self._inherited = inherited
        self._uid = os.getuid()
        self._log_access(snapshot.access_log)
        self._model_memory: ModelMemory | None = None
        self._watch_models()

    # -- listeners --------------------------------------------------------------------------------------------

    def _passed(self, role: str, address: str) -> socket.socket | None:
        return self._inherited.take(role, address) if self._inherited is not None else None

    async def listen(self) -> None:
        """Opens every listener of the snapshot. Raises: ConfigError."""
        listen = self.snapshot.listen
        opened = await self._listeners.bind(listen, needs_token=bool(self.snapshot.clients))
        self._listeners.switch(listen, opened)
        self._note_addresses()
        self.gateway.start()

    def _note_addresses(self) -> None:
        bound = {role: self._listeners.bound(role) for role in ("http", "tcp", "unix", "admin")}
        addresses: dict[str, object] = {
            "http": [f"http://{where}{ENDPOINT}" for where in bound["http"]],
            "tcp": bound["tcp"],
            "unix": "".join(bound["unix"]),
            "admin": "".join(f"http://{where}" for where in bound["admin"]),
        }
        self.addresses = {role: value for role, value in addresses.items() if value}

    def _protocols(self, role: str, registry: ConnectionRegistry) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of a connection to the listener for `role`, under the limits of that moment."""
        if role in ("tcp", "unix"):
            return lambda: self.gateway.relay.stream(
                StreamServerProtocol(
                    self.snapshot.limits, registry, lambda protocol: self._converse_on(protocol, role)
                ),
                self.snapshot.limits.line_bytes,
            )
        from tidegate.pipeline.accept.http1 import HttpServerProtocol

        if role == "admin":
            pages = self._pages().serve
            return lambda: HttpServerProtocol(pages, self.snapshot.limits, self.clock, registry)
        serve, relay = self._binding().serve, self.gateway.relay
        return lambda: relay.http(HttpServerProtocol(serve, self.snapshot.limits, self.clock, registry))

    def _binding(self) -> HttpBinding:
        """All HTTP listeners share their sessions."""
        if self._http is None:
            from tidegate.pipeline.era.http_binding import HttpBinding

            gateway = self.gateway
            self._http = HttpBinding(
                gateway,
                gateway.sessions,
                gateway.views,
                gateway.new_session,
                gateway.bearer.from_header,
                lambda host, origin: self._origin.check(host, origin),
                lambda: self.snapshot.openai,
                self.clock,
            )
            gateway.on_session_end(self._http.session_ended)
        return self._http

    def _pages(self) -> AdminHttp:
        if self._admin_pages is None:
            from tidegate.admin.http import AdminHttp
            from tidegate.control.telemetry.metrics import Metrics

            # What came before is nothing that is counted here.
            self.catch_up()
            self._admin_pages = AdminHttp(self, Metrics(self.events))
            if self.reloading is not None:
                from tidegate.admin.reload import add_reload_page

                add_reload_page(self._admin_pages, self.reloading)
        return self._admin_pages

    # -- another configuration --------------------------------------------------------------------------------

    async def take_up(self, snapshot: Snapshot) -> dict[str, object] | None:
        """Puts `snapshot` into force; what that changed, or None when it is what is in force already.

        What did not change keeps running; connections and calls of what is gone get the drain time. Raises:
        ConfigError, and then nothing has changed.
        """
        if self._inherited is not None:
            snapshot = replace(snapshot, listen=self._inherited.adopt(snapshot.listen))
        old = self.snapshot
        if snapshot == old:
            return None
        opened = await self._listeners.bind(snapshot.listen, needs_token=bool(snapshot.clients))
        if self.gateway.stopping:
            self._listeners.close_again(opened)
            raise ConfigError("the gateway is shutting down")
        # From here on nothing waits: a request sees the one configuration or the other.
        found = plan(old, snapshot)
        self.snapshot = snapshot
        make_room(snapshot.limits.connections)
        self.registry.limit = snapshot.limits.connections
        self._origin = _origin_check(snapshot)
        gone = self._listeners.switch(snapshot.listen, opened)
        self._note_addresses()
        if self._admin_pages is not None:
            self._admin_pages.take_up()
        self.gateway.take_up(snapshot, found)
        self._log_access(snapshot.access_log)
        self._watch_models()
        for listener in gone:
            where = f"{listener.place.role} {listener.where}"
            self._tasks.spawn(self._listeners.leave, listener, old.limits.drain_s, name=f"leave {where}")
        listeners = {
            "added": [f"{listener.place.role} {listener.where}" for listener in opened.values()],
            "removed": [f"{listener.place.role} {listener.where}" for listener in gone],
        }
        settings = [name for name in ("relay", "access_log", "openai") if getattr(old, name) != getattr(snapshot, name)]
        return {**report(found), "listeners": listeners, "settings": settings}

    def _log_access(self, wanted: bool) -> None:
        if wanted and self._access_log is None:
            from tidegate.control.telemetry.access_log import AccessLog

            self.gateway.relay.journal = True
            self._access_log = AccessLog(self.events, self.catch_up)
        elif not wanted and self._access_log is not None:
            self.gateway.relay.journal = False
            self._access_log.close()
            self._access_log = None

    def _watch_models(self) -> None:
        """One worker keeps below its bound by itself; of several, somebody has to see what they have together."""
        if self._model_memory is None and sum(bool(backend.models) for backend in self.snapshot.backends) > 1:
            from tidegate.control.model_memory import ModelMemory
            from tidegate.pipeline.upstream.model_worker import ModelWorker

            self._model_memory = ModelMemory(
                self.events,
                lambda: [ModelWorker(service) for service in self.gateway.services if service.config.models],
                lambda: self.snapshot.models.memory_bytes,
            )

    def canary_protocol(self) -> StreamServerProtocol:
        """Serves the daemon's own connection to itself (`systemd/canary.py`), outside the bound on clients."""
        return StreamServerProtocol(
            self.snapshot.limits, ConnectionRegistry(1, self.clock), lambda protocol: self.converse(protocol, "canary")
        )

    def converse(self, protocol: StreamServerProtocol, transport: str) -> Conversation:
        """The conversation with whoever needs no token: the process that this daemon is part of."""
        owner = self.gateway.bearer.owner
        return self._conversation(protocol, transport, lambda: owner)

    def _converse_on(self, protocol: StreamServerProtocol, transport: str) -> Conversation:
        bearer = self.gateway.bearer

        def identify() -> Principal | None:
            """Known without a token: the kernel says it is our own user or root, or nobody needs one."""
            ours = protocol.transport is not None and peer_uid(protocol.transport) in (self._uid, 0)
            if transport == "unix" and ours:
                return bearer.owner
            return None if bearer.required else bearer.anonymous

        return self._conversation(protocol, transport, identify)

    def _conversation(
        self, protocol: StreamServerProtocol, transport: str, identify: Callable[[], Principal | None]
    ) -> Conversation:
        gateway = self.gateway
        return Conversation(
            gateway, protocol, transport, identify, gateway.bearer.principal, gateway.views, gateway.new_session
        )

    async def aclose(self) -> None:
        """No new work; what runs gets the drain time; then everything ends."""
        if self.reloading is not None:
            self.reloading.close()
        self._listeners.close_to_clients()
        gateway = self.gateway
        gateway.stop_taking()
        with anyio.move_on_after(self.snapshot.limits.drain_s):
            await gateway.admission.wait_idle()
        # First whatever is still open is answered with an error; what is written by then gets a last turn of the loop.
        if self._model_memory is not None:
            self._model_memory.close()
        await gateway.aclose()
        self.registry.drain()
        await anyio.lowlevel.checkpoint()
        self.registry.abort()
        if self._admin_pages is not None:
            self._admin_pages.close()
        # The operators' listener is the last to go: until here it says that the gateway takes nothing new.
        self._listeners.close()

    async def close_now(self) -> None:
        """For a private gateway whose only client is gone: nothing is left to drain."""
        await self.gateway.aclose()
        self.registry.abort()

    @property
    def ready(self) -> bool:
        """Listening, and not on the way out."""
        return self._listeners.accepting and not self.gateway.stopping

    def backends(self) -> list[dict[str, object]]:
        """The rows that `statistics` has under that name."""
        return [service.statistics() for service in self.gateway.services]

    @property
    def relay(self) -> FastLane:
        return self.gateway.relay

    def catch_up(self) -> None:
        """What the relay did so far is told."""
        self.gateway.relay.publish()

    def statistics(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "uptime_s": round(self.clock.now_s() - self.started_s, 3),
            "listen": self.addresses,
            "connections": self.registry.statistics(),
            "loop_tasks": len(asyncio.all_tasks()),
            "configuration": self.reloading.statistics() if self.reloading is not None else None,
            **self.gateway.statistics(),
        }


async def serve(source: Source, announce: Callable[[dict[str, object]], None], *, watch: bool = True) -> None:
    """Runs the daemon until SIGTERM or SIGINT; SIGHUP reads `source` again. Raises: ConfigError, when it cannot start.

    `watch`: a file of `source` that changes is taken up by itself.
    """
    from tidegate.config.source_watch import marks_of
    from tidegate.control.reloading import Reloading

    marks = marks_of(source.files)
    reading = await source.read()
    snapshot = reading.usable()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    contract = _contract()
    refused: ConfigError | None = None
    async with anyio.create_task_group() as group:
        tasks = Tasks(group)
        inherited = None
        daemon: Daemon | None = None
        try:
            if contract is not None:
                inherited = contract.inherited
                snapshot = replace(snapshot, listen=inherited.adopt(snapshot.listen))
            daemon = Daemon(snapshot, tasks, inherited, kept_catalogues(), plugins_directory())
            reloading = daemon.reloading = Reloading(
                source.files, source.read, daemon, daemon.clock, tasks.spawn, contract
            )
            on_terminal = _has_terminal()

            def hang_up() -> None:
                # Whose terminal was closed is to end, as any command; a daemon has none.
                if on_terminal and not _has_terminal():
                    stop.set()
                else:
                    reloading.request("SIGHUP")

            loop.add_signal_handler(signal.SIGHUP, hang_up)
            await daemon.listen()
            if watch:
                reloading.watch(reading.secret_files, marks)
            # What start-up made stays; the collector need not look through it again at each full round.
            gc.collect()
            gc.freeze()
            announce({"ready": True, "pid": os.getpid(), **daemon.addresses})
            if contract is not None:
                contract.follow(daemon.events, daemon.backends)
                contract.ready()
                contract.watch(daemon.canary_protocol, tasks.spawn)
            await stop.wait()
            if contract is not None:
                contract.stopping(daemon.gateway.most_to_stop_s)
        except ConfigError as error:
            refused = error  # raised outside the group, which would wrap it
            if contract is not None:
                contract.failed(str(error))
        finally:
            with anyio.CancelScope(shield=True):
                if daemon is not None:
                    await daemon.aclose()
            if contract is not None:
                contract.close()
            group.cancel_scope.cancel()
    if refused is not None:
        raise refused


def _has_terminal() -> bool:
    """Whether this process has a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _origin_check(snapshot: Snapshot) -> OriginCheck:
    listen = snapshot.listen
    return OriginCheck(listen, tuple(parse_host_port(address)[0] for address in listen.http))


def kept_catalogues() -> Documents | None:
    """Where a daemon of this user remembers what backends offer."""
    state = state_directory()
    return Documents(state / "catalogue") if state is not None else None


def _contract() -> Contract | None:
    """What binds us to a service manager; None without one, and then nothing of it is imported."""
    if "NOTIFY_SOCKET" not in os.environ and "LISTEN_FDS" not in os.environ:
        return None
    from tidegate.systemd.contract import Contract

    return Contract(os.environ, Clock())


def run(main: Callable[..., Awaitable[None]], *args: object) -> None:
    """Runs `main` on uvloop."""
    import uvloop

    # glibc gives freed blocks back to the kernel up to the largest block ever freed; without this, each message of
    # a megabyte would cost a millisecond of page faults (benches/record/codec.md). The block is never touched.
    bytes(_LARGEST_BLOCK_BYTES)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*args))  # type: ignore[arg-type]


def set_up_logging(level: str = "warning") -> None:
    """Lines on stderr."""
    from tidegate.control.telemetry.console import print_lines

    print_lines(sys.stderr, level)


def print_line(fields: dict[str, object]) -> None:
    print(json.dumps(fields), flush=True)
