"""Closes its stdout (1) or its stdin (0) and goes on running."""

import os
import sys
import time

import plain


def close(message_id: object) -> None:
    if sys.argv[1] == "0":
        plain.write(plain.text(message_id, "closing"))
    os.close(int(sys.argv[1]))
    while True:
        time.sleep(600)


plain.serve(close)
