"""Whether what a tool is sent stays on the box."""

from __future__ import annotations

import pytest

from tidegate.config.snapshot import Backend, Filter, Grants, Plugin
from tidegate.pipeline.capabilities.locality import where_is


def plugin(**grants: tuple[str, ...]) -> Plugin:
    return Plugin("/x.wasm", grants=Grants(**grants))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("backend", "where"),
    [
        (Backend("a", "stdio", command=("x",)), "local"),
        (Backend("a", "unix", address="/run/x"), "local"),
        (Backend("a", "builtin"), "local"),
        (Backend("a", "tcp", address="127.0.0.1:80"), "local"),
        (Backend("a", "tcp", address="[::1]:80"), "local"),
        (Backend("a", "tcp", address=":80"), "local"),
        (Backend("a", "tcp", address="192.168.1.2:80"), "cloud"),
        (Backend("a", "tcp", address="0.0.0.0:80"), "cloud"),
        (Backend("a", "http", url="http://localhost:8000/mcp"), "local"),
        (Backend("a", "http", url="https://[::1]/mcp"), "local"),
        (Backend("a", "http", url="http://127.0.0.1@example.com/mcp"), "cloud"),
        (Backend("a", "http", url="http://127.1/mcp"), "cloud"),
        (Backend("a", "http", url="http://localhost.example.com/mcp"), "cloud"),
        (Backend("a", "http", url="http://10.0.0.1/mcp"), "cloud"),
        (Backend("a", "sse", url="https://example.com/sse"), "cloud"),
        (Backend("a", "openai", url="https://api.example.com/v1"), "cloud"),
        (Backend("a", "openai", url="http://127.0.0.1:11434/v1"), "local"),
        (
            Backend("a", "tcp", address="127.0.0.1:1", replicas=2, endpoints=("127.0.0.1:1", "10.0.0.2:1")),
            "cloud",
        ),
        (Backend("a", "stdio", command=("x",), remote=True), "cloud"),
        (Backend("a", "http", url="http://10.0.0.1/mcp", remote=False), "local"),
        (Backend("a", "wasm", plugin=plugin()), "local"),
        (Backend("a", "wasm", plugin=plugin(http=("localhost:80", "127.0.0.1", "[::1]:8", "::1"))), "local"),
        (Backend("a", "wasm", plugin=plugin(http=("api.example.com",))), "unknown"),
        (Backend("a", "wasm", plugin=plugin(call=("*",))), "unknown"),
        (Backend("a", "wasm", plugin=plugin(call=("*",)), remote=False), "local"),
        (Backend("a", "capability"), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.transport} {value.url or value.address}",
)
def test_where_a_backend_is(backend: Backend, where: str) -> None:
    assert where_is(backend) == where


def test_a_filter_that_may_ask_others_makes_a_local_tool_one_of_which_nobody_knows() -> None:
    here = Backend("a", "stdio", command=("x",))
    assert where_is(here, [Filter("f", plugin())]) == "local"
    assert where_is(here, [Filter("f", plugin(http=("log.example.com",)))]) == "unknown"
    assert where_is(here, [Filter("f", plugin(call=("send",)))]) == "unknown"
    assert where_is(Backend("a", "http", url="https://x.example"), [Filter("f", plugin())]) == "cloud"
