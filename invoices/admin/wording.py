"""Sentences: an invoice for its customer, an operation's outcome, an event, a declined attempt. Words, no HTML."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from invoices import money
from invoices.admin.formatting import span, words
from invoices.models import Action, Batch, Drift, Invoice, Operation, ReconciliationRun
from invoices.models.reading import member, text
from invoices.operations import ACTIONS, needs_person

# --- an invoice ---------------------------------------------------------------------------------------------------


def number(invoice: Invoice) -> str:
    """What people call it: its number; a draft has none."""
    return invoice.number or ("Draft" if invoice.status == "draft" else invoice.pk)


def customer(invoice: Invoice) -> str:
    """Whom it is billed to."""
    return invoice.billed_to or "No customer"


def overdue(invoice: Invoice) -> bool:
    return invoice.status == "open" and invoice.due_date is not None and invoice.due_date < timezone.now()


def status(invoice: Invoice) -> tuple[str, str]:
    """One or two words and a colour: the status, or more where more is true of an open one."""
    if invoice.deleted_at:
        return "deleted", "grey"
    if overdue(invoice):
        return "overdue", "red"
    if invoice.status == "open" and invoice.amount_paid:
        return "partly paid", "amber"
    return invoice.status or "unreadable", ""


def about(invoice: Invoice) -> str:
    """`Invoice DEMO-0001 over USD 10.00`."""
    name = f"Invoice {invoice.number}" if invoice.number else "The invoice"
    return f"{name} over {money.text(_total(invoice), invoice.currency)}"


def _total(invoice: Invoice) -> int | None:
    return invoice.total if invoice.amount_due is None else invoice.amount_due


def for_customer(invoice: Invoice, failure: str = "", processing: str = "", *, checking: bool = False) -> str:
    """What to tell the customer: true as of now, in words that can be pasted into a mail. While we are `checking` what
    came of an operation, nobody is asked to pay: it may be paid already."""
    remaining, paid = (money.text(value, invoice.currency) for value in (invoice.amount_remaining, invoice.amount_paid))
    if invoice.deleted_at:
        return "There is no invoice to pay; the draft was withdrawn."
    if checking:
        return (
            f"{about(invoice)} is being worked on in this moment. Please do not pay it yet; we tell you how it ended."
        )
    match invoice.status:
        case "draft":
            return f"{about(invoice)} is still being prepared. There is nothing to pay yet."
        case "paid":
            return f"{about(invoice)} was paid{_on(invoice.paid_at)}. Thank you; nothing is left to pay."
        case "void":
            return f"{about(invoice)} was cancelled{_on(invoice.voided_at)}. You do not need to pay it."
        case "uncollectible":
            return f"{about(invoice)} has not been paid; {remaining} is still open.{_where(invoice)}"
        case "open":
            due = f"{'was' if overdue(invoice) else 'is'} due on {_day(invoice.due_date)}" if invoice.due_date else ""
            if invoice.amount_paid:
                state = f": {paid} has been received, and {remaining} is left to pay{'; it ' + due if due else ''}."
            else:
                state = f" is open{' and ' + due if due else ''}."
            if processing:
                return f"{about(invoice)}{state} A payment of {processing} is on its way; your bank is processing it."
            return f"{about(invoice)}{state}{_tried(failure)}{_where(invoice)}"
    return f"{about(invoice)}: please give us a moment to look into it."


def _on(when: datetime | None) -> str:
    return f" on {_day(when)}" if when else ""


def _day(when: datetime) -> str:
    return date_format(timezone.localtime(when), "j F Y")


def _tried(failure: str) -> str:
    return f" The last attempt to charge it did not go through: “{failure}”" if failure else ""


def _where(invoice: Invoice) -> str:
    address = text(invoice.data, "hosted_invoice_url", limit=2000)
    return f" You can pay it here: {address}" if address and invoice.status in {"open", "uncollectible"} else ""


FACTS = {"status": "Status", "amount_due": "Due", "amount_paid": "Paid", "amount_remaining": "To pay"}


def fact(name: str, value: Any, currency: str | None) -> str:
    """One of an invoice's facts, as the journal keeps them, for reading."""
    if name.startswith("amount") and isinstance(value, int):
        return money.text(value, currency)
    return "–" if value is None else str(value)


def changes(before: dict[str, Any], now: Invoice) -> list[str]:
    """What of an invoice is no longer as it was, in sentences."""
    said = []
    for name in FACTS:
        was, current = before.get(name), getattr(now, name)
        if name not in before or was == current:
            continue
        old, new = fact(name, was, now.currency), fact(name, current, now.currency)
        match name:
            case "status":
                said.append(f"The invoice was {old}, and is {new} now.")
            case "amount_due":
                said.append(f"It was over {old}, and is over {new} now.")
            case "amount_paid":
                said.append(f"{old} had been paid, and {new} has been paid now.")
            case _:
                said.append(f"{old} was to pay, and {new} is to pay now.")
    return said


# --- what people did ----------------------------------------------------------------------------------------------


UNSENT = {"invoice_changed", "stripe_unavailable"}


def outcome(operation: Operation) -> str:
    """What came of an operation, in one line."""
    spec = ACTIONS[operation.action]
    match operation.state:
        case Operation.State.SUCCEEDED | Operation.State.FAILED if operation.outcome_by == "person":
            return operation.message
        case Operation.State.SUCCEEDED if operation.processing:
            return "Stripe took it; the money is still on its way. We show it as paid when it has arrived."
        case Operation.State.SUCCEEDED if operation.action == Action.ATTACH_PAYMENT:
            return _attached(operation)
        case Operation.State.SUCCEEDED:
            return f"Done: the invoice was {spec.done_word}{_by(operation)}."
        case Operation.State.UNKNOWN if needs_person(operation):
            return "Outcome still unknown after an hour: a manager looks at it at Stripe. Nothing is sent twice."
        case Operation.State.UNKNOWN:
            return "Outcome unknown, checking with Stripe. Nothing is sent twice; please wait for the answer."
        case Operation.State.READY:
            return "Waiting for its turn."
        case Operation.State.RUNNING:
            return "On its way to Stripe."
        case Operation.State.AWAITING_APPROVAL:
            return "Waits for a second person's approval. Nothing was sent to Stripe yet."
        case Operation.State.FAILED | Operation.State.REFUSED:
            return operation.message or words(operation.code).capitalize() or "Not done."
        case Operation.State.EXPIRED:
            return operation.message or "Expired: nothing was sent to Stripe."
        case Operation.State.CANCELLED:
            return operation.message or "Withdrawn: nothing was sent to Stripe."
    return operation.get_state_display()


def credited(operation: Operation) -> bool | None:
    """Whether the payment that it attached counts by now; None where nobody looked."""
    if operation.action != Action.ATTACH_PAYMENT or operation.state != Operation.State.SUCCEEDED:
        return None
    before, after = operation.before.get("amount_paid"), operation.after.get("amount_paid")
    if before is not None and after is not None and after > before:
        return True
    return getattr(operation, "credited", None)


def _attached(operation: Operation) -> str:
    match credited(operation):
        case True:
            return f"Done: the payment is attached, and credited to the invoice{_by(operation)}."
        case False:
            return "Attached, not credited yet: it counts as soon as the payment has succeeded."
    return "Attached. It counts as soon as the payment has succeeded."


def _by(operation: Operation) -> str:
    return ", by someone else at Stripe" if operation.outcome_by == "someone_else" else ""


def headline(operation: Operation) -> str:
    """The outcome in a few words, for the top of a result."""
    label = ACTIONS[operation.action].label
    match operation.state:
        case Operation.State.SUCCEEDED if operation.processing:
            return f"{label}: processing at Stripe"
        case Operation.State.SUCCEEDED if credited(operation) is False:
            return f"{label}: attached, not credited yet"
        case Operation.State.SUCCEEDED:
            return f"{label}: done"
        case Operation.State.FAILED if operation.decline_code or operation.code == "card_declined":
            return f"{label}: declined"
        case Operation.State.FAILED if operation.code in UNSENT:
            return f"{label}: not done, nothing was sent"
        case Operation.State.FAILED:
            return f"{label}: not done"
        case Operation.State.REFUSED:
            return f"{label}: refused, nothing was sent"
        case Operation.State.UNKNOWN if needs_person(operation):
            return "Outcome unknown: a manager decides"
        case Operation.State.UNKNOWN:
            return "Outcome unknown, checking with Stripe"
        case Operation.State.READY | Operation.State.RUNNING:
            return f"{label}: in progress"
    return f"{label}: {operation.get_state_display()}"


def tone(operation: Operation) -> str:
    """The colour of an outcome. An unknown one is no error, and never looks like one."""
    match operation.state:
        case Operation.State.SUCCEEDED:
            return "violet" if operation.processing or credited(operation) is False else "green"
        case Operation.State.FAILED:
            return "amber" if operation.code in UNSENT else "red"
        case Operation.State.REFUSED | Operation.State.AWAITING_APPROVAL:
            return "amber"
        case Operation.State.READY | Operation.State.RUNNING | Operation.State.UNKNOWN:
            return "violet"
    return "grey"


def state(operation: Operation) -> str:
    """The state as a badge says it."""
    if operation.state == Operation.State.SUCCEEDED and operation.processing:
        return "processing"
    if credited(operation) is False:
        return "not credited yet"
    return "outcome unknown" if operation.state == Operation.State.UNKNOWN else operation.get_state_display()


def who(operation: Operation) -> str:
    """Who asked, and by which way."""
    name = operation.actor.get_full_name() or operation.actor.get_username() if operation.actor else "the system"
    way = {"api": "API", "command": "command line"}.get(operation.source)
    return f"{name} ({way})" if way else name


def told(operation: Operation | Batch) -> list[tuple[str, str]]:
    """The parameters of an operation: label and value, money in its currency."""
    currency = operation.before.get("currency") if isinstance(operation, Operation) and operation.before else None
    given = []
    for parameter in ACTIONS[operation.action].parameters:
        value = operation.params.get(parameter.name)
        if value is None or value == "":
            continue
        if parameter.kind == "money":
            value = money.text(value, currency)
        elif parameter.kind == "flag":
            value = "yes" if value else "no"
        given.append((parameter.label, str(value)))
    return given


# --- what Stripe said ---------------------------------------------------------------------------------------------

EVENTS = {
    "invoice.created": "Invoice created",
    "invoice.updated": "Invoice changed",
    "invoice.finalized": "Invoice finalized",
    "invoice.sent": "Invoice e-mailed to the customer",
    "invoice.paid": "Invoice paid",
    "invoice.payment_succeeded": "Payment succeeded",
    "invoice.payment_failed": "Payment failed",
    "invoice.payment_action_required": "The customer must confirm the payment",
    "invoice.voided": "Invoice voided",
    "invoice.marked_uncollectible": "Invoice marked uncollectible",
    "invoice.overpaid": "Invoice overpaid",
    "invoice.overdue": "Invoice overdue",
    "invoice.will_be_due": "Invoice will be due soon",
    "invoice.deleted": "Draft deleted",
    "invoice_payment.paid": "Payment credited to the invoice",
    "payment_intent.created": "Payment prepared",
    "payment_intent.succeeded": "Charge succeeded",
    "payment_intent.payment_failed": "Charge declined",
    "payment_intent.requires_action": "The customer must confirm the charge",
    "payment_intent.processing": "Charge on its way",
    "payment_intent.canceled": "Charge withdrawn",
}


def event(type_: str) -> str:
    return EVENTS.get(type_, words(type_).capitalize())


def decline(error: Any) -> str:
    """Why a charge did not go through, from Stripe's error, with its code in words."""
    said = text(error, "message", limit=1000) or "Stripe gave no reason"
    code = member(error, "decline_code") or member(error, "code")
    if not isinstance(code, str) or words(code) in said.lower():
        return said
    return f"{said.rstrip('.')} ({words(code)})."


INTENT = {
    "requires_payment_method": "waits for a payment method",
    "requires_confirmation": "waits to be confirmed",
    "requires_action": "waits for the customer's confirmation",
    "requires_capture": "authorised, not captured",
    "processing": "on its way",
    "succeeded": "succeeded",
    "canceled": "withdrawn",
}


# --- health -------------------------------------------------------------------------------------------------------


def run(item: ReconciliationRun) -> str:
    """A reconciliation in one line."""
    if item.state == ReconciliationRun.State.RUNNING:
        return f"Running: {item.seen:,} seen so far"
    if item.state == ReconciliationRun.State.FAILED:
        return item.error or "Failed"
    if item.kind == ReconciliationRun.Kind.VERIFY:
        return proof(item)
    if item.kind == ReconciliationRun.Kind.CATCH_UP:
        return f"{item.events:,} events that had not reached us" if item.events else "No event was missing"
    parts = [f"{item.seen:,} seen"]
    for count, word in ((item.imported, "imported"), (item.healed, "healed"), (item.in_flight, "in flight")):
        if count:
            parts.append(f"{count:,} {word}")
    if item.failed:
        parts.append(f"{item.failed:,} left as they were")
    return ", ".join(parts if len(parts) > 1 else [*parts, "all the same"])


KINDS = {"sweep": "Sweep", "full": "Everything", "invoice": "One invoice", "catch_up": "Catch-up", "verify": "Proof"}


def run_kind(item: ReconciliationRun) -> str:
    return f"{KINDS.get(item.kind, item.get_kind_display())}{' (dry run)' if item.dry_run else ''}"


def exit_words(item: ReconciliationRun) -> str:
    """What its exit code says."""
    if item.kind == ReconciliationRun.Kind.VERIFY and item.exit_code in {0, 3}:
        return "Equal: both sides have the same." if item.exit_code == 0 else "Not equal: some days differ."
    if item.kind == ReconciliationRun.Kind.CATCH_UP and item.exit_code == 0:
        return run(item)
    return {
        0: "Clean: what we showed was what Stripe had.",
        1: "Failed: it could not do its work.",
        3: "Drift was found, and healed.",
        4: "Drift is left: not all of it could be healed.",
    }.get(-1 if item.exit_code is None else item.exit_code, "")


def run_tone(item: ReconciliationRun) -> str:
    """The colour of a run. What differed is worth a look; that a run failed, more so."""
    if item.state == ReconciliationRun.State.RUNNING:
        return "violet"
    if item.state == ReconciliationRun.State.FAILED or item.exit_code in {1, 4}:
        return "red"
    return "amber" if item.exit_code == 3 else "green"


def took(item: ReconciliationRun) -> str:
    return span((item.finished_at - item.started_at).total_seconds()) if item.finished_at else ""


def proof(item: ReconciliationRun) -> str:
    """A proof of equality in one line."""
    invoices = f"{item.seen:,} invoice{'' if item.seen == 1 else 's'}"
    if since := (item.params or {}).get("since"):
        invoices += f" created since {str(since)[:10]}"
    if item.exit_code == 0:
        return f"{invoices}, the same on both sides"
    report: Any = item.report if isinstance(item.report, dict) else {}
    days = report.get("days", [])
    differing = sum(isinstance(day, dict) and not day.get("equal") for day in days)
    return f"{invoices}; {differing:,} of {len(days):,} days differ"


def field(path: str) -> str:
    """`status_transitions.paid_at` → `paid at`; `lines.data.3.amount` → `line 4, amount`."""
    parts = path.split(".")
    if parts[:2] == ["lines", "data"] and len(parts) > 2 and parts[2].isdecimal():
        rest = words(".".join(parts[3:]))
        return f"line {int(parts[2]) + 1}{', ' + rest if rest else ''}"
    return words(parts[-1] if parts[0] == "status_transitions" else path)


def drift(item: Drift) -> str:
    where = f": {item.field}" if item.field else ""
    return f"{item.get_kind_display().capitalize()}{where}"
