"""/v1/payment_records: payments made elsewhere, as they were reported."""

from sandbox import lists, receipts, refusals
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.ids import ids
from sandbox.params import ADDRESS, clearable, hash_of, integer, metadata, natural, one_of, text
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import Obj

AMOUNTS = ("amount", "authorized", "canceled", "failed", "guaranteed", "refunded", "requested")
NOT_OPEN = "The latest payment attempt of this payment record has already ended."
STILL_OPEN = "A new payment attempt can only be reported when all others were canceled or have failed."
NEEDS_DETAILS = "You must provide {} when outcome is {}."


def report(call: Call) -> Obj:
    value = call.params["amount_requested"]["value"]
    if value < 1:
        raise refusals.invalid("This value must be greater than or equal to 1.", "amount_requested[value]")
    record = blank(call, value, call.params["amount_requested"]["currency"])
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


def blank(call: Call, value: int, currency: str) -> Obj:
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


def method_details(given: Obj) -> Obj:
    details = {"billing_details": None, "payment_method": None, "type": "custom", **given}
    if details["billing_details"]:
        billing = {**dict.fromkeys(("address", "email", "name", "phone")), **details["billing_details"]}
        billing["address"] = common.address(billing["address"] or {})
        details["billing_details"] = billing
    if "custom" in details:
        details["custom"] = {"type": None, **details["custom"]}
    return details


def end_attempt(call: Call, record: Obj, outcome: str | None) -> None:
    """An open invoice payment that waited for this record is paid with it."""
    if outcome is None:
        return
    if outcome not in call.params and outcome + "_at" not in call.params:
        raise refusals.invalid(NEEDS_DETAILS.format(outcome, outcome), outcome, "parameter_missing")
    record[f"amount_{outcome}"]["value"] = record["amount_requested"]["value"]
    call.db.save("payment_record", record)
    for payment in call.db.find("invoice_payment", payment_record=record["id"], status="open"):
        invoice = call.db.get("invoice", payment["invoice"])
        if outcome == "guaranteed" and invoice and invoice["status"] == "open":
            receipts.receive(call, invoice, payment, record["amount_guaranteed"]["value"])


def attempt_open(record: Obj) -> bool:
    return not any(record[f"amount_{name}"]["value"] for name in ("guaranteed", "failed", "canceled"))


def ending(outcome: str) -> "common.Handler":
    def end(call: Call) -> Obj:
        record = common.fetch(call, "payment_record")
        if not attempt_open(record):
            raise refusals.refused(NOT_OPEN)
        common.set_metadata(record, call)
        end_attempt(call, record, outcome)
        return record

    return end


def report_attempt(call: Call) -> Obj:
    record = common.fetch(call, "payment_record")
    if attempt_open(record) or record["amount_guaranteed"]["value"]:
        raise refusals.refused(STILL_OPEN)
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
    "guaranteed": hash_of(("guaranteed_at",), guaranteed_at=natural),
    "failed": hash_of(("failed_at",), failed_at=natural),
    "canceled": hash_of(("canceled_at",), canceled_at=natural),
}
REPORT = {"description": clearable(text), "metadata": metadata, "shipping_details": clearable(SHIPPING)}
REFERENCE = hash_of(("payment_reference",), payment_reference=text)
AT = "/v1/payment_records/:id/report_payment_attempt"
ROUTES = [
    post(
        "/v1/payment_records/report_payment",
        report,
        ("amount_requested", "initiated_at", "payment_method_details"),
        amount_requested=hash_of(("currency", "value"), currency=currency, value=integer),
        initiated_at=natural,
        payment_method_details=METHOD,
        customer_details=CUSTOMER,
        customer_presence=one_of("off_session", "on_session"),
        processor_details=hash_of(("type",), custom=REFERENCE, type=one_of("custom")),
        **OUTCOME,
        **REPORT,
    ),
    listing("/v1/payment_records", list_all, created_after=natural, created_before=natural),
    get("/v1/payment_records/:id", common.retrieving("payment_record")),
    post(
        AT, report_attempt, ("initiated_at",), initiated_at=natural, payment_method_details=METHOD, **OUTCOME, **REPORT
    ),
    post(AT + "_guaranteed", ending("guaranteed"), ("guaranteed_at",), guaranteed_at=natural, metadata=metadata),
    post(AT + "_failed", ending("failed"), ("failed_at",), failed_at=natural, metadata=metadata),
    post(AT + "_canceled", ending("canceled"), ("canceled_at",), canceled_at=natural, metadata=metadata),
]
