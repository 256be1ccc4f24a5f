"""Where somebody speaks in a recording: the `voice-activity` task, for a model such as silero-vad's `…_sequence.onnx`.

The model takes windows of sound, each with the end of the one before as context, and a state that is carried from run
to run, and gives the probability of speech in each. Segments are made of these probabilities as its makers do it:
speech begins at `threshold`, ends when it stays under `threshold` - 0.15 for `min_silence_ms`, and is widened by
`pad_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.audio import decode_wav
from tidegate.models.inputs.binary import binary, binary_schema, only
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.onnx import OnnxSession
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK: Final = 256
"""Windows computed in one run, 8 s of sound: long enough to be fast, short enough to stop in between."""

_OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "speech": {"type": "boolean", "description": "Whether anybody speaks at all."},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"start_s": {"type": "number"}, "end_s": {"type": "number"}},
                "required": ["start_s", "end_s"],
            },
        },
        "speech_s": {"type": "number", "description": "Seconds of speech, all segments together."},
        "duration_s": {"type": "number", "description": "Seconds of the whole recording."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["speech", "segments", "speech_s", "duration_s", "confidence"],
}


@dataclass(frozen=True, slots=True)
class _Segmenting:
    """What makes segments of probabilities. Times in samples."""

    window: int
    threshold: float
    min_speech: int
    min_silence: int
    pad: int


class VoiceActivity:
    """The task for one model."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        self._manifest = manifest
        self._place = place
        self._session: OnnxSession | None = None
        settings = Settings(manifest)
        self._rate = settings.whole("sample_rate_hz", 16_000, low=8_000, high=48_000)
        self._window = settings.whole("window_samples", 512, low=64, high=4096)
        self._context = settings.whole("context_samples", 64, low=0, high=4096)
        self._max_s = settings.number("max_s", 600.0, low=1.0, high=7200.0)
        per_ms = self._rate / 1000
        self._segmenting = _Segmenting(
            window=self._window,
            threshold=settings.number("threshold", 0.5, low=0.01, high=0.99),
            min_speech=round(per_ms * settings.whole("min_speech_ms", 250, low=0, high=10_000)),
            min_silence=round(per_ms * settings.whole("min_silence_ms", 100, low=0, high=10_000)),
            pad=round(per_ms * settings.whole("pad_ms", 30, low=0, high=1_000)),
        )
        settings.done()
        self._file = manifest.file("model")
        self.tools: tuple[Tool, ...] = (
            Tool(
                name="detect",
                title="Detect speech",
                description="Tells whether and when somebody speaks in a recording, not what. Takes a WAV file.",
                input_schema={
                    "type": "object",
                    "properties": {"audio": binary_schema("The recording, a WAV file.", "audio")},
                    "required": ["audio"],
                    "additionalProperties": False,
                },
                output_schema=_OUTPUT,
            ),
        )

    def prepare(self, tool: str, arguments: Json) -> Job:
        only(arguments, frozenset(("audio",)))
        data = binary(arguments, "audio", self._manifest.limits.input_bytes)
        return Job(tool, decode_wav(data, self._rate, self._max_s))

    def load(self, threads: int) -> None:
        session = OnnxSession.open(self._place("model"), self._file, threads, self._manifest.limits)
        taken = [tensor.name for tensor in session.inputs]
        if not taken or len(session.outputs) != len(taken):
            raise ModelRefused(
                f"`{session.name}` must take windows and states, and give a probability and the same states"
            )
        self._session = session

    def unload(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        return [self._detect(job.payload, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _detect(self, samples: NDArray[np.float32], ear: Ear) -> Outcome:
        probabilities = self._probabilities(samples, ear)
        if probabilities is None:
            return ModelFailed("nobody waited for the answer any more")
        segments = segments_of(probabilities.tolist(), len(samples), self._segmenting)
        rate = self._rate
        spoken = sum(end - start for start, end in segments) / rate
        top = float(probabilities.max())
        found = [{"start_s": round(start / rate, 3), "end_s": round(end / rate, 3)} for start, end in segments]
        structured: Json = {
            "speech": bool(found),
            "segments": found,
            "speech_s": round(spoken, 3),
            "duration_s": round(len(samples) / rate, 3),
            "confidence": round(top if found else 1 - top, 4),
        }
        return Answer(structured, _words(structured))

    def _probabilities(self, samples: NDArray[np.float32], ear: Ear) -> NDArray[np.float32] | None:
        """Of speech in each window; None when nobody waits any more."""
        import numpy as np

        session = self._session
        if session is None:
            raise ModelFailed(f"model `{self._manifest.name}` is not loaded")
        count = -(-len(samples) // self._window)
        sound, *states = session.inputs
        probability, *after = session.outputs
        carried: dict[str, Any] = {
            state.name: np.zeros([1 if size == -1 else size for size in state.shape], state.dtype) for state in states
        }
        found = []
        for start in range(0, count, _BLOCK):
            if ear.gone:
                return None
            windows = self._windows(samples, start, min(start + _BLOCK, count))
            results = session.run({sound.name: windows, **carried})
            found.append(results[probability.name].reshape(-1))
            carried = {before.name: results[behind.name] for before, behind in zip(states, after, strict=True)}
            ear.progress(min(start + _BLOCK, count), count)
        return np.concatenate(found)

    def _windows(self, samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Each with the end of the one before it; silence before the first and after the last."""
        import numpy as np

        first, last = start * self._window - self._context, stop * self._window
        piece = samples[max(0, first) : last]
        before = max(0, -first)
        piece = np.pad(piece, (before, last - first - before - len(piece)))
        windows = np.lib.stride_tricks.sliding_window_view(piece, self._context + self._window)
        return np.ascontiguousarray(windows[:: self._window])


def segments_of(probabilities: Sequence[float], length: int, how: _Segmenting) -> list[tuple[int, int]]:
    """Where speech starts and ends, in samples of a recording of `length`."""
    raw: list[tuple[int, int]] = []
    begun: int | None = None
    quiet_since = 0
    for index, probability in enumerate(probabilities):
        now = index * how.window
        if probability >= how.threshold:
            quiet_since = 0
            begun = now if begun is None else begun
        elif begun is not None and probability < max(how.threshold - 0.15, 0.01):
            quiet_since = quiet_since or now
            if now - quiet_since >= how.min_silence:
                if quiet_since - begun > how.min_speech:
                    raw.append((begun, quiet_since))
                begun, quiet_since = None, 0
    if begun is not None and length - begun > how.min_speech:
        raw.append((begun, length))
    return _widened(raw, length, how.pad)


def _widened(raw: list[tuple[int, int]], length: int, pad: int) -> list[tuple[int, int]]:
    """With `pad` on each side, or half of the gap where two segments are nearer than that."""
    starts = [max(0, start - pad) for start, _ in raw]
    ends = [min(length, end + pad) for _, end in raw]
    for index in range(len(raw) - 1):
        end, start = raw[index][1], raw[index + 1][0]
        if start - end < 2 * pad:
            ends[index] = end + (start - end) // 2
            starts[index + 1] = max(0, start - (start - end) // 2)
    return list(zip(starts, ends, strict=True))


def _words(found: Json) -> str:
    if not found["speech"]:
        return f"Nobody speaks in these {found['duration_s']} s."
    spans = [f"{one['start_s']}–{one['end_s']} s" for one in found["segments"][:20]]
    more = len(found["segments"]) - len(spans)
    return (
        f"Speech for {found['speech_s']} of {found['duration_s']} s: "
        + ", ".join(spans)
        + (f" and {more} more" if more else "")
    )
