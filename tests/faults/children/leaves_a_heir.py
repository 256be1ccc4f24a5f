"""Is gone, while a process that it started, in a session of its own, holds all its pipes open."""

import os
import time

import plain


def leave(message_id: object) -> None:
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(600)
    os._exit(5)


plain.serve(leave)
