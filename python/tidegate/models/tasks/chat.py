"""Chat: what a language model says to a conversation, word by word while it says it."""

from __future__ import annotations

import codecs
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tidegate.errors import ModelFailed
from tidegate.models.chat_call import SEED_MAX, ChatCall, chat_tool, said
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.llama import End, LlamaModel, Sampling
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

_CONTEXT: Final = 2048
_CONTEXT_MAX: Final = 1_048_576
_BATCH: Final = 128


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
        manifest.file("model")
        self._model: LlamaModel | None = None
        self._tools = (chat_tool("Answers a conversation by a language model on this box.", self._context),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        call = ChatCall.read(arguments, most_tokens=self._context, most_bytes=self._manifest.limits.input_bytes)
        return Job(tool, call, deterministic=call.temperature == 0 or call.seed is not None)

    def load(self, threads: int) -> None:
        if self._model is None:
            self._model = LlamaModel.open(
                self._manifest,
                self._place("model"),
                context=self._context,
                batch=self._batch,
                # Its threads spin until the last one is there. With one for each core, whoever else wants a core has
                # all of them wait: seven tokens took 3 to 13 s on two busy cores, and half a second on one of them.
                threads=max(1, min(threads, len(os.sched_getaffinity(0)) - 1)),
            )

    def unload(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        return [self._outcome(job.payload, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _outcome(self, call: ChatCall, ear: Ear) -> Outcome:
        assert self._model is not None
        model, name = self._model, self._manifest.name
        messages = call.messages
        if self._system and messages[0][0] != "system":
            messages = (("system", self._system), *messages)
        prompt = model.prompt(messages, self._template)
        if len(prompt) >= model.context:
            return BadInput(
                f"The messages are {len(prompt)} tokens long; `{name}` takes {model.context}, the answer included: "
                f"send at least {len(prompt) + 1 - model.context} fewer"
            )
        speech = _Speech(call.stops, ear)
        reason = End.FULL.value
        seed = secrets.randbelow(SEED_MAX) if call.seed is None else call.seed
        spoken = model.speak(prompt, Sampling(call.temperature, call.top_p, seed), call.max_tokens)
        try:
            for piece in spoken:
                if isinstance(piece, End):
                    reason = piece.value
                elif ear.gone:
                    return ModelFailed(f"model `{name}`: nobody waits for the answer")
                elif piece and speech.stopped_by(piece):
                    reason = "stop"
                    break
        finally:
            spoken.close()
        content = speech.ended(stopped=reason == "stop")
        structured = said(content, name, reason, (len(prompt), speech.tokens))
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
