"""What a server says beside its results, less the words, for servers whose results filters look through.

Progress, log lines and the states of tasks carry text that no filter sees. Of a server that has served one call whose
result is filtered, clients get the numbers and none of the text.
"""

from __future__ import annotations

from typing import Final

from tidegate.pipeline.codec import Envelope, patch_object, scan, splice

_SAID: Final = {"notifications/progress": "message", "notifications/tasks/status": "statusMessage"}
"""Notification -> the member of its params with words of the server's."""
_PLAIN: Final = frozenset(
    (
        "notifications/cancelled",
        "notifications/elicitation/complete",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    )
)


def wordless(message: bytes, envelope: Envelope) -> tuple[bytes, Envelope] | None:
    """A notification without its words; None when nothing would be left."""
    method = envelope.method or ""
    if method in _PLAIN:
        return message, envelope
    member, span = _SAID.get(method), envelope.params_span
    if member is None or span is None:
        return None
    params = message[span[0] : span[1]]
    left = patch_object(params, [(member, None)])
    if left == params:
        return message, envelope
    written = splice(message, [(span[0], span[1], left)])
    return written, scan(written, 1 << 16)
