"""The operator's HTTP: is it alive, is it ready, what is it, how is it doing.

    GET /health        status `ok` or `degraded`, and each backend
    GET /health/live   200 as long as the event loop runs
    GET /health/ready  200 while new requests are taken, else 503
    GET /info          name, version, revisions, addresses, backends
    GET /status        everything that is counted, as JSON
    GET /metrics       the same for Prometheus
    GET /activity      counts for whoever watches: calls, latencies, children
    GET /flows         what the relay repeats, and for whom
    GET /logs          the last log lines, and new ones as they come
    POST /reload       the configuration is read again (where `reload.py` has added it)

Called by `HttpServerProtocol` on a listener of its own; finds the page and checks who asks. No answer has a secret in
it: see `redaction.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tidegate.admin.activity import ActivityPage
from tidegate.admin.answer import HEADERS, answer
from tidegate.admin.facts import FactPages
from tidegate.admin.flows import FlowPage
from tidegate.admin.health import HealthPages
from tidegate.admin.logs import LogPage
from tidegate.admin.observed import Observed
from tidegate.admin.redaction import Redaction
from tidegate.config.address import parse_host_port
from tidegate.control.telemetry.exposition import CONTENT_TYPE as METRICS_TYPE
from tidegate.control.telemetry.log_ring import LogRing
from tidegate.control.telemetry.metrics import Metrics
from tidegate.errors import TidegateError
from tidegate.pipeline.accept.http_request import HttpRequest
from tidegate.pipeline.policy.origin import OriginCheck

Page = Callable[[HttpRequest], None]

_READ: Final = ("GET", "HEAD")
_ELSEWHERE: Final = ("cross-site", "same-site")


class AdminHttp:
    """Answers requests on the admin listener."""

    def __init__(self, daemon: Observed, metrics: Metrics) -> None:
        self._daemon = daemon
        self._metrics = metrics
        self._origin = _origin_check(daemon)
        self._redaction = Redaction(daemon.snapshot)
        self._ring = LogRing(self._hide)
        self._logs = LogPage(self._ring)
        health = HealthPages(daemon, self._redaction)
        facts = FactPages(daemon, self._redaction)
        self._pages: dict[str, tuple[tuple[str, ...], Page]] = {
            "/health": (_READ, health.health),
            "/health/live": (_READ, health.live),
            "/health/ready": (_READ, health.ready),
            "/info": (_READ, facts.info),
            "/status": (_READ, facts.status),
            "/metrics": (_READ, self._render_metrics),
            "/activity": (_READ, ActivityPage(daemon, metrics, self._redaction).activity),
            "/flows": (_READ, FlowPage(daemon, metrics, self._redaction).flows),
            "/logs": (_READ, self._logs.logs),
        }
        self._ring.attach()

    def add(self, path: str, methods: tuple[str, ...], page: Page) -> None:
        """A page of somebody else's, such as one that changes something."""
        self._pages[path] = methods, page

    def take_up(self) -> None:
        """The daemon has another configuration."""
        self._origin = _origin_check(self._daemon)
        self._redaction.learn(self._daemon.snapshot)

    def serve(self, request: HttpRequest) -> None:
        """Answers at once, or hands over to the page that will."""
        try:
            self._origin.check(request.headers.get("host"), request.headers.get("origin"))
        except TidegateError as error:
            request.refuse(error)
            return
        if request.headers.get("sec-fetch-site") in _ELSEWHERE:
            # A page may fetch without an origin: it learns nothing, but could use up what followers there may be.
            answer(request, 403, {"error": "not for pages of other sites"})
            return
        found = self._pages.get(request.path)
        if found is None:
            answer(request, 404, {"error": f"nothing here; there is {', '.join(self._pages)}"})
            return
        methods, page = found
        if request.method in methods:
            # The one place: whatever a page counts is what it would be without the relay.
            self._daemon.catch_up()
            page(request)
        else:
            named = " and ".join(methods)
            only = f"only {named} {'is' if len(methods) == 1 else 'are'} answered here"
            answer(request, 405, {"error": only}, (("allow", ", ".join(methods)),))

    def close(self) -> None:
        """Keeps no more log lines and lets go of who follows them."""
        self._ring.detach()
        self._logs.close()

    def _hide(self, text: str) -> str:
        self._redaction.learn(self._daemon.snapshot)
        return self._redaction.spoken(text)

    def _render_metrics(self, request: HttpRequest) -> None:
        # A name from a server may hold half a surrogate pair, which has no UTF-8.
        body = self._metrics.render(self._daemon.statistics()).encode("utf-8", "replace")
        request.respond(200, (*HEADERS, ("content-type", METRICS_TYPE)), body)


def _origin_check(daemon: Observed) -> OriginCheck:
    listen = daemon.snapshot.listen
    return OriginCheck(listen, (parse_host_port(listen.admin)[0],) if listen.admin else ())
