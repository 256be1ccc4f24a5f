"""What is kept of a backend on disk, and what of it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidegate.config.snapshot import Backend, Grants, Plugin, Secret
from tidegate.pipeline.upstream.listing import Entry, Kind, Listing
from tidegate.pipeline.upstream.offer import Offer
from tidegate.pipeline.upstream.remembered import EVERYBODY, Remembered
from tidegate.storage.documents import Documents

BACKEND = Backend(
    "files",
    "http",
    url="http://127.0.0.1:1/mcp",
    env=(("KEY", Secret("sesame")),),
    headers=(("Authorization", Secret("Bearer sesame")),),
)
ENTRY = '{"name":"read","inputSchema":{"type":"object"},"title":"ünï\\u0000"}'.encode()
OFFER = Offer(
    Listing({"tools": Kind((Entry("read", ENTRY),), 5000, "public"), "prompts": Kind()}),
    {"tools": {"listChanged": True}},
    b'{"name":"files","version":"1"}',
    "how to use it",
    keeps_session=False,
)
SOME_ABILITIES = b'{"sampling":{}}'


class Shelf:
    """Documents in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.texts.get(name)

    def write(self, name: str, text: bytes) -> None:
        self.texts[name] = text


def kept(shelf: Shelf, backend: Backend = BACKEND) -> Remembered:
    return Remembered(backend, shelf, 100)


def shelf_with(offer: Offer = OFFER) -> Shelf:
    shelf = Shelf()
    one = kept(shelf)
    assert one.keep(EVERYBODY, offer)
    one.write("sse", False, True)
    return shelf


def test_what_was_offered_and_how_it_was_reached_come_back() -> None:
    again = kept(shelf_with())
    assert again.offer(EVERYBODY) == OFFER
    assert (again.transport, again.stateless, again.keeps_session) == ("sse", False, True)
    assert again.offer(SOME_ABILITIES) is None


def test_no_secret_and_no_trace_of_one_is_written() -> None:
    assert b"sesame" not in shelf_with().texts["files.json"]
    other = Backend("files", "http", url=BACKEND.url, env=(("KEY", Secret("x")),), headers=BACKEND.headers)
    assert kept(shelf_with(), other).offer(EVERYBODY) == OFFER


@pytest.mark.parametrize(
    "other",
    [Plugin("/p/one.wasm", digest="sha256:2"), Plugin("/p/two.wasm", digest="sha256:1"), Plugin("units", shipped=True)],
)
def test_what_a_plugin_offered_is_not_what_another_file_offers(other: Plugin) -> None:
    shelf = Shelf()
    plugin = Plugin("/p/one.wasm", digest="sha256:1")
    one = kept(shelf, Backend("files", "wasm", plugin=plugin))
    one.keep(EVERYBODY, OFFER)
    one.write("wasm", True, False)
    granted_more = replace(plugin, grants=Grants(log=True))
    assert kept(shelf, Backend("files", "wasm", plugin=granted_more)).offer(EVERYBODY) == OFFER
    assert kept(shelf, Backend("files", "wasm", plugin=other)).offer(EVERYBODY) is None


def test_what_others_may_see_is_kept_in_memory_for_a_few_and_not_written() -> None:
    shelf = Shelf()
    one = kept(shelf)
    for number in range(10):
        assert not one.keep(b'{"sampling":{"%d":1}}' % number, OFFER)
    assert [one.offer(b'{"sampling":{"%d":1}}' % number) is not None for number in range(10)] == [False] * 6 + [
        True
    ] * 4
    one.write("http", None, None)
    assert shelf.texts == {}


def test_what_did_not_change_is_not_written_again() -> None:
    one = kept(Shelf())
    assert one.keep(EVERYBODY, OFFER)
    assert not one.keep(EVERYBODY, OFFER)


SPOILED: dict[str, Callable[[Any], object]] = {
    "another format": lambda text: text | {"format": 2},
    "another server": lambda text: text | {"digest": "0" * 64},
    "a transport it cannot have": lambda text: text | {"transport": "stdio"},
    "no truth value": lambda text: text | {"stateless": "no"},
    "capabilities that are none": lambda text: text | {"capabilities": []},
    "an entry that is two members": lambda text: _with_entry(text, '{"name":"a"},"id":{"name":"b"}'),
    "an entry without a name": lambda text: _with_entry(text, '{"title":"a"}'),
    "an entry that is no JSON": lambda text: _with_entry(text, '{"name":"a"'),
    "an entry that is no object": lambda text: _with_entry(text, '"a"'),
    "half a surrogate pair": lambda text: _with_entry(text, '{"name":"\ud800"}'),
    "a kind nobody knows": lambda text: text | {"kinds": {"robots": text["kinds"]["tools"]}},
    "more entries than are taken": lambda text: _with_entry(text, '{"name":"a"}', 101),
    "server info that is none": lambda text: text | {"server_info": "tidegate"},
    "a list": lambda text: [text],
}


def _with_entry(text: Any, entry: str, times: int = 1) -> object:
    return text | {"kinds": {"tools": {"ttl_ms": None, "scope": None, "entries": [entry] * times}}}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_not_as_we_write_it_is_not_believed(what: str) -> None:
    shelf = shelf_with()
    shelf.texts["files.json"] = json.dumps(SPOILED[what](json.loads(shelf.texts["files.json"]))).encode()
    assert kept(shelf).offer(EVERYBODY) is None


@given(
    some.binary()
    | some.recursive(some.none() | some.integers() | some.text(), some.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_anything_at_all_may_be_read(text: bytes) -> None:
    shelf = Shelf()
    shelf.texts["files.json"] = text
    assert kept(shelf).offer(EVERYBODY) is None


def test_a_document_is_whole_or_not_there(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "new" / "place")
    assert documents.read("files.json") is None
    documents.write("files.json", b"one")
    documents.write("files.json", b"two")
    assert documents.read("files.json") == b"two"
    [path] = (tmp_path / "new" / "place").iterdir()
    whole = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert documents.read("files.json") is None


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    documents = Documents(tmp_path / "file" / "below")
    documents.write("files.json", b"one")
    documents.write("files.json", b"two")
    assert documents.read("files.json") is None
    assert len([record for record in caplog.records if "not_kept" in record.message]) == 1
