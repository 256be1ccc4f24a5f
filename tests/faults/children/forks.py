"""Starts many processes: some in its group, some in groups or sessions of their own, some orphaned at once.

All ignore SIGTERM and SIGHUP. Then it answers how many there are. With `dies` it exits right after that.
"""

import os
import signal
import sys
import time

import plain

COUNT = 200


def wait_for_ever() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.close(0)
    while True:
        time.sleep(600)


def multiply(message_id: object) -> None:
    for number in range(COUNT):
        if os.fork() == 0:
            way = number % 4
            if way == 1:
                os.setsid()
            elif way == 2:
                os.setpgid(0, 0)
            elif way == 3:
                os.setsid()
                if os.fork():
                    os._exit(0)
            wait_for_ever()
    plain.write(plain.text(message_id, str(COUNT)))
    if "dies" in sys.argv:
        os._exit(3)


plain.serve(multiply)
