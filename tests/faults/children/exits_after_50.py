"""Serves 50 calls, and leaves with the 51st."""

import itertools
import os

import plain

calls = itertools.count(1)


def count() -> None:
    if next(calls) > 50:
        os._exit(7)


plain.serve(lambda message_id: plain.write(plain.text(message_id, "no")), count)
