"""Erases the personal data of one customer, after Stripe has: from the mirror, the journal, drift and archives.

Amounts, ids, states, dates and who did what stay, and so does the journal's proof. Every step can be repeated, so an
erasure that was interrupted goes on when it is asked for again. The order matters only for what is known of the
customer: it is taken from the rows themselves. So what only names the customer comes first, and the customer's own row
last.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, models, transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from invoices import clock, customer_rows, exports, gateway, journal, mirror, refetch
from invoices.journal.content import Content, contents, row_text
from invoices.models import (
    CHAINED,
    MIRRORED,
    ApiToken,
    BankTransaction,
    Batch,
    Customer,
    DeskEvent,
    Drift,
    Email,
    ErasedRow,
    Erasure,
    Event,
    EventArchive,
    Export,
    JournalLink,
    Mirrored,
    Operation,
    Pause,
    ReconciliationRun,
    Removal,
    SavedView,
    ScheduledRefetch,
    UnchainedRow,
    personal,
)
from invoices.models.erasures import LOCK
from invoices.models.events import UNREADABLE_PREFIX
from invoices.models.immutable import ImmutableModel
from invoices.snapshot import Snapshot

ROWS_AT_ONCE = 50  # in memory, and rewritten in one transaction: the body of one event may have a megabyte
READS = 3  # of one object, until the mirror has what Stripe has now
LOCK_WAIT_MS = 200  # of the beginning; less than PostgreSQL takes to look for deadlocks
LOCK_TRIES = 150
MOST_NAMED = 50  # places that are named at the end
CHAIN_WAIT_SECONDS = 60.0

# What people wrote is erased where it has but a word of the customer's name; what we or Stripe wrote, where it has all.
PEOPLE_WROTE = frozenset({"reason", "ticket", "decision_reason", "resolution"})
# The text of a note, a promise or an assignment is about the customer, whatever it says.
ALWAYS = frozenset({"card_fingerprint", "text", "note", "ended_because"})

OBJECT_ID = re.compile(r'"object_id":"([^"]*)"')  # in a line of an archive; inside a body the quotes are escaped

ShowProgress = Callable[[str, int], None]  # (what, how many more rows of it were looked at)


class CannotErase(Exception):
    """It is not erased, and nothing was begun; or it was interrupted, and can go on. The message says what to do."""


@dataclass(frozen=True)
class Preview:
    """What an erasure would take personal data from. Numbers of rows; `events` is what is found without reading all."""

    customers: int
    invoices: int
    payment_intents: int
    charges: int
    credit_notes: int
    refunds: int
    events: int
    operations: int
    batches: int
    contradictions: int
    notes: int
    drift: int


class Done(NamedTuple):
    """What an erasure did, and what it could not."""

    rows: Counter[str]  # how many were rewritten or read anew, by their kind
    left: list[str]  # which texts that nothing rewrites name the customer yet, for people


JOURNAL: dict[str, Callable[[str], models.QuerySet]] = {
    "operation": customer_rows.operations,
    "batch": customer_rows.batches,
    "contradiction": customer_rows.contradictions,
    "disclosure": customer_rows.disclosures,
    "note_version": customer_rows.note_versions,
    "promise": customer_rows.promises,
    "assignment": customer_rows.assignments,
    "bank_match": customer_rows.bank_matches,
    "bank_decision": customer_rows.bank_decisions,
    "drift_explanation": customer_rows.drift_explanations,
}
# The customer comes last: what is known of a customer stands there, should this be interrupted.
MIRROR: dict[str, Callable[[str], models.QuerySet]] = {
    "invoice": customer_rows.invoices,
    "payment_intent": customer_rows.intents,
    "charge": customer_rows.charges,
    "credit_note": customer_rows.credit_notes,
    "refund": customer_rows.refunds,
    "customer": customer_rows.customers,
}


# --- how many there are -----------------------------------------------------------------------------------------------


def preview(customer: str) -> Preview:
    """What there is of this customer. It changes nothing and asks nobody."""
    return Preview(
        customers=customer_rows.customers(customer).count(),
        invoices=customer_rows.invoices(customer).count(),
        payment_intents=customer_rows.intents(customer).count(),
        charges=customer_rows.charges(customer).count(),
        credit_notes=customer_rows.credit_notes(customer).count(),
        refunds=customer_rows.refunds(customer).count(),
        events=Event.objects.filter(customer_rows.events_of_objects(customer)).count(),
        operations=customer_rows.operations(customer).count(),
        batches=customer_rows.batches(customer).count(),
        contradictions=customer_rows.contradictions(customer).count(),
        notes=customer_rows.notes(customer).count(),
        drift=customer_rows.drift(customer).count(),
    )


# --- may it be erased -------------------------------------------------------------------------------------------------


def check(customer: str, archives: Path, *texts: str) -> None:
    """Raises CannotErase, with a sentence that says what to do. `texts` are the reason and the ticket: they stay.
    `archives` is the folder of the archived events."""
    if unfinished := customer_rows.operations(customer).exclude(state__in=Operation.FINAL).first():
        raise CannotErase(
            f"The operation {unfinished.pk} on {unfinished.invoice} is {unfinished.get_state_display()}. Erase the "
            "customer when it has ended: what was sent to Stripe may have to be sent again as it was."
        )
    known = known_of(customer, Archives(customer, archives))
    if any(known.is_named_in(text) for text in texts):
        raise CannotErase(
            "The reason or the ticket names the customer. Both stay in the journal: give them without the name."
        )
    _check_stripe(customer, known)


def _check_stripe(customer: str, known: personal.Known) -> None:
    """Raises CannotErase unless Stripe has erased the customer: the next sweep would bring everything back."""
    how_to = (
        "Have Stripe erase it first, by a redaction job: Dashboard, or POST /v1/privacy/redaction_jobs. Then run this "
        "again. Otherwise the next reconciliation would bring everything back."
    )
    try:
        found = gateway.retrieve("customer", customer)[0]
        if not found.deleted and not _is_redacted(found.data or {}, known):
            raise CannotErase(f"Stripe still has {customer} as it was. {how_to}")
        for object in ("invoice", "payment_intent", "charge", "credit_note"):  # refunds cannot be listed by customer
            for snapshot in _listed(object, customer):
                if where := known.where(snapshot.data):
                    raise CannotErase(f"Stripe still has personal data in {snapshot.id} ({where}). {how_to}")
    except gateway.GatewayError as error:
        raise CannotErase(f"Stripe could not be asked whether it has erased {customer}: {error.message}") from error


def _is_redacted(data: dict[str, Any], known: personal.Known) -> bool:
    """Whether this is how Stripe shows a customer after its redaction: placeholders, and nothing that we know."""
    redaction = data.get("redaction")
    says_so = isinstance(redaction, dict) and redaction.get("status") == "redacted"
    shown = [data[name] for name in ("email", "name", "phone") if isinstance(data.get(name), str)]
    has_placeholders = bool(shown) and all(personal.is_placeholder(value) for value in shown)
    return (says_so or has_placeholders) and not known.where(data)


def _listed(object: str, customer: str) -> Iterator[Snapshot]:
    """All that Stripe lists of a customer; nothing where it lists none for one that is deleted."""
    after: dict[str, Any] = {}
    while True:
        try:
            snapshots, page = gateway.list_page(object, throttled=True, customer=customer, **after)
        except (gateway.Missing, gateway.RefusedByStripe):
            return
        yield from snapshots
        if not page.data["has_more"]:
            return
        after = {"starting_after": page.data["data"][-1]["id"]}


def known_of(customer: str, archives: Archives) -> personal.Known:
    """The names, addresses and numbers that stand in this customer's rows and archived events."""
    known = personal.Known()
    for rows_of in MIRROR.values():
        rows = rows_of(customer).exclude(data=None)
        for data in rows.values_list("data", flat=True).iterator(chunk_size=ROWS_AT_ONCE):
            known.learn(data)
    for body in (
        Event._base_manager.filter(customer_rows.events_of_objects(customer))
        .values_list("body", flat=True)
        .iterator(chunk_size=ROWS_AT_ONCE)
    ):
        known.learn(personal.parsed(body))
    differences = customer_rows.drift(customer).values_list("field", "object_type", "ours", "theirs")
    for field, object_type, ours, theirs in differences.iterator(chunk_size=ROWS_AT_ONCE):
        for value in (ours, theirs):
            known.learn(_at_path(field, value), object_type)
    archives.teach(known)
    return known


def _at_path(path: str, value: Any) -> Any:
    """The value as it stands in its object: `lines.data.3.amount` → {"lines": {"data": {"3": {"amount": …}}}}."""
    for name in reversed(path.split(".") if path else []):
        value = {name: value}
    return value


# --- erasing ----------------------------------------------------------------------------------------------------------


def begin(customer: str, *, reason: str, ticket: str = "", actor: User | None, shell_user: str) -> Erasure:
    """The journal's row of a new erasure, or of the one of this customer that was interrupted.

    From its commit on, nothing is stored with the customer's personal data. What was being stored at that moment is
    stored, because this waits for it.
    """
    for _ in range(LOCK_TRIES):
        try:
            with transaction.atomic():
                _wait_for_writers()
                interrupted = Erasure.objects.filter(customer=customer, finished_at=None).order_by("pk").first()
                return interrupted or Erasure.objects.create(
                    customer=customer,
                    reason=reason,
                    ticket=ticket,
                    actor=actor,
                    shell_user=shell_user,
                    requested_at=clock.now(),
                )
        except OperationalError:  # a long transaction of a writer; others do not queue behind us for longer than this
            time.sleep(LOCK_WAIT_MS / 1000)
    raise CannotErase("Other processes have been writing without a pause. Nothing was begun; try again.")


def _wait_for_writers() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_MS}ms'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def perform(erasure: Erasure, archives: Path, show_progress: ShowProgress = lambda what, rows: None) -> Done:
    """Erases, and marks the erasure as finished. `archives` is the folder of the archived events.

    Raises CannotErase where Stripe turns out to have personal data yet, and GatewayError where it does not answer. It
    can be called again then, and after any interruption.
    """
    customer, files = erasure.customer, Archives(erasure.customer, archives)
    known = known_of(customer, files)
    done: Counter[str] = Counter()
    # First what only names the customer: what it is called is known from the rest, which is erased after it.
    for kind, rows_of in JOURNAL.items():
        done[kind] = _erase_journal(erasure, kind, rows_of(customer), known, show_progress)
    # Bodies that nobody could read belong to nobody: those that have the customer's id, or a value, are looked at.
    unreadable = Event._base_manager.filter(pk__startswith=UNREADABLE_PREFIX)
    done["event"] = _erase_journal(erasure, "event", unreadable, known, show_progress, only_named=True)
    done["reconciliation run"] = _erase_runs(known)
    done["event"] += _erase_journal(erasure, "event", customer_rows.events(customer), known, show_progress)
    by = journal.archives.By(f"Erasure {erasure.pk}: {erasure.reason}", erasure.actor, erasure.shell_user)
    done["archived event"] = files.redact(known, by)
    done["bank transaction"] = _erase_bank(customer, known)
    done["drift"] = _erase_drift(customer, known)
    done["e-mail"] = _erase_emails(customer, known)
    done["desk event"] = _erase_desk_events(customer, known)
    done["saved view"] = _erase_saved_views(known)
    done["session"] = _erase_sessions(known)
    _erase_errors(known)
    for object, rows_of in MIRROR.items():
        for id in _ids(rows_of(customer)):
            _erase_mirrored(object, id, known)
            done[object] += 1
            show_progress(object, 1)
    done["prepared file"] = _remove_exports(known)
    journal.chain()
    Erasure.objects.filter(pk=erasure.pk, finished_at=None).update(finished_at=clock.now())
    return Done(done, list(islice(named_elsewhere(known), MOST_NAMED)))


def _ids(rows: models.QuerySet) -> Iterator[Any]:
    """Their keys in order, some at a time, so that none is kept open or in memory."""
    after: Any = None
    while True:
        following = rows if after is None else rows.filter(pk__gt=after)
        page = list(following.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
        yield from page
        if not page:
            return
        after = page[-1]


def _erase_mirrored(object: str, id: str, known: personal.Known) -> None:
    """Reads the object from Stripe. What Stripe has no more is redacted here."""
    model = MIRRORED[object]
    for _ in range(READS):
        outcome = refetch.refetch(object, id, throttled=True)[0]
        if outcome.snapshot.deleted or outcome.snapshot.data is None:
            mirror.erase(object, id, known)
            return
        if where := known.where(outcome.snapshot.data):
            raise CannotErase(f"Stripe still has personal data in {id} ({where}). Have it redacted there first.")
        row: Mirrored = model.rows.get(pk=id)
        if not known.where(row.data):
            return
    raise CannotErase(f"{id} changed at Stripe while it was read. Run this again.")


# What a bank said of the payer. Its own reference, the day and the amount stay: by them it is found at the bank.
OF_PAYERS = ("payer_name", "payer_account", "text", "structured_reference", "end_to_end_id", "return_reason")


def _erase_bank(customer: str, known: personal.Known) -> int:
    """Of transactions that paid the customer's invoices all that the bank said of the payer; of others the texts that
    name the customer. Who pays for the customer is remembered no longer."""
    customer_rows.known_payers(customer).delete()
    done = customer_rows.bank_transactions(customer).update(
        **dict.fromkeys(OF_PAYERS, personal.REDACTED), returns=[], proposals=None
    )
    for id in _ids(BankTransaction.objects.exclude(text=personal.REDACTED)):
        row = BankTransaction.objects.only(*OF_PAYERS).get(pk=id)
        named = {name: personal.REDACTED for name in OF_PAYERS if known.is_in(getattr(row, name))}
        if named:
            done += BankTransaction.objects.filter(pk=id).update(**named)
    return done


def _erase_drift(customer: str, known: personal.Known) -> int:
    done = 0
    for id in _ids(customer_rows.drift(customer)):
        drift = Drift.objects.get(pk=id)
        before = drift.ours, drift.theirs
        drift.ours, drift.theirs = (_redacted_difference(drift, value, known) for value in before)
        if (drift.ours, drift.theirs) != before:
            drift.save(update_fields=["ours", "theirs"])
            done += 1
    return done


def _redacted_difference(drift: Drift, value: Any, known: personal.Known) -> Any:
    inside = personal.redacted(_at_path(drift.field, value), known, drift.object_type)
    for _ in drift.field.split(".") if drift.field else []:
        (inside,) = inside.values()
    return inside


def _erase_runs(known: personal.Known) -> int:
    """A run's report and error are of many customers: only texts with a value of this one are replaced."""
    done = 0
    for id in _ids(ReconciliationRun.objects.exclude(report={}, error="")):
        run = ReconciliationRun.objects.get(pk=id)
        before = run.report, run.error
        run.report, run.error = (known.taken_out_of(value) for value in before)
        if (run.report, run.error) != before:
            run.save(update_fields=["report", "error"])
            done += 1
    return done


def _erase_emails(customer: str, known: personal.Known) -> int:
    """Of an e-mail that waits the lines that name the customer; its link stays, so it still says where to look."""
    done = 0
    about = set(customer_rows.emails(customer).values_list("pk", flat=True))
    for id in _ids(Email.objects.all()):
        email = Email.objects.filter(pk=id).first()
        if email is None:
            continue  # it was removed, because it was sent long ago
        has = known.is_named_in if id in about else known.is_in  # what people wrote may have but a word of the name
        lines = [personal.REDACTED if has(line) else line for line in email.body.split("\n")]
        subject, body = personal.REDACTED if has(email.subject) else email.subject, "\n".join(lines)
        if (subject, body) != (email.subject, email.body):
            Email.objects.filter(pk=id).update(subject=subject, body=body)
            done += 1
    return done


def _erase_desk_events(customer: str, known: personal.Known) -> int:
    """Of an event of ours what names the customer; of the customer's own operations also what people wrote with but a
    word of the name."""
    done = 0
    about = set(customer_rows.desk_events(customer).values_list("pk", flat=True))
    for id in _ids(DeskEvent.objects.all()):
        body = DeskEvent.objects.filter(pk=id).values_list("body", flat=True).first()
        if body is None:
            continue  # it was removed, because it is old
        event = known.taken_out_of(json.loads(body))
        operation = event["data"]["object"]
        for name in PEOPLE_WROTE & operation.keys() if id in about else ():
            if known.is_named_in(operation[name] or ""):
                operation[name] = personal.REDACTED
        redacted = json.dumps(event, separators=(",", ":"))
        if redacted != body:
            DeskEvent.objects.filter(pk=id).update(body=redacted)
            done += 1
    return done


def _erase_saved_views(known: personal.Known) -> int:
    """A view of a list whose name or search names the customer is deleted: redacted it would show nothing."""
    done = 0
    for view in SavedView.objects.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE):
        given = parse_qsl(view.query)  # a name may stand in it more than once
        says_so = any(known.is_named_in(value) if name == "q" else known.is_in(value) for name, value in given)
        if says_so or known.is_named_in(view.name):
            view.delete()
            done += 1
    return done


def _remove_exports(known: personal.Known) -> int:
    """Every prepared file, because any may hold the customer; and the wishes that name the customer. Called when the
    mirror and the journal have nothing of the customer any more, so that no file made later has."""
    done = exports.remove_all()
    for export in Export.objects.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE):
        if any(known.is_named_in(text) for text in _texts_within(export.parameters)):
            export.delete()
            done += 1
    return done


def _erase_sessions(known: personal.Known) -> int:
    """Of a session what names the customer: a form that could not be sent is kept there, and what a page is to say
    next. Whom the session belongs to stays."""
    done = 0
    for id in _ids(Session.objects.all()):
        while (session := Session.objects.filter(pk=id).first()) is not None:
            held = session.get_decoded()
            kept = {
                name: value
                for name, value in held.items()
                if name.startswith("_auth_") or not any(known.is_named_in(text) for text in _texts_within(value))
            }
            if kept == held:
                break
            as_it_was = Session.objects.filter(pk=id, session_data=session.session_data)
            if as_it_was.update(session_data=Session.objects.encode(kept)):
                done += 1
                break
    return done


def _texts_within(value: Any) -> Iterator[str]:
    """The texts of a session's entry, also of one that is written as JSON or as a form is sent."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_within(each)
    elif isinstance(value, str):
        yield unquote_plus(value)
        yield from _texts_within(inside) if isinstance(inside := personal.parsed(value), (dict, list)) else ()


# What our processes wrote about their own work, beside the evidence: an error of Stripe's or of a database may name
# the customer. Rows with such a text are few.
ERRORS = {Event: "error", ScheduledRefetch: "error", Drift: "reason", Email: "error"}


def _erase_errors(known: personal.Known) -> None:
    for model, column in ERRORS.items():
        for id in _ids(model._base_manager.exclude(**{column: ""})):
            rows = model._base_manager.filter(pk=id)
            if known.is_in(rows.values_list(column, flat=True).first() or ""):
                rows.update(**{column: personal.REDACTED})


# What people wrote for other purposes than a customer, and what the journal never changes.
ELSEWHERE: dict[type[models.Model], tuple[str, ...]] = {
    Pause: ("reason",),
    Removal: ("reason",),
    ApiToken: ("name",),
    EventArchive: ("reason",),
    Operation: ("idempotency_key", "request_id"),
    Batch: ("idempotency_key", "request_id"),
    LogEntry: ("object_repr", "change_message"),
}


def named_elsewhere(known: personal.Known) -> Iterator[str]:
    """Which rows name the customer yet, in columns that no erasure rewrites: table, id and column, for people."""
    for model, columns in ELSEWHERE.items():
        for column in columns:
            texts = model._base_manager.exclude(**{column: ""}).values_list("pk", column)
            for id, text in texts.iterator(chunk_size=ROWS_AT_ONCE):
                if known.is_in(text):
                    yield f"{model._meta.verbose_name} {id} ({column})"


# --- rows of the journal ----------------------------------------------------------------------------------------------


def _erase_journal(
    erasure: Erasure,
    kind: str,
    rows: models.QuerySet,
    known: personal.Known,
    show_progress: ShowProgress,
    *,
    only_named: bool = False,
) -> int:
    """Rewrites those of these rows that hold personal data; how many. `only_named`: those that name the customer."""
    model, after, done = CHAINED[kind], None, 0
    while True:
        following = rows if after is None else rows.filter(pk__gt=after)
        keys = list(following.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
        if not keys:
            return done
        after = keys[-1]
        named = erasure.customer if only_named else ""
        if changes := _changes(model, keys, known, named):
            _rewrite(erasure, kind, changes, known, named)
            done += len(changes)
        show_progress(kind, len(keys))


Changes = dict[str, tuple[Any, dict[str, str]]]  # the row's id as text → its key, and its columns' new text


def _changes(model: type[ImmutableModel], keys: list[Any], known: personal.Known, named: str) -> Changes:
    columns = sorted(model.rules.texts | model.rules.documents)
    as_text = {f"{name}_text": Cast(name, TextField()) for name in columns}
    found: Changes = {}
    rows = model._base_manager.filter(pk__in=keys).annotate(row_text=row_text(), **as_text)
    for values in rows.values("pk", "row_text", *as_text).iterator(chunk_size=ROWS_AT_ONCE):
        new = {}
        for name in columns:
            old = values[f"{name}_text"]
            if not old or (named and named not in old and not known.is_in(old)):
                continue
            without = _without(name, old, model, known)
            if without != old:
                new[name] = without
        if new:
            found[values["row_text"]] = values["pk"], new
    return found


def _without(column: str, text: str, model: type[ImmutableModel], known: personal.Known) -> str:
    if column in model.rules.documents:
        return personal.redacted_text(text, known)
    is_named = known.is_named_in if column in PEOPLE_WROTE else known.is_in
    return personal.REDACTED if column in ALWAYS or is_named(text) else text


def _rewrite(erasure: Erasure, kind: str, changes: Changes, known: personal.Known, named: str) -> None:
    """Rewrites these rows in one transaction, each with its record, once the chain has what they hold now."""
    model = CHAINED[kind]
    end = time.monotonic() + CHAIN_WAIT_SECONDS
    while True:
        _chain_as_they_are(kind, changes)
        with transaction.atomic():
            list(model._base_manager.select_for_update().filter(pk__in=[key for key, _ in changes.values()]))
            before = dict(contents(kind, changes))
            if all(_is_chained(kind, row, before.get(row)) for row in changes):
                # Again under the lock: a worker may have written in between.
                changes = _changes(model, [key for key, _ in changes.values()], known, named)
                _rewrite_locked(erasure, kind, changes, before)
                return
        if time.monotonic() > end:
            raise CannotErase(
                "The journal's chain does not follow. See `manage.py journal verify`; then run this again."
            )
        time.sleep(0.1)


def _is_chained(kind: str, row: str, content: Content | None) -> bool:
    """Whether the row's last link has just this content, with the hash of what is kept."""
    last = _last_link(kind, row)
    return last is not None and content is not None and (last.digest, last.kept) == (content.digest, content.kept)


def _last_link(kind: str, row: str) -> JournalLink | None:
    return JournalLink.objects.filter(kind=kind, row=row).order_by("-position").first()


def _chain_as_they_are(kind: str, rows: Iterable[str]) -> None:
    """Makes links of what the rows hold now. A row that is chained already, but by a version that had no `kept` or
    another list of what is personal, gets one more link."""
    other_kept = [
        UnchainedRow(kind=kind, row=row)
        for row, content in contents(kind, rows)
        if (last := _last_link(kind, row)) and last.digest == content.digest and last.kept != content.kept
    ]
    UnchainedRow.objects.bulk_create(other_kept)
    journal.chain()


def _rewrite_locked(erasure: Erasure, kind: str, changes: Changes, before: dict[str, Content]) -> None:
    model = CHAINED[kind]
    records = {
        row: ErasedRow.objects.create(
            erasure=erasure,
            kind=kind,
            row=row,
            columns=", ".join(sorted(new)),
            kept=before[row].kept,
            fixed_before=before[row].fixed,
            digest_before=before[row].digest,
            made_at=clock.now(),
        )
        for row, (_, new) in changes.items()
    }
    table, key_column = model._meta.db_table, model._meta.pk
    with connection.cursor() as cursor:
        for key, new in changes.values():
            sets = ", ".join(f'"{name}" = %s' for name in new)
            values = [*new.values(), key_column.get_db_prep_value(key, connection)]
            # As text, past the columns' types: those drop the members that they do not know.
            cursor.execute(f'UPDATE {table} SET {sets} WHERE "{key_column.column}" = %s', values)  # noqa: S608
    after = dict(contents(kind, changes))
    for row, record in records.items():
        if after[row].kept != record.kept:
            raise AssertionError(f"{kind} {row}: the erasure would change more than personal data")
        record.fixed_after, record.digest_after, record.rewritten_at = after[row].fixed, after[row].digest, clock.now()
        record.save(update_fields=["fixed_after", "digest_after", "rewritten_at"])


def clean_file() -> bool:
    """On SQLite, removes from the file what was overwritten or deleted; False where others kept it busy.

    PostgreSQL's own vacuum does it there, in time.
    """
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        try:
            cursor.execute("VACUUM")
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except OperationalError:
            return False
    return not busy


# --- archives ---------------------------------------------------------------------------------------------------------


class Archives:
    """The files of events that may hold the customer: all those in force, but of months that ended before Stripe had
    the customer. Also files that no row of the journal names, such as a killed process left."""

    def __init__(self, customer: str, folder: Path) -> None:
        self.customer, self.folder = customer, folder
        created = Customer.rows.filter(pk=customer).values_list("created", flat=True).first()
        rows = journal.archives.current().order_by("month", "pk")
        self.rows = rows.filter(month__gte=created.astimezone(UTC).date().replace(day=1)) if created else rows
        self._ids = customer_rows.object_ids(customer)

    def concerns(self, line: str) -> bool:
        """Whether this line is one of the customer's events, or of an object that names the customer."""
        found = OBJECT_ID.search(line)
        return self.customer in line or bool(found and found[1] in self._ids)

    def teach(self, known: personal.Known) -> None:
        """Makes known what these files know of the customer. Raises CannotErase where one is missing."""
        with self._said_for_people():
            for path in [*(journal.archives.file_of(row, self.folder) for row in self.rows), *self._leftovers()]:
                for line in journal.archives.lines(path):
                    if self.concerns(line):
                        known.learn(personal.parsed(journal.archives.event_of(line).body))

    def events(self) -> Iterator[Event]:
        """Those in force that may be the customer's, file by file. Raises CannotErase where one cannot be read."""
        with self._said_for_people():
            for row in self.rows:
                for line in journal.archives.lines(journal.archives.file_of(row, self.folder)):
                    if self.concerns(line):
                        yield journal.archives.event_of(line)

    def redact(self, known: personal.Known, by: journal.archives.By) -> int:
        """Takes the personal data out of them; how many events were rewritten. Raises CannotErase."""
        change, done = redacts(known), 0
        with self._said_for_people():
            for row in self.rows:
                done += journal.archives.rewrite(row, self.folder, change, by, self.concerns)
            for path in self._leftovers():
                done += journal.archives.rewrite_leftover(path, change, self.concerns)
        return done

    def _leftovers(self) -> list[Path]:
        return journal.archives.leftovers(self.folder)

    @contextmanager
    def _said_for_people(self) -> Iterator[None]:
        try:
            yield
        except (journal.NotArchivable, OSError, ValueError) as error:
            raise CannotErase(
                f"Archived events may hold the customer, and those in {self.folder} cannot be read: {error}. Put all "
                "files of archived events there, or name their folder by --archive DIR. Then run this again."
            ) from error


def redacts(known: personal.Known) -> Callable[[Event], bool]:
    """Takes the customer's personal data out of an event that is in no table, and says whether there was any."""

    def redact(event: Event) -> bool:
        before, event.body = event.body, personal.redacted_text(event.body, known)
        return event.body != before

    return redact
