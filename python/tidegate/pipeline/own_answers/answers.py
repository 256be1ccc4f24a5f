"""Which questions of servers the gateway answers itself, and in whose name: the caller's, never more than it may.

Every answer is an inner call (`era/inner.py`): it goes the whole way of a client's, with the caller's rights, limits
and filters, and counts how deep it is. `Connection` asks here for a session server's question, `InputRounds` for those
in a stateless server's result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tidegate.config.snapshot import Limits, Sampling
from tidegate.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallTooDeep,
    InvalidParams,
    QuestionRefused,
    QuestionUnanswered,
    TidegateError,
    Unauthorized,
)
from tidegate.pipeline.capabilities.data_class import read_classes
from tidegate.pipeline.codec import patch_object, scan
from tidegate.pipeline.era.inner import InnerExchange, inner_client, resource_read, tool_call
from tidegate.pipeline.exchange import ClientView, Exchange, Question, SessionPort
from tidegate.pipeline.inner_call import MOST_DEEP
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.own_answers.sampling import METHOD, chat_arguments, message_result, most_tokens
from tidegate.pipeline.own_answers.seam import Asker, Cause
from tidegate.pipeline.upstream.service import Service
from tidegate.protocol.meta_keys import TASKS_EXTENSION
from tidegate.protocol.methods import ASKABLE

READ: Final = "resources/read"
"""What a worker of ours may ask for in an `InputRequiredResult`: between it and the gateway only."""
_NAME: Final = "tidegate"
"""As whom the gateway calls tools."""
TRANSPORT: Final = "gateway"
_EXTENSION: Final = TASKS_EXTENSION.encode()

EntryOf = Callable[[ClientView, str], bytes | None]
"""What a client's catalogue has of the tool of this name: a raw JSON object."""
Told = Callable[[bytes | None, TidegateError | None], None]
"""Told once: the answer, a raw JSON object, or why there is none."""


class OwnAnswers:
    """Implements `Answers`. Of one gateway."""

    def __init__(
        self, sampling: Sampling, limits: Limits, dispatch: Callable[[Exchange], None], entry_of: EntryOf
    ) -> None:
        self._dispatch = dispatch
        self._entry_of = entry_of
        self._sampling = sampling
        self.limits = limits
        self.on = bool(sampling.tool)

    def take_up(self, sampling: Sampling, limits: Limits) -> bool:
        """Another configuration. Whether servers with sessions were greeted by other words than they would be now."""
        before, self._sampling = self._sampling, sampling
        self.limits = limits
        self.on = bool(sampling.tool)
        return (bool(before.tool), before.when) != (self.on, sampling.when)

    # -- what is declared ---------------------------------------------------------------------------------------

    def samples_for(self, client: ClientView) -> bool:
        """Whether the gateway, not this client, is who samples."""
        caller = client.caller
        return (
            self.on
            and (self._sampling.when == "always" or "sampling" not in client.features)
            and caller is not None
            and client.depth < MOST_DEEP
            and caller.may_use("tools", self._sampling.tool)
        )

    def declared(self, client: ClientView, extended: bool) -> bytes | None:
        """As of `Answers`. A request that may become a task is left alone: within tasks, nothing is answered here."""
        if not self.samples_for(client):
            return None
        capabilities = client.capabilities if client.stateless else client.abilities
        if extended and _EXTENSION in capabilities:
            return None
        return patch_object(capabilities, [("sampling", b"{}")])

    def greeting(self, capabilities: dict[str, object], client: ClientView | None) -> dict[str, object]:
        """As of `Answers`."""
        if not self.on or (self._sampling.when != "always" and "sampling" in capabilities):
            return capabilities
        caller = client.caller if client is not None else None
        if caller is not None and not caller.may_use("tools", self._sampling.tool):
            return capabilities
        return {**capabilities, "sampling": {}}

    # -- a question of a session server -------------------------------------------------------------------------

    def asker(self, question: Question, causes: Sequence[Cause], session: SessionPort | None) -> Asker | None:
        """As of `Answers`."""
        if question.envelope.method != METHOD:
            return None
        clients = [cause.client for cause in causes] if session is None else [session.client]
        deepest: ClientView | None = None
        for client in clients:
            if client is None or not self.samples_for(client):
                return None
            if deepest is not None and client.caller is not deepest.caller:
                return None
            if deepest is None or client.depth > deepest.depth:
                deepest = client
        if deepest is None:
            return None
        try:
            classes = {_classes_of_sent(cause) for cause in causes} or {()}
        except InvalidParams:
            return None
        # Data of one of them must not be taken for those of another.
        stays = {client.stays for client in clients if client is not None}
        return Asker(deepest, classes.pop()) if len(classes) == len(stays) == 1 else None

    def answer(self, question: Question, asker: Asker) -> None:
        """As of `Answers`."""

        def told(answer: bytes | None, error: TidegateError | None) -> None:
            if answer is not None:
                question.answer(answer)
            elif isinstance(error, QuestionRefused):
                question.refuse(str(error), INVALID_PARAMS, {"error": error.slug})
            else:
                # What went wrong with another server is none of this one's affair.
                slug = error.slug if error is not None else QuestionUnanswered.slug
                words = f"The model that answers in the client's place did not answer ({slug})"
                question.refuse(words, INTERNAL_ERROR, {"error": QuestionUnanswered.slug, "cause": slug})

        cancel = self.sample(question.params, asker, told)
        if not question.answered:
            question.on_withdrawn = cancel

    # -- what is asked within results ---------------------------------------------------------------------------

    def concerns(self, exchange: Exchange, service: Service) -> bool:
        """Whether the result of this request to a stateless server may have a question for the gateway."""
        if not (self.on or service.config.models) or exchange.envelope.method not in ASKABLE:
            return False
        return bool(service.config.models) or self.samples_for(exchange.client)

    def answers(self, method: str, exchange: Exchange, service: Service) -> bool:
        """Whether a question in a result is the gateway's."""
        if method == READ:
            return bool(service.config.models)
        return method == METHOD and self.samples_for(exchange.client)

    def begin(self, method: str, params: bytes, asker: Asker, told: Told) -> Callable[[], None]:
        """Answers what `answers` said is the gateway's. Returns what stops it."""
        return self.read(params, asker, told) if method == READ else self.sample(params, asker, told)

    # -- the answers --------------------------------------------------------------------------------------------

    def sample(self, params: bytes, asker: Asker, told: Told) -> Callable[[], None]:
        """Returns what stops it. `told` may be called before that."""
        tool = self._sampling.tool
        try:
            arguments = chat_arguments(params, most_tokens(self._entry_of(asker.client, tool)))
        except TidegateError as error:
            told(None, error)
            return _nothing

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is not None:
                try:
                    told(message_result(result, tool), None)
                    return
                except QuestionUnanswered as failed:
                    error = failed
            told(None, error)

        classes = asker.classes
        return self._call(asker, lambda client: tool_call(tool, arguments, client, classes=classes), answered)

    def read(self, params: bytes, asker: Asker, told: Told) -> Callable[[], None]:
        """As `sample`: reads what a resource link names, if the caller may."""
        uri = json_value(params).get("uri")
        if not isinstance(uri, str):
            told(None, QuestionRefused("`resources/read` needs `params.uri`, a string"))
            return _nothing
        most_bytes = self.limits.line_bytes

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if result is not None and len(result) > most_bytes:
                result, error = None, QuestionUnanswered(f"resource `{uri}` has more than {most_bytes} bytes")
            told(result, error)

        classes = asker.classes
        return self._call(asker, lambda client: resource_read(uri, client, classes=classes), answered)

    def _call(self, asker: Asker, write: Callable[[ClientView], bytes], done: Told) -> Callable[[], None]:
        caller = asker.client.caller
        try:
            if caller is None or caller.revoked:
                raise Unauthorized("nobody is known in whose name this could be answered")
            if asker.client.depth >= MOST_DEEP:
                raise CallTooDeep(f"this is not answered: {MOST_DEEP} calls stand one behind the other already")
            client = inner_client(caller, _NAME, asker.client.depth + 1)
            client.stays, client.weighed = asker.client.stays, asker.client.weighed
            message = write(client)
            envelope = scan(message, self.limits.depth)
            exchange = InnerExchange(message, envelope, client, caller, done, transport=TRANSPORT)
        except TidegateError as error:
            done(None, error)
            return _nothing
        self._dispatch(exchange)
        return exchange.forget


def _classes_of_sent(cause: Cause) -> tuple[str, ...]:
    """Raises: InvalidParams."""
    if cause.sent is None:
        raise InvalidParams("what this request said of its data is not known any more")
    _, message, envelope, _ = cause.sent
    return read_classes(message, envelope, "")


def _nothing() -> None: ...
