"""A model for tests of the worker: it computes nothing, and goes wrong in every way it is asked to.

Also a program: `python toy_model.py` is a worker that knows the task `toy`.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models import catalogue
from tidegate.models.inputs.binary import NeedsResource
from tidegate.models.manifest import ModelManifest
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool
from tidegate.models.worker.assignment import Assignment, ModelEntry
from tidegate.models.worker.worker import Worker

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
WAIT_S = 20.0
"""For anything that is sure to come."""


class Toy:
    """`echo` says what it was told; further arguments say how."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        self.manifest = manifest
        self.place = place
        self.batches: list[list[str]] = []
        """What was computed together."""
        self.loads: list[int] = []
        """With so many threads."""
        self.unloads = 0
        self.threads: set[int] = set()
        self.gate = threading.Event()
        """Calls with `wait` are at it until this is set."""
        self.begun = threading.Semaphore(0)
        """Released as each of these begins."""
        self.kept: list[bytes] = []
        if manifest.settings.get("senseless"):
            raise ModelRefused(f"model `{manifest.name}` is refused: senseless")

    @property
    def tools(self) -> tuple[Tool, ...]:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        return (Tool("echo", "Echo", "Says the same", schema, {"type": "object"}),)

    def prepare(self, tool: str, arguments: Json) -> Job:
        text = arguments.get("text")
        if isinstance(text, dict):
            if text.get("type") == "resource_link":
                raise NeedsResource(text["uri"])
            text = text["resource"]["text"]
        if not isinstance(text, str):
            raise BadInput("`text` must be a string")
        if arguments.get("cannot_prepare"):
            raise RuntimeError("not prepared for this")
        group = None if arguments.get("alone") else (tool, arguments.get("group"))
        return Job(tool, (text, arguments), group, arguments.get("weight", 1), not arguments.get("dice"))

    def load(self, threads: int) -> None:
        self.threads.add(threading.get_ident())
        self.loads.append(threads)
        for role in self.manifest.settings.get("roles", []):
            self.place(role)
        if self.manifest.settings.get("slow_to_load"):
            self.begun.release()
            assert self.gate.wait(WAIT_S)
        if (bytes_wanted := self.manifest.settings.get("load_bytes", 0)) > 0:
            self.kept.append(b"x" * bytes_wanted)

    def unload(self) -> None:
        self.unloads += 1
        self.kept.clear()

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        self.threads.add(threading.get_ident())
        self.batches.append([job.payload[0] for job in jobs])
        return [self._one(*job.payload, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _one(self, text: str, how: dict[str, Any], ear: Ear) -> Outcome:
        for number, piece in enumerate(how.get("pieces", [])):
            ear.progress(number + 1, None, piece)
        if how.get("wait"):
            self.begun.release()
            if not self.gate.wait(WAIT_S):
                raise RuntimeError("nobody opened the gate")
        if how.get("until_gone"):
            self.begun.release()
            end_s = time.monotonic() + WAIT_S
            while not ear.gone and time.monotonic() < end_s:
                time.sleep(0.001)
        if how.get("burn"):
            self.begun.release()
            burn(how["burn"])
        if how.get("raise"):
            raise {"memory": MemoryError, "native": RuntimeError, "named": ModelFailed}[how["raise"]](
                how.get("words", "as asked for")
            )
        if how.get("outcome"):
            return ModelFailed("this one alone")
        if how.get("allocate"):
            assert len(b"x" * how["allocate"]) == how["allocate"]
        if how.get("print"):
            os.write(1, b"a library talks\n")
            print("so does Python", flush=True)
        for number in range(how.get("steps", 0)):
            ear.progress(number + 1, how["steps"])
        said: Json = {"said": text, "number": len(self.batches)}
        if how.get("not_json"):
            said["said"] = float("nan")
        if how.get("deep"):
            nested: list[Any] = []
            for _ in range(100_000):
                nested = [nested]
            said["said"] = nested
        if how.get("bytes"):
            said["said"] = "x" * how["bytes"]
        return Answer(said, text)


def burn(seconds: float) -> None:
    """Computes without ever looking up."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        hashlib.sha256(b"0" * 1_000_000).digest()


def write_model(folder: Path, name: str = "toy", **more: Any) -> ModelEntry:
    """`more`: the manifest's other keys."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = {"name": name, "version": "1", "task": "toy", **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for key, value in tree.items():
        if isinstance(value, dict):
            lines.append(f"[{key}]")
            lines += [f"{inner} = {_toml(item)}" for inner, item in value.items()]
    (folder / "model.toml").write_text("\n".join(lines))
    return ModelEntry(str(folder))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def told(entries: Sequence[ModelEntry], **more: Any) -> str:
    """`TIDEGATE_MODELS`."""
    models = [{"path": entry.path, "shipped": entry.shipped, "digest": entry.digest} for entry in entries]
    return json.dumps({"set": "toys", "models": models, **more})


class Bench:
    """A worker on a thread of this process, spoken to over its two pipes."""

    def __init__(self, entries: Sequence[ModelEntry], linger_s: float = 0.5, **more: Any) -> None:
        self.toys: dict[str, Toy] = {}
        self.left: list[int] = []
        """Exit statuses with which it wanted to end."""
        self.has_left = threading.Event()
        requests, self._in = os.pipe()
        self._out, replies = os.pipe()
        self._rest = b""
        self._next = 0
        self.worker = Worker(
            Assignment("toys", tuple(entries), **more),
            requests,
            replies,
            linger_s=linger_s,
            make=self._make,
            leave=self._leave,
        )
        self.thread = threading.Thread(target=self._run, args=(requests, replies), daemon=True)
        self.thread.start()

    def _make(self, manifest: ModelManifest, place: catalogue.Place) -> Toy:
        toy = self.toys[manifest.name] = Toy(manifest, place)
        return toy

    def _leave(self, status: int) -> None:
        self.left.append(status)
        self.has_left.set()

    def _run(self, requests: int, replies: int) -> None:
        self.worker.run()
        os.close(requests)
        os.close(replies)

    def say(self, line: bytes) -> None:
        data = line + b"\n"
        while data:
            data = data[os.write(self._in, data) :]

    def send(self, method: str, request_id: Any = None, token: Any = None, **params: Any) -> Any:
        """Returns the id."""
        if request_id is None:
            self._next += 1
            request_id = self._next
        meta = META | ({"progressToken": token} if token is not None else {})
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {"_meta": meta, **params}}
        self.say(json.dumps(message).encode())
        return request_id

    def call(self, text: Any = "hello", tool: str = "echo", token: Any = None, **how: Any) -> Any:
        return self.send("tools/call", name=tool, arguments={"text": text, **how}, token=token)

    def cancel(self, request_id: Any) -> None:
        params = {"requestId": request_id}
        self.say(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).encode())

    def hear(self) -> Any:
        """The next message; None at the end."""
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], WAIT_S)
            assert ready, "the worker said nothing"
            data = os.read(self._out, 1 << 16)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def answers(self, *request_ids: Any) -> list[Any]:
        """Messages until all of these are answered, the answers in this order."""
        found: dict[Any, Any] = {}
        while not set(request_ids) <= set(found):
            message = self.hear()
            assert message is not None, "the worker ended"
            found[message.get("id")] = message
        return [found[request_id] for request_id in request_ids]

    def ask(self, method: str, **params: Any) -> Any:
        return self.answers(self.send(method, **params))[0]

    def echo(self, text: Any = "hello", **how: Any) -> Any:
        return self.answers(self.call(text, **how))[0]

    def close_input(self) -> None:
        if self._in >= 0:
            os.close(self._in)
            self._in = -1

    def close(self) -> None:
        for toy in self.toys.values():
            toy.gate.set()
        self.close_input()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        os.close(self._out)


if __name__ == "__main__":
    catalogue.TASKS["toy"] = "toy_model:Toy"
    runpy.run_module("tidegate.models", run_name="__main__", alter_sys=False)
    sys.exit("unreachable: the worker ends its process")
