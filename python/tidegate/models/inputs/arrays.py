"""Arrays as they stand in a call and in an answer: `{"dtype", "shape", "data"}` with numbers, or `"base64"` with the
bytes of the elements, row by row, little end first.

Sizes are checked before anything is allocated for them. numpy is imported when the first array is read.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any, Final

from tidegate.models.task import BadInput, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

WIDTHS: Final = {
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "bool": 1,
    "string": 0,
}
"""Bytes of one element, of every kind of array that can be sent."""

DIMENSIONS: Final = 16
SHOWN: Final = 4096
"""Elements up to which an answer spells numbers out, unless it is asked for otherwise."""
MOST_SHOWN: Final = 262_144
"""Elements up to which it can be asked to."""
STRING_BYTES: Final = 64
"""What an element of text is reckoned to take besides its letters."""


def read_array(value: object, name: str, dtype: str, most_bytes: int) -> Array:
    """`dtype`: what the model declares; empty when that is not known yet. Raises: BadInput."""
    import numpy as np

    if not isinstance(value, dict):
        raise BadInput(f"`{name}` must be an object with `dtype`, `shape` and `data` or `base64`")
    kind = value.get("dtype", dtype)
    if not isinstance(kind, str) or kind not in WIDTHS:
        raise BadInput(f"`{name}`: `dtype` must be one of {', '.join(WIDTHS)}")
    shape = _shape(value["shape"], name) if "shape" in value else None
    if "base64" in value:
        if "data" in value:
            raise BadInput(f"`{name}` must have `data` or `base64`, not both")
        return _from_bytes(np, value["base64"], name, kind, shape, most_bytes)
    if "data" not in value:
        raise BadInput(f"`{name}` must have `data` or `base64`")
    data = value["data"]
    nested = _measured(data, name)
    if shape is None:
        shape = nested
    elif shape != nested and len(nested) != 1:
        raise BadInput(f"`{name}`: `data` has the shape {list(nested)}; `shape` says {list(shape)}")
    _check_bytes(shape, WIDTHS[kind] or STRING_BYTES, name, most_bytes)
    count = math.prod(shape)
    flat: list[Any] = [data] if not isinstance(data, list) else _flattened(data, nested, name)
    if len(flat) != count:
        raise BadInput(f"`{name}`: `shape` {list(shape)} wants {count} elements; `data` has {len(flat)}")
    return _from_elements(np, flat, name, kind, most_bytes).reshape(shape)


def write_array(array: Array, encoding: str) -> Json:
    """`encoding`: `numbers`, `base64`, or `auto` for numbers where they are few and JSON can spell them."""
    import numpy as np

    text = array.dtype.kind in "OUS"
    dtype = "string" if text else str(array.dtype)
    shown: Json = {"dtype": dtype, "shape": list(array.shape)}
    spellable = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    if text or (spellable and (encoding == "numbers" or (encoding == "auto" and array.size <= SHOWN))):
        shown["data"] = _spelled(np, array, text)
    else:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        shown["base64"] = base64.b64encode(np.ascontiguousarray(little).tobytes()).decode()
    return shown


def _shape(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > DIMENSIONS:
        raise BadInput(f"`{name}`: `shape` must be a list of at most {DIMENSIONS} sizes")
    for size in value:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 40:
            raise BadInput(f"`{name}`: `shape` must hold whole numbers from 0")
    return tuple(value)


def _check_bytes(shape: tuple[int, ...], width: int, name: str, most: int) -> None:
    """An empty array must not have other sizes beyond reason either: libraries multiply them."""
    size = math.prod(max(1, size) for size in shape) * width
    if size > most:
        raise BadInput(f"`{name}` has {size} bytes; this model takes at most {most}")


def _from_bytes(np: Any, value: object, name: str, kind: str, shape: tuple[int, ...] | None, most_bytes: int) -> Array:
    if kind == "string":
        raise BadInput(f"`{name}`: text must be sent as `data`")
    if shape is None:
        raise BadInput(f"`{name}`: `base64` needs a `shape`")
    _check_bytes(shape, WIDTHS[kind], name, most_bytes)
    size = math.prod(shape) * WIDTHS[kind]
    if not isinstance(value, str) or len(value) > 4 * (size // 3 + 2):
        raise BadInput(
            f"`{name}`: `base64` must be a string for {size} bytes, which is what `shape` and `dtype` come to"
        )
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"`{name}`: `base64` is not Base64") from None
    if len(raw) != size:
        raise BadInput(f"`{name}`: `base64` holds {len(raw)} bytes; `shape` and `dtype` come to {size}")
    if kind == "bool" and raw.strip(b"\0\1"):
        raise BadInput(f"`{name}`: a byte of bool must be 0 or 1")
    stored = np.dtype(kind).newbyteorder("<")
    array: Array = np.frombuffer(raw, dtype=stored).astype(kind).reshape(shape)
    return array


def _measured(data: object, name: str) -> tuple[int, ...]:
    """The shape of nested lists, by their first elements; whether the others agree shows when they are flattened."""
    sizes: list[int] = []
    while isinstance(data, list):
        sizes.append(len(data))
        if len(sizes) > DIMENSIONS:
            raise BadInput(f"`{name}`: `data` is nested deeper than {DIMENSIONS}")
        if not data:
            break
        data = data[0]
    return tuple(sizes)


def _flattened(data: list[Any], sizes: tuple[int, ...], name: str) -> list[Any]:
    for size in sizes[1:]:
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise BadInput(f"`{name}`: `data` is ragged: lists side by side must be equally long")
        data = [element for part in data for element in part]
    return data


def _from_elements(np: Any, flat: list[Any], name: str, kind: str, most_bytes: int) -> Array:
    array: Array
    if kind == "string":
        if not all(isinstance(element, str) for element in flat):
            raise BadInput(f"`{name}`: elements must be strings")
        _check_bytes((sum(len(element) * 4 + STRING_BYTES for element in flat),), 1, name, most_bytes)
        array = np.array(flat, dtype=object)
        return array
    if kind == "bool":
        if not all(isinstance(element, bool) for element in flat):
            raise BadInput(f"`{name}`: elements must be true or false")
        array = np.array(flat, dtype=bool)
        return array
    if not all(isinstance(element, int | float) and not isinstance(element, bool) for element in flat):
        raise BadInput(f"`{name}`: elements must be numbers")
    whole = kind.startswith(("int", "uint"))
    if whole:
        if not all(isinstance(element, int) or element.is_integer() for element in flat):
            raise BadInput(f"`{name}`: elements of {kind} must be whole numbers")
        flat = [int(element) for element in flat]
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=kind)
    except OverflowError:
        raise BadInput(f"`{name}`: an element does not fit into {kind}") from None
    if not whole and not np.isfinite(array).all():
        raise BadInput(f"`{name}`: an element does not fit into {kind}; send what is not finite as `base64`")
    return array


def _spelled(np: Any, array: np.ndarray[Any, Any], text: bool) -> Any:
    """Nested lists, floats with no more digits than they have."""
    if text:
        return array.astype(object).tolist()
    if array.dtype in (np.float16, np.float32):
        return (
            np.array([float(str(element)) for element in array.ravel()], dtype=np.float64).reshape(array.shape).tolist()
        )
    return array.tolist()
