"""Lines of a page in the order in which they are read: from the top, and from the left where they stand side by side.

The page may lie askew, on its side or on its head. Columns are not told apart: what stands at one height is one row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tidegate.models.page.regions import Box

Turned = tuple[Box, int]
"""A line, and by how many quarters to the left it had to be turned to be read."""


def rows(lines: Sequence[Turned]) -> list[list[int]]:
    """Rows of positions in `lines`, in reading order. The page is taken to stand as most of its lines do."""
    if not lines:
        return []
    quarters = Counter(quarter for _, quarter in lines).most_common(1)[0][0]
    askew = _askew([box for box, quarter in lines if quarter == quarters])
    placed = [(_turned(_straightened(box, askew), quarters), index) for index, (box, _) in enumerate(lines)]
    placed.sort(key=lambda one: one[0][1])
    found: list[list[tuple[float, float, float, int]]] = []
    for (x, y, height), index in placed:
        row = found[-1] if found else []
        if row:
            # the row is where its lines are on average; a line belongs to it when its middle lies within
            middle = sum(one[1] for one in row) / len(row)
            high = min(height, sum(one[2] for one in row) / len(row))
            if y - middle < 0.5 * high:
                row.append((x, y, height, index))
                continue
        found.append([(x, y, height, index)])
    return [[one[3] for one in sorted(row)] for row in found]


def _askew(boxes: Sequence[Box]) -> tuple[float, float]:
    """The way most lines run, long ones counting more."""
    x = sum(box.along[0] * box.width for box in boxes)
    y = sum(box.along[1] * box.width for box in boxes)
    long = math.hypot(x, y) or 1.0
    return x / long, y / long


def _straightened(box: Box, askew: tuple[float, float]) -> Box:
    (x, y), (ax, ay) = box.centre, askew
    return replace(box, centre=(x * ax + y * ay, y * ax - x * ay))


def _turned(box: Box, quarters: int) -> tuple[float, float, float]:
    """(x, y, height) of a line on a page turned so often to the left."""
    x, y = box.centre
    thick = min(box.width, box.height)
    return ((x, y, thick), (y, -x, thick), (-x, -y, thick), (-y, x, thick))[quarters]
