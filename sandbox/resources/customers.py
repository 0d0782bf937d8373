"""/v1/customers."""

import random
import re

from sandbox import amounts, params, refusals, shapes
from sandbox.call import Call
from sandbox.events import emit, snapshot
from sandbox.ids import base62
from sandbox.params import ADDRESS, array_of, clearable, hash_of, integer, metadata, one_of, text, time_or_range
from sandbox.paying import find_method
from sandbox.resources import common
from sandbox.resources.payment_methods import attach
from sandbox.routes import delete, get, listing, post
from sandbox.store import HIDDEN, StripeObject

PREFIX_FORMAT = re.compile(r"[A-Z0-9]{1,12}", re.ASCII)
INVALID_PREFIX = "Invoice number prefix must be 1–12 uppercase letters or numbers."
SHIPPING = hash_of(("address", "name"), address=ADDRESS, name=text, phone=text)
PARAMETERS = {
    "address": clearable(ADDRESS),
    "balance": integer,
    "description": clearable(text),
    "email": clearable(lambda value, path: text(value, path, 512)),
    "invoice_prefix": text,
    "invoice_settings": hash_of(
        custom_fields=clearable(array_of(hash_of(("name", "value"), name=text, value=text))),
        default_payment_method=clearable(text),
        footer=clearable(text),
        rendering_options=clearable(hash_of(amount_tax_display=clearable(text), template=text)),
    ),
    "metadata": metadata,
    "name": clearable(text),
    "next_invoice_sequence": params.not_negative,
    "phone": clearable(text),
    "preferred_locales": array_of(text),
    "shipping": clearable(SHIPPING),
    "source": text,
    "tax_exempt": one_of("none", "exempt", "reverse"),
}


def create(call: Call) -> StripeObject:
    customer = shapes.customer(call.now, "")
    customer["invoice_prefix"] = free_prefix(call)
    call.db.add("customer", customer)
    if "payment_method" in call.params:
        method = find_method(call, call.params["payment_method"], "payment_method", None)
        method = attach(call, method, customer["id"])
        customer["invoice_settings"]["default_payment_method"] = None
    set_members(call, customer)
    call.db.save("customer", customer)
    emit(call, "customer.created", customer)
    return customer


def update(call: Call) -> StripeObject:
    customer = common.fetch(call, "customer")
    before = snapshot(customer)
    set_members(call, customer)
    call.db.save("customer", customer)
    emit(call, "customer.updated", customer, before)
    refresh_drafts(call, customer)
    return customer


def set_members(call: Call, customer: StripeObject) -> None:
    """Set the members that the parameters name."""
    common.set_given(
        customer, call, "balance", "description", "email", "name", "phone", "preferred_locales", "tax_exempt"
    )
    common.set_given(customer, call, "next_invoice_sequence")
    common.set_metadata(customer, call)
    if "address" in call.params:
        customer["address"] = common.address(call.params["address"])
    if "shipping" in call.params:
        customer["shipping"] = common.shipping(call.params["shipping"])
    if "invoice_prefix" in call.params:
        customer["invoice_prefix"] = chosen_prefix(call, customer["id"])
    settings = call.params.get("invoice_settings", {})
    if settings.get("default_payment_method"):
        check_owns_method(call, customer, settings["default_payment_method"])
    customer["invoice_settings"].update(settings)
    if "source" in call.params:
        take_source(call, customer)


def check_owns_method(call: Call, customer: StripeObject, id: str) -> None:
    param = "invoice_settings[default_payment_method]"
    method = call.db.get("payment_method", id)
    if method is None:
        raise refusals.resource_missing_in_parameter("payment_method", id, param)
    if method["customer"] != customer["id"]:
        raise refusals.not_allowed(
            f"The customer does not have a payment method with the ID {id}. The payment method must be attached to the "
            "customer.",
            param,
            "resource_missing",
        )


def take_source(call: Call, customer: StripeObject) -> None:
    """Attach the card of a token and make it the default."""
    method = attach(call, find_method(call, call.params["source"], "source", None), customer["id"])
    customer["invoice_settings"]["default_payment_method"] = method["id"]


def free_prefix(call: Call) -> str:
    while True:
        prefix = base62(random.getrandbits(48), 8).upper()
        if not holder_of(call, prefix):
            return prefix


def holder_of(call: Call, prefix: str) -> str | None:
    row = call.db.execute("SELECT id FROM customer WHERE prefix = ? AND deleted = 0", (prefix,)).fetchone()
    return row[0] if row else None


def chosen_prefix(call: Call, id: str) -> str:
    prefix: str = call.params["invoice_prefix"]
    if not PREFIX_FORMAT.fullmatch(prefix):
        raise refusals.invalid_parameter(INVALID_PREFIX)
    holder = holder_of(call, prefix)
    if holder and holder != id:
        raise refusals.not_allowed(
            f"This invoice number prefix is taken by customer: {holder}. Please enter a different prefix.",
            "invoice_prefix",
        )
    return prefix


def refresh_drafts(call: Call, customer: StripeObject) -> None:
    """Copy the customer's details to their drafts. Finalization freezes them."""
    for invoice in call.db.find("invoice", customer=customer["id"], status="draft"):
        before = snapshot(invoice)
        invoice.update(shapes.of_customer(customer))
        amounts.apply_balance(invoice, customer["balance"])
        call.db.save("invoice", invoice)
        emit(call, "invoice.updated", invoice, before)


def retrieve(call: Call) -> StripeObject | str:
    customer = call.db.get("customer", call.id, deleted=True)
    if customer is None:
        raise refusals.resource_missing("customer", call.id)
    return customer


def remove(call: Call) -> StripeObject:
    customer = common.fetch(call, "customer")
    for method in call.db.find("payment_method", customer=customer["id"]):
        method["customer"] = None
        method[HIDDEN]["spent"] = True
        call.db.save("payment_method", method)
    gone = common.deleted_stub("customer", customer["id"])
    call.db.remove("customer", customer["id"], gone)
    emit(call, "customer.deleted", customer)
    return gone


ROUTES = [
    post("/v1/customers", create, **PARAMETERS, payment_method=text),
    listing("/v1/customers", common.listing("customer"), created=time_or_range, email=text, test_clock=text),
    get("/v1/customers/:customer", retrieve),
    post("/v1/customers/:customer", update, **PARAMETERS),
    delete("/v1/customers/:customer", remove),
]
