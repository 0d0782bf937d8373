"""JSON Schema from the schemas of OpenAPI 3.0."""

from __future__ import annotations

from typing import Any


def as_json_schema(node: Any) -> Any:
    """The same with `nullable` as a type of null."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: as_json_schema(one) for name, one in node.items()}
    if made.pop("nullable", False) is True:
        inner = {name: made.pop(name) for name in list(made) if name not in ("description", "title")}
        made["anyOf"] = [inner, {"type": "null"}]
    return made
