"""Is stopped (SIGSTOP), as by a debugger."""

import os
import signal

import plain

plain.serve(lambda _: os.kill(os.getpid(), signal.SIGSTOP))
