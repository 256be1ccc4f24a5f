"""Ways to the gateway for a command that may block: a stream of lines, a private child, HTTP.

Each takes one request at a time and yields the messages that come back. Below `client.py`, which knows what they
mean. Standard library only.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from tidegate.config.address import parse_host_port
from tidegate.errors import TidegateError, TooLarge, UpstreamTimeout

CONNECT_S: Final = 5.0
_CHUNK_BYTES: Final = 256 * 1024
MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Longest message that is taken; the gateway's own default for a server's is 16 MiB."""
_END_S: Final = 10.0
"""For a private gateway to end its servers; it bounds itself at about half of that."""


class NoDaemon(TidegateError):
    """Nothing answers where the gateway should be."""

    slug = "no_daemon"


class PrivateEnded(NoDaemon):
    """The private gateway ended by itself, after it had said why."""

    def __init__(self, status: int) -> None:
        super().__init__("the private gateway ended; its own message stands above")
        self.exit_status = status


class LinkBroken(TidegateError):
    """The gateway went away, or what came is no MCP."""

    slug = "link_broken"


@dataclass(frozen=True)
class Outgoing:
    """A request and what HTTP repeats of it in headers."""

    id: int
    method: str
    text: str
    version: str
    headers: Sequence[tuple[str, str]] = field(default=())


class Wire(Protocol):
    carries_token: bool
    """Whether the token goes beside the messages. False: it goes into the first one."""

    def exchange(self, request: Outgoing, timeout_s: float) -> Generator[str, None, None]:
        """Sends the request and yields messages until it is closed. `timeout_s` bounds each wait, not the whole.

        Raises: LinkBroken, UpstreamTimeout, NoDaemon.
        """

    def cancel(self, request: Outgoing, reason: str) -> None:
        """Nobody waits for the answer any more. Best effort; never raises for a broken link."""

    def close(self) -> None: ...


class LineWire:
    """Newline-delimited JSON-RPC over a connected socket, which it owns."""

    carries_token = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def exchange(self, request: Outgoing, timeout_s: float) -> Generator[str, None, None]:
        self._sock.settimeout(timeout_s)
        try:
            self._sock.sendall(request.text.encode("utf-8", "surrogatepass") + b"\n")
        except TimeoutError:
            raise _late(timeout_s) from None
        except OSError as error:
            raise self._broken(error.strerror) from error
        while True:
            yield self._line(timeout_s)

    def cancel(self, request: Outgoing, reason: str) -> None:
        from json import dumps

        params = {"requestId": request.id, "reason": reason}
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        try:
            self._sock.settimeout(1.0)
            self._sock.sendall(dumps(message).encode() + b"\n")
        except OSError:
            pass

    def close(self) -> None:
        self._sock.close()

    def _line(self, timeout_s: float) -> str:
        deadline_s = time.monotonic() + timeout_s
        searched = 0
        while (at := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MESSAGE_BYTES:
                raise TooLarge(f"the answer has over {MESSAGE_BYTES} bytes")
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise _late(timeout_s)
            self._sock.settimeout(left_s)
            try:
                data = self._sock.recv(_CHUNK_BYTES)
            except TimeoutError:
                raise _late(timeout_s) from None
            except OSError as error:
                raise self._broken(error.strerror) from error
            if not data:
                raise self._broken(None)
            self._buffer += data
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line.decode("utf-8", "replace")

    def _broken(self, cause: str | None) -> TidegateError:
        return LinkBroken("the gateway closed the connection" + (f": {cause}" if cause else ""))


class ChildWire(LineWire):
    """A private gateway as a child process, that ends with this one."""

    def __init__(self, config: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        files = [word for file in config for word in ("--config", file)]
        try:
            # A session of its own: Ctrl-C is for this process, which then cancels what it asked for.
            self._child = subprocess.Popen(  # noqa: S603  our own command line
                [sys.executable, "-m", "tidegate", "connect", "--standalone", *files],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        super().__init__(ours)

    def close(self) -> None:
        super().close()
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _broken(self, cause: str | None) -> TidegateError:
        try:
            status = self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            return super()._broken(cause)
        return PrivateEnded(status)


class HttpWire:
    """Streamable HTTP, one connection a request: closing it is how a request is cancelled."""

    carries_token = True

    def __init__(self, url: str, token: str | None) -> None:
        """Raises: ValueError, for what is no http or https URL."""
        from http.client import HTTPConnection

        if "://" not in url:
            url = f"http://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected a URL such as `http://127.0.0.1:8808/mcp`, got `{url}`")
        if parts.username is not None:
            raise ValueError("the URL must not carry a user name; a token goes into `--token` or `$TIDEGATE_TOKEN`")
        self.url = url
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        path = parts.path if parts.path not in ("", "/") else "/mcp"
        self._target = f"{path}?{parts.query}" if parts.query else path
        self._token = token
        self._connection: HTTPConnection | None = None

    def exchange(self, request: Outgoing, timeout_s: float) -> Generator[str, None, None]:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        self.close()
        make = HTTPSConnection if self._secure else HTTPConnection
        connection = self._connection = make(self._host, self._port, timeout=CONNECT_S)
        try:
            connection.connect()
        except OSError as error:
            raise NoDaemon(f"no gateway answers at `{self.url}`: {error.strerror or error}") from error
        connection.sock.settimeout(timeout_s)
        try:
            headers = {
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": request.version,
                "mcp-method": request.method,
                **dict(request.headers),
            }
            if self._token is not None:
                headers["authorization"] = f"Bearer {self._token}"
            connection.request("POST", self._target, request.text.encode("utf-8", "surrogatepass"), headers)
            response = connection.getresponse()
            kind = (response.getheader("content-type") or "").partition(";")[0].strip().lower()
            if kind == "text/event-stream":
                yield from _events(response.readline)
                raise LinkBroken("the gateway ended the stream before it had answered")
            body = response.read(MESSAGE_BYTES + 1)
        except TimeoutError:
            raise _late(timeout_s) from None
        except (OSError, HTTPException) as error:
            raise LinkBroken(f"the gateway closed the connection: {error}") from error
        if len(body) > MESSAGE_BYTES:
            raise TooLarge(f"the answer has over {MESSAGE_BYTES} bytes")
        if kind != "application/json":
            raise LinkBroken(f"`{self.url}` answered with HTTP status {response.status} and no JSON")
        yield body.decode("utf-8", "replace")
        raise LinkBroken(f"`{self.url}` answered with HTTP status {response.status} and no result")

    def cancel(self, request: Outgoing, reason: str) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _ReadLine(Protocol):
    def __call__(self, limit: int, /) -> bytes: ...


def _events(readline: _ReadLine) -> Iterator[str]:
    """The data of each server-sent event that has some; priming events have none."""
    data: list[bytes] = []
    size = 0
    while line := readline(MESSAGE_BYTES + 1):
        size += len(line)
        if size > MESSAGE_BYTES:
            raise TooLarge(f"the answer has over {MESSAGE_BYTES} bytes")
        line = line.rstrip(b"\r\n")
        if not line:
            if any(data):
                yield b"\n".join(data).decode("utf-8", "replace")
            data = []
            size = 0
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))


def connect_unix(path: str) -> LineWire:
    """Raises: OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_S)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return LineWire(sock)


def connect_tcp(address: str) -> LineWire:
    """Raises: ValueError for what is no `host:port`, NoDaemon."""
    try:
        sock = socket.create_connection(parse_host_port(address), timeout=CONNECT_S)
    except OSError as error:
        raise NoDaemon(f"no gateway answers at `{address}`: {error.strerror or error}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return LineWire(sock)


def _late(timeout_s: float) -> TidegateError:
    return UpstreamTimeout(f"nothing came within {timeout_s:g} s; `--timeout` allows for more")
