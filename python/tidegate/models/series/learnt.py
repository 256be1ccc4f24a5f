"""How unusual each value of a series is, by an ONNX model that was trained on usual ones: an autoencoder, which gives
back what it is given as far as it knows the like, or a forecaster, which says what comes next. Where they are wrong,
something is new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.manifest import ModelManifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidegate.models.runtimes.onnx import OnnxSession

    Array = NDArray[Any]

ROWS: Final = 256
"""Windows of one run of the model."""


class SeriesModel:
    """A loaded one."""

    def __init__(
        self, manifest: ModelManifest, session: OnnxSession, method: str, window: int, scaling: Scaling
    ) -> None:
        """`method`: `autoencoder` or `forecaster`. Raises: ModelRefused for a model of another shape."""
        self._model = manifest.name
        self._session = session
        self._forecasts = method == "forecaster"
        self.window = window
        self._scaling = scaling
        if len(session.inputs) != 1 or session.inputs[0].dtype not in ("float32", "float64"):
            raise ModelRefused(f"model `{self._model}` must take one array of floating-point numbers")
        self._input = session.inputs[0]
        shape = self._input.shape
        self._layout: tuple[int, ...] = (window,)
        if len(shape) == 3:
            self._layout = (1, window) if shape[1] == 1 != shape[2] else (window, 1)
        fits = len(self._layout) == len(shape) - 1 and all(
            size in (-1, mine) for size, mine in zip(shape[1:], self._layout, strict=True)
        )
        if not fits:
            raise ModelRefused(f"model `{self._model}` takes the shape {list(shape)}, not windows of {window} values")
        self._rows = shape[0]

    def errors(self, values: Array, wanted: Callable[[], bool]) -> Array:
        """float64 [values] -> how wrong the model is about each, in scaled units; 0 where it has nothing to say.
        Raises: ModelFailed.
        """
        import numpy as np

        errors = np.zeros(len(values))
        count = len(values) - self.window + (0 if self._forecasts else 1)
        if count <= 0:
            return errors
        windows = np.lib.stride_tricks.sliding_window_view(values, self.window)[:count]
        covered = np.zeros(len(values))
        step = ROWS if self._rows == -1 else self._rows
        for start in range(0, count, step):
            if not wanted():
                raise ModelFailed(f"model `{self._model}`: nobody waits for the answer")
            block = windows[start : start + step]
            centre, scale = self._scaling.of(block)
            given = self._computed(np, (block - centre) / scale, step)
            if self._forecasts:
                said = given[:, 0] * scale[:, 0] + centre[:, 0]
                there = values[start + self.window : start + self.window + len(block)]
                errors[start + self.window : start + self.window + len(block)] = np.abs(there - said) / scale[:, 0]
                continue
            wrong = np.abs((block - centre) / scale - given)
            for offset in range(self.window):
                errors[start + offset : start + offset + len(block)] += wrong[:, offset]
                covered[start + offset : start + offset + len(block)] += 1
        return errors if self._forecasts else np.asarray(errors / np.maximum(covered, 1))

    def close(self) -> None:
        self._session.close()

    def _computed(self, np: Any, block: Array, step: int) -> Array:
        """[rows, window] -> [rows, window], or [rows, what comes next, …]."""
        rows = len(block)
        if self._rows != -1 and rows < step:
            block = np.concatenate([block, np.zeros((step - rows, self.window))])
        feed = block.reshape(len(block), *self._layout).astype(self._input.dtype)
        given: Array = next(iter(self._session.run({self._input.name: feed}).values()))
        wanted = 1 if self._forecasts else self.window
        if given.size < len(block) * wanted or given.size % len(block) or not np.isfinite(given).all():
            raise ModelFailed(
                f"model `{self._model}` gave {given.size} numbers for {len(block)} windows, or some are none"
            )
        given = given.reshape(len(block), -1)[:rows].astype(np.float64)
        if not self._forecasts and given.shape[1] != self.window:
            raise ModelFailed(f"model `{self._model}` gave {given.shape[1]} values back for {self.window}")
        return given


class Scaling:
    """What is done to a window before the model sees it."""

    def __init__(self, kind: str, mean: float, deviation: float) -> None:
        """`kind`: `window` for each by its own mean and deviation, `fixed` for those given here, `none`."""
        self._kind = kind
        self._mean = mean
        self._deviation = deviation

    def of(self, block: Array) -> tuple[Array, Array]:
        """[rows, window] -> what is subtracted, and what it is then divided by, both [rows, 1]."""
        import numpy as np

        rows = (len(block), 1)
        if self._kind == "none":
            return np.zeros(rows), np.ones(rows)
        if self._kind == "fixed":
            return np.full(rows, self._mean), np.full(rows, self._deviation)
        centre = block.mean(axis=1, keepdims=True)
        return centre, np.maximum(block.std(axis=1, keepdims=True), np.maximum(1e-3 * np.abs(centre), 1e-9))


def usual_error(errors: Array) -> float:
    """Where the trainer has not said how wrong the model may be: six deviations above its median error here."""
    import numpy as np

    judged = errors[errors > 0]
    if not len(judged):
        return 1.0
    centre = float(np.median(judged))
    return max(centre + 6 * 1.4826 * float(np.median(np.abs(judged - centre))), 1e-9)
