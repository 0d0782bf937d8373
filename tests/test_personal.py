"""What is personal in a document, what is taken out of it, and what an erasure never changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoices.models import personal
from invoices.models.personal import REDACTED, Known

MEMBERS = st.sampled_from([*list(personal.PERSONAL)[::5], "object", "id", "status", "name", "data", "amount", "title"])
TEXTS = st.one_of(
    st.sampled_from(["customer", "Ada Lovelace", "paid", "in_123", "for ada lovelace", "ada@example.com", ""]),
    st.text(max_size=6),
)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(MEMBERS, below, max_size=4)),
    max_leaves=12,
)


CUSTOMERS = st.sampled_from(["cus_1", "cus_\x00", "cus/1", "cus_é", 'a"b', "a\\b", "customer", "\ud800", ""])
WITH_CUSTOMERS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.integers(), CUSTOMERS),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["customer", "object", "id", "data", '"customer":"x'],
            ),
            below,
            max_size=4,
        ),
        st.fixed_dictionaries({"object": st.just("customer"), "id": CUSTOMERS}),
        st.fixed_dictionaries({"customer": CUSTOMERS}),
    ),
    max_leaves=12,
)


@given(WITH_CUSTOMERS, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")]))
def test_no_customer_is_missed_in_the_text(document: Any, ascii: bool, separators: tuple[str, str]) -> None:
    written = json.dumps(document, ensure_ascii=ascii, separators=separators)
    assert personal.customers_in(written, document) >= personal.customers_of(document)


@pytest.mark.parametrize(
    "written",
    ['{"custom\\u0065r": "cus_1"}', '{"customer": "cus\\u005f1"}', '{"\\u006fbject": "customer", "id": "cus_1"}'],
)
def test_no_customer_hides_behind_another_spelling(written: str) -> None:
    assert personal.customers_in(written, json.loads(written)) == {"cus_1"}


def ada() -> Known:
    known = Known()
    known.learn({"object": "customer", "id": "cus_1", "name": "Ada Lovelace", "email": "ada@example.com"})
    known.learn({"customer_name": "Paid", "customer_address": {"line1": "12 Main  Street", "city": "London"}})
    return known


@given(DOCUMENTS)
def test_an_erasure_changes_no_fact_and_a_second_one_nothing(document: Any) -> None:
    known = ada()
    without = personal.redacted(document, known)
    assert personal.facts(without) == personal.facts(document)
    assert personal.redacted(without, known) == without
    assert "ada@example.com" not in json.dumps(without).lower()


def test_what_is_taken_out_and_what_stays() -> None:
    event = {
        "id": "evt_1",
        "type": "customer.updated",
        "data": {
            "object": {"object": "customer", "name": "Ada", "metadata": {"by": "Ada", "n": 1}, "balance": 5},
            "previous_attributes": {"name": "Adda", "balance": 4, "address": None},
        },
    }  # fmt: skip
    without = personal.redacted(event)
    assert without["data"]["object"]["metadata"] == {"by": REDACTED, "n": None}
    assert without["data"]["previous_attributes"] == {"name": REDACTED, "balance": 4, "address": None}
    assert (without["type"], without["data"]["object"]["balance"]) == ("customer.updated", 5)
    assert personal.redacted({"object": "product", "name": "Gold"}) == {"object": "product", "name": "Gold"}
    card = {"object": "card", "name": "Ada", "last4": "4242", "exp_month": 12, "brand": "visa"}
    assert personal.redacted(card) == {
        "object": "card", "name": REDACTED, "last4": REDACTED, "exp_month": None, "brand": "visa",
    }  # fmt: skip


def test_a_customer_called_paid_unpays_nothing() -> None:
    invoice = {"object": "invoice", "status": "paid", "title": "Paid late", "customer_name": "Paid"}
    assert personal.redacted(invoice, ada()) == {**invoice, "title": REDACTED, "customer_name": REDACTED}


@pytest.mark.parametrize(
    ("text", "whole", "word"),
    [
        ("ADA LOVELACE called", True, True),
        ("lives at 12 main street", True, True),
        ("write to Ada@Example.com", True, True),
        ("Mrs Lovelace called", False, True),
        ("Canada", False, False),
        ("the customer called", False, False),
        (r"{\"email\": \"\u0061da@example.com\"}", True, True),
        (r"a text in a text: \\u0041da Lovelace", True, True),
        ("/v1/customers?email=ada%40example.com", True, True),
        ("&#65;da&nbsp;Lovelace", True, True),
        ("\uff21da Lovelace", True, True),
    ],
)
def test_in_which_texts_a_customer_is_named(text: str, whole: bool, word: bool) -> None:
    assert (ada().is_in(text), ada().is_named_in(text)) == (whole, word)


@pytest.mark.parametrize("text", ["ZOE\u0308 GROSS", "zo&euml; gro\u00df", "Zo\u00eb\u00a0GRO\u1e9e", "Zo%C3%AB Groß"])
def test_letters_that_are_written_in_several_ways(text: str) -> None:
    known = Known()
    known.learn({"customer_name": "Zoë Groß"})
    assert known.is_in(text)


def test_how_stripe_shows_one_that_it_has_redacted() -> None:
    known = ada()
    assert known.where({"customer_name": REDACTED, "customer_email": None, "status": "paid"}) == ""
    assert known.where({"customer_name": "Bo"}) == "customer_name"
    assert known.where({"lines": {"data": [{"description": "for Ada Lovelace"}]}}) == "description"
    assert known.where({"lines": {"data": [{"description": "paid plan"}]}}) == ""


@pytest.mark.parametrize("text", ["{", "[1, ", '{"a": NaN}', "", "[" * 100_000])
def test_what_is_no_document(text: str) -> None:
    assert personal.redacted_text(text) == (text if text == '{"a": NaN}' else REDACTED)
