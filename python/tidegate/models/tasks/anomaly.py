"""Anomalies in a time series: a score for each value, and the places where it is high.

Without any file by what the series itself did before (`series/scores.py`), or by an ONNX model of what is usual
(`series/learnt.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.series.learnt import Scaling, SeriesModel, usual_error
from tidegate.models.series.scores import unusualness
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

VALUES: Final = 100_000
"""Of one call: a year of readings every five minutes."""
LARGEST: Final = 1e150
"""Of a value; its square still is a number."""
DIGITS: Final = 4
"""Of a score, after the point."""
_MEASURES: Final = ("range", "robust")
_MODELS: Final = ("autoencoder", "forecaster")
_HALF: Final = {"range": 0.03, "robust": 6.0}
"""How unusual a value is whose score is 0.5: by three hundredths of the range, chosen on the Numenta benchmark,
or by six deviations.
"""
_LOOK_UP_EVERY: Final = 4096
"""Values between two looks at whether somebody still waits."""


class Anomaly:
    """`score`: values -> scores and anomalies."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._method = settings.choice("method", (*_MEASURES, *_MODELS), "range")
        """By the series itself: `range` for what lies outside of all that went before, `robust` for what lies far from
        its middle. By a model: `autoencoder` or `forecaster`.
        """
        self._threshold = settings.number("threshold", 0.5, low=0.001, high=0.999)
        """A value is an anomaly from this score on."""
        self._quiet = settings.whole("quiet", 20, low=0, high=VALUES)
        """Anomalies with fewer values between them are one."""
        if self._method in _MEASURES:
            self._window = settings.whole("window", 2000, low=10, high=VALUES)
            """How many values before it a value is judged by."""
            self._warm_up = settings.whole("warm_up", max(5, self._window // 20), low=5, high=self._window)
            """How many there must be."""
            self._season = settings.whole("season", 0, low=0, high=VALUES)
            """After how many values the series repeats itself, such as 288 for a day of readings every five minutes; 0:
            it does not.
            """
            self._half = settings.number("half", _HALF[self._method], low=1e-9, high=1e9)
            """How unusual a value is whose score is 0.5: in widths of the range, or in deviations."""
        else:
            manifest.file("model")
            self._window = settings.whole("window", 0, low=0, high=65536)
            """Values of one input of the model; 0: as its file fixes it."""
            self._half = settings.number("half", 0.0, low=0.0, high=1e9)
            """How wrong the model is about a value whose score is 0.5, in scaled units; 0: six deviations above what it
            is in the middle of each call.
            """
            self._scaling = Scaling(
                settings.choice("scaling", ("window", "fixed", "none"), "window"),
                settings.number("mean", 0.0, low=-LARGEST, high=LARGEST),
                settings.number("deviation", 1.0, low=1e-12, high=LARGEST),
            )
        settings.done()
        self._model: SeriesModel | None = None
        self._tools = (_tool(),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        values = arguments.get("values")
        if not isinstance(values, list) or not 1 <= len(values) <= VALUES:
            raise BadInput(f"`values` must be a list of 1 to {VALUES} numbers")
        for index, value in enumerate(values):
            if value is None:
                continue
            # An integer that is too long for a float compares well.
            if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST < value < LARGEST:
                raise BadInput(f"`values[{index}]` must be a number, or null where there is none")
        if len(values) * 8 > self._manifest.limits.input_bytes:
            raise BadInput(f"`values` are {len(values)}; this model takes {self._manifest.limits.input_bytes // 8}")
        stamps = arguments.get("timestamps")
        if stamps is not None:
            if not isinstance(stamps, list) or len(stamps) != len(values):
                raise BadInput("`timestamps` must be a list as long as `values`")
            if any(isinstance(stamp, bool) or not isinstance(stamp, str | int | float) for stamp in stamps):
                raise BadInput("`timestamps` must be strings or numbers")
        return Job(tool, ([None if value is None else float(value) for value in values], stamps))

    def load(self, threads: int) -> None:
        if self._method in _MEASURES or self._model is not None:
            return
        from tidegate.models.runtimes.onnx import OnnxSession

        file = self._manifest.file("model")
        session = OnnxSession.open(self._place("model"), file, threads, self._manifest.limits)
        window = self._window or max(session.inputs[0].shape[1:], default=-1)
        if window < 2:
            session.close()
            raise ModelRefused(
                f"model `{self._manifest.name}`: its file does not fix the window; the setting `window` must"
            )
        self._model = SeriesModel(self._manifest, session, self._method, window, self._scaling)

    def unload(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        return [self._one(job, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _one(self, job: Job, ear: Ear) -> Outcome:
        values, stamps = job.payload
        try:
            scores = self._by_model(values, ear) if self._model is not None else self._by_itself(values, ear)
        except ModelFailed as error:
            return error
        return self._answer(values, stamps, scores)

    def _by_itself(self, values: list[float | None], ear: Ear) -> list[float]:
        scores: list[float] = []
        for far in unusualness(values, self._method, self._window, self._warm_up, self._season):
            scores.append(_score(far, self._half))
            if len(scores) % _LOOK_UP_EVERY == 0:
                if ear.gone:
                    raise ModelFailed(f"model `{self._manifest.name}`: nobody waits for the answer")
                ear.progress(len(scores), len(values))
        return scores

    def _by_model(self, values: list[float | None], ear: Ear) -> list[float]:
        import numpy as np

        assert self._model is not None
        filled: list[float] = []
        for value in values:
            # A model takes no gaps: the value before stays, and is not judged.
            filled.append(value if value is not None else filled[-1] if filled else 0.0)
        errors = self._model.errors(np.array(filled), lambda: not ear.gone)
        half = self._half or usual_error(errors)
        return [
            0.0 if value is None else _score(error, half) for value, error in zip(values, errors.tolist(), strict=True)
        ]

    def _answer(self, values: list[float | None], stamps: list[str | float] | None, scores: list[float]) -> Answer:
        anomalies: list[Json] = []
        for index, score in enumerate(scores):
            if score < self._threshold:
                continue
            if anomalies and index - anomalies[-1]["last"] <= self._quiet:
                event = anomalies[-1]
                event["last"] = index
                if score <= event["score"]:
                    continue
            else:
                event = {"first": index, "last": index}
                anomalies.append(event)
            event.update(index=index, score=score, value=values[index])
            if stamps is not None:
                event["timestamp"] = stamps[index]
        structured: dict[str, Any] = {"scores": scores, "anomalies": anomalies, "threshold": self._threshold}
        words = f"{len(anomalies) or 'No'} {'anomaly' if len(anomalies) == 1 else 'anomalies'} in {len(values)} values"
        named = [f"{event['value']:g} at {event.get('timestamp', event['index'])}" for event in anomalies[:5]]
        more = f" and {len(anomalies) - 5} more" if len(anomalies) > 5 else ""
        return Answer(structured, words + (": " + ", ".join(named) + more if named else ""))


def _score(far: float, half: float) -> float:
    """From 0 to 1; 0.5 at `half`, 0.9 at three times that."""
    ratio = far / half
    return round(1.0 - 1.0 / (1.0 + ratio * ratio), DIGITS) if math.isfinite(ratio * ratio) else 1.0


def _tool() -> Tool:
    stamp: Json = {"type": ["string", "number"]}
    return Tool(
        "score",
        "Score a time series",
        "Says how unusual each value of a series is by those before it, and which are anomalies."
        " Send enough of the past: the first values of a call cannot be judged.",
        {
            "type": "object",
            "properties": {
                "values": {
                    "type": "array",
                    "items": {"type": ["number", "null"]},
                    "minItems": 1,
                    "maxItems": VALUES,
                    "description": "In the order of time, at equal distances; null where one is missing",
                },
                "timestamps": {
                    "type": "array",
                    "items": stamp,
                    "maxItems": VALUES,
                    "description": "One for each value, repeated with the anomalies",
                },
            },
            "required": ["values"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "scores": {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0, "maximum": 1},
                    "description": "One for each value",
                },
                "anomalies": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "index": {"type": "integer", "minimum": 0, "description": "Of its most unusual value"},
                            "score": {"type": "number", "minimum": 0, "maximum": 1},
                            "value": {"type": "number"},
                            "timestamp": stamp,
                            "first": {"type": "integer", "minimum": 0, "description": "Where it begins"},
                            "last": {"type": "integer", "minimum": 0, "description": "Where it ends"},
                        },
                        "required": ["index", "score", "value", "first", "last"],
                        "additionalProperties": False,
                    },
                },
                "threshold": {"type": "number", "description": "A value is an anomaly from this score on"},
            },
            "required": ["scores", "anomalies", "threshold"],
            "additionalProperties": False,
        },
    )
