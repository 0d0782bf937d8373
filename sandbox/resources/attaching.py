"""POST /v1/invoices/:id/attach_payment: let an existing payment pay an invoice, wholly or in part."""

from sandbox import payments, received_money, refusals, shapes
from sandbox import unknowns as unknown
from sandbox.call import Call
from sandbox.resources import common
from sandbox.store import HIDDEN, StripeObject

ONE_OF = "You must pass in exactly one of payment_intent or payment_record."


def attach(call: Call, invoice: StripeObject) -> StripeObject:
    if ("payment_intent" in call.params) == ("payment_record" in call.params):
        raise refusals.invalid_parameter(ONE_OF)
    kind = "payment_intent" if "payment_intent" in call.params else "payment_record"
    payer = common.fetch_named(call, kind, kind)
    check_attachable(call, invoice, kind, payer)
    amount, received = (amounts_of_intent if kind == "payment_intent" else amounts_of_record)(payer)
    payment = shapes.invoice_payment(call.now, invoice, {kind: payer["id"], "type": kind}, amount, is_default=False)
    call.db.add("invoice_payment", payment)
    if kind == "payment_intent":
        bind_intent(call, invoice, payer, received)
    if received is not None:
        received_money.receive(call, invoice, payment, received)
    return call.db.get("invoice", invoice["id"]) or invoice


def check_attachable(call: Call, invoice: StripeObject, kind: str, payer: StripeObject) -> None:
    if call.db.find("invoice_payment", **{kind: payer["id"]}):
        raise refusals.not_allowed(unknown.ATTACH_TWICE, kind)
    currency = payer["currency"] if kind == "payment_intent" else payer["amount_requested"]["currency"]
    if currency != invoice["currency"]:
        raise refusals.not_allowed(unknown.ATTACH_CURRENCY.format(currency, invoice["currency"]), kind)
    customer = payer["customer"] if kind == "payment_intent" else (payer["customer_details"] or {}).get("customer")
    if customer and customer != invoice["customer"]:
        raise refusals.not_allowed(unknown.ATTACH_CUSTOMER, kind)


def amounts_of_intent(intent: StripeObject) -> tuple[int, int | None]:
    """The requested amount and the received one, in minor units; None: nothing has been received yet."""
    if intent["status"] == "canceled":
        raise refusals.not_allowed(unknown.ATTACH_DEAD, "payment_intent")
    return intent["amount"], intent["amount_received"] if intent["status"] == "succeeded" else None


def amounts_of_record(record: StripeObject) -> tuple[int, int | None]:
    guaranteed = record["amount_guaranteed"]["value"]
    if not guaranteed and (record["amount_failed"]["value"] or record["amount_canceled"]["value"]):
        raise refusals.not_allowed(unknown.ATTACH_DEAD, "payment_record")
    return record["amount_requested"]["value"], guaranteed or None


def bind_intent(call: Call, invoice: StripeObject, intent: StripeObject, received: int | None) -> None:
    """From now on a charge of this intent counts as a charge of this invoice."""
    intent.setdefault(HIDDEN, {})["invoice"] = invoice["id"]
    intent["payment_details"] = {"customer_reference": None, "order_reference": invoice["id"]}
    call.db.save("payment_intent", intent)
    if received is not None:
        payments.count_charge(call, invoice["id"])
