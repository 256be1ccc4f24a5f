"""Short constructors for the JSON Schemas (2020-12) of the host tools.

Every output field may be null unless said otherwise: the box did not tell. All fields of a record are always
present, so a reader never has to ask "missing or null?".
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def integer(description: str, *, null: bool = True) -> Schema:
    return {"type": ["integer", "null"] if null else "integer", "description": description}


def number(description: str, *, null: bool = True) -> Schema:
    return {"type": ["number", "null"] if null else "number", "description": description}


def string(description: str, *, null: bool = True) -> Schema:
    return {"type": ["string", "null"] if null else "string", "description": description}


def boolean(description: str, *, null: bool = True) -> Schema:
    return {"type": ["boolean", "null"] if null else "boolean", "description": description}


def array(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}


def record(properties: dict[str, Schema], description: str = "", *, null: bool = False) -> Schema:
    schema: Schema = {"type": ["object", "null"] if null else "object"}
    if description:
        schema["description"] = description
    schema["properties"] = properties
    schema["required"] = list(properties)
    schema["additionalProperties"] = False
    return schema


NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
