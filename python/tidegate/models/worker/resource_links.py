"""Links among a call's arguments, as the worker asks the gateway to follow them.

The answer of such a call names every link in it, and the call comes again with what they led to (2026-07-28,
basic/patterns/mrtr; asking for `resources/read` is between gateway and worker, no client sees it).
"""

from __future__ import annotations

from typing import Any, Final

from tidegate.errors import InvalidParams
from tidegate.models.task import BadInput, Json

MAX_LINKS: Final = 16
"""In one call."""


class LinksToRead(Exception):
    """The call cannot be prepared before the gateway has read these."""

    def __init__(self, uris: tuple[str, ...]) -> None:
        super().__init__(", ".join(uris))
        self.uris = uris

    @property
    def requests(self) -> Json:
        """`inputRequests` of the answer: by the number of each."""
        return {
            str(number): {"method": "resources/read", "params": {"uri": uri}} for number, uri in enumerate(self.uris)
        }


def links_among(arguments: Json) -> tuple[str, ...]:
    """Each URI once, in the order in which they stand there: the same whenever the call comes. Raises: BadInput."""
    found: dict[str, None] = {}
    for value in arguments.values():
        if isinstance(value, dict) and value.get("type") == "resource_link":
            uri = value.get("uri")
            if isinstance(uri, str) and uri:
                found[uri] = None
    if len(found) > MAX_LINKS:
        raise BadInput(f"at most {MAX_LINKS} resource links can be followed in one call")
    return tuple(found)


def responses_of(params: Json, arguments: Json) -> dict[str, Any]:
    """Results of `resources/read` by URI. Raises: InvalidParams, BadInput."""
    responses = params.get("inputResponses")
    if responses is None:
        return {}
    if not isinstance(responses, dict) or not all(isinstance(one, dict) for one in responses.values()):
        raise InvalidParams("`inputResponses` must be an object of objects")
    return {
        uri: responses[str(number)] for number, uri in enumerate(links_among(arguments)) if str(number) in responses
    }
