"""Runs an ONNX model with onnxruntime on the box's own processor. Called by tasks, on the model's computing thread.

The file is untrusted: it is read once, checked against its digest and by `onnx_file.py`, and handed over as bytes, so
that the library never opens a path that the file names. onnxruntime and numpy are imported when a model is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelMissing, ModelOutOfMemory, ModelRefused
from tidegate.models.manifest import ModelFile, ModelLimits, Tensor
from tidegate.models.runtimes.onnx_file import read_onnx_facts
from tidegate.models.runtimes.system_library import unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}
"""How onnxruntime spells what a manifest, and numpy, call so. Anything else keeps its spelling."""

_NO_MEMORY: Final = ("failed to allocate", "bad_alloc", "bad allocation", "out of memory", "cannot allocate")
"""How onnxruntime and the C++ library below it say that there is none left, in lower case."""


class OnnxSession:
    """One opened model. Not for two threads at once."""

    def __init__(self, name: str, session: Any, limits: ModelLimits) -> None:
        self.name = name
        """Of the file, for messages."""
        self._session = session
        self._limits = limits
        self.inputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_inputs())
        self.outputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_outputs())
        self._by_name = {tensor.name: tensor for tensor in self.inputs}

    @classmethod
    def open(
        cls,
        path: Path,
        file: ModelFile,
        threads: int,
        limits: ModelLimits,
        beside: Mapping[str, Path] | None = None,
    ) -> OnnxSession:
        """Opens a model. `beside`: verified files by the names under which the model may keep weights in them; no
        other is ever read. Raises: ModelRefused, ModelMissing, ModelOutOfMemory.
        """
        name = file.path
        data = _read(path, file, limits)
        facts = read_onnx_facts(data, name)
        outside = {place: _outside(place, beside or {}, name) for place in sorted(facts.external)}
        try:
            import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ModuleNotFoundError:
            raise ModelMissing("onnxruntime is not installed: `pip install onnxruntime`") from None
        except ImportError as error:
            again = "pip install --force-reinstall --no-deps onnxruntime"
            raise ModelMissing(unusable("onnxruntime", error, again)) from None
        onnxruntime.set_default_logger_severity(4)
        try:
            buffers = [path.read_bytes() for path in outside.values()]
            options = _options(onnxruntime, threads)
            if outside:
                sizes = [len(buffer) for buffer in buffers]
                options.add_external_initializers_from_files_in_memory(list(outside), buffers, sizes)
            # without "fallback", which would print to stdout and open the same file a second time
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            opened = cls(name, session, limits)
        except (Exception, MemoryError) as error:
            raise _opening(name, facts.opset, error) from None
        opened._check(file)
        return opened

    @property
    def metadata(self) -> dict[str, str]:
        """What the model's makers wrote into it, such as labels."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Computes: every input by its name, every output by its name. Raises: ModelFailed, ModelOutOfMemory."""
        if self._session is None:
            raise ModelFailed(f"`{self.name}` is not loaded")
        if feeds.keys() != self._by_name.keys():
            raise ModelFailed(f"`{self.name}` takes {_names(self._by_name)}, not {_names(feeds)}")
        for name, array in feeds.items():
            wrong = misfit(self._by_name[name], array)
            if wrong:
                raise ModelFailed(f"`{self.name}`: {wrong}")
        try:
            results = self._session.run(None, dict(feeds))
        except (Exception, MemoryError) as error:
            if _is_memory(error):
                raise ModelOutOfMemory(f"`{self.name}` ran out of memory while computing") from None
            raise ModelFailed(f"`{self.name}` could not compute: {_first_line(error)}") from None
        return {tensor.name: result for tensor, result in zip(self.outputs, results, strict=True)}

    def close(self) -> None:
        """Gives the memory back. Harmless twice."""
        self._session = None

    def _check(self, file: ModelFile) -> None:
        """Raises: ModelRefused, unless the model takes and gives what its manifest says, in sizes that can be held."""
        for tensor in (*self.inputs, *self.outputs):
            if tensor.dtype not in _DTYPES.values() and tensor in self.inputs:
                raise ModelRefused(f"`{self.name}` takes `{tensor.name}` as `{tensor.dtype}`, which cannot be sent")
            size = least_bytes(tensor)
            if size > self._limits.memory_bytes:
                mib = self._limits.memory_bytes >> 20
                raise ModelRefused(
                    f"`{self.name}` declares `{tensor.name}` of {size} bytes or more; it may use {mib} MiB"
                )
        if file.inputs and {tensor.name for tensor in file.inputs} != self._by_name.keys():
            declared = _names({tensor.name: tensor for tensor in file.inputs})
            raise ModelRefused(f"`{self.name}` takes {_names(self._by_name)}; its manifest says {declared}")
        outputs = {tensor.name: tensor for tensor in self.outputs}
        for word, declared_tensors, own in (("input", file.inputs, self._by_name), ("output", file.outputs, outputs)):
            for declared_tensor in declared_tensors:
                _compare(self.name, word, declared_tensor, own.get(declared_tensor.name))


def misfit(tensor: Tensor, array: Array) -> str:
    """In words why `array` is none for the input `tensor`; empty when it is one."""
    given = "string" if array.dtype.kind in "OUS" else str(array.dtype)
    if given != tensor.dtype:
        return f"`{tensor.name}` must be {tensor.dtype}, not {given}"
    sizes = list(array.shape)
    if len(sizes) != len(tensor.shape) or any(
        -1 != want != size for want, size in zip(tensor.shape, sizes, strict=True)
    ):
        return f"`{tensor.name}` must have the shape {shape_words(tensor.shape)}, not {shape_words(sizes)}"
    return ""


def shape_words(shape: tuple[int, ...] | list[int]) -> str:
    """`[1, 3, any, any]`."""
    return "[" + ", ".join("any" if size == -1 else str(size) for size in shape) + "]"


def least_bytes(tensor: Tensor) -> int:
    """What the smallest array of its shape takes, in bytes."""
    count = 1
    for size in tensor.shape:
        count *= 1 if size == -1 else size
    width = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4, "string": 8}
    return count * width.get(tensor.dtype, 1)


def _read(path: Path, file: ModelFile, limits: ModelLimits) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.memory_bytes:
            mib = limits.memory_bytes >> 20
            raise ModelRefused(f"`{file.path}` has {size} bytes, and the model may use {mib} MiB of memory")
        data = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"`{file.path}` cannot be read: {error.strerror}") from None
    except MemoryError:
        raise ModelOutOfMemory(f"there is no memory to read `{file.path}`") from None
    if file.sha256 and hashlib.sha256(data).hexdigest() != file.sha256:
        raise ModelRefused(f"`{file.path}` is not the file its manifest names: the digest differs")
    return data


def _outside(location: str, beside: Mapping[str, Path], name: str) -> Path:
    """Raises: ModelRefused, for any place but a file that the manifest pins by exactly this path."""
    path = beside.get(location)
    if path is None:
        raise ModelRefused(f"`{name}` keeps weights in `{location}`, which is none of the files in its manifest")
    return path


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # An arena would keep the memory of the largest call for good, or take it anew for each: 763 page faults and 1.3 ms
    # for a model of 9 ms. Without one each run asks for one block, planned ahead, and `process.py` says what is kept.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # a waiting thread costs a small box its core
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # not what the file's first bytes claim
    return options


def _opening(name: str, opset: int, error: BaseException) -> ModelFailed:
    if _is_memory(error):
        return ModelOutOfMemory(f"there is no memory to open `{name}`")
    line = _first_line(error)
    if "opset" in line.lower():
        return ModelRefused(f"`{name}` needs opset {opset}, which this onnxruntime does not have")
    return ModelRefused(f"onnxruntime cannot open `{name}`: {line}")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _NO_MEMORY)


def _first_line(error: BaseException) -> str:
    """Without the code and the source line that onnxruntime puts before it, and not longer than a sentence."""
    line = str(error).strip().partition("\n")[0]
    marker = line.rfind(" : ")
    if line.startswith("[ONNXRuntimeError]") and 0 <= marker < len(line) - 3:
        line = line[marker + 3 :]
    return line[:300] or type(error).__name__


def _tensor(node: Any) -> Tensor:
    """As onnxruntime declares it. A size it has only a name for is -1."""
    sizes = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape or ())
    return Tensor(node.name, _DTYPES.get(node.type, node.type), sizes)


def _compare(name: str, word: str, declared: Tensor, own: Tensor | None) -> None:
    if own is None:
        raise ModelRefused(f"`{name}` has no {word} `{declared.name}`, which its manifest declares")
    if own.dtype != declared.dtype:
        raise ModelRefused(f"`{name}`: the {word} `{declared.name}` is {own.dtype}; its manifest says {declared.dtype}")
    same = len(own.shape) == len(declared.shape) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(own.shape, declared.shape, strict=True)
    )
    if not same:
        has, said = shape_words(own.shape), shape_words(declared.shape)
        raise ModelRefused(f"`{name}`: the {word} `{declared.name}` has the shape {has}; its manifest says {said}")


def _names(tensors: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(tensors)) or "nothing"
