"""Arrays in, arrays out: any ONNX model, for whoever knows what its numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.arrays import MOST_SHOWN, WIDTHS, read_array, write_array
from tidegate.models.manifest import ModelManifest, Tensor
from tidegate.models.runtimes.onnx import OnnxSession, misfit, shape_words
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

INPUTS: Final = 64
"""Of one call."""
_NAME_CHARS: Final = 100
"""Of an input's name in a message."""
_ENCODINGS: Final = ("auto", "numbers", "base64")


class TensorRun:
    """`run`: named arrays -> named arrays."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._rows = settings.flag("rows_are_independent", False)
        """Whether the first dimension of every input and output counts cases that have nothing to do with one another,
        so that those of several calls may be computed together.
        """
        self._output_bytes = settings.whole("output_bytes", 8 << 20, low=1, high=1 << 30)
        """What the arrays of one answer may take."""
        settings.done()
        self._file = manifest.file("model")
        self._declared = {tensor.name: tensor for tensor in self._file.inputs}
        self._session: OnnxSession | None = None
        self._tools = (_tool(self._file.inputs, self._file.outputs),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        inputs = arguments.get("inputs")
        if not isinstance(inputs, dict) or not 1 <= len(inputs) <= INPUTS:
            raise BadInput(f"`inputs` must be an object of 1 to {INPUTS} arrays by their names")
        encoding = arguments.get("encoding", "auto")
        if encoding not in _ENCODINGS:
            raise BadInput(f"`encoding` must be one of {', '.join(f'`{one}`' for one in _ENCODINGS)}")
        if self._declared:
            _check_names(self._file.inputs, inputs)
        arrays: Arrays = {}
        left = self._manifest.limits.input_bytes
        for name, value in inputs.items():
            tensor = self._declared.get(name)
            arrays[name] = read_array(value, name, tensor.dtype if tensor else "", left)
            left -= arrays[name].nbytes
        if self._declared:
            _check(self._file.inputs, arrays)
        return Job(tool, (arrays, encoding), self._group(arrays), _row_count(arrays) if self._rows else 1)

    def load(self, threads: int) -> None:
        if self._session is not None:
            return
        path = self._place("model")
        home = PurePosixPath(self._file.path).parent
        beside = {
            str(PurePosixPath(file.path).relative_to(home)): self._place(file.role)
            for file in self._manifest.files
            if file.role != "model" and file.package == self._file.package and home in PurePosixPath(file.path).parents
        }
        session = OnnxSession.open(path, self._file, threads, self._manifest.limits, beside)
        for tensor in session.outputs:
            if tensor.dtype not in WIDTHS:
                session.close()
                raise ModelRefused(
                    f"model `{self._manifest.name}` gives `{tensor.name}` as `{tensor.dtype}`, not as an array"
                )
        self._session = session

    def unload(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        assert self._session is not None
        if len(jobs) > 1:
            together = self._together(self._session, jobs)
            if together is not None:
                return together
        return [self._alone(self._session, job) for job in jobs]

    def _alone(self, session: OnnxSession, job: Job) -> Outcome:
        arrays, encoding = job.payload
        try:
            _check(session.inputs, arrays)
            return self._answer(session.run(arrays), encoding)
        except (BadInput, ModelFailed) as error:
            return error

    def _together(self, session: OnnxSession, jobs: Sequence[Job]) -> list[Outcome] | None:
        """Nothing when the model does not keep to its word about rows, or one of the calls does not fit."""
        import numpy as np

        calls: list[Arrays] = [job.payload[0] for job in jobs]
        joined = {name: np.concatenate([arrays[name] for arrays in calls]) for name in calls[0]}
        ends = np.cumsum([_row_count(arrays) for arrays in calls]).tolist()
        try:
            _check(session.inputs, joined)
            outputs = session.run(joined)
        except (BadInput, ModelFailed):
            return None
        if any(output.ndim == 0 or len(output) != ends[-1] for output in outputs.values()):
            return None
        starts = [0, *ends[:-1]]
        return [
            self._answer({name: output[start:end] for name, output in outputs.items()}, job.payload[1])
            for job, start, end in zip(jobs, starts, ends, strict=True)
        ]

    def _answer(self, outputs: Arrays, encoding: str) -> Outcome:
        size = sum(output.nbytes for output in outputs.values())
        if size > self._output_bytes:
            return ModelFailed(
                f"model `{self._manifest.name}` gave arrays of {size} bytes; its `output_bytes` is {self._output_bytes}"
            )
        if encoding == "numbers" and any(output.size > MOST_SHOWN for output in outputs.values()):
            return BadInput(f"more than {MOST_SHOWN} elements are not spelled out: ask for `base64`")
        structured = {name: write_array(output, encoding) for name, output in outputs.items()}
        return Answer({"outputs": structured}, "\n".join(_line(name, shown) for name, shown in structured.items()))

    def _group(self, arrays: Arrays) -> Hashable | None:
        if not self._rows or any(array.ndim == 0 for array in arrays.values()):
            return None
        if len({len(array) for array in arrays.values()}) != 1:
            return None
        return tuple((name, str(array.dtype), array.shape[1:]) for name, array in sorted(arrays.items()))


def _check(tensors: Sequence[Tensor], arrays: Arrays) -> None:
    """Raises: BadInput, unless the arrays are those that the model takes."""
    _check_names(tensors, arrays)
    known = {tensor.name: tensor for tensor in tensors}
    for name, array in arrays.items():
        wrong = misfit(known[name], array)
        if wrong:
            raise BadInput(wrong)


def _check_names(tensors: Sequence[Tensor], given: Iterable[str]) -> None:
    """Before anything else of them is looked at: what is said of a misspelt one helps nobody. Raises: BadInput."""
    known, names = [tensor.name for tensor in tensors], list(given)
    takes = ", ".join(f"`{name}`" for name in known)
    for name in names:
        if name not in known:
            raise BadInput(f"there is no input `{name[:_NAME_CHARS]}`: `inputs` must be {takes}, and nothing else")
    missing = [name for name in known if name not in names]
    if missing:
        raise BadInput(f"`{missing[0]}` is missing: `inputs` must be {takes}, and nothing else")


def _row_count(arrays: Arrays) -> int:
    return max((len(array) for array in arrays.values() if array.ndim), default=1) or 1


def _line(name: str, shown: Json) -> str:
    data = shown.get("data")
    few = f" = {data}" if data is not None and len(str(data)) <= 200 else ""
    return f"{name}: {shown['dtype']} {shown['shape']}{few}"


_ARRAY: Final[Json] = {
    "type": "object",
    "properties": {
        "dtype": {"type": "string", "enum": list(WIDTHS), "description": "What an element is"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "description": "Sizes, the outermost first",
        },
        "data": {"description": "The elements, nested by the shape or one after the other"},
        "base64": {
            "type": "string",
            "contentEncoding": "base64",
            "description": "Their bytes instead: row by row, little end first",
        },
    },
    "additionalProperties": False,
}


def _tool(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Tool:
    taken: Json = {"type": "object", "minProperties": 1, "maxProperties": INPUTS, "additionalProperties": _ARRAY}
    if inputs:
        taken = {
            "type": "object",
            "properties": {tensor.name: _described(tensor) for tensor in inputs},
            "required": [tensor.name for tensor in inputs],
            "additionalProperties": False,
        }
    given: Json = {"type": "object", "additionalProperties": {**_ARRAY, "required": ["dtype", "shape"]}}
    if outputs:
        given["properties"] = {
            tensor.name: {**_described(tensor), "required": ["dtype", "shape"]} for tensor in outputs
        }
        given["required"] = [tensor.name for tensor in outputs]
    return Tool(
        "run",
        "Run the model",
        "Computes arrays from arrays.",
        {
            "type": "object",
            "properties": {
                "inputs": {**taken, "description": "Arrays by the names that the model has for them"},
                "encoding": {
                    "type": "string",
                    "enum": list(_ENCODINGS),
                    "default": "auto",
                    "description": "How arrays are answered; `auto`: few elements as numbers, many as Base64",
                },
            },
            "required": ["inputs"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"outputs": given},
            "required": ["outputs"],
            "additionalProperties": False,
        },
    )


def _described(tensor: Tensor) -> Json:
    return {**_ARRAY, "description": f"{tensor.dtype} {shape_words(tensor.shape)}"}
