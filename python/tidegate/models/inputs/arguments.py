"""Arguments that several tasks take, checked. Each function raises BadInput, whose words tell what to send."""

from __future__ import annotations

from tidegate.models.task import BadInput, Json


def one_text(value: object, name: str, most_bytes: int) -> str:
    """A string that holds something."""
    if not isinstance(value, str):
        raise BadInput(f"`{name}` must be a string")
    size = _size(value, name)
    if size > most_bytes:
        raise BadInput(f"`{name}` is {size} bytes long; this model takes at most {most_bytes}")
    if not value.strip():
        raise BadInput(f"`{name}` is empty")
    return value


def several_texts(value: object, name: str, most: int, most_bytes: int) -> list[str]:
    """From one to `most` strings that hold something, `most_bytes` in all."""
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise BadInput(f"`{name}` must be a list of 1 to {most} strings")
    left = most_bytes
    for index, text in enumerate(value):
        left -= _size(one_text(text, f"{name}[{index}]", most_bytes), name)
        if left < 0:
            raise BadInput(
                f"`{name}` are more than {most_bytes} bytes long, which is all that this model takes in one call"
            )
    return value


def how_many(arguments: Json, default: int, most: int) -> int:
    """The argument `top`."""
    top = arguments.get("top", default)
    if isinstance(top, float) and top.is_integer():
        top = int(top)
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= most:
        raise BadInput(f"`top` must be a whole number from 1 to {most}")
    return top


def _size(text: str, name: str) -> int:
    """In bytes of UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise BadInput(f"`{name}` holds half of a surrogate pair, which is no character") from None
