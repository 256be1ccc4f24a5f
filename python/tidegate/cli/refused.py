"""Why an action on the configuration ended, in words with a way out."""

from __future__ import annotations

from tidegate.cli import exit_codes


class Refused(Exception):
    """It cannot be done, and nothing was changed."""

    def __init__(self, text: str, exit_code: int = exit_codes.FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
