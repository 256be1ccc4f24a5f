"""`host:port` as people write it."""

from __future__ import annotations

import pytest

from tidegate.config.address import format_host_port, is_loopback, parse_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:80", "::1", 80),
        ("localhost:65535", "localhost", 65535),
        ("box.example.org:443", "box.example.org", 443),
        (":8080", "127.0.0.1", 8080),
        ("8080", "127.0.0.1", 8080),
        (" 0.0.0.0:1 ", "0.0.0.0", 1),
    ],
)
def test_an_address_is_split_and_stays_on_loopback_when_it_names_no_host(text: str, host: str, port: int) -> None:
    assert parse_host_port(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        "host:-1",
        "host:65536",
        "host:1x",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[x]:1",
        "256.1.1.1:1",
        "a b:1",
    ],
)
def test_what_is_no_address_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_host_port(text)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "[::1]:80", "localhost:9"])
def test_formatting_is_the_inverse_of_parsing(text: str) -> None:
    assert format_host_port(*parse_host_port(text)) == text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"]
)
def test_loopback_hosts_stay_on_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.1", "fe80::1%eth0", "example.org", "::ffff:8.8.8.8"])
def test_every_other_host_counts_as_public(host: str) -> None:
    assert not is_loopback(host)
