"""The state of a gateway in sentences.

What is up, what is not, since when, why, what tidegate does about it, and what a person could do.

A pure function of what `gateway_facts.py` read. The first sentence says it all in short; each further one is about one
thing that somebody would want to know. What is well needs no words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.cli.gateway_facts import Backend, Filter, Gateway, Slot
from tidegate.cli.stretch import stretch
from tidegate.control.telemetry.backend_state import TROUBLE

Tone = Literal["good", "note", "bad"]

_RECENT_S: Final = 600.0
"""A server that came back longer ago is no news."""
_DOCTOR: Final = "`tidegate doctor`"
_ADVICE_FOR_ALL: Final = f"{_DOCTOR} looks for the causes; `tidegate logs --backend NAME` has the last lines of one"
_NAMED: Final = 6
"""So many names are listed; of more, how many there are."""


@dataclass(frozen=True)
class Sentence:
    """One thing to know."""

    tone: Tone
    text: str
    advice: str = ""
    """What a person could do; empty when there is nothing to do."""


def sentences(gateway: Gateway) -> list[Sentence]:
    """In the order in which a person wants them: how it stands, what is wrong, what is worth knowing."""
    found = [*_configuration(gateway), *_limits(gateway)]
    for backend in gateway.backends:
        found += _backend(backend)
    for one in gateway.filters:
        found += _filter(one)
    found += _held_back(gateway)
    found.sort(key=lambda sentence: ("bad", "note", "good").index(sentence.tone))
    return [_summary(gateway), *_advised_once(found)]


def _advised_once(found: Sequence[Sentence]) -> Iterator[Sentence]:
    """Where several servers are in trouble, what to do about it stands under the last of them."""
    last = max((at for at, sentence in enumerate(found) if sentence.advice.startswith(_DOCTOR)), default=0)
    several = sum(sentence.advice.startswith(_DOCTOR) for sentence in found) > 1
    for at, sentence in enumerate(found):
        if several and sentence.advice.startswith(_DOCTOR):
            yield Sentence(sentence.tone, sentence.text, _ADVICE_FOR_ALL if at == last else "")
        else:
            yield sentence


def _summary(gateway: Gateway) -> Sentence:
    up = "tidegate is up" if gateway.uptime_s is None else f"tidegate has been up for {stretch(gateway.uptime_s)}"
    if gateway.stopping:
        return Sentence("note", f"{up} and is stopping: it takes nothing new and finishes what runs.")
    backends = gateway.backends
    if not backends:
        return Sentence("note", f"{up}, with no server behind it.", "add one: `tidegate import` or `[backends.NAME]`")
    broken = [backend for backend in backends if not backend.works]
    ready = sum(backend.state == "ready" for backend in backends)
    starting = sum(backend.state == "starting" for backend in backends)
    idle = sum(backend.state == "idle" for backend in backends)
    parts = [f"{ready} ready"] if ready else []
    parts += [f"{starting} starting"] if starting else []
    parts += [f"{idle} idle until needed"] if idle else []
    of = _counted(len(backends), "server")
    if not broken:
        return Sentence("good", f"{up}. {of}: {', '.join(parts)}.")
    names = _names([backend.name for backend in broken])
    if len(broken) == len(backends):
        many = "none of them can" if len(backends) > 1 else "it cannot"
        return Sentence("bad", f"{up}, but of {of} {many} be used: {names}.")
    parts.append(f"{len(broken)} out of order ({names})")
    return Sentence("bad", f"{up}. {of}: {', '.join(parts)}.")


def _configuration(gateway: Gateway) -> Iterator[Sentence]:
    if gateway.problem:
        yield Sentence(
            "bad",
            f"The configuration cannot be used: {_ended(gateway.problem)} tidegate goes on with the last good one.",
            "mend the file; `tidegate check` says what is wrong with it",
        )


def _limits(gateway: Gateway) -> Iterator[Sentence]:
    for bound, what, field in (
        (gateway.connections, "connections of clients", "connections"),
        (gateway.sessions, "sessions of clients", "sessions"),
        (gateway.in_flight, "requests in flight", "in_flight"),
        (gateway.suspended, "calls that wait for answers of clients", "suspended"),
    ):
        if bound.is_tight:
            yield Sentence(
                "bad", f"There are {bound} {what}; more are turned away.", f"`limits.{field}` is the most there may be"
            )
    if gateway.refused:
        times = _counted(gateway.refused, "connection")
        yield Sentence("note", f"{times} over the limit of {gateway.connections.limit} turned away so far.")


def _held_back(gateway: Gateway) -> Iterator[Sentence]:
    if gateway.held_back:
        names = _names([name for name, _ in gateway.held_back])
        left = stretch(max(left_s for _, left_s in gateway.held_back))
        yield Sentence(
            "note",
            f"What capabilities asked and did not reach: {names}. Others are asked first, for {left} at most.",
            f"{_DOCTOR} looks for the causes",
        )


def _backend(backend: Backend) -> Iterator[Sentence]:
    name = f"`{backend.name}`"
    if backend.state in TROUBLE:
        yield _out_of_order(backend, name)
    elif backend.state == "starting":
        slot = backend.of("starting")[0]
        since = "" if slot.since_s is None else f" for {stretch(slot.since_s)}"
        yield Sentence("note", f"{name} has been starting{since}." if since else f"{name} is starting.")
    elif backend.state == "ready":
        yield from _partly(backend, name)
        yield from _returned(backend, name)
    if backend.remembered and backend.works and backend.state != "idle":
        yield Sentence("note", f"{name} is listed as it was when it last ran, until it has been heard.")
    yield from _queue(backend, name)
    for warning in backend.warnings:
        yield Sentence("note", f"{name}: {warning}", "")


def _filter(one: Filter) -> Iterator[Sentence]:
    if one.state != "failed":
        return
    calls = f"calls of {_names(one.tools) or 'its tools'}"
    what = f"{calls} are refused" if one.refuses else f"{calls} go on without it"
    yield Sentence(
        "bad",
        f"The filter `{one.name}` cannot be used: it {_ended(_without_name(one.reason, one.name))} So {what}.",
        f"`tidegate plugin inspect {one.name}` shows what is known of it",
    )


def _out_of_order(backend: Backend, name: str) -> Sentence:
    slot = _latest(backend.of(backend.state))
    since = "" if slot.since_s is None else f" for {stretch(slot.since_s)}"
    verb = "has been" if since else "is"
    if backend.state == "parked":
        what = f"{name} failed too often and {verb} parked{since}"
    else:
        what = f"{name} {verb} down{since}"
    why = f": {_ended(_without_name(slot.error, backend.name))}" if slot.error else "."
    listed = (
        "Its tools are still listed, as it last had them; calls to them are answered with an error."
        if backend.remembered
        else "Its tools are missing meanwhile."
    )
    return Sentence("bad", f"{what}{why} {_remedy(backend, slot)} {listed}", _advice(backend))


def _remedy(backend: Backend, slot: Slot) -> str:
    """What tidegate is doing about it."""
    restarts = f", {_counted(backend.restarts, 'restart')} so far" if backend.restarts else ""
    if slot.next_attempt_s is None:
        return f"tidegate tries it again when it is next needed{restarts}."
    if slot.next_attempt_s < 1:
        return f"tidegate is trying it again now{restarts}."
    more = ", and on for ever" if backend.state == "parked" else ""
    return f"tidegate tries it again in {stretch(slot.next_attempt_s)}{more}{restarts}."


def _advice(backend: Backend) -> str:
    return f"{_DOCTOR} looks for the cause; `tidegate logs --backend {backend.name}` has its last lines"


def _partly(backend: Backend, name: str) -> Iterator[Sentence]:
    broken = backend.of(*TROUBLE)
    if broken:
        slot = _latest(broken)
        why = f": {_ended(_without_name(slot.error, backend.name))}" if slot.error else "."
        of = f"{len(broken)} of its {len(backend.slots)} connections"
        if backend.replicas > 1:
            of += f" (to replica {', '.join(map(str, sorted({slot.replica for slot in broken})))})"
        verb = "is" if len(broken) == 1 else "are"
        yield Sentence(
            "bad", f"{name} works, but {of} {verb} out of order{why} {_remedy(backend, slot)}", _advice(backend)
        )


def _returned(backend: Backend, name: str) -> Iterator[Sentence]:
    slots = [slot for slot in backend.of("ready") if slot.restarts and slot.since_s is not None]
    recent = min((slot.since_s for slot in slots if slot.since_s is not None), default=None)
    if recent is not None and recent < _RECENT_S:
        times = _counted(backend.restarts, "restart")
        yield Sentence(
            "note",
            f"{name} came back {stretch(recent)} ago; {times} so far.",
            f"`tidegate logs --backend {backend.name}` has what led to it",
        )


def _queue(backend: Backend, name: str) -> Iterator[Sentence]:
    if not backend.queued:
        return
    most = "" if backend.max_queued is None else f" (of at most {backend.max_queued})"
    waiting = f"{_counted(backend.queued, 'request')}{most} wait{'s' if backend.queued == 1 else ''} for {name}"
    if backend.max_in_flight is not None and backend.in_flight >= backend.max_in_flight:
        full = backend.max_queued is not None and backend.queued >= backend.max_queued
        rest = "; further ones are refused" if full else ""
        yield Sentence(
            "bad" if full else "note",
            f"{waiting}, which has {backend.in_flight} in hand, the most it is given at once{rest}.",
            f"`backends.{backend.name}.max_in_flight` is the most it is given at once" if full else "",
        )
    else:
        yield Sentence("note", f"{waiting}.")


def _latest(slots: Sequence[Slot]) -> Slot:
    """Of several that are out of order, the one whose error is the newest."""
    return min(slots, key=lambda slot: (not slot.error, slot.since_s is None, slot.since_s or 0.0))


def _without_name(error: str, name: str) -> str:
    """Errors name the backend, which the sentence has done already."""
    for start in (f"backend `{name}`: ", f"backend `{name}` ", f"plugin `{name}` "):
        if error.startswith(start):
            return error[len(start) :]
    return error


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _names(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names[:_NAMED]]
    more = len(names) - len(quoted)
    return ", ".join(quoted) + (f" and {more} more" if more else "")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
