"""What the everything-server has to read: resources, prompts and completions, with the fixed bytes they are made of."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from typing import Any

from everything_questions import Ctx, ask, elicited, form, is_session_era
from mcp import types
from mcp.shared.exceptions import MCPError


def _png_pixel() -> bytes:
    """A PNG of one red pixel, built from its three chunks."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\x00\xff\x00\x00", 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _wav_silence() -> bytes:
    """A WAV file of four silent 16-bit samples at 8 kHz."""
    samples = bytes(8)
    form_chunk = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + form_chunk + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


PIXEL_PNG = base64.b64encode(_png_pixel()).decode()
SILENCE_WAV = base64.b64encode(_wav_silence()).decode()

RESOURCES = [
    types.Resource(uri="test://static-text", name="static-text", description="Fixed text", mime_type="text/plain"),
    types.Resource(uri="test://static-binary", name="static-binary", description="A picture", mime_type="image/png"),
    types.Resource(uri="test://watched-resource", name="watched", description="May change", mime_type="text/plain"),
]

TEMPLATES = [
    types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data of one id",
        mime_type="application/json",
    )
]

_TEMPLATE = re.compile(r"test://template/([^/]+)/data")
_TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}


_NOT_FOUND = -32002
"""The code of session revisions for an unknown resource; 2026-07-28 retired it."""


async def read_resource(ctx: Ctx, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    """One resource by URI, listed or made from the template."""
    uri = params.uri
    content: types.TextResourceContents | types.BlobResourceContents
    if uri in _TEXTS:
        content = types.TextResourceContents(uri=uri, mime_type="text/plain", text=_TEXTS[uri])
    elif uri == "test://static-binary":
        content = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL_PNG)
    elif match := _TEMPLATE.fullmatch(uri):
        data = {"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"}
        content = types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
    else:
        raise MCPError(_NOT_FOUND if is_session_era(ctx) else types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[content])


def _prompt(name: str, description: str, *arguments: str) -> types.Prompt:
    wanted = [types.PromptArgument(name=each, description=each, required=True) for each in arguments]
    return types.Prompt(name=name, description=description, arguments=wanted)


PROMPTS = [
    _prompt("test_simple_prompt", "One message"),
    _prompt("test_prompt_with_arguments", "Its arguments in a message", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "A resource in a message", "resourceUri"),
    _prompt("test_prompt_with_image", "A picture in a message"),
    _prompt("test_input_required_result_prompt", "Needs an answer first"),
]


def _says(*blocks: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=block) for block in blocks])


def _text(content: str) -> types.TextContent:
    return types.TextContent(type="text", text=content)


async def get_prompt(
    ctx: Ctx, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    """One prompt by name with its arguments filled in."""
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _says(_text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            return _says(_text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"))
        case "test_prompt_with_embedded_resource":
            uri = given.get("resourceUri", "test://example-resource")
            inside = types.TextResourceContents(uri=uri, mime_type="text/plain", text="Embedded resource content.")
            return _says(types.EmbeddedResource(type="resource", resource=inside), _text("Process the resource above."))
        case "test_prompt_with_image":
            picture = types.ImageContent(type="image", data=PIXEL_PNG, mime_type="image/png")
            return _says(picture, _text("Look at the picture above."))
        case "test_input_required_result_prompt":
            question = form("What context should the prompt use?", context={"type": "string"})
            answers = await ask(ctx, params, {"user_context": question})
            if isinstance(answers, types.InputRequiredResult):
                return answers
            return _says(_text(f"Use this context: {elicited(answers['user_context']).get('context')}"))
    raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")


_WORDS = ["paris", "park", "party", "oslo", "rome"]


async def complete(ctx: Ctx, params: types.CompleteRequestParams) -> types.CompleteResult:
    """Words that begin with what was typed."""
    typed = params.argument.value
    values = [word for word in _WORDS if word.startswith(typed)]
    context: dict[str, Any] = dict(params.context.arguments or {}) if params.context else {}
    values += [str(value) for value in context.values()]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))
