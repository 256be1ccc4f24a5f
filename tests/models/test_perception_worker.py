"""What listens, looks and reads, in the worker's own process: a set of three models, spoken to as the gateway does."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from models_at_hand import installed
from test_worker_process import Child

SET = ("voice", "content-type", "ocr")

pytestmark = pytest.mark.skipif(
    not all(installed(name) for name in SET), reason="the packages silero-vad, magika, rapidocr-onnxruntime are needed"
)


@pytest.fixture(scope="module")
def worker() -> Iterator[Child]:
    models = [{"path": name, "shipped": True} for name in SET]
    child = Child(json.dumps({"set": "senses", "models": models}), program=["-P", "-m", "tidegate.models"])
    yield child
    assert child.end() == (0, b"", b"")


def answer(worker: Child, number: int, tool: str, token: Any = None, **params: Any) -> tuple[Any, list[Any]]:
    """(result, notifications before it)."""
    worker.send(number, "tools/call", token, name=tool, **params)
    heard = []
    while (message := worker.hear()).get("id") != number:
        heard.append(message)
    return message["result"], heard


def rendered(words: str) -> str:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (460, 90), "white")
    ImageDraw.Draw(image).text((30, 25), words, fill="black", font=ImageFont.load_default(size=30))
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_each_tool_is_listed_with_its_schemas(worker: Child) -> None:
    worker.send(1, "tools/list")
    tools = {tool["name"]: tool for tool in worker.hear()["result"]["tools"]}
    assert set(tools) == {"detect", "identify", "read"}
    for tool in tools.values():
        assert "confidence" in tool["outputSchema"]["properties"]


def test_a_page_is_read_with_progress(worker: Child) -> None:
    block = {"type": "image", "mimeType": "image/png", "data": rendered("Departure  10:45")}
    result, heard = answer(worker, 2, "read", token="t", arguments={"image": block})
    assert result["structuredContent"]["text"] == "Departure 10:45"
    assert result["content"][0]["text"] == "Departure 10:45"
    assert heard[-1]["params"] == {"progressToken": "t", "progress": 1, "total": 1}


def test_a_link_is_followed_by_the_gateway_and_then_identified(worker: Child) -> None:
    link = {"type": "resource_link", "uri": "store://letter", "name": "letter"}
    result, _ = answer(worker, 3, "identify", arguments={"file": link})
    assert result["resultType"] == "input_required"
    ((number, request),) = result["inputRequests"].items()
    assert request == {"method": "resources/read", "params": {"uri": "store://letter"}}
    contents = [{"uri": "store://letter", "blob": rendered("hello")}]
    responses = {number: {"contents": contents}}
    result, _ = answer(worker, 4, "identify", arguments={"file": link}, inputResponses=responses)
    assert result["structuredContent"]["mime_type"] == "image/png"


def test_what_cannot_be_heard_is_an_error_that_teaches(worker: Child) -> None:
    result, _ = answer(worker, 5, "detect", arguments={"audio": base64.b64encode(b"OggS" + bytes(90)).decode()})
    assert result["isError"] is True
    assert "send a WAV file" in result["content"][0]["text"]
