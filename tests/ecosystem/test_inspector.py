"""The MCP Inspector's command-line mode against a running gateway: over HTTP and as the launcher of `connect`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from everything import STDIO
from gateway_process import Gateway, backend, command, configuration, environment, gateway
from node_runtime import node, package_file

LIMIT_S = 60
ERAS = ("legacy", "modern")
ARGUMENTS = {"a": 1, "b": [True, None], "text": "Grüße \u4e16\u754c"}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Gateway]:
    with gateway(backend("everything", command=STDIO)) as running:
        yield running


@pytest.fixture
def inspect(tmp_path: Path) -> Any:
    """Runs the Inspector in a home of its own, where it keeps a catalogue and secrets; returns what it printed."""

    def run(options: list[str], target: list[str], variables: dict[str, str] | None = None) -> dict[str, Any]:
        launcher = package_file("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")
        # What it launches gets a few variables of its own and those named with -e.
        named = [part for key, value in (variables or {}).items() for part in ("-e", f"{key}={value}")]
        finished = subprocess.run(
            [node(), launcher, "--cli", "--format", "json", "--quiet", *named, *options, "--", *target],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        printed = json.loads(finished.stdout)
        assert isinstance(printed, dict)
        return dict(printed.get("result", printed))

    return run


LIST = ["--method", "tools/list"]
CALL = ["--method", "tools/call", "--tool-name", "echo_arguments", "--tool-args-json", json.dumps(ARGUMENTS)]


def _found() -> dict[str, str]:
    """Where the package is, if it is not installed."""
    return {key: value for key, value in environment().items() if key == "PYTHONPATH"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("options", [LIST, CALL], ids=["list", "call"])
def test_over_http_it_prints_what_it_prints_directly(
    daemon: Gateway, inspect: Any, options: list[str], era: str
) -> None:
    chosen = ["--protocol-era", era, *options]
    assert inspect(chosen, [daemon.http]) == inspect(chosen, STDIO)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("options", [LIST, CALL], ids=["list", "call"])
def test_over_connect_it_prints_what_it_prints_directly(
    daemon: Gateway, inspect: Any, options: list[str], era: str
) -> None:
    chosen = ["--protocol-era", era, *options]
    variables = {**_found(), "TIDEGATE_SOCKET": daemon.unix}
    assert inspect(chosen, [*command(), "connect"], variables) == inspect(chosen, STDIO)


@pytest.mark.parametrize("era", ERAS)
def test_a_standalone_gateway_answers_the_inspector(inspect: Any, era: str) -> None:
    with configuration(backend("everything", command=STDIO)) as path:
        target = [*command(), "connect", "--standalone", "--config", str(path)]
        printed = inspect(["--protocol-era", era, *CALL], target, _found())
    assert printed["structuredContent"] == ARGUMENTS


def test_the_call_really_carries_the_arguments(daemon: Gateway, inspect: Any) -> None:
    assert inspect(CALL, [daemon.http])["structuredContent"] == ARGUMENTS
