"""What operators see of one connection: whom it serves and why, in plain data.

Called by `Service.statistics`, nobody else; the rule itself is `Service.slot_key` and `Lanes`, in words
docs/transports.md, "Who shares a server". Never tells the id of a session, nor a token.
"""

from __future__ import annotations

import json
from typing import Final

from tidegate.config.snapshot import Isolation
from tidegate.errors import ChildEnded
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.upstream.listing import Listing
from tidegate.pipeline.upstream.slot import Slot

_LAST_LINES: Final = 10
_MAX_NAME_CHARS: Final = 100
"""A client may call itself anything, of any length."""


def slot_statistics(slot: Slot, isolation: Isolation, transport: str, waiting: int, now_s: float) -> dict[str, object]:
    """`transport`: how the server is reached. `waiting`: requests that wait for a lane of the same clients."""
    connection = slot.connection
    state = slot.state
    waits = state in ("down", "parked")
    offered = slot.offer.listing if slot.offer is not None else Listing()
    era = None if connection is None else "session" if connection.keeps_session else "stateless"
    return {
        "serves": slot.serves,
        "replica": slot.replica + 1,
        "client": _client(slot.client),
        "abilities": _abilities(slot.client),
        "why": _why(slot, isolation, transport),
        "state": state,
        "since_s": round(now_s - slot.changed_s, 3) if slot.changed_s else None,
        "next_attempt_s": round(max(0.0, slot.next_try_s - now_s), 3) if waits else None,
        "error": str(slot.error) if slot.error is not None and connection is None else None,
        "era": era,
        "revision": connection.version if connection is not None else None,
        "in_flight": connection.working if connection is not None else 0,
        "waiting": len(slot.waiting) + waiting,
        "leased": slot.leased,
        "settling": not slot.leased and slot.settles_at_s > now_s,
        "followed": len(slot.subscribed),
        "dropped": connection.dropped if connection is not None else 0,
        "restarts": slot.restarts,
        "offers": {kind: len(found.entries) for kind, found in offered.kinds.items()},
        "warnings": list(offered.warnings),
        "link": connection.link.statistics() if connection is not None else _last_words(slot),
    }


def _last_words(slot: Slot) -> dict[str, object]:
    """What a child wrote on its stderr before it ended, as long as that is why nothing runs."""
    return {"stderr": list(slot.error.stderr[-_LAST_LINES:])} if isinstance(slot.error, ChildEnded) else {}


def _client(client: ClientView | None) -> dict[str, object] | None:
    """Whose connection it is; None for everybody's. The name and version are the client's own words."""
    if client is None:
        return None
    found: dict[str, object] = {"principal": client.principal}
    if client.session is not None:
        found["transport"] = client.session.transport
        info = json_value(client.info) if client.info is not None else {}
        found |= {key: info[key][:_MAX_NAME_CHARS] for key in ("name", "version") if isinstance(info.get(key), str)}
    return found


def _abilities(client: ClientView | None) -> list[str]:
    """What the server may ask of whom it serves, such as `elicitation.form` or `sampling`."""
    declared = json.loads(client.abilities) if client is not None else {}
    found = []
    for ability, parts in declared.items():
        if ability != "elicitation":
            found.append(ability)
        found.extend(f"{ability}.{part}" for part in parts)
    return found


def _why(slot: Slot, isolation: Isolation, transport: str) -> str:
    client = slot.client
    if slot.serves == "stateless":
        return "no session is kept: each request says whose it is"
    if client is None:
        if isolation == "shared":
            return 'isolation = "shared": one session for all, in which nobody is asked'
        return "nothing can be asked of them, so one session is enough"
    if slot.group and slot.key != slot.group:
        return "its requests overlap"
    if client.abilities != b"{}":
        if slot.group and transport != "http":
            return f"can be asked; one request at a time, as {transport} does not tell whose a question is"
        return "can be asked"
    if client.needs_own_session and isolation != "session":
        return "has tasks of its own"
    return 'isolation = "session": every client has its own'
