"""Where the name of a host may lead, for requests that a plugin made up."""

from __future__ import annotations

import pytest

from tidegate.pipeline.upstream.address_guard import may_lead_to


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "10.0.0.7",
        "192.168.1.4",
        "172.16.0.1",
        "2606:2800:220:1::1",
        "fd12:3456::1",
        "64:ff9b::808:808",
    ],
)
def test_a_name_may_lead_elsewhere(address: str) -> None:
    assert may_lead_to("api.example.com", address, False)
    assert not may_lead_to("api.example.com", address, True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "nonsense",
    ],
)
def test_a_name_may_not_lead_to_this_box_or_to_a_clouds_metadata(address: str) -> None:
    assert not may_lead_to("api.example.com", address, False)
    assert not may_lead_to("localhost.evil.com", address, False)


def test_an_address_leads_to_itself_alone_and_localhost_to_this_box() -> None:
    assert may_lead_to("127.0.0.1", "127.0.0.1", True)
    assert may_lead_to("169.254.169.254", "169.254.169.254", False)
    assert may_lead_to("192.168.1.4", "192.168.1.4", True)
    assert not may_lead_to("127.0.0.1", "127.0.0.2", False)
    assert may_lead_to("localhost", "127.0.0.1", True)
    assert may_lead_to("localhost", "::1", True)
    assert not may_lead_to("localhost", "10.0.0.1", False)
