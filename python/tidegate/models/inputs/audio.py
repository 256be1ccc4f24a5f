"""A WAV file as samples that a model takes: one channel, float32 from -1 to 1, at the model's rate.

Only WAV: it needs no decoder of compressed sound, which would be the most dangerous code in the worker. numpy is
imported when the first file is decoded. RIFF/WAVE as in Microsoft's and IBM's 1991 specification, with
WAVE_FORMAT_EXTENSIBLE.
"""

from __future__ import annotations

import struct
from math import gcd
from typing import TYPE_CHECKING, Any, Final

from tidegate.models.task import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE

MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 384_000
MAX_CHANNELS: Final = 8

_ZERO_CROSSINGS: Final = 16
"""Of the resampling filter, on each side: more is sharper and slower. 16 leaves no alias above -60 dB."""

_UNKNOWN_BYTES: Final = 1 << 30
"""From here on, a length is what is written by those that do not know it yet: `sox` and `arecord` write some 2 GiB,
`ffmpeg` 0xFFFFFFFF. Nothing that large is ever sent."""

_SEND: Final = (
    "send a WAV file (PCM of 8, 16, 24 or 32 bits, or float), for instance `sox IN -r 16000 -c 1 -b 16 OUT.wav`"
)

_KNOWN: Final = (
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC"),
    (b"ID3", "MP3"),
    (b"\xff\xfb", "MP3"),
    (b"\xff\xf3", "MP3"),
    (b"\x1aE\xdf\xa3", "WebM"),
    (b"FORM", "AIFF"),
    (b".snd", "AU"),
    (b"caff", "CAF"),
)


def decode_wav(data: bytes, rate_hz: int, max_s: float) -> NDArray[np.float32]:
    """All channels mixed, resampled to `rate_hz`. Raises: BadInput, when it is no WAV, or longer than `max_s`."""
    import numpy as np

    kind, channels, rate, bits, body = _chunks(data)
    width = bits // 8
    frames = len(body) // (width * channels)
    if frames == 0:
        raise BadInput("`audio` is a WAV file without sound: send one with samples in it")
    if frames > max_s * rate:
        raise BadInput(f"`audio` lasts {frames / rate:.0f} s and may last {max_s:.0f} s: send it in parts")
    raw = body[: frames * width * channels]
    samples: NDArray[Any]
    if kind == _FLOAT:
        samples = np.nan_to_num(np.frombuffer(raw, "<f4" if width == 4 else "<f8").astype(np.float32), copy=False)
        np.clip(samples, -1.0, 1.0, out=samples)
    elif width == 1:
        samples = np.frombuffer(raw, np.uint8).astype(np.float32)
        samples -= 128
        samples /= 128
    elif width == 3:
        wide = np.zeros((frames * channels, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(np.float32)
        samples /= 2**31
    else:
        samples = np.frombuffer(raw, f"<i{width}").astype(np.float32)
        samples /= 2 ** (bits - 1)
    mono = samples if channels == 1 else samples.reshape(-1, channels).mean(axis=1)
    return np.ascontiguousarray(_resample(mono, rate, rate_hz), dtype=np.float32)


def _chunks(data: bytes) -> tuple[int, int, int, int, memoryview]:
    """(format, channels, rate, bits, samples) of a WAV file whose header makes sense."""
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        named = next((name for magic, name in _KNOWN if data.startswith(magic)), None)
        if named is None and data[4:8] == b"ftyp":
            named = "MP4"
        said = f"is {named}, which is not decoded here" if named else "is no sound file that is known here"
        raise BadInput(f"`audio` {said}: {_SEND}")
    view, at, header = memoryview(data), 12, None
    while at + 8 <= len(data):
        tag, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        start, end = at + 8, min(at + 8 + size, len(data))
        if tag == b"fmt ":
            header = _format(view[start:end])
        elif tag == b"data":
            if header is None:
                break
            if size == 0 and data[4:8] in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
                # Who streams knows no length of the file, either.
                end = len(data)
            _, channels, rate, bits = header
            a_second = channels * rate * bits // 8
            # Some count the header as well, or all of the last buffer.
            if end - start + max(start, a_second // 10) < size < _UNKNOWN_BYTES:
                raise BadInput(
                    f"`audio` is cut off: its header says {size / a_second:.2f} s, and "
                    f"{(end - start) / a_second:.2f} s are there; send the whole file"
                )
            return (*header, view[start:end])
        at = start + size + (size & 1)
    raise BadInput(f"`audio` is a damaged WAV file, without a header or samples: {_SEND}")


def _format(chunk: memoryview) -> tuple[int, int, int, int]:
    if len(chunk) < 16:
        raise BadInput(f"`audio` is a damaged WAV file, with a header that is cut off: {_SEND}")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        kind = struct.unpack_from("<H", chunk, 24)[0]
    if (kind, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)):
        raise BadInput(f"`audio` is a WAV file with samples of the kind {kind} and {bits} bits: {_SEND}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadInput(f"`audio` has {channels} channels and may have up to {MAX_CHANNELS}: {_SEND}")
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise BadInput(f"`audio` has {rate} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} can be read: {_SEND}")
    return kind, channels, rate, bits


def _resample(samples: NDArray[Any], rate: int, wanted: int) -> NDArray[Any]:
    """Band-limited: each output sample is the sum of the input around it, weighted by a windowed sinc.

    The weights repeat after `wanted / gcd` outputs, so one row of them serves every output of its phase.
    """
    import numpy as np

    if rate == wanted:
        return samples
    divisor = gcd(rate, wanted)
    up, down = wanted // divisor, rate // divisor
    if up > 2000:  # odd rates, such as 11024: the nearest of 1/1000 steps, 0.05 % off at most
        up = 1000
        down = max(1, round(rate / wanted * up))
    cut = min(1.0, up / down)
    reach = int(np.ceil(_ZERO_CROSSINGS / cut))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    count = (len(samples) * up + down - 1) // down
    padded = np.pad(samples.astype(np.float32), (reach, reach + 2 * down))
    result = np.empty(count, np.float32)
    for phase in range(min(up, count)):
        whole, part = divmod(phase * down, up)
        distance = offsets - part / up
        weights = cut * np.sinc(distance * cut) * np.cos(np.pi * distance / (2 * (reach + 1))) ** 2
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)[whole::down]
        target = result[phase::up]
        target[:] = windows[: len(target)] @ weights.astype(np.float32)
    return result
