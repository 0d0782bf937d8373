"""/v1/invoice_payments: which payments an invoice waits for and has had."""

from sandbox import lists, refusals
from sandbox.call import Call
from sandbox.params import filled, hash_of, moment_or_range, one_of
from sandbox.resources import common
from sandbox.routes import get, listing

PAYMENT = hash_of(
    ("type",),
    type=one_of("payment_intent", "payment_record"),
    payment_intent=filled,
    payment_record=filled,
)


def list_all(call: Call) -> str:
    payment = call.params.pop("payment", None)
    where = lists.filters(call, "invoice_payment")
    if payment:
        type = payment["type"]
        if type not in payment:
            raise refusals.required(f"payment[{type}]")
        where.append((f"{type} = ?", payment[type]))
    return lists.page(call, "invoice_payment", where)


ROUTES = [
    listing(
        "/v1/invoice_payments",
        list_all,
        created=moment_or_range,
        invoice=filled,
        payment=PAYMENT,
        status=one_of("canceled", "open", "paid"),
    ),
    get("/v1/invoice_payments/:invoice_payment", common.retrieving("invoice_payment", "invoice_payment")),
]
