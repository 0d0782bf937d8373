"""/v1/invoice_payments: the payments that invoices wait for and have had."""

from sandbox import lists, refusals
from sandbox.call import Call
from sandbox.params import hash_of, not_empty, one_of, time_or_range
from sandbox.resources import common
from sandbox.routes import get, listing

PAYMENT = hash_of(
    ("type",),
    type=one_of("payment_intent", "payment_record"),
    payment_intent=not_empty,
    payment_record=not_empty,
)


def list_all(call: Call) -> str:
    payment = call.params.pop("payment", None)
    where = lists.filters(call, "invoice_payment")
    if payment:
        type = payment["type"]
        if type not in payment:
            raise refusals.parameter_missing(f"payment[{type}]")
        where.append((f"{type} = ?", payment[type]))
    return lists.page(call, "invoice_payment", where)


ROUTES = [
    listing(
        "/v1/invoice_payments",
        list_all,
        created=time_or_range,
        invoice=not_empty,
        payment=PAYMENT,
        status=one_of("canceled", "open", "paid"),
    ),
    get("/v1/invoice_payments/:invoice_payment", common.retrieving("invoice_payment", "invoice_payment")),
]
