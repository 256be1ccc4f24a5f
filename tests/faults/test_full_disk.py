"""Nothing can be written any more: the log, the remembered catalogue. The gateway serves."""

from __future__ import annotations

import resource

import pytest
from faulty_http import FaultyHttp
from two_backends import two_backends

pytestmark = pytest.mark.anyio


def _no_files() -> None:
    """Every write to a file fails, as on a full disk (EFBIG in the place of ENOSPC)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


async def test_a_full_disk_stops_no_call() -> None:
    server = FaultyHttp("modern")
    await server.start()
    async with two_backends(f'url = "{server.url}"', before=_no_files) as home:
        await home.start_clients()
        async with home.others_answered():
            await home.until_works()
            server.break_down(lambda asked: asked.respond("503 Busy", b"no", kind="text/plain"))
            server.cut()
            await home.until_listed(False)
            server.heal()
            await home.until_listed()
            await home.until_works()
    server.stop()


async def test_a_log_that_cannot_be_written_stops_no_call() -> None:
    server = FaultyHttp("modern")
    await server.start()
    async with two_backends(f'url = "{server.url}"', log="/dev/full") as home:
        await home.start_clients()
        async with home.others_answered():
            server.break_down(lambda asked: asked.respond("503 Busy", b"no", kind="text/plain"))
            for _ in range(5):
                await home.call_bad()
            server.heal()
            await home.until_works()
    server.stop()
