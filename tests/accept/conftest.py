"""Every test here runs on both event loops, and with a relay before what it tests, too."""

from __future__ import annotations

import http_peer
import pytest


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(params=[False, True], ids=["alone", "behind relay"], autouse=True)
def behind_relay(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    behind = bool(request.param)
    monkeypatch.setattr(http_peer, "behind_relay", behind)
    return behind
