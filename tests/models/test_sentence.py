"""The shipped model `sentence`: known likenesses, search by meaning, and the vectors that the model itself gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, installed, placed, shipped

from tidegate.models.task import Answer, BadInput
from tidegate.models.tasks.embedding import Embedding

np = pytest.importorskip("numpy")
tokenizers = pytest.importorskip("tokenizers")

pytestmark = pytest.mark.skipif(
    not installed("sentence"), reason="the packages of the model `sentence` are not installed"
)

PARAPHRASES = [
    ("A man is playing a guitar on stage.", "Someone performs guitar music in front of an audience."),
    ("The cat sat quietly on the mat.", "A cat was resting on a rug."),
    ("How do I reset my password?", "I forgot my login and need a new password."),
    ("The pump in hall three is leaking oil.", "Oil is dripping from the pump in the third hall."),
    ("Heavy rain is expected tomorrow.", "The forecast for tomorrow is very wet."),
]


@pytest.fixture(scope="module")
def sentence() -> Iterator[Embedding]:
    of = shipped("sentence")
    task = Embedding(of, lambda role: placed(of, role))
    task.load(2)
    yield task
    task.unload()


def vectors(task: Embedding, *texts: str) -> Any:
    (answer,) = call(task, "embed", {"texts": list(texts)})
    return np.array(answer.structured["embeddings"])


def test_the_vocabulary_is_that_of_the_model() -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(placed(shipped("sentence"), "tokenizer")))
    assert tokenizer.get_vocab_size() == 30522
    known = {
        "[PAD]": 0,
        "[UNK]": 100,
        "[CLS]": 101,
        "[SEP]": 102,
        "[MASK]": 103,
        "the": 1996,
        "hello": 7592,
        "##ing": 2075,
    }
    assert {word: tokenizer.token_to_id(word) for word in known} == known


def test_paraphrases_are_far_closer_than_strangers(sentence: Embedding) -> None:
    left = vectors(sentence, *(one for one, _ in PARAPHRASES))
    right = vectors(sentence, *(other for _, other in PARAPHRASES))
    likeness = left @ right.T
    same = likeness.diagonal()
    strange = likeness[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert same.min() > 0.5
    assert strange.max() < 0.25
    assert (likeness.argmax(axis=1) == np.arange(len(PARAPHRASES))).all()


def test_vectors_have_length_one_and_the_answer_fits_its_schema(sentence: Embedding) -> None:
    (answer,) = call(sentence, "embed", {"texts": ["one", "another one"]})
    assert Draft202012Validator(sentence.tools[0].output_schema).is_valid(answer.structured)
    assert answer.structured["dimensions"] == 384
    assert answer.structured["usage"] == {"input_tokens": 3 + 4}
    assert np.linalg.norm(np.array(answer.structured["embeddings"]), axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert answer.text == "2 vectors of 384 numbers"


def test_it_answers_as_the_model_called_directly_does(sentence: Embedding) -> None:
    """One text a run, no padding, the plain formula."""
    import onnxruntime

    of = shipped("sentence")
    session = onnxruntime.InferenceSession(placed(of, "model"))
    tokenizer = tokenizers.Tokenizer.from_file(str(placed(of, "tokenizer")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = [text for pair in PARAPHRASES for text in pair]
    for text, vector in zip(texts, vectors(sentence, *texts), strict=True):
        ids = np.array([tokenizer.encode(text).ids])
        (hidden,) = session.run(
            None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )
        mean = hidden[0].mean(axis=0)
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=2e-5)


def test_a_text_has_the_same_vector_whatever_is_computed_with_it(sentence: Embedding) -> None:
    words = ("valve", "pressure", "report", "night", "shift", "nothing", "unusual", "temperature", "falling")
    draw = random.Random(7)
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 60))) for _ in range(40)]
    together = call(sentence, "embed", {"texts": texts[:3]}, {"texts": texts[3:4]}, {"texts": texts[4:]})
    flat = [vector for answer in together for vector in answer.structured["embeddings"]]
    for index in (0, 2, 3, 39):
        assert vectors(sentence, texts[index])[0] == pytest.approx(flat[index], abs=2e-5)


def test_search_finds_by_meaning(sentence: Embedding) -> None:
    documents = [
        "The canteen serves soup on Fridays.",
        "Replace the filter cartridge every six months.",
        "Parking permits are issued at the front desk.",
        "In case of fire leave the building by the stairs.",
    ]
    (answer,) = call(
        sentence, "search", {"query": "What should I do when something burns?", "documents": documents, "top": 2}
    )
    results = answer.structured["results"]
    assert results[0]["index"] == 3
    assert results[0]["text"] == documents[3]
    assert len(results) == 2
    assert results[0]["score"] > results[1]["score"] + 0.1
    assert answer.structured["confidence"] == results[0]["score"]
    assert Draft202012Validator(sentence.tools[1].output_schema).is_valid(answer.structured)


def test_what_was_cut_is_told(sentence: Embedding) -> None:
    long = "water " * 300
    (answer,) = call(sentence, "embed", {"texts": ["short", long, "water " * 254]})
    assert answer.structured["truncated"] == [1]
    assert answer.structured["usage"]["input_tokens"] == 3 + 256 + 256
    assert "1 cut to 256 tokens" in answer.text
    assert answer.structured["embeddings"][1] == pytest.approx(answer.structured["embeddings"][2], abs=2e-5)
    (found,) = call(sentence, "search", {"query": long, "documents": ["short", long]})
    assert found.structured["query_truncated"] is True
    assert found.structured["truncated"] == [1]
    assert "(2 cut to 256 tokens)" in found.text


def test_nothing_is_computed_for_those_who_left(sentence: Embedding) -> None:
    jobs = [sentence.prepare("embed", {"texts": [text]}) for text in ("stays", "leaves")]
    ears = [Silence(), Silence()]
    ears[1].gone = True
    stays, leaves = sentence.run(jobs, ears)
    assert isinstance(stays, Answer)
    assert not isinstance(leaves, Answer)
    assert ears[0].heard == [(1, 1, "")]
    assert ears[1].heard == []


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("embed", {}, "`texts` must be a list of 1 to 64 strings"),
        ("embed", {"texts": []}, "1 to 64"),
        ("embed", {"texts": ["a"] * 65}, "1 to 64"),
        ("embed", {"texts": ["a", 7]}, r"`texts\[1\]` must be a string"),
        ("embed", {"texts": ["a", ""]}, r"`texts\[1\]` is empty"),
        ("embed", {"texts": ["a" * 600_000] * 2}, "more than 1048576 bytes"),
        ("embed", {"texts": ["a"], "kind": "answer"}, "`kind` must be"),
        ("search", {"query": "a"}, "`documents` must be a list of 1 to 256 strings"),
        ("search", {"documents": ["a"]}, "`query` must be a string"),
        ("search", {"query": "a", "documents": ["a"], "top": 0}, "`top` must be"),
    ],
)
def test_what_cannot_be_embedded_is_told(sentence: Embedding, tool: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        sentence.prepare(tool, arguments)


def test_loading_again_after_unloading_answers_the_same() -> None:
    of = shipped("sentence")
    task = Embedding(of, lambda role: placed(of, role))
    task.unload()
    task.load(1)
    first = vectors(task, "the same")
    task.unload()
    task.unload()
    task.load(1)
    assert vectors(task, "the same") == pytest.approx(first, abs=1e-7)
    task.unload()
