"""Lists of many rows: each filter and search is served by an index, each page is read by key.

What the database does is asked of PostgreSQL itself: every query that a list makes is explained and run over tables of
thousands of rows, and must neither read a table through nor sort more than what it found. No time is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from invoices.admin.base import RecordAdmin
from invoices.api import filters
from invoices.api.pagination import Page
from invoices.models import Drift, Event, Invoice, InvoicePayment, Operation, ReconciliationRun
from invoices.models.refetches import ScheduledRefetch
from tests.helpers.admin_pages import LIST
from tests.helpers.database import without_triggers

ROWS, FEWER = 12_000, 4_000  # of invoices and customers, and of each other table
MOST_READ = 1_500  # rows that a page may read of a table; it shows 50
MIDDLE = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=FEWER // 2)

# One row a minute. Of each list's filters some values are common, some rare, and some stand on old rows only.
FILL = """
INSERT INTO invoices_customer (id, created, data, stored_at, name, email)
SELECT 'cus_' || g, timestamptz '2024-01-01Z' + g * interval '1 min', '{{}}', now(), 'person ' || md5(g::text),
    md5(g::text) || '@example.com'
FROM generate_series(1, {rows}) g;
INSERT INTO invoices_invoice (id, created, data, stored_at, customer_id, customer_email, customer_name, number, status,
    currency, collection_method, billing_reason, subscription, total, amount_due, amount_paid, amount_remaining,
    due_date)
SELECT 'in_' || g, timestamptz '2024-01-01Z' + g * interval '1 min', '{{}}', now(), 'cus_' || (g % 5000),
    md5(g::text) || '@example.com', 'person ' || md5(g::text), upper(md5(g::text)),
    CASE WHEN g % 100 = 1 THEN 'uncollectible' WHEN g % 500 = 2 THEN 'draft' WHEN g % 20 = 3 THEN 'void'
        WHEN g % 25 = 4 OR g > {rows} * 0.97 THEN 'open' ELSE 'paid' END,
    CASE WHEN g % 10 < 6 THEN 'usd' WHEN g < 50 THEN 'jpy' ELSE 'eur' END,
    CASE WHEN g < 200 THEN 'send_invoice' ELSE 'charge_automatically' END, 'subscription_cycle', 'sub_' || (g % 7000),
    g, g, 0, g, CASE WHEN g % 3 = 0 THEN timestamptz '2024-01-01Z' + g * interval '1 min' + interval '2 days' END
FROM generate_series(1, {rows}) g;
INSERT INTO invoices_invoicepayment (id, created, data, stored_at, invoice_id, status, payment_type, payment_intent,
    payment_record)
SELECT 'inpay_' || g, timestamptz '2024-01-01Z' + g * interval '1 min', '{{}}', now(), 'in_' || g,
    CASE WHEN g % 100 = 0 THEN 'open' WHEN g < 30 THEN 'canceled' ELSE 'paid' END,
    CASE WHEN g < 60 THEN 'payment_record' ELSE 'payment_intent' END,
    CASE WHEN g >= 60 THEN 'pi_' || g END, CASE WHEN g < 60 THEN 'pyr_' || g END
FROM generate_series(1, {fewer}) g;
INSERT INTO invoices_paymentintent (id, created, data, stored_at, customer, status, latest_charge)
SELECT 'pi_' || g, timestamptz '2024-01-01Z' + g * interval '1 min', '{{}}', now(), 'cus_' || (g % 5000), 'succeeded',
    'ch_' || g
FROM generate_series(1, {fewer}) g;
INSERT INTO invoices_operation (id, created_at, action, invoice, actor_id, source, state, code, request_id, params,
    expected, before, after, calls, reason, ticket, payment_method, idempotency_key, fingerprint, settle_attempts,
    processing, decline_code, message, advice, stripe_request_id, outcome_by, decision_reason, decision_request_id)
SELECT md5(g::text)::uuid, timestamptz '2024-01-01Z' + g * interval '1 min',
    CASE WHEN g < 40 THEN 'void' ELSE 'pay' END, 'in_' || g, {user}, CASE WHEN g < 70 THEN 'command' ELSE 'admin' END,
    CASE WHEN g % 200 = 0 THEN 'refused' WHEN g < 90 THEN 'expired' WHEN g % 1000 = 7 THEN 'processing'
        WHEN g > {fewer} - 20 THEN 'unknown' ELSE 'succeeded' END,
    CASE WHEN g % 200 = 0 THEN 'paused' ELSE '' END, 'req_' || g, '{{}}', '{{}}', '{{}}', '{{}}', '[]', '', '', '', '',
    '', 0, false, '', '', '', '', '', '', ''
FROM generate_series(1, {fewer}) g;
INSERT INTO invoices_event (id, type, created, api_version, account, object_type, object_id, request_id,
    idempotency_key, body, source, received_at, state, attempts, next_attempt_at, error)
SELECT 'evt_' || g, 'invoice.paid', now(), '', '', 'invoice', 'in_' || g, '', '', '{{}}', 'webhook',
    timestamptz '2024-01-01Z' + g * interval '1 min',
    CASE WHEN g > {fewer} - 30 THEN 'pending' WHEN g < 30 THEN 'failed' ELSE 'done' END, 0, now(), ''
FROM generate_series(1, {fewer}) g;
INSERT INTO invoices_reconciliationrun (kind, state, dry_run, params, progress, started_at, alive_at, seen, same,
    imported, healed, in_flight, failed, events, report, error)
SELECT CASE WHEN g < 30 THEN 'verify' ELSE 'catch_up' END, CASE WHEN g < 20 THEN 'failed' ELSE 'finished' END, false,
    '{{}}', '{{}}', timestamptz '2024-01-01Z' + g * interval '1 min', now(), 0, 0, 0, 0, 0, 0, 0, '{{}}', ''
FROM generate_series(1, {fewer}) g;
INSERT INTO invoices_drift (run_id, kind, object_type, object_id, invoice, field, found_at, healed_at)
SELECT (SELECT min(id) FROM invoices_reconciliationrun) + g % 10,
    CASE WHEN g < 30 THEN 'missing_here' ELSE 'differs' END, CASE WHEN g < 40 THEN 'customer' ELSE 'invoice' END,
    'in_' || g, 'in_' || g, CASE WHEN g < 30 THEN '' ELSE 'total' END,
    timestamptz '2024-01-01Z' + g * interval '1 min', CASE WHEN g < 50 THEN NULL ELSE now() END
FROM generate_series(1, {fewer}) g;
ANALYZE;
"""


@pytest.fixture(scope="module")
def many(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """The full tables, for all tests of this file that only read. Yields a person who may see everything."""
    if connection.vendor != "postgresql":
        pytest.skip("NOT CHECKED HERE: whether indexes serve the lists. SQLite does not say what its plans read.")
    with django_db_blocker.unblock(), transaction.atomic():
        user = User.objects.create_superuser("lists", password="x")
        with without_triggers(), connection.cursor() as cursor:
            cursor.execute(FILL.format(rows=ROWS, fewer=FEWER, user=user.pk))
        yield user
        transaction.set_rollback(True)


def look_at(plan: dict[str, Any], most_read: int) -> list[str]:
    """What is wrong with a plan: tables that are read through, and sorts of many rows."""
    wrong, rows = [], plan["Actual Rows"] * plan["Actual Loops"]
    read = rows + sum(
        plan.get(f"Rows Removed by {name}", 0) * plan["Actual Loops"] for name in ("Filter", "Index Recheck")
    )
    if "Scan" in plan["Node Type"] and read > most_read:
        wrong.append(f"{plan['Node Type']} of {plan.get('Relation Name', plan.get('Index Name'))} reads {read} rows")
    below = plan.get("Plans", [])
    if plan["Node Type"] == "Sort" and below[0]["Actual Rows"] > most_read:
        wrong.append(f"sorts {below[0]['Actual Rows']} rows")
    return wrong + [each for child in below for each in look_at(child, most_read)]


def explain(captured: CaptureQueriesContext, most_read: int = MOST_READ) -> list[str]:
    """What is wrong with the plans of these queries, each beside its query."""
    found = []
    for query in captured.captured_queries:
        if not query["sql"].startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
            (plan,) = cursor.fetchone()
        plan = json.loads(plan) if isinstance(plan, str) else plan
        found += [f"{wrong}: …{query['sql'].partition(' WHERE ')[2]}" for wrong in look_at(plan[0]["Plan"], most_read)]
    return found


def chosen(model_admin: RecordAdmin) -> Iterator[dict[str, str]]:
    """Everything that the list's filters offer, alone and two together; of what is typed, a rare and a common value."""
    parameters: list[list[dict[str, str]]] = []
    for each in model_admin.list_filter:
        if isinstance(each, tuple):  # from one day to another
            days = {f"{each[0]}_from": f"{MIDDLE:%Y-%m-%d}", f"{each[0]}_to": f"{MIDDLE:%Y-%m-%d}"}
            parameters.append([{}, days, {f"{each[0]}_to": "2024-01-01"}])
            continue
        spec: Any = each(RequestFactory().get("/"), {}, model_admin.model, model_admin)
        values = [value for value, _ in spec.lookup_choices] if hasattr(spec, "lookup_choices") else ["usd", "jpy"]
        parameters.append([{}, *({spec.parameter_name: value} for value in values)])
    pairs = list(combinations(parameters, 2)) or [(each, [{}]) for each in parameters] or [([{}], [{}])]
    yield from ({**one, **other} for pair in pairs for one, other in product(*pair))


ADMINS = {
    model._meta.model_name: model_admin
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, RecordAdmin)
}
SEARCHES = {
    "invoice": [
        "in_7",
        "cus_7",
        "sub_7",
        "pi_77",
        "inpay_77",
        "ch_77",
        "nobody@example.com",
        "P",
        "PERSON 7",
        "A",
        "7b",
    ],
    "customer": ["cus_7", "p", "person 1", "a", "c4ca4238a0b923820dcc509a6f75849b@example.com"],
    "invoicepayment": ["inpay_7", "in_7", "pi_77", "pyr_7"],
    "paymentintent": ["pi_77", "cus_7"],
    "event": ["evt_7", "in_7"],
    "operation": ["in_7", "7B", "lists", "nobody", "c4ca4238-a0b9-2382-0dcc-509a6f75849b"],
    "drift": ["in_7"],
}


class TestTheAdminsLists:
    @pytest.mark.parametrize("name", sorted(map(str, ADMINS)))
    def test_an_index_serves_each_filter_on_each_page(self, many: User, name: str) -> None:
        model_admin, wrong = ADMINS[name], []
        middle = f"{MIDDLE:%Y-%m-%dT%H:%M:%S.%f}~"
        if name == "scheduledrefetch":
            middle = "500~"
        key = {"invoice": "in_1", "customer": "cus_1", "operation": "0" * 32, "batch": "0" * 32}.get(name, "1")
        pages = [{}, {"before": ""}, {"after": middle + key}, {"before": middle + key}]
        for parameters in chosen(model_admin):
            for page in pages if len(parameters) < 2 else pages[2:3]:
                wrong += look_at_list(model_admin, many, {**parameters, **page})
        assert not wrong, "\n".join(wrong[:10])

    @pytest.mark.parametrize("name", sorted(SEARCHES))
    def test_an_index_serves_each_search(self, many: User, name: str) -> None:
        # A table as small as this is read through for less than a hundred rows by an index would cost. So here reading
        # through has no price: what is read through nevertheless has no index that could serve it.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        try:
            wrong = [
                each for term in SEARCHES[name] for each in look_at_list(ADMINS[name], many, {"q": term}, ROWS // 2)
            ]
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = on")
        assert not wrong, "\n".join(wrong)

    def test_the_attack_is_seen(self, many: User) -> None:
        """The old way to a page, and a filter without an index, are found wrong by what judges the lists."""
        with CaptureQueriesContext(connection) as captured:
            list(Invoice.objects.order_by("-created", "-id")[3_000:3_050])
            list(Invoice.objects.filter(amount_due=7).order_by("-created", "-id")[:50])
        assert len(explain(captured)) == 2


def look_at_list(
    model_admin: RecordAdmin, user: User, parameters: dict[str, str], most_read: int = MOST_READ
) -> list[str]:
    """What is wrong with the queries that the list makes for this address."""
    request = RequestFactory().get("/", parameters)
    request.user = user
    with CaptureQueriesContext(connection) as captured:
        model_admin.get_changelist_instance(request)
    return [f"{parameters}: {each}" for each in explain(captured, most_read)]


SECONDS = int(MIDDLE.timestamp())
NARROW = {"customer": "cus_7"}
API_LISTS: dict[str, tuple[Any, Any, str, dict[str, list[dict[str, Any]]]]] = {
    "invoices": (
        Invoice,
        filters.InvoiceFilter,
        "created",
        {
            "status": [{"status": value} for value in filters.INVOICE_STATUSES],
            "customer": [NARROW, {**NARROW, "status": "open"}],
            "collection_method": [{"collection_method": value} for value in filters.COLLECTION_METHODS],
            "currency": [{"currency": value} for value in ("usd", "jpy", "xyz")],
            "subscription": [{"subscription": "sub_7"}],
            "number": [{"number": "7"}],
            "customer_email": [{"customer_email": "a@example.com"}],
            "created": [{"created[gte]": SECONDS, "created[lt]": SECONDS + 3600}, {"created[lt]": SECONDS}],
            "due_date": [{"due_date[gte]": SECONDS, "due_date[lt]": SECONDS + 3600}, {"due_date[gt]": SECONDS * 2}],
            "total": [{"total[gt]": 5, **NARROW}],
            "amount_due": [{"amount_due": 5, **NARROW}],
            "amount_paid": [{"amount_paid": 5, "number": "7"}],
            "amount_remaining": [{"amount_remaining": 5, "created[gte]": SECONDS, "created[lt]": SECONDS + 3600}],
            "billing_reason": [{"billing_reason": "manual", **NARROW}],
            "status_transitions": [{"status_transitions[paid_at]": 5, "subscription": "sub_7"}],
        },
    ),
    "invoice_payments": (
        InvoicePayment,
        filters.InvoicePaymentFilter,
        "created",
        {
            "invoice": [{"invoice": "in_7"}],
            "status": [{"status": value} for value in ("open", "paid", "canceled")],
            "payment": [
                {"payment[type]": "payment_record"},
                {"payment[type]": "payment_intent"},
                {"payment[type]": "payment_intent", "payment[payment_intent]": "pi_77"},
                {"payment[type]": "payment_record", "payment[payment_record]": "pyr_7"},
            ],
            "created": [{"created[lt]": SECONDS}],
        },
    ),
    "operations": (
        Operation,
        filters.OperationFilter,
        "created_at",
        {
            "state": [{"state": value} for value in (*Operation.State.values, "unfinished")],
            "invoice": [{"invoice": "in_7"}],
            "action": [{"action": "void"}, {"action": "pay"}, {"action": "void", "state": "refused"}],
            "source": [{"source": value} for value in Operation.Source.values],
            "actor": [{"actor": "lists"}, {"actor": "nobody"}],
            "code": [{"code": "paused"}, {"code": "nothing"}],
            "batch": [{"batch": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"}],
            "request_id": [{"request_id": "req_7"}],
            "created": [{"created[lt]": SECONDS}],
        },
    ),
    "reconciliation_runs": (
        ReconciliationRun,
        filters.RunFilter,
        "started_at",
        {
            "kind": [{"kind": value} for value in ReconciliationRun.Kind.values],
            "state": [{"state": value} for value in ReconciliationRun.State.values],
            "created": [{"created[lt]": SECONDS}],
        },
    ),
    "drift": (
        Drift,
        filters.DriftFilter,
        "found_at",
        {
            "run": [{"run": 1}],
            "kind": [{"kind": value} for value in Drift.Kind.values],
            "object_type": [{"object_type": "customer"}, {"object_type": "invoice"}],
            "object_id": [{"object_id": "in_7"}],
            "invoice": [{"invoice": "in_7"}],
            "field": [{"field": "total"}, {"field": "none"}],
            "healed": [{"healed": "true"}, {"healed": "false"}],
            "created": [{"created[lt]": SECONDS}],
        },
    ),
}


class TestTheApisLists:
    @pytest.mark.parametrize("name", sorted(API_LISTS))
    def test_an_index_serves_each_filter_on_each_page(self, many: User, name: str) -> None:
        model, filterset, column, asked = API_LISTS[name]
        offered = {parameter.partition("[")[0] for parameter in filterset.base_filters}
        assert set(asked) == offered, "each filter that is offered is asked for here"
        middle = str(
            model.objects.filter(**{f"{column}__gte": MIDDLE}).order_by(column).values_list("pk", flat=True)[0]
        )
        wrong = []
        for values in [{}, *(each for some in asked.values() for each in some)]:
            for page in (Page(), Page(starting_after=middle), Page(ending_before=middle)):
                rows = filters.apply_filters(model.objects.all(), filterset, dict(values))
                with CaptureQueriesContext(connection) as captured:
                    page.of_rows(rows, model.objects.all(), column, "row")
                wrong += [f"{values}: {each}" for each in explain(captured)]
        assert not wrong, "\n".join(wrong[:10])


AT = datetime(2023, 11, 14, tzinfo=UTC)


def make(*numbers: int, **columns: Any) -> None:
    """Stores invoices with these numbers. A column is a value, or is computed from the number."""
    columns = {"created": lambda number: AT - timedelta(seconds=number), **columns}
    Invoice.objects.bulk_create(
        Invoice(
            pk=f"in_{number}",
            number=str(number),
            data={},
            stored_at=AT,
            **{name: value(number) if callable(value) else value for name, value in columns.items()},
        )
        for number in numbers
    )


@pytest.mark.django_db
class TestPages:
    def shown(self, client: Client, address: str) -> tuple[list[int], dict[str, str]]:
        """The numbers of the invoices on a page, and its links to other pages."""
        pages = client.get(address).context["cl"].pages
        links = {name: getattr(pages, name) for name in ("first", "before", "after", "last") if getattr(pages, name)}
        return [int(invoice.number) for invoice in pages.rows], links

    def test_by_its_links_every_row_is_reached_once_while_others_come(self, desk: Client) -> None:
        make(*range(125), status="open", created=lambda number: AT - timedelta(seconds=number // 5))  # five at a time
        Invoice.objects.filter(number__in=[str(number) for number in range(120, 125)]).update(created=None)
        make(999, status="paid")
        first, links = self.shown(desk, f"{LIST}?state=open")
        assert (len(first), set(links)) == (50, {"after", "last"}) and "state=open" in links["after"]
        make(1000, 1001, 1002, status="open", created=lambda _: AT + timedelta(days=1))  # nothing on a later page moves
        second, middle = self.shown(desk, links["after"])
        assert set(middle) == {"first", "before", "after", "last"}
        third, end = self.shown(desk, middle["after"])
        assert set(end) == {"first", "before"} and len(third) == 25
        assert sorted(first + second + third) == list(range(125)) and set(third[-5:]) == set(range(120, 125))

        assert self.shown(desk, middle["last"])[0] == (second + third)[-50:]
        assert self.shown(desk, end["before"])[0] == second
        again, links = self.shown(desk, middle["before"])
        assert again == first and "before" in links, "the new ones are before it"
        newest, links = self.shown(desk, links["before"])
        assert set(newest[:3]) == {1000, 1001, 1002} and newest[3:] == first[:47] and set(links) == {"after", "last"}
        assert self.shown(desk, end["first"])[0] == newest

    def test_a_filter_or_a_search_begins_at_the_first_page(self, desk: Client) -> None:
        make(*range(60))
        page = desk.get(self.shown(desk, LIST)[1]["after"]).content.decode()
        tabs = page[page.index('<nav class="tabs"') : page.index("</nav>", page.index('<nav class="tabs"'))]
        assert "after=" not in tabs, tabs
        assert 'name="after"' not in page

    def test_overdue_invoices_stand_by_their_due_date(self, desk: Client) -> None:
        make(*range(60), status="open", due_date=lambda number: AT + timedelta(seconds=number % 30))
        first, links = self.shown(desk, f"{LIST}?state=overdue")
        second, _ = self.shown(desk, links["after"])
        assert [number % 30 for number in first + second] == sorted([*range(30), *range(30)])

    @pytest.mark.parametrize(
        "query",
        ["after=x", "after=9~in_1", "before=2024-13-01~in_1", "after=2024-01-01~%00", "total=5", "data__contains=a"],
    )
    def test_what_no_index_serves_is_not_asked(self, desk: Client, query: str) -> None:
        """A place that is none, a column that is no filter of the list: the list from its beginning, and no error."""
        make(1)
        response = desk.get(f"{LIST}?{query}")
        assert response.status_code == 302 and response["Location"] == f"{LIST}?e=1"

    def test_the_order_is_not_chosen_by_the_address(self, desk: Client) -> None:
        make(0, 1, 2, created=lambda number: AT + timedelta(seconds=number))
        assert self.shown(desk, f"{LIST}?o=-3.1")[0] == [2, 1, 0]

    def test_a_list_by_the_primary_key_has_pages_too(self, client: Client) -> None:
        client.force_login(User.objects.create_superuser("root", password="x"))
        due = {"asked_at": AT, "due_at": AT}
        ScheduledRefetch.objects.bulk_create(
            ScheduledRefetch(object_type="invoice", object_id=f"in_{number}", **due) for number in range(60)
        )
        pages = client.get(reverse("admin:invoices_scheduledrefetch_changelist")).context["cl"].pages
        rest = client.get(pages.after).context["cl"].pages
        ids = [row.pk for row in pages.rows + rest.rows]
        assert len(ids) == 60 and ids == sorted(ids, reverse=True) and not rest.after

    def test_a_place_whose_row_has_gone_stays_a_place(self, desk: Client) -> None:
        make(*range(60))
        first, links = self.shown(desk, LIST)
        Invoice.objects.filter(number=str(first[-1])).delete()
        assert self.shown(desk, links["after"])[0] == list(range(50, 60))


@pytest.mark.django_db
def test_no_list_counts_or_skips(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root", password="x"))
    Event.objects.bulk_create(Event(id=f"evt_{number}", body="{}", state="done") for number in range(60))
    for name in sorted(map(str, ADMINS)):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse(f"admin:invoices_{name}_changelist")).status_code == 200, name
        asked = [query["sql"] for query in captured.captured_queries]
        assert not [sql for sql in asked if " OFFSET " in sql or "COUNT(" in sql], name
