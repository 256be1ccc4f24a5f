"""The module goes to boxes whose Python has no shared library, or has another version of it."""

from __future__ import annotations

from pathlib import Path

from tidegate import _native, _sandbox


def test_no_module_names_a_python_library() -> None:
    for module in (_native, _sandbox):
        assert module.__file__ is not None
        assert b"libpython" not in Path(module.__file__).read_bytes(), module.__name__
