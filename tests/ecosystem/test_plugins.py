"""The plugins that come with tidegate, as the official SDK clients find and use them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from driven import KINDS, SdkClient, driven
from gateway_process import UNHURRIED, Gateway, backend, gateway
from plugin_calls import CASES, HOST_TOOLS, TOOLS, same

LEAKY = str(Path(__file__).resolve().with_name("leaky_server.py"))
MASKED = (
    UNHURRIED + backend("people", command=[sys.executable, LEAKY]) + '[filters.mask]\nwasm = "mask"\ntools = ["*"]\n'
)


@pytest.fixture(scope="module")
def default() -> Iterator[Gateway]:
    with gateway(None) as running:
        yield running


@pytest.fixture(scope="module")
def masked() -> Iterator[Gateway]:
    with gateway(MASKED) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_comes_with_tidegate_is_listed_and_right(default: Gateway, kind: SdkClient) -> None:
    async def use() -> None:
        async with driven(kind, default) as client:
            assert client.revision == kind.revision
            listed = await client.tools()
            assert len(listed) == len(set(listed))
            assert set(listed) >= TOOLS | HOST_TOOLS
            for case in CASES:
                reply = await client.call(case.tool, case.arguments)
                assert not reply.failed, (case, reply)
                assert same(reply.structured, case.answer), (case, reply)
            known = await client.call("units__units", {})
            assert {"length", "pressure", "temperature"} <= set(known.structured["kinds"])
            rows = [{"a": "x,y", "b": "2"}, {"a": 'say "no"', "b": ""}]
            written = await client.call("data__json_to_csv", {"rows": rows})
            assert list(csv.DictReader(io.StringIO(written.structured["csv"]))) == rows
            # Who is no plugin is there as before, and what is wrong is an error that the model can read.
            assert not (await client.call("clock", {})).failed
            wrong = await client.call("units__convert", {"value": 1, "from": "bar", "to": "mile"})
            assert wrong.failed
            assert wrong.code is None

    anyio.run(use)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.front == "http"], ids=str)
def test_personal_data_does_not_get_through(masked: Gateway, kind: SdkClient) -> None:
    async def use() -> None:
        async with driven(kind, masked) as client:
            reply = await client.call("look_up", {"name": "Ada"})
            assert not reply.failed
            said = reply.text + json.dumps(reply.structured)
            for leak in ("ada@example.org", "4111", "1111", "DE89", "3702", "555"):
                assert leak not in said
            assert reply.structured["note"] == "write to [email], card [card]"
            assert reply.structured["iban"] == "[iban]"
            # What is no personal data, and what a caller sends, is as it was.
            assert reply.structured["name"] == "Ada"
            assert reply.structured["since"] == 1843
            refused = await client.call("look_up", {"name": "nobody@example.org"})
            assert refused.failed
            assert "[email]" in refused.text
            assert "nobody@example.org" not in refused.text
            heard = await client.call("heard", {})
            assert heard.structured["last_length"] == len("nobody@example.org")

    anyio.run(use)
