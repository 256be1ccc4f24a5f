"""Words for a package that is installed and cannot be loaded.

Wheels leave two libraries to the operating system that small images of it come without; no installing of packages
brings them.
"""

from __future__ import annotations

from typing import Final

_PACKAGES: Final = {"libstdc++.so.6": "libstdc++6", "libgomp.so.1": "libgomp1"}
"""By the library: what Debian, and those made from it, call the package."""
_MOST_CHARS: Final = 300


def unusable(package: str, error: BaseException, otherwise: str) -> str:
    """What is wrong and what to do; `otherwise` where it is no library of the system's that is missing."""
    said = " ".join(str(error).split())
    for library, owner in _PACKAGES.items():
        if f"{library}: cannot open shared object file" in said:
            return (
                f"the package `{package}` cannot be used: this system has no `{library}`, which no Python package "
                f"brings: apt-get install {owner}"
            )
    return f"the package `{package}` cannot be used: {said[:_MOST_CHARS]}; {otherwise}"
