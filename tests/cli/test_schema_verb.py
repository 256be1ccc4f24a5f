"""`tidegate schema`."""

from __future__ import annotations

import json

import pytest

from tidegate.cli import exit_codes, main
from tidegate.config.schema import json_schema


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == json_schema()
