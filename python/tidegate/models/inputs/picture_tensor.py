"""A picture as numbers in the shape that a network was trained with: every manifest says its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidegate.models.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

FITS = ("stretch", "crop", "pad")
ORDERS = ("rgb", "bgr", "gray")
LAYOUTS = ("nchw", "nhwc")
MAX_SIDE = 4096
"""Pixels."""


@dataclass(frozen=True, slots=True)
class PictureTensor:
    """What is done to a picture: brought to a size, its channels put in order, each value scaled."""

    width: int
    height: int
    fit: str
    """stretch: to the size, whatever the proportions; crop: the middle, nothing added; pad: all of it, from the upper
    left, the rest 0.
    """
    order: str
    layout: str
    dtype: str
    scale: float
    """What a value from 0 to 255 is divided by first."""
    mean: tuple[float, ...]
    """Taken off then, by channel."""
    std: tuple[float, ...]
    """And divided by this."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture, without the batch."""
        channels = 1 if self.order == "gray" else 3
        return (channels, self.height, self.width) if self.layout == "nchw" else (self.height, self.width, channels)

    def numbers(self, image: Image) -> NDArray[Any]:
        """Of one picture in RGB, in `shape`."""
        import numpy as np

        fitted = self._fitted(image)
        pixels: NDArray[Any] = np.asarray(fitted.convert("L") if self.order == "gray" else fitted, np.float32)
        pixels = pixels[:, :, None] if self.order == "gray" else pixels[:, :, ::-1] if self.order == "bgr" else pixels
        values = pixels / self.scale
        values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        if values.shape[:2] != (self.height, self.width):
            beyond = ((0, self.height - values.shape[0]), (0, self.width - values.shape[1]), (0, 0))
            values = np.pad(values, beyond)
        if self.layout == "nchw":
            values = values.transpose(2, 0, 1)
        if self.dtype in ("uint8", "int8"):
            limits = np.iinfo(self.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return np.ascontiguousarray(values, dtype=self.dtype)

    def _fitted(self, image: Image) -> Image:
        from PIL import Image as Pillow

        way = Pillow.Resampling.BILINEAR
        if self.fit == "stretch":
            return image.resize((self.width, self.height), way)
        across, down = self.width / image.width, self.height / image.height
        if self.fit == "pad":
            factor = min(across, down)
            size = (round(image.width * factor), round(image.height * factor))
            return image.resize((max(1, min(self.width, size[0])), max(1, min(self.height, size[1]))), way)
        factor = max(across, down)
        wide, high = self.width / factor, self.height / factor
        left, top = (image.width - wide) / 2, (image.height - high) / 2
        return image.resize((self.width, self.height), way, box=(left, top, left + wide, top + high))


def picture_tensor(settings: Settings) -> PictureTensor:
    """Reads the settings. Raises: ModelRefused."""
    order = settings.choice("channels", ORDERS, "rgb")
    dtype = settings.choice("dtype", ("float32", "float16", "uint8", "int8"), "float32")
    count = 1 if order == "gray" else 3
    whole = dtype in ("uint8", "int8")
    return PictureTensor(
        width=settings.whole("width", 224, low=1, high=MAX_SIDE),
        height=settings.whole("height", 224, low=1, high=MAX_SIDE),
        fit=settings.choice("fit", FITS, "crop"),
        order=order,
        layout=settings.choice("layout", LAYOUTS, "nchw"),
        dtype=dtype,
        scale=settings.number("scale", 1.0 if whole else 255.0, low=1e-6, high=1e6),
        mean=settings.numbers("mean", (0.0,) * count, low=-1e6, high=1e6),
        std=settings.numbers("std", (1.0,) * count, low=1e-6, high=1e6),
    )
