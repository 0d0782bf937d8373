"""Attacks on the desk's pages: what a thief, a stranger's page, or a colleague with few permissions gets from them."""

from __future__ import annotations

from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import translation

from invoices import clock, mentions, recorded, refetch, typed
from invoices.admin.operations import person_filters
from invoices.models import ApiToken, Drift, Operation, ReconciliationRun, SignInRecord
from invoices.operations import Invalid
from tests.factories import (
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    customer_at,
    invoice_at,
    stored,
    user_in_group,
)
from tests.helpers.admin_pages import LIST, action_url, hidden, text
from tests.helpers.typed_forms import ADD, PASSWORD, opened
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db

# --- the journal of people as a file ----------------------------------------------------------------------------------

SIGN_INS = "/admin/invoices/signinrecord/"


@pytest.fixture
def auditing(auditor: User) -> Client:
    client = Client()
    client.force_login(auditor)
    return client


def test_what_was_searched_for_among_sign_ins_is_in_no_journal(auditing: Client) -> None:
    assert auditing.get(f"{SIGN_INS}download.csv?q=Ada+Lovelace").status_code == 200
    record = SignInRecord.objects.get(what=SignInRecord.What.LIST_DOWNLOADED)
    assert record.detail == "Sign-ins as CSV: a search"


@pytest.mark.parametrize("asked", ["foo=1", "what=nothing", "at_from=yesterday", "q=%00"])
def test_sign_ins_are_no_file_where_the_address_cannot_be_read(auditing: Client, asked: str) -> None:
    answer = auditing.get(f"{SIGN_INS}download.csv?{asked}", follow=True)
    assert answer.redirect_chain and "Nothing was downloaded." in answer.content.decode()
    assert not SignInRecord.objects.filter(what=SignInRecord.What.LIST_DOWNLOADED).exists()


# --- reconciliation: who may see runs sees neither differences nor money by that alone --------------------------------


def signed_in_with(*permissions: str) -> Client:
    """A person of the staff who has these permissions and no others."""
    person: User = user_in_group("eve", None)
    person.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


class TestRunsOfReconciliation:
    SECRETS = ("A-4711", "Wally Sparks", "USD 12.34", "USD 67.89")

    def shown(self, *permissions: str) -> list[str]:
        """What the page of a proof tells of an invoice that differs."""
        stored(CustomerObject(id="cus_w", name="Wally Sparks"))
        invoice = stored(InvoiceObject(number="A-4711", customer="cus_w", customer_name="Wally Sparks", total=1234))
        sides = {"ours": {"groups": {"usd open": [1, 6789, 0, 6789]}}, "theirs": {"groups": {}}}
        report = {
            "kinds": {"invoice": {"here": 1, "at_stripe": 0}},
            "days": [{"object": "invoice", "day": "2026-01-31", "equal": False} | sides],
        }
        run = ReconciliationRun.objects.create(
            kind="verify", state="finished", exit_code=3, finished_at=clock.now(), failed=1, seen=1, report=report
        )
        about = {"object_type": "invoice", "object_id": invoice.pk, "invoice": invoice.pk}
        Drift.objects.create(run=run, kind="differs", field="total", ours=1234, theirs=1000, **about)
        page = text(signed_in_with("view_reconciliationrun", *permissions).get(self.address(run)))
        assert "Not equal: something differs." in page
        return [secret for secret in self.SECRETS if secret in page]

    def address(self, run: ReconciliationRun) -> str:
        return f"/admin/invoices/reconciliationrun/{run.pk}/"

    def test_the_run_alone(self) -> None:
        assert self.shown() == []

    def test_drift_is_what_both_sides_said(self) -> None:
        assert self.shown("view_drift") == ["USD 12.34"]

    def test_invoices_are_whose_they_are_and_what_they_add_up_to(self) -> None:
        assert self.shown("view_invoice") == ["USD 67.89"]

    def test_all_three(self) -> None:
        assert self.shown("view_drift", "view_invoice") == list(self.SECRETS)

    def test_another_kind(self) -> None:
        assert self.shown("view_customer") == []


# --- a form that another site sends -----------------------------------------------------------------------------------

FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://testserver.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_replaces_no_session_and_is_kept_nowhere(manager: User, headers: Any) -> None:
    visitor = Client(enforce_csrf_checks=True)
    fields = opened(visitor, manager)
    visitor.cookies.clear()  # as a browser leaves them out of what another site sends
    Session.objects.all().delete()
    answer = visitor.post(ADD, {**fields, "reason": "planted"}, headers=headers)
    assert answer.status_code == 403 and "sessionid" not in answer.cookies
    assert not Session.objects.exists()


@pytest.mark.parametrize("headers", [{"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}], ids=str)
def test_a_form_of_the_desk_is_kept(manager: User, headers: Any) -> None:
    visitor = Client(enforce_csrf_checks=True)
    fields = opened(visitor, manager)
    visitor.cookies.clear()
    answer = visitor.post(ADD, {**fields, "reason": "typed"}, headers=headers)
    assert answer.status_code == 302 and typed._KEPT in visitor.session


def test_a_session_that_is_over_keeps_nothing_of_another_site(manager: User, settings: Any) -> None:
    visitor = Client(enforce_csrf_checks=True)
    fields = opened(visitor, manager)
    settings.SESSION_IDLE_MINUTES = 0
    visitor.post(ADD, {**fields, "reason": "planted"}, headers={"Origin": "https://evil.example"})
    assert typed._KEPT not in visitor.session


# --- whom the filters of the operations name --------------------------------------------------------------------------


def test_the_filters_of_operations_name_only_who_did_something(agent: User, manager: User, client: Client) -> None:
    reader = user_in_group("reader", "Support agent")
    User.objects.create_user("stranger", password=PASSWORD, is_active=False)
    invoice = stored(InvoiceObject())
    given = {"invoice": invoice.pk, "source": "admin", "state": "failed"}
    Operation.objects.create(action="void", actor=agent, **given)
    client.force_login(reader)
    page = client.get("/admin/invoices/operation/").content.decode()
    for name, is_named in (("agent", True), ("stranger", False), ("manager", False)):
        assert (f'<option value="{name}"' in page) is is_named, name
    refused = [client.get(f"/admin/invoices/operation/?asked_by={name}") for name in ("stranger", "nobody")]
    first, second = (answer.content.decode() for answer in refused)
    assert "“stranger” cannot be chosen here" in first and "“nobody” cannot be chosen here" in second


def test_who_decided_is_offered_where_deciders_are_chosen(agent: User, manager: User, client: Client) -> None:
    invoice = stored(InvoiceObject())
    Operation.objects.create(
        action="void", actor=agent, approver=manager, invoice=invoice.pk, source="admin", state="failed"
    )
    client.force_login(agent)
    found = {
        name: client.get(f"/admin/invoices/operation/?{name}=manager").content.decode()
        for name in ("decided_by", "asked_by")
    }
    assert "cannot be chosen" not in found["decided_by"]
    assert "“manager” cannot be chosen here" in found["asked_by"]


def test_of_more_people_than_are_offered_the_address_may_name_one(
    agent: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_filters, "MAX_PEOPLE", 1)
    invoice = stored(InvoiceObject())
    for person in (agent, User.objects.create_user("zoe")):
        Operation.objects.create(action="void", actor=person, invoice=invoice.pk, source="admin", state="failed")
    client.force_login(agent)
    assert "cannot be chosen" not in client.get("/admin/invoices/operation/?asked_by=zoe").content.decode()
    assert 'value="zoe"' not in client.get("/admin/invoices/operation/").content.decode()


# --- an invoice's page: operations are told to those who may see them, and to who asked -------------------------------


class TestOperationsOnAnInvoicesPage:
    SECRETS = ("Ada Lovelace", "cheque 4711", "a wrong order", "Void")

    @pytest.fixture
    def invoice(self, agent: User) -> Any:
        """Of it a payment was recorded, and then a request made that waits."""
        User.objects.filter(pk=agent.pk).update(first_name="Ada", last_name="Lovelace")
        invoice = stored(InvoiceObject())
        payment = {"type": "payment_record", "payment_record": "pyr_known"}
        stored(InvoicePaymentObject(invoice=invoice.pk, payment=payment))
        given = {"invoice": invoice.pk, "actor": agent, "source": "admin"}
        Operation.objects.create(
            **given,
            action="attach_out_of_band_payment",
            state="succeeded",
            params={"amount": 1000, "method": "check", "reference": "cheque 4711"},
            calls=[{"name": "report_payment", "status": 200, "key": "k", "result": {"id": "pyr_known"}}],
        )
        Operation.objects.create(**given, action="void", state="awaiting_approval", reason="a wrong order")
        return invoice

    def shown(self, client: Client, invoice: Any, query: str = "") -> str:
        found = text(client.get(f"/admin/invoices/invoice/{invoice.pk}/{query}"))
        return found.split('id="customer-text"')[0] + found.split("Payments and attempts")[1].split("</section>")[0]

    def test_a_reader_of_invoices_alone_learns_nothing(self, invoice: Any) -> None:
        reading = signed_in_with("view_invoice", "view_invoicepayment")
        for operation in Operation.objects.all():
            page = self.shown(reading, invoice, f"?operation={operation.pk}")
            assert [secret for secret in self.SECRETS if secret in page] == []
        timeline = text(reading.get(f"/admin/invoices/invoice/{invoice.pk}/")).split('id="timeline"')[1]
        assert [secret for secret in self.SECRETS if secret in timeline.split("</section>")[0]] == []
        assert "A request waits for a second person." in page and "Outside Stripe" in page

    def test_what_the_journal_says_of_a_decline_is_not_told(self, agent: User) -> None:
        invoice = stored(InvoiceObject())
        given = {"code": "card_declined", "decline_code": "expired_card", "message": "said by Ada"}
        Operation.objects.create(
            action="pay", invoice=invoice.pk, actor=agent, source="admin", state="failed", error={}, **given
        )
        page = self.shown(signed_in_with("view_invoice"), invoice)
        assert "The last charge was declined." in page and "said by Ada" not in page

    def test_who_asked_sees_it(self, invoice: Any, agent: User) -> None:
        agent.groups.clear()
        agent.user_permissions.add(Permission.objects.get(codename="view_invoice"))
        client = Client()
        client.force_login(agent)
        asked = Operation.objects.get(state="awaiting_approval")
        page = self.shown(client, invoice, f"?operation={asked.pk}")
        assert "“Void” was asked for by Ada Lovelace" in page and "cheque 4711" in page
        timeline = text(client.get(f"/admin/invoices/invoice/{invoice.pk}/")).split('id="timeline"')[1]
        assert "Void: asked for" in timeline and "/operation/" not in timeline.split("</section>")[0]

    def test_who_may_see_operations_sees_them(self, invoice: Any, manager: User) -> None:
        client = Client()
        client.force_login(manager)
        page = self.shown(client, invoice)
        assert "“Void” was asked for by Ada Lovelace" in page and "cheque 4711" in page


# --- notes: many marks after a name ask the database no more ----------------------------------------------------------


@pytest.mark.parametrize("name", ["@agent" + ".-+" * 60, "@nobody" + "." * 190 + " @agent"])
def test_marks_after_a_name_cost_nothing(agent: User, name: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(4):
        try:
            found = mentions._people(mentions.names_in(f"{name} @Agent! @AGENT-"), set())
        except Invalid:
            assert "nobody" in name
        else:
            assert found == {agent.pk: True}


# --- languages: what people write is data in every one of them --------------------------------------------------------

# Placeholders of both kinds that the catalog uses, a way to an attribute, and a script.
HOSTILE = "Ada {0} {person} {x.__class__} %(count)s %s <img src=x onerror=alert(1)>"


@pytest.mark.django_db(transaction=True)
def test_a_hostile_name_and_reason_are_only_shown_in_german(sandbox: SandboxProcess, manager: User) -> None:
    manager.is_superuser = True
    manager.save()
    client = Client(headers={"Accept-Language": "de-DE,en;q=0.5"})
    client.force_login(manager)
    customer = customer_at(sandbox, email="ada@example.com", name=HOSTILE)
    void, paid, open_ = (invoice_at(sandbox, 2000, customer=customer.id) for _ in range(3))
    for kind, pk in (("customer", customer.id), *(("invoice", each.id) for each in (void, paid, open_))):
        refetch.refetch(kind, pk)

    def look(address: str) -> str:
        response = client.get(address, follow=True)
        html = text(response)
        assert response.status_code in (200, 404), address
        assert "<img src=x" not in html and "Traceback" not in html, address
        return html

    typed_amount = {"amount": "9,50", "method": "Bank transfer", "reference": HOSTILE, "received_on": "2026-11-01"}
    for invoice, action, more in ((void, "void", {}), (paid, "attach_out_of_band_payment", typed_amount)):
        address = action_url(invoice.id, action)
        sent = client.post(address, hidden(look(address)) | {"reason": HOSTILE} | more)
        assert sent.status_code == 302, text(sent)
        look(sent["Location"])
    new = hidden(look(f"{LIST}{open_.id}/"))["new"]
    client.post(f"{LIST}{open_.id}/notes/", {"text": HOSTILE, "new": new})
    operations = list(Operation.objects.order_by("created_at"))
    assert [each.state for each in operations] == ["succeeded", "succeeded"]
    assert operations[1].params["amount"] == 950
    for each in operations:  # the journal keeps what was typed, and speaks English
        assert each.reason == HOSTILE and " has been " in each.message
        assert HOSTILE in unescape(look(f"/admin/invoices/operation/{each.pk}/"))
    for address in (
        "/admin/",
        LIST,
        *(f"{LIST}{invoice.id}/" for invoice in (void, paid, open_)),
        f"/admin/invoices/customer/{customer.id}/",
        f"/admin/invoices/customer/{customer.id}/stored/",
        "/admin/invoices/operation/",
        f"/admin/find/?{urlencode({'q': HOSTILE})}",
        *(f"{LIST}?{urlencode({name: HOSTILE})}" for name in ("q", "state", "sort", "due_date_from", "queue")),
        f"{LIST}?{urlencode({'remaining_from': HOSTILE, 'currency': 'usd'})}",
        f"{LIST}{quote(HOSTILE, safe='')}/",
        "/admin/invoices/invoicepayment/",
        "/admin/invoices/signinrecord/",
    ):
        look(address)


def test_a_service_hears_english_whatever_language_it_asks_for(manager: User) -> None:
    """Also in the thread that has just made a German page."""
    page = Client(headers={"Accept-Language": "de"})
    page.force_login(manager)
    _, key = ApiToken.objects.create(user_in_group("billing", "Service"), name="billing")
    service = Client(headers={"Accept-Language": "de", "Authorization": f"Bearer {key}"})
    service.cookies["language"] = "de"
    for _ in range(3):
        assert "Rechnungen" in text(page.get("/admin/"))
        answer = service.get('/v1/invoices/search?query=status:"open" total>')
        said = answer.json()["error"]["message"]
        with translation.override("de"):
            assert answer.status_code == 400 and recorded.shown(said) != said, said
        assert "Content-Language" not in answer.headers
