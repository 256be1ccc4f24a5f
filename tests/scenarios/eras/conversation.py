"""Both ends of one conversation through the gateway: their notes in real order, and how they compare with a script.

A *beat* is what one message means, whatever the era writes for it: a question of the server is a request of its own
in 2024-11-05 and an `input_required` result in 2026-07-28. What the gateway says to the server to get to know it is
no part of the script; it is taken out by `acquaintance`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from transcript import Message, Side, Way

INTRODUCTIONS = ("initialize", "notifications/initialized", "server/discover", "tools/list", "ping")
"""Of the gateway to the server, for both eras."""
QUESTIONS = ("roots/list", "sampling/createMessage")
NEW_WORDS = ("resultType", "inputRequests", "inputResponses", "requestState", "io.modelcontextprotocol/")
"""What 2024-11-05 never heard of."""


class Kind(Enum):
    """What a message is to people."""

    REQUEST = "request"
    NOTICE = "notice"
    QUESTION = "question"
    ANSWER = "answer"
    RESULT = "result"
    ERROR = "error"


@dataclass(frozen=True)
class Event:
    """One message at one end."""

    side: Side
    way: Way
    message: Message
    method: str
    """Of the request, for a response that of the request it belongs to."""
    kind: Kind
    at_ns: int

    @property
    def forth(self) -> bool:
        """From the client towards the server."""
        return (self.side == "client") == (self.way == "says")

    @property
    def introduces(self) -> bool:
        return self.side == "server" and self.method in INTRODUCTIONS

    @property
    def beat(self) -> Beat:
        about = self.method
        if self.kind in (Kind.QUESTION, Kind.ANSWER):
            about = " ".join(questions_in(self.message, self.method))
        return (self.side, self.way, self.kind, about)


Beat: TypeAlias = tuple[Side, Way, Kind, str]
"""Who, which way, what, and the method it is about: of a question or an answer what was asked."""


@dataclass(frozen=True)
class Step:
    """Messages that are one thing to people: what comes in at the gateway, and what it makes of it."""

    caption: str
    beats: tuple[Beat, ...]


@dataclass(frozen=True)
class ShownStep:
    caption: str
    events: tuple[Event, ...]


def questions_in(message: Message, method: str) -> list[str]:
    """The methods that are asked or answered. Answers of 2026-07-28 do not name them; their shape tells."""
    if method in QUESTIONS:
        return [method]
    if requests := message.get("result", {}).get("inputRequests"):
        return [request["method"] for request in requests.values()]
    answers = message.get("params", {}).get("inputResponses", {})
    return ["roots/list" if "roots" in answer else "sampling/createMessage" for answer in answers.values()]


def read(path: Path) -> list[Event]:
    """The notes of all programs, in the order in which things happened."""
    notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    events: list[Event] = []
    open_requests: dict[tuple[Side, bool, str], str] = {}
    for note in sorted(notes, key=lambda note: int(note["at"])):
        message: Message = note["message"]
        says = note["way"] == "says"
        own_id = json.dumps(message.get("id"))
        if "method" in message:
            method = message["method"]
            open_requests[note["side"], says, own_id] = method
        else:
            method = open_requests.get((note["side"], not says, own_id), "nothing")
        kind = kind_of(message, method)
        events.append(Event(note["side"], note["way"], message, method, kind, note["at"]))
    return events


def kind_of(message: Message, method: str) -> Kind:
    if "error" in message:
        return Kind.ERROR
    if "method" not in message:
        if method in QUESTIONS:
            return Kind.ANSWER
        return Kind.QUESTION if message["result"].get("resultType") == "input_required" else Kind.RESULT
    if "id" not in message:
        return Kind.NOTICE
    if method in QUESTIONS:
        return Kind.QUESTION
    return Kind.ANSWER if "inputResponses" in message.get("params", {}) else Kind.REQUEST


def matched(events: Sequence[Event], script: Sequence[Step], acquaintance: str) -> tuple[list[ShownStep], list[str]]:
    """The events under the captions of the script, in real order, and what was not as scripted."""
    shown: list[ShownStep] = []
    wrong: list[str] = []
    expected = [(step, beat) for step in script for beat in step.beats]
    current: tuple[str, list[Event]] = ("", [])

    def close() -> None:
        if current[1]:
            shown.append(ShownStep(current[0], tuple(current[1])))

    for event in events:
        if event.introduces:
            caption = acquaintance
        elif event.beat in (beats := [beat for _, beat in expected]):
            place = beats.index(event.beat)
            wrong += [f"missing: {named(beat)}" for beat in beats[:place]]
            caption = expected[place][0].caption
            del expected[: place + 1]
        else:
            caption = "This was not expected."
            wrong.append(f"not expected: {named(event.beat)}" + (f" ({error})" if (error := error_in(event)) else ""))
        if caption != current[0]:
            close()
            current = (caption, [])
        current[1].append(event)
    close()
    if expected:
        rest = f", and all {len(expected) - 1} after it" if len(expected) > 1 else ""
        wrong.append(f"missing: {named(expected[0][1])}{rest}")
    return shown, wrong


def error_in(event: Event) -> str:
    return str(event.message.get("error", {}).get("message", ""))


def named(beat: Beat) -> str:
    side, way, kind, about = beat
    return f"the {side} {way} {kind.value} {about}"


def strangers(events: Iterable[Event], side: Side, revision: str) -> list[str]:
    """Words at one end that are not of its revision. Introductions are left out: they find out which it is."""
    wrong = []
    for event in events:
        if event.side != side or event.introduces:
            continue
        text = json.dumps(event.message)
        if revision == "2024-11-05":
            wrong += [f"the {side} of {revision} {event.way} `{word}`" for word in NEW_WORDS if f'"{word}' in text]
        elif "method" in event.message:
            meta: dict[str, Any] = event.message.get("params", {}).get("_meta", {})
            if not event.forth:
                wrong.append(f"the {side} of {revision} {event.way} a request to the client")
            if meta.get("io.modelcontextprotocol/protocolVersion") != revision:
                wrong.append(f"the {side} of {revision} {event.way} {event.method} without its version")
        elif "result" in event.message and "resultType" not in event.message["result"]:
            wrong.append(f"the {side} of {revision} {event.way} a result without its type")
    return wrong
