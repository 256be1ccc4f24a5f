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
    r"passw|passphrase|secret|credential|token(?!s|_?(url|count|limit))|api_?key|access_?key|private_?key|auth_?key|authorization|cookie"
)
_LIKELY_NAME: Final = re.compile(r"(^|_)(key|auth|pat|pwd|pass|dsn|session|bearer|pin|login)(_|$)")
_KNOWN_VALUE: Final = re.compile(
    r"(sk|pk|rk)[-_][A-Za-z0-9_-]{8,}|gh[opsur]_\w{8,}|github_pat_\w+|glpat-[\w-]+|xox[a-z]-[\w-]+|AKIA\w{8,}|AIza[\w-]{8,}"
    r"|eyJ[\w-]{8,}\.[\w.-]+|ya29\.[\w-]+|hf_\w{8,}|npm_\w{8,}|pypi-[\w-]{8,}|tg_[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?i:bearer|basic)\s+\S{4,}"
)
_PLAIN_VALUE: Final = re.compile(r"(?i:true|false|yes|no|on|off|none|null|auto|default)|[\d.]{1,6}")
_RANDOM_VALUE: Final = re.compile(r"[A-Za-z0-9+/=_.-]{20,}")

_RANDOM_BITS: Final = 3.3
"""Shannon entropy per character. English words joined by dashes reach 3.2 in this length, hexadecimal digits 3.5."""


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
    """Long, without spaces, digits among letters, and hardly a character more often than chance would have it."""
    if not _RANDOM_VALUE.fullmatch(value) or not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value):
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    digits = sum(char.isdigit() for char in value)
    return bits >= _RANDOM_BITS and digits >= len(value) / 10


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
