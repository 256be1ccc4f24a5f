"""What servers answer with, for a person: text is printed, everything else becomes a file whose name is announced.

Bytes never reach a terminal. Names of files are made here, from harmless characters; an existing file is never
written over, and a link is never followed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from tidegate.cli.terminal import complain, is_person, json_text, one_line, print_text, say

_EXTENSIONS: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/json": ".json",
    "text/html": ".html",
    "text/plain": ".txt",
    "video/mp4": ".mp4",
}
_MAX_NAME_CHARS: Final = 80
_MAX_TRIES: Final = 10_000


class Shelf:
    """Where the files of one command go."""

    def __init__(self, directory: str | None, stem: str) -> None:
        self._directory = Path(directory if directory is not None else ".")
        self._stem = stem
        self.failed = False
        """Something could not be decoded or written."""

    def keep(self, data: str, mime_type: object, name: str | None = None) -> None:
        """Writes Base64 `data` as a file of its own and says so on stderr."""
        kind = mime_type if isinstance(mime_type, str) else "application/octet-stream"
        try:
            raw = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            complain(f"{one_line(kind)} content is no Base64; it is left out")
            self.failed = True
            return
        try:
            path = self._write(raw, safe_name(name or self._stem, kind))
        except OSError as error:
            complain(f"`{error.filename or self._directory}` cannot be written: {error.strerror}")
            self.failed = True
            return
        say(f"saved {one_line(kind)}, {len(raw):,} bytes: {path}")

    def _write(self, raw: bytes, name: str) -> Path:
        self._directory.mkdir(parents=True, exist_ok=True)
        plain = Path(name)
        for number in range(1, _MAX_TRIES):
            path = self._directory / (name if number == 1 else f"{plain.stem}-{number}{plain.suffix}")
            try:
                # Exclusive creation fails on whatever is there, a dangling link included.
                with path.open("xb") as file:
                    file.write(raw)
                return path
            except FileExistsError:
                continue
        raise FileExistsError(17, "too many files of that name", str(self._directory / name))


def safe_name(name: str, mime_type: str) -> str:
    """A plain file name from a tool's name or a resource's URI, with an extension that fits."""
    last = re.split(r"[/\\]", unquote(name).rstrip("/\\"))[-1]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip("._-")[-_MAX_NAME_CHARS:].lstrip("._-") or "content"
    extension = _EXTENSIONS.get(mime_type.partition(";")[0].strip().lower())
    known = Path(plain).suffix
    if extension is None:
        return plain if known else f"{plain}.bin"
    return plain if known.lower() == extension or (known.lower(), extension) == (".jpeg", ".jpg") else plain + extension


def print_tool_result(result: dict[str, Any], shelf: Shelf) -> None:
    """The content of a `tools/call` result: on stdout, or on stderr when the tool says that it failed."""
    failed = result.get("isError") is True
    content = result.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for block in blocks:
        print_block(block, shelf, failed=failed)
    has_text = any(block.get("type") == "text" for block in blocks)
    if "structuredContent" in result and not has_text:
        _put(json_text(json.dumps(result["structuredContent"], indent=2, ensure_ascii=False)), failed=failed)
    elif not blocks:
        say("It answered with nothing.")


def print_block(block: dict[str, Any], shelf: Shelf, *, failed: bool = False) -> None:
    """One content block."""
    kind = block.get("type")
    if kind == "text":
        _put(str(block.get("text", "")), failed=failed)
    elif kind in ("image", "audio"):
        shelf.keep(str(block.get("data", "")), block.get("mimeType"))
    elif kind == "resource" and isinstance(block.get("resource"), dict):
        resource = block["resource"]
        if isinstance(resource.get("blob"), str):
            shelf.keep(resource["blob"], resource.get("mimeType"), str(resource.get("uri", "")))
        else:
            _put(str(resource.get("text", "")), failed=failed)
    elif kind == "resource_link":
        words = [str(block.get("uri", "")), str(block.get("title") or block.get("name") or "")]
        _put("  ".join(one_line(word) for word in words if word), failed=failed)
    else:
        say(f"content of type `{kind}` is left out; `--json` shows it")


def print_resource(contents: list[dict[str, Any]], directory: str | None, shelf: Shelf) -> None:
    """The contents of a resource. One that is bytes goes to stdout as it is where that is a file or a pipe."""
    for item in contents:
        blob = item.get("blob")
        if not isinstance(blob, str):
            print_text(str(item.get("text", "")))
        elif len(contents) == 1 and directory is None and not is_person(sys.stdout):
            try:
                raw = base64.b64decode(blob, validate=True)
            except (binascii.Error, ValueError):
                complain("the content is no Base64")
                shelf.failed = True
                return
            sys.stdout.flush()
            sys.stdout.buffer.write(raw)
            sys.stdout.buffer.flush()
        else:
            shelf.keep(blob, item.get("mimeType"), str(item.get("uri", "")))


def _put(text: str, *, failed: bool) -> None:
    if failed:
        say(text)
    else:
        print_text(text)
