"""Takes more and more memory, in a process of its own that leaves its session."""

import os
import time

import plain

STEP_BYTES = 16 << 20


def grow(message_id: object) -> None:
    if os.fork() == 0:
        os.setsid()
        held = []
        for number in range(64):
            held.append(bytes([number]) * STEP_BYTES)
            time.sleep(0.02)
        time.sleep(600)


plain.serve(grow)
