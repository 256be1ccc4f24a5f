"""The parts between the networks that read a page: each against a slow and obvious twin."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("PIL")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tidegate.errors import ModelRefused  # noqa: E402
from tidegate.models.page.letters import Alphabet  # noqa: E402
from tidegate.models.page.order import rows  # noqa: E402
from tidegate.models.page.regions import Box, Finding, _components, _smallest_rectangle, regions  # noqa: E402
from tidegate.models.page.strips import batch, cut  # noqa: E402


def flooded(mask: Any) -> set[tuple[int, int, int, int, int]]:
    """(left, top, right, bottom, pixels) of each group of touching pixels, by flooding."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = set()
    while left:
        start = left.pop()
        group, queue = [start], deque([start])
        while queue:
            y, x = queue.popleft()
            for near in ((y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)):
                if near in left:
                    left.remove(near)
                    group.append(near)
                    queue.append(near)
        ys, xs = [y for y, _ in group], [x for _, x in group]
        found.add((min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(group)))
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_touching_pixels_are_one_region_as_by_flooding(seed: int, high: int, wide: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((high, wide)) < density
    found = set()
    for points in _components(mask, 10_000):
        quarter = len(points) // 4  # upper left corners, upper right, lower left, lower right
        size = int((points[quarter : 2 * quarter, 0] - points[:quarter, 0]).sum())
        left, top = points.min(axis=0)
        right, bottom = points.max(axis=0)
        found.add((int(left), int(top), int(right), int(bottom), size))
    assert found == flooded(mask)


@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
@settings(max_examples=100, deadline=None)
def test_the_rectangle_is_the_smallest_at_any_angle(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).random((count, 2)) * [100, 30]
    box = _smallest_rectangle(points)
    smallest = min(
        float(np.ptp(points @ [math.cos(a), math.sin(a)]) * np.ptp(points @ [-math.sin(a), math.cos(a)]))
        for a in np.linspace(0, math.pi / 2, 721)
    )
    assert box.width * box.height <= smallest + 1e-6
    assert math.hypot(*box.along) == pytest.approx(1)
    assert box.along[0] >= abs(box.along[1]) - 1e-9
    away = points - box.centre
    ax, ay = box.along
    assert (np.abs(away @ [ax, ay]) <= box.width / 2 + 1e-6).all()
    assert (np.abs(away @ [-ay, ax]) <= box.height / 2 + 1e-6).all()


@pytest.mark.parametrize("degrees", [0, 7, -20, 40])
def test_a_bar_in_the_map_becomes_a_widened_box_at_its_angle(degrees: int) -> None:
    angle = math.radians(degrees)
    ax, ay = math.cos(angle), math.sin(angle)
    ys, xs = np.mgrid[0:200, 0:300] + 0.5
    dx, dy = xs - 150, ys - 100
    bar = (np.abs(dx * ax + dy * ay) < 80) & (np.abs(dy * ax - dx * ay) < 10)
    (box,) = regions(np.where(bar, 0.9, 0.1).astype(np.float32), Finding())
    around = 160 * 20 * 1.6 / (2 * 180)
    assert box.centre == pytest.approx((150, 100), abs=1)
    assert box.width == pytest.approx(160 + 2 * around, abs=4)
    assert box.height == pytest.approx(20 + 2 * around, abs=4)
    assert math.degrees(math.atan2(box.along[1], box.along[0])) == pytest.approx(degrees, abs=1)
    assert box.score == pytest.approx(0.9, abs=0.06)


def test_specks_and_faint_regions_are_none() -> None:
    chances = np.zeros((60, 60), np.float32)
    chances[5:7, 5:7] = 0.9
    chances[20:40, 10:50] = 0.4
    assert regions(chances, Finding()) == []
    assert regions(np.zeros((60, 60), np.float32), Finding()) == []
    assert len(regions(chances, Finding(box_threshold=0.35))) == 1


def test_only_the_largest_regions_are_kept() -> None:
    chances = np.zeros((100, 100), np.float32)
    for index in range(9):
        chances[10 * index : 10 * index + 5, 0 : 10 + index] = 1
    kept = regions(chances, Finding(most=3))
    assert sorted(round(box.centre[1]) for box in kept) == [62, 72, 82]


def test_a_strip_is_what_the_box_holds_turned_straight() -> None:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).rectangle((80, 95, 119, 104), fill="red")
    turned = image.rotate(-30, Image.Resampling.BICUBIC, fillcolor="white")  # clockwise, as angles are counted here
    angle = math.radians(30)
    strip, lay = cut(turned, Box((100, 100), (math.cos(angle), math.sin(angle)), 40, 10, 1))
    assert strip.size == (40, 10)
    assert not lay
    red = np.asarray(strip, int)[2:-2, 2:-2]
    assert (red[:, :, 0] > 240).all()
    assert (red[:, :, 1:] < 30).all()


def test_a_line_that_runs_upward_is_laid_down() -> None:
    from PIL import Image

    image = Image.new("RGB", (100, 100), "white")
    image.putpixel((52, 12), (255, 0, 0))
    strip, lay = cut(image, Box((50, 50), (1, 0), 10, 80, 1))
    assert lay
    assert strip.size == (80, 10)
    assert strip.getpixel((2, 2)) == (255, 0, 0)


def test_a_box_beyond_the_edge_is_cut_at_it() -> None:
    from PIL import Image

    strip, _ = cut(Image.new("RGB", (100, 50), "black"), Box((50, 45), (1, 0), 140, 20, 1))
    assert strip.size == (100, 15)
    assert strip.getextrema() == ((0, 0), (0, 0), (0, 0))


def test_a_batch_has_blue_first_and_nothing_beyond_the_strip() -> None:
    from PIL import Image

    pixels = batch([Image.new("RGB", (20, 10), (255, 0, 0)), Image.new("RGB", (400, 10), "white")], 48, 200)
    assert pixels.shape == (2, 3, 48, 200)
    assert pixels[0, :, 0, 0].tolist() == [-1, -1, 1]
    assert not pixels[0, :, :, 96:].any()
    assert (pixels[1] == 1).all()


def columns(*likely: int, size: int = 5, space: float = 0.0) -> Any:
    """A recogniser's answer in which these characters are likely, column by column, and the space a little."""
    chances = np.full((len(likely), size), 0.001, np.float32)
    chances[:, -1] = space
    chances[np.arange(len(likely)), likely] = 0.8
    return chances


def test_letters_are_read_as_ctc_has_it() -> None:
    alphabet = Alphabet("a\nb\nc\n", 5, "probe")
    text, sure = alphabet.read(columns(0, 1, 1, 0, 1, 2, 2, 0))
    assert (text, round(sure, 3)) == ("aab", 0.8)
    assert alphabet.read(columns(0, 0, 0)) == ("", 0.0)
    assert alphabet.read(columns(1, 4, 2))[0] == "a b"


def test_a_space_is_read_where_it_is_possible_and_never_twice() -> None:
    alphabet = Alphabet("a\nb\nc\n", 5, "probe")
    assert alphabet.read(columns(1, 0, 2, space=0.1))[0] == "a b"
    assert alphabet.read(columns(1, 0, 2, space=0.005))[0] == "ab"
    assert alphabet.read(columns(1, 2, space=0.1))[0] == "ab"
    assert alphabet.read(columns(1, 0, 4, 0, 2, space=0.1))[0] == "a b"


def test_an_alphabet_of_another_size_refuses_the_model() -> None:
    with pytest.raises(ModelRefused, match="`probe` gives 7 characters and names 3"):
        Alphabet("a\nb\nc", 7, "probe")


def box(x: float, y: float) -> Box:
    return Box((x, y), (1, 0), 80, 20, 1)


def test_lines_are_read_from_the_top_and_from_the_left() -> None:
    lines = [(box(300, 12), 0), (box(50, 50), 0), (box(100, 10), 0), (box(200, 55), 0)]
    assert rows(lines) == [[2, 0], [1, 3]]
    assert rows([]) == []


@pytest.mark.parametrize("degrees", [-8, 8])
def test_a_page_that_lies_askew_has_its_rows(degrees: int) -> None:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    upright = [(100, 10), (500, 10), (900, 10), (100, 50), (500, 50), (900, 50)]
    lines = [(Box((x * c - y * s, x * s + y * c), (c, s), 80, 20, 1), 0) for x, y in upright]
    assert rows(lines) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_order_does_not_depend_on_how_the_page_lies(quarters: int) -> None:
    upright = [(100, 10), (300, 12), (50, 50), (200, 55)]
    turned = []
    for x, y in upright:
        for _ in range(quarters):
            x, y = -y, x  # the page turned to the right, so that its lines must be turned to the left
        turned.append((Box((x, y), (1, 0), *((80, 20) if quarters % 2 == 0 else (20, 80)), 1), quarters))
    assert rows(turned) == [[0, 1], [2, 3]]
