"""A client's token is the gateway's to read, and no server's: however the key in `_meta` is spelled."""

from __future__ import annotations

import json

import pytest

from tidegate.pipeline.codec import scan
from tidegate.pipeline.era.modern import carries_envelope
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.dialect import Dialect, SessionDialect, StatelessDialect

SPELLED = ('"dev.tidegate/token"', r'"dev.tidegate\/token"', r'"dev\u002etidegate/token"')


@pytest.mark.parametrize("dialect", [SessionDialect(), StatelessDialect()], ids=["session", "stateless"])
@pytest.mark.parametrize("stateless", [True, False], ids=["stateless client", "session's client"])
@pytest.mark.parametrize("key", SPELLED)
def test_a_token_in_meta_does_not_reach_the_server(dialect: Dialect, stateless: bool, key: str) -> None:
    message = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{%b:"secret","own":1}}}'
    message %= key.encode()
    client = ClientView(stateless=stateless)
    shaped = json.loads(dialect.shape(message, scan(message), client, b"7", []))
    assert "secret" not in json.dumps(shaped)
    assert shaped["params"]["_meta"]["own"] == 1


@pytest.mark.parametrize(
    "key", ["io.modelcontextprotocol/protocolVersion", r"io.modelcontextprotocol\/protocolVersion"]
)
def test_a_request_that_names_its_revision_is_stateless_however_the_key_is_spelled(key: str) -> None:
    message = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"%b":"2026-07-28"}}}' % key.encode()
    assert carries_envelope(message, scan(message))


def test_a_value_that_looks_like_the_key_makes_no_request_stateless() -> None:
    message = (
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"a":"io.modelcontextprotocol/protocolVersion"}}}'
    )
    assert not carries_envelope(message, scan(message))
