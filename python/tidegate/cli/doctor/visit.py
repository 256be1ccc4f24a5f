"""Goes to a server that speaks HTTP, step by step: name, connection, TLS, one request; and says how far it got.

The checks judge; this only looks. A session that the visit opened is closed again. Headers of the configuration are
sent, as the gateway would send them.
"""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from tidegate.cli.doctor.trial import INITIALIZE
from tidegate.config.address import parse_host_port
from tidegate.config.snapshot import Backend

STEP_S: Final = 5.0
"""For each of: connecting, the TLS handshake, the head of the answer."""
_BODY_BYTES: Final = 2048
_OTHER_PATHS: Final = ("/mcp", "/sse")

Step = Literal["name", "connection", "tls", "http", "answer"]


@dataclass(slots=True)
class Visit:
    """How far it got, and why no further."""

    step: Step = "name"
    """The last one that was tried."""
    failed: str = ""
    """Why that one failed; empty only for `answer`."""
    address: str = ""
    """`host:port`, or a path."""
    scheme: str = "http"
    timed_out: bool = False
    refused: bool = False
    status: int = 0
    content_type: str = ""
    location: str = ""
    body: str = ""
    """The beginning."""
    elsewhere: str = ""
    """A path on the same server that looks like its endpoint, when this one is not."""


def visit_backend(backend: Backend) -> Visit:
    """Never raises for what the server does."""
    if backend.transport == "unix":
        return _visit_unix(backend.address)
    if backend.transport == "tcp":
        host, port = parse_host_port(backend.address)
        visit = Visit(address=backend.address)
        with suppress(OSError):
            _connect(visit, host, port).close()
            visit.step = "answer"
        return visit
    return _visit_http(backend)


def _visit_unix(path: str) -> Visit:
    visit = Visit(step="connection", address=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(STEP_S)
        try:
            sock.connect(path)
        except OSError as error:
            _note_failure(visit, error)
            return visit
    visit.step = "answer"
    return visit


def _visit_http(backend: Backend) -> Visit:
    parts = urlsplit(backend.url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    visit = Visit(address=f"{host}:{port}", scheme=parts.scheme)
    try:
        connection = _open(visit, host, port, secure)
    except OSError:
        return visit
    headers = {name: value.reveal() for name, value in backend.headers}
    of_mcp = backend.transport != "openai"
    try:
        if of_mcp:
            response = _ask(connection, _target(parts), headers, get=backend.transport == "sse")
        else:
            # What it has, which costs nothing to ask.
            parts = parts._replace(path=parts.path.rstrip("/") + "/models")
            response = _ask(connection, _target(parts), headers, get=True)
        _note_answer(visit, response)
        session = response.getheader("mcp-session-id")
    except (OSError, HTTPException) as error:
        visit.step = "http"
        _note_failure(visit, error if isinstance(error, OSError) else OSError(f"it does not speak HTTP: {error!r}"))
        return visit
    finally:
        connection.close()
    visit.step = "answer"
    if session is not None:
        _end_session(parts, host, port, secure, {**headers, "mcp-session-id": session})
    if visit.status in (404, 405) and of_mcp:
        visit.elsewhere = _look_elsewhere(parts, host, port, secure, headers)
    return visit


def _open(visit: Visit, host: str, port: int, secure: bool) -> HTTPConnection:
    """Raises: OSError, which is noted in `visit`."""
    sock = _connect(visit, host, port)
    if secure:
        visit.step = "tls"
        try:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        except OSError as error:
            sock.close()
            reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
            _note_failure(visit, error)
            visit.failed = reason or visit.failed
            raise
    connection = HTTPConnection(host, port, timeout=STEP_S)
    connection.sock = sock
    return connection


def _connect(visit: Visit, host: str, port: int) -> socket.socket:
    """Raises: OSError, which is noted in `visit`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        _note_failure(visit, error)
        raise
    visit.step = "connection"
    last = OSError("no address")
    for family, kind, protocol, _, address in found[:4]:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(STEP_S)
        try:
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            last = error
    _note_failure(visit, last)
    raise last


def _note_failure(visit: Visit, error: OSError) -> None:
    visit.timed_out = isinstance(error, TimeoutError)
    visit.refused = isinstance(error, ConnectionRefusedError)
    visit.failed = f"no answer within {STEP_S:g} s" if visit.timed_out else str(error.strerror or error)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _ask(connection: HTTPConnection, target: str, headers: dict[str, str], *, get: bool) -> HTTPResponse:
    """Raises: OSError, HTTPException."""
    if get:
        connection.request("GET", target, headers={"accept": "text/event-stream", **headers})
    else:
        accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        connection.request("POST", target, json.dumps(INITIALIZE), {**accept, **headers})
    return connection.getresponse()


def _note_answer(visit: Visit, response: HTTPResponse) -> None:
    visit.status = response.status
    visit.content_type = (response.getheader("content-type") or "").partition(";")[0].strip().lower()
    visit.location = response.getheader("location") or ""
    if visit.content_type != "text/event-stream":
        visit.body = response.read(_BODY_BYTES).decode("utf-8", "replace")


def _end_session(parts: SplitResult, host: str, port: int, secure: bool, headers: dict[str, str]) -> None:
    with suppress(OSError, HTTPException):
        connection = _open(Visit(), host, port, secure)
        try:
            connection.request("DELETE", _target(parts), headers=headers)
            connection.getresponse()
        finally:
            connection.close()


def _look_elsewhere(parts: SplitResult, host: str, port: int, secure: bool, headers: dict[str, str]) -> str:
    for path in _OTHER_PATHS:
        if parts.path == path:
            continue
        with suppress(OSError, HTTPException):
            connection = _open(Visit(), host, port, secure)
            try:
                status = _ask(connection, path, headers, get=path == "/sse").status
            finally:
                connection.close()
            if status < 400 or status in (401, 403):
                return path
    return ""
