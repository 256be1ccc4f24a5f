"""A call that did not reach its server is sent again only under the rules by which it was let in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tidegate.clock import ManualClock
from tidegate.errors import TidegateError, UpstreamUnreachable
from tidegate.pipeline.codec import Envelope, scan
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import Connection, ConnectionOwner
from tidegate.pipeline.upstream.dialect import SessionDialect
from tidegate.pipeline.upstream.link import Call, Link

MESSAGE = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"move","arguments":{}}}'


class Heard:
    def __init__(self) -> None:
        self.errors: list[TidegateError] = []

    def failed(self, error: TidegateError) -> None:
        self.errors.append(error)


class FakeLink:
    cancels_by_closing = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, message: bytes, call: Call | None) -> None:
        self.sent.append(message)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize(("changed", "once"), [(False, False), (True, False), (False, True)])
async def test_a_call_is_sent_again_unless_its_filters_might_say_otherwise(changed: bool, once: bool) -> None:
    clock = ManualClock()
    uses: list[Any] = []
    config = SimpleNamespace(replicas=1)
    owner = SimpleNamespace(
        clock=clock,
        deadlines=Deadlines(clock),
        config=config,
        rules=object(),
        wordless=False,
        acquire=lambda client, use, fail: uses.append(use),
    )

    def connection() -> tuple[Connection, FakeLink]:
        link = FakeLink()
        made = Connection("arm", cast(Link, link), cast(ConnectionOwner, owner), depth=64, session=None)
        made.speak(SessionDialect())
        return made, link

    (old, _), (new, link) = connection(), connection()
    heard, client = Heard(), ClientView(stateless=False)
    envelope: Envelope = scan(MESSAGE)
    call = old.call(cast(Any, heard), client, MESSAGE, envelope, name="move", edits=[], timeout_s=30.0, once=once)
    assert call is not None
    old.repeatable = frozenset(("move",))
    assert old.may_repeat(call) is not once
    error = UpstreamUnreachable("it was not there")
    old.never_ran(call, error)
    if changed:
        owner.rules = object()
    (use,) = uses
    use(None, new)
    assert len(link.sent) == (0 if changed or once else 1)
    assert heard.errors == ([error] if changed or once else [])
    owner.deadlines.stop()
