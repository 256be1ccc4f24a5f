"""Every requirement has a test, and every mark names a requirement."""

from __future__ import annotations

import ast
from pathlib import Path

from requirements import REQUIREMENTS


def marked() -> set[str]:
    """The ids in the marks of this folder's tests, read from the source."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
                found.update(each.value for each in node.args if isinstance(each, ast.Constant))
    return found


def test_every_requirement_has_a_test() -> None:
    assert set(REQUIREMENTS) - marked() == set()


def test_every_mark_names_a_requirement() -> None:
    assert marked() - set(REQUIREMENTS) == set()


def test_the_table_is_in_order() -> None:
    assert list(REQUIREMENTS) == sorted(REQUIREMENTS)
