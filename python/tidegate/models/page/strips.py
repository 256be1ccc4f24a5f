"""Lines of text cut out of a picture, each straight and of one height, as a network takes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tidegate.models.page.regions import Box

_UPRIGHT = 1.5
"""A line this many times higher than wide is one that runs upward or downward."""


def cut(page: Image.Image, box: Box) -> tuple[Image.Image, bool]:
    """The strip, and whether it was turned a quarter to the left to lie."""
    width, height = max(1, round(box.width)), max(1, round(box.height))
    (ax, ay), (left, top) = box.along, box.corners()[0]
    if abs(ay) * max(width, height) < 1:  # straight to within a pixel
        edges = (round(left), round(top), round(left) + width, round(top) + height)
        kept = (max(0, edges[0]), max(0, edges[1]), min(page.width, edges[2]), min(page.height, edges[3]))
        strip = page.crop(kept if kept[0] < kept[2] and kept[1] < kept[3] else edges)
    else:
        steps, way, white = (ax, -ay, left, ay, ax, top), Image.Transform.AFFINE, (255, 255, 255)
        strip = page.transform((width, height), way, steps, Image.Resampling.BICUBIC, fillcolor=white)
    if strip.height >= _UPRIGHT * strip.width:
        return strip.transpose(Image.Transpose.ROTATE_90), True
    return strip, False


def scaled_width(strip: Image.Image, height: int, most: int) -> int:
    """How wide it is at that height, no wider than `most`."""
    return max(1, min(most, math.ceil(strip.width * height / strip.height)))


def batch(strips: Sequence[Image.Image], height: int, width: int) -> NDArray[np.float32]:
    """Blue, green and red from -1 to 1, by strip, colour, row, column; what is right of a strip is 0."""
    out = np.zeros((len(strips), 3, height, width), np.float32)
    for index, strip in enumerate(strips):
        own = scaled_width(strip, height, width)
        pixels = np.asarray(strip.resize((own, height), Image.Resampling.BILINEAR), np.float32)
        out[index, :, :, :own] = pixels[:, :, ::-1].transpose(2, 0, 1) / 127.5 - 1
    return out
