"""Calls of the tools that come with tidegate, each with an answer that was found without them: by definition or by the
standard library.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import statistics
from collections import defaultdict
from typing import Any, NamedTuple


class Case(NamedTuple):
    tool: str
    arguments: dict[str, Any]
    answer: dict[str, Any]
    """Members of the structured content; what else it has is not looked at. Floats count as equal within 1e-9."""


def same(said: Any, right: Any) -> bool:
    """Whether it says at least what is right."""
    if isinstance(right, bool) or isinstance(said, bool):
        return said is right
    if isinstance(right, int | float) and isinstance(said, int | float):
        return math.isclose(said, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(right, dict) and isinstance(said, dict):
        return all(key in said and same(said[key], value) for key, value in right.items())
    if isinstance(right, list) and isinstance(said, list):
        return len(said) == len(right) and all(map(same, said, right))
    return bool(said == right)


# -- units: what the units are defined as -------------------------------------------------------------------------

_INCH_M, _POUND_KG, _GRAVITY = 0.0254, 0.45359237, 9.80665
_PSI_PA = _POUND_KG * _GRAVITY / _INCH_M**2

UNITS = [
    Case("units__convert", {"value": 32, "from": "psi", "to": "bar"},
         {"value": 32 * _PSI_PA / 1e5, "kind": "pressure"}),
    Case("units__convert", {"value": -40, "from": "°F", "to": "°C"}, {"value": -40}),
    Case("units__convert", {"value": 451, "from": "°F", "to": "K"}, {"value": (451 - 32) / 1.8 + 273.15}),
    Case("units__convert", {"value": [1, 26.5, -3], "from": "mile", "to": "km"},
         {"value": [value * 5280 * 12 * _INCH_M / 1000 for value in (1, 26.5, -3)]}),
    Case("units__convert", {"value": 2.5, "from": "kWh", "to": "MJ"}, {"value": 9}),
    Case("units__convert", {"value": 90, "from": "km/h", "to": "m/s"}, {"value": 25}),
]  # fmt: skip

# -- data: what Python makes of the same -------------------------------------------------------------------------

_BOLTS: dict[str, list[dict[str, Any]]] = {
    "items": [
        {"name": "Bolt M6", "price": 12.5, "stock": 4},
        {"name": "nut M6", "price": 30, "stock": 0},
        {"name": "bolt M8", "price": 9.75, "stock": 11},
        {"name": "long BOLT", "price": 40, "stock": 2},
    ]
}
_READINGS = "\n".join(
    [
        "site,sensor,value",
        'quay,"temp, air",12.5',
        "pier,temp,13",
        "quay,wind,7",
        "pier,wind,11.25",
        "quay,temp,",
        "pier,wind,2",
    ]
)


def _rows() -> list[dict[str, Any]]:
    """By the csv module; numbers as numbers, empty cells None."""
    read = csv.DictReader(io.StringIO(_READINGS))
    return [{**row, "value": float(row["value"]) if row["value"] else None} for row in read]


def _means() -> list[dict[str, Any]]:
    by_site: dict[str, list[float]] = defaultdict(list)
    for row in _rows():
        if row["value"] is not None:
            by_site[row["site"]].append(row["value"])
    return [{"site": site, "mean": statistics.fmean(by_site[site])} for site in sorted(by_site)]


def _written(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items()} for row in rows]


def _falling(row: dict[str, Any]) -> float:
    return -float(row["value"])


_COSTLY = [{"name": item["name"], "price": item["price"]} for item in _BOLTS["items"]
           if item["price"] > 10 and "bolt" in item["name"].lower()]  # fmt: skip
DATA = [
    Case("data__query_json",
         {"data": _BOLTS, "query": '.items[] | select(.price > 10 and .name ~ "bolt") | {name, price}'},
         {"count": len(_COSTLY), "results": _COSTLY}),
    Case("data__query_json", {"data": _BOLTS, "query": "[.items[].stock] | sum"},
         {"results": [sum(item["stock"] for item in _BOLTS["items"])]}),
    Case("data__query_csv", {"csv": _READINGS, "where": [{"column": "value", "op": ">=", "value": 7}],
                             "order_by": [{"column": "value", "descending": True}]},
         {"matched": 4, "rows": sorted((row for row in _rows() if (row["value"] or 0) >= 7), key=_falling)}),
    Case("data__query_csv", {"csv": _READINGS, "group_by": ["site"], "order_by": ["site"],
                             "select": ["site", {"column": "value", "aggregate": "mean", "as": "mean"}]},
         {"rows": _means()}),
    Case("data__csv_to_json", {"csv": _READINGS}, {"count": 6, "rows": _rows()}),
]  # fmt: skip

# -- sensor-stats: what the statistics module makes of the same --------------------------------------------------

_SERIES = [19.5, 20.25, 20.0, 19.75, 21.5, 20.5, 85.0, 20.75, 22.25, 21.0, 21.75]
_SMOOTH = [value for value in _SERIES if value != 85.0]
_QUARTERS = statistics.quantiles(_SERIES, n=4, method="inclusive")


def _mad(values: list[float]) -> float:
    centre = statistics.median(values)
    return statistics.median(abs(value - centre) for value in values) / statistics.NormalDist().inv_cdf(0.75)


def _kendall(values: list[float]) -> tuple[float, float]:
    """Tau and two-sided p of the Mann-Kendall test, for values of which no two are the same."""
    signs = [math.copysign(1, after - before) for before, after in itertools.combinations(values, 2)]
    count, score = len(values), sum(signs)
    z = (score - math.copysign(1, score)) / math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return score / len(signs), 2 * (1 - statistics.NormalDist().cdf(abs(z)))


_LINE = statistics.linear_regression(range(len(_SMOOTH)), _SMOOTH)
SENSORS = [
    Case("sensor-stats__summary", {"values": [*_SERIES, None]},
         {"count": 11, "missing": 1, "mean": statistics.fmean(_SERIES), "sd": statistics.stdev(_SERIES),
          "min": min(_SERIES), "q1": _QUARTERS[0], "median": statistics.median(_SERIES), "q3": _QUARTERS[2],
          "max": max(_SERIES), "first": _SERIES[0], "last": _SERIES[-1]}),
    Case("sensor-stats__outliers", {"values": _SERIES},
         {"found": 1, "outliers": [{"index": _SERIES.index(85.0), "value": 85.0}],
          "centre": statistics.median(_SERIES), "spread": _mad(_SERIES)}),
    Case("sensor-stats__outliers", {"values": _SERIES, "method": "zscore", "threshold": 2.5},
         {"found": 1, "centre": statistics.fmean(_SERIES), "spread": statistics.stdev(_SERIES)}),
    Case("sensor-stats__outliers", {"values": _SMOOTH}, {"found": 0, "outliers": []}),
    Case("sensor-stats__trend", {"values": _SMOOTH},
         {"slope": _LINE.slope, "intercept": _LINE.intercept,
          "r2": statistics.correlation(range(len(_SMOOTH)), _SMOOTH) ** 2,
          "tau": _kendall(_SMOOTH)[0], "p": _kendall(_SMOOTH)[1], "direction": "rising"}),
]  # fmt: skip

CASES = UNITS + DATA + SENSORS
TOOLS = {
    "units__convert", "units__units", "data__query_json", "data__query_csv", "data__csv_to_json", "data__json_to_csv",
    "sensor-stats__summary", "sensor-stats__outliers", "sensor-stats__trend",
}  # fmt: skip
HOST_TOOLS = {"overview", "load", "memory", "disks", "clock", "identity"}
