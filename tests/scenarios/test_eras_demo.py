"""`make demo-eras` shows what it says: the conversations between the programs of `eras/`, and the page made of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import closed_shapes
import columns
import pytest
from conversation import Event, Kind, matched, strangers
from jsonschema import validate
from owner import FOLDER, SENTENCE
from show import coloured, painted

import scenarios
from scenarios import NEW_CLIENT, OLD_CLIENT, Conversation, play

SHOW = Path(scenarios.__file__).with_name("show.py")
BOUND_S = 120.0
ANSI = re.compile(r"\x1b\[")


@pytest.fixture(scope="module")
def old_client() -> Conversation:
    return play(OLD_CLIENT)


@pytest.fixture(scope="module")
def new_client() -> Conversation:
    return play(NEW_CLIENT)


def at(conversation: Conversation, side: str, *kinds: Kind) -> list[Event]:
    return [event for event in conversation.events if event.side == side and event.kind in kinds]


def answers_in(event: Event) -> list[Any]:
    return list(event.message["params"]["inputResponses"].values())


def test_an_old_client_is_asked_twice_by_a_new_server(old_client: Conversation) -> None:
    assert old_client.wrong == ()
    assert old_client.got == f"greenhouse: {SENTENCE}"
    questions = at(old_client, "client", Kind.QUESTION)
    assert [event.message["method"] for event in questions] == ["roots/list", "sampling/createMessage"]
    assert len({event.message["id"] for event in questions}) == 2
    first, second = at(old_client, "server", Kind.QUESTION)
    one, two = at(old_client, "server", Kind.ANSWER)
    (call,) = at(old_client, "client", Kind.REQUEST)[1:]
    assert call.message["method"] == "tools/call"
    # Stateless: a request of its own each time, the same call, with the state of the question before it.
    assert [event.message["params"]["requestState"] for event in (one, two)] == [
        event.message["result"]["requestState"] for event in (first, second)
    ]
    assert one.message["params"]["arguments"] == two.message["params"]["arguments"] == {"place": "greenhouse"}
    assert answers_in(one)[0]["roots"][0]["uri"] == FOLDER
    assert answers_in(two)[0]["content"]["text"] == SENTENCE


def test_a_new_client_is_asked_twice_by_an_old_server(new_client: Conversation) -> None:
    assert new_client.wrong == ()
    assert new_client.got == f"greenhouse: {SENTENCE}"
    calls = [event for event in new_client.events if event.method == "tools/call"]
    # For the server one call that lasts; for the client three requests.
    assert [event.kind for event in calls if event.side == "server"] == [Kind.REQUEST, Kind.RESULT]
    asked = [event.message["id"] for event in calls if event.side == "client" and event.way == "says"]
    assert len(set(asked)) == len(asked) == 3
    states = [event.message["result"]["requestState"] for event in at(new_client, "client", Kind.QUESTION)]
    assert [event.message["params"]["requestState"] for event in at(new_client, "client", Kind.ANSWER)] == states
    assert len(set(states)) == 2
    opened = next(event for event in new_client.events if event.side == "server" and event.method == "initialize")
    assert opened.message["params"]["capabilities"] == {"sampling": {}, "roots": {}}
    first, second = at(new_client, "server", Kind.ANSWER)
    assert first.message["result"]["roots"][0]["uri"] == FOLDER
    assert second.message["result"]["content"]["text"] == SENTENCE


def test_an_old_client_hears_nothing_that_its_revision_does_not_have(old_client: Conversation) -> None:
    heard = {event.method: event.message for event in old_client.events if event.side == "client" and not event.forth}
    validate(heard["tools/call"]["result"], closed_shapes.result("tools/call", "2024-11-05"))
    validate(heard["sampling/createMessage"]["params"], closed_shapes.sampling("2024-11-05"))
    assert heard["roots/list"].get("params", {}) == {}


@pytest.mark.parametrize("name", ["old_client", "new_client"])
def test_what_happened_later_is_never_shown_earlier(name: str, request: pytest.FixtureRequest) -> None:
    conversation: Conversation = request.getfixturevalue(name)
    shown = [event for step in conversation.steps for event in step.events]
    assert shown == sorted(conversation.events, key=lambda event: event.at_ns)


def test_what_is_not_as_scripted_is_told(old_client: Conversation) -> None:
    events = [event for event in old_client.events if event.kind is not Kind.ANSWER]
    _, wrong = matched([*events, events[-1]], OLD_CLIENT.script, "")
    assert wrong == [
        "missing: the client says answer roots/list",
        "missing: the server hears answer roots/list",
        "missing: the client says answer sampling/createMessage",
        "missing: the server hears answer sampling/createMessage",
        "not expected: the client hears result tools/call",
    ]


def test_a_word_of_another_era_is_told(new_client: Conversation) -> None:
    assert strangers(new_client.events, "client", "2024-11-05") != []
    turned = [replace(event, side="client") for event in new_client.events if event.side == "server"]
    assert strangers(turned, "client", "2026-07-28") != []


@pytest.mark.parametrize("width", [columns.NARROW, 120, 160])
def test_the_page_fits_its_width(width: int, old_client: Conversation, new_client: Conversation) -> None:
    lines = ["".join(text for text, _ in line) for line in columns.page([old_client, new_client], width)]
    assert [line for line in lines if len(line) > width] == []
    middle = 1 + (width - 2 * columns.MARGIN - columns.GUTTER) // 2 + 5
    bars = [line.index("┃") for line in lines if "┃" in line]
    assert set(bars) == {middle}


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it() -> None:
    assert coloured(Terminal(), {"TERM": "xterm"})
    assert not coloured(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not coloured(Terminal(), {"TERM": "dumb"})
    assert not coloured(StringIO(), {"TERM": "xterm"})
    assert painted([("QUESTION", "question")]) == "\x1b[1;33mQUESTION\x1b[0m"


def test_the_demonstration_is_plain_text_where_there_is_no_terminal(tmp_path: Path) -> None:
    picture = tmp_path / "eras.svg"
    done = subprocess.run(
        [sys.executable, str(SHOW), "--columns", "120", "--svg", str(picture)],
        env={key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not ANSI.search(done.stdout)
    assert "2 of 2 conversations went as they should." in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    text = "".join(ElementTree.parse(picture).getroot().itertext())
    assert "inputRequests" in text
    assert "tools/call" in text


def test_a_failed_expectation_is_the_exit_status(tmp_path: Path) -> None:
    broken = tmp_path / "tidegate"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(SHOW)],
        env={**os.environ, "TIDEGATE_COMMAND": str(broken)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 1
    assert "0 of 2 conversations" in done.stdout
    assert "Traceback" not in done.stderr
