"""Every request that the gateway makes, against Stripe's description and the installed SDK's annotations."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from django.contrib.auth.models import User
from stripe import params as sdk_params

from invoices import operations, reconcile, refetch
from invoices.operations import payment_lookups
from tests.factories import customer_at, invoice_at
from tests.sandbox.contract import Contract, needs_description, where
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db(transaction=True)

Request = tuple[str, str, str]  # method, path, form


@pytest.fixture
def requests(sandbox: SandboxProcess, agent: User, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the gateway sends while every action is taken, every kind is read and everything is reconciled."""
    sent: list[Request] = []
    send = stripe.RequestsClient.request

    def listen(self: Any, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        parts = urlsplit(url)
        sent.append((method.upper(), parts.path, post_data if method == "post" else parts.query))
        return send(self, method, url, headers, post_data)

    def act(action: str, invoice: str, **params: Any) -> None:
        done = operations.execute(action, invoice, actor=agent, source="admin", reason="asked", params=params)
        assert done.state == "succeeded", done.message

    def opened(**given: Any) -> str:
        return str(invoice_at(sandbox, **given).id)

    monkeypatch.setattr(stripe.RequestsClient, "request", listen)
    customer = customer_at(sandbox)
    act("pay", opened(), off_session=True, forgive=False)
    act("pay", opened(), payment_method="pm_card_visa")
    act("pay", opened(), paid_out_of_band=True)
    act("void", opened())
    act("mark_uncollectible", opened())
    act("finalize", opened(finalize=False), auto_advance=False)
    act("send", opened(collection_method="send_invoice", days_until_due=30))
    act(
        "attach_out_of_band_payment", opened(lines=12, amount=12_000),
        amount=500, method="Check", reference="17", received_on="2026-11-02", note="by post",
    )  # fmt: skip
    intent = sandbox.client().v1.payment_intents.create(
        {"customer": customer.id, "amount": 1000, "currency": "usd", "confirm": True,
         "payment_method": customer.invoice_settings.default_payment_method}
    )  # fmt: skip
    act("attach_payment", opened(customer=customer.id), payment_intent=intent.id)
    payment_lookups.payment_methods(customer.id)
    refetch.refetch("customer", customer.id)
    refetch.refetch("payment_intent", intent.id)
    refunded: Any = {"invoice": invoice_paid(sandbox), "amount": 100, "refund_amount": 100}
    note = sandbox.client().v1.credit_notes.create(refunded)
    long: Any = {"invoice": opened(), "lines": [{"type": "custom_line_item", "unit_amount": 1}] * 12}
    sandbox.client().v1.credit_notes.create(long)
    refetch.refetch("credit_note", note.id)
    refetch.refetch("charge", str(sandbox.client().v1.refunds.retrieve(str(note.refunds[0].refund)).charge))
    refetch.refetch("refund", str(note.refunds[0].refund))
    reconcile.sweep_lists("sweep")
    reconcile.sweep_lists("full")
    reconcile.verify()
    monkeypatch.undo()
    ours = re.compile(
        r"^(GET|POST) /v1/(invoices|invoice_payments|payment_|customers/|events|customers$|charges|credit_n)"
    )
    tests_own = {"POST /v1/payment_intents", "POST /v1/invoices", "POST /v1/credit_notes"}  # how the test made them
    return [one for one in sent if ours.match(f"{one[0]} {one[1]}") and f"{one[0]} {one[1]}" not in tests_own]


def invoice_paid(sandbox: SandboxProcess) -> str:
    return str(sandbox.client().v1.invoices.pay(invoice_at(sandbox).id).id)


@needs_description
def test_every_request_is_as_described(requests: list[Request]) -> None:
    description = where()
    assert description is not None
    contract = Contract(description)
    known = [one for one in requests if contract.operation(one[0], one[1])]
    paths = {re.sub(r"/(in|cus|pi|pr|pm|inpay|cn)_\w+", "/:id", f"{method} {path}") for method, path, _ in known}
    assert {
        "POST /v1/invoices/:id/pay", "POST /v1/invoices/:id/void", "POST /v1/invoices/:id/mark_uncollectible",
        "POST /v1/invoices/:id/finalize", "POST /v1/invoices/:id/send", "POST /v1/invoices/:id/attach_payment",
        "POST /v1/payment_records/report_payment", "GET /v1/invoices/:id", "GET /v1/invoices/:id/lines",
        "GET /v1/invoices", "GET /v1/invoice_payments", "GET /v1/payment_intents", "GET /v1/customers",
        "GET /v1/events",
        "GET /v1/customers/:id", "GET /v1/payment_intents/:id", "GET /v1/customers/:id/payment_methods",
        "GET /v1/credit_notes", "GET /v1/credit_notes/:id",
    } <= paths  # fmt: skip
    for method, path, form in known:
        contract.check_request(method, path, form or "")


SDK = {
    "pay": "InvoicePayParams",
    "void": "InvoiceVoidInvoiceParams",
    "mark_uncollectible": "InvoiceMarkUncollectibleParams",
    "finalize": "InvoiceFinalizeInvoiceParams",
    "send": "InvoiceSendInvoiceParams",
    "attach_payment": "InvoiceAttachPaymentParams",
}


@pytest.mark.parametrize(("action", "name"), SDK.items())
def test_an_action_offers_what_the_sdk_offers(action: str, name: str) -> None:
    """A parameter that an upgrade brings or takes away turns this red."""
    described = set(getattr(sdk_params, name).__annotations__) - set(stripe.RequestOptions.__annotations__) - {"expand"}
    assert {parameter.name for parameter in operations.ACTIONS[action].parameters} == described


def test_what_we_report_of_a_payment_is_what_the_sdk_reports(requests: list[Request]) -> None:
    described = set(sdk_params.PaymentRecordReportPaymentParams.__annotations__)
    (form,) = [form for _, path, form in requests if path.endswith("/report_payment")]
    assert {re.split(r"%5B|\[|=", pair)[0] for pair in form.split("&")} <= described


def test_the_columns_are_members_of_the_sdks_classes() -> None:
    """What the mirror reads from an object exists in the SDK's annotations of its class."""
    members = {
        stripe.Invoice: {"customer", "customer_email", "customer_name", "number", "status", "currency", "total",
                         "collection_method", "billing_reason", "parent", "amount_due", "amount_paid",
                         "amount_remaining", "attempted", "attempt_count", "due_date", "next_payment_attempt",
                         "status_transitions", "hosted_invoice_url", "lines", "payments"},
        stripe.InvoicePayment: {"invoice", "status", "currency", "amount_requested", "amount_paid", "is_default",
                                "payment", "status_transitions"},
        stripe.PaymentIntent: {"customer", "status", "currency", "amount", "amount_received", "payment_method",
                               "latest_charge", "last_payment_error"},
        stripe.Charge: {"payment_intent", "customer", "status", "currency", "amount", "amount_captured",
                        "amount_refunded", "failure_code", "failure_message", "outcome", "payment_method_details"},
        stripe.CreditNote: {"invoice", "customer", "number", "status", "type", "currency", "amount", "lines"},
        stripe.Refund: {"charge", "payment_intent", "customer", "status", "currency", "amount"},
        stripe.Customer: {"email", "name", "invoice_settings", "default_source"},
    }  # fmt: skip
    for kind, read in members.items():
        assert read <= set(kind.__annotations__), kind.__name__
