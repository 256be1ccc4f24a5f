"""Takes secrets out of what operators are shown.

Errors and statistics carry words of servers, and a server may repeat what it was given: a token in its last line on
stderr, a password in its URL. Values that the configuration holds are replaced wherever they occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from tidegate.config.secret_shape import looks_secret, secret_url_spans
from tidegate.config.snapshot import Backend, Snapshot

MARK: Final = "…"
_MIN_CHARS: Final = 6
"""Shorter values (`1`, `true`, `prod`) are everywhere, and hiding them would tell nothing apart."""
_DROPPED: Final = frozenset(("stderr",))
"""Members that are a server's own words, of unknown content."""


class Redaction:
    """The secrets of one configuration."""

    def __init__(self, snapshot: Snapshot) -> None:
        values = {value for backend in snapshot.backends for value in _secrets(backend) if len(value) >= _MIN_CHARS}
        values |= {client.token_sha256 for client in snapshot.clients}
        # The longest first: one secret may hold another.
        found = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
        self._pattern = re.compile(found) if found else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MARK, text)

    def value(self, value: object) -> object:
        """The same JSON value without secrets. URLs lose all but their origin."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                key: _origin(item) if key == "url" and isinstance(item, str) else self.value(item)
                for key, item in value.items()
                if key not in _DROPPED
            }
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _secrets(backend: Backend) -> Iterator[str]:
    for _, secret in (*backend.env, *backend.headers):
        revealed = secret.reveal()
        yield revealed
        # `Bearer TOKEN`: the token alone is as good.
        yield from revealed.split()
    named = ""
    for argument in backend.command[1:]:
        flag, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            flag, value = named, argument
        if looks_secret(flag, value):
            yield value
        named = "" if equals else argument
    for start, end in secret_url_spans(backend.url):
        yield backend.url[start:end]
        yield unquote(backend.url[start:end])


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return MARK
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
