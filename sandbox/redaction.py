"""Redaction of a customer: what Stripe's redaction jobs leave of the customer and of all that belongs to it.

Documented: "[redacted]" or a similar placeholder takes the place of personal data, in metadata too, and in the events
that Stripe lists; amounts, ids and states stay. Not documented: which members exactly, and whether an event tells of
it. None does here. See `unknowns.py`, "redaction".
"""

import json
from typing import Any

from sandbox.schema import FILTER_COLUMNS, table_name
from sandbox.store import Database, dumps

PLACEHOLDER = "[redacted]"
# Everything below these members, but for null and numbers, becomes the placeholder.
PERSONAL = frozenset(
    "address billing_details custom_fields customer_address customer_email customer_name customer_phone "
    "customer_shipping customer_tax_ids description email footer instructions_email memo metadata phone receipt_email "
    "shipping shipping_details".split()
)


def redact_customer(db: Database, customer: str) -> int:
    """Redacts every object and event that names this customer; how many."""
    redacted = 0
    for kind in FILTER_COLUMNS:
        rows = db.execute(
            f"SELECT seq, id, body, hidden FROM {table_name(kind)} WHERE instr(body, ?)", (json.dumps(customer),)
        ).fetchall()
        for seq, id, body, hidden in rows:
            found = redact(json.loads(body))
            kept = dumps(redact(json.loads(hidden))) if hidden else None  # such as the lines after the tenth
            db.execute(f"UPDATE {table_name(kind)} SET body = ?, hidden = ? WHERE seq = ?", (dumps(found), kept, seq))
            if kind == "customer" and id == customer:
                db.execute('UPDATE "customer" SET email = ? WHERE seq = ?', (found.get("email"), seq))
            redacted += 1
    return redacted


def redact(value: Any, inside: bool = False, kind: str = "") -> Any:
    """The same JSON value without personal data."""
    if isinstance(value, dict):
        is_object = isinstance(value.get("object"), str)
        kind = value["object"] if is_object else kind
        if isinstance(value.get("object"), dict):  # an event's data: `previous_attributes` are of that object
            kind = value["object"].get("object", "")
        return {
            name: redact(
                below, inside or name in PERSONAL or (name == "name" and kind == "customer"), _kind(name, kind)
            )
            for name, below in value.items()
        }
    if isinstance(value, list):
        return [redact(below, inside) for below in value]
    return PLACEHOLDER if inside and isinstance(value, str) and value else value


def _kind(name: str, kind: str) -> str:
    return kind if name == "previous_attributes" else ""
