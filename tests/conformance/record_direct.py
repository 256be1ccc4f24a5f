"""Writes `direct.json`: which checks of the conformance suite succeed without a gateway, scenario by scenario.

    python tests/conformance/record_direct.py

The server leg is the everything-server asked directly; the client leg is the official Python client driven by
`gateway_client.py --front none`. Run it when the suite, the SDK or the everything-server changes; the tests hold the
gateway to what it says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

from everything import everything_http
from suite import Outcome, run_client, run_server

HERE = Path(__file__).resolve().parent
REVISIONS = ("2025-11-25", "2026-07-28")


def _succeeded(outcome: Outcome) -> dict[str, list[str]]:
    return {scenario.name: scenario.succeeded for scenario in outcome.scenarios}


def main() -> int:
    driver = f"{sys.executable} {HERE / 'gateway_client.py'} --front none"
    with everything_http() as url:
        server = [run_server(url, revision) for revision in REVISIONS]
    client = [run_client(driver, revision) for revision in REVISIONS]
    print("\n".join(outcome.summary() for outcome in server + client))
    if not all(outcome.all_passed for outcome in server + client):
        return 1
    record = {
        "server": {outcome.requirements: _succeeded(outcome) for outcome in server},
        "client": {outcome.requirements: _succeeded(outcome) for outcome in client},
    }
    (HERE / "direct.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
