"""Uses as much CPU time as it gets, in a process that leaves the session; the child itself goes on serving."""

import os

import plain


def burn(message_id: object) -> None:
    if os.fork() == 0:
        os.setsid()
        while True:
            pass
    plain.write(plain.text(message_id, "burning"))


plain.serve(burn)
