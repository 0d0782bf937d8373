"""Lists: order, filters, cursors and expand."""

from __future__ import annotations

from tests.sandbox.shop import Answer, Shop


def ids(answer: Answer) -> list[str]:
    return [one["id"] for one in answer.json["data"]]


def test_the_envelope_has_no_total_count(shop: Shop) -> None:
    shop.customer()
    envelope = shop.get("/v1/customers", limit=1, email="ada@example.com").json
    assert envelope.keys() == {"object", "data", "has_more", "url"}
    assert (envelope["object"], envelope["url"], envelope["has_more"]) == ("list", "/v1/customers", False)


def test_newest_first_even_within_one_second(shop: Shop) -> None:
    shop.process.clock(now=1_800_000_000, freeze=True)
    made = [shop.customer().id for _ in range(12)]
    listed = shop.get("/v1/customers", limit=100).json["data"]
    assert [one["id"] for one in listed] == made[::-1]
    assert {one["created"] for one in listed} == {1_800_000_000}
    assert sorted(made) == made  # ids sort as they were made


def test_default_limit_is_ten(shop: Shop) -> None:
    for _ in range(11):
        shop.customer()
    assert len(ids(shop.get("/v1/customers"))) == 10


def test_walking_with_cursors(shop: Shop) -> None:
    made = [shop.customer().id for _ in range(6)][::-1]
    first = shop.get("/v1/customers", limit=2)
    assert (ids(first), first.json["has_more"]) == (made[:2], True)
    last = shop.get("/v1/customers", limit=2, starting_after=made[3])
    assert (ids(last), last.json["has_more"]) == (made[4:], False)
    back = shop.get("/v1/customers", limit=2, ending_before=made[4])  # the page just before, still newest first
    assert (ids(back), back.json["has_more"]) == (made[2:4], True)
    newest = shop.get("/v1/customers", limit=5, ending_before=made[2])
    assert (ids(newest), newest.json["has_more"]) == (made[:2], False)


def test_a_deleted_objects_id_works_as_a_cursor(shop: Shop) -> None:
    made = [shop.customer().id for _ in range(3)][::-1]
    shop.v1.customers.delete(made[1])
    assert ids(shop.get("/v1/customers", starting_after=made[1])) == [made[2]]
    drafts = [shop.draft(1).id for _ in range(3)][::-1]
    shop.v1.invoices.delete(drafts[1])
    assert ids(shop.get("/v1/invoices", starting_after=drafts[1])) == [drafts[2]]


def test_every_invoice_filter(shop: Shop) -> None:
    shop.process.clock(now=1_800_000_000, freeze=True)
    ada, ben = shop.customer("pm_card_visa"), shop.customer("pm_card_visa")
    first = shop.open(100, ada)
    shop.process.clock(now=1_800_000_100, freeze=True)
    second = shop.open(100, ben, collection_method="send_invoice", due_date=1_800_500_000)
    shop.process.clock(now=1_800_000_200, freeze=True)
    third = shop.draft(100, ben)
    price = shop.v1.prices.create(
        {"currency": "usd", "unit_amount": 5, "recurring": {"interval": "day"}, "product_data": {"name": "P"}}
    )
    subscription = shop.v1.subscriptions.create({"customer": ada.id, "items": [{"price": price.id}]})
    fourth = subscription.latest_invoice
    cases = [
        ({"customer": ben.id}, [third.id, second.id]),
        ({"status": "draft"}, [third.id]),
        ({"status": "open"}, [second.id, first.id]),
        ({"subscription": subscription.id}, [fourth]),
        ({"collection_method": "send_invoice"}, [second.id]),
        ({"created": "1800000100"}, [second.id]),
        ({"created[gt]": "1800000100"}, [fourth, third.id]),
        ({"created[gte]": "1800000100", "created[lt]": "1800000200"}, [second.id]),
        ({"created[lte]": "1800000100"}, [second.id, first.id]),
        ({"created[lt]": "1800000000"}, []),
        ({"due_date[gte]": "1800500000"}, [second.id]),
        ({"due_date[gt]": "1800500000"}, []),
        ({"customer": ben.id, "status": "open"}, [second.id]),
        ({"customer": "cus_nobody"}, []),
    ]
    for form, expected in cases:
        assert ids(shop.get("/v1/invoices", **form)) == expected, form


def test_created_filters_hold_when_the_clock_was_set_back(shop: Shop) -> None:
    shop.process.clock(now=1_800_000_500, freeze=True)
    late = shop.customer().id
    shop.process.clock(now=1_800_000_000, freeze=True)
    early = shop.customer().id
    assert ids(shop.get("/v1/customers")) == [early, late]  # in order of insertion all the same
    assert ids(shop.get("/v1/customers", **{"created[gte]": 1_800_000_400})) == [late]
    assert ids(shop.get("/v1/customers", **{"created[lt]": 1_800_000_400})) == [early]


def test_expand_on_a_list(shop: Shop) -> None:
    invoice = shop.open()
    form = {"expand[0]": "data.customer", "expand[1]": "data.payments.data.payment.payment_intent"}
    listed = shop.get("/v1/invoices", **form).json["data"][0]
    assert listed["customer"]["object"] == "customer"
    payment = listed["payments"]["data"][0]
    assert (payment["invoice"], payment["payment"]["payment_intent"]["object"]) == (invoice.id, "payment_intent")


def test_what_cannot_be_expanded(shop: Shop) -> None:
    invoice = shop.open()
    for path in ("nope", "customer.nope", "status", "payments.data.nope"):
        answer = shop.ask("GET", f"/v1/invoices/{invoice.id}", {"expand[]": path})
        assert (answer.status, "param" in answer.error) == (400, False), path
        assert answer.error["message"] == f"This property cannot be expanded ({path})."


def test_expand_of_a_deleted_customer(shop: Shop) -> None:
    invoice = shop.open()
    shop.v1.customers.delete(invoice.customer)
    expanded = shop.ask("GET", f"/v1/invoices/{invoice.id}", {"expand[]": "customer"}).json["customer"]
    assert expanded == {"id": invoice.customer, "object": "customer", "deleted": True}


def test_the_sdk_walks_every_list(shop: Shop) -> None:
    made = {shop.draft(1).id for _ in range(7)}
    assert {one.id for one in shop.v1.invoices.list({"limit": 2}).auto_paging_iter()} == made
