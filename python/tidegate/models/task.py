"""The seam between a worker and its tasks: what a task offers, takes, and gives back.

The worker (`worker/`) knows MCP, queues, batches, memory and time; a task (`tasks/`) knows what the numbers mean; a
runtime (`runtimes/`) computes them. `prepare` runs for each call on its own; `run` gets one or several prepared ones
together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidegate.errors import ModelFailed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of a model, as `tools/list` shows it. Schemas are JSON Schema 2020-12 objects."""

    name: str
    title: str
    description: str
    input_schema: Json
    output_schema: Json
    read_only: bool = True


@dataclass(slots=True)
class Job:
    """One call, decoded and checked: what `run` needs of it, and nothing that it does not."""

    tool: str
    payload: Any
    """The task's own: text, an array, a list of messages."""
    group: Hashable | None = None
    """Jobs of one group may be computed together; None: each alone."""
    weight: int = 1
    """How much of `limits.batch` it takes, such as its number of texts."""
    deterministic: bool = True
    """Whether the same call has the same answer, so that two at once are computed once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to."""

    structured: Json
    """Fits the tool's output schema. A `confidence`, from 0 to 1, stands at the top: routing reads it."""
    text: str
    """The same for people and models: short, in words."""
    content: tuple[Json, ...] = field(default=())
    """Further content blocks of MCP, such as an image."""


class Ear(Protocol):
    """Whoever waits for one job. May be used from the computing thread."""

    @property
    def gone(self) -> bool:
        """Nobody waits any more, or its time is up: what is left to do for it may be left undone."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tells how far it is. For chat, `message` is the text since the last one, and is never dropped."""


class BadInput(Exception):
    """The call cannot be computed as it is. Told to the caller as a tool result with `isError`, so that a model can
    mend it.
    """


Outcome = Answer | ModelFailed | BadInput
"""BadInput where only the loaded model can tell, such as that a text has too many tokens."""


class Task(Protocol):
    """One built-in task, made for one model by its manifest. Raises ModelRefused when its settings make no sense."""

    @property
    def tools(self) -> tuple[Tool, ...]: ...

    def prepare(self, tool: str, arguments: Json) -> Job:
        """Decodes and checks. Never loads the model. Raises: BadInput, whose message tells the caller what to send."""

    def load(self, threads: int) -> None:
        """Opens the model, so that `run` can be called; `threads` for one computation. Raises: ModelRefused,
        ModelOutOfMemory.
        """

    def unload(self) -> None:
        """Gives back what `load` took. Harmless when nothing is loaded."""

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        """Computes jobs of one tool and group, one outcome for each. On the computing thread of the model. Raises:
        ModelFailed, which is then the outcome of all.
        """
