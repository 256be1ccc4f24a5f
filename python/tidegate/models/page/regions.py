"""Where text is, from the map that a detector of the DB family gives: for each pixel, how likely it belongs to a line.

Pixels over a threshold that touch are one region; a region becomes the smallest rectangle around it, at any angle,
which is then widened, because the map marks only the core of a line. After Liao et al., "Real-time Scene Text Detection
with Differentiable Binarization" (2019), in numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MIN_SIDE: Final = 3.0
"""Of a region in the map, in pixels: smaller ones are noise."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle at any angle, in pixels. `along` is the way a line runs: to the right, more or less."""

    centre: tuple[float, float]
    along: tuple[float, float]
    """Unit vector; the other side of the rectangle is at a right angle, downward."""
    width: float
    """Along `along`."""
    height: float
    score: float
    """How likely it is text, from 0 to 1."""

    def scaled(self, factor: float) -> Box:
        """The same place in a picture so many times as large."""
        centre = (self.centre[0] * factor, self.centre[1] * factor)
        return Box(centre, self.along, self.width * factor, self.height * factor, self.score)

    def corners(self) -> list[tuple[float, float]]:
        """From the upper left, clockwise."""
        (x, y), (ax, ay), half_w, half_h = self.centre, self.along, self.width / 2, self.height / 2
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return [(x + i * ax * half_w - j * ay * half_h, y + i * ay * half_w + j * ax * half_h) for i, j in signs]


@dataclass(frozen=True, slots=True)
class Finding:
    """How regions are made of a map."""

    threshold: float = 0.3
    """Of a pixel."""
    box_threshold: float = 0.5
    """Of the mean over a rectangle."""
    widen: float = 1.6
    """How far: area times this, by circumference."""
    most: int = 1000
    """Regions in one picture."""


def regions(chances: NDArray[np.float32], how: Finding) -> list[Box]:
    """`chances`: rows by columns, 0 to 1. In pixels of the map, in no particular order."""
    found = []
    for points in _components(chances > how.threshold, how.most):
        rectangle = _smallest_rectangle(points)
        if min(rectangle.width, rectangle.height) < MIN_SIDE:
            continue
        score = _mean_inside(chances, rectangle)
        if score < how.box_threshold:
            continue
        around = rectangle.width * rectangle.height * how.widen / (2 * (rectangle.width + rectangle.height))
        width, height = rectangle.width + 2 * around, rectangle.height + 2 * around
        found.append(Box(rectangle.centre, rectangle.along, width, height, score))
    return found


def _components(mask: NDArray[np.bool_], most: int) -> Iterator[NDArray[np.float64]]:
    """The outline points (x, y) of each group of touching pixels, largest first: the ends of its runs in each row."""
    starts, ends, rows = _runs(mask)
    if len(starts) == 0:
        return
    labels = _joined(starts, ends, rows)
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = np.split(order, cuts)
    groups.sort(key=lambda group: -int((ends[group] - starts[group]).sum()))
    for group in groups[:most]:
        left, right, row = starts[group], ends[group], rows[group]
        # a pixel is a square: its corners are taken, so that a rectangle has the size of what it covers
        xs = np.concatenate([left, right, left, right])
        ys = np.concatenate([row, row, row + 1, row + 1])
        yield np.stack([xs, ys], axis=1).astype(np.float64)


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(first column, column after the last, row) of each unbroken run of pixels, row by row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return starts, ends, rows


def _joined(starts: NDArray[np.int64], ends: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for all runs that hang together, corner to corner included."""
    stride = int(ends.max()) + 2
    first, last = rows * stride + starts, rows * stride + ends
    # what a run touches in the next row: runs that end at its start or later, and start at its end or before
    low = np.searchsorted(last, first + stride, side="left")
    high = np.searchsorted(first, last + stride, side="right")
    counts = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(starts)), counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    below = np.repeat(low, counts) + offsets
    labels = np.arange(len(starts))
    while True:
        smaller = np.minimum(labels[above], labels[below])
        before = labels.copy()
        np.minimum.at(labels, before[above], smaller)
        np.minimum.at(labels, before[below], smaller)
        labels = labels[labels]
        labels = labels[labels]
        if np.array_equal(labels, before):
            return labels


def _smallest_rectangle(points: NDArray[np.float64]) -> Box:
    """Of least area around the points: one of its sides lies on a side of their hull."""
    hull = _hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(sides[:, 1], sides[:, 0]) % (np.pi / 2), 9))
    across, down = np.cos(angles), np.sin(angles)
    u = hull @ np.stack([across, down])
    v = hull @ np.stack([-down, across])
    spans = np.stack([u.min(axis=0), u.max(axis=0), v.min(axis=0), v.max(axis=0)])
    best = int(np.argmin((spans[1] - spans[0]) * (spans[3] - spans[2])))
    (u0, u1, v0, v1), c, s = spans[:, best], float(across[best]), float(down[best])
    middle_u, middle_v = (u0 + u1) / 2, (v0 + v1) / 2
    centre = (float(c * middle_u - s * middle_v), float(s * middle_u + c * middle_v))
    width, height = float(u1 - u0), float(v1 - v0)
    if c < s:  # more than 45 degrees: the other side is the one that runs to the right
        return Box(centre, (s, -c), height, width, 0.0)
    return Box(centre, (c, s), width, height, 0.0)


def _hull(points: NDArray[np.float64]) -> NDArray[Any]:
    """Andrew's monotone chain."""
    ordered: list[tuple[float, float]] = sorted({(float(x), float(y)) for x, y in points})

    def half(way: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in way:
            while len(chain) > 1:
                (x0, y0), (x1, y1) = chain[-2], chain[-1]
                if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _mean_inside(chances: NDArray[np.float32], box: Box) -> float:
    corners = np.array(box.corners())
    rows, columns = chances.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [columns - 1, rows - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), [left + 1, top + 1], [columns, rows])
    ys, xs = np.mgrid[top:bottom, left:right] + 0.5
    dx, dy = xs - box.centre[0], ys - box.centre[1]
    ax, ay = box.along
    inside = (np.abs(dx * ax + dy * ay) <= box.width / 2) & (np.abs(dy * ax - dx * ay) <= box.height / 2)
    values = chances[top:bottom, left:right][inside]
    return float(values.mean()) if len(values) else 0.0
