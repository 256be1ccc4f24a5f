"""Which of a capability's tools is asked next, or what is answered: a pure function of what is known now.

Asked by `serving.py` when a call comes, and again whenever an attempt has ended. What stands against a tool is of three
kinds. Some things rule it out: it has had the call, it is in no catalogue, or it is not on the box and the data must
stay there. Others only put it behind those that have nothing against them: too busy, too hot, no memory, the power
profile. And one that cannot be reached comes last of all. So as long as any tool that is allowed might answer, one is
asked.

Nothing here reads a clock, a file or a catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Where = Literal["local", "cloud", "unknown"]
State = Literal["open", "startable", "down"]
Preference = Literal["order", "local", "cloud"]
Against = Literal["stays", "missing", "hot", "memory", "busy", "down", "link_down", "power"]
"""What stands against a tool before it is asked."""
Ended = Literal["answered", "tool_failed", "withdrawn", "timeout", "no_memory", "unreached", "missing", "failed"]
"""How an attempt ended. `tool_failed`: a result with `isError`. `withdrawn`: it waited for too long, or was turned away
because others wait, and never ran. `unreached`: as far as can be told, not the tool failed but the way there.
"""
Why = Literal[
    "preferred",
    "stays",
    "missing",
    "hot",
    "memory",
    "busy",
    "down",
    "link_down",
    "power",
    "unsure",
    "tool_failed",
    "timeout",
    "failed",
    "surest",
    "all_failed",
]
"""Why this tool and not the one that the configuration prefers: what became of the most preferred of those that it is
asked instead of; `preferred` when it is the first itself. `surest`: of several unsure answers. `all_failed`: every tool
failed, and the first one's own words are the answer.
"""
WHYS: Final[frozenset[str]] = frozenset(get_args(Why))
Refusal = Literal["must_stay", "capability_missing", "capability_deadline", "capability_failed"]

LEAST_S: Final = 0.01
"""An attempt with less time than this would not be one."""
_SURE: Final = 1.0
"""How sure an answer counts that does not say."""

_BEHIND: Final[Mapping[Against, int]] = {"power": 0, "busy": 1, "hot": 1, "memory": 1, "link_down": 2, "down": 2}
"""How far back something puts a tool. `power` has put it behind the others already."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one capability."""

    order: tuple[str, ...]
    """Tools by their names in the catalogue, the preferred one first."""
    min_confidence: float = 0.0
    busy_ms: float = 2000.0
    attempt_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one tool, now."""

    where: Where = "unknown"
    listed: bool = False
    """It is in the catalogue, or was until its backend went down."""
    state: State = "startable"
    retry_at_s: float = 0.0
    """When `down`: a call before that fails at once."""
    waits_ms: float = 0.0
    """How long a call that came now would wait for its turn, as far as can be told."""
    memory_until_s: float = 0.0
    """Not long ago it had not the memory it needs: it is asked again from then on."""
    unreached_until_s: float = 0.0
    """Not long ago it could not be reached, or did not answer: it is asked again from then on."""


@dataclass(frozen=True, slots=True)
class Now:
    """Of the call, and of the box."""

    now_s: float
    remaining_s: float
    """Until the call's own deadline."""
    stays: bool = False
    """Its data is of a class that must not leave the box."""
    hot: bool = False
    """The box is too hot for models."""
    preference: Preference = "order"
    """Of the power profile."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt that has ended."""

    tool: str
    ended: Ended
    confidence: float | None = None
    """Of what it answered, where that says so."""


@dataclass(frozen=True, slots=True)
class Try:
    """This tool is asked."""

    tool: str
    timeout_s: float
    patience_ms: float | None
    """How long it may keep the call waiting for its turn; None: there is nobody else to ask."""
    why: Why


@dataclass(frozen=True, slots=True)
class Answer:
    """What this attempt came to is the answer."""

    attempt: int
    """Index into what was tried."""
    why: Why


@dataclass(frozen=True, slots=True)
class Refuse:
    """There is no answer."""

    error: Refusal


Step = Try | Answer | Refuse


def next_step(rules: Rules, facts: Mapping[str, Facts], now: Now, tried: Sequence[Tried]) -> Step:
    """`facts`: of each tool of `rules.order`; one that is left out is in no catalogue."""
    table = {tool: facts.get(tool, _UNKNOWN) for tool in rules.order}
    best = _best(tried)
    if best is not None and _sureness(tried[best]) >= rules.min_confidence:
        return Answer(best, _why(tried[best].tool, rules, table, now, tried[:best]))
    if now.remaining_s >= LEAST_S:
        step = _try(rules, table, now, tried, only_ready=best is not None)
        if step is not None:
            return step
    if best is not None:
        alone = sum(one.ended == "answered" for one in tried) == 1
        return Answer(best, _why(tried[best].tool, rules, table, now, tried[:best]) if alone else "surest")
    said = next((at for at, one in enumerate(tried) if one.ended == "tool_failed"), None)
    if said is not None:
        alone = len(tried) == 1
        return Answer(said, _why(tried[said].tool, rules, table, now, ()) if alone else "all_failed")
    return Refuse(_refusal(table, now))


def against(facts: Facts, now: Now, rules: Rules) -> Against | None:
    """What stands against asking this tool, the gravest first."""
    if now.stays and facts.where != "local":
        return "stays"
    if not facts.listed:
        return "missing"
    if facts.state == "down" and now.now_s < facts.retry_at_s:
        return "down"
    if now.now_s < facts.unreached_until_s:
        return "link_down" if facts.where != "local" else "down"
    if now.now_s < facts.memory_until_s:
        return "memory"
    if now.hot and facts.where == "local":
        return "hot"
    if facts.waits_ms > rules.busy_ms:
        return "busy"
    if now.preference != "order" and facts.where != now.preference:
        return "power"
    return None


_UNKNOWN: Final = Facts()


def _try(rules: Rules, table: Mapping[str, Facts], now: Now, tried: Sequence[Tried], *, only_ready: bool) -> Try | None:
    """`only_ready`: there is an answer already, so nobody is asked who is busy or may not be there."""
    ran = {one.tool for one in tried if one.ended != "withdrawn"}
    waited = [one.tool for one in tried if one.ended == "withdrawn"]
    found: list[tuple[int, int, int, str]] = []
    for rank, tool in enumerate(table):
        reason = against(table[tool], now, rules)
        if tool in ran or reason in ("stays", "missing") or waited.count(tool) > 1:
            continue
        behind = _BEHIND[reason] if reason is not None else 0
        if tool in waited:
            # It was too busy for this very call.
            behind = max(behind, 1)
        if only_ready and behind:
            continue
        found.append((behind, _by_preference(table[tool], now), rank, tool))
    if not found:
        return None
    found.sort()
    tool = found[0][-1]
    elsewhere = any(behind < 2 and other not in waited for behind, _, _, other in found[1:])
    return Try(
        tool,
        timeout_s=min(rules.attempt_timeout_s, now.remaining_s),
        patience_ms=rules.busy_ms if only_ready or (tool not in waited and elsewhere) else None,
        why=_why(tool, rules, table, now, tried),
    )


def _by_preference(facts: Facts, now: Now) -> int:
    return int(now.preference != "order" and facts.where != now.preference)


def _why(tool: str, rules: Rules, table: Mapping[str, Facts], now: Now, before: Sequence[Tried]) -> Why:
    """What became of the most preferred tool that it is asked instead of; `before`: what was tried before this."""
    order = list(table)
    instead_of = order[: order.index(tool)]
    mine = _by_preference(table[tool], now)
    instead_of += [other for other in order if other not in instead_of and _by_preference(table[other], now) < mine]
    for other in instead_of:
        how = next((one for one in before if one.tool == other), None)
        if how is not None:
            return _became(how, table[other])
        reason = against(table[other], now, rules)
        if reason is not None:
            return reason
    return "preferred"


def _became(one: Tried, facts: Facts) -> Why:
    """One that was tried, and is not the one that answers."""
    if one.ended == "unreached":
        return "down" if facts.where == "local" else "link_down"
    return _BECAME[one.ended]


_BECAME: Final[Mapping[str, Why]] = {
    "answered": "unsure",
    "withdrawn": "busy",
    "no_memory": "memory",
    "tool_failed": "tool_failed",
    "timeout": "timeout",
    "missing": "missing",
    "failed": "failed",
}


def _best(tried: Sequence[Tried]) -> int | None:
    """The surest answer; of equally sure ones the first."""
    answers = [at for at, one in enumerate(tried) if one.ended == "answered"]
    return max(answers, key=lambda at: _sureness(tried[at]), default=None)


def _sureness(one: Tried) -> float:
    return one.confidence if one.confidence is not None else _SURE


def _refusal(table: Mapping[str, Facts], now: Now) -> Refusal:
    if now.stays and not any(facts.where == "local" and facts.listed for facts in table.values()):
        return "must_stay"
    if not any(facts.listed for facts in table.values()):
        return "capability_missing"
    if now.remaining_s < LEAST_S:
        return "capability_deadline"
    return "capability_failed"
