"""A language model in a GGUF file, run by llama.cpp in this process: messages to tokens, tokens to more tokens.

`tasks/chat.py` calls it on the computing thread; below are `gguf.py`, which looks at the file first, and
`llama_library.py`. Nothing listens anywhere, and no accelerator is used. One text at a time: each has the whole
context, and begins with an empty one, so that the same text has the same continuation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Sequence
from ctypes import c_int32
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ModelFailed, ModelOutOfMemory, ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.gguf import BrokenGguf, GgufHead, read_head
from tidegate.models.runtimes.llama_library import Batch, LlamaLibrary, Message, opened

_MMAP: Final = 1
_PIECE_BYTES: Final = 256
_NO_MEMORY: Final = ("failed to allocate", "unable to allocate", "bad_alloc", "out of memory", "Cannot allocate")


class End(Enum):
    """Why nothing more is said."""

    SAID_ALL = "end"
    """The model ended its turn."""
    FULL = "length"
    """As much as was asked for, or as fits the context."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. At temperature 0 the likeliest one, whatever the rest says."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class LlamaModel:
    """A loaded model with its context."""

    def __init__(
        self, library: LlamaLibrary, name: str, model: int, context: int, head: GgufHead, size: tuple[int, int]
    ) -> None:
        self._library = library
        self._name = name
        self._model = model
        self._context = context
        self._head = head
        most, self._batch = size
        self._vocabulary = library.call.llama_model_get_vocab(model)
        # The library rounds up.
        self.context: int = min(most, library.call.llama_n_ctx_seq(context))
        """Tokens that fit, of question and answer together."""

    @classmethod
    def open(cls, manifest: ModelManifest, path: Path, *, context: int, batch: int, threads: int) -> LlamaModel:
        """`batch`: tokens that are computed in one go, after each of which a caller may give up.

        Raises: ModelMissing, ModelRefused, ModelOutOfMemory.
        """
        name = manifest.name
        try:
            head = read_head(path)
        except BrokenGguf as error:
            raise ModelRefused(f"model `{name}`: `{path.name}` is refused: {error}") from None
        except OSError as error:
            raise ModelRefused(f"model `{name}`: `{path.name}` cannot be read: {error.strerror}") from None
        library = opened()
        call = library.call
        library.complaints()
        params = call.llama_model_default_params()
        params.gpu_layers = 0
        params.load_mode = _MMAP
        # Not `check_tensors`: it would look for numbers that are none, with a thread for each tensor.
        # Repacked weights would be a second copy, in memory that cannot be given back.
        params.extra_buffers = False
        model = call.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise _refused(library, name, path)
        try:
            if call.llama_model_has_encoder(model) or not call.llama_model_has_decoder(model):
                raise ModelRefused(f"model `{name}`: `{path.name}` does not continue texts, so it cannot chat")
            settings = call.llama_context_default_params()
            settings.context = most = min(context, head.context) if head.context else context
            settings.batch = settings.ubatch = min(batch, most)
            settings.threads = settings.batch_threads = threads
            made = call.llama_init_from_model(model, settings)
            if not made:
                raise _refused(library, name, path)
        except ModelFailed:
            call.llama_model_free(model)
            raise
        return cls(library, name, model, made, head, (most, settings.batch))

    def close(self) -> None:
        """Harmless when it is closed."""
        model, context = self._model, self._context
        self._model = self._context = 0
        if context:
            self._library.call.llama_free(context)
        if model:
            self._library.call.llama_model_free(model)

    # -- words to tokens ----------------------------------------------------------------------------------------------

    def prompt(self, messages: Sequence[tuple[str, str]], template: str) -> list[int]:
        """Tokens of a conversation, (role, content) each, up to where the model is to speak. `template`: a built-in
        one's name; empty: the file's own, and ChatML when it has none.

        What stands in a content is never taken for the model's own marks, such as that of a turn's end.
        Raises: ModelRefused for a template that llama.cpp does not know.
        """
        contents = [content for _, content in messages]
        if any(self._has_marks(content) for content in contents):
            return self._guarded(messages, template)
        return self._tokens(self._rendered(messages, template), marks=True, first=True)

    def _has_marks(self, content: str) -> bool:
        return self._tokens(content, marks=True, first=False) != self._tokens(content, marks=False, first=False)

    def _guarded(self, messages: Sequence[tuple[str, str]], template: str) -> list[int]:
        """Content and frame are read apart from each other."""
        blanks = [f"\x02{index}\x03" for index in range(len(messages))]
        while any(blank in content for blank in blanks for _, content in messages):
            blanks = [f"\x02{blank}\x03" for blank in blanks]
        framed = self._rendered([(role, blank) for (role, _), blank in zip(messages, blanks, strict=True)], template)
        tokens: list[int] = []
        for blank, (_, content) in zip(blanks, messages, strict=True):
            frame, found, framed = framed.partition(blank)
            if not found:
                raise ModelRefused(f"model `{self._name}`: its chat template does not keep messages in their order")
            tokens += self._tokens(frame, marks=True, first=not tokens)
            tokens += self._tokens(content, marks=False, first=False)
        return tokens + self._tokens(framed, marks=True, first=False)

    def _rendered(self, messages: Sequence[tuple[str, str]], template: str) -> str:
        chosen = (template or self._head.template or "chatml").encode()
        array = (Message * len(messages))(*(Message(role.encode(), content.encode()) for role, content in messages))
        room = 2 * sum(len(role.encode()) + len(content.encode()) for role, content in messages) + 1024
        for _ in range(2):
            buffer = ctypes.create_string_buffer(room)
            size = self._library.call.llama_chat_apply_template(chosen, array, len(messages), True, buffer, room)
            if size < 0:
                raise ModelRefused(
                    f"model `{self._name}`: llama.cpp does not know its chat template; name one that it knows in "
                    "`settings.template`, such as `chatml`"
                )
            if size <= room:
                return buffer.raw[:size].decode(errors="replace")
            room = size
        raise ModelFailed(f"model `{self._name}`: its chat template does not come to an end")

    def _tokens(self, text: str, *, marks: bool, first: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 8
        for _ in range(2):
            found = (c_int32 * room)()
            count = self._library.call.llama_tokenize(self._vocabulary, raw, len(raw), found, room, first, marks)
            if count >= 0:
                return list(found[:count])
            room = -count
        raise ModelFailed(f"model `{self._name}` cannot read a text")

    # -- tokens to more tokens ----------------------------------------------------------------------------------------

    def speak(self, prompt: Sequence[int], sampling: Sampling, most: int) -> Generator[bytes | End, None, None]:
        """Nothing, while the prompt is read; then the bytes of each token, which may be parts of a character; and
        at last why it ends. May be left at any time. Raises: ModelFailed.
        """
        call = self._library.call
        call.llama_memory_clear(call.llama_get_memory(self._context), True)
        sampler = self._sampler(sampling)
        try:
            for start in range(0, len(prompt), self._batch):
                self._decode(prompt[start : start + self._batch])
                yield b""
            for said in range(1, most + 1):
                token = call.llama_sampler_sample(sampler, self._context, -1)
                if call.llama_vocab_is_eog(self._vocabulary, token):
                    yield End.SAID_ALL
                    return
                yield self._piece(token)
                if said < most:
                    if len(prompt) + said >= self.context:
                        break
                    self._decode((token,))
            yield End.FULL
        finally:
            call.llama_sampler_free(sampler)

    def _sampler(self, sampling: Sampling) -> Any:
        call = self._library.call
        chain = call.llama_sampler_chain_init(call.llama_sampler_chain_default_params())
        if sampling.temperature <= 0:
            call.llama_sampler_chain_add(chain, call.llama_sampler_init_greedy())
            return chain
        if sampling.top_p < 1:
            call.llama_sampler_chain_add(chain, call.llama_sampler_init_top_p(sampling.top_p, 1))
        call.llama_sampler_chain_add(chain, call.llama_sampler_init_temp(sampling.temperature))
        call.llama_sampler_chain_add(chain, call.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF))
        return chain

    def _decode(self, tokens: Sequence[int]) -> None:
        array = (c_int32 * len(tokens))(*tokens)
        outcome = self._library.call.llama_decode(self._context, Batch(len(tokens), array))
        if outcome:
            said = self._library.complaints()
            raise ModelFailed(f"model `{self._name}` failed ({outcome})" + (f": {said}" if said else ""))

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = self._library.call.llama_token_to_piece(self._vocabulary, token, buffer, _PIECE_BYTES, 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._library.call.llama_token_to_piece(self._vocabulary, token, buffer, -size, 0, False)
        return buffer.raw[: max(size, 0)]


def _refused(library: LlamaLibrary, name: str, path: Path) -> ModelFailed:
    said = library.complaints() or "no reason was given"
    if any(words in said for words in _NO_MEMORY):
        return ModelOutOfMemory(f"model `{name}` needs more memory than it may have: {said}")
    return ModelRefused(f"model `{name}`: `{path.name}` is refused: {said}")
