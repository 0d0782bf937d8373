"""The one search, in the header of every page: what each text leads to, who sees what of it, and what it may cost."""

from __future__ import annotations

import time
import uuid
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client

from invoices import money, thresholds
from invoices import search as language
from invoices.admin import find, pasted, search
from invoices.models import BankTransaction, Customer, Event, Invoice, Operation, hosted_page
from invoices.search.time_limit import TakesTooLong
from tests.factories import (
    ChargeObject,
    CreditNoteObject,
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    RefundObject,
    stored,
    user_in_group,
)
from tests.helpers import bank, untranslated

pytestmark = pytest.mark.django_db

FIND = "/admin/find/"
INVOICE, CUSTOMER = "/admin/invoices/invoice/", "/admin/invoices/customer/"
OWN_ID = "1f0e2f0a-5b7a-4c39-9d63-6a3c7a1b2c3d"


@pytest.fixture
def ada(agent: User) -> Invoice:
    """Two invoices of Ada Byron, of which one was paid, and an unrelated one of Grace Hopper."""
    stored(CustomerObject(id="cus_ada", name="Ada Byron", email="ada@acme.com", created=1_700_000_000))
    stored(CustomerObject(id="cus_grace", name="Grace Hopper", email="grace@navy.example"))
    stored(InvoiceObject(id="in_grace", number="GRACE-1", customer="cus_grace", customer_name="Grace Hopper", total=7))
    stored(
        InvoiceObject(
            id="in_paid",
            number="ADA-0006",
            customer="cus_ada",
            customer_name="Ada King",
            customer_email="old@acme.com",
            status="paid",
            currency="jpy",
            total=312,
            amount_due=312,
            amount_paid=312,
            amount_remaining=0,
            created=1_700_000_000,
        )
    )
    stored(
        InvoicePaymentObject(
            id="inpay_ada", invoice="in_ada", payment={"type": "payment_intent", "payment_intent": "pi_ada"}
        )
    )
    stored(PaymentIntentObject(id="pi_ada", customer="cus_ada", latest_charge="ch_ada"))
    stored(ChargeObject(id="ch_ada", payment_intent="pi_ada", customer="cus_ada"))
    stored(RefundObject(id="re_ada", charge="ch_ada", payment_intent="pi_ada", customer="cus_ada"))
    stored(CreditNoteObject(id="cn_ada", number="ADA-0007-CN-01", invoice="in_ada", customer="cus_ada"))
    Operation.objects.create(
        id=OWN_ID,
        action="pay",
        invoice="in_ada",
        actor=agent,
        source="admin",
        reason="asked",
        request_id="req_12345678",
    )
    return stored(
        InvoiceObject(
            id="in_ada",
            number="ADA-0007",
            customer="cus_ada",
            customer_name="Ada Byron",
            customer_email="ada@acme.com",
            currency="eur",
            subscription="sub_ada",
            total=31200,
            amount_due=31200,
            amount_remaining=31200,
        )
    )


def typed(client: Client, text: str) -> str:
    """What is shown below the field while one types."""
    response = client.get(FIND, {"q": text}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response.content.decode()


def addresses(found: str) -> list[str]:
    """The links in their order."""
    return [part.partition('"')[0] for part in found.split('href="')[1:]]


# --- what a text means ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ADA-0007",
        "ada-0007",
        "#ADA-0007",
        "# ada-0007 ",
        "ADA-000",
        "in_ada",
        "cus_ada",
        "sub_ada",
        "pi_ada",
        "ch_ada",
        "inpay_ada",
        "re_ada",
        "cn_ada",
        "https://dashboard.stripe.com/invoices/in_ada",
        "https://dashboard.stripe.com/test/invoices/in_ada?tab=all#top",
        "dashboard.stripe.com/acct_1Abc/test/invoices/in_ada",
        "https://dashboard.stripe.com/acct_1Abc/payments/pi_ada",
        "https://dashboard.stripe.com/test/customers/cus_ada",
        "https://dashboard.stripe.com/subscriptions/sub_ada/",
        "ada@acme.com",
        "ADA@Acme.com",
        "acme.com",
        "@acme.com",
        "ada byron",
        "byron",
        "Byr",
        "EUR 312",
        "312 eur",
        "EUR312.00",
        "312.00",
        "312,00",
        "312",
        'status:"open" total>10000',
        'customer_email:"ada@acme.com"',
    ],
)
def test_each_text_leads_to_the_invoice(client: Client, agent: User, ada: Invoice, text: str) -> None:
    client.force_login(agent)
    found = typed(client, text)
    assert f"{INVOICE}in_ada/" in addresses(found), found
    assert f"{INVOICE}in_grace/" not in addresses(found)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("cus_ada", f"{CUSTOMER}cus_ada/"),
        ("https://dashboard.stripe.com/acct_1/test/customers/cus_ada", f"{CUSTOMER}cus_ada/"),
        ("byron", f"{CUSTOMER}cus_ada/"),
        ("@acme.com", f"{CUSTOMER}cus_ada/"),
        ('name:"ada byron"', f"{CUSTOMER}cus_ada/"),
        ("king", f"{INVOICE}in_paid/"),  # the name on the invoice; the customer has another one today
        ("old@acme.com", f"{INVOICE}in_paid/"),
        ("JPY 312", f"{INVOICE}in_paid/"),
        ("312", f"{INVOICE}in_paid/"),
        ("pi_ada", "/admin/invoices/paymentintent/pi_ada/"),
        ("ch_ada", "/admin/invoices/charge/ch_ada/"),
        ("re_ada", "/admin/invoices/refund/re_ada/"),
        ("ada-0007-cn-01", "/admin/invoices/creditnote/cn_ada/"),
        ("in_ada", "/admin/invoices/invoicepayment/inpay_ada/"),
        (OWN_ID, f"/admin/invoices/operation/{OWN_ID}/"),
        (OWN_ID.upper(), f"/admin/invoices/operation/{OWN_ID}/"),
        ("req_12345678", f"/admin/invoices/operation/{OWN_ID}/"),
        ("ADA-0007", f"/admin/invoices/operation/{OWN_ID}/"),
    ],
)
def test_and_to_what_belongs_to_it(client: Client, agent: User, ada: Invoice, text: str, address: str) -> None:
    client.force_login(agent)
    assert address in addresses(typed(client, text))


@pytest.mark.django_db(transaction=True)
def test_an_event_by_its_id(client: Client, agent: User, deliver: Any, sandbox: Any, open_invoice: Any) -> None:
    deliver()
    event = Event.objects.filter(object_id=open_invoice.id).first()
    assert event is not None
    client.force_login(agent)
    for text in (event.pk, f"https://dashboard.stripe.com/test/events/{event.pk}"):
        assert addresses(typed(client, text)) == [f"/admin/invoices/event/{event.pk}/"]


def test_the_whole_number_comes_first(client: Client, agent: User, ada: Invoice) -> None:
    """Also where more than are shown begin with it, and all are newer."""
    for number in range(8):
        stored(InvoiceObject(number=f"ADA-0007{number}", created=int(time.time()) + number))
    client.force_login(agent)
    found = addresses(typed(client, "ada-0007"))
    assert found[0] == f"{INVOICE}in_ada/"
    assert len([each for each in found if each.startswith(f"{INVOICE}in_")]) == find.SHOWN_AS_TYPED
    assert f"{INVOICE}?q=ada-0007" in found  # all of them


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("312", {"312"}),
        ("312.5", {"312.5"}),
        ("1,234", {"1234", "1.234"}),
        ("1.234", {"1234", "1.234"}),
        ("1.234,50", {"1234.5"}),
        ("1,234.50", {"1234.5"}),
        ("eur 1.234", {"1234"}),
        ("KWD 1.234", {"1.234", "1234"}),
        ("JPY 1,234", {"1234"}),
        ("€504", {"504"}),
        ("504,00 €", {"504"}),
        ("£ 1,234.50", {"1234.5"}),
        ("$20", {"20"}),
        ("¥22,400", {"22.4", "22400"}),
        ("€5€", set()),
        ("JPY 1.5", set()),
        ("0", set()),
        ("0012", set()),
        ("-3", set()),
        ("1e3", set()),
        ("٣١٢", set()),
        ("EUR 5 EUR", set()),
        ("9" * 30, set()),
        ("1" * 10_000, set()),
        ("1.2.3,4", set()),
    ],
)
def test_an_amount_is_read_in_every_way_that_a_person_may_mean(written: str, read: set[str]) -> None:
    assert {str(money.value(each)) for each in money.meanings(written)} == read


def test_it_says_how_it_read_what_has_two_readings(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    assert "Read as an amount: 1,234 or 1.234." in typed(client, "1,234")
    assert "Read as" not in typed(client, "312.00")


def test_the_page_leads_to_the_list_of_the_invoices_that_it_shows(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    several = client.get(FIND, {"q": "ada@acme.com"}).content.decode()
    assert f"{INVOICE}?q=ada%40acme.com" in addresses(several)
    listed = client.get(INVOICE, {"q": "ada@acme.com"}).context["cl"].result_list
    assert {row.pk for row in listed} == {"in_ada", "in_paid"}
    assert f"{CUSTOMER}?q=" not in several  # one customer needs no list
    for invoice in ("in_grace", "in_paid"):
        recorded(agent, invoice, "RF18 5390")
    of_reference = client.get(FIND, {"q": "RF18 5390"}).content.decode()
    assert f"{INVOICE}in_paid/" in addresses(of_reference)
    assert f"{INVOICE}?q=" not in of_reference  # the list of invoices knows no references


# --- an address of Stripe's page for the customer, and a reference of a bank ------------------------------------------

SECRET = "_LRmS5DgxMH4BZEuHB0NsBvAq61kULnF"
SIGNED, AGAIN = (
    urlsafe_b64encode(f"acct_1Nx,{SECRET},{number}".encode()).decode().rstrip("=") + signature
    for number, signature in ((39631033, "0200kvh49rcg"), (40710044, "02005aN5CQvV"))
)
PAGE, LATER = (f"https://invoice.stripe.com/i/acct_1Nx/live_{token}?s=ap" for token in (SIGNED, AGAIN))


@pytest.mark.parametrize(
    "pasted_address",
    [
        PAGE,
        LATER,  # as Stripe signs it in the next reply
        PAGE.partition("?")[0],
        PAGE.removeprefix("https://"),
        f"{PAGE}&utm=1#top",
        f"https://pay.stripe.com/invoice/acct_1Nx/live_{AGAIN}/pdf?s=ap",
    ],
)
def test_an_address_of_the_page_for_the_customer(
    client: Client, agent: User, ada: Invoice, pasted_address: str
) -> None:
    stored({**ada.data, "hosted_invoice_url": PAGE})
    client.force_login(agent)
    response = client.get(FIND, {"q": pasted_address})
    assert response.status_code == 302 and response["Location"] == f"{INVOICE}in_ada/"


def test_an_address_of_before_has_no_signature(client: Client, agent: User, ada: Invoice) -> None:
    stored({**ada.data, "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/invst_JgRjzIOILGeq2MKC9"})
    client.force_login(agent)
    assert f"{INVOICE}in_ada/" in addresses(typed(client, "invoice.stripe.com/i/acct_1/invst_JgRjzIOILGeq2MKC9?s=ap"))
    assert "in_ada" not in typed(client, "https://invoice.stripe.com/i/acct_1/invst_another")


@pytest.mark.parametrize(
    "address",
    [
        None,
        7,
        "",
        "[redacted]",
        "https://invoice.stripe.com/i/ada",
        "https://invoice.stripe.com.evil.example/i/acct_1/live_x",
        f"https://invoice.stripe.com/i/acct_1/live_{'x' * 600}",
    ],
)
def test_what_is_no_address_of_a_page_has_no_digest(address: Any) -> None:
    assert hosted_page.digest(address) is None


def test_an_erasure_takes_the_digest_away(client: Client, agent: User, ada: Invoice) -> None:
    changed = stored({**ada.data, "hosted_invoice_url": PAGE})
    assert changed.hosted_page and SECRET not in changed.hosted_page
    erased = stored({**changed.data, "hosted_invoice_url": "[redacted]", "customer_name": "[redacted]"})
    assert erased.hosted_page is None
    client.force_login(agent)
    assert "in_ada" not in typed(client, PAGE)


def recorded(agent: User, invoice: str, reference: str) -> Operation:
    params = {"amount": 100, "method": "Bank transfer", "reference": reference}
    given = {"actor": agent, "source": "admin", "reason": "came by bank", "params": params}
    return Operation.objects.create(action="attach_out_of_band_payment", invoice=invoice, **given)


@pytest.mark.parametrize("text", ["SEPA 2026-11/77", "sepa 2026-11/77", " SEPA 2026-11/77 "])
def test_a_reference_of_a_bank(client: Client, agent: User, ada: Invoice, text: str) -> None:
    operation = recorded(agent, "in_paid", "SEPA 2026-11/77")
    client.force_login(agent)
    found = addresses(typed(client, text))
    assert f"/admin/invoices/operation/{operation.pk}/" in found and f"{INVOICE}in_paid/" in found
    client.force_login(person_who_may("view_invoice"))  # who may not see operations does not learn of it
    assert addresses(typed(client, text)) == []


def test_a_reference_that_was_erased_is_not_found(client: Client, agent: User, ada: Invoice) -> None:
    recorded(agent, "in_paid", "[redacted]")
    client.force_login(agent)
    assert addresses(typed(client, "[redacted]")) == []


# --- where it leads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("in_ada", f"{INVOICE}in_ada/"),
        ("#ada-0007", f"{INVOICE}in_ada/"),
        ("pi_ada", f"{INVOICE}in_ada/"),
        ("cus_grace", f"{CUSTOMER}cus_grace/"),
        (OWN_ID, f"/admin/invoices/operation/{OWN_ID}/"),
        ("in_elsewhere", f"{INVOICE}in_elsewhere/"),  # its page offers to fetch it
    ],
)
def test_enter_leads_directly_to_the_only_meaning(
    client: Client, agent: User, ada: Invoice, text: str, address: str
) -> None:
    client.force_login(agent)
    if text == "cus_grace":
        Invoice.rows.filter(pk="in_grace").delete()
    response = client.get(FIND, {"q": text})
    assert response.status_code == 302 and response["Location"] == address


def test_without_scripts_it_is_a_page_of_results(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    shown = client.get(FIND, {"q": "ada"})
    assert shown.status_code == 200
    text = shown.content.decode()
    assert {f"{INVOICE}in_ada/", f"{INVOICE}in_paid/", f"{CUSTOMER}cus_ada/"} <= set(addresses(text))
    assert 'value="ada"' in text and "no-store" in shown["Cache-Control"]


def test_every_page_has_it_once(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    for page in ("/admin/", INVOICE, f"{INVOICE}in_ada/", f"{CUSTOMER}cus_ada/", f"{INVOICE}in_nope/", FIND):
        assert client.get(page).content.decode().count('id="find-field"') == 1, page


def test_nothing_found_says_what_to_do(client: Client, agent: User) -> None:
    client.force_login(agent)
    assert "An id (in_…) can be fetched from Stripe" in typed(client, "nobody@example.com")
    assert f"{INVOICE}in_elsewhere/" in addresses(typed(client, "in_elsewhere"))
    assert "Type at least 2 characters" in typed(client, "a")
    assert "Nothing found" not in typed(client, "")


def test_a_query_with_a_mistake_says_which(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    assert "unable to parse your search query at character" in typed(client, 'status:"open')


def test_it_answers_in_the_language_of_the_reader(client: Client, agent: User, ada: Invoice) -> None:
    """The query language says what is wrong in it too; /v1 answers in English (test_search.py)."""
    client.force_login(agent)
    with untranslated.pseudo_language():
        for term in ('status:"open', "total:x", "metadata:1", "1,234", "nobody@example.com"):
            shown = [text for text in untranslated.outside(typed(client, term)) if text != term]
            assert shown == [], term
    german = client.get(FIND, {"q": "1,234"}, headers={"HX-Request": "true", "accept-language": "de"})
    assert "1.234" in german.content.decode() and "1,234" in german.content.decode()


# --- who sees what ----------------------------------------------------------------------------------------------------


def person_who_may(*codenames: str) -> User:
    user = user_in_group("somebody", None)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("text", ["ada", "in_ada", "pi_ada", "cus_ada", "312", "acme.com", OWN_ID, 'status:"open"'])
def test_a_person_sees_only_the_kinds_that_she_may_see(client: Client, ada: Invoice, text: str) -> None:
    kinds = ["invoice", "customer", "invoicepayment", "paymentintent", "operation"]
    for allowed in kinds:
        User.objects.filter(username="somebody").delete()
        client.force_login(person_who_may(f"view_{allowed}"))
        found = [each for each in addresses(typed(client, text)) if each.startswith("/admin/invoices/")]
        assert all(each.startswith(f"/admin/invoices/{allowed}/") for each in found), (allowed, found)
        response = client.get(FIND, {"q": text})
        if response.status_code == 302:
            assert response["Location"].startswith(f"/admin/invoices/{allowed}/")


def test_a_person_without_any_permission_has_no_search(client: Client, ada: Invoice) -> None:
    client.force_login(person_who_may())
    assert "find-field" not in client.get("/admin/").content.decode()
    assert "Byron" not in typed(client, "byron") and "Byron" not in client.get(FIND, {"q": "byron"}).content.decode()


def test_a_stranger_is_asked_to_sign_in(client: Client, ada: Invoice) -> None:
    response = client.get(FIND, {"q": "byron"})
    assert response.status_code == 302 and "/admin/login/" in response["Location"]
    found = typed(client, "byron")
    assert "Your session has ended" in found and "in_ada" not in found
    assert client.post(FIND, {"q": "byron"}).status_code == 405


def test_what_is_typed_is_in_no_log(
    client: Client, agent: User, ada: Invoice, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(agent)
    with caplog.at_level("DEBUG"):
        typed(client, "ada@acme.com")
        client.get(FIND, {"q": "Byron"})
    lines = "\n".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "sql" not in record.__dict__
    )
    assert "/admin/find/" in lines and "ada@acme.com" not in lines and "Byron" not in lines


def test_what_was_erased_is_not_found(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    stored({**ada.data, "customer_name": "[redacted]", "customer_email": "[redacted]"})
    Invoice.rows.filter(pk="in_paid").delete()
    stored(CustomerObject(id="cus_ada", name="[redacted]", email="[redacted]"))
    for text in ("byron", "ada@acme.com", "acme.com"):
        assert "in_ada" not in typed(client, text) and "cus_ada" not in typed(client, text)


# --- what is strange, long or slow ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "%",
        "%%",
        "__",
        "ad_",
        "a%a",
        "'\"\\",
        "\x00\x00",
        "x" * 10_000,
        "ab " * 3_000,
        "שלום עולם",
        "🙂🙂",
        "\ud800x",
        "https://[",
        "https://dashboard.stripe.com/",
        "in_",
        "in_" + "9" * 400,
        "@@",
        "@",
        "(((((",
        "[a-",
        "..",
        "a.b.c.d",
        "<script>alert(1)</script>",
        "99999999999999999999999999",
        "1,1,1",
        "--",
        ":::",
    ],
)
def test_strange_texts_find_nothing_and_break_nothing(client: Client, agent: User, ada: Invoice, text: str) -> None:
    client.force_login(agent)
    query = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    found = typed(client, query)
    assert "in_ada" not in found and "<script>alert" not in found
    assert client.get(FIND, {"q": query}).status_code in (200, 302)


def test_a_null_character_is_left_out(client: Client, agent: User, ada: Invoice) -> None:
    client.force_login(agent)
    assert f"{INVOICE}in_ada/" in addresses(typed(client, "ADA-\x000007"))


@pytest.mark.parametrize("name", ["N" * 200, "\u202ereversed name", "🙂 Smile", "علي بن محمد", "O'Neil & <b>Sons</b>"])
def test_any_name_is_found_and_shown_as_it_is(client: Client, agent: User, name: str) -> None:
    customer = stored(CustomerObject(name=name))
    client.force_login(agent)
    found = typed(client, name.rsplit(maxsplit=1)[-1][:30])
    assert f"{CUSTOMER}{customer.pk}/" in addresses(found) and "<b>Sons" not in found


def test_a_deleted_customer_says_so(client: Client, agent: User, ada: Invoice) -> None:
    Customer.rows.filter(pk="cus_ada").update(deleted_at=ada.created)
    client.force_login(agent)
    assert "deleted" in typed(client, "cus_ada")


def test_a_look_up_that_takes_too_long_is_left_out_and_said(
    client: Client, agent: User, ada: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*given: Any) -> Any:
        raise TakesTooLong

    monkeypatch.setattr(search, "customers", slow)
    client.force_login(agent)
    found = typed(client, "byron")
    assert "took too long" in found and f"{INVOICE}in_ada/" in addresses(found)
    assert client.get(FIND, {"q": "ada-0006"}).status_code == 200  # no leading on while something may be missing


def test_a_slow_look_for_the_only_meaning_is_no_error(
    client: Client, agent: User, ada: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(term: str) -> str:
        raise TakesTooLong

    monkeypatch.setattr(search, "exact", slow)
    monkeypatch.setattr(find, "_only_invoice", lambda request, found: None)
    client.force_login(agent)
    assert client.get(FIND, {"q": "ada"}).status_code == 200


def test_a_database_that_does_not_answer_is_a_sentence(
    client: Client, agent: User, ada: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: Any) -> Any:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(search, "invoices", lost)
    client.force_login(agent)
    assert "did not answer one of the look-ups" in typed(client, "byron")


def test_each_look_up_has_its_limit(client: Client, agent: User, ada: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[timedelta] = []
    limited = find.time_limit

    def noted(longest: timedelta) -> Any:
        limits.append(longest)
        return limited(longest)

    monkeypatch.setattr(find, "time_limit", noted)
    client.force_login(agent)
    typed(client, "byron")
    assert limits == [thresholds.FIND_LOOK_UP] * 6


@pytest.mark.parametrize("text", ["in_ada", "ada-0007", "byron", "acme.com", "ada@acme.com", "312", OWN_ID])
def test_a_search_is_a_fixed_number_of_queries(
    client: Client, agent: User, ada: Invoice, django_assert_max_num_queries: Any, text: str
) -> None:
    for number in range(30):
        stored(InvoiceObject(customer="cus_ada", customer_name="Ada Byron", number=f"MANY-{number}"))
    client.force_login(agent)
    with django_assert_max_num_queries(110):  # on PostgreSQL most of them set the time limits, and take them away
        typed(client, text)


def test_of_a_beginning_that_too_many_have_no_words_are_looked_for(
    client: Client, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as are shown begin so already. The index of words would put together a tenth of a million rows."""
    asked: set[str] = set()

    def with_words(model: Any, *given: Any) -> list[str]:
        asked.add(model.__name__)
        return []

    monkeypatch.setattr(search, "MAX_MATCHES", 2)
    monkeypatch.setattr(language, "with_words", with_words)
    for name in ("Anna", "Anton"):
        stored(InvoiceObject(customer_name=name))
    stored(CustomerObject(name="Anna"))
    client.force_login(agent)
    found = typed(client, "an")
    assert len(addresses(found)) == 3 and asked == {"Customer"}


def test_a_pasted_address_keeps_only_its_id() -> None:
    assert pasted.plain(f"https://desk.example/admin/invoices/operation/{uuid.UUID(OWN_ID)}/") == OWN_ID
    assert pasted.plain("https://example.com/nothing") == "https://example.com/nothing"


class TestBankTransactions:
    @pytest.fixture
    def credit(self) -> BankTransaction:
        (row,) = bank.credits_of(
            bank.line(5000, "thanks", payer_name="Ada Byron", bank_reference="REF-4711", end_to_end_id="E2E-0815")
        )
        return row

    @pytest.mark.parametrize("term", ["REF-4711", "E2E-0815"])
    def test_by_either_reference(self, client: Client, finance: User, credit: BankTransaction, term: str) -> None:
        client.force_login(finance)
        assert client.get(FIND, {"q": term})["Location"] == f"/admin/invoices/banktransaction/{credit.pk}/"

    def test_only_for_those_who_may_see_them(self, desk: Client, credit: BankTransaction) -> None:
        answer = desk.get(FIND, {"q": "REF-4711"})
        assert answer.status_code == 200 and "Ada Byron" not in answer.content.decode()
