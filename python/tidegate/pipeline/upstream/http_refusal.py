"""What an HTTP status says that comes without an answer: whose fault it is, in words, and what a person can do."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from tidegate.config.snapshot import Backend
from tidegate.errors import TidegateError, UpstreamBusy, UpstreamProtocol, UpstreamRefused

_MOVED: Final = (301, 302, 303, 307, 308)
_BUSY: Final = (408, 425, 429, 503)
_BEHIND: Final = (502, 504)
"""What a proxy says of the server behind it."""
_MOST_WAIT_S: Final = 86_400


class HttpRefusal(UpstreamProtocol):
    """A status without a JSON-RPC body. `http_status` tells negotiation what kind of server this is."""

    http_status = 0


class CredentialsRefused(UpstreamRefused):
    """401: nothing more is to be had until a person has mended the configuration."""


def of_backend(name: str, error: TidegateError) -> TidegateError:
    """The HTTP client knows addresses; people know their backends by name."""
    return type(error)(f"backend `{name}`: {error}")


def refusal(backend: Backend, status: int, headers: dict[str, str], *, empty: bool = False) -> TidegateError:
    """The error that callers and `tidegate status` see for an answer with this head and nothing of use (or, `empty`,
    nothing at all) behind it.
    """
    said = f"HTTP status {status}"
    if status in (401, 407):
        has_token = any(name.lower() == "authorization" for name, _ in backend.headers)
        what = "does not take the token it is sent" if has_token else "wants a token, and none is configured"
        return CredentialsRefused(f"backend `{backend.name}` {what} ({said}): put a valid one into its `headers`")
    if status in _BUSY:
        wait_s = retry_after_s(headers)
        wish = f" and asks to be left alone for {wait_s} s" if wait_s is not None else ""
        return UpstreamBusy(f"backend `{backend.name}` cannot serve now ({said}){wish}")
    if status in _BEHIND:
        return UpstreamBusy(f"backend `{backend.name}` is not reached by the proxy before it ({said})")
    if status in _MOVED:
        where = _shown(backend.url, headers.get("location", ""))
        text = f"has moved{where} ({said}): put its new address into `url`"
    elif status == 403:
        text = f"does not allow this ({said})"
    elif status < 300 and empty:
        text = f"answered with nothing ({said})"
    elif status == 200:
        kind = headers.get("content-type", "").partition(";")[0].strip()[:80]
        text = f"answered with {f'`{kind}`' if kind else 'a body'} and no message in it"
    else:
        text = f"answered with {said} and no message"
    error = HttpRefusal(f"backend `{backend.name}` {text}")
    error.http_status = status
    return error


def retry_after_s(headers: dict[str, str]) -> int | None:
    """Whole seconds; a date would need the clock on the wall, which this gateway does not go by."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(int(value), _MOST_WAIT_S)
    return None


def _shown(url: str, location: str) -> str:
    """Where it has moved, less what could be a secret."""
    try:
        parts = urlsplit(urljoin(url, location))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if not location or not parts.hostname:
        return ""
    return f" to `{parts.scheme}://{parts.hostname}{port}{parts.path}`"[:300]
