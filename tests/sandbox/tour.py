"""tour: calls every address of the sandbox once, for tests that check all requests and replies."""

from __future__ import annotations

import time
from typing import Any

from tests.sandbox.shop import Shop

CUSTOM_LINE = {"type": "custom_line_item", "unit_amount": "1", "quantity": "2", "description": "one"}
CARDS = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_threeDSecure2Required")


def tour(shop: Shop) -> None:
    customer, methods = customers_and_cards(shop)
    invoices(shop, customer, methods)
    records(shop, customer)
    intents(shop, customer, methods)
    credits(shop, customer)
    endpoints(shop)
    everything_else(shop, customer)


def ok(answer: Any) -> Any:
    assert answer.status == 200, answer
    return answer.json


def customers_and_cards(shop: Shop) -> tuple[str, list[str]]:
    customer = ok(shop.post("/v1/customers", {"email": "ada@example.com", "address[city]": "Lyon", "metadata[a]": "b"}))
    methods = [
        ok(shop.post(f"/v1/payment_methods/{card}/attach", {"customer": customer["id"]}))["id"] for card in CARDS
    ]
    ok(shop.post("/v1/payment_methods", {"type": "card", "card[token]": "tok_visa"}))
    default = {"invoice_settings[default_payment_method]": methods[0]}
    ok(shop.post(f"/v1/customers/{customer['id']}", default))
    ok(shop.get(f"/v1/customers/{customer['id']}", **{"expand[0]": "invoice_settings.default_payment_method"}))
    ok(shop.get("/v1/customers", email="ada@example.com", limit=2))
    ok(shop.get(f"/v1/customers/{customer['id']}/payment_methods", type="card"))
    ok(shop.get("/v1/payment_methods", customer=customer["id"], type="card"))
    ok(shop.get(f"/v1/payment_methods/{methods[0]}"))
    gone = ok(shop.post("/v1/customers"))["id"]
    ok(shop.delete(f"/v1/customers/{gone}"))
    ok(shop.get(f"/v1/customers/{gone}"))
    return customer["id"], methods


def draft(shop: Shop, customer: str, amount: int = 1000, **form: str) -> str:
    invoice: str = ok(shop.post("/v1/invoices", {"customer": customer, "currency": "usd", **form}))["id"]
    item = {"customer": customer, "invoice": invoice, "amount": str(amount), "currency": "usd", "description": "one"}
    ok(shop.post("/v1/invoiceitems", item))
    return invoice


def invoices(shop: Shop, customer: str, methods: list[str]) -> None:
    for call in ("finalize", "pay", "send"):
        ok(shop.post(f"/v1/invoices/{draft(shop, customer)}/{call}"))
    for call in ("void", "mark_uncollectible"):
        invoice = draft(shop, customer)
        ok(shop.post(f"/v1/invoices/{invoice}/finalize", {"auto_advance": "false"}))
        ok(shop.post(f"/v1/invoices/{invoice}/{call}"))
        shop.post(f"/v1/invoices/{invoice}/{call}")  # refused
    invoice = draft(shop, customer, collection_method="send_invoice", days_until_due="30")
    ok(shop.post(f"/v1/invoices/{invoice}", {"description": "d", "footer": "f", "metadata[a]": "b"}))
    ok(shop.post(f"/v1/invoices/{invoice}/add_lines", {f"lines[{n}][amount]": str(n) for n in range(1, 15)}))
    ok(shop.get(f"/v1/invoices/{invoice}/lines", limit=3))
    ok(shop.post(f"/v1/invoices/{invoice}/finalize"))
    for form in ({"payment_method": methods[1]}, {"payment_method": methods[2], "off_session": "false"}):
        assert shop.post(f"/v1/invoices/{invoice}/pay", form).status == 402
    expand = {"expand[0]": "payments.data.payment.payment_intent", "expand[1]": "customer", "expand[2]": "payments"}
    ok(shop.get(f"/v1/invoices/{invoice}", **expand, **{"expand[3]": "amount_paid_off_stripe"}))
    ok(shop.post(f"/v1/invoices/{invoice}/pay", {"paid_out_of_band": "true"}))
    ok(shop.get("/v1/invoices", status="paid", customer=customer, limit=100, **{"created[gte]": "1"}))
    payments = ok(shop.get("/v1/invoice_payments", limit=100))["data"]
    ok(shop.get(f"/v1/invoice_payments/{payments[0]['id']}", **{"expand[]": "payment.payment_intent"}))
    ok(shop.delete(f"/v1/invoices/{draft(shop, customer)}"))
    shop.get("/v1/invoices/in_nope")
    shop.get("/v1/invoices", status="nope")


def records(shop: Shop, customer: str) -> None:
    now = str(int(time.time()))
    form = {
        "amount_requested[currency]": "usd",
        "amount_requested[value]": "400",
        "initiated_at": now,
        "payment_method_details[type]": "custom",
        "payment_method_details[custom][display_name]": "Wire",
        "payment_method_details[custom][type]": "wire",
        "processor_details[type]": "custom",
        "processor_details[custom][payment_reference]": "W-1",
        "customer_details[customer]": customer,
        "metadata[a]": "b",
    }
    report = "/v1/payment_records/report_payment"
    done = ok(shop.post(report, {**form, "outcome": "guaranteed", "guaranteed[guaranteed_at]": now}))
    invoice = draft(shop, customer)
    ok(shop.post(f"/v1/invoices/{invoice}/finalize"))
    ok(shop.post(f"/v1/invoices/{invoice}/attach_payment", {"payment_record": done["id"]}))
    ok(shop.get(f"/v1/payment_records/{done['id']}"))
    ok(shop.get("/v1/payment_records", created_after=1))
    record = ok(shop.post(report, form))["id"]
    at = f"/v1/payment_records/{record}/report_payment_attempt"
    ok(shop.post(f"{at}_failed", {"failed_at": now}))
    ok(shop.post(at, {"initiated_at": now}))
    ok(shop.post(f"{at}_canceled", {"canceled_at": now}))
    ok(shop.post(at, {"initiated_at": now}))
    ok(shop.post(f"{at}_guaranteed", {"guaranteed_at": now}))


def intents(shop: Shop, customer: str, methods: list[str]) -> None:
    form = {"amount": "1500", "currency": "usd", "customer": customer, "payment_method": methods[0]}
    made = ok(shop.post("/v1/payment_intents", {**form, "confirm": "true"}))["id"]
    ok(shop.get(f"/v1/payment_intents/{made}", **{"expand[]": "latest_charge"}))
    shop.post("/v1/payment_intents", {**form, "confirm": "true", "payment_method": methods[1]})
    waiting = ok(shop.post("/v1/payment_intents", {**form, "payment_method": methods[2], "confirm": "true"}))
    assert waiting["status"] == "requires_action"
    ok(shop.post(f"/v1/payment_intents/{waiting['id']}/cancel"))
    ok(shop.get("/v1/payment_intents", customer=customer))
    bank = draft(shop, customer)
    ok(shop.post(f"/v1/invoices/{bank}/pay", {"payment_method": "pm_usBankAccount_processing"}))


def credits(shop: Shop, customer: str) -> None:
    """Credit notes of a paid invoice and of an open one, and refunds."""
    paid = draft(shop, customer, 9000)
    ok(shop.post(f"/v1/invoices/{paid}/add_lines", {f"lines[{n}][amount]": "10" for n in range(12)}))
    invoice = ok(shop.post(f"/v1/invoices/{paid}/pay"))
    line = invoice["lines"]["data"][0]["id"]
    lines = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": line, "lines[0][amount]": "1000"}
    ways = {"refund_amount": "500", "credit_amount": "300", "out_of_band_amount": "200"}
    told = {"memo": "late", "reason": "order_change", "metadata[a]": "b", "email_type": "none"}
    note = ok(shop.post("/v1/credit_notes", {"invoice": paid, **lines, **ways, **told}))
    ok(shop.get(f"/v1/credit_notes/{note['id']}", **{"expand[0]": "invoice", "expand[1]": "refunds.refund"}))
    ok(shop.post(f"/v1/credit_notes/{note['id']}", {"memo": "later"}))
    assert shop.post(f"/v1/credit_notes/{note['id']}/void").status == 400
    many = {f"lines[{n}][{name}]": value for n in range(12) for name, value in CUSTOM_LINE.items()}
    note = ok(shop.post("/v1/credit_notes", {"invoice": paid, **many, "out_of_band_amount": "24"}))
    assert len(ok(shop.get(f"/v1/credit_notes/{note['id']}/lines", limit=100))["data"]) == 12
    opened = draft(shop, customer, 4000)
    ok(shop.post(f"/v1/invoices/{opened}/finalize", {"auto_advance": "false"}))
    note = ok(shop.post("/v1/credit_notes", {"invoice": opened, "amount": "1500"}))
    ok(shop.post(f"/v1/credit_notes/{note['id']}/void"))
    ok(shop.get("/v1/credit_notes", invoice=opened, customer=customer, limit=2, **{"created[gte]": "1"}))
    intent = ok(shop.get("/v1/refunds"))["data"][0]["payment_intent"]
    refund = ok(shop.post("/v1/refunds", {"payment_intent": intent, "amount": "700", "reason": "duplicate"}))
    ok(shop.post(f"/v1/refunds/{refund['id']}", {"metadata[a]": "b"}))
    ok(shop.get(f"/v1/refunds/{refund['id']}", **{"expand[0]": "charge", "expand[1]": "payment_intent"}))
    ok(shop.get("/v1/refunds", charge=refund["charge"], payment_intent=intent, **{"created[gte]": "1"}))
    assert shop.post("/v1/refunds", {"charge": refund["charge"], "amount": "99999"}).status == 400


def endpoints(shop: Shop) -> None:
    form = {"url": "http://127.0.0.1:9/hook", "enabled_events[0]": "invoice.updated"}
    endpoint = ok(shop.post("/v1/webhook_endpoints", form))["id"]
    ok(shop.get("/v1/webhook_endpoints"))
    ok(shop.get(f"/v1/webhook_endpoints/{endpoint}"))
    ok(shop.post(f"/v1/webhook_endpoints/{endpoint}", {"description": "d"}))
    ok(shop.delete(f"/v1/webhook_endpoints/{endpoint}"))


def everything_else(shop: Shop, customer: str) -> None:
    source = ok(shop.post("/v1/sources", {"type": "ach_credit_transfer", "currency": "usd", "amount": "9000"}))["id"]
    ok(shop.post(f"/v1/customers/{customer}/sources", {"source": source}))
    ok(shop.post(f"/v1/invoices/{draft(shop, customer)}/pay", {"source": source}))
    price = {"currency": "usd", "unit_amount": "5", "recurring[interval]": "day", "product_data[name]": "Plan"}
    made = ok(shop.post("/v1/prices", price))["id"]
    subscription = ok(shop.post("/v1/subscriptions", {"customer": customer, "items[0][price]": made}))
    ok(shop.get(f"/v1/invoices/{subscription['latest_invoice']}"))
    ok(shop.post("/v1/billing_portal/sessions", {"customer": customer}))
    events = ok(shop.get("/v1/events", limit=100, type="invoice.*", **{"created[gte]": "1"}))["data"]
    ok(shop.get(f"/v1/events/{events[0]['id']}"))
