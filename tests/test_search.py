"""Search in Stripe's query language: what each query finds, compared with what Python finds in the objects; what is no
query; pages; the admin's search box."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from invoices import clock, mirror, refetch, search, thresholds
from invoices.keyset import Order
from invoices.models import ApiToken, Invoice
from invoices.search import CUSTOMERS, INVOICES, Clause, Query, QueryError, language, pages
from invoices.search.conditions import condition_of
from invoices.search.time_limit import time_limit
from invoices.snapshot import ReadTime, of_read
from tests.factories import CustomerObject, InvoiceObject, customer_at, invoice_at, stored
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

T0 = 1_760_000_000
OVER_HTTP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


# --- a small world, and what Python finds in it -----------------------------------------------------------------------


def invoice(place: int, /, **members: Any) -> dict[str, Any]:
    return {
        **InvoiceObject(id=f"in_{place}", created=T0 + place, customer="cus_Ada", **members),
        "receipt_number": members.get("receipt_number"),
        "last_finalization_error": members.get("last_finalization_error"),
    }


def paid_at(moment: int) -> dict[str, Any]:
    return {"finalized_at": T0, "paid_at": moment, "voided_at": None, "marked_uncollectible_at": None}


WORLD = [
    invoice(1, number="ACME-0001", customer_name="Ada Lovelace", customer_email="Ada@Example.com"),
    invoice(2, number="ACME-0002", status="paid", currency="eur", total=5000, amount_remaining=0, due_date=T0 + 10,
            customer_name="ada lovelace-byron", status_transitions=paid_at(T0 + 500), receipt_number="1234-5678"),
    invoice(3, number=None, status="draft", customer_name="O'Brien & Söhne GmbH", customer_email="OBRIEN@acme.test",
            metadata={"order": "6735", "Tier": 'He said "Gold"', "null": "null"}),
    invoice(4, status="open", total=-200, amount_due=0, amount_remaining=0, metadata={"order": "67350", "note": "a\nb"},
            customer_name="Li Wei", parent={"subscription_details": {"subscription": "sub_Basic1"}}),
    invoice(5, status="uncollectible", currency="jpy", total=10_000, due_date=T0 + 99, customer_name=None,
            customer_email=None,

            last_finalization_error={"code": "customer_tax_location_invalid", "type": "api_error"}),
    invoice(6, status="void", customer_name="100% Wool_Co\\", customer_email="wool_co@example.com", total=1000,
            metadata={"percent%": "under_score", "back\\slash": "1"}),
    {**invoice(7, customer_name="Grace Hopper"), "customer": "cus_Grace"},
]  # fmt: skip
CUSTOMER_WORLD = [
    {**CustomerObject(id="cus_Ada", name="Ada Lovelace", email="Ada@Example.com", created=T0), "phone": "+19999999999"},
    {**CustomerObject(id="cus_Grace", name="Grace Hopper", email=None, metadata={"tier": "navy"}, created=T0 + 1)},
    {**CustomerObject(id="cus_Nobody", name=None, email="nobody@example.com", created=T0 + 2), "phone": None},
]


@pytest.fixture
def world() -> None:
    for each in [*CUSTOMER_WORLD, *WORLD]:
        stored(each)


def members(found: dict[str, Any]) -> dict[str, Any]:
    """What can be searched of an object, by the names of the fields."""
    error = found.get("last_finalization_error") or {}
    return {
        **found,
        "subscription": ((found.get("parent") or {}).get("subscription_details") or {}).get("subscription"),
        "paid_at": (found.get("status_transitions") or {}).get("paid_at"),
        "last_finalization_error_code": error.get("code"),
        "last_finalization_error_type": error.get("type"),
    }


def matches(found: dict[str, Any], field: str, operator: str, value: Any, key: str | None = None) -> bool:
    """The same rules, written down for one object in Python."""
    held = members(found).get(field)
    if key is not None:
        held = {name.lower(): text for name, text in (held or {}).items()}.get(key.lower())
    if value is None:
        return held is None
    if held is None:
        return False
    if isinstance(held, int):
        number = int(value)
        return {":": held == number, ">": held > number, "<": held < number, ">=": held >= number,
                "<=": held <= number}[operator]  # fmt: skip
    held, wanted = held.lower(), value.lower()
    if operator == "~":
        return wanted in held
    if field in ("name", "customer_name"):
        words = [place for place in range(len(held)) if held.startswith(wanted, place)]
        ends = [(held[place - 1 : place], held[place + len(wanted) : place + len(wanted) + 1]) for place in words]
        return any(not before.isalnum() and not after.isalnum() for before, after in ends)
    return bool(held == wanted)


Expected = list[tuple[Any, ...]]  # arguments of `matches` for each clause; with "-" before them it is negated


def expected(objects: list[dict[str, Any]], clauses: Expected, *, any_of: bool = False) -> list[str]:
    def holds(found: dict[str, Any], clause: tuple[Any, ...]) -> bool:
        return not matches(found, *clause[1:]) if clause[0] == "-" else matches(found, *clause)

    together: Callable[[Any], bool] = any if any_of else all
    hits = [each for each in objects if together(holds(each, clause) for clause in clauses)]
    return [each["id"] for each in sorted(hits, key=lambda each: -each["created"])]


QUERIES: list[tuple[str, Expected]] = [
    ('status:"open"', [("status", ":", "open")]),
    ("STATUS:'OPEN'", [("status", ":", "open")]),
    ('-status:"open"', [("-", "status", ":", "open")]),
    ('status~"pai"', [("status", "~", "pai")]),
    ('-status~"pai"', [("-", "status", "~", "pai")]),
    ('status:"sent"', [("status", ":", "sent")]),
    ('currency:"EUR"', [("currency", ":", "eur")]),
    ('-currency:"usd"', [("-", "currency", ":", "usd")]),
    ("total>1000", [("total", ">", 1000)]),
    ("total>=1000", [("total", ">=", 1000)]),
    ("total<1000", [("total", "<", 1000)]),
    ("total<=1000", [("total", "<=", 1000)]),
    ("total:1000", [("total", ":", 1000)]),
    ('total:"1000"', [("total", ":", 1000)]),
    ("total:-200", [("total", ":", -200)]),
    ("-total>-200", [("-", "total", ">", -200)]),
    ("total > 999999999999999999", [("total", ">", 10**18 - 1)]),
    ("amount_due:0", [("amount_due", ":", 0)]),
    ("amount_remaining>0", [("amount_remaining", ">", 0)]),
    (f"created>{T0 + 3} created<={T0 + 5}", [("created", ">", T0 + 3), ("created", "<=", T0 + 5)]),
    (f"created:{T0 + 3}", [("created", ":", T0 + 3)]),
    ("created<-5", [("created", "<", -5)]),
    ("created<999999999999999999", [("created", "<", 10**18)]),
    (f"due_date<{T0 + 50}", [("due_date", "<", T0 + 50)]),
    ("due_date:null", [("due_date", ":", None)]),
    ("-due_date:null", [("-", "due_date", ":", None)]),
    (f"paid_at>={T0 + 500}", [("paid_at", ">=", T0 + 500)]),
    ("paid_at:NULL", [("paid_at", ":", None)]),
    ('customer:"cus_Ada"', [("customer", ":", "cus_Ada")]),
    ('subscription:"sub_Basic1"', [("subscription", ":", "sub_Basic1")]),
    ('subscription~"basic"', [("subscription", "~", "basic")]),
    ("subscription:null", [("subscription", ":", None)]),
    ('number:"acme-0001"', [("number", ":", "acme-0001")]),
    ('number:"ACME"', [("number", ":", "ACME")]),
    ('number~"-000"', [("number", "~", "-000")]),
    ('-number~"acme"', [("-", "number", "~", "acme")]),
    ("number:null", [("number", ":", None)]),
    ('receipt_number:"1234-5678"', [("receipt_number", ":", "1234-5678")]),
    ('receipt_number~"4-5"', [("receipt_number", "~", "4-5")]),
    ('last_finalization_error_code:"customer_tax_location_invalid"',
     [("last_finalization_error_code", ":", "customer_tax_location_invalid")]),
    ('last_finalization_error_type:"API_error"', [("last_finalization_error_type", ":", "api_error")]),
    ("last_finalization_error_type:null", [("last_finalization_error_type", ":", None)]),
    ('customer_email:"ADA@example.com"', [("customer_email", ":", "ada@example.com")]),
    ('customer_email~"@example"', [("customer_email", "~", "@example")]),
    ('customer_email~"l_c"', [("customer_email", "~", "l_c")]),
    ('-customer_email~"@example"', [("-", "customer_email", "~", "@example")]),
    ('customer_name:"Ada Lovelace"', [("customer_name", ":", "ada lovelace")]),
    ('customer_name:"lovelace"', [("customer_name", ":", "lovelace")]),
    ('customer_name:"BYRON"', [("customer_name", ":", "byron")]),
    ('customer_name:"love"', [("customer_name", ":", "love")]),
    ('customer_name~"love"', [("customer_name", "~", "love")]),
    ('customer_name:"li"', [("customer_name", ":", "li")]),
    ('customer_name:"söhne"', [("customer_name", ":", "söhne")]),
    ('customer_name:"hne"', [("customer_name", ":", "hne")]),
    ('customer_name~"SÖH"', [("customer_name", "~", "söh")]),
    ('customer_name:"o\'brien"', [("customer_name", ":", "o'brien")]),
    ("customer_name:'o\\'brien'", [("customer_name", ":", "o'brien")]),
    ('customer_name:"100% wool_co\\\\"', [("customer_name", ":", "100% wool_co\\")]),
    ('customer_name~"0% "', [("customer_name", "~", "0% ")]),
    ('customer_name~"%%%"', [("customer_name", "~", "%%%")]),
    ('customer_name:".*"', [("customer_name", ":", ".*")]),
    ("customer_name:null", [("customer_name", ":", None)]),
    ('-customer_name:"ada"', [("-", "customer_name", ":", "ada")]),
    ('metadata["order"]:"6735"', [("metadata", ":", "6735", "order")]),
    ("metadata['ORDER']:'6735'", [("metadata", ":", "6735", "order")]),
    ('-metadata["order"]:"6735"', [("-", "metadata", ":", "6735", "order")]),
    ('metadata["tier"]:"he said \\"gold\\""', [("metadata", ":", 'he said "gold"', "tier")]),
    ('metadata["order"]:null', [("metadata", ":", None, "order")]),
    ('-metadata["order"]:null', [("-", "metadata", ":", None, "order")]),
    ('metadata["null"]:"null"', [("metadata", ":", "null", "null")]),
    ('metadata["percent%"]:"under_score"', [("metadata", ":", "under_score", "percent%")]),
    ('metadata["percent%"]:"under-score"', [("metadata", ":", "under-score", "percent%")]),
    ('metadata["back\\\\slash"]:"1"', [("metadata", ":", "1", "back\\slash")]),
    ('metadata["note"]:"a\nb"', [("metadata", ":", "a\nb", "note")]),
    ('status:"open" total>0', [("status", ":", "open"), ("total", ">", 0)]),
    ('  status:"open"   and\ttotal>0  ', [("status", ":", "open"), ("total", ">", 0)]),
    ('customer_name:"ada" AND -status:"paid"', [("customer_name", ":", "ada"), ("-", "status", ":", "paid")]),
]  # fmt: skip
ANY_OF: list[tuple[str, Expected]] = [
    ('status:"open" OR total>4000', [("status", ":", "open"), ("total", ">", 4000)]),
    ('status:"paid" or -customer_name:null or currency:"jpy"',
     [("status", ":", "paid"), ("-", "customer_name", ":", None), ("currency", ":", "jpy")]),
]  # fmt: skip
OF_CUSTOMERS: list[tuple[str, Expected]] = [
    (f"created>{T0}", [("created", ">", T0)]),
    ('email:"ada@example.com"', [("email", ":", "ada@example.com")]),
    ('email~"EXAMPLE"', [("email", "~", "example")]),
    ("email:null", [("email", ":", None)]),
    ('name:"lovelace"', [("name", ":", "lovelace")]),
    ('name~"ace"', [("name", "~", "ace")]),
    ('phone:"+19999999999"', [("phone", ":", "+19999999999")]),
    ('phone~"999"', [("phone", "~", "999")]),
    ("-phone:null", [("-", "phone", ":", None)]),
    ('metadata["tier"]:"Navy"', [("metadata", ":", "navy", "tier")]),
    ('-email~"ada" -name:null', [("-", "email", "~", "ada"), ("-", "name", ":", None)]),
]


@pytest.fixture
def service(agent: User) -> Client:
    token = ApiToken.objects.create(agent, name="searching")[1]
    return Client(headers={"Authorization": f"Bearer {token}"})


def searched(service: Client, query: str, what: str = "invoices", **parameters: Any) -> dict[str, Any]:
    answer = service.get(f"/v1/{what}/search?{urlencode({'query': query, **parameters})}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [each["id"] for each in found["data"]]


@pytest.mark.parametrize(("query", "clauses"), QUERIES)
def test_a_query_finds_what_python_finds(world: None, service: Client, query: str, clauses: Expected) -> None:
    assert ids(searched(service, query)) == expected(WORLD, clauses)


@pytest.mark.parametrize(("query", "clauses"), ANY_OF)
def test_or_finds_what_matches_one_clause(world: None, service: Client, query: str, clauses: Expected) -> None:
    assert ids(searched(service, query)) == expected(WORLD, clauses, any_of=True)


@pytest.mark.parametrize(("query", "clauses"), OF_CUSTOMERS)
def test_customers_are_searched_alike(world: None, service: Client, query: str, clauses: Expected) -> None:
    assert ids(searched(service, query, "customers")) == expected(CUSTOMER_WORLD, clauses)


def test_each_field_is_in_the_tables_above() -> None:
    """So that none is added without an answer to compare with."""
    asked = {clause[1] if clause[0] == "-" else clause[0] for _, clauses in QUERIES + ANY_OF for clause in clauses}
    assert asked == set(INVOICES.fields)
    asked = {clause[1] if clause[0] == "-" else clause[0] for _, clauses in OF_CUSTOMERS for clause in clauses}
    assert asked == set(CUSTOMERS.fields)


# --- what is no query -------------------------------------------------------------------------------------------------

BAD: list[tuple[str, int, str]] = [
    ("   ", 4, "the query is empty"),
    ("acme", 5, "expected an operator after acme"),
    ('status "open"', 8, "expected an operator after status: one of : ~ > < >= <=. Found \""),
    ("status:open", 8, 'text needs quotation marks: "open"'),
    ("status:", 8, "The query ends here."),
    ('status="open"', 7, "expected an operator"),
    ('status:"open', 8, "the quotation mark is never closed"),
    ('status:"open\\"', 8, "the quotation mark is never closed"),
    ('status:""', 8, "nothing stands between the quotation marks"),
    ('status:"open"total>5', 14, "expected a space, AND or OR after the value. Found t"),
    ('status:"open" AND', 18, "expected a field"),
    ('OR status:"open"', 1, "expected a clause, and found OR"),
    ('status:"open" AND AND total>5', 19, "expected a clause, and found AND"),
    ('status:"open" OR total>5 AND total<9', 26, "AND cannot stand in one query with OR"),
    ('status:"open" AND total>5 OR total<9', 27, "OR cannot stand in one query with AND"),
    ('status:"open" OR total>5 total<9', 26, "a space, which means AND, cannot stand in one query with OR"),
    ('(status:"open" OR total>5) total>1', 1, "parentheses are not supported"),
    ('total>5 AND (status:"open")', 13, "parentheses are not supported"),
    (" ".join(["total>1"] * 11), 81, "a query has at most 10 clauses"),
    ('total>5 colour:"red"', 9, "Field `colour` is an unsupported search field for resource `invoices`"),
    ('-colour:"red"', 2, "Field `colour` is an unsupported search field"),
    ('email:"ada@example.com"', 1, "Field `email` is an unsupported search field"),
    ('total~"100"', 6, "field `total` does not go with ~. Use : > < >= <="),
    ('currency~"usd"', 9, "field `currency` does not go with ~. Use :"),
    ('status>"open"', 7, "field `status` does not go with >. Use : ~"),
    ("total>null", 6, "null does not go with >. Use :"),
    ("number~null", 7, "null does not go with ~. Use :"),
    ('number~"ab"', 8, "a part that is searched for with ~ has at least 3 characters"),
    ('total>"many"', 7, "field `total` is a whole number"),
    ('total>"1e9"', 7, "field `total` is a whole number"),
    ("total>10.5", 7, "expected a whole number"),
    ("total>1234567890123456789", 7, "a number has at most 18 digits"),
    ("number:5", 8, 'field `number` is text, which needs quotation marks: "5"'),
    ('metadata:"gold"', 9, 'metadata needs a key, as in metadata["key"]:"value"'),
    ('metadata[tier]:"gold"', 10, "expected a key in quotation marks"),
    ('metadata["tier":"gold"', 16, "expected ] after the key"),
    ('metadata["tier"]~"gold"', 17, "field `metadata` does not go with ~. Use :"),
    ('status["x"]:"open"', 1, "only metadata has keys"),
    ('number:"a\x00b"', 10, "this character cannot be searched for"),
    ('number:"' + "x" * 5000, 5001, "a query has at most 5000 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "position", "sentence"), BAD)
def test_the_error_points_at_the_place(query: str, position: int, sentence: str) -> None:
    with pytest.raises(QueryError, match=re.escape(sentence)) as caught:
        search.matching(Invoice.objects.all(), search.parse(query), INVOICES)
    assert caught.value.position == position
    assert f"at character {position}: " in str(caught.value)


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_api_answers_400_that_names_the_parameter(service: Client, language: str) -> None:
    """In English, whatever the client's language."""
    address = "/v1/invoices/search?" + urlencode({"query": "total>1 AND status:open"})
    answer = service.get(address, headers={"accept-language": language})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "We were unable to parse your search query at character 20: text needs quotation marks: \"open\".",
        "param": "query",
        "type": "invalid_request_error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "param", "code"),
    [
        ("", "query", "parameter_missing"),
        ("query=", "query", "parameter_invalid_empty"),
        ("query[a]=1", "query[a]", "parameter_unknown"),
        ("query=total%3E1&limit=x", "limit", "parameter_invalid_integer"),
        ("query=total%3E1&starting_after=in_1", "starting_after", "parameter_unknown"),
        ("query=total%3E1&page=nonsense", "page", None),
        ("query=total%3E1&page=bnVsbA", "page", None),
        ("query=total%3E1&page=WyJhIiwxZTk5OSwiYiJd", "page", None),
        ("query=total%3E1&expand[]=customer", None, None),
    ],
)
def test_wrong_parameters_are_named(service: Client, parameters: str, param: str | None, code: str | None) -> None:
    answer = service.get(f"/v1/invoices/search?{parameters}")
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert (error.get("param"), error.get("code")) == (param, code)


def test_only_get_is_an_address(service: Client) -> None:
    assert service.post("/v1/invoices/search", {"query": "total>1"}).status_code == 404


# --- any text ---------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
VALUES = st.none() | st.integers(-(10**18) + 1, 10**18 - 1) | TEXT
FIELDS = st.from_regex(language.WORD, fullmatch=True).map(str.lower).filter(lambda name: name not in ("and", "or"))
CLAUSES = st.builds(
    Clause, FIELDS, st.none() | TEXT, st.sampled_from(language.OPERATORS), VALUES, st.booleans()
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(clauses=st.lists(CLAUSES, min_size=1, max_size=10), any_of=st.booleans())
def test_a_printed_query_is_the_query(clauses: list[Clause], any_of: bool) -> None:
    query = Query(tuple(clauses), any_of and len(clauses) > 1)
    assume(len(str(query)) <= language.MAX_LENGTH)
    assert search.parse(str(query)) == query


PIECES = st.sampled_from(
    [*INVOICES.fields, *language.OPERATORS, *"-\"'[]()\\ \n", "AND", "or", "null", "5", '"abc"', '["k"]', "%", "ß", "İ"]
)
ANY_TEXT = st.text(max_size=80) | st.lists(PIECES, max_size=30).map("".join)


@settings(deadline=None)
@given(text=ANY_TEXT)
def test_any_text_is_a_query_or_an_error_with_a_place(text: str) -> None:
    try:
        query = search.parse(text)
        for clause in query.clauses:
            condition_of(clause, INVOICES)
    except QueryError as error:
        assert 1 <= error.position <= len(text) + 1
    else:
        assert search.parse(str(query)) == query


VALID = st.lists(
    st.sampled_from(
        [
            *(f'{field}~"%s"' for field in ("status", "number", "customer_email", "customer_name", "subscription")),
            *(f'{field}:"%s"' for field in INVOICES.fields if INVOICES.fields[field].operators[-1] in ":~"),
            'metadata["%s"]:"x"',
            "-created>5",
            "paid_at:999999999999",
            "due_date<-999999999999999999",
        ]
    ),
    min_size=1,
    max_size=10,
)


@OVER_HTTP
@given(text=ANY_TEXT | st.tuples(VALID, TEXT.filter(lambda text: len(text) > 2)).map(
    lambda made: " ".join(made[0]).replace("%s", made[1].replace("\\", "\\\\").replace('"', '\\"'))))  # fmt: skip
def test_no_text_is_a_fault_of_ours(world: None, service: Client, text: str) -> None:
    query = urlencode({"query": text}, errors="replace")
    assert service.get(f"/v1/invoices/search?{query}").status_code in (200, 400)


@OVER_HTTP
@given(text=TEXT)
def test_what_an_object_holds_finds_it(service: Client, text: str) -> None:
    """Whatever its letters: in the name, the e-mail, the number, and in key and value of metadata."""
    assume(text.strip() and len(text.lower()) < 40)
    held = {"customer_name": text, "customer_email": text, "metadata": {text: text}, "created": T0}
    stored(InvoiceObject(id="in_held", **held))
    written = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for clause in (f"customer_name:{written}", f"customer_email:{written}", f"metadata[{written}]:{written}"):
        assert ids(searched(service, clause)) == ["in_held"], clause
        assert ids(searched(service, f"-{clause}")) == [], clause
    assert ids(searched(service, f"-metadata[{written}]:null")) == ["in_held"]
    if len(text) >= 3:
        assert ids(searched(service, f"customer_name~{written} customer_email~{written}")) == ["in_held"]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_give_each_match_once_while_rows_come(service: Client) -> None:
    made = [stored(InvoiceObject(created=T0 + number // 3, currency="chf")).pk for number in range(25)]
    seen: list[str] = []
    page: dict[str, str] = {}
    for number in range(10):
        found = searched(service, 'currency:"chf"', limit=4, **page)
        assert (found["object"], found["url"]) == ("search_result", "/v1/invoices/search")
        seen += ids(found)
        stored(InvoiceObject(created=T0 + 100 + number, currency="chf"))  # newer than all: on no later page
        if not found["has_more"]:
            assert found["next_page"] is None
            break
        page = {"page": found["next_page"]}
    assert seen == sorted(made, key=lambda pk: (Invoice.objects.get(pk=pk).created, pk), reverse=True)


def test_a_page_of_another_query_is_refused(world: None, service: Client) -> None:
    found = searched(service, "total>0", limit=1)
    page = urlencode({"page": found["next_page"]})
    assert service.get(f"/v1/invoices/search?query=TOTAL+%3E+0&{page}").status_code == 200  # the same query
    answer = service.get(f"/v1/invoices/search?query=total%3E1&{page}")
    assert answer.status_code == 400
    assert "belongs to another query" in answer.json()["error"]["message"]


@pytest.mark.odd_objects
def test_rows_without_a_creation_time_have_pages_too(service: Client) -> None:
    for number in range(5):
        stored({**InvoiceObject(id=f"in_{number}", currency="chf"), "created": None})
    first = searched(service, 'currency:"chf"', limit=3)
    rest = searched(service, 'currency:"chf"', limit=3, page=first["next_page"])
    assert (ids(first), ids(rest)) == (["in_4", "in_3", "in_2"], ["in_1", "in_0"])


def test_the_total_is_told_only_when_asked_for(world: None, service: Client) -> None:
    assert "total_count" not in searched(service, "total>0")
    found = searched(service, "total>0", limit=2, **{"expand[]": "total_count"})
    assert (found["total_count"], len(found["data"])) == (len(expected(WORLD, [("total", ">", 0)])), 2)


def test_what_is_found_is_shown_as_in_a_list(world: None, service: Client) -> None:
    listed = service.get("/v1/invoices").json()["data"]
    assert searched(service, "created>0")["data"] == listed
    expanded = service.get("/v1/invoices?expand[]=data.customer").json()["data"]
    assert searched(service, "created>0", **{"expand[]": "data.customer"})["data"] == expanded


def test_a_deleted_object_is_not_found(world: None, service: Client) -> None:
    Invoice.objects.filter(pk="in_3").update(deleted_at="2026-01-01T00:00:00Z")
    assert ids(searched(service, 'status:"draft"')) == []


# --- who may search ---------------------------------------------------------------------------------------------------


def test_searching_needs_the_permission_to_see(world: None) -> None:
    nobody = User.objects.create_user("nobody")
    client = Client(headers={"Authorization": f"Bearer {ApiToken.objects.create(nobody, name='none')[1]}"})
    for what in ("invoices", "customers"):
        answer = client.get(f"/v1/{what}/search?query=created%3E0")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
    assert Client().get("/v1/invoices/search?query=created%3E0").status_code == 401


# --- bounded time -----------------------------------------------------------------------------------------------------


def test_a_statement_that_reads_for_too_long_is_ended(world: None, service: Client) -> None:
    """By the database itself. Afterwards the connection works, and without the limit."""
    with pytest.raises(search.TakesTooLong), time_limit(timedelta(milliseconds=100)), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_sleep(5)")
        else:
            cursor.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
    assert ids(searched(service, 'status:"draft"')) == ["in_3"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)


@pytest.mark.odd_objects
@pytest.mark.parametrize("limit", [1, 3])
def test_a_walk_finds_what_the_plan_finds(world: None, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """In stretches of two rows, also those without a time of creation."""
    for number in (8, 9):
        stored({**invoice(number), "created": None})
    monkeypatch.setattr(pages, "STRETCH", 2)
    order = Order("created")
    for query, _ in QUERIES + ANY_OF:
        rows = search.matching(Invoice.objects.all(), search.parse(query), INVOICES)
        found: list[str] = []
        place, more = None, True
        while more:
            page = search.read(order, rows, limit, place, walk=True)
            assert len(page.rows) == limit or page.end is None, query
            found += [row.pk for row in page.rows]
            place, more = page.end, page.end is not None
        planned = search.read(order, rows, 100)
        assert (found, planned.walked) == ([row.pk for row in planned.rows], False), query


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """More rows than the plan has time for. The ids of the few whose name is another one, the newest first."""
    now = ReadTime(clock.now(), 0, clock.now())
    few = {7: "in_7", 1203: "in_1203", 1204: "in_1204", 1990: "in_1990"}
    made = [
        InvoiceObject(
            id=f"in_{number}", customer_name="else" if number in few else f"name {number}", created=T0 - number
        )
        for number in range(2000)
    ]
    mirror.store([of_read("invoice", each["id"], each, now) for each in made])
    monkeypatch.setattr(thresholds, "SEARCH_PLANNED", timedelta(milliseconds=1))
    monkeypatch.setattr(pages, "STRETCH", 100)
    return list(few.values())


def test_a_page_that_takes_long_is_shorter_and_the_next_goes_on(
    many: list[str], service: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page but the last is empty, because an SDK would stop there."""
    query = '-customer_name~"name"'
    page: dict[str, str] = {}
    assert ids(searched(service, query)) == many
    monkeypatch.setattr(thresholds, "SEARCH_PAGE", timedelta(0))
    found: list[list[str]] = []
    while not found or page:
        answer = searched(service, query, limit=3, **page)
        found.append(ids(answer))
        page = {"page": answer["next_page"]} if answer["has_more"] else {}
    assert found in ([many[:1], many[1:3], many[3:]], [many[:1], many[1:3], many[3:], []])
    assert searched(service, query, limit=1, **{"expand[]": "total_count"})["total_count"] == len(many)


def test_the_admin_finds_it_too(many: list[str], client: Client, agent: User) -> None:
    client.force_login(agent)
    page = admin_page(client, "invoice", '-customer_name~"name"')
    assert all(f"/{each}/" in page for each in many) and "search-problem" not in page


def test_what_is_not_found_in_time_is_refused_and_says_what_to_add(
    many: list[str], service: Client, client: Client, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thresholds, "SEARCH_GIVEN_UP", timedelta(milliseconds=1))
    client.force_login(agent)
    page = admin_page(client, "invoice", '-customer_name~"name" -customer_name~"else"')
    assert "add a range of created" in page and "Nothing found" not in page
    answer = service.get("/v1/invoices/search?query=-customer_name~%22name%22+-customer_name~%22else%22")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "query", "query_too_broad")
    assert "add a range of created" in error["message"]


# --- official SDK -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_sdk_walks_a_search_and_finds_what_it_changed(
    sandbox: SandboxProcess, live_server: Any, agent: User
) -> None:
    desk = stripe.StripeClient(ApiToken.objects.create(agent, name="sdk")[1], base_addresses={"api": live_server.url})
    customer = customer_at(sandbox, name="Ada Lovelace", email="ada@example.com").id
    made = [invoice_at(sandbox, customer=customer).id for _ in range(5)]
    for each in made:
        refetch.refetch("invoice", each)
    refetch.refetch("customer", customer)
    query = f'customer:"{customer}" status:"open"'
    found = [each.id for each in desk.v1.invoices.search({"query": query, "limit": 2}).auto_paging_iter()]
    assert (len(found), set(found)) == (5, set(made))
    desk.v1.invoices.void_invoice(made[0])
    assert [
        each.id for each in desk.v1.invoices.search({"query": f'customer:"{customer}" status:"void"'}).data
    ] == made[:1]
    assert made[0] not in [each.id for each in desk.v1.invoices.search({"query": query}).data]
    assert [each.id for each in desk.v1.customers.search({"query": 'name:"lovelace"'}).data] == [customer]
    with pytest.raises(stripe.InvalidRequestError, match="at character 8") as caught:
        desk.v1.invoices.search({"query": "status:open"})
    assert caught.value.param == "query"


# --- the admin --------------------------------------------------------------------------------------------------------


def admin_page(client: Client, what: str, term: str) -> str:
    response = client.get(f"/admin/invoices/{what}/?{urlencode({'q': term})}")
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def test_the_admins_search_box_takes_queries(world: None, client: Client, agent: User) -> None:
    client.force_login(agent)
    page = admin_page(client, "invoice", 'customer_name:"ada" -status:"paid"')
    assert "ACME-0001" in page and "ACME-0002" not in page
    page = admin_page(client, "customer", 'phone~"999"')
    assert "cus_Ada" in page and "cus_Grace" not in page
    assert "in_7" in admin_page(client, "invoice", "Grace Hopper")  # no query: as ever


def test_a_bad_query_is_answered_beside_the_search_box(world: None, client: Client, agent: User) -> None:
    client.force_login(agent)
    page = admin_page(client, "invoice", "status:open")
    problem = re.search(r'id="search-problem">([^<]*)<', page)
    assert problem and "at character 8: text needs quotation marks: &quot;open&quot;." in problem[1]
    assert "ACME-0001" not in page and "Nothing found" not in page
    assert "Nothing found" in admin_page(client, "invoice", 'number:"nobody"')
    assert 'id="search-problem"' not in admin_page(client, "invoice", 'status:"open"')


@pytest.mark.parametrize(
    ("text", "is_query"),
    [
        ('status:"open"', True),
        ("-Status : x", True),
        ('metadata["k"]:null', True),
        ("ada total>5", True),
        ("ada@example.com", False),
        ("ACME-0001", False),
        ("Ada: Lovelace", False),
        ("status quo", False),
        ("in_1", False),
    ],
)
def test_what_is_taken_for_a_query(text: str, is_query: bool) -> None:
    assert search.looks_like_query(text, INVOICES) is is_query
