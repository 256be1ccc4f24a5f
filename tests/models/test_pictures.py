"""Pictures as they are sent: six formats, upright, in RGB, and no more pixels than are allowed."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest

from tidegate.models.inputs.pictures import FORMATS, look_at
from tidegate.models.task import BadInput

np = pytest.importorskip("numpy")
pytest.importorskip("PIL")


def saved(image: Any, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def halves(size: tuple[int, int] = (64, 48)) -> Any:
    """Left half red, right half blue."""
    from PIL import Image

    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return image


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG file of a few bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_six_formats_are_read(kind: str) -> None:
    picture = look_at(saved(halves(), kind), 10_000)
    assert (picture.width, picture.height) == (64, 48)
    pixels = np.asarray(picture.decode(), int)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[20, 10] - [255, 0, 0]).max() < 12
    assert np.abs(pixels[20, 50] - [0, 0, 255]).max() < 12


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "PDF", "EPS"])
def test_other_formats_are_told_what_to_send(kind: str) -> None:
    with pytest.raises(BadInput, match="no picture of a kind that is known here: send a PNG, JPEG"):
        look_at(saved(halves(), kind), 10_000)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0" + bytes(20), b"RIFF\0\0\0\0WEBP"]
)
def test_what_is_no_picture_is_told_so(data: bytes) -> None:
    with pytest.raises(BadInput, match="no picture of a kind that is known here"):
        look_at(data, 10_000)


@pytest.mark.parametrize("side", [5_000, 12_000, 20_000, 2**31 - 1])
def test_a_picture_of_more_pixels_than_allowed_is_never_decoded(side: int) -> None:
    with pytest.raises(BadInput, match=r"pixels.*: send a smaller one"):
        look_at(png(side, side), 24_000_000)


def test_a_picture_with_fewer_bytes_than_it_claims_is_damaged() -> None:
    with pytest.raises(BadInput, match="`image` is damaged or cut off"):
        look_at(png(1000, 1000, b"\0" * 50), 24_000_000).decode()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_cut_off_is_damaged_and_nothing_else(kind: str) -> None:
    """Wherever it is cut."""
    whole = saved(halves((200, 160)), kind)
    for size in range(0, len(whole) - 16, max(1, len(whole) // 60)):
        try:
            look_at(whole[:size], 1_000_000).decode()
        except BadInput:
            continue


def test_a_camera_held_sideways_makes_no_difference() -> None:
    from PIL import Image

    for orientation, turn in ((1, None), (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        shown = halves() if turn is None else halves().transpose(turn)
        upright = look_at(saved(shown, "JPEG", exif=exif, quality=95), 10_000).decode()
        assert upright.size == (64, 48)
        pixels = np.asarray(upright)
        assert pixels[20, 5, 0] > 200
        assert pixels[20, 60, 2] > 200


def test_what_is_transparent_is_white() -> None:
    from PIL import Image

    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.putpixel((1, 1), (255, 0, 0, 255))
    seen = look_at(saved(clear), 100).decode()
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    assert seen.getpixel((1, 1)) == (255, 0, 0)
    by_palette = Image.new("P", (4, 4), 0)
    by_palette.putpalette([0, 0, 0, 255, 0, 0])
    assert look_at(saved(by_palette, "GIF", transparency=0), 100).decode().getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("mode", "colour", "seen"), [("1", 1, 255), ("L", 90, 90), ("I;16", 0x5A00, 90)])
def test_gray_and_deep_pictures_keep_their_brightness(mode: str, colour: int, seen: int) -> None:
    from PIL import Image

    assert look_at(saved(Image.new(mode, (4, 4), colour)), 100).decode().getpixel((2, 2)) == (seen, seen, seen)


def test_of_a_moving_picture_the_first_is_seen() -> None:
    from PIL import Image

    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert look_at(data, 100).decode().getpixel((4, 4)) == (255, 0, 0)
