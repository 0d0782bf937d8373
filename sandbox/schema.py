"""The tables of the state file: one per kind of object, and a few for the sandbox itself."""

from typing import Any

# kind of object → {column: path of the member that fills it}; lists are filtered by these columns
FILTER_COLUMNS: dict[str, dict[str, str]] = {
    "customer": {"created": "created", "email": "email", "prefix": "invoice_prefix"},
    "payment_method": {
        "created": "created",
        "customer": "customer",
        "type": "type",
        "allow_redisplay": "allow_redisplay",
    },
    "source": {"created": "created", "customer": "customer"},
    "mandate": {"payment_method": "payment_method"},
    "invoiceitem": {"created": "date", "customer": "customer", "invoice": "invoice"},
    "invoice": {
        "created": "created",
        "customer": "customer",
        "status": "status",
        "subscription": "parent.subscription_details.subscription",
        "collection_method": "collection_method",
        "due_date": "due_date",
    },
    "invoice_payment": {
        "created": "created",
        "invoice": "invoice",
        "status": "status",
        "payment_intent": "payment.payment_intent",
        "payment_record": "payment.payment_record",
    },
    "payment_intent": {"created": "created", "customer": "customer"},
    "charge": {"created": "created", "customer": "customer", "payment_intent": "payment_intent", "status": "status"},
    "refund": {"created": "created", "charge": "charge", "payment_intent": "payment_intent"},
    "credit_note": {"created": "created", "customer": "customer", "invoice": "invoice"},
    "payment_record": {"created": "created"},
    "billing_portal.session": {"created": "created"},
    "webhook_endpoint": {"created": "created", "status": "status"},
    "product": {"created": "created"},
    "price": {"created": "created", "product": "product"},
    "subscription": {"created": "created", "customer": "customer", "status": "status"},
    "event": {"created": "created", "type": "type"},
}
# Only the columns that are searched often: an index slows every write down.
INDEXED_COLUMNS = {
    "customer": ["email", "created", "prefix"],
    "payment_method": ["customer"],
    "source": ["customer"],
    "mandate": ["payment_method"],
    "invoiceitem": ["customer", "invoice"],
    "invoice": ["customer", "status", "subscription", "created", "due_date"],
    "invoice_payment": ["invoice", "payment_intent", "payment_record", "created"],
    "payment_intent": ["customer", "created"],
    "charge": ["payment_intent", "customer", "created"],
    "refund": ["charge", "payment_intent", "created"],
    "credit_note": ["customer", "invoice", "created"],
    "subscription": ["customer"],
    "event": ["created", "type"],
}


def table_name(kind: str) -> str:
    return '"' + kind + '"'


def value_at(obj: dict[str, Any], path: str) -> Any:
    """The member at a dotted path, such as `payment.payment_intent`; None where it is absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def create_statements() -> list[str]:
    """All CREATE statements. `body` is the last column, so that a scan over the filter columns does not read it."""
    made = []
    for kind, columns in FILTER_COLUMNS.items():
        typed = "".join(f"{name} {'INTEGER' if name in ('created', 'due_date') else 'TEXT'}, " for name in columns)
        made.append(
            f"CREATE TABLE IF NOT EXISTS {table_name(kind)} (seq INTEGER PRIMARY KEY AUTOINCREMENT, "
            f"id TEXT UNIQUE NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, {typed}hidden TEXT, body TEXT NOT NULL)"
        )
        for column in INDEXED_COLUMNS.get(kind, []):
            made += [f'CREATE INDEX IF NOT EXISTS "{kind}_{column}" ON {table_name(kind)} ({column})']
    return made + OTHER_TABLES


# meta: settings that outlive a restart. counter: deliveries since the last reset. charged: successful charges of each
# invoice. idempotency: saved replies. timer: see timers.py. delivery: one row per webhook delivery.
OTHER_TABLES = [
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS charged (invoice TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, created INTEGER NOT NULL, path TEXT NOT NULL, "
    "params TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS timer (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, "
    "id TEXT NOT NULL, UNIQUE (what, id))",
    "CREATE INDEX IF NOT EXISTS timer_at ON timer (at)",
    "CREATE TABLE IF NOT EXISTS delivery (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, "
    "type TEXT NOT NULL, endpoint TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, "
    "since REAL NOT NULL, next_at REAL NOT NULL, note TEXT)",
    "CREATE INDEX IF NOT EXISTS delivery_due ON delivery (next_at) WHERE state = 'pending'",
    "CREATE INDEX IF NOT EXISTS delivery_event ON delivery (event)",
]
