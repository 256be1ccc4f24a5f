"""`tidegate model new`: a file of one's own, and a manifest that says what it is, as far as the file says it."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest
from onnx_writing import declared, doubling, external_tensor, graph, model, node
from small_gguf import Gguf

from tidegate.cli import exit_codes, main
from tidegate.models.manifest import Tensor, read_manifest

needs_onnxruntime = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed"
)


@pytest.fixture(autouse=True)
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*words: str) -> int:
    return main(["model", "new", *words])


@needs_onnxruntime
def test_an_onnx_file_says_what_it_takes_and_gives_and_can_be_added_at_once(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "m.onnx").write_bytes(doubling())
    assert new("twice", "--task", "tensor", "--file", "m.onnx", "--licence", "MIT") == exit_codes.OK
    manifest = read_manifest(box / "twice")
    assert (manifest.name, manifest.task, manifest.licence) == ("twice", "tensor", "MIT")
    (file,) = manifest.files
    assert (file.role, file.path, file.sha256) == ("model", "m.onnx", hashlib.sha256(doubling()).hexdigest())
    assert file.inputs == (Tensor("x", "float32", (-1, 3)),)
    assert file.outputs == (Tensor("y", "float32", (-1, 3)),)
    assert (box / "twice" / "m.onnx").read_bytes() == doubling()
    shown = capsys.readouterr()
    assert shown.out == "twice/model.toml\n"
    assert "its tools: run" in shown.err
    assert "next: `tidegate model add ./twice`" in shown.err
    assert main(["model", "add", "./twice", "--config", "t.toml"]) == exit_codes.OK


@needs_onnxruntime
def test_a_file_that_is_in_the_folder_stays_where_it_is(box: Path) -> None:
    (box / "twice" / "weights").mkdir(parents=True)
    (box / "twice" / "weights" / "m.onnx").write_bytes(doubling())
    assert new("./twice", "--task", "tensor", "--file", "twice/weights/m.onnx", "--no-try") == exit_codes.OK
    assert read_manifest(box / "twice").files[0].path == "weights/m.onnx"
    assert sorted(path.name for path in (box / "twice").iterdir()) == ["model.toml", "weights"]


def test_settings_labels_and_other_files_are_written_and_judged_by_the_task(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "w.ftz").write_bytes(b"no model")
    words = ("--task", "text-classification", "--file", "w.ftz", "--no-try")
    assert new("a", *words, "--setting", "lower_capitals=true", "--setting", "label_prefix=L_") == exit_codes.OK
    assert read_manifest(box / "a").settings == {"lower_capitals": True, "label_prefix": "L_"}
    assert read_manifest(box / "a").install == ("fasttext-predict",)
    (box / "labels.txt").write_text("\ufeffone\n\n two \n")
    for wrong, said in (
        (("--labels", "labels.txt"), "the setting `labels` is not one"),
        (("--setting", "lower_capitals=3"), "lower_capitals"),
    ):
        assert new("b", *words, *wrong) == exit_codes.USAGE
        assert said in (shown := capsys.readouterr().err)
        assert "nothing was written" in shown
        assert not (box / "b").exists()  # so that the same command, put right, finds nothing in its way
    assert new("b", "--task", "embedding", "--file", "w.ftz", "--no-try") == exit_codes.USAGE
    assert "needs `[files.tokenizer]`" in capsys.readouterr().err
    assert not (box / "b").exists()
    labelled = ("--task", "image-classification", "--file", "w.ftz", "--labels", "labels.txt", "--no-try")
    assert new("b", *labelled, "--file", "more=labels.txt") == exit_codes.OK
    assert read_manifest(box / "b").settings == {"labels": ["one", "two"]}
    assert [file.role for file in read_manifest(box / "b").files] == ["model", "more"]


def test_a_gguf_file_without_its_first_bytes_is_judged_by_its_name(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, said in ((b"", "`m.gguf` is empty"), (b"not one" * 9, "`m.gguf` is no GGUF file that can be used")):
        (box / "m.gguf").write_bytes(content)
        assert new("talk", "--task", "chat", "--file", "m.gguf") == exit_codes.FAILED
        assert said in capsys.readouterr().err
        assert not (box / "talk").exists()


def test_a_gguf_file_is_described_for_chat(box: Path) -> None:
    (box / "m.gguf").write_bytes(Gguf().raw())
    assert new("talk", "--task", "chat", "--file", "m.gguf", "--setting", "context=512", "--no-try") == exit_codes.OK
    manifest = read_manifest(box / "talk")
    assert (manifest.install, manifest.settings) == (("xllamacpp",), {"context": 512})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "`m.onnx` is empty"),
        (doubling()[:40], "is no ONNX model, or is cut off"),
        (
            model(
                graph(
                    [node("Mul", ["x", "w"], ["y"])],
                    [declared("x", [3])],
                    [declared("y", [3])],
                    [external_tensor("w", [3], "../../etc/passwd")],
                )
            ),
            "../../etc/passwd",
        ),
    ],
    ids=["empty", "cut off", "leads out"],
)
def test_a_file_that_is_no_model_leaves_nothing_behind(
    box: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (box / "m.onnx").write_bytes(content)
    assert new("twice", "--task", "tensor", "--file", "m.onnx") == exit_codes.FAILED
    assert said in capsys.readouterr().err
    assert not (box / "twice").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["a", "--file", "gone.ftz"], exit_codes.FAILED, "`gone.ftz` is no file"),
        (["a", "--file", "w.ftz", "--file", "v.ftz"], exit_codes.USAGE, "there is a `model` already"),
        (["a", "--file", "w.ftz", "--setting", "x"], exit_codes.USAGE, "expected `KEY=VALUE`"),
        (["a", "--file", "w.ftz", "--setting", "when=2020-01-01"], exit_codes.USAGE, "a date or time as a string"),
        (["a", "--file", "w.ftz", "--name", "No Name"], exit_codes.USAGE, "`name`: expected"),
        (["a", "--file", "w.ftz", "--labels", "gone.txt"], exit_codes.FAILED, "`gone.txt` cannot be read"),
        (["there", "--file", "w.ftz"], exit_codes.FAILED, "model.toml` is there"),
        (["other", "--file", "w.ftz"], exit_codes.FAILED, "`other/w.ftz` is there and is another file"),
    ],
)
def test_what_cannot_be_written_is_told(
    box: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    for name in ("w.ftz", "v.ftz"):
        (box / name).write_bytes(b"no model")
    (box / "there").mkdir()
    (box / "there" / "model.toml").write_text("mine")
    (box / "other").mkdir()
    (box / "other" / "w.ftz").write_bytes(b"another")
    assert new(*words, "--task", "text-classification", "--no-try") == status
    assert said in capsys.readouterr().err
    assert not (box / "a").exists()
    assert (box / "there" / "model.toml").read_text() == "mine"
