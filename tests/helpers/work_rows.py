"""Many rows of what people do with invoices, and of the tallies: the second half of `many_rows.py`.

Beside what grows with the invoices stands what makes a single page large: a customer, an invoice, a run and a batch
that have far more than others have.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from invoices import tallies
from invoices.models.tallies import NO_DAY
from invoices.thresholds import TALLIED_DAYS

if TYPE_CHECKING:
    from tests.helpers.many_rows import Sizes

COLLEAGUES = 20  # beside the person who looks at the pages
WAITING = 20  # requests for a second person, contradictions and mentions that wait: few in any company
# Of all invoices, or as many as fill a page.
SHARES = {"of_customer": 0.02, "of_invoice": 0.001, "of_run": 0.01, "of_batch": 0.001}
FILL_A_PAGE = 120
LARGE_CUSTOMER, LARGE_INVOICE, LARGE_BATCH = "cus_large", "in_large", uuid.UUID(int=1)
LARGE_RUN = FIRST_DRIFT = 10**9  # beyond those that the database numbers
REASONS = ("insufficient_funds", "card_declined", "expired_card", "do_not_honor", "lost_card")


def large(sizes: Sizes, what: str) -> int:
    """How many rows the large customer, invoice, run or batch has."""
    return max(int(sizes.invoices * SHARES[what]), FILL_A_PAGE)


def colleagues() -> list[int]:
    """People, made for this: their ids."""
    made = [User(username=f"colleague{number}", is_staff=True) for number in range(COLLEAGUES)]
    return [each.pk for each in User.objects.bulk_create(made)]


def statements(sizes: Sizes, user: int, colleagues: list[int]) -> Iterator[str]:
    """The INSERT statements, to be run without triggers, after those of `many_rows.py`."""

    def made(of: int) -> str:
        return f"timestamptz '{sizes.begin.isoformat()}' + g * interval '{sizes.span.total_seconds() / of:.6f} s'"

    n, open_ones = sizes.invoices, sizes.invoices // 25  # of which every 25th is open, from in_4 on
    notes, given = max(n // 20, min(sizes.fewer.values())), max(n // 50, 200)
    who = f"(ARRAY{[user, *colleagues]})"
    yield f"""
        INSERT INTO invoices_note (id, invoice, created_at, author_id)
        SELECT md5('note' || g)::uuid, 'in_' || g * {n // notes}, {made(notes)}, {who}[1 + g % {len(colleagues) + 1}]
        FROM generate_series(1, {notes}) g"""
    yield f"""
        INSERT INTO invoices_noteversion (note_id, number, text, written_at, request_id)
        SELECT md5('note' || g)::uuid, number, 'The customer called, and will look at it. ' || g, {made(notes)}, ''
        FROM generate_series(1, {notes}) g, generate_series(1, 2) number WHERE number = 1 OR g % 10 = 0"""
    yield f"""
        INSERT INTO invoices_mention (note_id, version_id, person_id, made_at, read_at)
        SELECT note_id, id, {user}, written_at,
            CASE WHEN row_number() OVER (ORDER BY written_at DESC) > {WAITING} THEN now() END
        FROM invoices_noteversion WHERE number = 1 AND note_id IN
            (SELECT md5('note' || g)::uuid FROM generate_series(1, {notes}) g WHERE g % 10 = 1 OR g <= {WAITING})"""
    yield f"""
        INSERT INTO invoices_promise (id, invoice, amount, currency, paid_before, day, ends_at, note, recorded_by_id,
            recorded_at, request_id, state, ended_at, ended_because)
        SELECT md5('promise' || g)::uuid, 'in_' || 4 + 25 * (g - 1), 1 + g, 'usd', 0, (now() + due)::date,
            date_trunc('day', now() + due) + interval '1 day', '', {user}, now() - interval '30 days', '', state,
            CASE WHEN state <> 'open' THEN now() END, ''
        FROM (SELECT g, CASE WHEN g % 20 = 0 THEN (g / 20) % 7 ELSE -2 END * interval '1 day' AS due,
                CASE WHEN g % 20 = 0 THEN 'open' WHEN g % 20 = 1 THEN 'broken' WHEN g % 2 = 0 THEN 'kept'
                    ELSE 'withdrawn' END AS state
            FROM generate_series(1, {open_ones}) g) promised"""
    yield f"""
        INSERT INTO invoices_assignment (invoice, person_id, given_by_id, given_at, note, request_id, ended_at)
        SELECT 'in_' || g * {n // given}, CASE WHEN g <= 60 OR g % 20 = 0 THEN {user} ELSE
            {who}[2 + g % {len(colleagues)}] END, {user}, {made(given)}, '', '', CASE WHEN g % 3 = 1 THEN now() END
        FROM generate_series(1, {given}) g"""
    yield f"""
        INSERT INTO invoices_savedview (list, name, query, owner_id, shared, created_at)
        SELECT 'invoice', 'View ' || g, 'state=open', {who}[1 + g % {len(colleagues) + 1}], g % 10 = 0, now()
        FROM generate_series(1, {max(n // 1000, 200)}) g"""
    yield from _large(sizes, user, made)
    yield from _waiting(sizes, user, colleagues)
    yield from _tallies(sizes)


def _large(sizes: Sizes, user: int, made: Callable[[int], str]) -> Iterator[str]:
    """What has far more than others have."""
    of_customer, of_invoice = large(sizes, "of_customer"), large(sizes, "of_invoice")
    of_run, of_batch = large(sizes, "of_run"), large(sizes, "of_batch")

    def document(beginning: str) -> str:
        return f"""json_build_object('id', '{beginning}' || g)::text"""

    yield f"""
        INSERT INTO invoices_customer (id, created, data, stored_at, name, email)
        VALUES ('{LARGE_CUSTOMER}', '{sizes.begin.isoformat()}', '{{}}', now(), 'large ltd', 'billing@large.example')"""
    yield f"""
        INSERT INTO invoices_invoice (id, created, data, stored_at, customer_id, number, status, currency,
            collection_method, total, amount_due, amount_paid, amount_remaining, due_date)
        SELECT 'in_of_large_' || g, {made(of_customer)}, {document("in_of_large_")}, now(), '{LARGE_CUSTOMER}',
            'LARGE-' || g, CASE WHEN g % 20 = 0 THEN 'open' ELSE 'paid' END, 'usd', 'send_invoice', g, g, 0, g,
            {made(of_customer)}
        FROM generate_series(1, {of_customer}) g"""
    yield f"""
        INSERT INTO invoices_invoicepayment (id, created, data, stored_at, invoice_id, status, payment_type,
            payment_intent, currency, amount_requested)
        SELECT 'inpay_of_large_' || g, {made(of_customer)}, {document("inpay_of_large_")}, now(), 'in_of_large_' || g,
            'paid', 'payment_intent', 'pi_of_large_' || g, 'usd', g
        FROM generate_series(1, {of_customer}) g"""
    yield f"""
        INSERT INTO invoices_charge (id, created, data, stored_at, payment_intent, customer, status, currency, amount)
        SELECT 'ch_of_large_' || g, {made(of_customer)}, '{{}}', now(), 'pi_of_large_' || g, '{LARGE_CUSTOMER}',
            'succeeded', 'usd', g
        FROM generate_series(1, {of_customer}) g"""
    yield f"""
        INSERT INTO invoices_invoice (id, created, data, stored_at, customer_id, number, status, currency, total,
            amount_due, amount_paid, amount_remaining)
        VALUES ('{LARGE_INVOICE}', '{sizes.begin.isoformat()}', '{{"id": "{LARGE_INVOICE}"}}', now(),
            '{LARGE_CUSTOMER}', 'LARGE-0', 'open', 'usd', 100, 100, 0, 100)"""
    yield f"""
        INSERT INTO invoices_invoicepayment (id, created, data, stored_at, invoice_id, status, payment_type,
            payment_intent, currency, amount_requested)
        VALUES ('inpay_large', '{sizes.begin.isoformat()}', '{{"id": "inpay_large"}}', now(), '{LARGE_INVOICE}', 'open',
            'payment_intent', 'pi_large', 'usd', 100)"""
    yield f"""
        INSERT INTO invoices_event (id, type, created, api_version, account, object_type, object_id, request_id,
            idempotency_key, body, source, received_at, state, attempts, next_attempt_at, error)
        SELECT 'evt_large_' || g, 'invoice.updated', date_trunc('second', {made(of_invoice)}), '', '', 'invoice',
            '{LARGE_INVOICE}', '', '', '{{}}', 'webhook', {made(of_invoice)}, 'done', 0, now(), ''
        FROM generate_series(1, {of_invoice}) g"""
    yield f"""
        INSERT INTO invoices_reconciliationrun (id, kind, state, dry_run, params, progress, started_at, alive_at,
            finished_at, seen, same, imported, healed, in_flight, failed, events, report, error, exit_code)
        VALUES ({LARGE_RUN}, 'sweep', 'finished', false, '{{}}', '{{}}', '{sizes.begin.isoformat()}',
            '{sizes.begin.isoformat()}', '{sizes.begin.isoformat()}',
            {of_run}, 0, 0, {of_run}, 0, 0, 0, '{{}}', '', 0)"""
    yield f"""
        INSERT INTO invoices_drift (id, run_id, kind, object_type, object_id, invoice, field, ours, theirs, found_at,
            healed_at)
        SELECT {FIRST_DRIFT} + g, {LARGE_RUN}, 'differs', 'invoice', 'in_' || g * 2,
            'in_' || g * 2, CASE WHEN g % 3 = 0 THEN 'total' ELSE 'footer' END, '100', '200', {made(of_run)},
            CASE WHEN g % 2 = 0 THEN now() END
        FROM generate_series(1, {of_run}) g"""
    yield f"""
        INSERT INTO invoices_batch (id, action, items, actor_id, reason, ticket, params, request_id, created_at,
            finished_at, decision_reason, decision_request_id)
        SELECT '{LARGE_BATCH}'::uuid, 'void', json_agg(json_build_array('in_' || g, 'open', g, 'usd')), {user},
            'Month end', '', '{{}}', 'req_large', now(), now(), '', '' FROM generate_series(1, {of_batch}) g"""
    yield _operations(
        f"SELECT md5('of large' || g)::uuid AS id, 'void' AS action, 'in_' || g AS invoice, {user} AS actor_id, "
        f"CASE WHEN g % 10 = 0 THEN 'failed' ELSE 'succeeded' END AS state, '{LARGE_BATCH}'::uuid AS batch_id, "
        f"NULL::bigint AS approval_amount, '{{}}'::jsonb AS params FROM generate_series(1, {of_batch}) g"
    )


def _waiting(sizes: Sizes, user: int, colleagues: list[int]) -> Iterator[str]:
    """What waits for people, and the payments that were recorded with a reference of a bank."""
    yield _operations(
        f"SELECT md5('waits' || g)::uuid AS id, 'void' AS action, 'in_' || g * {sizes.invoices // WAITING} AS invoice, "
        f"CASE WHEN g % 4 = 0 THEN {user} ELSE {colleagues[0]} END AS actor_id, 'awaiting_approval' AS state, "
        f"NULL::uuid AS batch_id, 100000::bigint AS approval_amount, '{{}}'::jsonb AS params "
        f"FROM generate_series(1, {WAITING}) g"
    )
    recorded = max(sizes.invoices // 50, 200)
    yield _operations(
        "SELECT md5('recorded' || g)::uuid AS id, 'attach_out_of_band_payment' AS action, "
        f"'in_' || g * {sizes.invoices // recorded} AS invoice, {user} AS actor_id, 'succeeded' AS state, "
        "NULL::uuid AS batch_id, 100::bigint AS approval_amount, "
        f"json_build_object('reference', 'Transfer-' || g)::jsonb AS params FROM generate_series(1, {recorded}) g"
    )
    yield f"""
        INSERT INTO invoices_contradiction (operation_id, event_id, message, found_at, resolution)
        SELECT md5(g::text)::uuid, 'evt_' || g, 'Stripe says that it was paid.', now(), ''
        FROM generate_series(1, {WAITING}) g"""
    yield f"""
        INSERT INTO invoices_webhookendpoint (id, url, description, enabled_events, secret, previous_secret,
            created_at, disabled_because, unanswered, redeliver_after)
        VALUES ('we_1', 'https://books.example/stripe', '', '["*"]', '', '', '{sizes.begin.isoformat()}', '', 0, '')"""
    deliveries = max(sizes.events // 10, 200)  # of the last days alone: older ones are removed
    yield f"""
        INSERT INTO invoices_delivery (endpoint_id, event, type, state, written_at, due_since, next_attempt_at,
            attempts, retries, last_error, ended_at)
        SELECT 'we_1', 'evt_' || g, 'invoice.paid', CASE WHEN g % 500 = 0 THEN 'failed' WHEN g > {deliveries} - 20
            THEN 'pending' ELSE 'delivered' END, now() - g * interval '1 s', now(), now(), 1, 0, '',
            CASE WHEN g <= {deliveries} - 20 THEN now() END
        FROM generate_series(1, {deliveries}) g"""


def _operations(rows: str) -> str:
    """Operations of this SELECT's columns; the others are empty."""
    return f"""
        INSERT INTO invoices_operation (id, created_at, action, invoice, actor_id, source, state, code, request_id,
            params, expected, before, after, calls, reason, ticket, payment_method, idempotency_key, fingerprint,
            settle_attempts, processing, decline_code, message, advice, stripe_request_id, outcome_by, decision_reason,
            decision_request_id, currency, batch_id, approval_amount, finished_at)
        SELECT id, now() - interval '1 hour', action, invoice, actor_id, 'admin', state, '', '', params, '{{}}',
            '{{"status": "open", "amount_remaining": 100, "currency": "usd"}}', '{{}}', '[]', 'Agreed by phone', '',
            '', '', '', 0, false, '', '', '', '', '', '', '', 'usd', batch_id, approval_amount,
            CASE WHEN state <> 'awaiting_approval' THEN now() END
        FROM ({rows}) AS wanted"""


def _tallies(sizes: Sizes) -> Iterator[str]:
    """As `invoices.tallies` would count the open invoices, those that were paid late, and the charges of the last
    weeks; whether an open one waits for a payment, no object here says."""
    first = (sizes.begin + sizes.span - timedelta(days=TALLIED_DAYS)).date()
    reasons = f"(ARRAY{list(REASONS)})"
    columns = "(queue, day, currency, reason, object_type, object_id, amount)"
    chance = "length(id) * 7 + ascii(right(id, 1)) + ascii(right(id, 2))"  # of a row, from its id
    yield f"""
        INSERT INTO invoices_tallied {columns}
        SELECT '{tallies.OPEN}', coalesce((due_date AT TIME ZONE 'UTC')::date, '{NO_DAY.isoformat()}'), currency, '',
            'invoice', id, amount_remaining
        FROM invoices_invoice WHERE status = 'open'"""
    yield f"""
        INSERT INTO invoices_tallied {columns}
        SELECT queue, (created AT TIME ZONE 'UTC')::date, currency,
            CASE WHEN queue = '{tallies.PAYMENT_FAILED}' THEN {reasons}[1 + chance % {len(REASONS)}] ELSE '' END,
            'invoice', id, amount_remaining
        FROM (SELECT *, CASE chance % 8 WHEN 0 THEN '{tallies.NEEDS_CUSTOMER}' WHEN 1 THEN '{tallies.DEBIT_UNDER_WAY}'
                WHEN 2 THEN '{tallies.PAYMENT_FAILED}' WHEN 3 THEN '{tallies.PAYMENT_FAILED}' END AS queue
            FROM (SELECT *, {chance} AS chance FROM invoices_invoice WHERE status = 'open') numbered) waiting
        WHERE queue IS NOT NULL"""
    yield f"""
        INSERT INTO invoices_tallied {columns}
        SELECT '{tallies.RECOVERED}', (paid_at AT TIME ZONE 'UTC')::date, currency, '', 'invoice', id, total
        FROM (SELECT *, {chance} AS chance FROM invoices_invoice WHERE status = 'paid' AND paid_at >= '{first}') paid
        WHERE chance % 5 = 0"""
    yield f"""
        INSERT INTO invoices_tallied {columns}
        SELECT CASE WHEN status = 'succeeded' THEN '{tallies.CHARGED}' WHEN chance % 2 = 0 THEN '{tallies.DECLINED}'
                ELSE '{tallies.DECLINED_THEN_PAID}' END,
            (created AT TIME ZONE 'UTC')::date, currency,
            CASE WHEN status = 'succeeded' THEN '' ELSE {reasons}[1 + chance % {len(REASONS)}] END, 'charge', id, amount
        FROM (SELECT *, {chance} AS chance FROM invoices_charge WHERE created >= '{first}') charged"""
    yield """
        INSERT INTO invoices_tally (queue, day, currency, reason, count, amount)
        SELECT queue, day, currency, reason, count(*), sum(amount) FROM invoices_tallied GROUP BY 1, 2, 3, 4"""
    yield f"""
        INSERT INTO invoices_tallyprogress (id, after, mark, counted_at, counted_from, walk, walk_type, walk_after,
            walk_wrong, filled_at, wrong)
        VALUES (1, 0, '', now(), '{first}', '', '', '', 0, now(), 0)"""
