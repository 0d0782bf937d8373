"""A reconciliation run, a proof of equality and a drift row, in words."""

from datetime import UTC, date, datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from invoices import money, recorded
from invoices.admin.formatting import moment, number, span, words
from invoices.models import Drift, ReconciliationRun
from invoices.models.reading import BIGINT_LIMIT, text
from invoices.reconcile import CLEAN, DRIFT_HEALED, DRIFT_LEFT, FAILED, NOT_EQUAL, proof_in_words, runs
from invoices.reconcile.windows import FULL_RUN_PARTS

MAX_TIMESTAMP = 10**11  # seconds since 1970 (the year 5138); a larger number is shown as it is
ENDED_EARLY = (ReconciliationRun.State.FAILED, ReconciliationRun.State.INTERRUPTED)

RUN_KINDS = {
    "sweep": gettext_noop("Sweep"),
    "full": gettext_noop("Everything"),
    "part": gettext_noop("Part of everything"),
    "invoice": gettext_noop("One invoice"),
    "catch_up": gettext_noop("Catch-up"),
    "verify": gettext_noop("Proof"),
}

# What each kind of run reads, what it does, and when it begins by itself (reconcile/schedule.py, backoffice/beat.py).
EXPLANATIONS = {
    "sweep": gettext_noop(
        "Reads every invoice at Stripe that can still change, its payments, and all that was made in the last 30 "
        "days, and compares it with what we have. What differs and is explained by no event is written down as drift, "
        "and healed. Runs every night."
    ),
    "full": gettext_noop(
        "As the sweep, over everything that Stripe has: invoices, payments, customers, PaymentIntents, charges, "
        "credit notes and refunds, of any age. It fills an empty desk, too. Begins only when somebody starts it."
    ),
    "part": gettext_noop(
        "One of {parts} parts of a run over everything. One runs every night, so in four weeks everything was "
        "compared once."
    ),
    "invoice": gettext_noop(
        "Compares one invoice, its payments and its customer with Stripe, and heals what differs. Begins when "
        "somebody asks for it on the invoice's page."
    ),
    "catch_up": gettext_noop(
        "Reads Stripe's list of events and takes those whose webhook never reached us. It compares nothing: "
        "the events then do what they would have done. Runs every 15 minutes."
    ),
    "verify": gettext_noop(
        "Reads everything at Stripe and compares each object with what we have, each amount and each line. It "
        "heals nothing, so what it says is proof of how we stood. Runs every week; start it at any time."
    ),
}

# The members of Stripe's objects that pages of reconciliation name most: `formatting.words` looks for them.
MEMBERS = (
    gettext_noop("number"),
    gettext_noop("status"),
    gettext_noop("balance"),
    gettext_noop("total"),
    gettext_noop("subtotal"),
    gettext_noop("amount"),
    gettext_noop("amount due"),
    gettext_noop("amount paid"),
    gettext_noop("amount remaining"),
    gettext_noop("amount requested"),
    gettext_noop("amount received"),
    gettext_noop("amount captured"),
    gettext_noop("amount refunded"),
    gettext_noop("attempt count"),
    gettext_noop("collection method"),
    gettext_noop("currency"),
    gettext_noop("customer"),
    gettext_noop("customer email"),
    gettext_noop("customer name"),
    gettext_noop("description"),
    gettext_noop("due date"),
    gettext_noop("next payment attempt"),
    gettext_noop("payment intent"),
    gettext_noop("finalized at"),
    gettext_noop("paid at"),
    gettext_noop("voided at"),
    gettext_noop("marked uncollectible at"),
    # Kinds of objects.
    gettext_noop("invoice"),
    gettext_noop("invoice payment"),
    gettext_noop("charge"),
    gettext_noop("credit note"),
    gettext_noop("refund"),
    # A state of runs.
    gettext_noop("interrupted"),
)

# What the models call kinds of runs and of differences.
LABELS = (
    gettext_noop("Full"),
    gettext_noop("part of a full run"),
    gettext_noop("catch-up"),
    gettext_noop("proof of equality"),
    gettext_noop("missing here"),
    gettext_noop("missing at Stripe"),
    gettext_noop("Differs"),
    gettext_noop("column differs from its object"),
)


def explanation(run: ReconciliationRun) -> str:
    """What a run of this kind does, for who sees one for the first time."""
    words = _explained(run.kind)
    if not run.dry_run:
        return words
    return f"{words} {_('This one was a dry run: it wrote down what differs, and healed nothing.')}"


def _explained(kind: str) -> str:
    return _(EXPLANATIONS[kind]).format(parts=FULL_RUN_PARTS) if kind in EXPLANATIONS else ""


def explanations() -> list[tuple[str, str]]:
    """Each kind of run and what it does."""
    return [(_(RUN_KINDS[kind]), _explained(kind)) for kind in EXPLANATIONS]


def kind(run: ReconciliationRun) -> str:
    name = _(RUN_KINDS[run.kind]) if run.kind in RUN_KINDS else label(run)
    return _("{run} (dry run)").format(run=name) if run.dry_run else name


def label(run: ReconciliationRun) -> str:
    """What the model calls its kind."""
    return _(str(run.get_kind_display()))


def error(run: ReconciliationRun) -> str:
    """Why a run ended early, which is kept in English."""
    return recorded.shown(run.error)


def summary(run: ReconciliationRun) -> str:
    """What a run has found, in one line: `3 seen, 1 healed`."""
    if run.state == ReconciliationRun.State.RUNNING:
        return _("Running: {number} seen so far").format(number=number(run.seen))
    if run.state in ENDED_EARLY:
        return error(run) or capfirst(words(run.state))
    if run.kind == ReconciliationRun.Kind.VERIFY:
        return proof_summary(run)
    if run.kind == ReconciliationRun.Kind.CATCH_UP:
        if not run.events:
            return _("No event was missing")
        return ngettext(
            "{number} events that had not reached us", "{number} events that had not reached us", run.events
        ).format(number=number(run.events))
    parts = [_("{number} seen").format(number=number(run.seen))]
    for count, said in (
        (run.imported, _("{number} imported")),
        (run.healed, _("{number} healed")),
        (run.in_flight, _("{number} in flight")),
        (run.failed, _("{number} left as they were")),
    ):
        if count:
            parts.append(said.format(number=number(count)))
    return ", ".join(parts if len(parts) > 1 else [*parts, _("all the same")])


def exit_code_meaning(run: ReconciliationRun) -> str:
    """What the exit code of a run means (they are those of `manage.py reconcile`); empty while it has none."""
    if run.state == ReconciliationRun.State.INTERRUPTED:
        if run.kind in runs.GOES_ON:
            return _("Interrupted: the next one of its kind goes on with it.")
        return _("Interrupted: start it again.")
    if run.kind == ReconciliationRun.Kind.VERIFY and run.exit_code in {CLEAN, NOT_EQUAL}:
        if run.exit_code == CLEAN:
            return _("Equal: both sides have the same.")
        return _("Not equal: something differs.")
    if run.kind == ReconciliationRun.Kind.CATCH_UP and run.exit_code == CLEAN:
        return summary(run)
    return {
        CLEAN: _("Clean: what we showed was what Stripe had."),
        FAILED: _("Failed: it could not do its work."),
        DRIFT_HEALED: _("Drift was found, and healed."),
        DRIFT_LEFT: _("Drift is left: not all of it could be healed."),
    }.get(-1 if run.exit_code is None else run.exit_code, "")


def tone(run: ReconciliationRun) -> str:
    """The colour of a run: red if it failed or left drift, amber if it found drift and healed it."""
    if run.state == ReconciliationRun.State.RUNNING:
        return "violet"
    if run.state == ReconciliationRun.State.INTERRUPTED:
        return "amber"
    if run.state == ReconciliationRun.State.FAILED or run.exit_code in {FAILED, DRIFT_LEFT}:
        return "red"
    return "amber" if run.exit_code in {DRIFT_HEALED, NOT_EQUAL} else "green"


def duration(run: ReconciliationRun) -> str:
    """How long the run took; empty while it is running."""
    return span((run.finished_at - run.started_at).total_seconds()) if run.finished_at else ""


def proof_summary(run: ReconciliationRun) -> str:
    """What a proof of equality (a run of the kind `verify`) found, in one line."""
    found = {"objects": ngettext("{number} object", "{number} objects", run.seen).format(number=number(run.seen))}
    if since := (run.params or {}).get("since"):
        created = _("{objects} created since {day}")
        found = {"objects": created.format(**found, day=utc_day(str(since)[:10]))}
    if run.exit_code == CLEAN:
        said = _("{objects}, the same on both sides").format(**found)
    elif run.failed:
        said = _("{objects}: {differences}").format(**found, differences=proof_in_words.difference_count(run))
    else:
        said = _("{objects}: some days differ").format(**found)
    if not run.in_flight:
        return said
    return f"{said}, {_('{number} in flight').format(number=number(run.in_flight))}"


def utc_day(written: str) -> str:
    """A day in ISO 8601 as the language of the page writes it; what is no day, as it is."""
    try:
        return date_format(date.fromisoformat(written), "SHORT_DATE_FORMAT")
    except ValueError:
        return written


def drift_title(drift: Drift) -> str:
    """The kind of a difference, and its field or reason: `Differs: status`."""
    name = capfirst(_(str(drift.get_kind_display())))
    about = drift.field or Truncator(recorded.shown(drift.reason)).chars(80)
    return f"{name}: {about}" if about else name


def field_label(path: str) -> str:
    """`status_transitions.paid_at` → `paid at`; `lines.data.3.amount` → `line 4, amount`."""
    parts = path.split(".")
    if parts[:2] == ["lines", "data"] and len(parts) > 2 and parts[2].isdecimal():
        rest = words(".".join(parts[3:]))
        line = _("line {number}").format(number=number(int(parts[2]) + 1))
        return f"{line}, {rest}" if rest else line
    return words(parts[-1] if parts[0] == "status_transitions" else path)


def field_value(field: str, value: Any, currency: str | None) -> Any:
    """The value of a field of Stripe's, in few words: times and amounts for reading, of an object its status and
    number."""
    name = field.rpartition(".")[2]
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_at") or name in {"created", "due_date", "next_payment_attempt"}:
            return moment(datetime.fromtimestamp(value, UTC)) if 0 <= value < MAX_TIMESTAMP else str(value)
        if currency and abs(value) < BIGINT_LIMIT and (name.startswith("amount") or name in {"total", "subtotal"}):
            return money.text(value, currency)
    if isinstance(value, dict):
        told = {"status": words(text(value, "status")), "number": text(value, "number")}
        return ", ".join(f"{words(name)} {shown}" for name, shown in told.items() if shown) or "…"
    if name == "status" and isinstance(value, str):
        return Truncator(words(value)).chars(60)
    return Truncator(str(value)).chars(60)
