"""Tables of many rows on PostgreSQL, made there, and every address that reads them: for tests and for a benchmark.

The rows are spread evenly over a span of time. Of each list's filters some values are common, some rare, and some stand
on the oldest rows only, which is the worst case for a list that shows the newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import Client, RequestFactory

from invoices.admin import exports, footers
from invoices.admin.bank.statements import AccountFilter
from invoices.admin.bank.transactions import StatementFilter
from invoices.admin.base import RecordAdmin
from invoices.admin.filters import AmountRangeFilter, CurrencyFilter, DayRangeFilter, EarlierFilter
from invoices.admin.invoices.timeline import SOURCES
from invoices.admin.operations.person_filters import PersonFilter
from invoices.api import filters
from invoices.models import Drift, Operation, ReconciliationRun, partitions
from invoices.operations import ACTIONS
from invoices.operations.bulk_preview import BULK_ACTIONS
from invoices.record_tables import SHAPES
from tests.helpers import work_rows

BY_HTMX = "#htmx"  # the end of an address that a page asks for by itself
PAGES: tuple[dict[str, str], ...] = (
    {},
    {"after": "MIDDLE"},
    {"before": "MIDDLE"},
    {"before": ""},
)  # of a list: the first, two inside, the last
# Models whose keys are UUIDs, and those whose lists stand in the order of a day: for the place of a row in a list.
WITH_UUIDS = (
    "operation",
    "batch",
    "email",
    "export",
    "note",
    "promise",
    "bankstatement",
    "banktransaction",
    "monthclose",
)
BY_DAY = ("banktransaction", "monthclose")
# Of the tables that grow with the work of people and of the desk itself, for each invoice.
FEWER = {
    "credit": 0.1,
    "operation": 0.1,
    "drift": 0.05,
    "run": 0.05,
    "sign_in": 0.1,
    "refetch": 0.02,
    "email": 0.02,
    "batch": 0.005,
    "export": 0.01,
}

FIRST_NAMES = (
    "anna",
    "ben",
    "carla",
    "david",
    "emma",
    "felix",
    "greta",
    "henry",
    "ida",
    "jonas",
    "karla",
    "leo",
    "mia",
)
FAMILIES = ("adams", "bauer", "cohen", "diaz", "evans", "fischer", "garcia", "huber", "ito", "jones", "klein", "lopez")


@dataclass(frozen=True)
class Sizes:
    """How many rows the tables have."""

    invoices: int
    customers: int
    events: int
    fewer: dict[str, int]
    begin: datetime  # of the first row
    span: timedelta  # until the last one

    @classmethod
    def of(cls, invoices: int, customers: int, events: int, begin: datetime, span: timedelta, fewest: int) -> Sizes:
        """The usual proportions; no other table has fewer rows than `fewest`."""
        fewer = {name: max(int(invoices * share), fewest) for name, share in FEWER.items()}
        return cls(invoices, customers, events, fewer, begin, span)

    def at(self, number: int, of: int) -> datetime:
        """When the row with this number was made."""
        return self.begin + self.span * number / of


@dataclass(frozen=True)
class Bodies:
    """Stripe's objects as JSON text. In each, `@n@` becomes the number of the row."""

    customer: str = "{}"
    invoice: str = "{}"
    payment: str = "{}"
    intent: str = "{}"
    event: str = "{}"


_CURRENCY = "CASE WHEN g % 10 < 6 THEN 'usd' WHEN g < 50 THEN 'jpy' ELSE 'eur' END"  # of the row with number g


def _statements(sizes: Sizes, bodies: Bodies, user: int) -> Iterator[str]:
    """The INSERT statements, to be run without triggers."""

    def made(of: int) -> str:
        return f"timestamptz '{sizes.begin.isoformat()}' + g * interval '{sizes.span.total_seconds() / of:.6f} s'"

    def body(template: str) -> str:
        return "replace($body$" + template + "$body$, '@n@', g::text)"

    n, customers, events, few = sizes.invoices, sizes.customers, sizes.events, sizes.fewer
    # One customer in fifty is a large one: together they have a third of all invoices.
    whose = f"CASE WHEN g % 3 = 0 THEN (g / 3) % {max(customers // 50, 1)} * 50 + 1 ELSE g % {customers} + 1 END"
    first, last = (f"(ARRAY{list(names)})" for names in (FIRST_NAMES, FAMILIES))
    name = f"{first}[1 + {{0}} % 13] || ' ' || {last}[1 + ({{0}} / 13) % 12] || ' ' || {{0}}"
    # Metadata: an order of its own, and one of four plans.
    pairs = "E'order\\norder\\x1f' || g || E'\\nplan\\nplan\\x1fplan' || g % 4"
    yield f"""
        INSERT INTO invoices_customer (id, created, data, stored_at, name, email, phone, metadata)
        SELECT 'cus_' || g, {made(customers)}, {body(bodies.customer)}, now(), {name.format("g")},
            'person' || g || '@example.com', '+49' || 1000000 + g, {pairs}
        FROM generate_series(1, {customers}) g"""
    yield f"""
        INSERT INTO invoices_invoice (id, created, data, stored_at, customer_id, customer_email, customer_name, number,
            status, currency, collection_method, billing_reason, subscription, total, amount_due, amount_paid,
            amount_remaining, due_date, paid_at, receipt_number, last_finalization_error_code, metadata)
        SELECT 'in_' || g, {made(n)}, {body(bodies.invoice)}, now(), 'cus_' || whose,
            'person' || whose || '@example.com', {name.format("whose")}, upper(substr(md5(g::text), 1, 8)) || '-' || g,
            CASE WHEN g % 100 = 1 THEN 'uncollectible' WHEN g % 500 = 2 THEN 'draft' WHEN g % 20 = 3 THEN 'void'
                WHEN g % 25 = 4 OR g > {n} * 0.97 THEN 'open' ELSE 'paid' END,
            {_CURRENCY},
            CASE WHEN g < 200 THEN 'send_invoice' ELSE 'charge_automatically' END, 'subscription_cycle',
            'sub_' || whose, g, g, 0, g, CASE WHEN g % 3 = 0 THEN {made(n)} + interval '2 days' END,
            CASE WHEN g % 25 <> 4 THEN {made(n)} + interval '1 day' END, CASE WHEN g % 2 = 0 THEN g || '-' || g END,
            CASE WHEN g % 1000 = 0 THEN 'customer_tax_location_invalid' END, {pairs}
        FROM (SELECT g, {whose} AS whose FROM generate_series(1, {n}) g) numbered"""
    yield f"""
        INSERT INTO invoices_invoicepayment (id, created, data, stored_at, invoice_id, status, payment_type,
            payment_intent, payment_record, currency, amount_requested)
        SELECT 'inpay_' || g, {made(n)}, {body(bodies.payment)}, now(), 'in_' || g,
            CASE WHEN g % 100 = 0 THEN 'open' WHEN g < 30 THEN 'canceled' ELSE 'paid' END,
            CASE WHEN g < 60 THEN 'payment_record' ELSE 'payment_intent' END,
            CASE WHEN g >= 60 THEN 'pi_' || g END, CASE WHEN g < 60 THEN 'pyr_' || g END, {_CURRENCY}, g
        FROM generate_series(1, {n}) g"""
    yield f"""
        INSERT INTO invoices_paymentintent (id, created, data, stored_at, customer, status, latest_charge,
            currency, amount)
        SELECT 'pi_' || g, {made(n)}, {body(bodies.intent)}, now(), 'cus_' || {whose}, 'succeeded', 'ch_' || g,
            {_CURRENCY}, g
        FROM generate_series(1, {n}) g"""
    yield f"""
        INSERT INTO invoices_charge (id, created, data, stored_at, payment_intent, customer, status, currency,
            amount)
        SELECT 'ch_' || g, {made(n)}, '{{}}', now(), 'pi_' || g, 'cus_' || {whose},
            CASE WHEN g % 20 = 3 THEN 'failed' ELSE 'succeeded' END, {_CURRENCY}, g
        FROM generate_series(1, {n}) g"""
    yield f"""
        INSERT INTO invoices_creditnote (id, created, data, stored_at, invoice_id, customer, number, status, type,
            currency, amount)
        SELECT 'cn_' || g, {made(few["credit"])}, '{{}}', now(), 'in_' || g * 5, 'cus_' || g % {customers},
            'A-' || g || '-CN-01', CASE WHEN g % 50 = 0 THEN 'void' ELSE 'issued' END, 'pre_payment',
            {_CURRENCY}, g
        FROM generate_series(1, {few["credit"]}) g"""
    yield f"""
        INSERT INTO invoices_refund (id, created, data, stored_at, charge, payment_intent, customer, status,
            currency, amount)
        SELECT 're_' || g, {made(few["credit"])}, '{{}}', now(), 'ch_' || g * 5, 'pi_' || g * 5,
            'cus_' || g % {customers}, CASE WHEN g % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
            {_CURRENCY}, g
        FROM generate_series(1, {few["credit"]}) g"""
    yield f"""
        INSERT INTO invoices_batch (id, action, items, actor_id, reason, ticket, params, request_id, created_at,
            finished_at, decision_reason, decision_request_id)
        SELECT md5('batch' || g)::uuid, 'pay', '[]', {user}, 'Month end', '', '{{}}', 'req_b' || g,
            {made(few["batch"])}, {made(few["batch"])}, '', ''
        FROM generate_series(1, {few["batch"]}) g"""
    yield f"""
        INSERT INTO invoices_operation (id, created_at, action, invoice, actor_id, source, state, code, request_id,
            params, expected, before, after, calls, reason, ticket, payment_method, idempotency_key, fingerprint,
            settle_attempts, processing, decline_code, message, advice, stripe_request_id, outcome_by, decision_reason,
            decision_request_id, customer, batch_id)
        SELECT md5(g::text)::uuid, {made(few["operation"])}, CASE WHEN g < 40 THEN 'void' ELSE 'pay' END, 'in_' || g,
            {user}, CASE WHEN g < 70 THEN 'command' ELSE 'admin' END,
            CASE WHEN g % 200 = 0 THEN 'refused' WHEN g < 90 THEN 'expired' WHEN g % 1000 = 7 THEN 'processing'
                WHEN g > {few["operation"]} - 20 THEN 'unknown' ELSE 'succeeded' END,
            CASE WHEN g % 200 = 0 THEN 'paused' ELSE '' END, 'req_' || g, '{{}}', '{{}}', '{{}}', '{{}}', '[]', '', '',
            '', '', '', 0, false, '', '', '', '', '', '', '', 'cus_' || g % {customers},
            CASE WHEN g % 2 = 0 THEN md5('batch' || g % {few["batch"]} + 1)::uuid END
        FROM generate_series(1, {few["operation"]}) g"""
    yield f"""
        INSERT INTO invoices_event (id, type, created, api_version, account, object_type, object_id, request_id,
            idempotency_key, body, source, received_at, state, attempts, next_attempt_at, error)
        SELECT 'evt_' || g, 'invoice.paid', date_trunc('second', {made(events)}), '', '', 'invoice',
            'in_' || (g % {n} + 1), '', '', {body(bodies.event)}, 'webhook', {made(events)},
            CASE WHEN g > {events} - 30 THEN 'pending' WHEN g < 30 THEN 'failed' WHEN g < 60 THEN 'ignored'
                ELSE 'done' END, 0, now(), ''
        FROM generate_series(1, {events}) g"""
    yield """
        INSERT INTO invoices_pendingevent (event, created, received_at, next_attempt_at)
        SELECT id, created, received_at, next_attempt_at FROM invoices_event WHERE state = 'pending'"""
    yield f"""
        INSERT INTO invoices_journallink (position, kind, row, fixed, digest, sealed, made_at, kept, hash)
        SELECT g, 'event', 'evt_' || g, md5('f' || g) || md5('x' || g), md5('d' || g) || md5('y' || g), true,
            {made(events)}, '', md5('h' || g) || md5('z' || g)
        FROM generate_series(1, {events}) g"""
    yield f"""
        INSERT INTO invoices_reconciliationrun (kind, state, dry_run, params, progress, started_at, alive_at,
            finished_at, seen, same, imported, healed, in_flight, failed, events, report, error, exit_code)
        SELECT CASE WHEN g < 30 THEN 'verify' WHEN g % 100 = 0 THEN 'part' WHEN g % 101 = 0 THEN 'sweep'
                ELSE 'catch_up' END,
            CASE WHEN g < 20 THEN 'failed' ELSE 'finished' END, false, '{{}}', '{{}}', {made(few["run"])},
            {made(few["run"])}, {made(few["run"])}, 0, 0, 0, 0, 0, 0, 0, '{{}}', '', 0
        FROM generate_series(1, {few["run"]}) g"""
    yield f"""
        INSERT INTO invoices_drift (run_id, kind, object_type, object_id, invoice, field, found_at, healed_at)
        SELECT (SELECT min(id) FROM invoices_reconciliationrun) + g % 10,
            CASE WHEN g < 30 THEN 'missing_here' ELSE 'differs' END,
            CASE WHEN g < 40 THEN 'customer' ELSE 'invoice' END, 'in_' || g, 'in_' || g,
            CASE WHEN g < 30 THEN '' ELSE 'total' END, {made(few["drift"])}, CASE WHEN g < 50 THEN NULL ELSE now() END
        FROM generate_series(1, {few["drift"]}) g"""
    yield f"""
        INSERT INTO invoices_signinrecord (what, username, by, detail, reason, address, request_id, at)
        SELECT CASE WHEN g < 40 THEN 'factors_reset' WHEN g % 50 = 0 THEN 'failed' ELSE 'signed_in' END,
            'person' || g % 50, 'person' || g % 50, '', '', CASE WHEN g < 50 THEN '192.0.2.1' ELSE '192.0.2.2' END,
            'req_' || g, {made(few["sign_in"])}
        FROM generate_series(1, {few["sign_in"]}) g"""
    yield f"""
        INSERT INTO invoices_scheduledrefetch (object_type, object_id, asked_at, due_at, only_payments, attempts, error,
            failing_since, given_up_at)
        SELECT 'invoice', 'in_' || g, now(), now() + interval '1 hour', false, 0, '',
            CASE WHEN g < 60 THEN now() END, CASE WHEN g < 30 THEN now() END
        FROM generate_series(1, {few["refetch"]}) g"""
    yield f"""
        INSERT INTO invoices_email (id, kind, about, recipient, subject, body, state, written_at, next_attempt_at,
            attempts, error, failing_since, ended_at)
        SELECT md5('email' || g)::uuid, 'approval', md5(g::text)::uuid::text, 'someone@example.com', 'A request waits',
            '', CASE WHEN g < 20 THEN 'given_up' WHEN g < 30 THEN 'waiting' ELSE 'sent' END, {made(few["email"])},
            now(), 0, '', CASE WHEN g < 25 THEN now() END, CASE WHEN g < 20 OR g >= 30 THEN now() END
        FROM generate_series(1, {few["email"]}) g"""
    yield f"""
        INSERT INTO invoices_export (id, owner_id, kind, parameters, time_zone, format, title, detail, file_name,
            permissions, state, asked_at, attempts, rows, size, stored, chunks, error)
        SELECT md5('export' || g)::uuid, {user}, 'list.invoice', '{{}}', 'UTC', 'csv', 'Invoices', 'everything',
            'invoices.csv', '[]', 'removed', {made(few["export"])}, 1, 0, 0, 0, 0, ''
        FROM generate_series(1, {few["export"]}) g"""


def fill(sizes: Sizes, user: int, bodies: Bodies | None = None, told: Callable[[str], None] = lambda _: None) -> None:
    """Fills the tables. The events have the partitions of their months. Triggers must be off
    (`helpers/database.py`, `without_triggers`). `told` hears which table was filled."""
    with connection.cursor() as cursor:
        month, there = sizes.begin.date().replace(day=1), set(partitions.of(connection, partitions.EVENTS))
        while month <= (sizes.begin + sizes.span).date():
            if partitions.name_of(month) not in there:
                cursor.execute(f"SELECT {partitions.FUNCTION}(%s)", [month])
            month = partitions.later(month, 1)
        colleagues = work_rows.colleagues()
        for statement in (
            *_statements(sizes, bodies or Bodies(), user),
            *work_rows.statements(sizes, user, colleagues),
        ):
            cursor.execute(statement)
            told(statement.split("(")[0].split()[-1])
        cursor.execute("ANALYZE")


# --- the addresses ----------------------------------------------------------------------------------------------------

ADMINS: dict[str, RecordAdmin] = {
    str(model._meta.model_name): model_admin
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, RecordAdmin)
}


def offered(model_admin: RecordAdmin, day: datetime) -> list[list[dict[str, str]]]:
    """What each filter of the list offers, as parameters of its address; the first of each is to choose nothing."""
    found: list[list[dict[str, str]]] = []
    for each in model_admin.list_filter:
        if issubclass(each, DayRangeFilter):
            first, last = each.parameters
            days = {first: f"{day:%Y-%m-%d}", last: f"{day:%Y-%m-%d}"}
            found.append([{}, days, {last: f"{day - timedelta(days=1):%Y-%m-%d}"}])
        elif issubclass(each, AmountRangeFilter):  # of a currency that most rows have, and of one that few have
            least, most = each.parameters
            found.append(
                [
                    {},
                    {least: "10", most: "11", "currency": "usd"},
                    {most: "100", "currency": "eur"},
                    {least: "5", "currency": "jpy"},
                ]
            )
        elif issubclass(each, PersonFilter):
            found.append([{}, {each.parameter_name: "lists"}, {each.parameter_name: "nobody"}])
        elif issubclass(each, CurrencyFilter):  # which would ask the database what it has
            found.append([{}, *({each.parameter_name: value} for value in ("usd", "jpy"))])
        elif issubclass(each, EarlierFilter):
            found.append([{}, {each.parameters[0]: day.isoformat()}])
        elif issubclass(each, AccountFilter | StatementFilter):  # which ask it too; there are no statements here
            found.append([{}])
        else:
            asked = RequestFactory().get("/")
            asked.user = AnonymousUser()  # whose id a filter by people may offer
            spec: Any = each(asked, {}, model_admin.model, model_admin)
            found.append([{}, *({spec.parameter_name: value} for value, _ in spec.lookup_choices)])
    return found


def sorts(model_admin: RecordAdmin) -> list[dict[str, str]]:
    """Each order of the list that a person can choose, as parameters of its address."""
    return [{"sort": f"{sign}{name}"} for name in model_admin.sorts for sign in ("", "-")]


def searches(sizes: Sizes, choose: Callable[[int], int]) -> dict[str, dict[str, str]]:
    """List of the admin → what is searched → the term."""
    n, few = sizes.invoices, sizes.fewer
    customer, operation = choose(sizes.customers), choose(few["operation"])
    first = FIRST_NAMES[choose(len(FIRST_NAMES)) - 1]
    return {
        "invoice": {
            "id": f"in_{choose(n)}",
            "customer": f"cus_{customer}",
            "large customer": f"cus_{(customer // 50) * 50 + 1}",
            "subscription": f"sub_{customer}",
            "intent": f"pi_{choose(n)}",
            "payment": f"inpay_{choose(n)}",
            "charge": f"ch_{choose(n)}",
            "credit note": f"cn_{choose(few['credit'])}",
            "refund": f"re_{choose(few['credit'])}",
            "e-mail": f"person{customer}@example.com",
            "unknown e-mail": "nobody@example.com",
            "letter": first[0],
            "first name": first,
            "name": f"{first} huber",
            "number's beginning": f"{choose(255):02X}",
            "nothing": "zzzz",
        },
        "customer": {
            "id": f"cus_{customer}",
            "letter": first[0],
            "name": f"{first} bauer",
            "e-mail": f"person{customer}@example.com",
            "e-mail's beginning": f"person{customer // 10}",
        },
        "invoicepayment": {"id": f"inpay_{choose(n)}", "invoice": f"in_{choose(n)}", "intent": f"pi_{choose(n)}"},
        "paymentintent": {"id": f"pi_{choose(n)}", "customer": f"cus_{customer}"},
        "charge": {"id": f"ch_{choose(n)}", "intent": f"pi_{choose(n)}", "customer": f"cus_{customer}"},
        "creditnote": {
            "id": f"cn_{choose(few['credit'])}",
            "invoice": f"in_{choose(n)}",
            "customer": f"cus_{customer}",
            "number": f"A-{choose(few['credit'])}-CN-01",
        },
        "refund": {"id": f"re_{choose(few['credit'])}", "intent": f"pi_{choose(n)}", "charge": f"ch_{choose(n)}"},
        "event": {"id": f"evt_{choose(sizes.events)}", "object": f"in_{choose(n)}"},
        "operation": {"invoice": f"in_{operation}", "person": "lists", "nobody": "nobody"},
        "drift": {"object": f"in_{choose(few['drift'])}"},
        "scheduledrefetch": {"object": f"in_{choose(few['refetch'])}"},
        "signinrecord": {"person": f"person{choose(49)}", "address": "192.0.2.1", "usual address": "192.0.2.2"},
        "email": {"operation": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"},
    }


# Filters together, with an order or a search: what people ask most, and what no index was made for.
TOGETHER: dict[str, list[dict[str, str]]] = {
    "invoice": [
        {"state": "open", "currency": "eur"},
        {"state": "open", "collection": "send_invoice"},
        {"state": "open", "sort": "due"},
        {"state": "overdue", "sort": "-remaining"},
        {"state": "overdue", "currency": "jpy"},
        {"state": "paid", "sort": "-paid"},
        {"state": "paid", "currency": "usd", "total_from": "100", "total_to": "200"},
        {"state": "open", "assigned": "nobody"},
        {"state": "open", "assigned": "mine"},
        {"assigned": "mine", "sort": "-total"},
        {"queue": "payment_failed", "sort": "-remaining"},
        {"queue": "payment_failed.card_declined", "currency": "eur"},
        {"age": "overdue", "promise": "none"},
        {"age": "over-90", "promise": "none"},
        {"q": "huber", "state": "open"},
        {"q": "huber", "sort": "-total"},
        {"q": 'status:"open" total>100', "currency": "usd"},
    ],
    "charge": [{"attempt": "declined.card_declined"}, {"state": "failed", "currency": "jpy"}],
    "operation": [{"state": "succeeded", "person": "lists"}],
}


def get(client: Client, address: str) -> tuple[int, bytes]:
    """Asks for one of these addresses as a page does: the status, and the content; of a file, its first piece."""
    plain, fragment, _ = address.partition(BY_HTMX)
    response: Any = client.get(plain, headers={"HX-Request": "true"} if fragment else {})
    if not response.streaming:
        return response.status_code, response.content
    first = next(iter(response.streaming_content), b"")
    response._iterator.close()  # as the client does at its end: Django would close the database too
    return response.status_code, first


def _uuid_of(*words: object) -> str:
    """The id that the rows of `_statements` have: of a word and a number, or of the number alone."""
    return str(UUID(md5("".join(map(str, words)).encode()).hexdigest()))


class Addresses:
    """The addresses that read the tables. `choose` draws the rows that they name: a number from 1 to the given one."""

    def __init__(self, sizes: Sizes, choose: Callable[[int], int]) -> None:
        self.sizes, self.choose = sizes, choose

    def all(self) -> dict[str, str]:
        """What is asked for → its address."""
        found = {
            "home": "/admin/",
            "second factors": "/admin/auth/user/second-factors/",
            "users": "/admin/auth/user/",
            "readyz": "/readyz",
            "metrics": "/metrics",
            "health": "/admin/health/",
            "health line": "/admin/health/line/",
        }
        for name in ADMINS:
            found |= self._list(name) | self._searches(name) | self._sums(name) | self._files(name)
        return found | self._found() | self._pages() | self._of_people() | self._api()

    def _moment(self, of: int) -> tuple[datetime, int]:
        number = self.choose(of)
        return self.sizes.at(number, of), number

    def _list(self, name: str) -> dict[str, str]:
        base = f"/admin/invoices/{name}/"
        day, _ = self._moment(self.sizes.invoices)
        chosen: list[dict[str, str]] = [{}]
        chosen += [values for of_filter in offered(ADMINS[name], day) for values in of_filter[1:]]
        chosen += sorts(ADMINS[name])
        chosen += TOGETHER.get(name, [])
        found = {f"list {name} {' '.join(_shown(values))}": f"{base}?{urlencode(values)}" for values in chosen}
        middle = self._place(name)
        for page in PAGES[1:]:
            values = {key: value and middle for key, value in page.items()}
            what = "last" if values == {"before": ""} else " ".join(values)
            found[f"list {name}, {what}"] = f"{base}?{urlencode(values)}"
        return found

    def _sums(self, name: str) -> dict[str, str]:
        """What the open list asks for: how many rows match, and what they add up to."""
        if ADMINS[name].model not in footers.AMOUNTS:
            return {}
        day, _ = self._moment(self.sizes.invoices)
        chosen = [{}, *(values for of_filter in offered(ADMINS[name], day) for values in of_filter[1:])]
        chosen += [*TOGETHER.get(name, []), {"q": "huber"}] if name == "invoice" else []
        base = f"/admin/invoices/{name}/sums/"
        return {f"sums {name} {' '.join(_shown(values))}": f"{base}?{urlencode(values)}" for values in chosen}

    def _files(self, name: str) -> dict[str, str]:
        """The list as a file, to its first byte."""
        if ADMINS[name].model not in SHAPES:
            return {}
        chosen, base = [{}, *TOGETHER.get(name, [])], f"/admin/invoices/{name}/download"
        return {
            f"file {name}.{kind} {' '.join(_shown(values))}": f"{base}.{kind}?{urlencode(values)}"
            for kind in exports.FORMATS
            for values in chosen
        }

    def _found(self) -> dict[str, str]:
        """The one search: its page of results, and what it shows as one types."""
        n, few, customer = self.sizes.invoices, self.sizes.fewer, self.choose(self.sizes.customers)
        number = self.choose(n)
        first, last = FIRST_NAMES[self.choose(13) - 1], FAMILIES[self.choose(12) - 1]
        terms = {
            "number": f"{md5(str(number).encode()).hexdigest()[:8].upper()}-{number}",
            "number's beginning": f"{self.choose(255):02X}",
            "e-mail": f"person{customer}@example.com",
            "domain": "large.example",
            "common domain": "example.com",
            "surname": last,
            "surname's beginning": last[:3],
            "two letters": first[:2],
            "whole name": f"{first} {last}",
            "amount": f"{self.choose(n) / 100:.2f}",
            "amount with a currency": f"EUR {self.choose(n) / 100:.2f}",
            "bank reference": f"transfer-{self.choose(max(n // 50, 200))}",
            "unknown bank reference": "RF18539007547034",
            "query": f'status:"open" total>{self.choose(n)}',
            "query of a customer": f'customer:"cus_{customer}" status:"paid"',
            "query of metadata": f'metadata["order"]:"{number}"',
            "query of a part": f'number~"{self.choose(255):02X}-"',
            "invoice": f"in_{number}",
            "customer": f"cus_{customer}",
            "payment": f"inpay_{number}",
            "intent": f"pi_{number}",
            "charge": f"ch_{number}",
            "credit note": f"A-{self.choose(few['credit'])}-CN-01",
            "refund": f"re_{self.choose(few['credit'])}",
            "request": f"req_{self.choose(few['operation'])}",
            "operation": _uuid_of(self.choose(few["operation"])),
            "event": f"evt_{self.choose(self.sizes.events)}",
            "nothing": "zzzz",
        }
        found = {f"find {what}": f"/admin/find/?{urlencode({'q': term})}" for what, term in terms.items()}
        return found | {
            f"typed {what}": f"/admin/find/?{urlencode({'q': term})}{BY_HTMX}" for what, term in terms.items()
        }

    def _of_people(self) -> dict[str, str]:
        """The pages of what people did, of what the desk did itself, and the forms; those that are large among them."""
        n, few = self.sizes.invoices, self.sizes.fewer
        still_open = f"/admin/invoices/invoice/in_{4 + 25 * (self.choose(n // 25) - 1)}/"
        large, batch = (
            f"/admin/invoices/invoice/{work_rows.LARGE_INVOICE}/",
            f"/admin/invoices/batch/{work_rows.LARGE_BATCH}/",
        )
        of_customer = f"/admin/invoices/customer/{work_rows.LARGE_CUSTOMER}/"
        run = f"/admin/invoices/reconciliationrun/{work_rows.LARGE_RUN}/"
        operation = f"/admin/invoices/operation/{_uuid_of(self.choose(few['operation']))}/"
        waits = UUID(md5(f"waits{self.choose(work_rows.WAITING)}".encode()).hexdigest())
        found = {
            "page largest invoice": large,
            "page largest invoice, earlier": f"{large}?{urlencode({'before': self._moment(n)[0].isoformat()})}",
            **{f"page largest invoice, {kind}": f"{large}?kind={kind}" for kind in SOURCES},
            "page open invoice": still_open,
            **{f"form {name}": f"{still_open}do/{name}/" for name in ACTIONS},
            "page largest customer": of_customer,
            "page largest customer, stored": f"{of_customer}stored/",
            "page largest customer, invoices": f"/admin/invoices/invoice/?q={work_rows.LARGE_CUSTOMER}",
            "page operation": operation,
            "page operation, now": f"{operation}now/",
            "page operation, result": f"{operation}result/",
            "page waiting operation": f"/admin/invoices/operation/{waits}/",
            "page batch": f"/admin/invoices/batch/{_uuid_of('batch', self.choose(few['batch']))}/",
            "page largest batch": batch,
            "page largest batch, failed": f"{batch}?state=failed",
            "page largest batch, last": f"{batch}?p={work_rows.large(self.sizes, 'of_batch') // 50}",
            "page largest batch, file": f"{batch}table.csv",
            "page largest run": run,
            "page largest run, last": f"{run}?before=",
            "page runs under way": "/admin/invoices/reconciliationrun/under-way/",
            "page drift": f"/admin/invoices/drift/{work_rows.FIRST_DRIFT + self.choose(work_rows.FILL_A_PAGE)}/",
            "page export": f"/admin/invoices/export/{_uuid_of('export', self.choose(few['export']))}/",
            "page email": f"/admin/invoices/email/{_uuid_of('email', self.choose(few['email']))}/",
            "page webhook endpoint": "/admin/invoices/webhookendpoint/we_1/",
            "page colleagues": "/admin/invoices/mention/colleagues/?begins=col",
            "page group": "/admin/auth/group/",
        }
        bulk = f"/admin/invoices/invoice/bulk/{min(BULK_ACTIONS)}/"
        day = self._moment(n)[0]
        found["form of many: one day"] = (
            f"{bulk}?{urlencode({'created_from': f'{day:%Y-%m-%d}', 'created_to': f'{day:%Y-%m-%d}'})}"
        )
        found["form of many: one search"] = f"{bulk}?q=cus_{self.choose(self.sizes.customers)}"
        found["form of many: open"] = f"{bulk}?state=open"
        return found

    def _place(self, name: str) -> str:
        """The place of a row somewhere in the list."""
        moment, number = self._moment(self.sizes.invoices)
        if name == "scheduledrefetch":
            return f"{self.choose(self.sizes.fewer['refetch'])}~"
        key = {"invoice": f"in_{number}", "customer": "cus_1", **dict.fromkeys(WITH_UUIDS, "0" * 32)}.get(name, "1")
        return f"{moment:%Y-%m-%d}~{key}" if name in BY_DAY else f"{moment:%Y-%m-%dT%H:%M:%S.%f}~{key}"

    def _searches(self, name: str) -> dict[str, str]:
        return {
            f"search {name}, {what}": f"/admin/invoices/{name}/?{urlencode({'q': term})}"
            for what, term in searches(self.sizes, self.choose).get(name, {}).items()
        }

    def _pages(self) -> dict[str, str]:
        """The page of one record of each kind, and what belongs to it."""
        n, few, choose = self.sizes.invoices, self.sizes.fewer, self.choose
        customer = choose(self.sizes.customers)
        ids = {
            "invoice": f"in_{choose(n)}",
            "customer": f"cus_{customer}",
            "large customer": f"cus_{(customer // 50) * 50 + 1}",
            "invoicepayment": f"inpay_{choose(n)}",
            "paymentintent": f"pi_{choose(n)}",
            "charge": f"ch_{choose(n)}",
            "creditnote": f"cn_{choose(few['credit'])}",
            "refund": f"re_{choose(few['credit'])}",
            "event": f"evt_{choose(self.sizes.events)}",
            "missing event": "evt_missing",
            "signinrecord": choose(few["sign_in"]),
        }
        found = {f"page {what}": f"/admin/invoices/{what.rpartition(' ')[2]}/{id}/" for what, id in ids.items()}
        found["page customer, stored"] = f"/admin/invoices/customer/cus_{customer}/stored/"
        return found

    def _api(self) -> dict[str, str]:
        n, few, choose = self.sizes.invoices, self.sizes.fewer, self.choose
        customer = choose(self.sizes.customers)
        found = {}
        for name, asked in api_filters(self.sizes, choose).items():
            for values in ({}, *(each for some in asked.values() for each in some)):
                found[f"api {name} {'&'.join(_shown(values))}"] = f"/v1/{name}?{urlencode(values)}"
        return found | {
            "api invoices, 100": "/v1/invoices?limit=100",
            "api invoices, starting_after": f"/v1/invoices?starting_after=in_{choose(n)}",
            "api invoices, ending_before": f"/v1/invoices?ending_before=in_{choose(n)}",
            "api invoices, expanded": "/v1/invoices?expand[]=data.customer&expand[]=data.payments",
            "api invoices of a large customer": f"/v1/invoices?customer=cus_{(customer // 50) * 50 + 1}&status=open",
            "api invoice_payments, starting_after": f"/v1/invoice_payments?starting_after=inpay_{choose(n)}",
            "api invoice": f"/v1/invoices/in_{choose(n)}",
            "api invoice, expanded": f"/v1/invoices/in_{choose(n)}?expand[]=customer&expand[]=payments",
            "api invoice, lines": f"/v1/invoices/in_{choose(n)}/lines",
            "api invoice, unknown": "/v1/invoices/unknown",
            "api invoice_payment": f"/v1/invoice_payments/inpay_{choose(n)}",
            "api charge": f"/v1/charges/ch_{choose(n)}",
            "api charges, starting_after": f"/v1/charges?starting_after=ch_{choose(n)}",
            "api credit_note": f"/v1/credit_notes/cn_{choose(few['credit'])}",
            "api credit_note, lines": f"/v1/credit_notes/cn_{choose(few['credit'])}/lines",
            "api credit_notes, starting_after": f"/v1/credit_notes?starting_after=cn_{choose(few['credit'])}",
            "api refund": f"/v1/refunds/re_{choose(few['credit'])}",
            "api refunds, starting_after": f"/v1/refunds?starting_after=re_{choose(few['credit'])}",
            "api operation, unknown": "/v1/operations/00000000-0000-0000-0000-000000000000",
            "api drift, unknown": f"/v1/drift/{few['drift'] * 10**6}",
        }


def _shown(values: dict[str, Any]) -> Iterator[str]:
    """Parameters in words that stay the same whichever row was drawn."""
    for name, value in values.items():
        yield f"{name}={value}" if isinstance(value, str) and not re.search(r"\d", value) else name


def api_filters(sizes: Sizes, choose: Callable[[int], int]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """List of the API → its parameter → what is asked with it: common values and rare ones."""
    n, few = sizes.invoices, sizes.fewer
    seconds = int(sizes.at(choose(n), n).timestamp())
    day = {"created[gte]": seconds, "created[lt]": seconds + 86_400}
    customer, invoice = f"cus_{choose(sizes.customers)}", choose(n)
    narrow = {"customer": customer}
    return {
        "invoices": {
            "status": [{"status": value} for value in filters.INVOICE_STATUSES],
            "customer": [narrow, {**narrow, "status": "open"}],
            "collection_method": [{"collection_method": value} for value in filters.COLLECTION_METHODS],
            "currency": [{"currency": value} for value in ("usd", "jpy", "xyz")],
            "subscription": [{"subscription": customer.replace("cus", "sub")}],
            "number": [{"number": "7"}],
            "customer_email": [{"customer_email": f"{customer.replace('cus_', 'person')}@example.com"}],
            "created": [day, {"created[lt]": seconds}, {"created[gt]": seconds}],
            "due_date": [
                {"due_date[gte]": seconds, "due_date[lt]": seconds + 3600},
                {"due_date[gt]": int((sizes.begin + sizes.span * 2).timestamp())},
            ],
            "total": [{"total[gt]": 5, **narrow}],
            "amount_due": [{"amount_due": 5, **narrow}],
            "amount_paid": [{"amount_paid": 5, "number": "7"}],
            "amount_remaining": [{"amount_remaining": 5, "created[gte]": seconds, "created[lt]": seconds + 3600}],
            "billing_reason": [{"billing_reason": "manual", **narrow}],
            "status_transitions": [{"status_transitions[paid_at]": 5, "subscription": "sub_7"}],
        },
        "invoice_payments": {
            "invoice": [{"invoice": f"in_{invoice}"}],
            "status": [{"status": value} for value in ("open", "paid", "canceled")],
            "payment": [
                {"payment[type]": "payment_record"},
                {"payment[type]": "payment_intent"},
                {"payment[type]": "payment_intent", "payment[payment_intent]": f"pi_{invoice}"},
                {"payment[type]": "payment_record", "payment[payment_record]": "pyr_7"},
            ],
            "created": [{"created[lt]": seconds}],
        },
        "charges": {
            "customer": [narrow, {**narrow, "created[lt]": seconds}, {"customer": "cus_none"}],
            "payment_intent": [{"payment_intent": f"pi_{invoice}"}],
            "created": [day, {"created[lt]": seconds}, {"created[gt]": seconds}],
        },
        "credit_notes": {
            "invoice": [{"invoice": f"in_{invoice}"}],
            "customer": [{"customer": customer}, {"customer": customer, "created[lt]": seconds}],
            "created": [{"created[lt]": seconds}, {"created[gt]": seconds}],
        },
        "refunds": {
            "charge": [{"charge": f"ch_{invoice}"}],
            "payment_intent": [{"payment_intent": f"pi_{invoice}"}],
            "created": [{"created[lt]": seconds}, {"created[gt]": seconds}],
        },
        "customers": {
            "email": [{"email": f"person{choose(sizes.customers)}@example.com"}, {"email": "nobody@example.com"}],
            "created": [day, {"created[lt]": seconds}],
        },
        "payment_intents": {
            "customer": [narrow, {"customer": "cus_none"}],
            "created": [day, {"created[lt]": seconds}],
        },
        "events": {
            "type": [{"type": value} for value in ("invoice.paid", "invoice.*", "*", "charge.*", "no.type")],
            "created": [day, {"created[lt]": seconds, "type": "invoice.*"}],
        },
        "operations": {
            "state": [{"state": value} for value in (*Operation.State.values, "unfinished")],
            "invoice": [{"invoice": f"in_{choose(few['operation'])}"}],
            "action": [{"action": name} for name in ACTIONS] + [{"action": "void", "state": "refused"}],
            "source": [{"source": value} for value in Operation.Source.values],
            "actor": [{"actor": "lists"}, {"actor": "nobody"}],
            "code": [{"code": "paused"}, {"code": "nothing"}],
            "batch": [{"batch": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"}],
            "request_id": [{"request_id": f"req_{choose(few['operation'])}"}],
            "created": [{"created[lt]": seconds}],
        },
        "reconciliation_runs": {
            "kind": [{"kind": value} for value in ReconciliationRun.Kind.values],
            "state": [{"state": value} for value in ReconciliationRun.State.values],
            "created": [{"created[lt]": seconds}],
        },
        "drift": {
            "run": [{"run": 1}],
            "kind": [{"kind": value} for value in Drift.Kind.values],
            "object_type": [{"object_type": "customer"}, {"object_type": "invoice"}],
            "object_id": [{"object_id": f"in_{choose(few['drift'])}"}],
            "invoice": [{"invoice": f"in_{choose(few['drift'])}"}],
            "field": [{"field": "total"}, {"field": "none"}],
            "healed": [{"healed": "true"}, {"healed": "false"}],
            "created": [{"created[lt]": seconds}],
        },
    }
