"""The rows of every list of the admin: the list, its files, sums and saved views, and the page of one record."""

from __future__ import annotations

from collections.abc import Iterator

from tests.permission_matrix.roles import NOBODY
from tests.permission_matrix.rows import Row, read, send

LISTS = {  # model → what its list, its files and its pages need
    "invoice": "view_invoice",
    "customer": "view_customer",
    "operation": "view_operation",
    "batch": "view_batch",
    "mention": "view_mention view_note view_invoice",
    "note": "view_note view_invoice",
    "promise": "view_promise view_invoice",
    "export": "view_export",
    "invoicepayment": "view_invoicepayment",
    "paymentintent": "view_paymentintent",
    "charge": "view_charge",
    "creditnote": "view_creditnote",
    "refund": "view_refund",
    "event": "view_event",
    "banktransaction": "view_banktransaction",
    "bankstatement": "view_bankstatement",
    "monthclose": "view_monthclose",
    "reconciliationrun": "view_reconciliationrun",
    "drift": "view_drift",
    "scheduledrefetch": "view_scheduledrefetch",
    "email": "view_email",
    "pause": "view_pause",
    "apitoken": "view_apitoken",
    "webhookendpoint": "view_webhookendpoint",
    "signinrecord": "view_signinrecord",
}
READ = ("changelist", "page", "csv", "xlsx", "file", "sums", "open_view", "change_view_of_list")
SENT = ("save_view", "change_view_of_list", "delete_view_of_list")
DJANGOS_OWN = ("history", "change")  # addresses of a record that lead to its page, which asks for the permission
NOT_SERVED = ("add", "delete")  # records are read-only; those that have a form to add one say so in pages.py


def of_list(model: str, needs: str) -> Iterator[Row]:
    """The rows of all addresses that a list can have."""
    name = f"invoices_{model}_"
    yield from (read(model, name + suffix, needs) for suffix in READ)
    yield from (send(model, name + suffix, needs) for suffix in SENT)
    yield send(model, name + "file", f"{needs} view_export")
    yield from (read(model, name + suffix) for suffix in DJANGOS_OWN)
    yield read(model, f"/admin/invoices/{model}/<path:object_id>/")
    yield from (read(model, name + suffix, NOBODY) for suffix in NOT_SERVED)


def rows() -> Iterator[Row]:
    for model, needs in LISTS.items():
        yield from of_list(model, needs)
