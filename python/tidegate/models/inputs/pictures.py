"""A picture that a client sent, as rows of red, green and blue. Pillow is imported when the first one is looked at.

Six formats only: each further decoder is code that an untrusted file can attack. The size is read from the header and
bounded before anything is decoded, for a few bytes can claim a billion pixels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelMissing
from tidegate.models.runtimes.system_library import unusable
from tidegate.models.task import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

_SEND: Final = "send a PNG, JPEG, WebP, GIF, BMP or TIFF file"

_ORIENTATION: Final = 0x0112
"""Tag of EXIF: how the camera was held."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it came, its header looked at and nothing decoded: what a waiting call keeps."""

    data: bytes
    width: int
    height: int

    def decode(self) -> Image:
        """The first frame, upright, in RGB, transparent parts white. Raises: BadInput, when the file is damaged."""
        import struct

        from PIL import Image, ImageOps

        try:
            with Image.open(io.BytesIO(self.data), formats=FORMATS) as image:
                image.load()
                upright = ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image
                return _rgb(upright)
        except MemoryError:
            raise
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error):
            raise BadInput(f"`image` is damaged or cut off: {_SEND} again, whole") from None


def look_at(data: bytes, max_pixels: int) -> Picture:
    """Reads the header. Raises: BadInput, for another format or too many pixels; ModelMissing, without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ModelMissing(unusable("pillow", error, "pip install pillow")) from None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(f"`image` has far more than {max_pixels} pixels, the most: send a smaller one") from None
    except MemoryError:
        raise
    except Exception:  # each decoder has its own way to say that a header makes no sense
        raise BadInput(f"`image` is no picture of a kind that is known here: {_SEND}") from None
    if width * height > max_pixels:
        said = f"{width} x {height} pixels; {max_pixels} pixels are read at most"
        raise BadInput(f"`image` has {said}: send a smaller one, or a part of it")
    if width < 1 or height < 1:
        raise BadInput(f"`image` has no pixels: {_SEND}")
    return Picture(data, width, height)


def _rgb(image: Image) -> Image:
    from PIL import Image as Pillow

    if image.mode.startswith("I;16"):  # 16 bits a pixel: the upper half of each
        import numpy as np

        wide: Any = np.asarray(image).astype(np.uint16)
        return Pillow.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "RGB":
        return image.copy()
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Pillow.new("RGBA", over.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")
