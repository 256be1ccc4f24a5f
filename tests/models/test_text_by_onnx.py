"""Text classification and embedding by ONNX files made here, whose right answers can be worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from models_at_hand import Silence, call, file, manifest
from onnx_writing import INT64, declared, graph, model, node, number, part, tensor

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.task import Answer
from tidegate.models.tasks.embedding import Embedding
from tidegate.models.tasks.text_classification import TextClassification

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

WORDS = {
    "[PAD]": (9.0, 9.0, 9.0),  # would be heard if padding were not masked
    "[UNK]": (0.0, 0.0, 0.0),
    "[CLS]": (0.0, 0.0, 0.0),
    "[SEP]": (0.0, 0.0, 0.5),
    "leak": (2.0, 0.0, 0.0),
    "##ing": (0.5, 0.0, 0.0),
    "quiet": (0.0, 3.0, 0.0),
    "pump": (0.25, 0.25, 0.25),
}
"""Pieces of the vocabulary, with what each adds to the labels alarm, calm and other."""

LABELS = ["alarm", "calm", "other"]


def whole(field: str, value: int) -> bytes:
    """An attribute of a node."""
    return part(5, part(1, field) + number(3, value) + number(20, 2))


def summing(rows: int | str = "rows", length: int | str = "length", first: str = "input_ids") -> bytes:
    """Adds up the weights of all tokens, under the mask. Two outputs: of each token, and of the text."""
    ids = len(WORDS)
    return model(
        graph(
            [
                node("Gather", ["table", first], ["each"]),
                node("Cast", ["attention_mask"], ["mask"], extra=whole("to", 1)),
                node("Unsqueeze", ["mask", "last"], ["column"]),
                node("Mul", ["each", "column"], ["kept"]),
                node("ReduceSum", ["kept", "middle"], ["logits"], extra=whole("keepdims", 0)),
            ],
            [declared(first, [rows, length], INT64), declared("attention_mask", [rows, length], INT64)],
            [declared("logits", [rows, 3]), declared("each", [rows, length, 3])],
            [
                tensor("table", [value for row in WORDS.values() for value in row], [ids, 3]),
                tensor("last", [2], kind=INT64),
                tensor("middle", [1], kind=INT64),
            ],
        )
    )


def made(folder: Path, onnx: bytes, task: str, **settings: Any) -> Any:
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    of = manifest(task, [file(folder / "model.onnx"), file(folder / "vocab.txt", "tokenizer")], folder, **settings)
    kind: Any = TextClassification if task == "text-classification" else Embedding
    return kind(of, lambda role: folder / {"model": "model.onnx", "tokenizer": "vocab.txt"}[role])


def softmax(*logits: float) -> list[float]:
    raised = [math.exp(logit) for logit in logits]
    return [one / sum(raised) for one in raised]


def scores(answer: Answer) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in answer.structured["labels"]}


@pytest.mark.parametrize(("rows", "length"), [("rows", "length"), (1, "length"), ("rows", 16), (4, 16)])
def test_texts_get_the_scores_that_their_words_add_up_to(tmp_path: Path, rows: int | str, length: int | str) -> None:
    """Also where the file fixes how many rows or tokens it takes, so that there is padding of both kinds."""
    task = made(tmp_path, summing(rows, length), "text-classification", labels=LABELS, max_tokens=16)
    task.load(1)
    texts = ["Leaking pump", "quiet", "quiet quiet leak " * 3, "Ω", "pump pump"]
    expected = [(2.75, 0.25, 0.75), (0, 3, 0.5), (6, 18, 0.5), (0, 0, 0.5), (0.5, 0.5, 1.0)]
    answers = call(task, "classify", *({"text": text} for text in texts))
    for answer, logits in zip(answers, expected, strict=True):
        assert scores(answer) == pytest.approx(dict(zip(LABELS, softmax(*logits), strict=True)), abs=1e-5)
    assert [answer.structured["label"] for answer in answers] == ["alarm", "calm", "calm", "other", "other"]
    assert answers[1].text.startswith("calm 8")
    task.unload()


def test_with_sigmoid_each_label_stands_for_itself(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), "text-classification", labels=LABELS, activation="sigmoid")
    task.load(1)
    (answer,) = call(task, "classify", {"text": "leak quiet", "top": 2})
    assert scores(answer) == pytest.approx({"calm": 1 / (1 + math.exp(-3)), "alarm": 1 / (1 + math.exp(-2))}, abs=1e-5)


def test_numbers_that_are_scores_already_are_kept(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), "text-classification", labels=LABELS, activation="none")
    task.load(1)
    (answer,) = call(task, "classify", {"text": "pump"})
    assert scores(answer) == pytest.approx({"other": 0.75, "alarm": 0.25, "calm": 0.25})


def test_what_is_beyond_the_longest_text_is_not_read(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), "text-classification", labels=LABELS, max_tokens=4)
    task.load(1)
    cut, whole_text = call(task, "classify", {"text": "leak pump " + "quiet " * 100}, {"text": "leak pump"})
    assert cut.structured == {**whole_text.structured, "truncated": True}
    assert cut.text == f"{whole_text.text} (by its beginning: the text is too long)"


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", (2.25 / 4, 0.25 / 4, 0.75 / 4)),
        ("max", (2.0, 0.25, 0.5)),
        ("first", (0, 0, 0)),
        ("last", (0, 0, 0.5)),
    ],
)
def test_tokens_are_pooled_without_padding(tmp_path: Path, pooling: str, expected: tuple[float, ...]) -> None:
    task = made(tmp_path, summing(), "embedding", pooling=pooling, normalised=False, output="each")
    task.load(1)
    (answer,) = call(task, "embed", {"texts": ["leak pump", "pump " * 9]})
    assert answer.structured["embeddings"][0] == pytest.approx(expected)


def test_a_model_may_pool_by_itself(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), "embedding", pooling="none", normalised=False)
    task.load(1)
    (answer,) = call(task, "embed", {"texts": ["leak"]})
    assert answer.structured["embeddings"] == [[2, 0, 0.5]]


def test_prefixes_stand_before_documents_and_queries(tmp_path: Path) -> None:
    task = made(
        tmp_path,
        summing(),
        "embedding",
        pooling="none",
        normalised=False,
        document_prefix="quiet ",
        query_prefix="leak ",
    )
    task.load(1)
    document, query = call(task, "embed", {"texts": ["x"]}, {"texts": ["x"], "kind": "query"})
    assert document.structured["embeddings"] == [[0, 3, 0.5]]
    assert query.structured["embeddings"] == [[2, 0, 0.5]]
    (found,) = call(task, "search", {"query": "pump", "documents": ["leak leak", "pump"]})
    assert [result["text"] for result in found.structured["results"]] == ["leak leak", "pump"]


def test_a_model_of_another_pooling_fails_by_name(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), "embedding", pooling="mean")
    task.load(1)
    with pytest.raises(ModelFailed, match="2 dimensions, which does not go with pooling `mean`"):
        task.run([task.prepare("embed", {"texts": ["leak"]})], [Silence()])


@pytest.mark.parametrize(
    ("onnx", "settings", "says"),
    [
        (summing(), {"labels": LABELS[:2]}, "2 labels do not go with an output of the shape"),
        (
            summing(first="pixels"),
            {"labels": LABELS},
            "takes `pixels`, `attention_mask`; a text model takes `input_ids`",
        ),
        (summing(length=8), {"labels": LABELS}, "takes 8 tokens; `max_tokens` is 512"),
        (summing(), {"labels": LABELS, "output": "nothing"}, "has no output `nothing`"),
        (summing()[:-40], {"labels": LABELS}, "model.onnx"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path: Path, onnx: bytes, settings: dict[str, Any], says: str) -> None:
    task = made(tmp_path, onnx, "text-classification", **settings)
    with pytest.raises(ModelRefused, match=says):
        task.load(1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "setting `labels` names a label twice, or none at all"),
        ({"labels": ["a", "a"]}, "names a label twice"),
        ({"labels": LABELS, "activation": "relu"}, "setting `activation` is `relu`, and not one of `softmax`"),
        ({"labels": LABELS, "max_tokens": 2}, "is not a whole number from 3"),
        ({"labels": LABELS, "max_tokens": True}, "is not a whole number"),
        ({"labels": LABELS, "names": {"alarm": 3}}, "is not a table of strings"),
    ],
)
def test_settings_that_make_no_sense_refuse_the_model(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        made(tmp_path, summing(), "text-classification", **settings)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("vocab.txt", b"[PAD]\nword\n", r"`\[UNK\]` is not in it"),
        ("vocab.txt", b"\xff\xfe", "is not a vocabulary"),
        ("tokenizer.json", b"{}", "is not a vocabulary"),
        ("tokenizer.json", b'{"model": {"type": "BPE"', "is not a vocabulary"),
    ],
)
def test_a_broken_vocabulary_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / "model.onnx").write_bytes(summing())
    (tmp_path / name).write_bytes(content)
    of = manifest("embedding", [file(tmp_path / "model.onnx"), file(tmp_path / name, "tokenizer")], tmp_path)
    task = Embedding(of, lambda role: tmp_path / ("model.onnx" if role == "model" else name))
    with pytest.raises(ModelRefused, match=says):
        task.load(1)


@pytest.mark.parametrize(
    ("known", "unknown"), [({}, "[UNK]"), ({"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}, "nowhere")]
)
def test_a_tokenizer_that_contradicts_itself_is_refused(tmp_path: Path, known: dict[str, Any], unknown: str) -> None:
    """The library loads both. At a text it panics over the first, which is no `Exception`, and raises at the second."""
    pieces = {word: number for number, word in enumerate(WORDS)}
    start = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": pieces,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": start, "pair": pair, "special_tokens": known},
    }
    (tmp_path / "model.onnx").write_bytes(summing())
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    files = [file(tmp_path / "model.onnx"), file(tmp_path / "tokenizer.json", "tokenizer")]
    of = manifest("embedding", files, tmp_path, pooling="none")
    task = Embedding(of, lambda role: tmp_path / ("model.onnx" if role == "model" else "tokenizer.json"))
    with pytest.raises(ModelRefused, match=r"model `probe`: `tokenizer\.json` is not a vocabulary"):
        task.load(1)


def test_a_text_model_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(summing())
    with pytest.raises(ModelRefused, match=r"needs `\[files\.tokenizer\]`"):
        Embedding(
            manifest("embedding", [file(tmp_path / "model.onnx")], tmp_path), lambda role: tmp_path / "model.onnx"
        )
