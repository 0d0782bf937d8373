"""The admin's pages: who sees what, what is found by what, and that no page counts a table or waits on Stripe."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from invoices.admin import search
from invoices.admin.formatting import age_text, masked, span, web_address
from invoices.models import ApiToken, Drift, Event, Invoice, InvoicePayment, Operation, PaymentIntent, ReconciliationRun
from tests.factories import (
    CustomerObject,
    InvoiceObject,
    InvoicePaymentObject,
    PaymentIntentObject,
    stored,
)
from tests.helpers.admin_pages import LIST
from tests.helpers.database import queries_of_page

pytestmark = pytest.mark.django_db
ALL = "admin:invoices_invoice_bulk"
MODELS = (
    "invoice",
    "customer",
    "invoicepayment",
    "paymentintent",
    "event",
    "operation",
    "batch",
    "pause",
    "reconciliationrun",
    "drift",
)


@pytest.fixture
def signed_in(client: Client) -> Any:
    def sign_in(user: User) -> Client:
        client.force_login(user)
        return client

    return sign_in


def page(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, (path, response.status_code)
    return response.content.decode()


@pytest.fixture
def declined() -> Invoice:
    """An open invoice whose only charge was declined."""
    customer = stored(CustomerObject(id="cus_ada", email="Ada@Example.com", name="Ada Byron"))
    invoice = stored(
        InvoiceObject(
            id="in_declined",
            number="ADA-0007",
            customer=customer.pk,
            customer_email="ada.old@example.com",
            customer_name="Ada Byron",
            currency="kwd",
            total=1000,
            hosted_invoice_url="https://invoice.stripe.com/i/ada",
            invoice_pdf="javascript:alert(1)",
            confirmation_secret={"type": "payment_intent", "client_secret": "pi_secret_123"},
            due_date=int(datetime(2020, 1, 31, tzinfo=UTC).timestamp()),
            lines={
                "object": "list",
                "has_more": True,
                "total_count": 12,
                "data": [{"id": "il_1", "description": "Tea", "amount": 1000, "currency": "kwd", "quantity": 2}],
            },
        )
    )
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}
    stored(PaymentIntentObject(id="pi_declined", last_payment_error=error, latest_charge="ch_declined"))
    stored(
        InvoicePaymentObject(
            id="inpay_declined",
            invoice=invoice.pk,
            payment={"type": "payment_intent", "payment_intent": "pi_declined"},
            currency="kwd",
        )
    )
    return invoice


class TestDoors:
    def test_nobody_enters_unsigned(self, client: Client) -> None:
        for model in MODELS:
            response = client.get(f"/admin/invoices/{model}/")
            assert response.status_code == 302 and "/admin/login/" in response["Location"]

    @pytest.mark.parametrize("group", ["agent", "manager", "auditor"])
    def test_every_group_reads_everything(self, request: Any, signed_in: Any, group: str) -> None:
        client = signed_in(request.getfixturevalue(group))
        page(client, "/admin/")
        for model in MODELS:
            page(client, f"/admin/invoices/{model}/")

    def test_nothing_can_be_added_changed_or_deleted(self, desk: Client, declined: Invoice) -> None:
        for model in MODELS:
            assert desk.get(f"/admin/invoices/{model}/add/").status_code == 403
        assert desk.post("/admin/invoices/invoice/in_5Fdeclined/delete/", {"post": "yes"}).status_code == 403
        assert desk.post("/admin/invoices/invoice/in_5Fdeclined/change/", {"status": "paid"}).status_code == 302
        assert Invoice.objects.get(pk=declined.pk).status == "open"

    def test_staff_of_no_group_see_nothing(self, client: Client, declined: Invoice) -> None:
        client.force_login(User.objects.create_user("visitor", is_staff=True))
        page(client, "/admin/")
        for path in (LIST, f"{LIST}in_declined/", f"{LIST}in_declined/do/pay/"):
            page(client, path, 403)
        assert client.post(f"{LIST}in_declined/refresh/").status_code == 403

    def test_unknown_records_are_404_with_a_way_on(self, desk: Client) -> None:
        assert "Fetch it from Stripe" in page(desk, f"{LIST}in_nowhere/", 404)
        for path in ("operation/not-a-uuid/", "reconciliationrun/x/", "event/evt_no/", "drift/9/"):
            page(desk, f"/admin/invoices/{path}", 404)

    def test_djangos_own_address_leads_to_the_page(self, desk: Client, declined: Invoice) -> None:
        for written in ("in_5Fdeclined", "in_declined"):
            response = desk.get(f"{LIST}{written}/change/")
            assert response["Location"] == f"{LIST}in_declined/"

    def test_signing_in_leads_to_the_front_page(self, client: Client, agent: User) -> None:
        response = client.post("/admin/login/", {"username": "agent", "password": "a long enough password"})
        assert response["Location"] == "/admin/"


class TestSearch:
    @pytest.mark.parametrize(
        "term",
        [
            "in_declined",
            "cus_ada",
            "ADA-0007",
            "ada-0007",
            "ADA@example.com",
            "ada.old@example.com",
            "pi_declined",
            "ch_declined",
            "inpay_declined",
            "  ADA-0007 ",
        ],
    )
    def test_one_exact_hit_goes_straight_to_its_page(
        self, desk: Client, declined: Invoice, django_assert_max_num_queries: Any, term: str
    ) -> None:
        stored(InvoiceObject(number="ADA-00070"))
        with django_assert_max_num_queries(9):
            response = desk.get(LIST, {"q": term})
        assert response.status_code == 302 and response["Location"] == f"{LIST}in_declined/"

    @pytest.mark.parametrize("term", ["ada-", "ADA", "ada by", "Ada Byron"])
    def test_beginnings_are_listed(
        self, desk: Client, declined: Invoice, django_assert_max_num_queries: Any, term: str
    ) -> None:
        stored(InvoiceObject(number="ZZZ-0001", customer_name="Somebody Else"))
        with django_assert_max_num_queries(48):  # on PostgreSQL half of them set the time limits, and take them away
            found = page(desk, f"{LIST}?q={term}")
        assert "ADA-0007" in found and "ZZZ-0001" not in found

    def test_an_email_of_several_invoices_lists_them(self, desk: Client, declined: Invoice) -> None:
        stored(InvoiceObject(number="ADA-0008", customer="cus_ada"))
        found = page(desk, f"{LIST}?q=ada@example.com")
        assert "ADA-0007" in found and "ADA-0008" in found

    @pytest.mark.parametrize("term", ["%", "_", "'", '"', "\\", "in_", "@", "ADA%"])
    def test_strange_terms_find_nothing_and_break_nothing(self, desk: Client, declined: Invoice, term: str) -> None:
        response = desk.get(LIST, {"q": term})
        assert response.status_code == 200 and b"ADA-0007" not in response.content

    def test_a_null_character_is_no_term(self, desk: Client) -> None:
        assert "Null characters are not allowed" in page(desk, f"{LIST}?q=%00")

    def test_an_empty_result_says_what_to_do(self, desk: Client) -> None:
        assert "Try the whole e-mail address" in page(desk, f"{LIST}?q=nobody@example.com")
        assert "Fetch in_elsewhere from Stripe" in page(desk, f"{LIST}?q=in_elsewhere")

    @pytest.mark.parametrize(
        ("term", "found"), [("ada@example.com", 1), ("ADA", 1), ("cus_ada", 1), ("byron", 1), ("yron", 0)]
    )
    def test_customers(self, desk: Client, declined: Invoice, term: str, found: int) -> None:
        assert page(desk, f"/admin/invoices/customer/?q={term}").count("<code>cus_ada</code>") == found

    def test_each_other_list_finds_by_id(self, desk: Client, declined: Invoice, agent: User) -> None:
        Operation.objects.create(action="pay", invoice=declined.pk, actor=agent, source="admin", reason="asked twice")
        for path in (
            "invoicepayment/?q=in_declined",
            "paymentintent/?q=pi_declined",
            "operation/?q=ada-0007",
            "operation/?q=agent",
            "operation/?q=in_declined",
        ):
            assert "declined" in page(desk, f"/admin/invoices/{path}"), path
        assert "asked twice" not in page(desk, "/admin/invoices/operation/?q=00000000-0000-0000-0000-000000000000")

    def test_a_name_that_leads_to_too_many_says_what_is_left_out(
        self, signed_in: Any, manager: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also before an action on everything that matches, which would leave the same ones out."""
        monkeypatch.setattr(search, "MAX_OF_CUSTOMERS", 2)
        customer, desk = stored(CustomerObject(name="Grace Hopper")), signed_in(manager)
        for number in range(3):
            stored(InvoiceObject(number=f"GH-{number}", customer=customer.pk, created=1_700_000_000 + number))
        addresses = ["/admin/invoices/invoice/?q=grace", f"{reverse(ALL, args=['void'])}?q=grace"]
        for address in addresses:
            shown = page(desk, address)
            assert "GH-2" in shown and "GH-0" not in shown and "only the newest of them are here" in shown, address
        Invoice.objects.filter(number="GH-0").delete()
        for address in addresses:
            assert "only the newest of them are here" not in page(desk, address), address

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by a table's size; this one is empty")
    @pytest.mark.parametrize("term", ["in_1", "cus_1", "sub_1", "ADA-0", "ada b", "a@example.com"])
    def test_no_term_reads_the_whole_table(self, declined: Invoice, term: str) -> None:
        plan = search.invoices(term, Invoice.objects.all()).order_by("-created", "-id")[:50].explain()
        assert "SEARCH" in plan and "SCAN" not in plan, plan
        for field in ("number", "customer_name"):
            assert "SCAN" not in Invoice.objects.filter(search.prefix(field, term)).explain()
        for rows in (PaymentIntent.objects.filter(latest_charge="ch_1"), InvoicePayment.objects.filter(charge="ch_1")):
            assert "SCAN" not in rows.explain()


class TestList:
    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("state=open", {"OPEN-1", "LATE-1"}),
            ("state=overdue", {"LATE-1"}),
            ("state=paid", {"PAID-1"}),
            ("currency=JPY", {"PAID-1"}),
            ("collection=send_invoice", {"LATE-1"}),
            ("created_from=2024-05-01&created_to=2024-05-01", {"OPEN-1"}),
            ("created_from=nonsense", set()),
        ],
    )
    def test_filters(self, desk: Client, query: str, shown: set[str]) -> None:
        at_noon = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())
        stored(InvoiceObject(number="OPEN-1", created=at_noon))
        stored(InvoiceObject(number="LATE-1", due_date=1_500_000_000, collection_method="send_invoice"))
        stored(InvoiceObject(number="PAID-1", status="paid", currency="jpy"))
        found = page(desk, f"{LIST}?{query}")
        assert {number for number in ("OPEN-1", "LATE-1", "PAID-1") if number in found} == shown

    def test_it_reads_no_more_for_more_rows_and_never_counts(self, desk: Client) -> None:
        for _ in range(60):
            stored(InvoiceObject())
        with CaptureQueriesContext(connection) as captured:
            found = page(desk, LIST)
        queries = queries_of_page(captured)
        assert len(queries) <= 15 and not [query for query in queries if "COUNT(" in query]
        assert found.count('<tbody class="row">') == 50 and ">Next</a>" in found and ">Previous</a>" not in found

    def test_it_says_how_far_behind_it_may_be(self, desk: Client) -> None:
        assert "No event has reached us" in page(desk, LIST)
        Event.objects.create(id="evt_1", body="{}", state="done")
        assert "last word reached us" in page(desk, LIST)
        Event.objects.create(id="evt_2", body="{}", received_at=datetime(2024, 1, 1, tzinfo=UTC))
        assert "Behind: what Stripe said" in page(desk, LIST)

    def test_facets_cannot_be_asked_for(self, desk: Client) -> None:
        with CaptureQueriesContext(connection) as captured:
            page(desk, f"{LIST}?_facets=True")
        assert len(queries_of_page(captured)) <= 15

    def test_days_are_the_readers_own(self, desk: Client) -> None:
        stored(InvoiceObject(number="LATE-NIGHT", created=int(datetime(2024, 5, 1, 23, tzinfo=UTC).timestamp())))
        desk.cookies["zone"] = "Asia/Tokyo"
        assert "LATE-NIGHT" in page(desk, f"{LIST}?created_from=2024-05-02&created_to=2024-05-02")
        assert "2 May 2024" in page(desk, LIST)
        for wrong in ("../etc/passwd", "Nowhere/Atlantis", "\u00e9"):
            desk.cookies["zone"] = wrong
            page(desk, LIST)


class TestInvoicePage:
    def test_it_says_what_matters(self, desk: Client, declined: Invoice) -> None:
        with CaptureQueriesContext(connection) as captured:
            found = page(desk, f"{LIST}in_declined/")
        assert len(queries_of_page(captured)) <= 44  # with the timeline, whose sources have a query or two each
        for words in (
            "ADA-0007",
            "Ada Byron",
            "KWD 1.000",
            "overdue",
            "Your card was declined (insufficient funds).",
            "today ada@example.com",
            "11 more lines are at Stripe.",
            "https://invoice.stripe.com/i/ada",
            "https://dashboard.stripe.com/test/invoices/in_declined",
            'rel="noopener',
            "As of",
            "was due on 31 January 2020",
        ):
            assert words in found, words
        assert "pi_secret_123" not in found and "javascript:" not in found.split('class="raw"')[0]

    def test_events_and_operations_stand_on_it(self, desk: Client, declined: Invoice, manager: User) -> None:
        stamp = datetime(2024, 2, 1, tzinfo=UTC)
        Event.objects.create(
            id="evt_1", type="invoice.finalized", object_id=declined.pk, created=stamp, body="{}", state="done"
        )
        Event.objects.create(
            id="evt_2",
            type="payment_intent.payment_failed",
            object_id="pi_declined",
            state="done",
            created=datetime(2024, 3, 1, tzinfo=UTC),
            body='{"data": {"object": {"last_payment_error": {"message": "Expired.", "code": "expired_card"}}}}',
        )
        Operation.objects.create(
            action="void",
            invoice=declined.pk,
            actor=manager,
            source="api",
            reason="a wrong order",
            ticket="T-1",
            state="failed",
            message="This cannot be.",
        )
        found = page(desk, f"{LIST}in_declined/")
        for words in (
            "Invoice finalized",
            "Expired (expired card).",
            "a wrong order",
            "T-1",
            "manager (API)",
            "This cannot be.",
        ):
            assert words in found, words

    def test_an_invoice_of_any_shape_is_shown(self, desk: Client) -> None:
        stored({"object": "invoice", "id": "in_bare"})
        stored({"object": "invoice", "id": "in_odd", "lines": "?", "status": 7, "currency": "xyz", "total": "much"})
        for pk in ("in_bare", "in_odd"):
            assert pk in page(desk, f"{LIST}{pk}/")

    def test_an_auditor_sees_no_action_and_an_agent_sees_why_not(
        self, desk: Client, signed_in: Any, auditor: User, declined: Invoice
    ) -> None:
        found = page(desk, f"{LIST}in_declined/")
        assert f"{LIST}in_declined/do/pay/" in found and "Finalize" not in found
        found = page(signed_in(auditor), f"{LIST}in_declined/")
        assert "/do/" not in found and "Finalize" not in found

    def test_reading_never_waits_on_stripe(self, desk: Client, declined: Invoice, settings: Any) -> None:
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        stored(
            InvoicePaymentObject(
                invoice="in_declined", payment={"type": "payment_intent", "payment_intent": "pi_not_here"}
            )
        )
        assert "Reading the missing details" in page(desk, f"{LIST}in_declined/")


class TestOddCharacters:
    def test_half_a_surrogate_pair_breaks_no_page(self, client: Client, manager: User) -> None:
        line = {"id": "il_1", "description": "l\ud800", "amount": 5, "currency": "usd"}
        lines = {"object": "list", "data": [line], "has_more": False}
        odd = InvoiceObject(
            customer_name="a\ud800", description="x\udfff", metadata={"k\ud800": "v\ud800"}, lines=lines
        )
        invoice = stored(odd)
        client.force_login(manager)
        for page in ("", "do/pay/", "do/void/"):
            assert client.get(f"/admin/invoices/invoice/{invoice.pk}/{page}").status_code == 200
        assert invoice.data["description"] == "x\udfff"  # kept as it came


class TestOtherPages:
    def test_each_kind_of_record(self, desk: Client, declined: Invoice, agent: User) -> None:
        run = ReconciliationRun.objects.create(kind="full", state="finished", seen=3, healed=1, same=2)
        drift = Drift.objects.create(
            run=run,
            kind="differs",
            object_type="invoice",
            object_id=declined.pk,
            invoice=declined.pk,
            field="status",
            ours="open",
            theirs="paid",
        )
        event = Event.objects.create(id="evt_broken", type="x.y", body="not json", state="failed", error="Bad.")
        operation = Operation.objects.create(
            action="attach_out_of_band_payment",
            invoice=declined.pk,
            actor=agent,
            source="admin",
            reason="a check came",
            params={"amount": 500, "method": "Check"},
            before={"status": "open", "amount_remaining": 1000, "currency": "kwd"},
            after={"status": "open", "amount_remaining": 500, "currency": "kwd"},
            state="succeeded",
            calls=[
                {
                    "name": "report_payment",
                    "status": 200,
                    "request_id": "req_1",
                    "key": "k",
                    "params": {"client_secret": "hidden"},
                    "sent_at": "2026-01-31T10:00:00+00:00",
                    "answered_at": "2026-01-31T10:07:00+00:00",
                    "sendings": 2,
                    "result": {"id": "pyr_1"},
                }
            ],
        )
        for path, words in (
            ("customer/cus_ada/", "ADA-0007"),
            ("invoicepayment/inpay_declined/", "pi_declined"),
            ("paymentintent/pi_declined/", "insufficient funds"),
            (f"event/{event.pk}/", "Bad."),
            (f"reconciliationrun/{run.pk}/", ">Status</a>"),
            (f"drift/{drift.pk}/", "&quot;paid&quot;"),
            (f"operation/{operation.pk}/", "KWD 0.500"),
        ):
            assert words in page(desk, f"/admin/invoices/{path}"), path
        for path, words in (
            ("event/?state=failed", "X y"),
            ("reconciliationrun/", "3 seen, 1 healed"),
            ("drift/?q=in_declined", "Differs: status"),
            ("operation/?state=succeeded&action=attach_out_of_band_payment&source=admin", "a check came"),
            ("operation/?state=unfinished", "Nothing matches these filters"),
            ("invoicepayment/", "KWD 1.000"),
            ("paymentintent/", "Your card was declined."),
        ):
            assert words in page(desk, f"/admin/invoices/{path}"), path
        found = page(desk, f"/admin/invoices/operation/{operation.pk}/")
        assert ", 2 times under the same key" in found and "31 Jan 2026, 10:07" in found
        assert "req_1" in found and "hidden" not in found.split("client_secret")[1][:60]

    def test_an_outcome_that_ends_reloads_the_page(self, desk: Client, agent: User) -> None:
        operation = Operation.objects.create(action="pay", invoice="in_1", actor=agent, source="admin", state="unknown")
        path = reverse("admin:invoices_operation_result", args=[operation.pk])
        assert "Outcome unknown, checking with Stripe" in page(desk, path)
        Operation.objects.filter(pk=operation.pk).update(state="succeeded")
        assert desk.get(path)["HX-Refresh"] == "true"


class TestFrontPage:
    def test_what_needs_a_look(self, desk: Client, agent: User) -> None:
        for number in range(3):
            Operation.objects.create(
                action="pay", invoice=f"in_{number}", actor=agent, source="admin", state="unknown", reason="asked"
            )
        Event.objects.bulk_create(Event(id=f"evt_{n}", body="{}", state="failed") for n in range(120))
        Event.objects.create(id="evt_late", body="{}", received_at=datetime(2024, 1, 1, tzinfo=UTC))
        ReconciliationRun.objects.create(kind="sweep", state="failed", error="Stripe said no")
        with CaptureQueriesContext(connection) as captured:
            found = page(desk, "/admin/health/") + page(desk, "/admin/")
        assert len(queries_of_page(captured)) <= 50  # each bounded; seven of them ask when runs were last done
        counting = [sql for sql in queries_of_page(captured) if "COUNT(" in sql]
        # Of invoices those alone are counted for which a promise stands: a few, found by the promises.
        assert not [sql for sql in counting if "invoices_promise" not in sql]
        for words in ("100+", "Stripe said no", "days ago", "Unknown outcomes", "autofocus"):
            assert words in found, words


class TestTokens:
    NEW = "/admin/invoices/apitoken/add/"

    def test_a_manager_sees_a_new_token_once(self, signed_in: Any, manager: User) -> None:
        client = signed_in(manager)
        page(client, self.NEW)
        response = client.post(
            self.NEW, {"name": "billing", "user": manager.pk, "days": "30", "scopes": ["read", "feed"]}
        )
        token = ApiToken.objects.get()
        assert (token.name, token.granted, token.any_stripe_version) == ("billing", ["read", "feed"], False)
        written = response.content.decode().split('<code id="token">')[1].split("<")[0]
        assert written.startswith(token.token_key)
        for path in (f"{token.pk}/", ""):
            assert written not in page(client, f"/admin/invoices/apitoken/{path}")
        assert client.get(f"/admin/invoices/apitoken/{token.pk}/revoke/").status_code == 405
        client.post(f"/admin/invoices/apitoken/{token.pk}/revoke/")
        assert ApiToken.objects.get().revoked_by == manager

    def test_others_may_not_revoke(self, signed_in: Any, agent: User, auditor: User) -> None:
        token, _ = ApiToken.objects.create(agent, name="x")
        for user in (agent, auditor):
            assert signed_in(user).post(f"/admin/invoices/apitoken/{token.pk}/revoke/").status_code == 403
        assert ApiToken.objects.get().revoked_at is None


class TestWords:
    def test_masking(self) -> None:
        given = {"a": [{"client_secret": "x", "secret": "", "deep": {"webhook_secret": "y"}}], "id": "pi_1"}
        assert masked(given) == {
            "a": [{"client_secret": "••••••", "secret": "", "deep": {"webhook_secret": "••••••"}}],
            "id": "pi_1",
        }
        assert web_address("javascript:alert(1)") == "" and web_address(None) == ""

    def test_ages(self) -> None:
        assert [span(s) for s in (0, 59, 60, 3600, 86399, 172800)] == ["0 s", "59 s", "1 min", "1 h", "23 h", "2 days"]
        assert age_text(datetime(2020, 1, 1, tzinfo=UTC)).endswith("days ago")
        assert age_text(datetime(2200, 1, 1, tzinfo=UTC)).startswith("in ")
