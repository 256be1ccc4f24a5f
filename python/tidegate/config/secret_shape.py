"""Does this look like a secret? For files that other programs wrote, where nothing marks one.

Called by `tidegate import`, which puts references in place of what this finds, and by `tidegate check`, which does not
print it. Wrong in the safe direction: an environment variable set needlessly costs less than a token copied around.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final
from urllib.parse import unquote_plus, urlsplit

_CERTAIN_NAME: Final = re.compile(
    r"passw|passphrase|secret|credential|token(?!s|_?(url|count|limit))|authorization|cookie"
    r"|(api|access|private|auth)_?key"
)
_LIKELY_NAME: Final = re.compile(r"(^|_)(key|auth|pat|pwd|pass|dsn|session|bearer|pin|login)(_|$)")
_KNOWN_VALUE: Final = re.compile(
    r"(sk|pk|rk)[-_][A-Za-z0-9_-]{8,}|gh[opsur]_\w{8,}|github_pat_\w+|glpat-[\w-]+|xox[a-z]-[\w-]+|AKIA\w{8,}"
    r"|AIza[\w-]{8,}|eyJ[\w-]{5,}\.[\w.-]+|ya29\.[\w-]+|hf_\w{8,}|npm_\w{8,}|pypi-[\w-]{8,}|tg_[\w-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|(?i:bearer|basic)\s+\S{4,}"
)
_PLAIN_VALUE: Final = re.compile(r"(?i:true|false|yes|no|on|off|none|null|auto|default)|[\d.]{1,6}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.-]{20,}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

_RANDOM_CHARACTERS: Final = 12
"""Random text in base64url has a separator every 32 characters on average, so this much stands in one piece."""

_RANDOM_BITS: Final = 2.5
"""Shannon entropy per character of one piece; even 12 random hexadecimal digits have more, `aaaaaaaaaaa1` less."""


def looks_secret(name: str, value: str) -> bool:
    """Judges a named value: an environment variable, a header, a flag with its argument, a query parameter."""
    if not value or "${" in value:
        return False
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    is_place = _is_place(value)
    if _CERTAIN_NAME.search(plain):
        return not is_place and not (_PLAIN_VALUE.fullmatch(value) and "passw" not in plain and not value[0].isdigit())
    if _LIKELY_NAME.search(plain) and not is_place and not _PLAIN_VALUE.fullmatch(value) and len(value) >= 6:
        return True
    return value_looks_secret(value)


def value_looks_secret(value: str) -> bool:
    """Judges a value nothing names: by the marks of well-known tokens, a password in a URL, or sheer randomness."""
    if "${" in value:
        return False
    if _KNOWN_VALUE.match(value):
        return True
    if "://" in value:
        return bool(secret_url_spans(value))
    return not _is_place(value) and looks_random(value)


def looks_random(value: str) -> bool:
    """Long, without spaces, and not words: a piece between separators mixes letters and digits as chance would."""
    if _UUID.fullmatch(value):
        return True
    return bool(_TOKEN.fullmatch(value)) and any(map(_is_random, re.split(r"[-_.=]+", value)))


def _is_random(piece: str) -> bool:
    if len(piece) < _RANDOM_CHARACTERS or piece.isalpha() or piece.isdigit():
        return False
    bits = -sum(count / len(piece) * math.log2(count / len(piece)) for count in Counter(piece).values())
    return bits >= _RANDOM_BITS


def secret_url_spans(url: str) -> list[tuple[int, int]]:
    """Where in `url` stands what looks secret (password, path segments, query values): offsets, in order."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return []
    found = []
    authority = url.find("://") + 3
    if password and "${" not in password:
        start = url.index(f":{password}@", authority) + 1
        found.append((start, start + len(password)))
    start = authority + len(parts.netloc)
    for segment in parts.path.split("/"):
        if looks_random(segment) or _KNOWN_VALUE.match(segment):
            found.append((start, start + len(segment)))
        start += len(segment) + 1
    start = authority + len(parts.netloc) + len(parts.path) + 1
    for pair in parts.query.split("&"):
        name, equals, value = pair.partition("=")
        if looks_secret(name, unquote_plus(value)):
            found.append((start + len(name + equals), start + len(pair)))
        start += len(pair) + 1
    return found


def _is_place(value: str) -> bool:
    """A path or a URL without a password: it says where something is."""
    if "://" in value:
        return not secret_url_spans(value)
    return value.startswith(("/", "./", "../", "~/"))
