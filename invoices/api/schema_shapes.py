"""How a schema of the API's description is written: the few kinds of members, and lists and references."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
AMOUNT: Schema = {"type": "integer", "description": "Minor units"}
MOMENT: Schema = {"type": "integer", "description": "Seconds since 1970, UTC"}
ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}
MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}

# Members that hold an id, or the whole object where it was expanded: the components that may stand there. What stands
# in a member that is not named here is an object of any kind.
EXPANDED = {
    "charge": ("charge",),
    "credit_note": ("credit_note",),
    "customer": ("deleted_customer", "customer"),
    "invoice": ("deleted_invoice", "invoice"),
    "latest_charge": ("charge",),
    "latest_revision": ("invoice",),
    "payment_intent": ("payment_intent",),
    "refund": ("refund",),
}


def ref(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema], "nullable": True} if "$ref" in schema else {**schema, "nullable": True}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def list_of(component: str) -> Schema:
    """Stripe's list envelope around objects of this kind."""
    members: Schema = {
        "object": {"type": "string", "enum": ["list"]},
        "data": array(ref(component)),
        "has_more": BOOLEAN,
        "url": TEXT,
    }
    return {"type": "object", "required": list(members), "properties": members}


def shape(
    description: str = "",
    *,
    kind: str = "",
    texts: str = "",
    amounts: str = "",
    moments: str = "",
    integers: str = "",
    booleans: str = "",
    maps: str = "",
    ids: str = "",
    objects: str = "",
    lists: str = "",
    **others: Schema,
) -> Schema:
    """An object by the names of its members, in groups of one type: `amount_due! due_date?`.

    `!` marks a member that every object has, `?` one that may be null. `kind` is the value of its member `object`.
    `ids` are ids that can be expanded, `objects` and `lists` are of any kind; `others` have schemas of their own.
    """
    properties: Schema = {"object": {"type": "string", "enum": [kind]}} if kind else {}
    required = ["object"] if kind else []
    groups = (
        (texts, TEXT),
        (amounts, AMOUNT),
        (moments, MOMENT),
        (integers, INTEGER),
        (booleans, BOOLEAN),
        (maps, MAP),
        (ids, None),
        (objects, ANY_OBJECT),
        (lists, array({})),
    )
    for names, schema in groups:
        for marked in names.split():
            name = marked.rstrip("!?")
            found = schema or _expandable(name)
            properties[name] = or_null(found) if "?" in marked else found
            if "!" in marked:
                required.append(name)
    found = {"type": "object", "properties": properties | others, "additionalProperties": True}
    return found | ({"description": description} if description else {}) | ({"required": required} if required else {})


def _expandable(name: str) -> Schema:
    expanded = [ref(component) for component in EXPANDED.get(name, ())]
    return {"description": "An id, or the object when expanded", "anyOf": [TEXT, *(expanded or [ANY_OBJECT])]}
