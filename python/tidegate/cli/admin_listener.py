"""Asking the admin listener of the running gateway: where it is, one answer, or an answer without end.

Used by all verbs that ask it (`status`, `top`, `logs`, `reload`, `doctor`, `completion`). What cannot be had is
`Unanswered`, with the words for the person and the exit code.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.cli import exit_codes
from tidegate.cli.terminal import complain
from tidegate.config.embedded import ADMIN_ADDRESS

ADMIN_VARIABLE: Final = "TIDEGATE_ADMIN"
TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 16 * 1024 * 1024
_SILENCE_S: Final = 60.0
"""An answer without end has an empty line at least every 15 s."""

EXIT_CODES: Final = exit_codes.describe(
    exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NO_DAEMON, exit_codes.INTERRUPTED
)
WHERE: Final = f"""\
It asks the admin listener: `--admin`, else ${ADMIN_VARIABLE}, else {ADMIN_ADDRESS}, where `tidegate serve` puts it.
A gateway with another `listen.admin` prints the address when it is ready."""


class Unanswered(Exception):
    """There is no answer that could be shown."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code

    def complain(self) -> int:
        """Says it, and returns the exit code."""
        complain(str(self))
        return self.exit_code


class NobodyThere(Unanswered):
    """No gateway answers. It may come, or come back."""

    def __init__(self, where: str, error: OSError) -> None:
        self.why = (error.strerror or str(error)).lower()
        super().__init__(
            f"no gateway answers at `{where}`: {error.strerror or error}; start one with `tidegate serve`, or name "
            "its admin listener with `--admin URL`",
            exit_codes.NO_DAEMON,
        )


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--admin", metavar="URL", help=f"its admin listener (default: http://{ADMIN_ADDRESS})")


def address(given: str | None, environ: Mapping[str, str] | None = None, configured: str | None = None) -> str:
    """Where to ask: as `given`, else as the environment says, else as `configured`, else where it is by default."""
    environ = os.environ if environ is None else environ
    return given or environ.get(ADMIN_VARIABLE) or configured or ADMIN_ADDRESS


def ask_text(where: str, path: str, timeout_s: float = TIMEOUT_S) -> str:
    """The body of a page. Raises: Unanswered."""
    try:
        with closing(_open(where, timeout_s)) as connection:
            response = _get(connection, path)
            body: str = response.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise NobodyThere(where, error) from error
    if response.status != 200:
        raise _not_ours(where, response.status, body)
    return body


def ask(where: str, path: str, must_have: str, timeout_s: float = TIMEOUT_S) -> tuple[dict[str, Any], str]:
    """A page of one JSON object, read and as it came; `must_have` is a member by which it is known for tidegate's.

    Raises: Unanswered.
    """
    text = ask_text(where, path, timeout_s)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or must_have not in found:
        raise _not_ours(where, 200, "")
    return found, text


def tell(where: str, path: str, timeout_s: float) -> tuple[int, dict[str, Any], str]:
    """Has something done: HTTP status and the one JSON object that tells how it went, read and as it came.

    Raises: Unanswered.
    """
    try:
        with closing(_open(where, timeout_s)) as connection:
            response = _request(connection, "POST", path)
            body: str = response.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise NobodyThere(where, error) from error
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "result" not in found:
        raise _not_ours(where, response.status, body)
    return response.status, found, body


def lines_of(where: str, path: str) -> Iterator[str]:
    """The lines of a page as they come; blank ones are signs of life.

    Raises: Unanswered; of it NobodyThere also when the stream breaks.
    """
    try:
        with closing(_open(where, TIMEOUT_S)) as connection:
            response = _get(connection, path)
            if response.status != 200:
                raise _not_ours(where, response.status, response.read(_MAX_BYTES).decode("utf-8", "replace"))
            if connection.sock is not None:
                connection.sock.settimeout(_SILENCE_S)
            while line := response.readline(_MAX_BYTES):
                yield line.decode("utf-8", "replace").rstrip("\n")
    except OSError as error:
        raise NobodyThere(where, error) from error


def _open(where: str, timeout_s: float) -> Any:
    """Raises: Unanswered, for what is no URL."""
    from http.client import HTTPConnection, HTTPSConnection

    try:
        parts = urlsplit(where if "://" in where else f"http://{where}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise Unanswered(f"expected a URL such as `http://{ADMIN_ADDRESS}`, got `{where}`", exit_codes.USAGE)
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return make(host, port, timeout=timeout_s)


def _get(connection: Any, path: str) -> Any:
    return _request(connection, "GET", path)


def _request(connection: Any, method: str, path: str) -> Any:
    from http.client import HTTPException

    try:
        connection.request(method, path, headers={"accept": "application/json, application/x-ndjson"})
        return connection.getresponse()
    except HTTPException as error:
        raise OSError(f"it does not speak HTTP: {error!r}") from error


def _not_ours(where: str, status: int, body: str) -> Unanswered:
    try:
        said = json.loads(body)["error"]
    except (ValueError, RecursionError, LookupError, TypeError):
        said = None
    if isinstance(said, str) and not said.startswith("nothing here"):
        return Unanswered(f"`{where}` refuses: {said}", exit_codes.FAILED)
    return Unanswered(
        f"`{where}` answered with HTTP status {status}, and not as an admin listener of tidegate does",
        exit_codes.FAILED,
    )
