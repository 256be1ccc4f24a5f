"""A server that comes with tidegate and runs in the daemon: the facts of the host.

Its work reads files that may block (a sensor, a slow mount), so it is done on a worker thread.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tidegate.clock import Clock
from tidegate.errors import UpstreamProtocol
from tidegate.pipeline.upstream.link import Call, LinkOwner


class BuiltinLink:
    """The host server as a link."""

    cancels_by_closing = False

    def __init__(self, backend: str, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._owner: LinkOwner | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def open(self, owner: LinkOwner) -> None:
        from tidegate.host.dialogue import HostDialogue
        from tidegate.host.server import HostServer

        self._owner = owner
        self._dialogue = HostDialogue(HostServer(self._clock))
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tidegate-{self._backend}")

    def send(self, message: bytes, call: Call | None) -> None:
        if self._threads is None:
            return
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._dialogue.receive, message)
        future.add_done_callback(lambda done: self._answered(done, call))

    def _answered(self, done: asyncio.Future[bytes | None], call: Call | None) -> None:
        if self._owner is None or done.cancelled():
            return
        error = done.exception()
        if error is not None:
            if call is not None:
                self._owner.call_failed(call, UpstreamProtocol(f"backend `{self._backend}` failed: {error}"))
        elif (reply := done.result()) is not None:
            self._owner.received(reply, call)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def statistics(self) -> dict[str, object]:
        return {}
