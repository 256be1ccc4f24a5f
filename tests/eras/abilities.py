"""What is tried across the eras: the rows of the table in `docs/eras.md`, and what one era cannot express.

Marks on the tests say what each of them shows (`conftest.py`); `table.py` puts both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

CELLS: Final[dict[str, str]] = {
    "session-session": "session → session",
    "stateless-stateless": "stateless → stateless",
    "stateless-session": "stateless → session",
    "session-stateless": "session → stateless",
}
"""Client → server, in the order of the columns."""

ABILITIES: Final[dict[str, str]] = {
    "open": "opening, in the client's revision; what the server can do, its instructions",
    "lists": "lists of tools, prompts, resources, templates",
    "tools": "`tools/call`",
    "prompts": "`prompts/get`",
    "resources": "`resources/read`, by URI and by template",
    "completion": "completion of arguments",
    "progress": "progress reaches the call it belongs to, and no other",
    "ping": "`ping`",
    "pairs.basic": "all of this in every revision on either side",
    "cancel.notification": "cancellation by `notifications/cancelled`",
    "cancel.stream": "cancellation by closing the response stream",
    "cancel.only-its-own": "cancelling one call leaves the others alone",
    "cancel.during-question": "cancelling a call while a question of it is open",
    "elicitation.form": "elicitation by form: accepted, declined, cancelled",
    "elicitation.url": "elicitation by URL",
    "elicitation.required": "a call that is possible only after a URL was visited",
    "elicitation.complete": "`notifications/elicitation/complete`",
    "sampling": "sampling",
    "roots": "roots",
    "roots.changed": "`notifications/roots/list_changed`",
    "questions.together": "several questions at once",
    "questions.rounds": "several rounds of questions",
    "questions.progress": "progress before and after a question",
    "questions.prompt": "questions during `prompts/get`",
    "questions.resource": "questions during `resources/read`",
    "questions.aside": "a question that names no request, while one call runs",
    "questions.own": "calls of one client that ask at the same time get their own answers",
    "questions.own-client": "clients that make the same call at the same time are each asked their own question",
    "questions.refused": "a question refused by an error",
    "questions.reconnect": "a call that waits for its client outlives the connection",
    "pairs.questions": "questions in every revision that has them, on either side",
    "abilities.declared": "the server learns what the client can be asked",
    "abilities.undeclared": "what the client did not declare is never used on it",
    "state.opaque": "`requestState` tells the client nothing",
    "state.tampered": "`requestState` that was altered is refused",
    "state.stolen": "`requestState` of another principal is refused",
    "state.other-request": "`requestState` of another request is refused",
    "state.twice": "`requestState` that was used up is refused",
    "state.expired": "`requestState` that comes too late is refused, the server's call is cancelled",
    "state.restart": "`requestState` from before a restart of the gateway is refused, and told so",
    "state.bounded": "so many calls of a client may wait; the oldest gives way to one more",
    "answers.some": "what was not answered is asked again",
    "answers.unknown": "answers to what was not asked are ignored",
    "answers.malformed": "a malformed answer is refused, the call still waits",
    "gone.call": "the call of a client that vanished ends at the server",
    "gone.asked": "a server that asks after its client has gone asks nobody",
    "gone.while-asked": "a question that is open when its client goes is answered by nobody else",
    "changes.lists": "changed lists are told",
    "changes.resources": "updates of a resource reach who asked for them, and nobody else",
    "logs.set-level": "log lines from the level that `logging/setLevel` set",
    "logs.by-request": "log lines from the level that the request carries",
    "logs.only-its-caller": "log lines reach their caller only",
    "tasks.follow": "a tool called as a task, its state and its result",
    "tasks.question": "a task that asks on the way",
    "tasks.cancel": "cancelling a task",
    "tasks.owner": "a task of somebody else looks like none",
    "tasks.plain": "a tool that runs as a task only, called by a client that has no tasks",
    "tasks.list": "`tasks/list`",
    "tasks.status": "notifications of a task's status",
    "errors.tool": "a tool that failed",
    "errors.protocol": "unknown names; a server's own error arrives whole",
    "errors.not-found": "an unknown resource has the code of the client's revision",
    "errors.codes": "codes of one era never reach a client of the other",
    "errors.capability": "a client that lacks an ability is told which",
}
"""Id → what stands in the table. Ids are those of the marks."""


@dataclass(frozen=True)
class Gap:
    """Something that one era cannot express. `partly`: it works but for this."""

    ability: str
    cells: tuple[str, ...]
    reason: str
    instead: str
    kind: Literal["no", "partly"] = "no"


_BY_STATELESS = ("stateless-stateless", "stateless-session")
_BY_SESSION = ("session-session", "session-stateless")

GAPS: Final[tuple[Gap, ...]] = (
    Gap(
        "ping",
        _BY_STATELESS,
        "2026-07-28 has no `ping`.",
        "-32601, method not found. The connection itself shows whether the gateway is there.",
    ),
    Gap(
        "cancel.during-question",
        ("stateless-session",),
        "Between two rounds the client has no request that it could cancel.",
        "The server's call ends when its client stayed away for `limits.suspended_s`; its question is refused then.",
    ),
    Gap(
        "elicitation.complete",
        ("stateless-session",),
        "2026-07-28 has no such notification: the client learns it from the retry of its request.",
        "It is dropped.",
    ),
    Gap(
        "roots.changed",
        ("session-stateless",),
        "2026-07-28 has no such notification: a server asks for the roots whenever it needs them.",
        "It ends at the gateway; the next question for roots gets the new ones.",
    ),
    Gap(
        "questions.refused",
        ("session-stateless",),
        "`inputResponses` hold results only.",
        "The server reads a form refused by an error as cancelled. Sampling or roots refused by an error end the call "
        "with the client's words.",
    ),
    Gap(
        "questions.refused",
        _BY_STATELESS,
        "A stateless client answers by results only; to refuse, it does not come back. A form can be declined.",
        "The caller sees its own refusal. The call of a session server ends after `limits.suspended_s`.",
    ),
    Gap(
        "tasks.list",
        ("session-stateless",),
        "The extension has no list of tasks.",
        "`tasks.list` is not declared, and the method is answered with -32601.",
    ),
    Gap(
        "tasks.status",
        ("session-stateless", *_BY_STATELESS),
        "They are optional in both eras, and of a stateless server one would have to be asked for by each task's id.",
        "`taskIds` is missing from what `subscriptions/listen` acknowledges; the state is there for the asking.",
    ),
    Gap(
        "logs.set-level",
        _BY_STATELESS,
        "2026-07-28 has no `logging/setLevel`; each request carries its level.",
        "-32601, method not found.",
    ),
    Gap(
        "logs.only-its-caller",
        ("stateless-stateless", "session-stateless"),
        "A log line names no request, and on stdio, TCP and unix sockets requests share one stream.",
        "While several calls run on such a connection, their lines reach nobody rather than somebody else.",
        "partly",
    ),
)

_SESSIONS_ONLY = "sessions have no `requestState`; the gateway keeps the one of the server to itself"
_OWN = "the server's own `requestState` and its own affair"

_SESSION_BY_URL = "an error of 2025-11-25; a stateless server asks by URL"
_NOTHING_WAITS = "nothing waits between the rounds"
_ASKED_ONE_BY_ONE = "a session's client answers each question by itself"

MOOT: Final[dict[str, dict[str, str]]] = {
    "cancel.during-question": {"stateless-stateless": _NOTHING_WAITS},
    "elicitation.required": dict.fromkeys(("stateless-stateless", "session-stateless"), _SESSION_BY_URL),
    "elicitation.complete": {"stateless-stateless": "of 2025-11-25 only"},
    "roots.changed": dict.fromkeys(_BY_STATELESS, "of sessions only"),
    "questions.aside": dict.fromkeys(("stateless-stateless", "session-stateless"), "questions are answers to requests"),
    "questions.reconnect": {
        **dict.fromkeys(_BY_SESSION, "a session's client is asked on its own connection"),
        "stateless-stateless": _NOTHING_WAITS,
    },
    "state.opaque": dict.fromkeys(_BY_SESSION, _SESSIONS_ONLY),
    "state.tampered": dict.fromkeys(_BY_SESSION, _SESSIONS_ONLY),
    **{
        ability: {**dict.fromkeys(_BY_SESSION, _SESSIONS_ONLY), "stateless-stateless": _OWN}
        for ability in (
            "state.stolen",
            "state.other-request",
            "state.twice",
            "state.expired",
            "state.restart",
            "state.bounded",
        )
    },
    "answers.some": dict.fromkeys(_BY_SESSION, _ASKED_ONE_BY_ONE),
    "answers.unknown": dict.fromkeys(_BY_SESSION, _ASKED_ONE_BY_ONE),
    "answers.malformed": {
        **dict.fromkeys(_BY_SESSION, _ASKED_ONE_BY_ONE),
        "stateless-stateless": "the server judges it",
    },
    "gone.while-asked": {
        "stateless-stateless": _NOTHING_WAITS,
        "stateless-session": "a held call may be taken up by its client later",
    },
    "tasks.list": dict.fromkeys(_BY_STATELESS, "the extension has none"),
    "logs.by-request": dict.fromkeys(_BY_SESSION, "the session's level is carried by each request"),
}
"""Ability → cell → why the question does not arise there."""
