"""Whether what a tool is sent stays on the box, as far as the configuration tells.

Where it does not, nobody may take a tool for a local one: data that must stay are given to none but those. `remote` on
a backend says what no address can: that a child is no more than a way out, or that a server on the local network counts
as the box.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from tidegate.config.address import is_loopback, parse_host_port
from tidegate.config.snapshot import Backend, Filter, Grants
from tidegate.pipeline.capabilities.decision import Where


def where_is(backend: Backend, filters: Iterable[Filter] = ()) -> Where:
    """`filters`: those that its tool has. They see what it is sent, and one that may ask others is on no box alone."""
    place = _of_backend(backend)
    if place == "local" and any(_leads_out(one.plugin.grants) for one in filters):
        return "unknown"
    return place


def _of_backend(backend: Backend) -> Where:
    if backend.remote is not None:
        return "cloud" if backend.remote else "local"
    if backend.plugin is not None:
        return "unknown" if _leads_out(backend.plugin.grants) else "local"
    if backend.transport in ("stdio", "unix", "builtin"):
        return "local"
    if backend.transport == "tcp":
        hosts = [parse_host_port(address)[0] for address in backend.endpoints or (backend.address,)]
    elif backend.transport in ("http", "sse", "openai"):
        hosts = [urlsplit(url).hostname or "" for url in backend.endpoints or (backend.url,)]
    else:
        return "unknown"
    return "local" if all(is_loopback(host) for host in hosts) else "cloud"


def _leads_out(grants: Grants) -> bool:
    """A plugin that may call tools may call any, wherever they are."""
    return bool(grants.call) or not all(is_loopback(_host(place)) for place in grants.http)


def _host(place: str) -> str:
    """Of `host` or `host:port`."""
    if place.startswith("[") or place.count(":") == 1:
        return place.rpartition(":")[0] if not place.endswith("]") else place
    return place
