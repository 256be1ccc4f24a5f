"""The shipped model `voice`: real speech and silence, and the same probabilities as the library's other file gives."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, installed, placed, shipped
from sounds import silence, sox, speech

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.task import Answer, BadInput
from tidegate.models.tasks.voice_activity import VoiceActivity, _Segmenting, segments_of

pytestmark = pytest.mark.skipif(not installed("voice"), reason="the package silero-vad is not installed")


@pytest.fixture(scope="module")
def voice() -> Iterator[VoiceActivity]:
    of = shipped("voice")
    task = VoiceActivity(of, lambda role: placed(of, role))
    task.load(1)
    yield task
    task.unload()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech(tmp_path_factory.mktemp("sounds") / "speech.wav")


def sent(path: Path) -> dict[str, Any]:
    return {"audio": {"type": "audio", "mimeType": "audio/wav", "data": base64.b64encode(path.read_bytes()).decode()}}


def test_a_sentence_between_two_silences_is_found_where_it_is(voice: VoiceActivity, spoken: Path) -> None:
    (answer,) = call(voice, "detect", sent(spoken))
    found = answer.structured
    assert found["speech"] is True
    assert found["confidence"] > 0.9
    assert 1.8 < found["segments"][0]["start_s"] < 2.3
    assert found["duration_s"] - 2.4 < found["segments"][-1]["end_s"] < found["duration_s"] - 1.7
    assert 1.5 < found["speech_s"] < found["duration_s"] - 3.5
    assert all(one["end_s"] <= other["start_s"] for one, other in pairwise(found["segments"]))
    assert answer.text.startswith("Speech for ")
    Draft202012Validator(voice.tools[0].output_schema).validate(found)


def test_a_hissing_room_is_no_speech(voice: VoiceActivity, tmp_path: Path) -> None:
    (answer,) = call(voice, "detect", sent(silence(tmp_path / "hiss.wav")))
    assert answer.structured["speech"] is False
    assert answer.structured["segments"] == []
    assert answer.structured["speech_s"] == 0
    assert answer.structured["confidence"] > 0.7
    assert answer.text == "Nobody speaks in these 2.0 s."


def test_a_tone_is_no_speech(voice: VoiceActivity, tmp_path: Path) -> None:
    sox("-n", "-r", "16000", "-b", "16", tmp_path / "tone.wav", "synth", "2", "sine", "440", "vol", "0.5")
    (answer,) = call(voice, "detect", sent(tmp_path / "tone.wav"))
    assert answer.structured["speech"] is False


@pytest.mark.parametrize(
    "how",
    [
        ("-r", "8000", "-b", "8", "-e", "unsigned-integer"),
        ("-r", "44100", "-b", "24"),
        ("-r", "48000", "-b", "32", "-e", "signed-integer", "-c", "2"),
        ("-r", "16000", "-b", "32", "-e", "floating-point"),
        ("-r", "96000", "-b", "64", "-e", "floating-point"),
        ("-r", "11025", "-b", "16"),
    ],
)
def test_the_same_speech_is_found_in_every_kind_of_wav(
    voice: VoiceActivity, spoken: Path, tmp_path: Path, how: tuple[str, ...]
) -> None:
    sox("-R", spoken, *how, tmp_path / "other.wav")
    first, other = (call(voice, "detect", sent(path))[0].structured for path in (spoken, tmp_path / "other.wav"))
    assert other["duration_s"] == pytest.approx(first["duration_s"], abs=0.01)
    assert other["speech_s"] == pytest.approx(first["speech_s"], abs=0.5)
    assert other["segments"][0]["start_s"] == pytest.approx(first["segments"][0]["start_s"], abs=0.1)
    assert other["segments"][-1]["end_s"] == pytest.approx(first["segments"][-1]["end_s"], abs=0.1)


def test_the_probabilities_are_those_of_the_same_network_run_window_by_window(
    voice: VoiceActivity, spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against `silero_vad.onnx` as its makers drive it: another file, one window a run, state and context by hand."""
    monkeypatch.setattr("tidegate.models.tasks.voice_activity._BLOCK", 10)
    import numpy as np
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    samples = voice.prepare("detect", sent(spoken)).payload
    padded = np.concatenate([np.zeros(64, np.float32), samples, np.zeros(-len(samples) % 512, np.float32)])
    path = placed(shipped("voice"), "model").parent / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    expected = []
    for at in range(0, len(padded) - 64, 512):
        feeds = {"input": padded[None, at : at + 576], "state": state, "sr": np.array(16000, np.int64)}
        probability, state = session.run(None, feeds)
        expected.append(float(probability[0, 0]))
    found = voice._probabilities(samples, Silence())
    assert found is not None
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    assert max(expected) > 0.9 > 0.1 > min(expected)


@pytest.mark.parametrize(
    ("probabilities", "segments"),
    [
        ([0.9] * 10, [(0, 1000)]),
        ([0.1] * 5 + [0.9] * 5 + [0.1] * 5, [(490, 1010)]),
        ([0.1] * 5 + [0.9] * 2 + [0.1] * 5, []),  # too short
        ([0.9] * 5 + [0.1] + [0.9] * 5, [(0, 1100)]),  # too short a silence
        ([0.9] * 5 + [0.4] * 5 + [0.9] * 5, [(0, 1500)]),  # not quiet enough
        ([0.9] * 5 + [0.1] * 3 + [0.4] * 5, [(0, 510)]),  # once over, it must begin anew
        ([0.4] * 9, []),
        ([0.9] * 5 + [0.1] * 3 + [0.9] * 5, [(0, 510), (790, 1300)]),
        ([], []),
    ],
)
def test_probabilities_become_segments(probabilities: list[float], segments: list[tuple[int, int]]) -> None:
    how = _Segmenting(window=100, threshold=0.5, min_speech=250, min_silence=150, pad=10)
    assert segments_of(probabilities, 100 * len(probabilities), how) == segments


def test_a_gap_narrower_than_its_margins_is_shared() -> None:
    how = _Segmenting(window=100, threshold=0.5, min_speech=0, min_silence=100, pad=200)
    assert segments_of([0.9] * 5 + [0.1] * 2 + [0.9] * 5, 1200, how) == [(0, 600), (600, 1200)]


def test_a_long_recording_reports_progress_and_stops_when_nobody_waits(voice: VoiceActivity, tmp_path: Path) -> None:
    job = voice.prepare("detect", sent(silence(tmp_path / "long.wav", 20.0)))
    ear = Silence()
    assert isinstance(voice.run([job], [ear])[0], Answer)
    steps = [done for done, _, _ in ear.heard]
    assert len(steps) > 1
    assert steps == sorted(set(steps))
    assert ear.heard[-1][0] == ear.heard[-1][1]
    gone = Silence()
    gone.gone = True
    assert isinstance(voice.run([job], [gone])[0], ModelFailed)
    assert gone.heard == []


def test_what_cannot_be_listened_to_is_told_in_words(voice: VoiceActivity) -> None:
    for data, words in (
        (b"OggS" + bytes(60), "is Ogg, which is not decoded here: send a WAV file"),
        (b"\xff\xfb" + bytes(60), "is MP3"),
        (b"\0\0\0\x20ftypM4A " + bytes(60), "is MP4"),
        (bytes(60), "is no sound file that is known here: send a WAV file"),
        (b"RIFF\x24\0\0\0WAVEdata\0\0\0\0", "damaged WAV"),
        (b"RIFF\x24\0\0\0WAVE", "damaged WAV"),
    ):
        with pytest.raises(BadInput, match=words):
            voice.prepare("detect", {"audio": base64.b64encode(data).decode()})


def test_a_recording_that_is_too_long_is_told_so(voice: VoiceActivity, tmp_path: Path) -> None:
    sox("-n", "-r", "8000", "-b", "8", tmp_path / "long.wav", "trim", "0", "301")
    with pytest.raises(BadInput, match="lasts 301 s and may last 300 s"):
        voice.prepare("detect", sent(tmp_path / "long.wav"))


def test_a_model_that_is_not_loaded_says_so(spoken: Path) -> None:
    of = shipped("voice")
    task = VoiceActivity(of, lambda role: placed(of, role))
    with pytest.raises(ModelFailed, match="not loaded"):
        call(task, "detect", sent(spoken))
    task.unload()


def test_a_setting_that_makes_no_sense_refuses_the_model() -> None:
    of = shipped("voice")
    of.settings["threshold"] = 7
    with pytest.raises(ModelRefused, match="threshold"):
        VoiceActivity(of, lambda role: placed(of, role))
