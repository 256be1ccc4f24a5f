"""Errors say the same in the words and numbers of the client's revision."""

from __future__ import annotations

import pytest
from mcp import types
from mcp.shared.exceptions import MCPError
from person import text_of
from roads import SDK_TEST, Visit, on_roads

pytestmark = SDK_TEST
MODERN_ONLY = (types.HEADER_MISMATCH, types.MISSING_REQUIRED_CLIENT_CAPABILITY, types.UNSUPPORTED_PROTOCOL_VERSION)
RESOURCE_NOT_FOUND = -32002


@pytest.mark.proves("errors.not-found")
@on_roads()
async def test_a_resource_that_nobody_offers_has_the_code_of_the_clients_era(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.read_resource("eras://nothing")
    assert refused.value.error.code == (RESOURCE_NOT_FOUND if visit.road.client == "session" else types.INVALID_PARAMS)


@pytest.mark.proves("errors.not-found")
@on_roads()
async def test_a_resource_the_server_misses_has_the_code_of_the_clients_era(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.read_resource("eras://item/missing")
    assert refused.value.error.code == (RESOURCE_NOT_FOUND if visit.road.client == "session" else types.INVALID_PARAMS)
    assert refused.value.error.message == "Resource not found"
    assert refused.value.error.data == {"uri": "eras://item/missing"}


@pytest.mark.proves("errors.protocol")
@on_roads()
async def test_unknown_names_are_invalid_params_and_a_servers_own_error_arrives_whole(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.call_tool("no_such_tool", {})
    assert refused.value.error.code == types.INVALID_PARAMS
    with pytest.raises(MCPError) as refused:
        await visit.client.get_prompt("no_such_prompt")
    assert refused.value.error.code == types.INVALID_PARAMS
    with pytest.raises(MCPError) as refused:
        await visit.client.call_tool("refuse", {"code": -32007})
    error = refused.value.error
    assert (error.code, error.message, error.data) == (-32007, "refused on purpose", {"why": "test"})


@pytest.mark.proves("errors.codes")
@on_roads(client="session", server="stateless")
@pytest.mark.parametrize("code", MODERN_ONLY)
async def test_codes_of_2026_never_reach_a_session_client(visit: Visit, code: int) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.call_tool("refuse", {"code": code})
    assert refused.value.error.code not in MODERN_ONLY
    assert "refused on purpose" in refused.value.error.message


@pytest.mark.proves("errors.codes")
@on_roads(client="stateless", server="session")
async def test_a_code_of_2025_never_reaches_a_stateless_client(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.read_resource("eras://item/missing")
    assert refused.value.error.code == types.INVALID_PARAMS


@pytest.mark.proves("errors.codes")
@on_roads(bridged=False)
async def test_within_an_era_codes_are_left_alone(visit: Visit) -> None:
    for code in (RESOURCE_NOT_FOUND,) if visit.road.client == "session" else MODERN_ONLY:
        with pytest.raises(MCPError) as refused:
            await visit.client.call_tool("refuse", {"code": code})
        assert refused.value.error.code == code


@pytest.mark.proves("errors.capability")
@on_roads()
async def test_a_client_that_lacks_a_needed_ability_is_told_which(visit: Visit) -> None:
    assert text_of(await visit.client.call_tool("need_sampling", {})) == "declared"
    async with visit.person.client(visit.transport, visit.road.client, abilities=("roots",)) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("need_sampling", {})
    assert "sampling" in refused.value.error.message.lower()
    if visit.road.client == "session":
        assert refused.value.error.code not in MODERN_ONLY
