"""One HTTP/1.1 request on one connection, read as slowly and plainly as can be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpConnection:
    """Sends a request; hands on each JSON body or event. `started`, `ended` and `told` are set as it goes."""

    def __init__(
        self,
        url: str,
        method: str,
        headers: dict[str, str],
        body: bytes,
        take: Callable[[bytes, Response], None],
    ) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {"host": parts.netloc, **headers}
        if method == "POST":
            headers.setdefault("content-length", str(len(body)))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._take = take
        self._buffer = b""
        self._payload = b""
        self._head_read = False
        self.response = Response()
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        """The whole response is there, or the connection is gone."""
        self.told = asyncio.Event()
        """The `endpoint` event of HTTP+SSE came."""
        self.endpoint = ""
        self.event_ids: list[str] = []
        self._sock: socket.socket | None = None

    def begin(self) -> None:
        """Connects (at once, on loopback) and writes what fits; the rest goes out as it can."""
        self._sock = socket.create_connection(self._address, timeout=5)
        self._sock.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sock, self._readable)
        loop.add_writer(self._sock, self._writable)

    def close(self) -> None:
        """Goes away, whether or not there was an answer."""
        sock, self._sock = self._sock, None
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock)
            loop.remove_writer(sock)
            sock.close()
        self.ended.set()

    def _writable(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._request)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._request)
        self._request = self._request[sent:]
        if not self._request:
            asyncio.get_running_loop().remove_writer(self._sock)

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._buffer += data
        if not self.started.is_set():
            if b"\r\n\r\n" not in self._buffer:
                return
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            first, *lines = head.decode("latin-1").split("\r\n")
            self.response.status = int(first.split(" ")[1])
            pairs = (line.partition(":") for line in lines)
            self.response.headers = {name.lower(): value.strip() for name, _, value in pairs}
            self.started.set()
        headers = self.response.headers
        if "chunked" in headers.get("transfer-encoding", ""):
            self._chunks()
            return
        length = int(headers.get("content-length", "0"))
        if len(self._buffer) >= length:
            self._whole(self._buffer[:length])

    def _chunks(self) -> None:
        streamed = self.response.headers.get("content-type", "").startswith("text/event-stream")
        while b"\r\n" in self._buffer:
            size_text, rest = self._buffer.split(b"\r\n", 1)
            size = int(size_text, 16)
            if len(rest) < size + 2:
                return
            self._payload += rest[:size]
            self._buffer = rest[size + 2 :]
            if size == 0:
                self._whole(b"" if streamed else self._payload)
                return
            if streamed:
                self._events()

    def _events(self) -> None:
        *events, self._payload = self._payload.split(b"\n\n")
        for event in events:
            name = b""
            data = []
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    data.append(line[5:].removeprefix(b" "))
                elif line.startswith(b"event:"):
                    name = line[6:].strip()
                elif line.startswith(b"id:"):
                    self.event_ids.append(line[3:].strip().decode())
            if name == b"endpoint":
                self.endpoint = b"".join(data).decode()
                self.told.set()
            elif b"".join(data):
                self._take(b"\n".join(data), self.response)

    def _whole(self, body: bytes) -> None:
        self.response.body = body
        self.close()
        if body[:1] in (b"{", b"["):
            self._take(body, self.response)
