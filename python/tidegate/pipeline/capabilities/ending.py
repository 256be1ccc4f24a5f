"""How attempts and calls end, in words: for the answer's `_meta`, for errors, and for whoever reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.config.snapshot import Capability
from tidegate.errors import (
    AnswerCut,
    CapabilityDeadline,
    CapabilityFailed,
    CapabilityMissing,
    MustStay,
    TidegateError,
)
from tidegate.pipeline.capabilities.decision import Refusal, Where


@dataclass(slots=True)
class EndedAttempt:
    """One attempt."""

    tool: str
    backend: str
    where: Where
    outcome: str
    """`ok`, `unsure`, `tool_error`, `busy`, `timeout`, or the slug of a tidegate error."""
    duration_s: float
    result: bytes | None
    error: TidegateError | None

    def told(self) -> dict[str, object]:
        return {
            "tool": self.tool,
            "where": self.where,
            "outcome": self.outcome,
            "duration_ms": milliseconds(self.duration_s),
        }


def refused(why: Refusal, capability: Capability, stays_for: str, attempts: Sequence[EndedAttempt]) -> CapabilityFailed:
    """`stays_for`: the class of its data that may not leave; empty for none."""
    name = capability.name
    data = _data(why, capability, attempts)
    tools = ", ".join(f"`{tool}`" for tool in capability.order)
    said = "; ".join(f"`{one.tool}`: {one.error or one.outcome}" for one in attempts)
    if why == "must_stay":
        return MustStay(
            f"data of class `{stays_for}` stay on the box, and capability `{name}` has no local tool for them now; of "
            f"{tools}, one must be there and local, or its backend must say `remote = false`",
            data=data,
        )
    if why == "capability_missing":
        return CapabilityMissing(
            f"capability `{name}` cannot be served: none of {tools} is in the catalogue (see `tidegate tools` and "
            "`tidegate status`)",
            data=data,
        )
    if why == "capability_deadline":
        more = f": {said}" if said else ""
        words = f"capability `{name}` had no answer when the time of the call was up{more}"
        return CapabilityDeadline(words, data=data)
    stays = f" (no other may be asked: data of class `{stays_for}` stay on the box)" if stays_for else ""
    return CapabilityFailed(f"no tool of capability `{name}` answered{stays}: {said}", data=data)


def cut(tool: str, error: TidegateError, capability: Capability, attempts: Sequence[EndedAttempt]) -> AnswerCut:
    """The client has the beginning of an answer that ends there."""
    return AnswerCut(
        f"the answer of `{tool}` broke off, and its beginning is with the client: {error}; ask again",
        data=_data(AnswerCut.slug, capability, attempts),
    )


def slug_of(error: TidegateError) -> str:
    """Of a worker or plugin, what it says that its error is."""
    said = error.data.get("reason") if isinstance(error.data, dict) else None
    return said if isinstance(said, str) and said else error.slug


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _data(slug: str, capability: Capability, attempts: Sequence[EndedAttempt]) -> dict[str, object]:
    return {"reason": slug, "capability": capability.name, "attempts": [one.told() for one in attempts]}
