"""Its processes replace themselves, for some 10 s: each starts the next one, in a session of its own, and leaves."""

import os
import time

import plain

WIDTH = 4


def run_away(message_id: object) -> None:
    for _ in range(WIDTH):
        if os.fork() == 0:
            os.setsid()
            os.close(0)
            for _ in range(5000):
                time.sleep(0.002)
                if os.fork():
                    os._exit(0)
    plain.write(plain.text(message_id, "running"))


plain.serve(run_away)
