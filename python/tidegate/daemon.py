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
from tidegate.config.snapshot import Snapshot
from tidegate.errors import ConfigError
from tidegate.events import Events
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.listener import listen_tcp, listen_unix, peer_uid
from tidegate.pipeline.accept.stream import StreamServerProtocol
from tidegate.pipeline.era.conversation import Conversation
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.serve import Gateway
from tidegate.protocol.meta_keys import ENDPOINT

if TYPE_CHECKING:
    from tidegate.admin.http import AdminHttp
    from tidegate.systemd.contract import Contract
    from tidegate.systemd.sockets import Inherited

_log = logging.getLogger("tidegate.daemon")


_LARGEST_BLOCK_BYTES = 8 << 20


class Tasks:
    """Starts named tasks in the daemon's one group; a task that fails is logged and ends alone."""

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        async def guarded() -> None:
            try:
                await step(*args)
            except Exception:
                _log.exception("task_failed name=%s", name)

        self._group.start_soon(guarded, name=name)


class Daemon:
    """One gateway and everything it listens on."""

    def __init__(self, snapshot: Snapshot, tasks: Tasks, inherited: Inherited | None = None) -> None:
        """`inherited`: listening sockets from the service manager; `snapshot` has adopted them."""
        self.snapshot = snapshot
        self.clock = Clock()
        self.events = Events()
        self.gateway = Gateway(snapshot, self.clock, self.events, tasks.spawn)
        self.registry = ConnectionRegistry(snapshot.limits.connections, self.clock)
        self.started_s = self.clock.now_s()
        self.addresses: dict[str, object] = {}
        self._servers: list[asyncio.Server] = []
        self._admin: tuple[asyncio.Server, ConnectionRegistry] | None = None
        self._admin_pages: AdminHttp | None = None
        self._inherited = inherited
        self._unix_is_ours = False
        self._uid = os.getuid()

    # -- listeners --------------------------------------------------------------------------------------------

    def _passed(self, role: str, address: str) -> socket.socket | None:
        return self._inherited.take(role, address) if self._inherited is not None else None

    async def listen(self) -> None:
        """Opens every listener of the snapshot. Raises: ConfigError."""
        listen = self.snapshot.listen
        public = listen.allow_public or bool(self.snapshot.clients)
        if listen.http:
            serve = self._http_binding()
            urls = []
            for address in listen.http:
                server, where = await listen_tcp(serve, address, public=public, inherited=self._passed("http", address))
                self._servers.append(server)
                urls.append(f"http://{where}{ENDPOINT}")
            self.addresses["http"] = urls
        if listen.tcp:
            bound = []
            for address in listen.tcp:
                server, where = await listen_tcp(
                    self._stream_factory("tcp"), address, public=public, inherited=self._passed("tcp", address)
                )
                self._servers.append(server)
                bound.append(where)
            self.addresses["tcp"] = bound
        if listen.unix:
            passed = self._passed("unix", listen.unix)
            server = await listen_unix(self._stream_factory("unix"), listen.unix, listen.unix_mode, passed)
            self._unix_is_ours = passed is None
            self._servers.append(server)
            self.addresses["unix"] = listen.unix
        if listen.admin:
            from tidegate.admin.http import AdminHttp
            from tidegate.control.telemetry.metrics import Metrics
            from tidegate.pipeline.accept.http1 import HttpServerProtocol

            admin = self._admin_pages = AdminHttp(self, Metrics(self.events))
            admin_registry = ConnectionRegistry(64, self.clock)
            server, where = await listen_tcp(
                lambda: HttpServerProtocol(admin.serve, self.snapshot.limits, self.clock, admin_registry),
                listen.admin,
                public=listen.allow_public,
                inherited=self._passed("admin", listen.admin),
            )
            self._admin = server, admin_registry
            self.addresses["admin"] = f"http://{where}"

    def _http_binding(self) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of an HTTP connection; all HTTP listeners share their sessions."""
        from tidegate.config.address import parse_host_port
        from tidegate.pipeline.accept.http1 import HttpServerProtocol
        from tidegate.pipeline.era.http_binding import HttpBinding
        from tidegate.pipeline.policy.origin import OriginCheck

        gateway = self.gateway
        listen, limits = self.snapshot.listen, self.snapshot.limits
        origin = OriginCheck(listen, tuple(parse_host_port(address)[0] for address in listen.http))
        binding = HttpBinding(
            gateway, gateway.sessions, gateway.views, gateway.new_session, gateway.bearer.from_header, origin.check
        )
        gateway.on_session_end(binding.session_ended)
        return lambda: HttpServerProtocol(binding.serve, limits, self.clock, self.registry)

    def _stream_factory(self, transport: str) -> Callable[[], asyncio.Protocol]:
        def begin(protocol: StreamServerProtocol) -> Conversation:
            return self.converse(protocol, transport, self._stream_principal(protocol, transport))

        return lambda: StreamServerProtocol(self.snapshot.limits, self.registry, begin)

    def canary_protocol(self) -> StreamServerProtocol:
        """Serves the daemon's own connection to itself (`systemd/canary.py`), outside the bound on clients."""
        anonymous = self.gateway.bearer.anonymous
        return StreamServerProtocol(
            self.snapshot.limits,
            ConnectionRegistry(1, self.clock),
            lambda protocol: self.converse(protocol, "canary", anonymous),
        )

    def _stream_principal(self, protocol: StreamServerProtocol, transport: str) -> Principal | None:
        """Known without a token: nobody needs one, or the kernel says it is our own user or root."""
        bearer = self.gateway.bearer
        if not bearer.required:
            return bearer.anonymous
        if transport == "unix" and protocol.transport is not None and peer_uid(protocol.transport) in (self._uid, 0):
            return bearer.anonymous
        return None

    def converse(self, protocol: StreamServerProtocol, transport: str, principal: Principal | None) -> Conversation:
        gateway = self.gateway
        return Conversation(
            gateway, protocol, transport, principal, gateway.bearer.principal, gateway.views, gateway.new_session
        )

    async def aclose(self) -> None:
        """No new work; what runs gets the drain time; then everything ends."""
        for server in self._servers:
            server.close()
        gateway = self.gateway
        gateway.stopping = True
        with anyio.move_on_after(self.snapshot.limits.drain_s):
            await gateway.admission.wait_idle()
        # First whatever is still open is answered with an error; what is written by then gets a last turn of the loop.
        await gateway.aclose()
        self.registry.drain()
        await anyio.lowlevel.checkpoint()
        self.registry.abort()
        if self._admin_pages is not None:
            self._admin_pages.close()
        if self._admin is not None:
            # The last to go: until here it says that the gateway takes nothing new.
            self._admin[0].close()
            self._admin[1].abort()
        if self._unix_is_ours:
            # Only our own: what the service manager passed, or what stands at a path that could not be bound, is not.
            Path(self.snapshot.listen.unix).unlink(missing_ok=True)  # noqa: ASYNC240  one system call, at the end

    async def close_now(self) -> None:
        """For a private gateway whose only client is gone: nothing is left to drain."""
        await self.gateway.aclose()
        self.registry.abort()

    @property
    def ready(self) -> bool:
        """Listening, and not on the way out."""
        return bool(self._servers) and not self.gateway.stopping

    def backends(self) -> list[dict[str, object]]:
        """The rows that `statistics` has under that name."""
        return [service.statistics() for service in self.gateway.services]

    def statistics(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "uptime_s": round(self.clock.now_s() - self.started_s, 3),
            "listen": self.addresses,
            "connections": self.registry.statistics(),
            **self.gateway.statistics(),
        }


async def serve(snapshot: Snapshot, announce: Callable[[dict[str, object]], None]) -> None:
    """Runs the daemon until SIGTERM or SIGINT. Raises: ConfigError, when it cannot start."""
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
            daemon = Daemon(snapshot, tasks, inherited)
            await daemon.listen()
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
                contract.stopping(snapshot.limits.drain_s)
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
