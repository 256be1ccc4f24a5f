"""How the operator's pages answer: JSON that no cache keeps.

Called by the other files of this room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tidegate.pipeline.accept.http_request import HttpRequest

HEADERS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


def answer(
    request: HttpRequest, status: int, value: Mapping[str, object], more: tuple[tuple[str, str], ...] = ()
) -> None:
    """Sends `value` as JSON."""
    body = json.dumps(value, indent=2).encode() + b"\n"
    request.respond(status, (*HEADERS, *more, ("content-type", "application/json")), body)
