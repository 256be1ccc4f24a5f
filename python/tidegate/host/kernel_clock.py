"""Asks the kernel whether somebody disciplines its clock (adjtimex(2), read-only).

True for every time daemon alike (timesyncd, chrony, ntpd, PTP), which is why it is asked before any file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STA_UNSYNC: Final = 0x0040
"""linux/timex.h: the clock is not synchronised."""


@dataclass(frozen=True, slots=True)
class KernelClock:
    synchronised: bool
    max_error_s: float


def read_kernel_clock() -> KernelClock | None:
    """None where the call is missing or forbidden (some container profiles)."""
    try:
        import ctypes  # a megabyte an idle daemon need not carry

        class Timex(ctypes.Structure):
            _fields_ = [
                ("modes", ctypes.c_uint),
                ("offset", ctypes.c_long),
                ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long),
                ("esterror", ctypes.c_long),
                ("status", ctypes.c_int),
                ("rest", ctypes.c_char * 512),  # more than any libc's struct timex
            ]

        timex = Timex()
        if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
            return None
        status, error_us = int(timex.status), int(timex.maxerror)
    except (ImportError, OSError, AttributeError):
        return None
    return KernelClock(not status & STA_UNSYNC, error_us / 1e6)
