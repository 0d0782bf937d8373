"""Lists of many rows: each filter and search is served by an index, each page is read by key.

What the database does is asked of PostgreSQL itself: every query that a list makes is explained and run over tables of
thousands of rows, and must neither read a table through nor sort more than what it found. No time is measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, reset_queries, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from invoices import tallies
from invoices.admin import search, sorting
from invoices.admin.base import RecordAdmin
from invoices.admin.customer_page import MAX_OPEN
from invoices.api import filters
from invoices.api.pagination import Page
from invoices.health import checks, gauges
from invoices.keyset import CurrencyOrder, Order, Position
from invoices.models import (
    ApiToken,
    Charge,
    CreditNote,
    Customer,
    Drift,
    Event,
    Invoice,
    InvoicePayment,
    Operation,
    PaymentIntent,
    ReconciliationRun,
    Refund,
)
from invoices.models.refetches import ScheduledRefetch
from invoices.search import CUSTOMERS, INVOICES, matching, parse
from tests.helpers.admin_pages import LIST
from tests.helpers.database import without_triggers
from tests.helpers.many_rows import (
    ADMINS,
    BY_DAY,
    BY_HTMX,
    WITH_UUIDS,
    Addresses,
    Bodies,
    Sizes,
    api_filters,
    fill,
    get,
    offered,
    searches,
    sorts,
)
from tests.helpers.work_rows import LARGE_CUSTOMER

ROWS, FEWER = 12_000, 4_000  # of invoices and events, and at least of each other table
SIZES = Sizes.of(ROWS, ROWS, ROWS, datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=150), fewest=FEWER)
MOST_READ = 2_500  # rows that a page may read of a table, about a fifth of it; it shows 50
MIDDLE = SIZES.begin + SIZES.span / 2
# Tables that have few rows by their nature, and are read whole where that is cheaper than an index. Of people: staff
# alone. Of tokens, pauses and archives: a few a month. Queues, and what is tallied, are as small as what waits. The
# others have a row for each process, kind or permission.
SMALL = re.compile(
    r"auth_|django_(content_type|session)|account_|socialaccount_|mfa_|axes_|invoices_("
    r"apitoken|tokenrecord|pause|contradiction|eventarchive|signinarchive|erasure|erasedrow|removal|disclosure|heartbeat|"
    r"lease|scheduledrun|throttleslot|checkedkey|accountrecord|givenpermission|pendingevent|unchainedrow|requestcount|"
    r"scheduledrefetch|savedview|tallied)"
)


@pytest.fixture(autouse=True)
def room_to_capture() -> None:
    """Django keeps the last 9,000 queries of a connection: where they are full, nothing more is captured."""
    reset_queries()


@pytest.fixture(scope="module")
def many(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """The full tables, for all tests of this file that only read. Yields a person who may see everything."""
    if connection.vendor != "postgresql":
        pytest.skip("NOT CHECKED HERE: whether indexes serve the lists. SQLite does not say what its plans read.")
    with django_db_blocker.unblock(), transaction.atomic():
        user = User.objects.create_superuser("lists", password="x")
        with without_triggers():
            fill(SIZES, user.pk, Bodies(invoice='{"id": "in_@n@"}', payment='{"id": "inpay_@n@"}'))
        yield user
        transaction.set_rollback(True)


def read_by(plan: dict[str, Any]) -> int:
    """How many rows this step read, those among them that it did not pass on."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(int(plan.get(name, 0)) for name in names) * int(plan["Actual Loops"])


def look_at(plan: dict[str, Any], most_read: int) -> list[str]:
    """What is wrong with a plan: tables that are read through, and sorts of many rows."""
    if SMALL.match(plan.get("Relation Name", "")):
        return []
    wrong, below, read = [], plan.get("Plans", []), read_by(plan)
    if "Append" in plan["Node Type"]:  # the months of the events are one table
        read = sum(read_by(child) for child in below if "Scan" in child["Node Type"])
    if ("Scan" in plan["Node Type"] or "Append" in plan["Node Type"]) and read > most_read:
        wrong.append(f"{plan['Node Type']} of {plan.get('Relation Name', plan.get('Index Name'))} reads {read} rows")
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
    parameters = offered(model_admin, MIDDLE)
    pairs = list(combinations(parameters, 2)) or [(each, [{}]) for each in parameters] or [([{}], [{}])]
    yield from ({**one, **other} for pair in pairs for one, other in product(*pair))


@pytest.fixture
def few_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search leads to a few of a million invoices. Of these tables it is to find no larger part, or reading them
    through would be right."""
    monkeypatch.setattr(search, "MAX_MATCHES", 10)
    monkeypatch.setattr(search, "MAX_OF_CUSTOMERS", 50)


@contextmanager
def reading_through_has_no_price() -> Iterator[None]:
    """A table as small as this is read through for less than some hundred rows by an index would cost. So what is read
    through in here has no index that could serve it."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        yield
        cursor.execute("SET LOCAL enable_seqscan = on")


SEARCHES = {name: list(terms.values()) for name, terms in searches(SIZES, lambda of: max(of // 2, 1)).items()}
ADDRESSES = Addresses(SIZES, lambda of: max(of // 2, 1)).all()
KINDS = ("list", "search", "page", "form", "find", "typed", "api", "other")  # the first word of a name
# Left to the benchmark, which asks for them over a million rows: sums and files, which read as many rows as they may;
# and where so large a part of these tables matches that its index is no shorter way.
LEFT_OUT = re.compile(r"sums |file |(find|typed) (common domain|query of a part)|list mention|page largest customer")
BY_THREADS = {"readyz", "metrics"}  # which have connections of their own, and do not see the rows of this transaction


class TestTheAdminsLists:
    @pytest.mark.parametrize("name", sorted(map(str, ADMINS)))
    def test_an_index_serves_each_filter_on_each_page(self, many: User, name: str) -> None:
        model_admin, wrong = ADMINS[name], []
        for parameters in chosen(model_admin):
            middle = place_in(model_admin, parameters)
            pages = [{}, {"before": ""}, {"after": middle}, {"before": middle}]
            # Of a range, what another filter leaves has no index of its own: it is read within a limit of time.
            bounded = len(parameters) > 1 and sorting.chosen(model_admin, RequestFactory().get("/", parameters))
            for page in pages if len(parameters) < 2 else pages[2:3]:
                wrong += look_at_list(model_admin, many, {**parameters, **page}, ROWS if bounded else MOST_READ)
        assert not wrong, "\n".join(wrong[:10])

    @pytest.mark.parametrize("name", sorted(str(name) for name, each in ADMINS.items() if each.sorts))
    def test_an_index_serves_each_order_on_each_page(self, many: User, name: str) -> None:
        model_admin, wrong = ADMINS[name], []
        tabs = [{}, {"state": "open"}] if name == "invoice" else [{}]
        for parameters in [{**tab, **each} for tab in tabs for each in sorts(model_admin)]:
            if parameters == {"state": "open", "sort": parameters["sort"]} and parameters["sort"].endswith("paid"):
                continue  # no open invoice has a day of payment
            middle = place_in(model_admin, parameters)
            for page in ({}, {"before": ""}, {"after": middle}, {"before": middle}):
                wrong += look_at_list(model_admin, many, {**parameters, **page})
        assert not wrong, "\n".join(wrong[:10])

    @pytest.mark.parametrize("name", sorted(SEARCHES))
    def test_an_index_serves_each_search(self, many: User, few_matches: None, name: str) -> None:
        with reading_through_has_no_price():
            wrong = [each for term in SEARCHES[name] for each in look_at_list(ADMINS[name], many, {"q": term})]
        assert not wrong, "\n".join(wrong)

    def test_the_attack_is_seen(self, many: User) -> None:
        """The old way to a page, and a filter without an index, are found wrong by what judges the lists."""
        with CaptureQueriesContext(connection) as captured:
            list(Invoice.objects.order_by("-created", "-id")[3_000:3_050])
            list(Invoice.objects.filter(attempt_count=7).order_by("-created", "-id")[:50])
            list(Event.objects.filter(body="no such body")[:50])
        assert len(explain(captured)) >= 3


def place_in(model_admin: RecordAdmin, parameters: dict[str, str]) -> str:
    """The place of a row in the middle of the list, in the order that these parameters choose."""
    name = str(model_admin.opts.model_name)
    key = {"invoice": "in_1", "customer": "cus_1", **dict.fromkeys(WITH_UUIDS, "0" * 32)}.get(name, "1")
    order = model_admin.order(RequestFactory().get("/", parameters))
    if isinstance(order, CurrencyOrder):
        return f"eur:{ROWS // 2}~{key}"
    if order.column == "name":
        return f"maria~{key}"
    if name in BY_DAY:
        return f"{MIDDLE:%Y-%m-%d}~{key}"
    return f"500~{key}" if name == "scheduledrefetch" else f"{MIDDLE:%Y-%m-%dT%H:%M:%S.%f}~{key}"


def look_at_list(
    model_admin: RecordAdmin, user: User, parameters: dict[str, str], most_read: int = MOST_READ
) -> list[str]:
    """What is wrong with the queries that the list makes for this address."""
    request = RequestFactory().get("/", parameters)
    request.user = user
    with CaptureQueriesContext(connection) as captured:
        model_admin.get_changelist_instance(request)
    return [f"{parameters}: {each}" for each in explain(captured, most_read)]


class TestEveryAddress:
    """Each page as a browser or a client asks for it: with what stands around the list, and with the sign-in."""

    @pytest.mark.odd_objects
    @pytest.mark.parametrize("kind", KINDS)
    def test_no_statement_reads_a_large_table_through(self, many: User, few_matches: None, kind: str) -> None:
        browser, api = (
            Client(),
            Client(headers={"Authorization": f"Bearer {ApiToken.objects.create(many, name='x')[1]}"}),
        )
        browser.force_login(many)
        wrong, asked = [], 0
        for name, address in ADDRESSES.items():
            first = name.split()[0]
            if name in BY_THREADS or LEFT_OUT.match(name) or kind != (first if first in KINDS else "other"):
                continue
            with reading_through_has_no_price(), CaptureQueriesContext(connection) as captured:
                status, _ = get(api if kind == "api" else browser, address)
            assert status in (200, 302, 404, 405), (name, status)
            with reading_through_has_no_price():
                wrong += [f"{name}: {each}" for each in explain(captured, MOST_READ)]
            asked += len(captured)
        assert asked > 1
        assert not wrong, "\n".join(wrong)

    def test_nor_does_what_others_watch(self, many: User) -> None:
        with CaptureQueriesContext(connection) as captured:
            gauges.waiting_work()
            checks.database_health()
        with reading_through_has_no_price():
            wrong = explain(captured, MOST_READ)
        assert captured.captured_queries and not wrong, "\n".join(wrong)


def plan_of(statement: str, without: tuple[str, ...] = ()) -> str:
    """How PostgreSQL would run it, if it had no other way than without these."""
    with connection.cursor() as cursor:
        for name in without:
            cursor.execute(f"SET LOCAL {name} = off")
        cursor.execute("EXPLAIN " + statement)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        for name in without:
            cursor.execute(f"SET LOCAL {name} = on")
    return plan


class TestOverAMillion:
    """What is slow over a million rows alone: of a few thousand PostgreSQL chooses another plan by itself."""

    @pytest.mark.parametrize(
        ("name", "chosen"), [("invoice", {"queue": tallies.PAYMENT_FAILED}), ("charge", {"attempt": "succeeded"})]
    )
    def test_an_index_tells_of_one_object_whether_it_stands_in_a_queue(
        self, many: User, name: str, chosen: dict[str, str]
    ) -> None:
        """So that the newest of a queue are found among the newest of the list, without all that stand in it."""
        request = RequestFactory().get("/", chosen)
        request.user = many
        rows = ADMINS[name].get_changelist_instance(request).queryset
        with CaptureQueriesContext(connection) as captured:
            list(rows.filter(pk="x_1").order_by().values("pk"))
        assert "tallied_once_per_queue" in plan_of(captured.captured_queries[-1]["sql"])

    def test_the_notes_of_a_customer_are_not_looked_for_among_all_notes(self, many: User) -> None:
        browser = Client()
        browser.force_login(many)
        with CaptureQueriesContext(connection) as captured:
            assert browser.get("/admin/invoices/customer/cus_1/").status_code == 200
        [notes] = [query["sql"] for query in captured if 'FROM "invoices_note" ' in query["sql"]]
        plan = plan_of(notes, without=("enable_seqscan", "enable_bitmapscan", "enable_sort"))
        assert "note_newest" not in plan, plan

    def test_what_a_customer_owes_is_found_by_its_own_index(self, many: User) -> None:
        owed = Invoice.objects.filter(customer_id=LARGE_CUSTOMER, status="open").order_by("-created", "-pk")
        with CaptureQueriesContext(connection) as captured:
            assert list(owed.values_list("pk", "amount_remaining")[: MAX_OPEN + 1])
        plan = plan_of(captured.captured_queries[-1]["sql"])
        assert "invoice_customer_open" in plan and "BitmapAnd" not in plan, plan

    def test_what_was_found_is_not_looked_for_again_among_all(self, many: User) -> None:
        browser = Client()
        browser.force_login(many)
        with CaptureQueriesContext(connection) as captured:
            get(browser, f"/admin/find/?q=an{BY_HTMX}")
        whole = [query["sql"] for query in captured if query["sql"].endswith(" LIMIT 6") and '"data"' in query["sql"]]
        found = {
            name: query for query in whole for name in ("invoice", "customer") if f'FROM "invoices_{name}"' in query
        }
        assert len(found) == 2
        for name, query in found.items():
            plan = plan_of(query, without=("enable_seqscan", "enable_bitmapscan", "enable_sort"))
            assert f"{name}_newest" not in plan, plan


API_LISTS: dict[str, tuple[Any, Any, str]] = {
    "invoices": (Invoice, filters.InvoiceFilter, "created"),
    "invoice_payments": (InvoicePayment, filters.InvoicePaymentFilter, "created"),
    "customers": (Customer, filters.CustomerFilter, "created"),
    "payment_intents": (PaymentIntent, filters.PaymentIntentFilter, "created"),
    "events": (Event, filters.EventFilter, "created"),
    "operations": (Operation, filters.OperationFilter, "created_at"),
    "charges": (Charge, filters.ChargeFilter, "created"),
    "credit_notes": (CreditNote, filters.CreditNoteFilter, "created"),
    "refunds": (Refund, filters.RefundFilter, "created"),
    "reconciliation_runs": (ReconciliationRun, filters.RunFilter, "started_at"),
    "drift": (Drift, filters.DriftFilter, "found_at"),
}


class TestTheApisLists:
    @pytest.mark.parametrize("name", sorted(API_LISTS))
    def test_an_index_serves_each_filter_on_each_page(self, many: User, name: str) -> None:
        model, filterset, column = API_LISTS[name]
        asked = api_filters(SIZES, lambda of: max(of // 2, 1))[name]
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


SEARCHED = {  # in Stripe's query language; of each resource, each field and operator
    "invoices": [
        "created>{middle} created<{later}",
        "total>11990",
        "total:77",
        "amount_due>=11990",
        "amount_remaining<10",
        "due_date>{middle} due_date<{later}",
        "paid_at>={middle} paid_at<{later}",
        'currency:"jpy"',
        'status:"draft"',
        'status~"raf"',
        'status:"open" -currency:"usd"',
        'number~"-1077"',
        'receipt_number:"1078-1078"',
        'receipt_number~"1078-10"',
        'last_finalization_error_code:"customer_tax_location_invalid"',
        'last_finalization_error_type:"api_error"',
        'customer:"cus_77"',
        'customer:"CUS_77"',
        'subscription:"sub_77"',
        'subscription~"b_1777"',
        'customer_email:"person777@example.com"',
        'customer_email~"son777@"',
        'customer_name:"777"',
        'customer_name~"r 777"',
        'metadata["order"]:"777"',
        'metadata["order"]:"777" metadata["plan"]:"plan1"',
        'metadata["missing"]:"777"',
        '-metadata["missing"]:null',
        'metadata["order"]:"777" OR metadata["order"]:"778" OR number~"-1079" OR total:5',
        # What leaves most rows is found among the newest.
        'metadata["plan"]:"plan1"',
        'metadata["missing"]:null',
        'status:"paid"',
        '-status:"paid"',
        "total>5",
        "-number:null",
    ],
    "customers": [
        "created>{middle} created<{later}",
        'email:"person777@example.com"',
        'email~"son777@"',
        'name:"777"',
        'name~"r 777"',
        'phone:"+491000777"',
        'phone~"000777"',
        'metadata["order"]:"777"',
        'metadata["plan"]:"plan1" -email~"son777@"',
        'phone~"000777" OR name~"r 778" OR created:{middle}',
    ],
}


class TestTheSearch:
    @pytest.mark.parametrize("name", sorted(SEARCHED))
    def test_an_index_serves_each_query_on_each_page(self, many: User, name: str) -> None:
        resource = {"invoices": INVOICES, "customers": CUSTOMERS}[name]
        seconds = int(MIDDLE.timestamp())
        places = [None, Position(MIDDLE, "zzz")]
        wrong = []
        for template in SEARCHED[name]:
            text = template.replace("{middle}", str(seconds)).replace("{later}", str(seconds + 7200))
            for place in places:
                with reading_through_has_no_price(), CaptureQueriesContext(connection) as captured:
                    rows = matching(resource.model._default_manager.filter(deleted_at=None), parse(text), resource)
                    Order("created").read(rows.values_list("created", "pk"), 10, after=place)
                with reading_through_has_no_price():
                    wrong += [f"{text}: {each}" for each in explain(captured)]
        # How many entries of the index a common pair has is no number of rows: they are a byte or two each.
        wrong = [each for each in wrong if not re.search("Bitmap Index Scan of [a-z]+_search ", each)]
        assert not wrong, "\n".join(wrong)


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
