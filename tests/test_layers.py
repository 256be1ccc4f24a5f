"""The layers of docs/architecture.md, read from the imports: who may know whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "tidegate"

LAYERS = (
    ("errors", "clock"),
    ("protocol", "config", "host"),
    ("events", "watch"),
    ("storage", "sandbox", "models"),
    ("pipeline",),
    ("control",),
    ("admin", "daemon", "cli", "systemd", "__main__"),
)
"""Low to high. A module imports its own layer or lower ones."""

STAGES = ("accept", "era", "policy", "route", "upstream")
"""Stages of the pipeline. None imports another; `serve` composes them, `codec` is the byte library of all."""

NATIVE = ("_native", "_sandbox")

HEAVY = {"pydantic", "mcp", "httpx", "cryptography"}
"""Never in the daemon."""


def imports(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            if node.module == "tidegate":
                found.update(f"tidegate.{alias.name}" for alias in node.names if alias.name in NATIVE)
    return found


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def level(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("module", [name for name in modules() if name != "__init__.py"])
def test_a_module_imports_only_its_own_layer_and_lower_ones(module: str) -> None:
    own = level(Path(module).parts[0].removesuffix(".py"))
    for name in imports(PACKAGE / module):
        parts = name.split(".")
        if parts[0] == "tidegate" and len(parts) > 1 and parts[1] not in NATIVE:
            assert level(parts[1]) <= own, f"{module} imports {name}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_another(stage: str) -> None:
    for path in (PACKAGE / "pipeline" / stage).rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["tidegate", "pipeline"] and len(parts) > 2:
                assert parts[2] not in STAGES or parts[2] == stage, f"{path.name} imports {name}"


def test_only_the_codec_package_knows_the_native_extension() -> None:
    knowing = {name for name in modules() if "tidegate._native" in imports(PACKAGE / name)}
    assert knowing == {"pipeline/codec/__init__.py"}


def test_only_the_sandbox_package_knows_the_wasm_runtime() -> None:
    knowing = {name for name in modules() if "tidegate._sandbox" in imports(PACKAGE / name)}
    assert knowing
    assert all(name.startswith("sandbox/") for name in knowing), knowing


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith(("pipeline/", "daemon", "admin/"))])
def test_the_daemon_carries_no_heavy_library(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(PACKAGE / module)} & HEAVY


def test_only_the_two_ends_ask_for_the_revision() -> None:
    asking = {name for name in modules() if "tidegate.protocol.revisions" in imports(PACKAGE / name)}
    allowed = ("pipeline/era/", "pipeline/upstream/", "admin/", "cli/", "host/", "systemd/canary")
    assert {name for name in asking if not name.startswith(allowed)} == set()
