"""Chat: what a language model says to a conversation, word by word while it says it."""

from __future__ import annotations

import codecs
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.llama import End, LlamaModel, Sampling
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

MAX_TOKENS: Final = 256
"""Of an answer, unless the caller says otherwise."""
MESSAGES_MAX: Final = 1024
STOPS_MAX: Final = 16
STOP_CHARS_MAX: Final = 256
SEED_MAX: Final = 2**32 - 1
ROLES: Final = ("system", "user", "assistant")

_CONTEXT: Final = 2048
_CONTEXT_MAX: Final = 1_048_576
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class _Asked:
    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    sampling: Sampling
    stops: tuple[str, ...]


class Chat:
    """`chat`: messages -> a message."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._context = settings.whole("context", _CONTEXT, low=16, high=_CONTEXT_MAX)
        """Tokens of question and answer together; the file's own bound holds as well."""
        self._batch = settings.whole("batch", _BATCH, low=1, high=4096)
        self._template = settings.text("template", "")
        """Name of one that llama.cpp knows; empty: the file's."""
        self._system = settings.text("system", "")
        """Said before a conversation that has no system message of its own; empty: nothing."""
        settings.done()
        if not any(file.role == "model" for file in manifest.files):
            raise ModelRefused(f"Model `{manifest.name}`: chat needs `[files.model]`")
        self._model: LlamaModel | None = None
        self._tools = (chat_tool(self._context),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        messages = _messages(arguments, self._manifest.limits.input_bytes)
        if self._system and messages[0][0] != "system":
            messages.insert(0, ("system", self._system))
        temperature = _number(arguments, "temperature", 0.0, 0.0, 2.0)
        seed = _whole(arguments, "seed", -1, 0, SEED_MAX)
        chosen = temperature == 0 or seed >= 0
        sampling = Sampling(
            temperature, _number(arguments, "top_p", 1.0, 0.0, 1.0), seed if chosen else secrets.randbelow(SEED_MAX)
        )
        most = _whole(arguments, "max_tokens", MAX_TOKENS, 1, self._context)
        asked = _Asked(tuple(messages), most, sampling, _stops(arguments))
        return Job(tool, asked, deterministic=chosen)

    def load(self, threads: int) -> None:
        if self._model is None:
            self._model = LlamaModel.open(
                self._manifest, self._place("model"), context=self._context, batch=self._batch, threads=threads
            )

    def unload(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        return [self._outcome(job.payload, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _outcome(self, asked: _Asked, ear: Ear) -> Outcome:
        assert self._model is not None
        model, name = self._model, self._manifest.name
        prompt = model.prompt(asked.messages, self._template)
        if len(prompt) >= model.context:
            return BadInput(
                f"The messages are {len(prompt)} tokens long; `{name}` takes {model.context}, the answer included: "
                f"send at least {len(prompt) + 1 - model.context} fewer"
            )
        speech = _Speech(asked.stops, ear)
        reason = End.FULL.value
        said = model.speak(prompt, asked.sampling, asked.max_tokens)
        try:
            for piece in said:
                if isinstance(piece, End):
                    reason = piece.value
                elif ear.gone:
                    return ModelFailed(f"Nobody waits for `{name}` any more")
                elif piece and speech.stopped_by(piece):
                    reason = "stop"
                    break
        finally:
            said.close()
        content = speech.ended(stopped=reason == "stop")
        structured: dict[str, Any] = {
            "role": "assistant",
            "content": content,
            "model": name,
            "stop_reason": reason,
            "usage": {"input_tokens": len(prompt), "output_tokens": speech.tokens},
        }
        return Answer(structured, content)


class _Speech:
    """What has been said: tokens to text, as soon as it is certain to stand."""

    def __init__(self, stops: tuple[str, ...], ear: Ear) -> None:
        self._stops = stops
        self._ear = ear
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._told: list[str] = []
        self._held = ""
        """May be the beginning of a stop string."""
        self.tokens = 0

    def stopped_by(self, piece: bytes) -> bool:
        """One more token. Whether a stop string is complete; what follows it, and itself, is not said."""
        self.tokens += 1
        return self._hear(self._decoder.decode(piece))

    def ended(self, *, stopped: bool) -> str:
        """All of it."""
        if not stopped:
            self._hear(self._decoder.decode(b"", final=True))
            self._tell(self._held)
        return "".join(self._told)

    def _hear(self, text: str) -> bool:
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self._tell(self._held[: min(found)])
            return True
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        sure = len(self._held) - keep
        self._tell(self._held[:sure])
        self._held = self._held[sure:]
        return False

    def _tell(self, text: str) -> None:
        if text:
            self._told.append(text)
            self._ear.progress(self.tokens, None, text)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest beginning of `stop` that `text` ends with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


# -- arguments -------------------------------------------------------------------------------------------------------


def _messages(arguments: Json, most_bytes: int) -> list[tuple[str, str]]:
    given = arguments.get("messages")
    if not isinstance(given, list) or not 1 <= len(given) <= MESSAGES_MAX:
        raise BadInput(f"`messages` must be a list of 1 to {MESSAGES_MAX} messages")
    messages: list[tuple[str, str]] = []
    system = arguments.get("system", "")
    if not isinstance(system, str):
        raise BadInput("`system` must be a string")
    if system:
        messages.append(("system", system))
    for index, message in enumerate(given):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise BadInput(
                f'`messages[{index}]` must be {{"role": …, "content": …}} with a role of '
                f"{', '.join(f'`{known}`' for known in ROLES)} and a string as content"
            )
        messages.append((role, content))
    if system and any(role == "system" for role, _ in messages[1:]):
        raise BadInput("either `system` or a message with the role `system` says how to answer, not both")
    try:
        size = sum(len(content.encode()) for _, content in messages)
    except UnicodeEncodeError:
        raise BadInput("`messages` hold half of a surrogate pair, which is no character") from None
    if size > most_bytes:
        raise BadInput(f"`messages` are {size} bytes long; this model takes at most {most_bytes}")
    if any("\0" in content for _, content in messages):
        raise BadInput("`messages` hold the character U+0000, which no text has")
    return messages


def _number(arguments: Json, key: str, default: float, low: float, high: float) -> float:
    value = arguments.get(key, default)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise BadInput(f"`{key}` must be a number from {low:g} to {high:g}")
    return float(value)


def _whole(arguments: Json, key: str, default: int, low: int, high: int) -> int:
    if key not in arguments:
        return min(default, high)
    value = arguments[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInput(f"`{key}` must be a whole number from {low} to {high}")
    return value


def _stops(arguments: Json) -> tuple[str, ...]:
    given = arguments.get("stop", [])
    if (
        not isinstance(given, list)
        or len(given) > STOPS_MAX
        or not all(isinstance(stop, str) and 1 <= len(stop) <= STOP_CHARS_MAX for stop in given)
    ):
        raise BadInput(f"`stop` must be a list of up to {STOPS_MAX} strings of 1 to {STOP_CHARS_MAX} characters")
    return tuple(given)


def chat_tool(context: int) -> Tool:
    """The tool as every model that chats has it."""
    return Tool(
        "chat",
        "Chat with a language model",
        "Answers a conversation by a language model on this box. With a progress token, each progress notification "
        "carries the next piece of the answer.",
        {
            "type": "object",
            "properties": {
                "messages": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MESSAGES_MAX,
                    "description": "The conversation so far, the oldest message first",
                    "items": {
                        "type": "object",
                        "properties": {"role": {"enum": list(ROLES)}, "content": {"type": "string"}},
                        "required": ["role", "content"],
                    },
                },
                "system": {"type": "string", "description": "How to answer"},
                "max_tokens": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": context,
                    "default": min(MAX_TOKENS, context),
                    "description": "Length of the answer at most",
                },
                "temperature": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 2,
                    "default": 0,
                    "description": "0: always the likeliest word",
                },
                "top_p": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "default": 1,
                    "description": "Only among the likeliest words that are this likely together",
                },
                "stop": {
                    "type": "array",
                    "maxItems": STOPS_MAX,
                    "items": {"type": "string", "minLength": 1, "maxLength": STOP_CHARS_MAX},
                    "description": "Where to end; not part of the answer",
                },
                "seed": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": SEED_MAX,
                    "description": "The same seed gives the same answer again",
                },
            },
            "required": ["messages"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "role": {"const": "assistant"},
                "content": {"type": "string"},
                "model": {"type": "string", "description": "Which model answered"},
                "stop_reason": {
                    "enum": ["end", "length", "stop"],
                    "description": "The answer is complete, was cut at its length, or met a stop string",
                },
                "usage": {
                    "type": "object",
                    "properties": {
                        "input_tokens": {"type": "integer", "minimum": 0},
                        "output_tokens": {"type": "integer", "minimum": 0},
                    },
                    "required": ["input_tokens", "output_tokens"],
                    "additionalProperties": False,
                },
            },
            "required": ["role", "content", "model", "stop_reason", "usage"],
            "additionalProperties": False,
        },
    )
