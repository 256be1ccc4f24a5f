"""The tools that come with tidegate, in the native sandbox; their statistics are compared with Python's own."""

from __future__ import annotations

import hashlib
import json
import math
import random
import select
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate import _sandbox
from tidegate.config.shipped import shipped_file
from tidegate.sandbox.manifest import manifest_of

WAIT_S = 10.0

Call = Callable[..., dict[str, Any]]
"""A tool and its arguments: the result."""


def serving(name: str, directory: Path) -> Call:
    file = shipped_file(name)
    assert file is not None, f"`make -C wasm` has not built {name}"
    wasm = file.read_bytes()
    code = _sandbox.compile(wasm)
    artefact = directory / name
    artefact.write_bytes(code)
    sandbox = _sandbox.Sandbox(None, 1, 1 << 30)
    limits = manifest_of(wasm).limits
    plugin = sandbox.load(
        name,
        str(artefact),
        hashlib.sha256(code).digest(),
        kind=_sandbox.examine(wasm)["kind"],
        world="tool",
        settings="{}",
        grants={},
        bounds={"memory_bytes": limits.memory_bytes, "deadline_ms": limits.deadline_ms},
    )
    wire = plugin.wire(name, 64, WAIT_S)

    def call(tool: str, **arguments: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        assert wire.send(json.dumps(request).encode()) is not None
        while True:
            assert select.select([sandbox.fileno()], [], [], WAIT_S)[0], "no answer"
            for event in sandbox.take():
                if event[0] == "line":
                    answer = json.loads(event[4])
                    assert "result" in answer, answer
                    return dict(answer["result"])

    return call


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Call:
    return serving("units", tmp_path_factory.mktemp("units"))


@pytest.fixture(scope="module")
def stats(tmp_path_factory: pytest.TempPathFactory) -> Call:
    return serving("sensor-stats", tmp_path_factory.mktemp("stats"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Call:
    return serving("data", tmp_path_factory.mktemp("data"))


def told(result: dict[str, Any]) -> str:
    """The error that the model reads."""
    assert result["isError"]
    return str(result["content"][0]["text"])


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (100, "°C", "°F", 212),
        (-40, "fahrenheit", "celsius", -40),
        (0, "C", "K", 273.15),
        (1, "mile", "km", 1.609344),
        (1, "bar", "psi", 14.5037737730),
        (180, "deg", "rad", math.pi),
        (1, "GiB", "MB", 1073.741824),
        (1, "kWh", "MJ", 3.6),
        (60, "l/min", "m3/h", 3.6),
        (36, "km/h", "m/s", 10),
        (1, "lb", "g", 453.59237),
        (1, "mW", "MW", 1e-9),
        (0.1, "m", "m", 0.1),
        (3000, "rpm", "rad/s", 314.159265359),
    ],
)
def test_a_value_is_converted(units: Call, value: float, source: str, target: str, expected: float) -> None:
    converted = units("convert", **{"value": value, "from": source, "to": target})["structuredContent"]["value"]
    assert converted == pytest.approx(expected, rel=1e-11)


def test_there_and_back_is_the_same_for_every_unit(units: Call) -> None:
    kinds = units("units")["structuredContent"]["kinds"]
    assert len(kinds) >= 16
    for symbols in kinds.values():
        for symbol in symbols:
            there = units("convert", **{"value": [7.25], "from": symbols[0], "to": symbol})["structuredContent"]
            assert there["unit"] == symbol
            back = units("convert", **{"value": there["value"], "from": symbol, "to": symbols[0]})["structuredContent"]
            assert back["value"] == [pytest.approx(7.25, rel=1e-9)]


def test_units_that_do_not_fit_are_told(units: Call) -> None:
    assert "length" in told(units("convert", **{"value": 1, "from": "m", "to": "kg"}))
    assert "furlongs" in told(units("convert", **{"value": 1, "from": "furlongs", "to": "m"}))
    assert "exactly" in told(units("convert", **{"value": 1, "from": "mw", "to": "W"}))
    assert "number" in told(units("convert", **{"value": "1", "from": "m", "to": "km"}))


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1001, 50_000])
def test_a_summary_agrees_with_pythons_statistics(stats: Call, count: int) -> None:
    source = random.Random(count)
    values = [source.gauss(5, 2) * 10.0 ** source.randint(-3, 3) for _ in range(count)]
    summary = stats("summary", values=[*values, None])["structuredContent"]
    assert (summary["count"], summary["missing"]) == (count, 1)
    assert summary["mean"] == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert (summary["min"], summary["max"]) == (min(values), max(values))
    if count == 1:
        assert summary["sd"] is None
        return
    centre = statistics.fmean(values)
    squares = math.fsum((value - centre) ** 2 for value in values)
    assert summary["sd"] == pytest.approx(math.sqrt(squares / (count - 1)), rel=1e-12)
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    assert [summary["q1"], summary["median"], summary["q3"]] == pytest.approx(quartiles, rel=1e-12)


@pytest.mark.parametrize("method", ["mad", "zscore", "iqr"])
def test_what_lies_far_out_is_found(stats: Call, method: str) -> None:
    values: list[float | None] = [20 + (i % 7) / 10 for i in range(100)]
    values[40], values[41] = None, 35.5
    found = stats("outliers", values=values, method=method)["structuredContent"]
    assert found["outliers"] == [{"index": 41, "value": 35.5}]
    assert found["found"] == 1


def test_a_trend_agrees_with_pythons_regression_and_with_counting_pairs(stats: Call) -> None:
    source = random.Random(4)
    times = sorted(source.uniform(0, 100) for _ in range(60))
    values = [round(0.3 * at + source.gauss(0, 8)) for at in times]
    trend = stats("trend", values=values, times=times)["structuredContent"]
    slope, intercept = statistics.linear_regression(times, values)
    assert [trend["slope"], trend["intercept"]] == pytest.approx([slope, intercept], rel=1e-9)
    assert trend["r2"] == pytest.approx(statistics.correlation(times, values) ** 2, rel=1e-9)
    pairs = [(a, b) for i, a in enumerate(values) for b in values[i + 1 :] if a != b]
    assert trend["tau"] == pytest.approx(sum(1 if b > a else -1 for a, b in pairs) / len(pairs), rel=1e-12)
    assert trend["direction"] == "rising"


def test_a_series_that_is_none_is_told(stats: Call) -> None:
    assert "no number" in told(stats("summary", values=[None]))
    assert "float" in told(stats("summary", values=[1, "2"]))
    assert "three" in told(stats("trend", values=[1, 2]))
    assert "rise" in told(stats("trend", values=[1, 2, 3], times=[1, 3, 2]))
    assert "mad" in told(stats("outliers", values=[1, 2], method="guess"))


def test_json_and_csv_are_queried(data: Call) -> None:
    shop = {"items": [{"name": "bolt", "price": 1.5}, {"name": "gear", "price": 12}]}
    found = data("query_json", data=shop, query=".items[] | select(.price > 10) | .name")
    assert found["structuredContent"] == {"count": 1, "results": ["gear"]}
    text = "room,temp\nattic,21.5\ncellar,9\nattic,23\n"
    mean = {"column": "temp", "aggregate": "mean", "as": "mean"}
    rows = data("query_csv", csv=text, select=["room", mean], group_by=["room"], order_by=["mean"])
    assert rows["structuredContent"]["rows"] == [{"room": "cellar", "mean": 9}, {"room": "attic", "mean": 22.25}]
    table = data("csv_to_json", csv=text)["structuredContent"]["rows"]
    assert data("json_to_csv", rows=table)["structuredContent"]["csv"] == text
    assert "character 1" in told(data("query_json", data=shop, query="frobnicate"))
