"""The JSONTestSuite of Nicolas Seriot: what must parse, must not, and may.

It is data that lies beside the checkout and is not part of it; without it these tests say so and pass on.
"""

from __future__ import annotations

import json
import tarfile
from functools import cache
from pathlib import Path

import pytest
import twins
from agreement import outcome

from tidegate.pipeline import codec

ARCHIVE = Path(__file__).parents[3] / "shared/data/json-parsing/JSONTestSuite.tar.xz"

TOO_DEEP_FOR_PYTHON = 20_000
"""Bytes from which on a file of the suite is nested deeper than the recursive twin can go."""


@cache
def suite() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if ARCHIVE.exists():
        with tarfile.open(ARCHIVE) as archive:
            for entry in archive:
                path = Path(entry.name)
                content = archive.extractfile(entry) if path.parent.name == "test_parsing" else None
                if content:
                    found[path.name] = content.read()
    return found


if not suite():
    pytest.skip(f"no {ARCHIVE.name} beside the checkout", allow_module_level=True)


def parses(text: bytes) -> str:
    """The outcome of the text as one element: no JSON-RPC, any value, any depth."""
    return outcome(codec.array_spans, b"[" + text + b"]")[0]


@pytest.mark.parametrize("name", sorted(suite()))
def test_the_suite_agrees(name: str) -> None:
    text = suite()[name]
    verdict = parses(text)
    scanned = outcome(codec.scan, text, 10**6)[0]
    if name.startswith("y_"):
        assert verdict == "value"
        assert scanned in ("value", "InvalidRequest", "DuplicateKey")
    elif name.startswith("n_"):
        assert scanned in ("ParseError", "InvalidUtf8")
    else:
        # Implementation-defined: lone surrogates and huge numbers pass through, bytes that are not UTF-8 do not.
        try:
            json.loads(text.decode())
            expected = "value"
        except UnicodeDecodeError:
            expected = "InvalidUtf8"
        except ValueError:
            expected = "ParseError"
        except RecursionError:
            expected = "value"
        assert verdict == expected
    if len(text) < TOO_DEEP_FOR_PYTHON and name != "i_structure_500_nested_arrays.json":
        assert outcome(twins.scan, text, 10**6)[0] == scanned
