"""Which tool of a capability is asked: what holds whatever the world is like, and the cases that people think of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.pipeline.capabilities.decision import (
    LEAST_S,
    WHYS,
    Answer,
    Ended,
    Facts,
    Now,
    Refusal,
    Refuse,
    Rules,
    Step,
    Tried,
    Try,
    next_step,
)

TOOLS = ("a", "b", "c", "d")
HERE = Facts(where="local", listed=True, state="open")
CLOUD = Facts(where="cloud", listed=True, state="open")
NOW = Now(now_s=100.0, remaining_s=60.0)


@dataclass(frozen=True)
class Behaviour:
    """What a tool does whenever it is asked."""

    busy: bool
    """It keeps a call waiting for longer than anybody's patience."""
    ended: str
    confidence: float | None

    def end(self, step: Try) -> Tried:
        if self.busy and step.patience_ms is not None:
            return Tried(step.tool, "withdrawn")
        return Tried(step.tool, self.ended, self.confidence if self.ended == "answered" else None)  # type: ignore[arg-type]


times = st.sampled_from((0.0, 99.0, 101.0, 1e9))
all_facts = st.builds(
    Facts,
    where=st.sampled_from(("local", "cloud", "unknown")),
    listed=st.booleans() | st.just(True),
    state=st.sampled_from(("open", "startable", "down")),
    retry_at_s=times,
    waits_ms=st.sampled_from((0.0, 499.0, 501.0, 1e6)),
    memory_until_s=times,
    unreached_until_s=times,
)
confidences = st.none() | st.floats(0, 1)
behaviours = st.builds(
    Behaviour,
    busy=st.booleans(),
    ended=st.sampled_from([one for one in get_args(Ended) if one != "withdrawn"] + ["answered"] * 3),
    confidence=confidences,
)
all_rules = st.builds(
    Rules,
    order=st.lists(st.sampled_from(TOOLS), min_size=1, max_size=6).map(tuple),
    min_confidence=st.sampled_from((0.0, 0.5, 0.9)),
    busy_ms=st.sampled_from((0.0, 500.0)),
    attempt_timeout_s=st.sampled_from((1.0, 60.0)),
)
nows = st.builds(
    Now,
    now_s=st.just(100.0),
    remaining_s=st.sampled_from((0.0, LEAST_S / 2, 5.0, 300.0)),
    stays=st.booleans(),
    hot=st.booleans(),
    preference=st.sampled_from(("order", "local", "cloud")),
)
worlds = st.fixed_dictionaries({}, optional=dict.fromkeys(TOOLS, all_facts))
casts = st.fixed_dictionaries(dict.fromkeys(TOOLS, behaviours))


def play(rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]) -> tuple[list[Step], list[Tried]]:
    steps: list[Step] = []
    tried: list[Tried] = []
    while True:
        step = next_step(rules, facts, now, tried)
        steps.append(step)
        if not isinstance(step, Try):
            return steps, tried
        assert len(steps) <= 2 * len(set(rules.order)), "it does not end"
        tried.append(cast[step.tool].end(step))


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_data_that_must_stay_is_given_to_no_tool_but_local_ones(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    steps, _ = play(rules, facts, replace(now, stays=True), cast)
    for step in steps:
        if isinstance(step, Try):
            assert facts[step.tool].where == "local"


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_each_tool_runs_at_most_once_and_waits_at_most_twice(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    _, tried = play(rules, facts, now, cast)
    for tool in rules.order:
        mine = [one.ended for one in tried if one.tool == tool]
        assert sum(ended != "withdrawn" for ended in mine) <= 1
        assert len(mine) <= 2
    assert all(facts[one.tool].listed and one.tool in rules.order for one in tried)


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_while_any_allowed_tool_would_answer_the_call_is_not_refused(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    now = replace(now, remaining_s=5.0)
    steps, tried = play(rules, facts, now, cast)

    def would(tool: str) -> bool:
        known = facts.get(tool, Facts())
        return known.listed and (known.where == "local" or not now.stays) and cast[tool].ended == "answered"

    end = steps[-1]
    if any(would(tool) for tool in rules.order):
        assert isinstance(end, Answer)
        assert tried[end.attempt].ended == "answered"
    elif any(one.ended == "tool_failed" for one in tried):
        assert isinstance(end, Answer)
        assert tried[end.attempt] == next(one for one in tried if one.ended == "tool_failed")
    else:
        assert isinstance(end, Refuse)
        assert end.error in get_args(Refusal)


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_no_given_answer_is_less_sure_than_one_that_was_had(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    steps, tried = play(rules, facts, now, cast)
    end = steps[-1]
    had = [1.0 if one.confidence is None else one.confidence for one in tried if one.ended == "answered"]
    if had:
        assert isinstance(end, Answer)
        given = tried[end.attempt].confidence
        assert (1.0 if given is None else given) == max(had)


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_the_reason_is_always_one_of_the_words_for_it(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    for step in play(rules, facts, now, cast)[0]:
        if not isinstance(step, Refuse):
            assert step.why in WHYS


@settings(deadline=None)
@given(all_rules, worlds, nows, casts)
def test_attempts_fit_into_what_time_is_left(
    rules: Rules, facts: dict[str, Facts], now: Now, cast: dict[str, Behaviour]
) -> None:
    for step in play(rules, facts, now, cast)[0]:
        if isinstance(step, Try):
            assert 0 < step.timeout_s <= min(now.remaining_s, rules.attempt_timeout_s)


@settings(deadline=None)
@given(all_rules, casts)
def test_where_nothing_stands_against_any_tool_they_are_asked_in_order(
    rules: Rules, cast: dict[str, Behaviour]
) -> None:
    facts = dict.fromkeys(TOOLS, HERE)
    _, tried = play(rules, facts, NOW, cast)
    firsts = list(dict.fromkeys(one.tool for one in tried))
    assert firsts == list(dict.fromkeys(rules.order))[: len(firsts)]


@settings(deadline=None)
@given(all_rules, worlds, casts)
def test_a_preference_for_the_cloud_asks_it_first_and_never_what_must_stay(
    rules: Rules, facts: dict[str, Facts], cast: dict[str, Behaviour]
) -> None:
    calm = {tool: replace(known, state="open", waits_ms=0, memory_until_s=0, unreached_until_s=0, listed=True)
            for tool, known in facts.items()}  # fmt: skip
    steps, _ = play(rules, calm, replace(NOW, preference="cloud"), cast)
    first = steps[0]
    clouds = [tool for tool in rules.order if tool in calm and calm[tool].where == "cloud"]
    if clouds:
        assert isinstance(first, Try)
        assert first.tool == clouds[0]
    stayed, _ = play(rules, calm, replace(NOW, preference="cloud", stays=True), cast)
    assert all(calm[step.tool].where == "local" for step in stayed if isinstance(step, Try))


# -- as people would tell it ----------------------------------------------------------------------------------------

RULES = Rules(order=("here", "cloud"), min_confidence=0.6, busy_ms=500, attempt_timeout_s=30)
BOTH = {"here": HERE, "cloud": CLOUD}


def first(here: Facts = HERE, cloud: Facts = CLOUD, now: Now = NOW) -> tuple[str, str]:
    step = next_step(RULES, {"here": here, "cloud": cloud}, now, [])
    assert isinstance(step, Try)
    return step.tool, step.why


@pytest.mark.parametrize(
    ("here", "now", "why"),
    [
        (replace(HERE, listed=False), NOW, "missing"),
        (replace(HERE, waits_ms=501), NOW, "busy"),
        (replace(HERE, memory_until_s=101), NOW, "memory"),
        (HERE, replace(NOW, hot=True), "hot"),
        (replace(HERE, state="down", retry_at_s=101), NOW, "down"),
        (HERE, replace(NOW, preference="cloud"), "power"),
    ],
)
def test_the_cloud_is_asked_when_something_stands_against_the_local_tool(here: Facts, now: Now, why: str) -> None:
    assert first(here, now=now) == ("cloud", why)


def test_the_local_tool_is_asked_where_nothing_stands_against_it() -> None:
    assert first() == ("here", "preferred")
    assert first(replace(HERE, state="startable")) == ("here", "preferred")
    assert first(replace(HERE, memory_until_s=99, unreached_until_s=99)) == ("here", "preferred")


@pytest.mark.parametrize(
    "now", [replace(NOW, hot=True), replace(NOW, preference="cloud"), NOW], ids=["hot", "saver", "cool"]
)
def test_while_the_link_is_down_the_call_comes_back_to_the_local_tool(now: Now) -> None:
    assert first(replace(HERE, waits_ms=600), replace(CLOUD, unreached_until_s=101), now)[0] == "here"
    if now.preference == "cloud":
        assert first(HERE, replace(CLOUD, unreached_until_s=101), now) == ("here", "link_down")


def test_an_unsure_local_answer_is_asked_for_in_the_cloud_and_the_surer_one_wins() -> None:
    unsure = Tried("here", "answered", 0.4)
    assert next_step(RULES, BOTH, NOW, [unsure]) == Try("cloud", 30, 500, "unsure")
    assert next_step(RULES, BOTH, NOW, [unsure, Tried("cloud", "answered", 0.9)]) == Answer(1, "unsure")
    assert next_step(RULES, BOTH, NOW, [unsure, Tried("cloud", "answered", 0.5)]) == Answer(1, "surest")
    assert next_step(RULES, BOTH, NOW, [unsure, Tried("cloud", "answered", 0.3)]) == Answer(0, "surest")
    assert next_step(RULES, BOTH, NOW, [unsure, Tried("cloud", "failed")]) == Answer(0, "preferred")


def test_an_unsure_answer_is_the_answer_while_the_link_is_down() -> None:
    down = BOTH | {"cloud": replace(CLOUD, unreached_until_s=101)}
    assert next_step(RULES, down, NOW, [Tried("here", "answered", 0.4)]) == Answer(0, "preferred")


def test_an_unsure_answer_that_must_stay_is_the_answer() -> None:
    assert next_step(RULES, BOTH, replace(NOW, stays=True), [Tried("here", "answered", 0.1)]) == Answer(0, "preferred")


def test_a_tool_that_waited_too_long_is_asked_again_when_the_others_failed() -> None:
    waited = [Tried("here", "withdrawn"), Tried("cloud", "failed")]
    assert next_step(RULES, BOTH, NOW, waited[:1]) == Try("cloud", 30, None, "busy")
    assert next_step(RULES, BOTH, NOW, waited) == Try("here", 30, None, "preferred")


def test_the_words_of_the_first_tool_that_failed_are_given_when_all_did() -> None:
    tried = [Tried("here", "tool_failed"), Tried("cloud", "tool_failed")]
    assert next_step(RULES, BOTH, NOW, tried) == Answer(0, "all_failed")
    assert next_step(RULES, BOTH, replace(NOW, stays=True), tried[:1]) == Answer(0, "preferred")


@pytest.mark.parametrize(
    ("facts", "now", "error"),
    [
        ({}, NOW, "capability_missing"),
        ({"cloud": CLOUD}, replace(NOW, stays=True), "must_stay"),
        ({"here": replace(HERE, where="unknown")}, replace(NOW, stays=True), "must_stay"),
        (BOTH, replace(NOW, remaining_s=0), "capability_deadline"),
    ],
)
def test_a_refusal_says_what_is_in_the_way(facts: dict[str, Facts], now: Now, error: str) -> None:
    assert next_step(RULES, facts, now, []) == Refuse(error)  # type: ignore[arg-type]
