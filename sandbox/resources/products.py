"""/v1/products and /v1/prices: as much of them as subscriptions and lines need."""

from sandbox import params, refusals, shapes
from sandbox.call import Call
from sandbox.currencies import currency
from sandbox.params import boolean, clearable, filled, hash_of, metadata, one_of, text
from sandbox.resources import common
from sandbox.routes import get, listing, post
from sandbox.store import Obj

NO_PRODUCT = "You must pass exactly one of product or product_data."


def create_product(call: Call) -> Obj:
    product = shapes.product(call.now, call.params["name"])
    common.set_given(product, call, "active", "description")
    common.set_metadata(product, call)
    return call.db.add("product", product)


def create_price(call: Call) -> Obj:
    if ("product" in call.params) == ("product_data" in call.params):
        raise refusals.invalid(NO_PRODUCT, "product")
    if "product" in call.params:
        product = common.named_in(call, "product", "product")
    else:
        product = call.db.add("product", shapes.product(call.now, call.params["product_data"]["name"]))
    return call.db.add("price", price_from(call, call.params, product["id"]))


def price_from(call: Call, given: Obj, product: str) -> Obj:
    recurring = given.get("recurring") or {}
    interval, count = recurring.get("interval"), recurring.get("interval_count", 1)
    price = shapes.price(call.now, product, given["currency"], given.get("unit_amount", 0), interval, count)
    price["nickname"] = given.get("nickname")
    price["metadata"] = params.merged_metadata({}, given.get("metadata") or {})
    return price


RECURRING = hash_of(
    ("interval",),
    interval=one_of("day", "week", "month", "year"),
    interval_count=params.counted,
    usage_type=one_of("licensed"),
)
PRODUCT = {"active": boolean, "description": clearable(text), "metadata": metadata, "name": filled}
PRICE = {"currency": currency, "recurring": RECURRING, "unit_amount": params.natural}
ROUTES = [
    post("/v1/products", create_product, ("name",), **PRODUCT),
    listing("/v1/products", common.listing("product"), created=params.moment_or_range),
    get("/v1/products/:id", common.retrieving("product")),
    post(
        "/v1/prices",
        create_price,
        ("currency",),
        **PRICE,
        product=filled,
        product_data=hash_of(("name",), name=filled),
        nickname=text,
        metadata=metadata,
    ),
    listing("/v1/prices", common.listing("price"), created=params.moment_or_range, product=text),
    get("/v1/prices/:price", common.retrieving("price", "price")),
]
