"""The extension as a module: its version, and what a stale or missing one says."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

import tidegate
from tidegate import _native
from tidegate.pipeline import codec


def test_the_extension_is_of_the_version_of_the_package() -> None:
    assert tidegate.__version__ == _native.VERSION


@pytest.fixture
def reimport(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delitem(sys.modules, "tidegate.pipeline.codec")
    return monkeypatch


def test_a_stale_extension_refuses_to_import(reimport: pytest.MonkeyPatch) -> None:
    stale = ModuleType("tidegate._native")
    vars(stale).update(vars(_native) | {"VERSION": "0.0.1"})
    reimport.setitem(sys.modules, "tidegate._native", stale)
    with pytest.raises(ImportError, match=r"0\.0\.1.*maturin develop"):
        importlib.import_module("tidegate.pipeline.codec")


def test_an_extension_without_a_name_says_how_to_rebuild(reimport: pytest.MonkeyPatch) -> None:
    reimport.setitem(sys.modules, "tidegate._native", ModuleType("tidegate._native"))
    with pytest.raises(ImportError, match="maturin develop"):
        importlib.import_module("tidegate.pipeline.codec")


def test_every_native_name_is_exported() -> None:
    assert set(codec.__all__) == set(_native.__all__) - {"VERSION"}
    assert all(getattr(codec, name) is getattr(_native, name) for name in codec.__all__)
