"""An operation in words: its outcome, its state and colour, who asked for it and with which parameters. No HTML."""

from collections.abc import Iterable

from invoices import money
from invoices.admin.formatting import local_times, words
from invoices.models import Batch, Code, InvoicePayment, Operation, OutcomeBy
from invoices.operations import ACTIONS, label_of, manual_resolution
from invoices.thresholds import BANK_OVERDUE

NOTHING_DONE_CODES = {Code.INVOICE_CHANGED, Code.STRIPE_UNAVAILABLE}  # our request had no effect at Stripe


def outcome(operation: Operation) -> str:
    """What came of an operation, in one line, with its times in the reader's zone."""
    return local_times(_outcome(operation), operation.finished_at or operation.created_at)


def _outcome(operation: Operation) -> str:
    match operation.state:
        case Operation.State.SUCCEEDED | Operation.State.FAILED if operation.outcome_by == OutcomeBy.PERSON:
            return operation.message
        case Operation.State.SUCCEEDED if operation.processing:  # of an earlier version, which waited for no bank
            return "Stripe took it, and a bank was still processing it. What came of it stands on the invoice's page."
        case Operation.State.PROCESSING if manual_resolution.is_needed(operation):
            return f"The bank has not decided for more than {BANK_OVERDUE.days} days: a manager looks at it at Stripe."
        case Operation.State.PROCESSING:
            return (
                "Stripe took it; the money is on its way from the customer's bank, which takes up to "
                f"{BANK_OVERDUE.days} days. Do not charge again."
            )
        case Operation.State.SUCCEEDED if _is_credited_later(operation):
            return _attached(operation)
        case Operation.State.SUCCEEDED:
            done_word = ACTIONS[operation.action].done_word if operation.action in ACTIONS else "changed"
            return f"Done: the invoice was {done_word}{_by_someone_else(operation)}."
        case _ if manual_resolution.is_needed(operation):
            return "Without an outcome after an hour: a manager looks at it at Stripe. Nothing is done twice."
        case Operation.State.UNKNOWN:
            return "Outcome unknown, checking with Stripe. Nothing is done twice; please wait for the answer."
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


def _is_credited_later(operation: Operation) -> bool:
    return operation.action in ACTIONS and ACTIONS[operation.action].credited_later


def note_credit(operation: Operation, payments: Iterable[InvoicePayment]) -> None:
    """Sets `operation.credited`, which `credited` reads: whether the payment that it attached is paid by now.
    `payments` are those of its invoice; they are not read for other actions."""
    if not _is_credited_later(operation):
        return
    attached = operation.params.get("payment_intent") or operation.params.get("payment_record")
    found = [row for row in payments if attached and attached in {row.payment_intent, row.payment_record}]
    if found:
        operation.credited = any(row.status == "paid" for row in found)  # type: ignore[attr-defined]


def credited(operation: Operation) -> bool | None:
    """Whether Stripe has credited the attached payment to the invoice by now. None where this is not known, and for
    every other action."""
    if not _is_credited_later(operation) or operation.state != Operation.State.SUCCEEDED:
        return None
    before, after = operation.before.get("amount_paid"), operation.after.get("amount_paid")
    if before is not None and after is not None and after > before:
        return True
    return getattr(operation, "credited", None)


def _attached(operation: Operation) -> str:
    match credited(operation):
        case True:
            return f"Done: the payment is attached, and credited to the invoice{_by_someone_else(operation)}."
        case False:
            return "Attached, not credited yet: it counts as soon as the payment has succeeded."
    return "Attached. It counts as soon as the payment has succeeded."


def _by_someone_else(operation: Operation) -> str:
    return ", by someone else at Stripe" if operation.outcome_by == OutcomeBy.SOMEONE_ELSE else ""


def headline(operation: Operation) -> str:
    """The outcome in a few words, for the top of a result."""
    label = label_of(operation.action)
    match operation.state:
        case Operation.State.SUCCEEDED if operation.processing:
            return f"{label}: taken, a bank was processing it"
        case Operation.State.PROCESSING if manual_resolution.is_needed(operation):
            return "Money under way for too long: a manager decides"
        case Operation.State.PROCESSING:
            return f"{label}: money under way"
        case Operation.State.SUCCEEDED if credited(operation) is False:
            return f"{label}: attached, not credited yet"
        case Operation.State.SUCCEEDED:
            return f"{label}: done"
        case Operation.State.FAILED if operation.decline_code or operation.code == Code.CARD_DECLINED:
            return f"{label}: declined"
        case Operation.State.FAILED if operation.code in NOTHING_DONE_CODES and not operation.calls:
            return f"{label}: not done, nothing was sent"
        case Operation.State.FAILED:
            return f"{label}: not done"
        case Operation.State.REFUSED:
            return f"{label}: refused, nothing was sent"
        case _ if manual_resolution.is_needed(operation):
            return "Outcome unknown: a manager decides"
        case Operation.State.UNKNOWN:
            return "Outcome unknown, checking with Stripe"
        case Operation.State.READY | Operation.State.RUNNING:
            return f"{label}: in progress"
    return f"{label}: {operation.get_state_display()}"


def tone(operation: Operation) -> str:
    """The colour of an outcome. An unknown outcome is not an error, so it is never red."""
    match operation.state:
        case Operation.State.SUCCEEDED:
            return "violet" if operation.processing or credited(operation) is False else "green"
        case Operation.State.FAILED:
            return "amber" if operation.code in NOTHING_DONE_CODES else "red"
        case Operation.State.REFUSED | Operation.State.AWAITING_APPROVAL:
            return "amber"
        case Operation.State.PROCESSING:
            return "amber" if manual_resolution.is_needed(operation) else "violet"
        case Operation.State.READY | Operation.State.RUNNING | Operation.State.UNKNOWN:
            return "violet"
    return "grey"


def state(operation: Operation) -> str:
    """The text of the state badge."""
    if operation.state == Operation.State.SUCCEEDED and operation.processing:
        return "processing"
    if operation.state == Operation.State.PROCESSING:
        return "overdue at the bank" if manual_resolution.is_needed(operation) else "money under way"
    if credited(operation) is False:
        return "not credited yet"
    return "outcome unknown" if operation.state == Operation.State.UNKNOWN else operation.get_state_display()


def requested_by(operation: Operation) -> str:
    """Who asked for it, and through what: `agent`, `agent (API)`, `agent (command line)`."""
    name = operation.actor.get_full_name() or operation.actor.get_username() if operation.actor else "the system"
    source = {"api": "API", "command": "command line"}.get(operation.source)
    return f"{name} ({source})" if source else name


def asked_through(operation: Operation) -> str:
    """The API token with which it was asked and who made that, or who ran the command. Empty for the admin."""
    if operation.source == Operation.Source.API:
        token = operation.token
        maker = token.created_by.get_username() if token and token.created_by else "nobody knows whom"
        return f"token “{token.name}”, made by {maker}" if token else "a token that was not recorded"
    if operation.source == Operation.Source.COMMAND:
        return f"command line, run by {operation.shell_user or 'a user that was not recorded'}"
    return ""


def parameters(operation: Operation | Batch) -> list[tuple[str, str]]:
    """The parameters of an operation, label and value; amounts with their currency."""
    currency = operation.before.get("currency") if isinstance(operation, Operation) and operation.before else None
    given = []
    for parameter in ACTIONS[operation.action].parameters if operation.action in ACTIONS else ():
        value = operation.params.get(parameter.name)
        if value is None or value == "":
            continue
        if parameter.kind == "money":
            value = money.text(value, currency)
        elif parameter.kind == "flag":
            value = "yes" if value else "no"
        given.append((parameter.label, str(value)))
    return given
