"""Answers with the descriptors it was given."""

import contextlib
import os

import plain


def show(message_id: object) -> None:
    found = []
    for number in range(256):
        with contextlib.suppress(OSError):
            os.fstat(number)
            found.append(str(number))
    plain.write(plain.text(message_id, " ".join(found)))


plain.serve(show)
