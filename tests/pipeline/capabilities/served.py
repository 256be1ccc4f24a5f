"""A gateway with a capability over two servers: one on the box, one that counts as the cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from clients import Client, Pending, Reply
from gateway import House, house
from heard import Json
from scripted_server import Received, ScriptedServer, tool

from tidegate.config.model_workers import capabilities_backend
from tidegate.config.snapshot import Backend, Capability, Limits
from tidegate.events import CapabilityServed, Event

SERVED_BY = "io.tidegate/served-by"
DATA_CLASS = "io.tidegate/data-class"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
OUTPUT = {"type": "object", "properties": {"words": {"type": "string"}}}


def said(words: str, **structured: Json) -> Json:
    """What a tool answers."""
    return {"content": [{"type": "text", "text": words}], "structuredContent": {"words": words, **structured}}


def reading(where: str) -> bytes:
    return tool("read", title=f"Read {where}", description=f"Reads {where}.", inputSchema=SCHEMA, outputSchema=OUTPUT)


@dataclass
class Stage:
    """What a test of capabilities has at hand."""

    house: House
    here: ScriptedServer
    cloud: ScriptedServer
    served: list[CapabilityServed]

    def begin(self, client: Client, meta: Json = None, arguments: Json = None) -> Pending:
        """A call of the capability."""
        return client.tool("ocr", arguments if arguments is not None else {"text": "x"}, meta=meta)

    def leaked(self, word: str) -> list[str]:
        """What the cloud ever got that has the word in it."""
        return [item.raw.decode() for item in self.cloud.heard if word in item.raw.decode()]


def served_by(reply: Reply) -> Json:
    return reply.result["_meta"][SERVED_BY]


def reply_with(received: Received, words: str, **structured: Json) -> None:
    received.reply(received.channel.server.complete(said(words, **structured)))


def capability(**fields: Json) -> Capability:
    return Capability(**{"name": "ocr", "order": ("here__read", "cloud__read"), "busy_ms": 10_000, **fields})


@asynccontextmanager
async def stage(
    *capabilities: Capability,
    eras: tuple[str, str] = ("modern", "modern"),
    fields: Sequence[Json] = ({}, {}),
    limits: Limits | None = None,
    more: Sequence[Backend] = (),
    call_timeout_s: float = 300.0,
    **others: Json,
) -> AsyncIterator[Stage]:
    """`fields`: of the backends `here` and `cloud`."""
    here = ScriptedServer(eras[0], "here", tools=(reading("here"),))
    cloud = ScriptedServer(eras[1], "cloud", tools=(reading("in the cloud"),))
    backend = replace(capabilities_backend(capabilities or (capability(),)), call_timeout_s=call_timeout_s)
    async with house(
        here,
        cloud,
        fields=(fields[0], {"remote": True, **fields[1]}),
        backends=(*more, backend),
        limits=limits,
        **others,
    ) as built:
        events: list[CapabilityServed] = []

        def keep(event: Event) -> None:
            if isinstance(event, CapabilityServed):
                events.append(event)

        built.daemon.gateway.events.subscribe(keep)
        yield Stage(built, here, cloud, events)
