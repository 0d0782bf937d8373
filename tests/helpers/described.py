"""Whether a reply of the API is as its own description says: its status, its body, its headers."""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs
from drf_spectacular.generators import SchemaGenerator

from invoices.api.schema_stripe import STRIPES_OBJECTS
from tests.helpers.json_schema import as_json_schema

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Schema = dict[str, Any]
OURS = re.compile(r"(?i)^(invoice-desk-.*|idempot.*|stripe-.*|request-id|x-request-id|retry-after|www-authenticate)$")


_one_at_a_time = threading.Lock()


def description() -> Schema:
    """What `/api/schema/` answers. Tests ask from threads, and what makes it is not made for that."""
    with _one_at_a_time:
        return _description()


@cache
def _description() -> Schema:
    found: Schema = SchemaGenerator().get_schema(request=None, public=True)
    return found


def operations() -> dict[tuple[str, str], Schema]:
    """Each described operation by its method and its address: `("GET", "/v1/invoices/{id}")`."""
    return {
        (method.upper(), address): operation
        for address, of_address in description()["paths"].items()
        for method, operation in of_address.items()
    }


@lru_cache(maxsize=2000)
def find(method: str, path: str) -> tuple[str, str] | None:
    """The operation that a request is for. Fixed words win over ids."""
    method = "GET" if method == "HEAD" else method
    for key in sorted(operations(), key=lambda one: one[1].count("{")):
        if key[0] == method and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", key[1]), path):
            return key
    return None


def faults(
    method: str, path: str, status: int, headers: Any, body: bytes | None, *, odd: bool = False
) -> Iterator[str]:
    """What is not as described, in sentences. `body` is None where it is not looked at. Stripe's objects in it are not
    looked into where they are odd."""
    if status == 301 and headers["Location"].startswith("https://"):
        return  # the whole desk redirects to TLS where it was asked without
    key = find(method, path)
    if key is None and "Invoice-Desk-Stripe-Request-Id" in headers:
        return  # Stripe's own answer, passed on as it is
    if key is None:
        if status < 400:
            yield f"answered {status}, and no such endpoint is described"
        elif body is not None and method != "HEAD":
            yield from _faults_of_body({"$ref": "#/components/schemas/error"}, body, odd)
        return
    described = operations()[key]["responses"].get(str(status))
    if described is None:
        yield f"the status {status} is not described"
        return
    yield from _faults_of_headers(described, headers)
    content = described.get("content", {})
    if method == "HEAD" or body is None or not content:
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if media_type not in content:
        yield f"the content type {media_type!r} is not described"
    elif media_type == "application/json":
        yield from _faults_of_body(content[media_type]["schema"], body, odd)


def plain_body(response: Any) -> bytes | None:
    """The body as it was before it was compressed. None for a stream, which must not be read here."""
    if response.streaming:
        return None
    read = {"gzip": gzip.decompress, "zstd": zstd.decompress}.get(response.headers.get("Content-Encoding", ""))
    return read(response.content) if read else bytes(response.content)


def _faults_of_headers(described: Schema, headers: Any) -> Iterator[str]:
    known = {name.lower(): _resolved(header) for name, header in described.get("headers", {}).items()}
    sent = {name.lower(): value for name, value in headers.items()}
    for name, header in known.items():
        if header.get("required") and name not in sent:
            yield f"the header {name} is missing"
    for name, value in sent.items():
        if name not in known:
            if OURS.match(name):
                yield f"the header {name} is not described"
            continue
        schema = known[name]["schema"]
        typed = int(value) if schema["type"] == "integer" and value.isdigit() else value
        for error in _validator(json.dumps(schema), False).iter_errors(typed):
            yield f"the header {name}: {error.message}"


def _resolved(node: Schema) -> Schema:
    if "$ref" not in node:
        return node
    _, _, kind, name = node["$ref"].split("/")
    found: Schema = description()["components"][kind][name]
    return found


def _faults_of_body(schema: Schema, body: bytes, odd: bool) -> Iterator[str]:
    try:
        value = json.loads(body)
    except ValueError:
        yield f"the body is no JSON: {body[:100]!r}"
        return
    if b"\\ud" in body:  # the validator takes no half of a surrogate pair
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    for error in _validator(json.dumps(schema), odd).iter_errors(value):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        yield f"{place or 'the body'}: {error.message[:300]}"
        return


@lru_cache(maxsize=200)
def _validator(schema: str, odd: bool) -> Any:
    components = {"components": {"schemas": _components(odd)}}
    return jsonschema_rs.Draft202012Validator(
        {**components, **as_json_schema(json.loads(schema))}, validate_formats=True
    )


@cache
def _components(odd: bool) -> Schema:
    """As described; but our own objects are closed here, so that a member which is not described is a fault."""
    schemas = description()["components"]["schemas"]
    ours = {name: as_json_schema(_closed(schema)) for name, schema in schemas.items() if name not in STRIPES_OBJECTS}
    stripes = {name: {} if odd else as_json_schema(schema) for name, schema in STRIPES_OBJECTS.items()}
    return ours | stripes


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(one) for name, one in node.items()}
    return closed | {"additionalProperties": False} if isinstance(node.get("properties"), dict) else closed
