"""The compiler and the keys of the native sandbox, for short-lived processes of the command line.

The extension is imported when something of it is needed: a build without it still lists and packs plugins.
"""

from __future__ import annotations

from typing import Final

TARGETS: Final = {
    "aarch64-linux": "aarch64-unknown-linux-gnu",
    "x86_64-linux": "x86_64-unknown-linux-gnu",
}
"""As people say it → as the compiler does."""


class NoEngine(Exception):
    """This build has no sandbox, or it cannot do what is asked of it. The message is for a person."""


def engine_key(target: str | None = None) -> str:
    """What machine code must have been made for; None: for this box. Raises: NoEngine."""
    try:
        from tidegate import _sandbox
    except ImportError as error:
        raise NoEngine(f"this build of tidegate has no sandbox for plugins: {error}") from error
    try:
        return _sandbox.engine_key(_triple(target))
    except ValueError as error:
        raise NoEngine(f"cannot compile for `{target}`: {error}") from error


def _triple(target: str | None) -> str | None:
    return TARGETS.get(target, target) if target is not None else None


def compile_for(wasm: bytes, target: str | None) -> bytes:
    """Machine code. Takes long and much memory: for a process that does nothing else. Raises: NoEngine, ValueError."""
    engine_key(target)
    from tidegate import _sandbox

    return _sandbox.compile(wasm, _triple(target))


def imports_of(wasm: bytes) -> tuple[str, ...]:
    """What the outermost module or component wants from the gateway. Raises: NoEngine, ValueError."""
    engine_key()
    from tidegate import _sandbox

    return tuple(_sandbox.examine(wasm)["imports"])


def new_key() -> tuple[bytes, bytes]:
    """A key to sign with: secret, public. Raises: NoEngine, OSError."""
    engine_key()
    from tidegate import _sandbox

    return _sandbox.new_key()
