"""Reads no more and answers no more."""

import time

import plain

plain.serve(lambda _: time.sleep(600))
