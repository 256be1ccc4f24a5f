"""llama.cpp as the package xllamacpp carries it: the C functions of its library, called in this process.

The package's own Python object is an HTTP server: it opens a listener without a key, whatever it is told. The library
under it exports llama.cpp's C interface, which opens nothing, so that is what is called here. Two of its structures
are passed by value; they are known for one version, and any other is refused rather than guessed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import threading
from collections import deque
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ModelMissing
from tidegate.models.runtimes.system_library import unusable

VERSION: Final = "2026.10.11549"
"""Of xllamacpp."""

_ERROR: Final = 4
"""Level of what it says when it fails."""
_CONTINUED: Final = 5
_SAID: Final = 16


class ModelParams(ctypes.Structure):
    """`llama_model_params`. Of the fields that are not used, only the place counts."""

    _fields_ = (
        ("devices", c_void_p),
        ("buffer_types", c_void_p),
        ("gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress", c_void_p),
        ("progress_data", c_void_p),
        ("overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("extra_buffers", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParams(ctypes.Structure):
    """`llama_context_params`; likewise."""

    _fields_ = (
        ("context", c_uint32),
        ("batch", c_uint32),
        ("ubatch", c_uint32),
        ("sequences", c_uint32),
        ("snapshots", c_uint32),
        ("outputs", c_uint32),
        ("sequence_outputs", c_uint32),
        ("threads", c_int32),
        ("batch_threads", c_int32),
        ("kinds", c_int32 * 5),
        ("floats", c_float * 6),
        ("original_context", c_uint32),
        ("defragment", c_float),
        ("callback", c_void_p),
        ("callback_data", c_void_p),
        ("key_type", c_int32),
        ("value_type", c_int32),
        ("abort", c_void_p),
        ("abort_data", c_void_p),
        ("reserved", c_void_p),
        ("flags", c_bool * 6),
        ("samplers", c_void_p),
        ("sampler_count", c_size_t),
        ("other", c_void_p),
    )


class Batch(ctypes.Structure):
    """`llama_batch`. All but the tokens null: they follow those before, in sequence 0, and the last one has logits."""

    _fields_ = (
        ("count", c_int32),
        ("tokens", POINTER(c_int32)),
        ("embeddings", c_void_p),
        ("positions", c_void_p),
        ("sequence_counts", c_void_p),
        ("sequences", c_void_p),
        ("outputs", c_void_p),
    )


class SamplerChainParams(ctypes.Structure):
    """`llama_sampler_chain_params`."""

    _fields_ = (("no_timing", c_bool),)


class Message(ctypes.Structure):
    """`llama_chat_message`."""

    _fields_ = (("role", c_char_p), ("content", c_char_p))


_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)

_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LogCallback, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_sampler_chain_default_params": (SamplerChainParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_has_encoder": (c_bool, (c_void_p,)),
    "llama_model_has_decoder": (c_bool, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_n_ctx_seq": (c_uint32, (c_void_p,)),
    "llama_set_n_threads": (None, (c_void_p, c_int32, c_int32)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_chat_apply_template": (c_int32, (c_char_p, POINTER(Message), c_size_t, c_bool, c_char_p, c_int32)),
    "llama_sampler_chain_init": (c_void_p, (SamplerChainParams,)),
    "llama_sampler_chain_add": (None, (c_void_p, c_void_p)),
    "llama_sampler_init_greedy": (c_void_p, ()),
    "llama_sampler_init_top_p": (c_void_p, (c_float, c_size_t)),
    "llama_sampler_init_temp": (c_void_p, (c_float,)),
    "llama_sampler_init_dist": (c_void_p, (c_uint32,)),
    "llama_sampler_sample": (c_int32, (c_void_p, c_void_p, c_int32)),
    "llama_sampler_free": (None, (c_void_p,)),
}

_lock = threading.Lock()
_opened: LlamaLibrary | None = None


class LlamaLibrary:
    """The library of this process; `opened` makes it."""

    def __init__(self, path: str) -> None:
        # Where it gives up it would start a debugger on this process.
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        self._said: deque[str] = deque(maxlen=_SAID)
        self._failing = False
        self._listener = _LogCallback(self._hear)
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        self.call: Any = library
        """Its functions, by their own names. None of them holds Python up while it computes."""
        library.llama_log_set(self._listener, None)
        library.llama_backend_init()

    def _hear(self, level: int, text: bytes | None, _: object) -> None:
        if level != _CONTINUED:
            self._failing = level == _ERROR
        line = (text or b"").decode(errors="replace").strip()
        if self._failing and line:
            self._said.append(line)

    def complaints(self) -> str:
        """What it said of failures since the last time; on one line, and bounded."""
        said, text = list(self._said), ""
        self._said.clear()
        for line in said:
            text += ("; " if text else "") + line
        return text[:600]


def opened() -> LlamaLibrary:
    """Raises: ModelMissing, with the command that installs it."""
    global _opened
    with _lock:
        if _opened is None:
            _opened = _open()
        return _opened


def _open() -> LlamaLibrary:
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        raise ModelMissing(f"the package `xllamacpp` is not installed: pip install --no-deps xllamacpp=={VERSION}")
    version = importlib.metadata.version("xllamacpp")
    if version != VERSION:
        raise ModelMissing(
            f"the package `xllamacpp` is of version {version}, and this tidegate knows {VERSION} only: "
            f"pip install --no-deps xllamacpp=={VERSION}"
        )
    try:
        library = LlamaLibrary(str(Path(spec.origin).with_name("xllamacpp.abi3.so")))
    except (OSError, AttributeError) as error:
        again = f"pip install --force-reinstall --no-deps xllamacpp=={VERSION}"
        raise ModelMissing(unusable("xllamacpp", error, again)) from None
    model, context = library.call.llama_model_default_params(), library.call.llama_context_default_params()
    known = (
        (model.gpu_layers, model.split_mode, model.load_mode, model.main_gpu) == (-1, 1, -1, 0)
        and (model.check_tensors, model.extra_buffers, model.no_alloc) == (False, True, False)
        and (context.context, context.batch, context.ubatch, context.sequences) == (512, 2048, 512, 1)
        and tuple(context.kinds) == (0, -1, -1, -1, -1)
        and (context.defragment, context.key_type, context.value_type) == (-1.0, 1, 1)
        and tuple(context.flags) == (False, True, True, True, True, False)
    )
    if not known:
        raise ModelMissing(f"the package `xllamacpp` is built in a way that is not known; {VERSION} as released is")
    return library
