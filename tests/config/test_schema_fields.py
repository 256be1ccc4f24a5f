"""Every field explains itself, and the schema and the snapshot agree."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import BaseModel

from tidegate.config.embedded import default_snapshot
from tidegate.config.schema import (
    BackendTable,
    BoundsTable,
    CapabilityTable,
    ClientTable,
    Configuration,
    FilterTable,
    GrantsTable,
    LimitsTable,
    ListenTable,
    ModelsTable,
    ModelTable,
    OpenAiTable,
    PluginsTable,
    PowerTable,
    SamplingTable,
    json_schema,
)
from tidegate.config.snapshot import (
    Backend,
    Bounds,
    Capability,
    Client,
    Filter,
    Grants,
    Limits,
    Listen,
    Model,
    Models,
    Plugin,
    Power,
    Sampling,
)

TABLES = [
    Configuration,
    ListenTable,
    LimitsTable,
    BackendTable,
    ClientTable,
    FilterTable,
    GrantsTable,
    BoundsTable,
    PluginsTable,
    ModelTable,
    ModelsTable,
    PowerTable,
    CapabilityTable,
    SamplingTable,
    OpenAiTable,
]
PLUGIN = {"wasm", "digest", "grants", "settings", "bounds"}


@pytest.mark.parametrize("table", TABLES)
def test_every_field_states_its_unit_its_default_and_the_reason(table: type[BaseModel]) -> None:
    for name, found in table.model_fields.items():
        assert re.fullmatch(r".+\. Unit: .+\. Default: .+\. Why: .+\.", found.description or "", re.DOTALL), name


@pytest.mark.parametrize(
    ("table", "shape", "left_out"),
    [
        (ListenTable, Listen, set()),
        (LimitsTable, Limits, set()),
        (
            BackendTable,
            Backend,
            {"args", "tcp", "unix", "builtin"}
            | {"name", "address", "endpoints", "plugin"}
            | {"openai", "capabilities"}
            | PLUGIN,
        ),
        (FilterTable, Filter, {"name", "plugin"} | PLUGIN),
        (GrantsTable, Grants, set()),
        (BoundsTable, Bounds, set()),
        (ClientTable, Client, {"name"}),
        (ModelTable, Model, {"shipped"}),
        (ModelsTable, Models, set()),
        (PowerTable, Power, set()),
        (CapabilityTable, Capability, {"name"}),
        (SamplingTable, Sampling, set()),
    ],
)
def test_schema_and_snapshot_have_the_same_fields(table: type[BaseModel], shape: Any, left_out: set[str]) -> None:
    assert set(table.model_fields) ^ {item.name for item in dataclasses.fields(shape)} == left_out


def test_the_keys_of_a_plugin_are_the_same_in_both_tables_and_reach_the_snapshot() -> None:
    assert set(BackendTable.model_fields) & set(FilterTable.model_fields) == PLUGIN
    assert {item.name for item in dataclasses.fields(Plugin)} == PLUGIN - {"wasm"} | {"file", "shipped", "secrets"}


def test_the_defaults_of_the_schema_are_those_of_the_snapshot() -> None:
    assert LimitsTable().model_dump() == dataclasses.asdict(Limits())
    assert BoundsTable().model_dump() == dataclasses.asdict(Bounds())
    ours = dataclasses.asdict(default_snapshot({}).listen)
    theirs = ListenTable().model_dump()
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in theirs.items()} == {
        **ours,
        "unix": None,
    }


def test_the_json_schema_is_valid_and_accepts_what_the_documentation_shows() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = tomllib.loads(
        """
        [listen]
        http = "127.0.0.1:8808"
        unix_mode = "0660"
        [backends.files]
        command = "npx"
        [backends.web]
        url = "https://${HOST}/mcp"
        headers = { Authorization = "Bearer ${TOKEN}" }
        """
    )
    jsonschema.validate(good, schema)
    bad: dict[str, Any]
    for bad in ({"backends": {"a": {"comand": "p"}}}, {"limits": {"depth": "9"}}, {"listne": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
