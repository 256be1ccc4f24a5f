"""A gateway as a process, with `fake_models.py` behind it, and plain HTTP to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from daemon_process import daemon

_HERE = Path(__file__).resolve().parent
MODELS = """
[openai]
models = { "gpt-*" = "chat", embedder = "embed", secret = "secret_chat", gone = "missing" }
"""
LIMITS = """
[limits]
body_bytes = 100000
result_bytes = 8388608
write_buffer_bytes = 65536
drain_s = 0.2
"""


@dataclass
class House:
    """A running gateway."""

    folder: Path
    url: str
    """Without a path."""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def stopped(self) -> list[str]:
        """What the server was told to stop."""
        file = self.folder / "stopped"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the JSON of the body. `body`: bytes as they are, or a JSON value."""
        connection = HTTPConnection(*self.address, timeout=20)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"content-type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            told = answer.read()
            known = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, known, json.loads(told) if told else None
        finally:
            connection.close()

    def say(self, text: str, **more: Any) -> tuple[int, dict[str, str], Any]:
        """One message of a chat."""
        messages = [{"role": "user", "content": text}]
        return self.ask("POST", "/v1/chat/completions", {"model": "gpt-x", "messages": messages, **more})


@contextmanager
def house(folder: Path, more: str) -> Iterator[House]:
    command = json.dumps([sys.executable, "-I", "-S", str(_HERE / "fake_models.py"), str(folder / "stopped")])
    config = folder / "tidegate.toml"
    config.write_text(f'[backends.fake]\nprefix = ""\ncommand = {command}\n{LIMITS}{more}', encoding="utf-8")
    with daemon(folder, config) as process:
        yield House(folder, process.ready["http"][0].removesuffix("/mcp"))
