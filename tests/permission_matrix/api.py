"""The rows of the API: each address below /v1 with each of its methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from invoices.models import MIRRORED, Scope
from invoices.operations import ACTIONS
from tests.permission_matrix.rows import Row, read, send

API = "api"
LISTS = {  # what the list, one object, and the list as a file need
    "invoices": "view_invoice",
    "invoice_payments": "view_invoicepayment",
    "customers": "view_customer",
    "payment_intents": "view_paymentintent",
    "charges": "view_charge",
    "events": "view_event",
    "credit_notes": "view_creditnote",
    "refunds": "view_refund",
    "operations": "view_operation",
    "batches": "view_batch",
    "notes": "view_note",
    "reconciliation_runs": "view_reconciliationrun",
    "drift": "view_drift",
    "webhook_endpoints": "view_webhookendpoint",
}
FILES: dict[str, tuple[str, ...]] = {"events": ("ndjson",), "webhook_endpoints": ()}  # where there are not both
PARTS = {  # further addresses that are read
    "invoices/search": "view_invoice",
    "customers/search": "view_customer",
    "invoices/<str:id>/lines": "view_invoice",
    "credit_notes/<str:id>/lines": "view_creditnote",
    "webhook_endpoints/<str:id>/deliveries": "view_webhookendpoint",
}
BODIES = {  # of actions that ask for something
    "attach_out_of_band_payment": {"amount": "500", "method": "Cash", "received_on": "2026-11-02"},
    "attach_payment": {"payment_intent": "pi_00000000"},
    "charge_part": {"amount": "500", "payment_method": "pm_1"},
}
VOID_ONE = {"action": "void", "invoices[0]": "in_1"}
ENDPOINT = {"url": "https://service.example.com/", "enabled_events[0]": "*"}
# What is passed on to Stripe may have everything that the mirror has in it.
WHOLE_MIRROR = " ".join(f"view_{model._meta.model_name}" for model in MIRRORED.values())
ELSEWHERE = (
    r"/^v1(?:/[\s\S]*)?$",
    r"/^v1/(?:invoices/upcoming|invoices/create_preview|credit_notes/preview(?:/lines)?|[a-z_]+/search)$",
)


def reads(path: str, needs: str, scope: str = Scope.READ) -> Row:
    return replace(read(API, f"/v1/{path}", needs), scope=scope)


def sends(path: str, needs: str, scope: str, **body: str) -> Row:
    return replace(send(API, f"/v1/{path}", needs), scope=scope, body=body)


def rows() -> Iterator[Row]:
    for name, needs in LISTS.items():
        for path in (name, f"{name}/<str:id>", *(f"{name}.{kind}" for kind in FILES.get(name, ("ndjson", "csv")))):
            yield reads(path, needs)
    yield from (reads(path, needs) for path, needs in PARTS.items())
    yield reads("changes", "/".join(WHOLE_MIRROR.split()), Scope.FEED)
    yield from (replace(read(API, key, WHOLE_MIRROR), scope=Scope.PASS_THROUGH) for key in ELSEWHERE)
    for action in ACTIONS.values():
        needs, body = f"view_invoice {action.codename}", BODIES.get(action.name, {})
        yield sends(f"invoices/<str:id>/{action.name}", needs, action.name, **body)
    for verdict in ("approve", "reject"):
        yield sends(f"operations/<str:id>/{verdict}", "view_operation approve_operation", Scope.APPROVE, reason="no")
    withdraw = sends("operations/<str:id>/withdraw", "view_operation", "void")  # the scope of its action
    yield replace(withdraw, of="own operation")
    yield sends("batches/preview", "view_batch view_invoice void_invoice", "void", **VOID_ONE)
    yield sends("batches", "view_batch view_invoice void_invoice", "void", **VOID_ONE, **{"expected[usd]": "1000"})
    yield sends("batches/<str:id>/cancel", "view_batch void_invoice", "void")
    yield replace(sends("batches/<str:id>/confirm", "view_batch void_invoice", "void"), of="own batch")
    yield sends("notes", "view_note view_invoice add_note", Scope.NOTES, invoice="in_00000000", text="Paid by cheque.")
    yield sends("notes/<str:id>", "view_note view_invoice change_note", Scope.NOTES, text="Paid by cheque.")
    yield sends(
        "reconciliation_runs", "view_reconciliationrun run_reconciliation", Scope.ACTIONS, kind="sweep", wait="0"
    )
    endpoints, scope = "webhook_endpoints", Scope.WEBHOOK_ENDPOINTS
    yield sends(endpoints, "view_webhookendpoint add_webhookendpoint", scope, **ENDPOINT)
    for path in ("<str:id>", "<str:id>/redeliver", "<str:id>/replace_secret"):
        yield sends(f"{endpoints}/{path}", "view_webhookendpoint change_webhookendpoint", scope)
    delete = sends(f"{endpoints}/<str:id>", "view_webhookendpoint delete_webhookendpoint", scope)
    yield replace(delete, method="DELETE")
