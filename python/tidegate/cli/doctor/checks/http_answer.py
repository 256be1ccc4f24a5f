"""A server that speaks HTTP answers, but not as an MCP endpoint does: wrong path, wrong token, wrong transport. Or a
service reached by `openai` does not let the gateway in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.visit import Visit
from tidegate.config.snapshot import Backend

_MESSAGES: Final = ("application/json", "text/event-stream")


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    visit = case.visits[backend.name]
    key = "openai" if backend.transport == "openai" else "url"
    if visit.step == "http" and key == "openai":
        yield Finding(
            "error",
            f"what answers at `{visit.address}` does not speak HTTP as expected",
            case.quote(visit.failed),
            "its tools cannot be called",
            "is it TLS (`https://`), or another port?",
            (f'openai = "https://{visit.address}/v1"',),
        )
    elif visit.step == "http":
        yield Finding(
            "error",
            f"what answers at `{visit.address}` does not speak HTTP as expected",
            case.quote(visit.failed),
            "its tools cannot be called",
            "is it TLS (`https://`), or newline-delimited JSON-RPC (`tcp`)?",
            (f'url = "https://{visit.address}/mcp"', f'tcp = "{visit.address}"     # instead of url'),
        )
    elif visit.step == "answer":
        yield from _judge(case, backend, visit, key)


def _judge(case: Case, backend: Backend, visit: Visit, key: str) -> Iterator[Finding]:
    asked = "POST" if backend.transport == "http" else "GET"
    path = case.quote(urlsplit(backend.url).path or "/")
    if key == "openai":
        path = path.rstrip("/") + "/models"
    found = f"`{asked} {path}` was answered with HTTP status {visit.status}"
    if visit.body and visit.status >= 400:
        found += f": {case.quote(visit.body)}"
    place = f"# {case.place(backend.name, key)}"
    if visit.status in (401, 403):
        sent = [name for name, _ in backend.headers if name.lower() == "authorization"]
        yield Finding(
            "error",
            "the token is not accepted" if sent else "it wants a token",
            f"{found}; {'the configured' if sent else 'no'} `Authorization` was sent",
            "its tools cannot be called",
            "get a token from whoever runs it, and keep it out of the file",
            (place, 'headers = { Authorization = "Bearer ${NAME_OF_A_VARIABLE}" }'),
        )
    elif key == "openai" and (visit.status < 300 or visit.status in (404, 405)):
        return  # Not every one can be asked what it has.
    elif visit.status in (404, 405) and visit.elsewhere:
        sse = visit.elsewhere == "/sse"
        paste = (
            place,
            f'url = "{visit.scheme}://{visit.address}{visit.elsewhere}"',
            *(('transport = "sse"',) if sse else ()),
        )
        yield Finding(
            "error",
            f"its endpoint is at another path: `{visit.elsewhere}`",
            f"{found}; `{visit.elsewhere}` on the same server answers",
            "its tools cannot be called",
            "write that path",
            paste,
        )
    elif visit.status in (404, 405):
        yield Finding(
            "error",
            f"there is no MCP endpoint at `{path}`",
            f"{found}; `/mcp` and `/sse` were tried, too",
            "its tools cannot be called",
            "look the path up with whoever runs it; most end in `/mcp`",
            (place, f'url = "{visit.scheme}://{visit.address}/mcp"'),
        )
    elif 300 <= visit.status < 400:
        target = case.quote(urljoin(f"{visit.scheme}://{visit.address}{path}", visit.location))
        yield Finding(
            "error",
            "it sends its callers elsewhere",
            f"{found}, to {target}",
            "the gateway does not follow: a token would go where nobody decided that it should",
            "if that is the right place, write it",
            (place, f'{key} = "{target.removesuffix("/models") if key == "openai" else target}"'),
        )
    elif visit.status >= 500:
        yield Finding(
            "error",
            "it fails by itself",
            found,
            "its tools cannot be called; the gateway tries again by itself",
            "see its own log; if a proxy answers in its place, the server behind that is down",
        )
    elif visit.status < 300 and visit.content_type not in _MESSAGES:
        yield Finding(
            "error",
            "what answers there is no MCP server",
            f"{found} and `{visit.content_type or 'no content type'}`: {case.quote(visit.body)}",
            "its tools cannot be called. A web page or a sign-in of the network looks like this",
            "mend the path; most end in `/mcp`",
            (place, f'url = "{visit.scheme}://{visit.address}/mcp"'),
        )


CHECK = BackendCheck(
    "http_answer",
    "servers reached by `url` answer as MCP endpoints, services by `openai` at all: path, token, transport",
    lambda case, backend: backend.transport in ("http", "sse", "openai"),
    _look,
    needs="visit",
)
