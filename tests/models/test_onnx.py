"""ONNX files, right and hostile: what is refused before a library opens it, and what each refusal says."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_writing import (
    INT64,
    declared,
    doubling,
    external_tensor,
    graph,
    model,
    node,
    number,
    part,
    tensor,
)

from tidegate.errors import ModelFailed, ModelOutOfMemory, ModelRefused
from tidegate.models.manifest import ModelFile, ModelLimits, Tensor
from tidegate.models.runtimes.onnx import OnnxSession
from tidegate.models.runtimes.onnx_file import read_onnx_facts

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

X, Y = declared("x", ["rows", 3]), declared("y", ["rows", 3])


def opened(folder: Path, data: bytes, limits: ModelLimits | None = None, **more: Any) -> OnnxSession:
    path = folder / "probe.onnx"
    path.write_bytes(data)
    beside = more.pop("beside", None)
    file = ModelFile("model", path.name, **({"sha256": hashlib.sha256(data).hexdigest()} | more))
    return OnnxSession.open(path, file, 1, limits or ModelLimits(), beside)


def adding(weights: bytes, *extra: bytes) -> bytes:
    """`y` is `x` and the weights `w`."""
    return model(graph([node("Add", ["x", "w"], ["y"])], [X], [Y], [weights, *extra]))


def test_a_model_computes_what_it_says(tmp_path: Path) -> None:
    session = opened(tmp_path, doubling())
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert session.run({"x": rows})["y"].tolist() == (rows * 2).tolist()
    assert session.inputs == (Tensor("x", "float32", (-1, 3)),)
    assert session.outputs == (Tensor("y", "float32", (-1, 3)),)
    session.close()
    with pytest.raises(ModelFailed, match="is not loaded"):
        session.run({"x": rows})


def test_a_waiting_thread_does_not_spin(tmp_path: Path) -> None:
    how = opened(tmp_path, doubling())._session.get_session_options()
    assert how.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (how.intra_op_num_threads, how.inter_op_num_threads) == (1, 1)


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "takes `x`, not nothing"),
        ({"z": np.zeros((1, 3), np.float32)}, "takes `x`, not `z`"),
        ({"x": np.zeros((1, 3), np.float64)}, "`x` must be float32, not float64"),
        ({"x": np.zeros((1, 4), np.float32)}, r"`x` must have the shape \[any, 3\], not \[1, 4\]"),
        ({"x": np.zeros(3, np.float32)}, r"not \[3\]"),
        ({"x": np.array([["a", "b", "c"]])}, "`x` must be float32, not string"),
    ],
)
def test_what_a_model_does_not_take_is_not_fed_to_it(tmp_path: Path, feeds: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFailed, match=words):
        opened(tmp_path, doubling()).run(feeds)


def test_the_manifests_inputs_and_outputs_are_those_of_the_model(tmp_path: Path) -> None:
    x, y = Tensor("x", "float32", (-1, 3)), Tensor("y", "float32", (-1, -1))
    opened(tmp_path, doubling(), inputs=(x,), outputs=(y,)).close()
    for more, words in (
        ({"inputs": (x, y)}, "takes `x`; its manifest says `x`, `y`"),
        ({"outputs": (Tensor("z", "float32", ()),)}, "has no output `z`"),
        ({"inputs": (Tensor("x", "int64", (-1, 3)),)}, "the input `x` is float32; its manifest says int64"),
        ({"inputs": (Tensor("x", "float32", (-1, 4)),)}, r"has the shape \[any, 3\]; its manifest says \[any, 4\]"),
        ({"inputs": (Tensor("x", "float32", (3,)),)}, r"its manifest says \[3\]"),
    ):
        with pytest.raises(ModelRefused, match=words):
            opened(tmp_path, doubling(), **more)


def test_another_file_than_the_one_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="not the file its manifest names: the digest differs"):
        opened(tmp_path, doubling(), sha256="0" * 64)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = doubling()
    for size in range(len(whole)):
        with pytest.raises(ModelRefused) as refused:
            opened(tmp_path, whole[:size])
        assert "`probe.onnx`" in str(refused.value)
    assert capfd.readouterr() == ("", "")


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_garbage_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ModelRefused, match="`probe`"):
        read_onnx_facts(b"\x0f" + data, "probe")  # a first byte that begins no field


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(adding(external_tensor("w", [3], "weights.bin"), tensor("v", [1.0, 2.0])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        facts = read_onnx_facts(bytes(whole), "probe")
    except ModelRefused:
        return
    assert all(isinstance(place, str) for place in facts.external)


def test_an_opset_of_the_future_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"`probe\.onnx` needs opset 99, which this onnxruntime does not have"):
        opened(tmp_path, doubling(opset=99))


def test_a_model_that_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unknown = model(graph([node("Frobnicate", ["x"], ["y"])], [X], [Y]))
    with pytest.raises(ModelRefused, match=r"onnxruntime cannot open `probe\.onnx`: .*Frobnicate"):
        opened(tmp_path, unknown)
    assert capfd.readouterr() == ("", "")


def test_names_that_are_no_text_are_refused_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The worker's stdout speaks MCP, and onnxruntime's Python likes to print there."""
    dangling = model(graph([node("Mul", ["q", "x"], ["y"])], [X], [Y]))  # its name is in what the library says
    for whole, name in ((doubling(), b"rows"), (doubling(), b"two"), (doubling(), b"x"), (dangling, b"q")):
        with pytest.raises(ModelRefused):
            opened(tmp_path, whole.replace(name, b"\xff" * len(name)))
    assert capfd.readouterr() == ("", "")


# -- weights outside ---------------------------------------------------------------------------------------------------


def in_a_constant(weights: bytes) -> bytes:
    value = part(1, "value") + part(5, weights) + number(20, 4)
    constant = node("Constant", [], ["w"], extra=part(5, value))
    return model(graph([constant, node("Add", ["x", "w"], ["y"])], [X], [Y]))


def in_a_branch(weights: bytes) -> bytes:
    branch = graph([node("Identity", ["w"], ["b"])], [], [declared("b", [3])], [weights])
    both = b"".join(part(5, part(1, name) + part(6, branch) + number(20, 5)) for name in ("then_branch", "else_branch"))
    return model(graph([node("If", ["x"], ["y"], extra=both)], [X], [Y]))


def in_a_sparse_tensor(weights: bytes) -> bytes:
    return model(graph([node("Identity", ["x"], ["y"])], [X], [Y]) + part(15, part(1, weights)))


def in_a_function(weights: bytes) -> bytes:
    value = part(1, "value") + part(5, weights) + number(20, 4)
    inside = part(1, "F") + part(7, node("Constant", [], ["o"], extra=part(5, value))) + part(10, "own")
    return model(graph([node("F", [], ["y"], "own")], [X], [Y]), domains=["own"], extra=part(25, inside))


@pytest.mark.parametrize("where", [adding, in_a_constant, in_a_branch, in_a_sparse_tensor, in_a_function])
@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "weights.bin", "a/../../secret.bin", ""])
def test_weights_in_a_file_that_the_manifest_does_not_name_are_refused(
    tmp_path: Path, where: Callable[[bytes], bytes], location: str
) -> None:
    """Wherever in the model they are, and even if the file is there."""
    (tmp_path / "weights.bin").write_bytes(struct.pack("<3f", 1, 2, 3))
    with pytest.raises(ModelRefused, match=r"keeps weights in `.*`, which is none of the files in its manifest"):
        opened(tmp_path, where(external_tensor("w", [3], location)))


def test_weights_that_are_somewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="keeps the weights `w` in another file without saying which"):
        opened(tmp_path, adding(external_tensor("w", [3], None)))


def test_weights_in_a_pinned_file_are_used_and_no_other_path_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies where the model points is not looked at, from whatever directory."""
    (tmp_path / "elsewhere").mkdir()
    pinned = tmp_path / "elsewhere" / "verified.bin"
    pinned.write_bytes(struct.pack("<3f", 10, 20, 30))
    (tmp_path / "weights.bin").write_bytes(struct.pack("<3f", 1, 2, 3))
    monkeypatch.chdir(tmp_path)
    session = opened(tmp_path, adding(external_tensor("w", [3], "weights.bin")), beside={"weights.bin": pinned})
    assert session.run({"x": np.zeros((1, 3), np.float32)})["y"].tolist() == [[10, 20, 30]]


def test_a_pinned_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(b"\0" * 4)
    weights = adding(external_tensor("w", [3], "weights.bin"))
    with pytest.raises(ModelRefused, match="onnxruntime cannot open"):
        opened(tmp_path, weights, beside={"weights.bin": tmp_path / "short.bin"})


# -- sizes, operators, depth -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 20, 1 << 20], [1 << 62, 4]])
def test_weights_that_claim_more_than_is_there_are_refused(tmp_path: Path, shape: list[int]) -> None:
    with pytest.raises(ModelRefused, match=r"claims \d+ numbers in `w` and holds \d+ bytes of them"):
        opened(tmp_path, adding(tensor("w", [1.0], shape)))


def test_weights_of_negative_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="negative size"):
        opened(tmp_path, adding(tensor("w", [1.0], [-1])))


def test_an_input_too_large_to_be_held_is_refused(tmp_path: Path) -> None:
    huge = declared("x", [1 << 20, 1 << 20])
    whole = model(graph([node("Identity", ["x"], ["y"])], [huge], [declared("y", [1 << 20, 1 << 20])]))
    with pytest.raises(ModelRefused, match=r"declares `x` of 4398046511104 bytes or more; it may use 256 MiB"):
        opened(tmp_path, whole)


def test_a_file_larger_than_its_memory_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="and the model may use 0 MiB of memory"):
        opened(tmp_path, doubling(), ModelLimits(memory_bytes=64))


def test_a_model_that_asks_for_more_memory_than_there_is_says_so(tmp_path: Path) -> None:
    """128 TiB of zeros, known when it runs: no allocator has them."""
    value = part(1, "value") + part(5, tensor("", [0.0])) + number(20, 4)
    zeros = node("ConstantOfShape", ["x"], ["y"], extra=part(5, value))
    shape = declared("x", [1], INT64)
    session = opened(tmp_path, model(graph([zeros], [shape], [declared("y", ["n"])])))
    assert session.run({"x": np.array([4])})["y"].tolist() == [0, 0, 0, 0]
    with pytest.raises(ModelOutOfMemory, match=r"`probe\.onnx` ran out of memory while computing"):
        session.run({"x": np.array([1 << 45])})
    assert session.run({"x": np.array([2])})["y"].tolist() == [0, 0]


def test_a_computation_that_cannot_be_done_is_told_in_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = model(
        graph([node("Reshape", ["x", "s"], ["y"])], [X], [declared("y", ["n", 5])], [tensor("s", [-1, 5], kind=INT64)])
    )
    with pytest.raises(ModelFailed, match=r"`probe\.onnx` could not compute: ") as failed:
        opened(tmp_path, whole).run({"x": np.zeros((2, 3), np.float32)})
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 400
    assert capfd.readouterr() == ("", "")


def test_operators_of_others_are_refused_by_name(tmp_path: Path) -> None:
    whole = model(graph([node("Steal", ["x"], ["y"], "org.example")], [X], [Y]), domains=["org.example"])
    with pytest.raises(ModelRefused, match=r"uses the operator `Steal` of `org\.example`, which is not part of"):
        opened(tmp_path, whole)


def test_operators_that_the_model_brings_along_are_none_of_others(tmp_path: Path) -> None:
    twice = part(1, "Twice") + part(4, "a") + part(5, "b") + part(7, node("Add", ["a", "a"], ["b"]))
    twice += part(9, number(2, 13)) + part(10, "own")
    whole = model(graph([node("Twice", ["x"], ["y"], "own")], [X], [Y]), domains=["own"], extra=part(25, twice))
    assert opened(tmp_path, whole).run({"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[2, 2, 2]]


def test_graphs_within_graphs_without_end_are_refused() -> None:
    inner = graph([], [], [])
    for _ in range(60):
        inner = graph([node("If", ["x"], ["y"], extra=part(5, part(1, "then_branch") + part(6, inner)))], [], [])
    with pytest.raises(ModelRefused, match="nests graphs deeper than 24 levels"):
        read_onnx_facts(model(inner), "probe")


def test_two_graphs_or_training_steps_are_refused() -> None:
    whole = graph([node("Identity", ["x"], ["y"])], [X], [Y])
    with pytest.raises(ModelRefused, match="has more than one graph"):
        read_onnx_facts(model(whole, extra=part(7, whole)), "probe")
    with pytest.raises(ModelRefused, match="carries training steps"):
        read_onnx_facts(model(whole, extra=part(20, part(1, whole))), "probe")
