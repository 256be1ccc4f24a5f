"""What the relay repeats: `GET /flows`, for `tidegate status --flows`.

A row is one flow that could be used now: for whom, what, where to, and what it did. No id of a session and no token is
in it, and names lose what looks like a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, cast

from tidegate.admin.answer import answer
from tidegate.admin.observed import Observed
from tidegate.admin.redaction import Redaction
from tidegate.control.telemetry.latencies import BOUNDS_S, percentile
from tidegate.control.telemetry.metrics import Metrics
from tidegate.pipeline.accept.http_request import HttpRequest

MAX_ROWS: Final = 1000
"""Those that were used last. About 400 bytes each."""


class FlowSource(Protocol):
    """The relay, as this page sees it."""

    def statistics(self) -> dict[str, object]: ...

    def flows(self, most: int) -> list[dict[str, object]]: ...


class FlowPage:
    """That page."""

    def __init__(self, daemon: Observed, metrics: Metrics, redaction: Redaction) -> None:
        self._daemon = daemon
        self._metrics = metrics
        self._redaction = redaction

    def flows(self, request: HttpRequest) -> None:
        self._redaction.learn(self._daemon.snapshot)
        relay = self._daemon.relay
        answer(
            request,
            200,
            {
                **relay.statistics(),
                "calls": {"relayed": self._metrics.relayed, "of": self._metrics.relayable},
                "rows": [self._row(row) for row in relay.flows(MAX_ROWS)],
            },
        )

    def _row(self, row: dict[str, object]) -> Mapping[str, object]:
        durations = cast(list[tuple[int, int]], row.pop("durations"))
        counts = [0] * (len(BOUNDS_S) + 1)
        for bucket, count in durations:
            counts[bucket] = count
        p99_s = percentile(BOUNDS_S, counts, 0.99)
        row["p99_s"] = None if p99_s is None else round(p99_s, 6)
        for key in ("client", "principal", "name"):
            row[key] = self._redaction.spoken(str(row[key]))
        return row
