"""Checks of the suite that succeed without a gateway and did not even happen with it.

What a server does not advertise is skipped, and a scenario with nothing left to check passes: silence is no pass.
`direct.json` (made by `record_direct.py`) holds what succeeds directly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from suite import Outcome, Scenario

RECORD = Path(__file__).resolve().parent / "direct.json"


def silent(outcome: Outcome, excused: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """The lost checks by scenario; `excused` are (scenario, check) that need not happen."""
    baseline: dict[str, list[str]] = json.loads(RECORD.read_text(encoding="utf-8"))[outcome.leg][outcome.requirements]
    lost = {each.name: _lost(baseline.get(each.name, []), each, excused) for each in outcome.scenarios}
    return {name: checks for name, checks in lost.items() if checks}


def _lost(direct: list[str], scenario: Scenario, excused: Collection[tuple[str, str]]) -> list[str]:
    lost = (Counter(direct) - Counter(scenario.succeeded)).elements()
    return sorted(check for check in lost if (scenario.name, check) not in excused)
