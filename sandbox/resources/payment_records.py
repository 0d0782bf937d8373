"""/v1/payment_records: payments made outside Stripe, as they are reported."""

from sandbox import lists, received_money, refusals
from sandbox.call import Call
from sandbox.currencies import check_amount, currency
from sandbox.ids import ids
from sandbox.params import ADDRESS, clearable, hash_of, integer, metadata, not_negative, one_of, text
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import StripeObject

AMOUNTS = ("amount", "authorized", "canceled", "failed", "guaranteed", "refunded", "requested")
NOT_OPEN = "The latest payment attempt of this payment record has already ended."
STILL_OPEN = "A new payment attempt can only be reported when all others were canceled or have failed."
NEEDS_DETAILS = "You must provide {} when outcome is {}."


def report(call: Call) -> StripeObject:
    value = call.params["amount_requested"]["value"]
    if value < 1:
        raise refusals.invalid_parameter("This value must be greater than or equal to 1.", "amount_requested[value]")
    check_amount(value, call.params["amount_requested"]["currency"], "amount_requested[value]")
    record = new_record(call, value, call.params["amount_requested"]["currency"])
    details = call.params.get("customer_details")
    if details:
        record["customer_details"] = {**dict.fromkeys(("customer", "email", "name", "phone")), **details}
    common.set_given(record, call, "customer_presence", "description")
    record["payment_method_details"] = method_details(call.params["payment_method_details"])
    if "processor_details" in call.params:
        record["processor_details"] = call.params["processor_details"]
    if "shipping_details" in call.params:
        record["shipping_details"] = common.shipping(call.params["shipping_details"])
    common.set_metadata(record, call)
    call.db.add("payment_record", record)
    end_attempt(call, record, call.params.get("outcome"))
    return record


def new_record(call: Call, value: int, currency: str) -> StripeObject:
    zero = {"currency": currency, "value": 0}
    return {
        "id": ids.new("payment_record"),
        "object": "payment_record",
        "amount": {"currency": currency, "value": value},
        **{f"amount_{name}": dict(zero) for name in AMOUNTS[1:-1]},
        "amount_requested": {"currency": currency, "value": value},
        "application": None,
        "created": call.now,
        "customer_details": None,
        "customer_presence": None,
        "description": None,
        "latest_payment_attempt_record": ids.new("payment_attempt_record"),
        "livemode": False,
        "metadata": {},
        "payment_method_details": None,
        "processor_details": {"type": "custom"},
        "reported_by": "self",
        "shipping_details": None,
    }


def method_details(given: StripeObject) -> StripeObject:
    details = {"billing_details": None, "payment_method": None, "type": "custom", **given}
    if details["billing_details"]:
        billing = {**dict.fromkeys(("address", "email", "name", "phone")), **details["billing_details"]}
        billing["address"] = common.address(billing["address"] or {})
        details["billing_details"] = billing
    if "custom" in details:
        details["custom"] = {"type": None, **details["custom"]}
    return details


def end_attempt(call: Call, record: StripeObject, outcome: str | None) -> None:
    """End the payment attempt with `outcome`; a guaranteed one pays the open invoice payments of this record."""
    if outcome is None:
        return
    if outcome not in call.params and outcome + "_at" not in call.params:
        raise refusals.invalid_parameter(NEEDS_DETAILS.format(outcome, outcome), outcome, "parameter_missing")
    record[f"amount_{outcome}"]["value"] = record["amount_requested"]["value"]
    call.db.save("payment_record", record)
    for payment in call.db.find("invoice_payment", payment_record=record["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if outcome == "guaranteed" and invoice and invoice["status"] == "open":
            received_money.receive(call, invoice, payment, record["amount_guaranteed"]["value"])


def attempt_open(record: StripeObject) -> bool:
    """Whether no outcome has been reported yet."""
    return not any(record[f"amount_{name}"]["value"] for name in ("guaranteed", "failed", "canceled"))


def handler_ending_attempt(outcome: str) -> "common.Handler":
    def end(call: Call) -> StripeObject:
        record = common.fetch(call, "payment_record")
        if not attempt_open(record):
            raise refusals.not_allowed(NOT_OPEN)
        common.set_metadata(record, call)
        end_attempt(call, record, outcome)
        return record

    return end


def report_attempt(call: Call) -> StripeObject:
    record = common.fetch(call, "payment_record")
    if attempt_open(record) or record["amount_guaranteed"]["value"]:
        raise refusals.not_allowed(STILL_OPEN)
    for name in ("failed", "canceled"):
        record[f"amount_{name}"]["value"] = 0
    record["latest_payment_attempt_record"] = ids.new("payment_attempt_record")
    common.set_given(record, call, "description")
    common.set_metadata(record, call)
    call.db.save("payment_record", record)
    end_attempt(call, record, call.params.get("outcome"))
    return record


def list_all(call: Call) -> str:
    names = {"created_after": "created > ?", "created_before": "created < ?"}
    where = [(sql, call.params[name]) for name, sql in names.items() if name in call.params]
    return lists.page(call, "payment_record", where)


CUSTOMER = hash_of(customer=text, email=text, name=text, phone=text)
BILLING = hash_of(address=ADDRESS, email=text, name=text, phone=text)
METHOD = hash_of(
    billing_details=BILLING,
    custom=hash_of(display_name=text, type=text),
    payment_method=text,
    type=one_of("custom"),
)
SHIPPING = hash_of(address=ADDRESS, name=text, phone=text)
OUTCOME = {
    "outcome": one_of("canceled", "failed", "guaranteed"),
    "guaranteed": hash_of(("guaranteed_at",), guaranteed_at=not_negative),
    "failed": hash_of(("failed_at",), failed_at=not_negative),
    "canceled": hash_of(("canceled_at",), canceled_at=not_negative),
}
REPORT = {"description": clearable(text), "metadata": metadata, "shipping_details": clearable(SHIPPING)}
REFERENCE = hash_of(("payment_reference",), payment_reference=text)
ATTEMPT_ADDRESS = "/v1/payment_records/:id/report_payment_attempt"
ROUTES = [
    post(
        "/v1/payment_records/report_payment",
        report,
        ("amount_requested", "initiated_at", "payment_method_details"),
        amount_requested=hash_of(("currency", "value"), currency=currency, value=integer),
        initiated_at=not_negative,
        payment_method_details=METHOD,
        customer_details=CUSTOMER,
        customer_presence=one_of("off_session", "on_session"),
        processor_details=hash_of(("type",), custom=REFERENCE, type=one_of("custom")),
        **OUTCOME,
        **REPORT,
    ),
    listing("/v1/payment_records", list_all, created_after=not_negative, created_before=not_negative),
    get("/v1/payment_records/:id", common.retrieving("payment_record")),
    post(
        ATTEMPT_ADDRESS,
        report_attempt,
        ("initiated_at",),
        initiated_at=not_negative,
        payment_method_details=METHOD,
        **OUTCOME,
        **REPORT,
    ),
    post(
        ATTEMPT_ADDRESS + "_guaranteed",
        handler_ending_attempt("guaranteed"),
        ("guaranteed_at",),
        guaranteed_at=not_negative,
        metadata=metadata,
    ),
    post(
        ATTEMPT_ADDRESS + "_failed",
        handler_ending_attempt("failed"),
        ("failed_at",),
        failed_at=not_negative,
        metadata=metadata,
    ),
    post(
        ATTEMPT_ADDRESS + "_canceled",
        handler_ending_attempt("canceled"),
        ("canceled_at",),
        canceled_at=not_negative,
        metadata=metadata,
    ),
]
