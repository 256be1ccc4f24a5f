"""What backends and clients may be called. Shared by the schema and by `tidegate token`."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 32
"""Characters. Together with `__` and the tool's own name it has to fit what hosts accept, commonly 64."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check_name(text: str) -> str:
    """Returns `text`. `__` is refused because it separates a backend's name from a tool's.

    Raises: ValueError saying what was expected.
    """
    if _NAME.fullmatch(text) is None or len(text) > MAX_NAME or "__" in text:
        raise ValueError(
            f"expected a name of at most {MAX_NAME} lower-case letters, digits, `-` and single `_`, "
            "starting with a letter or digit"
        )
    return text
