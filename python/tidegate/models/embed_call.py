"""A call of `embed`: its tool, the same whoever answers: a model on this box (`tasks/embedding.py`), or a service
elsewhere (`pipeline/upstream/openai_shapes.py`).
"""

from __future__ import annotations

from typing import Final

from tidegate.models.task import Json, Tool

TEXTS: Final = 64
"""Of one call."""
KINDS: Final = ("document", "query")
"""What a text is, for models that want to be told."""

USAGE: Final[Json] = {
    "type": "object",
    "properties": {"input_tokens": {"type": "integer", "minimum": 0}},
    "required": ["input_tokens"],
    "additionalProperties": False,
}
MODEL: Final[Json] = {"type": "string", "description": "Vectors of two models do not compare"}


def embed_tool(kinds: bool) -> Tool:
    arguments: Json = {
        "texts": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "maxItems": TEXTS,
            "description": "The texts",
        }
    }
    if kinds:
        arguments["kind"] = {
            "type": "string",
            "enum": list(KINDS),
            "default": "document",
            "description": "What the texts are: `query` for what is searched for, `document` for what is searched",
        }
    return Tool(
        "embed",
        "Embed texts",
        "Turns each text into a vector; texts that mean the same have vectors that point the same way.",
        {"type": "object", "properties": arguments, "required": ["texts"], "additionalProperties": False},
        {
            "type": "object",
            "properties": {
                "model": MODEL,
                "dimensions": {"type": "integer", "minimum": 1, "description": "Numbers in each vector"},
                "embeddings": {
                    "type": "array",
                    "items": {"type": "array", "items": {"type": "number"}},
                    "description": "One vector for each text, in their order",
                },
                "truncated": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "description": "Texts that were too long and of which only the beginning counts, by index",
                },
                "usage": USAGE,
            },
            "required": ["model", "dimensions", "embeddings"],
            "additionalProperties": False,
        },
    )
