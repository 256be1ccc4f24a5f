"""Text to token numbers, by the `tokenizers` library from a model's own `tokenizer.json` or `vocab.txt`.

Imported, like its library, when a model is loaded. Runs on one thread: rows are cut and grouped by
`runtimes/encoder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate.errors import ModelFailed, ModelMissing, ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.system_library import unusable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LARGEST_FILE: Final = 64 * 1024 * 1024
"""Bytes; the vocabularies of the largest multilingual models take a third of it."""


_SAMPLE: Final = "a word, Ω and 水"
"""Read once at loading: some files contradict themselves in a way that shows only at a text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text as numbers."""

    ids: list[int]
    """With the marks of start and end that the model expects."""
    tokens: int
    """How many the whole text has; more than `ids` when it was cut."""


class Tokens:
    """One loaded vocabulary and its rules."""

    def __init__(self, model: str, tokenizer: Tokenizer, max_tokens: int, pad: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        """Of one text, start and end included; what is beyond is cut."""
        self.pad = pad
        """The number that fills short rows up."""

    @classmethod
    def open(cls, manifest: ModelManifest, path: Path, max_tokens: int, lowercase: bool = True) -> Tokens:
        """`lowercase` is for a plain vocabulary, which cannot say so itself. Raises: ModelMissing, ModelRefused."""
        try:
            import tokenizers
        except ImportError as error:
            again = "pip install --no-deps tokenizers"
            raise ModelMissing(f"model `{manifest.name}`: {unusable('tokenizers', error, again)}") from None
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ModelRefused(f"model `{manifest.name}`: `{path.name}` is larger than {LARGEST_FILE >> 20} MiB")
            text = path.read_text(encoding="utf-8")
            json = path.suffix == ".json"
            tokenizer = tokenizers.Tokenizer.from_str(text) if json else _word_pieces(text, lowercase)
            # Whatever the file says about these two is its exporter's; each row is padded to its own neighbours here.
            tokenizer.no_padding()
            tokenizer.no_truncation()
            tokenizer.encode(_SAMPLE)
        except ModelRefused:
            raise
        except BaseException as error:
            if not _is_the_librarys(error):
                raise
            raise ModelRefused(
                f"model `{manifest.name}`: `{path.name}` is not a vocabulary: {str(error)[:200]}"
            ) from None
        pad = next((found for word in ("[PAD]", "<pad>") if (found := tokenizer.token_to_id(word)) is not None), 0)
        if max_tokens <= tokenizer.num_special_tokens_to_add(False):
            raise ModelRefused(f"model `{manifest.name}`: with `max_tokens` = {max_tokens} nothing of a text is left")
        return cls(manifest.name, tokenizer, max_tokens, pad)

    def encode(self, text: str) -> Encoded:
        """Raises: ModelFailed, when the file turns out to contradict itself."""
        try:
            return self._encoded(text)
        except BaseException as error:
            if not _is_the_librarys(error):
                raise
            raise ModelFailed(
                f"model `{self._model}`: its tokenizer could not read a text: {str(error)[:200]}"
            ) from None

    def _encoded(self, text: str) -> Encoded:
        whole = self._tokenizer.encode(text)
        tokens = len(whole.ids)
        if tokens > self.max_tokens:
            bare = self._tokenizer.encode(text, add_special_tokens=False)
            bare.truncate(self.max_tokens - (tokens - len(bare.ids)))
            whole = self._tokenizer.post_process(bare)
        return Encoded(whole.ids, tokens)


def _is_the_librarys(error: BaseException) -> bool:
    """It raises bare `Exception`; and what Rust calls a panic, which by its class is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _word_pieces(text: str, lowercase: bool) -> Tokenizer:
    """BERT's way, from its list of pieces, one a line. Raises: ValueError."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = text.removesuffix("\n").split("\n")
    vocabulary = {piece.removesuffix("\r"): number for number, piece in enumerate(pieces)}
    for mark in ("[UNK]", "[CLS]", "[SEP]"):
        if mark not in vocabulary:
            raise ValueError(f"`{mark}` is not in it")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return tokenizer
