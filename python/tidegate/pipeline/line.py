"""A message as one line: the framing of the stdio binding, for both directions."""

from __future__ import annotations


def one_line(message: bytes) -> bytes:
    """`message` and a newline. A pretty-printed JSON text is folded: its newlines stand outside strings."""
    if b"\n" in message or b"\r" in message:
        message = message.replace(b"\n", b" ").replace(b"\r", b" ")
    return message + b"\n"
