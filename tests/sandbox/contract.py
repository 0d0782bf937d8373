"""Checks requests and replies against Stripe's OpenAPI description.

The environment variable STRIPE_OPENAPI names its file, because the project has no copy.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from sandbox.params import parse
from tests.helpers.json_schema import as_json_schema

VARIABLE = "STRIPE_OPENAPI"
Schema = dict[str, Any]


def where() -> Path | None:
    given = os.environ.get(VARIABLE)
    return Path(given) if given and Path(given).is_file() else None


needs_description = pytest.mark.skipif(
    where() is None, reason=f"THE CONTRACT IS NOT CHECKED: {VARIABLE} does not name Stripe's OpenAPI description"
)


class Mismatch(AssertionError):
    """What was sent or answered is not what Stripe describes."""


class Contract:
    def __init__(self, path: Path):
        document = json.loads(path.read_text())
        self._components = {"components": as_json_schema(document["components"])}
        self.operations: dict[tuple[str, str], Schema] = {
            (method.upper(), address): operation
            for address, operations in document["paths"].items()
            for method, operation in operations.items()
        }

    def operation(self, method: str, path: str) -> tuple[str, str] | None:
        """The described operation of a path. Fixed words win over ids."""
        for key in sorted(self.operations, key=lambda one: one[1].count("{")):
            if key[0] == method and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", key[1]), path):
                return key
        return None

    @lru_cache(maxsize=500)  # noqa: B019 - one contract per run
    def _validator(self, reference: str) -> Draft202012Validator:
        return Draft202012Validator({**self._components, **json.loads(reference)})

    def check(self, schema: Schema, value: Any, what: str) -> None:
        error = best_match(self._validator(json.dumps(as_json_schema(schema))).iter_errors(value))
        if error is not None:
            raise Mismatch(f"{what}: {error.json_path}: {error.message[:300]}")

    def check_object(self, name: str, value: Any) -> None:
        self.check({"$ref": f"#/components/schemas/{name}"}, value, name)

    def knows(self, name: str) -> bool:
        return name in self._components["components"]["schemas"]

    def check_reply(self, method: str, path: str, status: int, body: Any) -> None:
        key = self.operation(method, path)
        if key is None:
            return
        responses = self.operations[key]["responses"]
        response = responses.get(str(status)) or responses["default"]
        self.check(response["content"]["application/json"]["schema"], body, f"{method} {path} → {status}")

    def check_request(self, method: str, path: str, form: str) -> None:
        """`form` is the text as it was sent; it is converted to the described types first."""
        key = self.operation(method, path)
        if key is None:
            return
        schema = self._parameters(self.operations[key])
        self.check(schema, self._typed(schema, parse(form)), f"{method} {path}")

    def _parameters(self, operation: Schema) -> Schema:
        body = operation.get("requestBody")
        if body:
            schema: Schema = next(iter(body["content"].values()))["schema"]
            return schema
        query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
        properties = {one["name"]: one["schema"] for one in query}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def _typed(self, schema: Schema, value: Any) -> Any:
        while "$ref" in schema:
            schema = self._components["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        if "anyOf" in schema:
            return self._first_that_fits(schema["anyOf"], value)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if "array" in types and isinstance(value, dict):
            return [self._typed(schema["items"], one) for one in value.values()]
        if isinstance(value, dict):
            properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
            rest = rest if isinstance(rest, dict) else {}
            return {name: self._typed(properties.get(name, rest), one) for name, one in value.items()}
        if "integer" in types and re.fullmatch(r"-?\d+", value):
            return int(value)
        if "boolean" in types and value in ("true", "false"):
            return value == "true"
        return value

    def _first_that_fits(self, schemas: list[Schema], value: Any) -> Any:
        for schema in schemas:
            typed = self._typed(schema, value)
            if self._validator(json.dumps(as_json_schema(schema))).is_valid(typed):
                return typed
        return value
