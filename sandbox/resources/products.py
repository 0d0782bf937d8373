"""/v1/products and /v1/prices, as far as subscriptions and invoice lines need them."""

from sandbox import params, refusals, shapes
from sandbox.call import Call
from sandbox.currencies import check_amount, currency
from sandbox.params import boolean, clearable, hash_of, metadata, not_empty, one_of, text
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import StripeObject

NO_PRODUCT = "You must pass exactly one of product or product_data."


def create_product(call: Call) -> StripeObject:
    product = shapes.product(call.now, call.params["name"])
    common.set_given(product, call, "active", "description")
    common.set_metadata(product, call)
    return call.db.add("product", product)


def create_price(call: Call) -> StripeObject:
    if ("product" in call.params) == ("product_data" in call.params):
        raise refusals.invalid_parameter(NO_PRODUCT, "product")
    if "product" in call.params:
        product = common.fetch_named(call, "product", "product")
    else:
        product = call.db.add("product", shapes.product(call.now, call.params["product_data"]["name"]))
    return call.db.add("price", price_from(call, call.params, product["id"]))


def price_from(call: Call, given: StripeObject, product: str) -> StripeObject:
    recurring = given.get("recurring") or {}
    interval, count = recurring.get("interval"), recurring.get("interval_count", 1)
    check_amount(given.get("unit_amount", 0), given["currency"], "unit_amount")
    price = shapes.price(call.now, product, given["currency"], given.get("unit_amount", 0), interval, count)
    price["nickname"] = given.get("nickname")
    price["metadata"] = params.merged_metadata({}, given.get("metadata") or {})
    return price


RECURRING = hash_of(
    ("interval",),
    interval=one_of("day", "week", "month", "year"),
    interval_count=params.one_to_thousand,
    usage_type=one_of("licensed"),
)
PRODUCT = {"active": boolean, "description": clearable(text), "metadata": metadata, "name": not_empty}
PRICE = {"currency": currency, "recurring": RECURRING, "unit_amount": params.not_negative}
ROUTES = [
    post("/v1/products", create_product, ("name",), **PRODUCT),
    listing("/v1/products", common.listing("product"), created=params.time_or_range),
    get("/v1/products/:id", common.retrieving("product")),
    post(
        "/v1/prices",
        create_price,
        ("currency",),
        **PRICE,
        product=not_empty,
        product_data=hash_of(("name",), name=not_empty),
        nickname=text,
        metadata=metadata,
    ),
    listing("/v1/prices", common.listing("price"), created=params.time_or_range, product=text),
    get("/v1/prices/:price", common.retrieving("price", "price")),
]
