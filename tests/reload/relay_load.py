"""Clients that keep many calls in flight, as a process of their own: `relay_load.py` reads its plan, one JSON object,
from stdin, says `ready` when all are connected, and calls until its stdin ends. Then it waits for what is still to be
answered, and writes a line of JSON for each call to the file that the plan names.

A call of the record: number, way in, token, tool, when it was sent and answered (monotonic, ns), and the text of the
answer, `! ` and the message of an error, or "" where none came.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, cast

Json = Any
MODERN = "2026-07-28"
SESSION = "2025-11-25"
META = '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}'
REFUSED_S = 0.1
"""How long whoever was refused waits before the next call."""
LAST_S = 20.0
"""Within this time all that was asked must be answered."""


class Book:
    """All calls of all clients."""

    def __init__(self, plan: Json) -> None:
        self.plan = plan
        self.calls: list[list[Json]] = []
        self.open = 0
        self.stopping = False
        self.over = asyncio.Event()
        self.extra: list[str] = []
        """Answers to what was not asked, or was answered before."""

    def note(self, way_in: str, token: str) -> tuple[int, str, float]:
        """A call that is sent now: its number, tool and delay."""
        number = len(self.calls)
        tool = random.choice(self.plan["tools"])
        self.calls.append([number, way_in, token, tool, time.monotonic_ns(), 0, ""])
        self.open += 1
        least_s, most_s = self.plan["delay_s"]
        return number, tool, random.uniform(least_s, most_s)

    def answered(self, number: int, message: Json) -> bool:
        """Whether it went well."""
        call = self.calls[number]
        error = message.get("error")
        text = f"! {error['message']}" if error else message["result"]["content"][0]["text"]
        if call[5]:
            self.extra.append(f"{call} {text}")
            return False
        call[5], call[6] = time.monotonic_ns(), text
        self.close_one()
        return not text.startswith("!")

    def close_one(self) -> None:
        self.open -= 1
        if self.stopping and self.open == 0:
            self.over.set()


def body(number: int | str, method: str, params: str) -> str:
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{{{params}}}}}'


def greeting() -> str:
    info = '"clientInfo":{"name":"load","version":"1"}'
    return body('"hello"', "initialize", f'"protocolVersion":"{SESSION}","capabilities":{{}},{info}')


INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Caller(asyncio.Protocol):
    """One connection."""

    way_in = ""

    def __init__(self, book: Book, token: str, width: int) -> None:
        self.book = book
        self.token = token
        self.width = width
        self.era = book.plan["era"]
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.own: set[int] = set()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.greet()

    def connection_lost(self, exc: Exception | None) -> None:
        for _ in self.own:
            self.book.close_one()
        self.own.clear()

    def greet(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        # Not all in the same moment.
        for _ in range(self.width):
            asyncio.get_running_loop().call_later(random.uniform(0, 0.5), self.call)

    def call(self) -> None:
        if self.book.stopping or self.transport.is_closing():
            return
        number, tool, delay_s = self.book.note(self.way_in, self.token)
        self.own.add(number)
        meta = f',"_meta":{{{META}}}' if self.era == "modern" else ""
        arguments = f'"arguments":{{"n":{number},"delay_s":{delay_s:.3f}}}'
        self.send(tool, body(number, "tools/call", f'"name":"{tool}",{arguments}{meta}'))

    def send(self, tool: str, message: str) -> None:
        raise NotImplementedError

    def take(self, message: Json) -> None:
        number = message.get("id")
        if number not in self.own:
            if isinstance(number, int):
                self.book.answered(number, message)
            return
        self.own.discard(number)
        if self.book.answered(number, message):
            self.call()
        else:
            asyncio.get_running_loop().call_later(REFUSED_S, self.call)


class Stream(Caller):
    way_in = "tcp"

    def greet(self) -> None:
        token = f'"_meta":{{"dev.tidegate/token":"{self.token}"' if self.token else '"_meta":{'
        if self.era == "session":
            head = greeting()[:-2] + "," + token + "}}}"
        else:
            comma = "," if self.token else ""
            head = body('"hello"', "tools/list", f"{token}{comma}{META}}}")
        self.transport.write(head.encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message.get("id") == "hello":
                if self.era == "session":
                    self.transport.write(INITIALIZED.encode() + b"\n")
                self.ready.set_result(None)
            else:
                self.take(message)

    def send(self, tool: str, message: str) -> None:
        self.transport.write(message.encode() + b"\n")


class Http(Caller):
    way_in = "http"
    session = ""
    _greeted = 0

    def greet(self) -> None:
        if self.era == "session":
            self.send("", greeting())
        else:
            self.ready.set_result(None)

    def send(self, tool: str, message: str) -> None:
        lines = [
            "POST /mcp HTTP/1.1",
            f"host: {self.book.plan['host']}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
        ]
        if self.token:
            lines.append(f"authorization: Bearer {self.token}")
        if self.era == "modern":
            lines += [f"mcp-protocol-version: {MODERN}", "mcp-method: tools/call", f"mcp-name: {tool}"]
        elif self.session:
            lines += [f"mcp-protocol-version: {SESSION}", f"mcp-session-id: {self.session}"]
        raw = message.encode()
        lines.append(f"content-length: {len(raw)}")
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while self.rest:
            head, blank, rest = self.rest.partition(b"\r\n\r\n")
            if not blank:
                return
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
            if "transfer-encoding" in fields:
                whole, end, self.rest = rest.partition(b"\r\n0\r\n\r\n")
                if not end:
                    self.rest = head + blank + rest
                    return
                events = [line[5:] for line in whole.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
                self.reply(head, [event for event in events if event.strip()][-1])
            else:
                length = int(fields["content-length"])
                if len(rest) < length:
                    return
                self.rest = rest[length:]
                self.reply(head, rest[:length])

    def reply(self, head: bytes, raw: bytes) -> None:
        if self.ready.done():
            message = json.loads(raw)
            if message.get("id") is None:
                # The gateway had not come to the id. There is one call at a time.
                message["id"] = next(iter(self.own), None)
            self.take(message)
        elif self._greeted == 0:
            self._greeted = 1
            found = [line for line in head.split(b"\r\n") if line.lower().startswith(b"mcp-session-id: ")]
            self.session = found[0][16:].decode()
            self.send("", INITIALIZED)
        else:
            self.ready.set_result(None)


async def main() -> Book:
    plan = json.loads(sys.stdin.readline())
    book = Book(plan)
    loop = asyncio.get_running_loop()
    callers: list[Caller] = []
    for kind, where, count, width in (
        (Stream, plan["tcp"], plan["streams"], plan["width"]),
        (Http, plan["http"], plan["posts"], 1),
    ):
        host, _, port = where.rpartition(":")
        for number in range(count):
            token = plan["tokens"][number % len(plan["tokens"])]
            _, caller = await loop.create_connection(
                lambda kind=kind, token=token, width=width: kind(book, token, width), host, int(port)
            )
            await asyncio.wait_for(caller.ready, LAST_S)
            callers.append(caller)
    for caller in callers:
        caller.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    book.stopping = True
    if book.open:
        try:
            await asyncio.wait_for(book.over.wait(), LAST_S)
        except TimeoutError:
            book.extra.append(f"{book.open} calls without an answer")
    return book


if __name__ == "__main__":
    made = asyncio.run(main())
    Path(made.plan["record"]).write_text(json.dumps({"calls": made.calls, "extra": made.extra}), encoding="utf-8")
