"""Values as JSON text in bytes."""

from __future__ import annotations

import json


def json_bytes(value: object) -> bytes:
    """Compact UTF-8. A lone surrogate, which a peer can write as an escape and UTF-8 cannot carry, stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
