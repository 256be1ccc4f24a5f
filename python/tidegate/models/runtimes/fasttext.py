"""Classifiers made by fastText (`.bin`, `.ftz`), by the package fasttext-predict: a C++ reader without bounds checks,
so only files whose digest was checked come here, only in the worker, and `fasttext_file.py` looks at them before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tidegate.errors import ModelMissing, ModelOutOfMemory, ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.fasttext_file import BrokenFastText, check_fasttext
from tidegate.models.runtimes.system_library import unusable

_BREAKS: Final = str.maketrans(dict.fromkeys("\n\r\v\f\t\0", " "))
"""What fastText takes for white space; a newline would end the text."""


class FastTextClassifier:
    """One loaded file."""

    __slots__ = ("_model",)

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def open(cls, manifest: ModelManifest, path: Path) -> FastTextClassifier:
        """Raises: ModelMissing, ModelRefused, ModelOutOfMemory."""
        try:
            import fasttext  # type: ignore[import-untyped,unused-ignore]
        except ModuleNotFoundError:
            raise ModelMissing(
                f"model `{manifest.name}` needs the package `fasttext-predict`: pip install --no-deps fasttext-predict"
            ) from None
        except ImportError as error:
            again = "pip install --force-reinstall --no-deps fasttext-predict"
            raise ModelMissing(unusable("fasttext-predict", error, again)) from None
        try:
            check_fasttext(path)
        except OSError as error:
            raise ModelRefused(f"model `{manifest.name}`: `{path.name}` cannot be read: {error.strerror}") from None
        except BrokenFastText as error:
            raise ModelRefused(f"model `{manifest.name}`: `{path.name}` is no fastText model: {error}") from None
        # The native object: its Python wrapper adds only a check and a print.
        model = fasttext.FastText.fasttext.fasttext()
        try:
            model.loadModel(str(path))
        except MemoryError:
            raise ModelOutOfMemory(f"model `{manifest.name}`: there is no memory to load `{path.name}`") from None
        except (ValueError, RuntimeError) as error:
            raise ModelRefused(f"model `{manifest.name}`: `{path.name}` is no fastText model: {error}") from None
        return cls(model)

    def scores(self, text: str, top: int) -> list[tuple[str, float]]:
        """The `top` likeliest labels, best first, as the file spells them; scores from 0 to 1. May be none: a
        classifier that knows nothing of the text.
        """
        # fastText adds a small constant before it takes logarithms, so a certain label may come out above 1.
        found = self._model.predict(text.translate(_BREAKS) + "\n", top, 0.0, "replace")
        return [(label, min(1.0, max(0.0, score))) for score, label in found]
