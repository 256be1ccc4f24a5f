"""The tasks that are built in, by the name that a manifest gives: imported when a model of theirs is there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from tidegate.errors import ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.task import Task

Place = Callable[[str], Path]
"""The verified file that plays a part. Raises: ModelRefused, ModelMissing."""

Make = Callable[[ModelManifest, Place], Task]

TASKS: Final[dict[str, str]] = {
    "anomaly": "tidegate.models.tasks.anomaly:Anomaly",
    "chat": "tidegate.models.tasks.chat:Chat",
    "embedding": "tidegate.models.tasks.embedding:Embedding",
    "file-type": "tidegate.models.tasks.file_type:FileType",
    "image-classification": "tidegate.models.tasks.image_classification:ImageClassification",
    "tensor": "tidegate.models.tasks.tensor:TensorRun",
    "text-classification": "tidegate.models.tasks.text_classification:TextClassification",
    "text-recognition": "tidegate.models.tasks.text_recognition:TextRecognition",
    "voice-activity": "tidegate.models.tasks.voice_activity:VoiceActivity",
}
"""Module and class."""


def make_task(manifest: ModelManifest, place: Place) -> Task:
    """Raises: ModelRefused, when there is no such task or it makes no sense of the manifest."""
    known = TASKS.get(manifest.task)
    if known is None:
        names = ", ".join(f"`{name}`" for name in TASKS)
        raise ModelRefused(f"model `{manifest.name}` is refused: there is no task `{manifest.task}`; there are {names}")
    module, _, name = known.partition(":")
    make = cast(Make, getattr(import_module(module), name))
    return make(manifest, place)
