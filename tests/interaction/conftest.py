"""The `requirement` mark, and asyncio as the event loop of every test here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from relay_modes import MODES, VARIABLE, Seen, put_in_force

_EVERY_MODE = VARIABLE not in os.environ


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): what of requirements.py the test shows")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Needed:
    """Which modes tell more of a test than the one before: by its name without the mode."""

    def __init__(self) -> None:
        self._moot: dict[str, set[str]] = {}

    def note(self, mode: str, test: str, seen: Seen) -> None:
        """What another mode would show again is moot."""
        moot = self._moot.setdefault(test, set())
        if mode == "eager" and not seen.decided:
            # Nothing could be relayed: there is but one way.
            moot.update(("on", "off"))
        elif mode == "on" and not seen.relayed:
            # Much could have been, and nothing was.
            moot.add("off")

    def is_moot(self, mode: str, test: str) -> bool:
        return mode in self._moot.get(test, ())


_NEEDED = Needed()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = metafunc.definition.iter_markers("parametrize")
    if "relay_mode" in metafunc.fixturenames and not any(mark.args[0] == "relay_mode" for mark in marks):
        metafunc.parametrize("relay_mode", MODES if _EVERY_MODE else ["as the run"], indirect=True)


@pytest.fixture(autouse=True)
def relay_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Every test with the relay eager; and as it is shipped and without it, where that can show something else."""
    mode = request.param
    if not _EVERY_MODE:
        if mode in MODES:
            pytest.skip("the mode of this run is another one")
        yield Seen()
        return
    callspec = request.node.callspec
    params = {name: value for name, value in callspec.params.items() if name != "relay_mode"}
    test = f"{request.node.path}::{request.node.originalname} {params}"
    if _NEEDED.is_moot(mode, test):
        pytest.skip("nothing of it is relayed")
    seen = put_in_force(mode, monkeypatch)
    yield seen
    _NEEDED.note(mode, test, seen)
