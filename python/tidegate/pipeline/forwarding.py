"""Leads a request to the service that owns what it names: by the catalogue, past the filters, with the name there.

`serve.py` admits requests and hands over those that are a server's; `calls.py` takes them from here.
"""

from __future__ import annotations

from tidegate.errors import FilterFailed, InvalidParams, MethodNotFound, MustStay, TidegateError
from tidegate.pipeline.calls import Calls
from tidegate.pipeline.capabilities.data_class import read_classes
from tidegate.pipeline.capabilities.locality import where_is
from tidegate.pipeline.catalogues import Catalogues, service_of, unknown
from tidegate.pipeline.codec import find_member
from tidegate.pipeline.era.session_table import SessionTable
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.filtering.filters import Filters
from tidegate.pipeline.filtering.screened import ScreenedExchange, ScreenedTaskExchange, ScreenedTaskList
from tidegate.pipeline.filtering.screening import Screens
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.mirrored_headers import mirrored_headers
from tidegate.pipeline.policy.bearer import Bearer
from tidegate.pipeline.route.catalog import View
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.dialect import Edit
from tidegate.pipeline.upstream.service import Service
from tidegate.protocol.methods import METHODS, Handling, Method


class Forwarding:
    """Implements `Onward` for the filters. Whatever it is given is answered through the exchange, now or later."""

    screens: Screens
    """Set before the first request: they lead on to here."""

    def __init__(
        self, catalogues: Catalogues, calls: Calls, filters: Filters, sessions: SessionTable, bearer: Bearer
    ) -> None:
        self._catalogues = catalogues
        self._calls = calls
        self._filters = filters
        self._sessions = sessions
        self._bearer = bearer

    def request(self, exchange: Exchange, row: Method) -> None:
        """One that names a tool, prompt or resource. Raises: InvalidParams."""
        if row.name == "completion/complete":
            self._completion(exchange)
            return
        name = exchange.envelope.name
        if name is None:
            raise InvalidParams(f"`{row.name}` needs `params.{row.named_by}`, a string")

        def lead(view: View) -> None:
            route = view.route(row.kind, name)
            if route is None and row.kind == "resources":
                # A server may serve what it does not list.
                sole = view.sole()
                if sole is not None and exchange.may_use("resources", name):
                    exchange.backend = sole.config.name
                    if not self._leaves(exchange, row.kind, name, service_of(sole.handle)):
                        self._calls.send(exchange, Target(service_of(sole.handle), name, []))
                    return
            if not exchange.may_use(row.kind, name):
                exchange.failed(unknown(row.kind, name))
                return
            if route is None:
                lost = self._catalogues.why_missing(exchange.client, row.kind, name)
                exchange.failed(lost or unknown(row.kind, name))
                return
            edits: list[Edit] = []
            span = exchange.envelope.name_span
            if route.renamed and span is not None and row.kind != "resources":
                edits.append((span[0], span[1], json_bytes(route.name)))
            headers: tuple[tuple[str, str], ...] = ()
            if route.headers:
                try:
                    headers = mirrored_headers(exchange, route)
                except TidegateError as error:
                    exchange.failed(error)
                    return
            exchange.backend = route.backend
            upstream_name = name if row.kind == "resources" else route.name
            service = service_of(route.handle)
            if self._leaves(exchange, row.kind, name, service):
                return
            if row.kind == "tools" and self._is_screened(exchange, name, service):
                return
            target = Target(
                service,
                upstream_name,
                edits,
                headers,
                needs_task=route.needs_task,
                by_arguments=bool(route.headers),
            )
            self._calls.send(exchange, target)

        self._catalogues.with_route(exchange.client, row.kind, name, lead, exchange.failed)

    def _leaves(self, exchange: Exchange, kind: str, name: str, service: Service) -> bool:
        """Whether it would leave the box, and must not. It is refused: whoever decided where it goes knew otherwise."""
        config = service.config
        client = exchange.client
        if config.transport == "openai" and not client.weighed and self._is_unweighed(exchange, name, service):
            return True
        if not client.stays or config.transport == "capability":
            return False
        filters = self._filters.of(name) if kind == "tools" else ()
        if where_is(config, [one.config for one in filters]) == "local":
            return False
        exchange.failed(MustStay(f"backend `{config.name}` is not on the box, and the data of this request stay there"))
        return True

    def _is_unweighed(self, exchange: Exchange, name: str, service: Service) -> bool:
        """Whether its data are of a class, and would go to a service elsewhere past all capabilities, which alone know
        what stays. It is refused: who names a class wants that to be looked at.
        """
        if where_is(service.config) == "local":
            return False
        try:
            classes = read_classes(exchange.message, exchange.envelope, "")
        except InvalidParams as error:
            exchange.failed(error)
            return True
        if classes:
            exchange.failed(
                MustStay(
                    f"`{name}` is not on the box, and no rule says that data of class `{classes[0]}` may leave it: "
                    "call a capability that has this tool in its `order`, and says in `stay` what may not"
                )
            )
        return bool(classes)

    def _is_screened(self, exchange: Exchange, name: str, service: Service) -> bool:
        """Whether the call is seen to by filters, which it has not passed yet. One that has goes on."""
        filters = self._filters.of(name)
        if isinstance(exchange, ScreenedExchange):
            exchange.outer.backend = exchange.backend
            if exchange.filters != filters or exchange.stale:
                self.screens.again(exchange)
                return True
            if any(one.inspects("result") for one in filters):
                service.wordless = True
            return False
        if not filters:
            return False
        try:
            self.screens.screen(exchange)
        except TidegateError as error:
            exchange.failed(error)
        return True

    def screened(self, exchange: ScreenedExchange) -> None:
        """As of `Onward`."""
        try:
            self.request(exchange, METHODS["tools/call"])
        except TidegateError as error:
            exchange.failed(error)

    def anew(self, exchange: Exchange, target: Target) -> bool:
        """As of `Calls.lead_anew`. One that is led as before keeps its place."""
        row = METHODS.get(exchange.envelope.method or "")
        name = exchange.envelope.name
        if row is None or row.handling is not Handling.FORWARD or name is None or row.name == "completion/complete":
            return False
        passed = exchange.filters if isinstance(exchange, ScreenedExchange) else ()
        filtered_as_before = row.kind != "tools" or (self._filters.of(name) == passed and not exchange.stale)
        if filtered_as_before and exchange.may_use(row.kind, name):
            view = self._catalogues.now(exchange.client)
            route = view.route(row.kind, name)
            sole = view.sole() if route is None and row.kind == "resources" else None
            found = route or sole
            same_name = route is None or row.kind == "resources" or route.name == target.name
            if found is not None and found.handle is target.service and same_name:
                return False
        try:
            self.request(exchange, row)
        except TidegateError as error:
            exchange.failed(error)
        return True

    def _completion(self, exchange: Exchange) -> None:
        message = exchange.message
        span = exchange.envelope.params_span
        at = find_member(message, "ref", *span) if span is not None else None
        reference = json_value(message[at[0] : at[1]]) if at is not None else None
        if at is None or not isinstance(reference, dict):
            raise InvalidParams("`completion/complete` needs `params.ref`, an object")
        by_prompt = reference.get("type") == "ref/prompt"
        member = "name" if by_prompt else "uri"
        name = reference.get(member)
        if not isinstance(name, str):
            raise InvalidParams(f"`params.ref` needs `{member}`, a string")
        named_at = find_member(message, member, *at)

        def lead(view: View) -> None:
            kind = "prompts" if by_prompt else "resources"
            route = view.route("prompts", name) if by_prompt else view.template_route(name)
            sole = view.sole()
            if not exchange.principal.may_use(kind, name) or (route is None and sole is None):
                exchange.failed(InvalidParams(f"Unknown reference: `{name}`"))
                return
            edits: list[Edit] = []
            if route is not None and route.renamed and named_at is not None:
                edits.append((named_at[0], named_at[1], json_bytes(route.name)))
            handle = route.handle if route is not None else sole.handle if sole is not None else None
            service = service_of(handle)
            exchange.exposed_name = name
            exchange.backend = service.name
            self._calls.send(exchange, Target(service, None, edits))

        self._catalogues.with_view(exchange.client, lead, exchange.failed)

    def unknown_method(self, exchange: Exchange) -> None:
        """What has no row is an extension's: the only backend may know it."""
        method = exchange.envelope.method or ""

        def lead(view: View) -> None:
            sole = view.sole()
            if sole is None or exchange.principal.patterns is not None or self._filters:
                # Whether it runs a tool, nobody could tell.
                exchange.failed(MethodNotFound(f"Method not found: `{method}`"))
                return
            exchange.backend = sole.config.name
            self._calls.send(exchange, Target(service_of(sole.handle), exchange.envelope.name, []))

        self._catalogues.with_view(exchange.client, lead, exchange.failed)

    def task(self, asked: Exchange) -> None:
        exchange = self._screened_task(asked)

        def pass_on(service: Service, task_id: str | None) -> None:
            exchange.backend = service.name
            self._calls.send(exchange, Target(service, task_id, []))

        def lead(view: View) -> None:
            # What somebody else may have made on the same connection is not shown.
            alone = exchange.client.session is not None and exchange.client.needs_own_session
            sole = view.sole()
            service = service_of(sole.handle) if sole is not None else None
            try:
                self._calls.tasks.serve(
                    exchange,
                    service,
                    alone=alone or self._serves_one(exchange),
                    # Of which tool one is that was made before, and so which filters it has, nobody knows.
                    anonymous=not self._bearer.required and not self._filters,
                    pass_on=pass_on,
                )
            except TidegateError as error:
                exchange.failed(error)

        self._catalogues.with_view(exchange.client, lead, exchange.failed)

    def _screened_task(self, exchange: Exchange) -> Exchange:
        """The request about a task, as one whose answer goes through the filters of its tool. Raises: InvalidParams,
        FilterFailed.
        """
        if not self._filters:
            return exchange
        method = exchange.envelope.method
        task = self._calls.tasks.find(exchange) if method != "tasks/list" else None
        filters = self._filters.of(task.tool) if task is not None else ()
        if method != "tasks/list" and (task is None or not any(one.inspects("result") for one in filters)):
            return exchange
        arguments = task.arguments if task is not None else b"{}"
        if arguments is None:
            raise FilterFailed("the arguments of this task's call were too long to be kept, and its filters need them")
        kind = ScreenedTaskList if task is None else ScreenedTaskExchange
        screened = kind(
            self.screens,
            exchange,
            exchange.message,
            exchange.envelope,
            filters=filters,
            arguments=arguments,
            approvals={},
            unscreened=(exchange.message, exchange.envelope),
        )
        if task is not None:
            screened.exposed_name = task.tool
            exchange.backend = screened.backend = task.service.name
        return screened

    def _serves_one(self, exchange: Exchange) -> bool:
        """Nobody else could have made a task that this client would see."""
        return exchange.client.session is not None and len(self._sessions) == 1 and not self._bearer.required
