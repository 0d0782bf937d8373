"""attach_payment: money that came some other way, bound to the invoice that it pays, whole or in part."""

from sandbox import payments, receipts, refusals, shapes
from sandbox import unknowns as unknown
from sandbox.call import Call
from sandbox.resources import common
from sandbox.store import HIDDEN, Obj

ONE_OF = "You must pass in exactly one of payment_intent or payment_record."


def attach(call: Call, invoice: Obj) -> Obj:
    if ("payment_intent" in call.params) == ("payment_record" in call.params):
        raise refusals.invalid(ONE_OF)
    kind = "payment_intent" if "payment_intent" in call.params else "payment_record"
    payer = common.named_in(call, kind, kind)
    check(call, invoice, kind, payer)
    amount, arrived = (of_intent if kind == "payment_intent" else of_record)(payer)
    payment = shapes.invoice_payment(call.now, invoice, {kind: payer["id"], "type": kind}, amount, is_default=False)
    call.db.add("invoice_payment", payment)
    if kind == "payment_intent":
        bind(call, invoice, payer, arrived)
    if arrived is not None:
        receipts.receive(call, invoice, payment, arrived)
    return call.db.get("invoice", invoice["id"]) or invoice


def check(call: Call, invoice: Obj, kind: str, payer: Obj) -> None:
    if call.db.find("invoice_payment", **{kind: payer["id"]}):
        raise refusals.refused(unknown.ATTACH_TWICE, kind)
    currency = payer["currency"] if kind == "payment_intent" else payer["amount_requested"]["currency"]
    if currency != invoice["currency"]:
        raise refusals.refused(unknown.ATTACH_CURRENCY.format(currency, invoice["currency"]), kind)
    customer = payer["customer"] if kind == "payment_intent" else (payer["customer_details"] or {}).get("customer")
    if customer and customer != invoice["customer"]:
        raise refusals.refused(unknown.ATTACH_CUSTOMER, kind)


def of_intent(intent: Obj) -> tuple[int, int | None]:
    """The amount asked for, and what has arrived; None: it is still to come."""
    if intent["status"] == "canceled":
        raise refusals.refused(unknown.ATTACH_DEAD, "payment_intent")
    return intent["amount"], intent["amount_received"] if intent["status"] == "succeeded" else None


def of_record(record: Obj) -> tuple[int, int | None]:
    guaranteed = record["amount_guaranteed"]["value"]
    if not guaranteed and (record["amount_failed"]["value"] or record["amount_canceled"]["value"]):
        raise refusals.refused(unknown.ATTACH_DEAD, "payment_record")
    return record["amount_requested"]["value"], guaranteed or None


def bind(call: Call, invoice: Obj, intent: Obj, arrived: int | None) -> None:
    """From here on a charge of this intent is a charge for this invoice."""
    intent.setdefault(HIDDEN, {})["invoice"] = invoice["id"]
    intent["payment_details"] = {"customer_reference": None, "order_reference": invoice["id"]}
    call.db.save("payment_intent", intent)
    if arrived is not None:
        payments.count_charge(call, invoice["id"])
