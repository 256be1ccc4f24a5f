"""Texts through an ONNX text model: tokens in, one row of numbers for each text out. Under embedding and text
classification.

Texts of several calls go together: sorted by length, so that little of a batch is padding, and cut into batches by
size, so that memory stays bounded and a caller who left is noticed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelRefused
from tidegate.models.inputs.tokens import Encoded, Tokens
from tidegate.models.manifest import ModelManifest, Tensor

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tidegate.models.runtimes.onnx import OnnxSession

    Array = NDArray[Any]

BATCH_TOKENS: Final = 2048
"""Of one batch, padding included: 8 texts of 256 tokens, or 32 (see below) of 64."""
BATCH_ROWS: Final = 32
_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"
"""The names that exporters of text models agree on."""


class TextEncoder:
    """A loaded tokenizer and session."""

    def __init__(self, manifest: ModelManifest, tokens: Tokens, session: OnnxSession, output: str) -> None:
        """`output`: which one to take; empty for the first. Raises: ModelRefused for a model of another shape."""
        self._tokens = tokens
        self._session = session
        inputs = {tensor.name: tensor for tensor in session.inputs}
        if _IDS not in inputs or not inputs.keys() <= {_IDS, _MASK, _TYPES}:
            names = ", ".join(f"`{name}`" for name in inputs)
            raise ModelRefused(
                f"model `{manifest.name}` takes {names}; a text model takes `{_IDS}`, `{_MASK}` and `{_TYPES}`"
            )
        for tensor in inputs.values():
            if tensor.dtype not in ("int64", "int32") or len(tensor.shape) != 2:
                raise ModelRefused(
                    f"model `{manifest.name}`: `{tensor.name}` is not two-dimensional and of int64 or int32"
                )
        self._inputs: list[Tensor] = list(inputs.values())
        self._rows, self._length = inputs[_IDS].shape
        """As the file fixes them; -1: free."""
        if self._length != -1 and self._length < tokens.max_tokens:
            raise ModelRefused(
                f"model `{manifest.name}` takes {self._length} tokens; `max_tokens` is {tokens.max_tokens}"
            )
        if output and output not in {tensor.name for tensor in session.outputs}:
            raise ModelRefused(f"model `{manifest.name}` has no output `{output}`")
        self.output = next(tensor for tensor in session.outputs if not output or tensor.name == output)

    @classmethod
    def open(
        cls,
        manifest: ModelManifest,
        place: Callable[[str], Path],
        threads: int,
        *,
        max_tokens: int,
        lowercase: bool,
        output: str,
    ) -> TextEncoder:
        """From the files `model` and `tokenizer`. Raises: ModelRefused, ModelMissing, ModelOutOfMemory."""
        from tidegate.models.runtimes.onnx import OnnxSession

        session = OnnxSession.open(place("model"), manifest.file("model"), threads, manifest.limits)
        tokens = Tokens.open(manifest, place("tokenizer"), max_tokens, lowercase)
        return cls(manifest, tokens, session, output)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return [self._tokens.encode(text) for text in texts]

    def batches(
        self, rows: Sequence[Encoded], wanted: Callable[[int], bool]
    ) -> Iterator[tuple[list[int], Array, Array]]:
        """Computes all rows for which `wanted` still holds when their turn comes: which ones, the chosen output, and
        the mask (1.0 for a token, 0.0 for padding; float32 [rows, length]).
        """
        import numpy as np

        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        while order := [index for index in order if wanted(index)]:
            most = self._most_rows(len(rows[order[-1]].ids))
            batch = order[-most:]
            del order[-most:]
            mask, feeds = self._feeds(np, [rows[index].ids for index in batch])
            outputs = self._session.run(feeds)
            yield batch, outputs[self.output.name][: len(batch)], mask[: len(batch)]

    def close(self) -> None:
        self._session.close()

    def _most_rows(self, length: int) -> int:
        if self._rows != -1:
            return self._rows
        return max(1, min(BATCH_ROWS, BATCH_TOKENS // max(1, length)))

    def _feeds(self, np: Any, rows: list[list[int]]) -> tuple[Array, dict[str, Array]]:
        count = len(rows) if self._rows == -1 else self._rows
        length = max(len(row) for row in rows) if self._length == -1 else self._length
        ids: np.ndarray[Any, Any] = np.full((count, length), self._tokens.pad, dtype=np.int64)
        mask: np.ndarray[Any, Any] = np.zeros((count, length), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        arrays = {_IDS: ids, _MASK: mask, _TYPES: np.zeros_like(ids)}
        return mask.astype(np.float32), {
            tensor.name: arrays[tensor.name].astype(tensor.dtype, copy=False) for tensor in self._inputs
        }
