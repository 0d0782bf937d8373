"""An operation in words: its outcome, its state and colour, who asked for it and with which parameters. No HTML."""

from collections.abc import Iterable

from django.utils.translation import get_language, gettext_noop
from django.utils.translation import gettext as _

from invoices import money, recorded
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
            return recorded.shown(operation.message)
        case Operation.State.SUCCEEDED if operation.processing:  # of an earlier version, which waited for no bank
            return _(
                "Stripe took it, and a bank was still processing it. What came of it stands on the invoice's page."
            )
        case Operation.State.PROCESSING if manual_resolution.is_needed(operation):
            return _("The bank has not decided for more than {days} days: a manager looks at it at Stripe.").format(
                days=BANK_OVERDUE.days
            )
        case Operation.State.PROCESSING:
            return _(
                "Stripe took it; the money is on its way from the customer's bank, which takes up to {days} days. "
                "Do not charge again."
            ).format(days=BANK_OVERDUE.days)
        case Operation.State.SUCCEEDED if _is_credited_later(operation):
            return _attached(operation)
        case Operation.State.SUCCEEDED:
            word = _(ACTIONS[operation.action].done_word if operation.action in ACTIONS else gettext_noop("changed"))
            if _is_by_someone_else(operation):
                return _("Done: the invoice was {word}, by someone else at Stripe.").format(word=word)
            return _("Done: the invoice was {word}.").format(word=word)
        case _ if manual_resolution.is_needed(operation):
            return _("Without an outcome after an hour: a manager looks at it at Stripe. Nothing is done twice.")
        case Operation.State.UNKNOWN:
            return _("Outcome unknown, checking with Stripe. Nothing is done twice; please wait for the answer.")
        case Operation.State.READY:
            return _("Waiting for its turn.")
        case Operation.State.RUNNING:
            return _("On its way to Stripe.")
        case Operation.State.AWAITING_APPROVAL:
            return _("Waits for a second person's approval. Nothing was sent to Stripe yet.")
        case Operation.State.FAILED | Operation.State.REFUSED:
            return recorded.shown(operation.message) or _begun_large(words(operation.code)) or _("Not done.")
        case Operation.State.EXPIRED:
            return recorded.shown(operation.message) or _("Expired: nothing was sent to Stripe.")
        case Operation.State.CANCELLED:
            return recorded.shown(operation.message) or _("Withdrawn: nothing was sent to Stripe.")
    return str(operation.get_state_display())


def _begun_large(text: str) -> str:
    """With a capital letter at its beginning. The rest stays: German writes nouns with one."""
    return text[:1].upper() + text[1:]


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
        case True if _is_by_someone_else(operation):
            return _("Done: the payment is attached, and credited to the invoice, by someone else at Stripe.")
        case True:
            return _("Done: the payment is attached, and credited to the invoice.")
        case False:
            return _("Attached, not credited yet: it counts as soon as the payment has succeeded.")
    return _("Attached. It counts as soon as the payment has succeeded.")


def _is_by_someone_else(operation: Operation) -> bool:
    return operation.outcome_by == OutcomeBy.SOMEONE_ELSE


def headline(operation: Operation) -> str:
    """The outcome in a few words, for the top of a result."""
    if operation.state not in (Operation.State.SUCCEEDED, Operation.State.FAILED, Operation.State.REFUSED):
        if manual_resolution.is_needed(operation):
            if operation.state == Operation.State.PROCESSING:
                return _("Money under way for too long: a manager decides")
            return _("Outcome unknown: a manager decides")
        if operation.state == Operation.State.UNKNOWN:
            return _("Outcome unknown, checking with Stripe")
    label = _(label_of(operation.action))
    return _result(operation).format(action=label, word=operation.get_state_display())


def _result(operation: Operation) -> str:
    """The headline without its values."""
    match operation.state:
        case Operation.State.SUCCEEDED if operation.processing:
            return _("{action}: taken, a bank was processing it")
        case Operation.State.PROCESSING:
            return _("{action}: money under way")
        case Operation.State.SUCCEEDED if credited(operation) is False:
            return _("{action}: attached, not credited yet")
        case Operation.State.SUCCEEDED:
            return _("{action}: done")
        case Operation.State.FAILED if operation.decline_code or operation.code == Code.CARD_DECLINED:
            return _("{action}: declined")
        case Operation.State.FAILED if operation.code in NOTHING_DONE_CODES and not operation.calls:
            return _("{action}: not done, nothing was sent")
        case Operation.State.FAILED:
            return _("{action}: not done")
        case Operation.State.REFUSED:
            return _("{action}: refused, nothing was sent")
        case Operation.State.READY | Operation.State.RUNNING:
            return _("{action}: in progress")
    return _("{action}: {word}")


def in_sentence(label: str) -> str:
    """The label of an action inside a sentence: small in English, as it is where nouns are written large."""
    return label.lower() if get_language() == recorded.ENGLISH else label


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
    """The text of the state badge, in English: the badge shows it in the reader's language."""
    if operation.state == Operation.State.SUCCEEDED and operation.processing:
        return "processing"
    if operation.state == Operation.State.PROCESSING:
        return "overdue at the bank" if manual_resolution.is_needed(operation) else "money under way"
    if credited(operation) is False:
        return "not credited yet"
    return "outcome unknown" if operation.state == Operation.State.UNKNOWN else operation.state.replace("_", " ")


def requested_by(operation: Operation) -> str:
    """Who asked for it, and through what: `agent`, `agent (API)`, `agent (command line)`."""
    name = operation.actor.get_full_name() or operation.actor.get_username() if operation.actor else _("the system")
    source = {"api": "API", "command": _("command line")}.get(operation.source)
    return f"{name} ({source})" if source else name


def asked_through(operation: Operation) -> str:
    """The API token with which it was asked and who made that, or who ran the command. Empty for the admin."""
    if operation.source == Operation.Source.API:
        token = operation.token
        if token is None:
            return _("a token that was not recorded")
        if token.created_by is None:
            return _("token “{token}”, made by nobody knows whom").format(token=token.name)
        return _("token “{token}”, made by {person}").format(token=token.name, person=token.created_by.get_username())
    if operation.source == Operation.Source.COMMAND:
        if not operation.shell_user:
            return _("command line, run by a user that was not recorded")
        return _("command line, run by {person}").format(person=operation.shell_user)
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
            value = _("yes") if value else _("no")
        given.append((_(parameter.label), str(value)))
    return given
