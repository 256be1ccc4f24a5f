"""Arrays through any ONNX model: every kind of element there and back, and bounds before anything is allocated."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, file, manifest
from onnx_writing import declared, external_tensor, graph, model, node, number, part, tensor

from tidegate.errors import ModelFailed, ModelOutOfMemory, ModelRefused
from tidegate.models.inputs.arrays import SHOWN, WIDTHS, read_array, write_array
from tidegate.models.manifest import ModelFile, ModelLimits, Tensor
from tidegate.models.task import Answer, BadInput, Job
from tidegate.models.tasks.tensor import TensorRun

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

KINDS = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "string": 8,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
}
"""As ONNX numbers them."""

Shape = list[int | str]


def passing(dtype: str = "float32") -> bytes:
    """`y` is `x`, of any two sizes."""
    shape: Shape = ["rows", "columns"]
    nodes = [node("Identity", ["x"], ["y"])]
    return model(graph(nodes, [declared("x", shape, KINDS[dtype])], [declared("y", shape, KINDS[dtype])]))


def doubling(rows: int | str = "rows") -> bytes:
    nodes = [node("Mul", ["x", "two"], ["y"])]
    return model(graph(nodes, [declared("x", [rows, 3])], [declared("y", [rows, 3])], [tensor("two", [2.0])]))


def summing() -> bytes:
    """`y` is the sum of all of `x`: rows do have to do with one another."""
    none = part(5, part(1, "keepdims") + number(3, 0) + number(20, 2))
    nodes = [node("ReduceSum", ["x"], ["y"], extra=none)]
    return model(graph(nodes, [declared("x", ["rows", 3])], [declared("y", [])]))


def made(folder: Path, onnx: bytes, limits: ModelLimits | None = None, **settings: Any) -> TensorRun:
    path = folder / "model.onnx"
    path.write_bytes(onnx)
    of = replace(manifest("tensor", [file(path)], folder, **settings), limits=limits or ModelLimits())
    task = TensorRun(of, lambda role: path)
    task.load(1)
    return task


def y(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = answer.structured["outputs"]["y"]
    return shown


@pytest.mark.parametrize("dtype", KINDS)
def test_every_kind_of_element_comes_back_as_it_was_sent(tmp_path: Path, dtype: str) -> None:
    task = made(tmp_path, passing(dtype))
    data: list[list[Any]] = {"string": [["a", "ü\n"], ["", "z"]], "bool": [[True, False], [False, True]]}.get(
        dtype, [[0, 1], [2, 100]]
    )
    if dtype.startswith("float"):
        data[0][1] = 0.5
    (answer,) = call(task, "run", {"inputs": {"x": {"dtype": dtype, "shape": [2, 2], "data": data}}})
    assert y(answer) == {"dtype": dtype, "shape": [2, 2], "data": data}
    for schema, value in ((task.tools[0].output_schema, answer.structured),):
        assert Draft202012Validator(schema).is_valid(value)
    if dtype == "string":
        return
    (raw,) = call(task, "run", {"inputs": {"x": y(answer)}, "encoding": "base64"})
    assert len(base64.b64decode(y(raw)["base64"])) == 4 * WIDTHS[dtype]
    (again,) = call(task, "run", {"inputs": {"x": y(raw)}})
    assert again.structured == answer.structured


@pytest.mark.parametrize(
    ("dtype", "extremes"),
    [
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("float64", [5e-324, 1.7976931348623157e308]),
        ("float32", [0.1, 3.4e38]),
        ("float16", [0.1, 2048.0]),
    ],
)
def test_extremes_come_back_as_themselves(tmp_path: Path, dtype: str, extremes: list[float]) -> None:
    (answer,) = call(made(tmp_path, passing(dtype)), "run", {"inputs": {"x": {"dtype": dtype, "data": [extremes]}}})
    assert y(answer)["data"] == [extremes]


def test_it_computes_and_says_so_in_words(tmp_path: Path) -> None:
    data = {"dtype": "float32", "shape": [1, 3], "data": [1, 2.5, -3]}
    (answer,) = call(made(tmp_path, doubling()), "run", {"inputs": {"x": data}})
    assert y(answer)["data"] == [[2.0, 5.0, -6.0]]
    assert answer.text == "y: float32 [1, 3] = [[2.0, 5.0, -6.0]]"


def test_bytes_have_their_little_end_first(tmp_path: Path) -> None:
    raw = base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()
    arguments = {"inputs": {"x": {"dtype": "float32", "shape": [1, 3], "base64": raw}}, "encoding": "base64"}
    (answer,) = call(made(tmp_path, doubling()), "run", arguments)
    assert struct.unpack("<3f", base64.b64decode(y(answer)["base64"])) == (2, 4, 6)


def test_many_elements_and_what_json_cannot_spell_come_as_bytes(tmp_path: Path) -> None:
    task = made(tmp_path, passing())
    for array in (np.zeros((1, SHOWN + 1), np.float32), np.array([[np.nan, np.inf]], np.float32)):
        (answer,) = call(task, "run", {"inputs": {"x": write_array(array, "base64")}})
        assert base64.b64decode(y(answer)["base64"]) == array.tobytes()
    (shown,) = call(
        task, "run", {"inputs": {"x": write_array(np.ones((1, SHOWN + 1), "f4"), "base64")}, "encoding": "numbers"}
    )
    assert y(shown)["data"] == [[1.0] * (SHOWN + 1)]


def test_an_empty_array_is_one(tmp_path: Path) -> None:
    (answer,) = call(
        made(tmp_path, passing()), "run", {"inputs": {"x": {"dtype": "float32", "shape": [0, 3], "data": []}}}
    )
    assert y(answer)["shape"] == [0, 3]


def test_rows_of_several_calls_are_computed_together(tmp_path: Path) -> None:
    task = made(tmp_path, doubling(), rows_are_independent=True)
    calls = [{"inputs": {"x": {"dtype": "float32", "data": [[row, 0, 1]] * (row + 1)}}} for row in range(4)]
    jobs = [task.prepare("run", one) for one in calls]
    assert len({job.group for job in jobs}) == 1
    assert [job.weight for job in jobs] == [1, 2, 3, 4]
    seen: list[int] = []
    session = task._session
    assert session is not None
    run = session.run
    session.run = lambda feeds: seen.append(len(feeds["x"])) or run(feeds)  # type: ignore[method-assign,func-returns-value]
    answers = call(task, "run", *calls)
    assert seen == [10]
    assert [y(answer)["data"] for answer in answers] == [[[2.0 * row, 0, 2]] * (row + 1) for row in range(4)]


def test_rows_are_computed_apart_when_the_model_mixes_them(tmp_path: Path) -> None:
    task = made(tmp_path, summing(), rows_are_independent=True)
    one, other = call(task, "run", *({"inputs": {"x": {"dtype": "float32", "data": [[row] * 3]}}} for row in (1, 2)))
    assert (y(one)["data"], y(other)["data"]) == (3.0, 6.0)


def test_calls_are_apart_unless_the_manifest_says_otherwise(tmp_path: Path) -> None:
    assert (
        made(tmp_path, doubling()).prepare("run", {"inputs": {"x": {"dtype": "float32", "data": [[1, 2, 3]]}}}).group
        is None
    )


def test_one_call_that_does_not_fit_does_not_harm_its_neighbours(tmp_path: Path) -> None:
    task = made(tmp_path, doubling(2), rows_are_independent=True)
    data = [[[1, 2, 3]] * 2, [[1, 2, 3]] * 2]
    jobs: list[Job] = [task.prepare("run", {"inputs": {"x": {"dtype": "float32", "data": one}}}) for one in data]
    wrong = task.prepare("run", {"inputs": {"x": {"dtype": "float32", "data": [[1, 2, 3]]}}})
    outcomes = task.run([jobs[0], wrong, jobs[1]], [Silence() for _ in range(3)])
    assert [type(outcome) for outcome in outcomes] == [Answer, BadInput, Answer]
    assert "must have the shape [2, 3], not [1, 3]" in str(outcomes[1])


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (7, "must be an object"),
        ({"data": [1]}, "`dtype` must be one of float16, float32"),
        ({"dtype": ["float32"], "data": [1]}, "`dtype` must be one of"),
        ({"dtype": "complex64", "data": [1]}, "`dtype` must be one of"),
        ({"dtype": "float32"}, "must have `data` or `base64`"),
        ({"dtype": "float32", "data": [1], "base64": ""}, "not both"),
        ({"dtype": "float32", "data": [1, "2"]}, "elements must be numbers"),
        ({"dtype": "float32", "data": [1, None]}, "elements must be numbers"),
        ({"dtype": "float32", "data": [True]}, "elements must be numbers"),
        ({"dtype": "float32", "data": [1, [2]]}, "elements must be numbers"),
        ({"dtype": "float32", "data": [[1], 2]}, "ragged"),
        ({"dtype": "float32", "data": [[1, 2], [3]]}, "ragged"),
        ({"dtype": "float32", "data": 1e39}, "does not fit into float32"),
        ({"dtype": "float32", "data": 10**400}, "does not fit into float32"),
        ({"dtype": "int8", "data": [128]}, "does not fit into int8"),
        ({"dtype": "uint8", "data": [-1]}, "does not fit into uint8"),
        ({"dtype": "int64", "data": [2**63]}, "does not fit into int64"),
        ({"dtype": "int8", "data": [1.5]}, "must be whole numbers"),
        ({"dtype": "bool", "data": [1]}, "must be true or false"),
        ({"dtype": "string", "data": [1]}, "must be strings"),
        ({"dtype": "string", "shape": [1], "base64": "YQ=="}, "must be sent as `data`"),
        ({"dtype": "float32", "shape": [2], "data": [1]}, r"`shape` \[2\] wants 2 elements; `data` has 1"),
        ({"dtype": "float32", "shape": [2, 1], "data": [[1, 2]]}, r"`data` has the shape \[1, 2\]"),
        ({"dtype": "float32", "shape": [-1], "data": [1]}, "whole numbers from 0"),
        ({"dtype": "float32", "shape": [True], "data": [1]}, "whole numbers from 0"),
        ({"dtype": "float32", "shape": "3", "data": [1]}, "must be a list of at most 16"),
        ({"dtype": "float32", "shape": [1] * 17, "data": [1]}, "must be a list of at most 16"),
        ({"dtype": "float32", "base64": "AAAA"}, "needs a `shape`"),
        ({"dtype": "float32", "shape": [1], "base64": "AAA="}, "holds 2 bytes; `shape` and `dtype` come to 4"),
        ({"dtype": "float32", "shape": [1], "base64": "AAAA!!=="}, "is not Base64"),
        ({"dtype": "float32", "shape": [1], "base64": "A" * 4096}, "must be a string for 4 bytes"),
        ({"dtype": "float32", "shape": [1], "base64": 7}, "must be a string for 4 bytes"),
        ({"dtype": "bool", "shape": [2], "base64": "AQI="}, "must be 0 or 1"),
        ({"dtype": "float32", "shape": [1 << 39, 1 << 39], "base64": ""}, "takes at most 1000"),
        ({"dtype": "float32", "shape": [0, 1 << 39, 1 << 39], "base64": ""}, "takes at most 1000"),
        ({"dtype": "uint8", "shape": [1 << 39, 0], "data": []}, "takes at most 1000"),
        ({"dtype": "float64", "data": [0] * 126}, "has 1008 bytes; this model takes at most 1000"),
        ({"dtype": "string", "data": ["a" * 300]}, "takes at most 1000"),
    ],
)
def test_what_is_no_array_is_told(array: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_array(array, "x", "", 1000)


def test_nesting_without_end_is_no_array() -> None:
    data: list[Any] = []
    for _ in range(50):
        data = [data]
    with pytest.raises(BadInput, match="nested deeper than 16"):
        read_array({"dtype": "float32", "data": data}, "x", "", 1000)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "`inputs` must be an object of 1 to 64 arrays"),
        ({"inputs": {}}, "1 to 64"),
        ({"inputs": {str(index): 1 for index in range(65)}}, "1 to 64"),
        ({"inputs": {"x": {"dtype": "float32", "data": [1]}}, "encoding": "hex"}, "`encoding` must be one of"),
        (
            {"inputs": {"a": {"dtype": "int8", "data": [0] * 600}, "b": {"dtype": "int8", "data": [0] * 600}}},
            "`b` has 600 bytes; this model takes at most 400",
        ),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    task = made(tmp_path, doubling(), ModelLimits(input_bytes=1000))
    with pytest.raises(BadInput, match=says):
        task.prepare("run", arguments)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"z": {"dtype": "float32", "data": [[1, 2, 3]]}}, "there is no input `z`: `inputs` must be `x`, and no"),
        ({"x": {"dtype": "float64", "data": [[1, 2, 3]]}}, "`x` must be float32, not float64"),
        ({"x": {"dtype": "float32", "data": [[1, 2]]}}, r"`x` must have the shape \[any, 3\], not \[1, 2\]"),
    ],
)
def test_arrays_that_the_model_does_not_take_are_told(tmp_path: Path, inputs: dict[str, Any], says: str) -> None:
    task = made(tmp_path, doubling())
    (outcome,) = task.run([task.prepare("run", {"inputs": inputs})], [Silence()])
    assert isinstance(outcome, BadInput)
    with pytest.raises(BadInput, match=says):
        raise outcome


def test_a_manifest_that_declares_arrays_has_them_checked_before_the_model_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(doubling())
    declares = replace(
        file(path), inputs=(Tensor("x", "float32", (-1, 3)),), outputs=(Tensor("y", "float32", (-1, 3)),)
    )
    task = TensorRun(manifest("tensor", [declares], tmp_path), lambda role: path)
    with pytest.raises(BadInput, match="there is no input `xx`: `inputs` must be `x`, and nothing else"):
        task.prepare("run", {"inputs": {"xx": {"data": [1]}}})
    job = task.prepare("run", {"inputs": {"x": {"data": [[1, 2, 3]]}}})
    assert job.payload[0]["x"].dtype == np.float32
    with pytest.raises(BadInput, match="must have the shape"):
        task.prepare("run", {"inputs": {"x": {"data": [1, 2, 3]}}})
    schema = task.tools[0].input_schema
    assert schema["properties"]["inputs"]["properties"]["x"]["description"] == "float32 [any, 3]"
    Draft202012Validator.check_schema(schema)
    Draft202012Validator.check_schema(task.tools[0].output_schema)


def test_more_than_an_answer_may_hold_is_refused(tmp_path: Path) -> None:
    task = made(tmp_path, passing(), output_bytes=16)
    (outcome,) = task.run(
        [task.prepare("run", {"inputs": {"x": {"dtype": "float32", "data": [[1] * 5]}}})], [Silence()]
    )
    assert isinstance(outcome, ModelFailed)
    assert str(outcome) == "model `probe` gave arrays of 20 bytes; its `output_bytes` is 16"


def test_a_model_that_asks_for_more_memory_than_there_is_fails_by_name(tmp_path: Path) -> None:
    """It makes of one number as many as it is told: 2^52."""
    inputs = [declared("x", [1, 1]), declared("sizes", [2], KINDS["int64"])]
    nodes = [node("Expand", ["x", "sizes"], ["y"])]
    task = made(tmp_path, model(graph(nodes, inputs, [declared("y", ["a", "b"])])))
    sizes = {"dtype": "int64", "data": [1 << 26, 1 << 26]}
    job = task.prepare("run", {"inputs": {"x": {"dtype": "float32", "data": [[1]]}, "sizes": sizes}})
    (outcome,) = task.run([job], [Silence()])
    assert isinstance(outcome, ModelOutOfMemory)
    assert str(outcome) == "`model.onnx` ran out of memory while computing"


def test_weights_beside_the_model_are_read_only_when_the_manifest_names_them(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "two.bin").write_bytes(struct.pack("<3f", 2, 2, 2))
    nodes = [node("Mul", ["x", "two"], ["y"])]
    outside = external_tensor("two", [3], "two.bin")
    (tmp_path / "net" / "model.onnx").write_bytes(
        model(graph(nodes, [declared("x", ["rows", 3])], [declared("y", ["rows", 3])], [outside]))
    )
    files = [ModelFile("model", "net/model.onnx", ""), ModelFile("weights", "net/two.bin", "")]
    for named in (1, 2):
        of = manifest("tensor", files[:named], tmp_path)
        task = TensorRun(of, lambda role, of=of: tmp_path / next(one.path for one in of.files if one.role == role))  # type: ignore[misc]
        if named == 1:
            with pytest.raises(ModelRefused, match=r"two\.bin"):
                task.load(1)
        else:
            task.load(1)
            (answer,) = call(task, "run", {"inputs": {"x": {"dtype": "float32", "data": [[1, 2, 3]]}}})
            assert y(answer)["data"] == [[2, 4, 6]]


elements = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(elements, lambda inner: st.lists(inner, max_size=4), max_leaves=20)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(list(WIDTHS)) | anything,
            "shape": st.lists(st.integers(-1, 1 << 41), max_size=18) | anything,
            "data": anything,
            "base64": st.text(max_size=20) | st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode()),
        },
    )
)
def test_any_json_is_an_array_or_told_why_not(value: dict[str, Any]) -> None:
    try:
        array = read_array(value, "x", "", 4096)
    except BadInput:
        return
    assert array.nbytes <= 4096
    shown = write_array(array, "auto")
    again = read_array(shown, "x", "", 8192)
    assert again.shape == array.shape
    assert again.dtype == array.dtype
    assert again.tobytes() == array.tobytes() or shown["dtype"] == "string"
