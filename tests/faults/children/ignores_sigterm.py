"""Neither the end of its stdin nor SIGTERM makes it leave."""

import signal

import plain

signal.signal(signal.SIGTERM, signal.SIG_IGN)
plain.serve(lambda message_id: plain.write(plain.text(message_id, "no")))
while True:
    signal.pause()
