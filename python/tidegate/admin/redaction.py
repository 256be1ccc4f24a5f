"""Takes secrets out of what operators are shown.

Errors, statistics and log lines carry words of servers, and a server may repeat what it was given: a token in its last
line on stderr, a password in its URL. Values that the configuration holds are replaced wherever they occur; so is
what names itself a secret (`password=…`, `Authorization: Bearer …`, `https://user:…@`), wherever it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from tidegate.config.model_workers import OWN_VARIABLES
from tidegate.config.secret_shape import looks_secret, secret_url_spans
from tidegate.config.snapshot import Backend, Snapshot

MARK: Final = "…"
_MIN_CHARS: Final = 6
"""Shorter values (`1`, `true`, `prod`) are everywhere, and hiding them would tell nothing apart."""
_SCHEMES: Final = ("basic", "bearer", "digest")
_MOST_VALUES: Final = 10_000
"""Of all configurations so far. Beyond it those of the oldest are forgotten: their servers are long gone."""
_SPOKEN: Final = re.compile(
    r"(?i)(?P<name>(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|credential)[\w-]*[\"']?"
    r"\s*(?:[:=]|\bis\b)\s*[\"']?)(?P<value>(?!expected )[^\s\"',;&]{4,})"
    r"|\b(?P<scheme>(?:bearer|basic)\s+)(?P<credentials>[\w.~+/=-]{8,})"
    r"|(?P<user>://[^\s/:@]*:)(?P<password>[^\s/@]+)(?=@)"
    r"|\b(?P<known>(?:gh[opsur]_|github_pat_|glpat-|xox[a-z]-|AKIA|AIza|sk-|hf_|npm_)[\w-]{8,})"
)

_HINTS: Final = (
    *("passw", "passphrase", "secret", "token", "api", "private", "credential", "bearer", "basic", "://"),
    *("gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox", "akia", "aiza", "sk-", "hf_", "npm_"),
)
"""Without one of these there is nothing that `_SPOKEN` finds."""


class Redaction:
    """The secrets of a configuration, and of those that were in force before it: a server may still hold them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._values: dict[str, None] = {}
        self._learned: Snapshot | None = None
        self._pattern: re.Pattern[str] | None = None
        self.learn(snapshot)

    def learn(self, snapshot: Snapshot) -> None:
        """Hides what `snapshot` holds, too. Costs a comparison when it did not change."""
        if snapshot is self._learned:
            return
        self._learned = snapshot
        found = {value for backend in snapshot.backends for value in _secrets(backend) if len(value) >= _MIN_CHARS}
        plugins = [backend.plugin for backend in snapshot.backends if backend.plugin is not None]
        plugins += [one.plugin for one in snapshot.filters]
        kept = {secret.reveal() for plugin in plugins for secret in plugin.secrets}
        found |= {value for value in kept if len(value) >= _MIN_CHARS}
        found |= {client.token_sha256 for client in snapshot.clients}
        for value in found:
            self._values.pop(value, None)
            self._values[value] = None
        for value in list(self._values)[: max(0, len(self._values) - _MOST_VALUES)]:
            del self._values[value]
        # The longest first: one secret may hold another.
        alternatives = "|".join(re.escape(value) for value in sorted(self._values, key=len, reverse=True))
        self._pattern = re.compile(alternatives) if alternatives else None

    def text(self, text: str) -> str:
        """The same text without what the configuration holds."""
        return text if self._pattern is None else self._pattern.sub(MARK, text)

    def spoken(self, text: str) -> str:
        """A server's own words, without what the configuration holds and what says of itself that it is a secret."""
        found = self.text(text)
        lower = found.lower()
        # A dozen plain searches cost a hundredth of the expression, which most lines need not be read by.
        return _SPOKEN.sub(_hidden, found) if any(hint in lower for hint in _HINTS) else found

    def value(self, value: object) -> object:
        """The same JSON value without secrets. URLs lose all but their origin."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._member(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _member(self, key: object, item: object) -> object:
        if key == "url" and isinstance(item, str):
            return _origin(item)
        if key == "error" and isinstance(item, str):
            return self.spoken(item)
        if key == "stderr" and isinstance(item, list | tuple):
            return [self.spoken(str(line)) for line in item]
        return self.value(item)


def _hidden(match: re.Match[str]) -> str:
    kept = match["name"] or match["scheme"] or match["user"] or ""
    return kept + MARK


def _secrets(backend: Backend) -> Iterator[str]:
    own = OWN_VARIABLES if backend.models else ()
    for name, secret in (*backend.env, *backend.headers):
        if name in own:
            continue
        revealed = secret.reveal()
        yield revealed
        # `Bearer TOKEN`: the token alone is as good.
        yield from (word for word in revealed.split() if word.lower() not in _SCHEMES)
    named = ""
    for argument in backend.command[1:]:
        flag, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            flag, value = named, argument
        if looks_secret(flag, value):
            yield value
        named = "" if equals else argument
    for url in {backend.url, *(backend.endpoints if backend.url else ())}:
        for start, end in secret_url_spans(url):
            yield url[start:end]
            yield unquote(url[start:end])


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return MARK
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
