"""What the relay writes is what the slow lane would have written: requests and results, within and between the eras."""

from __future__ import annotations

import json
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import LineUpstream, Relay, StreamDownstream, scan
from tidegate.pipeline.era.bridge.vocabulary import HOP_ENTRIES
from tidegate.pipeline.era.modern import StatelessExchange
from tidegate.pipeline.era.session import SessionExchange
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.upstream.dialect import Dialect, SessionDialect, StatelessDialect
from tidegate.protocol.meta_keys import REQUEST_ENVELOPE
from tidegate.protocol.revisions import LATEST_LEGACY, LATEST_MODERN

Json = Any
ANYBODY = Principal("anybody", None, rate_per_s=0, burst=0)
LIMIT = 1_000_000
CALLS = {
    "tools/call": ("name", "content"),
    "prompts/get": ("name", "messages"),
    "resources/read": ("uri", "contents"),
}
REVISIONS = [LATEST_MODERN, LATEST_LEGACY, "2025-06-18", "2025-03-26", "2024-11-05"]
WORDS = [
    *("resultType", "ttlMs", "cacheScope", "_meta", "structuredContent", "icons", "tool_use", "audio", "type", "a"),
    *("resource_link", "lastModified", "content", "messages", "contents", *HOP_ENTRIES[:2]),
]


# -- both lanes -----------------------------------------------------------------------------------------------------


class Outlet:
    """Where an exchange of the slow lane answers to."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def reply(self, message: bytes, code: int | None) -> None:
        self.said.append(message)


class Wires:
    """A relay between one client and one server, both speaking in lines; and what it leaves to the slow lane."""

    def __init__(self, message: bytes, decision: dict[str, object]) -> None:
        """Learns `message`."""
        self.to_client: list[bytes] = []
        self.to_server: list[bytes] = []
        self.promoted = 0
        self._decision = SimpleNamespace(promote=self._promote, **decision)
        self.relayed: object = None
        self._relay = Relay(SimpleNamespace(in_flight=0), lambda: None, [1.0], 0.0, True)
        self._relay.take_up(10, LIMIT, LIMIT, LIMIT, 64)
        self._client = StreamDownstream(self._relay, self, LIMIT)
        self._client.connection_made(SimpleNamespace(write=self.to_client.append))  # type: ignore[arg-type]
        self._server = LineUpstream(self._relay, SimpleNamespace(take=lambda lines, thrown: None), LIMIT)
        self._decision.upstream = self._server.upstream
        writer, connection = SimpleNamespace(queued_bytes=0), SimpleNamespace(line=None)
        self._server.upstream.attach(self.to_server.append, writer, connection, {})
        self._client.data_received(message + b"\n")

    def ask(self, message: bytes) -> bytes | None:
        """What the server is asked; None when that is the slow lane's to say."""
        self._client.data_received(message + b"\n")
        return self.to_server[0][:-1] if self.to_server else None

    def answer(self, message: bytes) -> bytes | None:
        """What the client is answered; None when that is the slow lane's to say."""
        self._server.data_received(message + b"\n")
        assert len(self.to_client) + self.promoted == 1
        return self.to_client[0][:-1] if self.to_client else None

    # -- the slow lane --

    def connection_made(self, transport: object) -> None: ...

    def take(self, message: bytes | None) -> None:
        assert message is not None
        self._relay.install(message, self._decision)

    def _promote(self, *call: object) -> None:
        self.promoted += 1


class Way:
    """From a client of one revision to a server of one era."""

    def __init__(self, revision: str, dialect: Dialect, level: str | None = None) -> None:
        self.revision = revision
        self.dialect = dialect
        self.client = ClientView(
            stateless=revision == LATEST_MODERN,
            abilities=b'{"roots":{}}',
            info=b'{"name":"x"}',
            log_level=level,
            version=revision,
        )

    def exchange(self, message: bytes, outlet: Outlet) -> Exchange:
        made: Any
        if self.client.stateless:
            made = StatelessExchange(message, scan(message), self.client, ANYBODY, "tcp", outlet)  # type: ignore[arg-type]
        else:
            newest = self.revision == LATEST_LEGACY
            session = SimpleNamespace(client=self.client, principal=ANYBODY, revision=self.revision, newest=newest)
            made = SessionExchange(message, scan(message), session, "tcp", outlet)  # type: ignore[arg-type]
        return made  # type: ignore[no-any-return]

    def wires(self, message: bytes, name: bytes | None) -> Wires:
        edits = self.exchange(message, Outlet()).result_edits
        assert edits is not None
        return Wires(
            message,
            {
                "name": name,
                "reply_head": b"",
                "coding": "",
                "compress_min_bytes": 0,
                "compress_max_bytes": 0,
                "meta_changes": self.dialect.meta_changes(self.client),
                "untyped": edits.untyped,
                "complete": edits.complete,
                "odd_words": [],
                "balance": "round_robin",
                "max_in_flight": 10,
                "request_head": None,
                "repeatable": False,
                "bucket": None,
                "scope": None,
            },
        )

    def shaped(self, message: bytes, name: bytes | None) -> bytes:
        envelope = scan(message)
        assert envelope.name_span is not None
        edits = [(*envelope.name_span, name)] if name is not None else []
        return self.dialect.shape(message, envelope, self.client, b"1", edits)

    def replied(self, message: bytes, answer: bytes) -> bytes:
        envelope, outlet = scan(answer), Outlet()
        span = scan(message).id_span
        at = envelope.id_span
        assert span is not None
        assert at is not None
        self.exchange(message, outlet).send_result(answer, envelope, (*at, message[span[0] : span[1]]))
        (said,) = outlet.said
        return said


# -- what is sent -----------------------------------------------------------------------------------------------------


def spelled(random: Random, value: Json) -> bytes:
    """The value as JSON, with white space anywhere and strings in any spelling."""
    gap = random.choice(["", "", "", " ", "\t "])
    if isinstance(value, dict):
        members = [f"{gap}{_string(random, key)}{gap}:{gap}" for key in value]
        inner = ",".join(
            head + spelled(random, item).decode() + random.choice(["", "", " "])
            for head, item in zip(members, value.values(), strict=True)
        )
        return f"{{{inner}{gap}}}".encode()
    if isinstance(value, list):
        inner = f",{gap}".join(spelled(random, item).decode() for item in value)
        return f"[{gap}{inner}{gap}]".encode()
    return _string(random, value).encode() if isinstance(value, str) else json.dumps(value).encode()


def _string(random: Random, text: str) -> str:
    plain = json.dumps(text, ensure_ascii=False)
    if not text or random.random() < 0.9:
        return plain
    at = random.randrange(len(text))
    return json.dumps(text[:at])[:-1] + f"\\u{ord(text[at]):04x}" + json.dumps(text[at + 1 :])[1:]


def shuffled(random: Random, value: dict[str, Json]) -> dict[str, Json]:
    keys = list(value)
    random.shuffle(keys)
    return {key: value[key] for key in keys}


names = st.sampled_from(["echo", 'a"b', "é", "_meta"])
texts = st.one_of(st.sampled_from(WORDS), st.text('ab\\"{}é', max_size=4))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.just(1.50), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
metas = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from([*REQUEST_ENVELOPE, "own", "é"]), values, max_size=4),
)
result_metas = st.one_of(st.none(), st.dictionaries(st.sampled_from([*HOP_ENTRIES[:3], "own"]), values, max_size=3))
types = st.sampled_from(["complete", "complete", "complete", "input_required", "task", 5, None])
results = st.fixed_dictionaries(
    {},
    optional={
        "resultType": types,
        "ttlMs": st.just(5),
        "cacheScope": values,
        "_meta": result_metas,
        "structuredContent": values,
        "content": st.lists(objects, max_size=2) | values,
        "messages": st.lists(objects, max_size=2),
        "contents": st.lists(objects, max_size=2),
        "isError": st.booleans(),
        "a": values,
    },
)
ways = st.builds(
    Way,
    st.sampled_from(REVISIONS),
    st.sampled_from([SessionDialect(), StatelessDialect()]),
    st.sampled_from([None, "info"]),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    random = draw(st.randoms(use_true_random=False))
    method = draw(st.sampled_from(sorted(CALLS)))
    params = {CALLS[method][0]: draw(names), **draw(st.fixed_dictionaries({}, optional={"arguments": objects}))}
    if draw(st.booleans()):
        params["_meta"] = draw(metas)
    request = {"jsonrpc": "2.0", "id": draw(st.sampled_from([7, "own"])), "method": method}
    return spelled(random, shuffled(random, {**request, "params": shuffled(random, params)}))


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    random = draw(st.randoms(use_true_random=False))
    result = shuffled(random, draw(results))
    return spelled(random, shuffled(random, {"jsonrpc": "2.0", "id": 1, "result": result}))


# -- the same bytes --------------------------------------------------------------------------------------------------


@given(ways, requests(), st.sampled_from([None, b'"theirs"', b'"a longer name than \\u00e9 before"']), answers())
def test_both_lanes_write_the_same(way: Way, message: bytes, name: bytes | None, answer: bytes) -> None:
    wires = way.wires(message, name)
    sent = wires.ask(message)
    if sent is None:
        return
    assert sent == way.shaped(message, name)
    replied = wires.answer(answer)
    if replied is not None:
        assert replied == way.replied(message, answer)


REQUEST = b'{"jsonrpc":"2.0","id":"own","method":"tools/call","params":{"name":"echo" , "arguments":{"a":"_meta"}} }'
COMMON = [
    {},
    {"content": [{"type": "text", "text": "resultType"}], "isError": False},
    {"resultType": "complete", "content": []},
    {"content": [], "resultType": "complete", "_meta": {HOP_ENTRIES[0]: {"name": "s"}}},
    {"_meta": {HOP_ENTRIES[0]: {"name": "s"}, "own": 1}, "content": [], "resultType": "complete"},
    {"content": [{"type": "text", "text": "{}"}], "structuredContent": {"icons": ["tool_use"]}},
]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("dialect", [SessionDialect(), StatelessDialect()], ids=["sessions", "stateless"])
@pytest.mark.parametrize("result", COMMON, ids=str)
def test_what_is_common_is_relayed(revision: str, dialect: Dialect, result: Json) -> None:
    way = Way(revision, dialect)
    wires = way.wires(REQUEST, None)
    assert wires.ask(REQUEST) == way.shaped(REQUEST, None)
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    replied = wires.answer(answer)
    if "structuredContent" in result and revision < "2025-06-18":
        assert replied is None
    else:
        assert replied == way.replied(REQUEST, answer)


@given(requests())
def test_requests_that_are_made_up_here_are_requests(message: bytes) -> None:
    try:
        assert scan(message).name is not None
    except TidegateError as error:
        pytest.fail(f"{message!r}: {error}")
