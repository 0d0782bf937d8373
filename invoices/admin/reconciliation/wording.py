"""A reconciliation run, a proof of equality and a drift row, in words."""

from datetime import UTC, datetime
from typing import Any

from django.utils.text import Truncator

from invoices import money
from invoices.admin.formatting import moment, span, words
from invoices.models import Drift, ReconciliationRun
from invoices.models.reading import BIGINT_LIMIT
from invoices.reconcile import CLEAN, DRIFT_HEALED, DRIFT_LEFT, FAILED, NOT_EQUAL, proof_in_words, runs
from invoices.reconcile.windows import FULL_RUN_PARTS

MAX_TIMESTAMP = 10**11  # seconds since 1970 (the year 5138); a larger number is shown as it is
ENDED_EARLY = (ReconciliationRun.State.FAILED, ReconciliationRun.State.INTERRUPTED)

RUN_KINDS = {
    "sweep": "Sweep",
    "full": "Everything",
    "part": "Part of everything",
    "invoice": "One invoice",
    "catch_up": "Catch-up",
    "verify": "Proof",
}

# What each kind of run reads, what it does, and when it begins by itself (reconcile/schedule.py, backoffice/beat.py).
EXPLANATIONS = {
    "sweep": "Reads every invoice at Stripe that can still change, its payments, and all that was made in the last 30 "
    "days, and compares it with what we have. What differs and is explained by no event is written down as drift, and "
    "healed. Runs every night.",
    "full": "As the sweep, over everything that Stripe has: invoices, payments, customers, PaymentIntents, charges, "
    "credit notes and refunds, of any age. It fills an empty desk, too. Begins only when somebody starts it.",
    "part": f"One of {FULL_RUN_PARTS} parts of a run over everything. One runs every night, so in four weeks "
    "everything was compared once.",
    "invoice": "Compares one invoice, its payments and its customer with Stripe, and heals what differs. Begins when "
    "somebody asks for it on the invoice's page.",
    "catch_up": "Reads Stripe's list of events and takes those whose webhook never reached us. It compares nothing: "
    "the events then do what they would have done. Runs every 15 minutes.",
    "verify": "Reads everything at Stripe and compares each object with what we have, each amount and each line. It "
    "heals nothing, so what it says is proof of how we stood. Runs every week; start it at any time.",
}


def explanation(run: ReconciliationRun) -> str:
    """What a run of this kind does, for who sees one for the first time."""
    only = " This one was a dry run: it wrote down what differs, and healed nothing." if run.dry_run else ""
    return EXPLANATIONS.get(run.kind, "") + only


def explanations() -> list[tuple[str, str]]:
    """Each kind of run and what it does."""
    return [(RUN_KINDS[kind], words) for kind, words in EXPLANATIONS.items()]


def kind(run: ReconciliationRun) -> str:
    return f"{RUN_KINDS.get(run.kind, run.get_kind_display())}{' (dry run)' if run.dry_run else ''}"


def summary(run: ReconciliationRun) -> str:
    """What a run has found, in one line: `3 seen, 1 healed`."""
    if run.state == ReconciliationRun.State.RUNNING:
        return f"Running: {run.seen:,} seen so far"
    if run.state in ENDED_EARLY:
        return run.error or run.get_state_display().capitalize()
    if run.kind == ReconciliationRun.Kind.VERIFY:
        return proof_summary(run)
    if run.kind == ReconciliationRun.Kind.CATCH_UP:
        return f"{run.events:,} events that had not reached us" if run.events else "No event was missing"
    parts = [f"{run.seen:,} seen"]
    for count, word in ((run.imported, "imported"), (run.healed, "healed"), (run.in_flight, "in flight")):
        if count:
            parts.append(f"{count:,} {word}")
    if run.failed:
        parts.append(f"{run.failed:,} left as they were")
    return ", ".join(parts if len(parts) > 1 else [*parts, "all the same"])


def exit_code_meaning(run: ReconciliationRun) -> str:
    """What the exit code of a run means (they are those of `manage.py reconcile`); empty while it has none."""
    if run.state == ReconciliationRun.State.INTERRUPTED:
        goes_on = run.kind in runs.GOES_ON
        return "Interrupted: the next one of its kind goes on with it." if goes_on else "Interrupted: start it again."
    if run.kind == ReconciliationRun.Kind.VERIFY and run.exit_code in {CLEAN, NOT_EQUAL}:
        return "Equal: both sides have the same." if run.exit_code == CLEAN else "Not equal: something differs."
    if run.kind == ReconciliationRun.Kind.CATCH_UP and run.exit_code == CLEAN:
        return summary(run)
    return {
        CLEAN: "Clean: what we showed was what Stripe had.",
        FAILED: "Failed: it could not do its work.",
        DRIFT_HEALED: "Drift was found, and healed.",
        DRIFT_LEFT: "Drift is left: not all of it could be healed.",
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
    objects = f"{run.seen:,} object{'' if run.seen == 1 else 's'}"
    if since := (run.params or {}).get("since"):
        objects += f" created since {str(since)[:10]}"
    in_flight = f", {run.in_flight:,} in flight" if run.in_flight else ""
    if run.exit_code == CLEAN:
        return f"{objects}, the same on both sides{in_flight}"
    return f"{objects}: {proof_in_words.difference_count(run) if run.failed else 'some days differ'}{in_flight}"


def drift_title(drift: Drift) -> str:
    """The kind of a difference, and its field or reason: `Differs: status`."""
    field = f": {drift.field or Truncator(drift.reason).chars(80)}" if drift.field or drift.reason else ""
    return f"{drift.get_kind_display().capitalize()}{field}"


def field_label(path: str) -> str:
    """`status_transitions.paid_at` → `paid at`; `lines.data.3.amount` → `line 4, amount`."""
    parts = path.split(".")
    if parts[:2] == ["lines", "data"] and len(parts) > 2 and parts[2].isdecimal():
        rest = words(".".join(parts[3:]))
        return f"line {int(parts[2]) + 1}{', ' + rest if rest else ''}"
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
        return ", ".join(f"{name} {value[name]}" for name in ("status", "number") if value.get(name)) or "…"
    return Truncator(str(value)).chars(60)
