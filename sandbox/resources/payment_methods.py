"""/v1/payment_methods: cards and US bank accounts; attach them to customers and detach them."""

from sandbox import cards, lists, params, refusals
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.params import ADDRESS, clearable, hash_of, integer, metadata, not_empty, one_of, text
from sandbox.resources import common, mandates
from sandbox.routes import get, listing, post
from sandbox.store import HIDDEN, StripeObject

NOT_REUSABLE = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and "
    "may not be used again."
)
ATTACHED = "The payment method you provided has already been attached to a customer."
UNATTACHED = "The payment method you provided is not attached to a customer so detachment is impossible."
INVALID_NUMBER = "Your card number is incorrect."
BILLING = hash_of(
    address=clearable(ADDRESS),
    email=clearable(text),
    name=clearable(text),
    phone=clearable(text),
    tax_id=clearable(text),
)
REDISPLAY = one_of("always", "limited", "unspecified")
TYPES = one_of("card", "us_bank_account")


def new_from_test_id(call: Call, id: str) -> StripeObject | None:
    """A new payment method if `id` is a test id such as `pm_card_visa`; it makes a new one at each use."""
    name = cards.card_name(id) if id.startswith("pm_card_") else None
    if name:
        return call.db.add("payment_method", cards.payment_method(name, call.now))
    if id in cards.BANK_DEBITS:
        return call.db.add("payment_method", cards.bank_debit(call.now, id))
    return None


def create(call: Call) -> StripeObject:
    type = call.params.get("type", "card")
    method = cards.bank_debit(call.now) if type == "us_bank_account" else card_from_parameters(call)
    if call.params.get("billing_details"):
        fill_billing(method, call.params["billing_details"])
    common.set_given(method, call, "allow_redisplay")
    common.set_metadata(method, call)
    return call.db.add("payment_method", method)


def card_from_parameters(call: Call) -> StripeObject:
    card = call.params.get("card")
    if not card:
        raise refusals.parameter_missing("card")
    if "token" in card:
        name = cards.card_name(card["token"])
        if not name or not card["token"].startswith("tok_"):
            raise refusals.resource_missing_in_parameter("token", card["token"], "card[token]")
        return cards.payment_method(name, call.now)
    if "number" not in card:
        raise refusals.parameter_missing("card[number]")
    name = cards.BY_NUMBER.get(card["number"].replace(" ", ""))
    if name is None:
        raise refusals.Refusal(402, INVALID_NUMBER, type="card_error", code="incorrect_number", param="number")
    return cards.payment_method(name, call.now, (card.get("exp_month", 12), card.get("exp_year", 2034)))


def fill_billing(method: StripeObject, given: StripeObject) -> None:
    details = {**method["billing_details"], **given}
    details["address"] = common.address(details["address"] or {})
    method["billing_details"] = details


def attach(call: Call, method: StripeObject, customer: str) -> StripeObject:
    if method[HIDDEN].get("spent"):
        raise refusals.not_allowed(NOT_REUSABLE, "payment_method")
    if method["customer"] and method["customer"] != customer:
        raise refusals.not_allowed(ATTACHED)
    method["customer"] = customer
    if method["type"] == "card":
        method["card"]["checks"]["cvc_check"] = "pass"
    call.db.save("payment_method", method)
    emit(call, "payment_method.attached", method)
    if method[HIDDEN].get("debit"):
        mandates.create(call, method)
    return method


def attach_call(call: Call) -> StripeObject:
    customer = common.fetch_named(call, "customer", "customer")
    method = new_from_test_id(call, call.id) or common.fetch(call, "payment_method", "payment_method")
    return attach(call, method, customer["id"])


def detach(call: Call) -> StripeObject:
    method = common.fetch(call, "payment_method", "payment_method")
    customer = call.db.get("customer", method["customer"] or "")
    if method["customer"] is None:
        raise refusals.not_allowed(UNATTACHED)
    if customer and customer["invoice_settings"]["default_payment_method"] == method["id"]:
        before = snapshot(customer)
        customer["invoice_settings"]["default_payment_method"] = None
        call.db.save("customer", customer)
        emit(call, "customer.updated", customer, before)
    before = snapshot(method)
    method["customer"] = None
    method[HIDDEN]["spent"] = True
    call.db.save("payment_method", method)
    emit(call, "payment_method.detached", method, before)
    return method


def update(call: Call) -> StripeObject:
    method = common.fetch(call, "payment_method", "payment_method")
    before = snapshot(method)
    if call.params.get("billing_details"):
        fill_billing(method, call.params["billing_details"])
    method.get("card", {}).update(call.params.get("card", {}))
    common.set_given(method, call, "allow_redisplay")
    common.set_metadata(method, call)
    call.db.save("payment_method", method)
    emit(call, "payment_method.updated", method, before)
    return method


def retrieve(call: Call) -> StripeObject | str:
    name = cards.card_name(call.id) if call.id.startswith("pm_card_") else None
    if name:  # a test id: shown, but not stored
        return cards.payment_method(name, call.now)
    if call.id in cards.BANK_DEBITS:
        return cards.bank_debit(call.now, call.id)
    return common.fetch(call, "payment_method", "payment_method")


def list_all(call: Call) -> str:
    if "customer" in call.params:
        common.fetch_named(call, "customer", "customer")
    return lists.page(call, "payment_method")


def list_of_customer(call: Call) -> str:
    customer = common.fetch(call, "customer", "customer")
    where = [("customer = ?", customer["id"])]
    where += [(f"{name} = ?", value) for name, value in call.given("type", "allow_redisplay").items()]
    return lists.page(call, "payment_method", where)


def retrieve_of_customer(call: Call) -> StripeObject:
    customer = common.fetch(call, "customer", "customer")
    method = common.fetch(call, "payment_method", "payment_method", call.second_id)
    if method["customer"] != customer["id"]:
        raise refusals.resource_missing("payment_method", call.second_id, "payment_method")
    return method


CARD = hash_of(token=text, number=text, exp_month=integer, exp_year=integer, cvc=text, networks=hash_of(preferred=text))
ROUTES = [
    post(
        "/v1/payment_methods",
        create,
        ("type",),
        type=TYPES,
        card=CARD,
        us_bank_account=params.anything,
        billing_details=BILLING,
        allow_redisplay=REDISPLAY,
        metadata=metadata,
    ),
    listing(
        "/v1/payment_methods",
        list_all,
        customer=text,
        customer_account=text,
        type=TYPES,
        allow_redisplay=REDISPLAY,
    ),
    get("/v1/payment_methods/:payment_method", retrieve),
    post(
        "/v1/payment_methods/:payment_method",
        update,
        billing_details=BILLING,
        card=hash_of(exp_month=integer, exp_year=integer),
        allow_redisplay=REDISPLAY,
        metadata=metadata,
    ),
    post("/v1/payment_methods/:payment_method/attach", attach_call, ("customer",), customer=not_empty),
    post("/v1/payment_methods/:payment_method/detach", detach),
    listing("/v1/customers/:customer/payment_methods", list_of_customer, type=TYPES, allow_redisplay=REDISPLAY),
    get("/v1/customers/:customer/payment_methods/:payment_method", retrieve_of_customer),
]
