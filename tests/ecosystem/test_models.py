"""Local models as the official SDK clients find and use them: the one of the default, and those that come along."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import anyio
import pytest
from driven import KINDS, SdkClient, driven
from gateway_process import UNHURRIED, Gateway, gateway
from PIL import Image, ImageDraw, ImageFont

OTHERS = ("voice", "content-type", "ocr", "sentence", "chat")
ALL = UNHURRIED + "".join(f'[backends.{name}]\nmodels = [{{ path = "{name}" }}]\n' for name in OTHERS)
TOOLS = {
    "voice__detect", "content-type__identify", "ocr__read", "sentence__embed", "sentence__search", "chat__chat",
}  # fmt: skip
PERL = b"#!/usr/bin/perl\nuse strict;\nmy %seen; while (<>) { print unless $seen{$_}++; }\n"


def picture(words: str) -> str:
    """Black on white, as PNG in Base64."""
    image = Image.new("RGB", (640, 96), "white")
    ImageDraw.Draw(image).text((24, 24), words, fill="black", font=ImageFont.load_default(40))
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def silence() -> str:
    """A second of it, as WAV in Base64."""
    import wave

    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture(scope="module")
def default() -> Iterator[Gateway]:
    with gateway(None) as running:
        yield running


@pytest.fixture(scope="module")
def others() -> Iterator[Gateway]:
    with gateway(ALL) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_default_has_a_model_that_is_right(default: Gateway, kind: SdkClient) -> None:
    async def use() -> None:
        async with driven(kind, default) as client:
            assert client.revision == kind.revision
            assert "language__identify" in await client.tools()
            for text, code in (
                ("Wo ist bitte der nächste Bahnhof?", "de"),
                ("Où se trouve la gare la plus proche ?", "fr"),
                ("Where is the nearest railway station, please?", "en"),
                ("最寄りの駅はどこですか。", "ja"),
            ):
                reply = await client.call("language__identify", {"text": text})
                assert not reply.failed, reply
                assert reply.structured["label"] == code
                assert reply.structured["confidence"] > 0.5
            wrong = await client.call("language__identify", {"text": 5})
            assert wrong.failed
            assert wrong.code is None

    anyio.run(use)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_of_the_others_is_there_and_right(others: Gateway, kind: SdkClient) -> None:
    async def use() -> None:
        async with driven(kind, others) as client:
            assert set(await client.tools()) == TOOLS
            heard = await client.call("voice__detect", {"audio": silence()})
            assert heard.structured["speech"] is False
            kept = await client.call("content-type__identify", {"file": base64.b64encode(PERL).decode()})
            assert kept.structured["label"] == "perl"
            seen = await client.call("ocr__read", {"image": picture("Valve 17 is shut")})
            assert [line["text"] for line in seen.structured["lines"]] == ["Valve 17 is shut"]
            block = {"type": "image", "data": picture("Pump 4 runs"), "mimeType": "image/png"}
            seen = await client.call("ocr__read", {"image": block})
            assert seen.structured["text"] == "Pump 4 runs"
            documents = ["The lathe is out of order", "Lunch is at noon", "The mill has a broken spindle"]
            found = await client.call("sentence__search", {"query": "When do we eat?", "documents": documents})
            assert found.structured["results"][0]["index"] == 1
            vectors = (await client.call("sentence__embed", {"texts": documents})).structured
            assert (len(vectors["embeddings"]), vectors["dimensions"]) == (3, 384)
            asked = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 16}
            said = await client.call("chat__chat", asked)
            assert "Paris" in said.structured["content"]

    anyio.run(use)
