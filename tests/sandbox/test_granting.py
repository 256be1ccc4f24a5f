"""A plugin gets what it asks for and is granted, and nothing that only one of the two says."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.snapshot import Bounds, Grants
from tidegate.sandbox.granting import MOST, OWN, bounded, granted, grants_in_a_line, ungranted, useless
from tidegate.sandbox.manifest import Asks

EVERYTHING_ASKED = Asks(
    folders=(("/data", "read"), ("/out", "write")),
    http=("api.example.com",),
    store_bytes=10,
    log=True,
    time=True,
    random=True,
    call=("*",),
)
EVERYTHING_GRANTED = Grants(
    folders=(("/data", "/srv/data"),),
    writable=(("/out", "/srv/out"),),
    http=("127.0.0.1:80",),
    store_bytes=5,
    log=True,
    time=True,
    random=True,
    call=("host__*",),
)


def test_what_is_asked_and_granted_is_given() -> None:
    assert granted(EVERYTHING_ASKED, EVERYTHING_GRANTED) == EVERYTHING_GRANTED
    assert useless(EVERYTHING_ASKED, EVERYTHING_GRANTED) == ()
    assert ungranted(EVERYTHING_ASKED, EVERYTHING_GRANTED) == ()


def test_what_only_one_of_them_says_is_not_given() -> None:
    assert granted(Asks(), EVERYTHING_GRANTED) == Grants()
    assert granted(EVERYTHING_ASKED, Grants()) == Grants()
    assert useless(Asks(), EVERYTHING_GRANTED) == tuple(one.name for one in fields(Grants))
    assert ungranted(EVERYTHING_ASKED, Grants()) == tuple(one.name for one in fields(Asks))


def test_a_folder_that_is_asked_for_to_read_is_never_given_to_write() -> None:
    asks = Asks(folders=(("/data", "read"),))
    assert granted(asks, Grants(writable=(("/data", "/srv"),))) == Grants()
    assert granted(asks, Grants(folders=(("/other", "/srv"),))) == Grants()


@given(st.sampled_from([one.name for one in fields(Grants)]))
def test_each_grant_by_itself_needs_its_own_ask(name: str) -> None:
    one = replace(Grants(), **{name: getattr(EVERYTHING_GRANTED, name)})
    asked = "folders" if name == "writable" else name
    assert granted(replace(Asks(), **{asked: getattr(EVERYTHING_ASKED, asked)}), one) == one
    assert granted(replace(EVERYTHING_ASKED, **{asked: getattr(Asks(), asked)}), one) == Grants()


def test_the_operator_has_the_last_word_on_bounds_and_the_manifest_the_first() -> None:
    assert bounded(Bounds(), Bounds()) == OWN
    assert bounded(Bounds(1 << 20, 5, 6, 7), Bounds()) == Bounds(1 << 20, 5, 6, 7)
    assert bounded(Bounds(1 << 40, 1 << 40, 1 << 40, 1 << 40), Bounds()) == MOST
    assert bounded(Bounds(1, 1, 1, 1), Bounds(1 << 30, 60_000, 1 << 25, 99)) == Bounds(1 << 30, 60_000, 1 << 25, 99)


@pytest.mark.parametrize(
    ("grants", "line"),
    [
        (Grants(), "-"),
        (Grants(log=True, time=True, http=("api.example.com",)), "log,time,http:api.example.com"),
        (
            EVERYTHING_GRANTED,
            "log,time,random,store:5,http:127.0.0.1:80,call:host__*,read:/data=/srv/data,write:/out=/srv/out",
        ),
        (Grants(folders=(("/data", "/srv/my data"),)), "'read:/data=/srv/my data'"),
        (Grants(folders=(("/data", "/srv/a\nb"),)), "'read:/data=/srv/a\\nb'"),
    ],
)
def test_a_line_of_the_log_says_what_is_granted_and_nothing_else(grants: Grants, line: str) -> None:
    assert grants_in_a_line(grants) == line
