"""Why an invoice is proposed for a credit, and what speaks against it: codes that are kept, and their sentences."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from invoices import money
from invoices.statements.matching.proposal import Reason


class ReasonCode(models.TextChoices):
    """Never changed later: proposals that are kept have them."""

    NUMBER = "number"
    NUMBER_ALIKE = "number_alike"
    NUMBER_NEAR = "number_near"
    NUMBER_TAIL = "number_tail"
    AMOUNT = "amount"
    SUM = "sum"
    LEAST_SUM = "least_sum"
    PART = "part"
    SMALL_DIFFERENCE = "small_difference"
    OVERPAID = "overpaid"
    PAYER_KNOWN = "payer_known"
    PAYER_OF_OTHERS = "payer_of_others"
    NAME = "name"
    NAME_PARTLY = "name_partly"
    NAME_RELATED = "name_related"
    NAME_OTHER = "name_other"
    NAME_OF_ANOTHER = "name_of_another"
    NAME_OF_SOME = "name_of_some"
    OWN_INVOICE = "own_invoice"
    RIVAL = "rival"
    ONLY_AMOUNT = "only_amount"
    SAME_AMOUNT = "same_amount"
    TWIN = "twin"
    UNCLEAR_NUMBER = "unclear_number"
    OTHER_PURPOSE = "other_purpose"
    NAMED_TOO = "named_too"
    COMMON_AMOUNT = "common_amount"
    SEVERAL_CUSTOMERS = "several_customers"
    DUPLICATE = "duplicate"
    SHARED = "shared"
    ALREADY_PAID = "already_paid"
    VOID = "void"
    NOT_PAYABLE = "not_payable"
    OTHER_CURRENCY = "other_currency"
    NO_PART_PAYMENTS = "no_part_payments"
    WRITTEN_OFF = "written_off"
    UNDER_WAY = "under_way"
    RECORDED_BEFORE = "recorded_before"
    RECORDED_ELSEWHERE = "recorded_elsewhere"
    LATER_INVOICE = "later_invoice"


# `values` of a reason fill these. An amount is kept in minor units, beside its `currency`.
SENTENCES: Mapping[str, str] = {
    ReasonCode.NUMBER: gettext_noop("The text names invoice {number}."),
    ReasonCode.NUMBER_ALIKE: gettext_noop("The text names “{written}”, which can be read as invoice {number}."),
    ReasonCode.NUMBER_NEAR: gettext_noop("The text names “{written}”, one mistake away from invoice {number}."),
    ReasonCode.NUMBER_TAIL: gettext_noop("The text has “{written}”, the end of invoice number {number}."),
    ReasonCode.AMOUNT: gettext_noop("The amount is exactly what remains of {number}."),
    ReasonCode.SUM: gettext_noop("The amount is exactly what remains of these invoices together."),
    ReasonCode.LEAST_SUM: gettext_noop("No other set of the customer's open invoices has this sum."),
    ReasonCode.PART: gettext_noop("It is a part payment: {amount} of {number} would still remain."),
    ReasonCode.SMALL_DIFFERENCE: gettext_noop("Only {amount} is missing: a discount or a bank's fee?"),
    ReasonCode.OVERPAID: gettext_noop("It is more than what remains: {amount} would be left."),
    ReasonCode.PAYER_OF_OTHERS: gettext_noop("This payer paid for another customer before."),
    ReasonCode.NAME: gettext_noop("The payer's name is the customer's."),
    ReasonCode.NAME_PARTLY: gettext_noop("The payer's name is in part like the customer's."),
    ReasonCode.NAME_RELATED: gettext_noop("The payer and the customer share a name, and each has another one too."),
    ReasonCode.NAME_OTHER: gettext_noop("The payer's name is not the customer's."),
    ReasonCode.NAME_OF_ANOTHER: gettext_noop("The payer's name is another customer's."),
    ReasonCode.NAME_OF_SOME: gettext_noop("The payer's name is that of one of the customers, not of all."),
    ReasonCode.OWN_INVOICE: gettext_noop("Invoice {number} of the payer's own has this amount too."),
    ReasonCode.RIVAL: gettext_noop("Invoice {number} has this amount too, and its customer a name like the payer's."),
    ReasonCode.ONLY_AMOUNT: gettext_noop("Nothing but the amount points to it."),
    ReasonCode.SAME_AMOUNT: gettext_noop("Several open invoices have this amount: the oldest was taken."),
    ReasonCode.TWIN: gettext_noop("Invoice {number} has the same amount and nearly the same number."),
    ReasonCode.UNCLEAR_NUMBER: gettext_noop("The number is not plainly written."),
    ReasonCode.OTHER_PURPOSE: gettext_noop("The text says “{written}”: it may not be a payment of this invoice."),
    ReasonCode.NAMED_TOO: gettext_noop("The text names invoice {number} too, and the same remains of it."),
    ReasonCode.COMMON_AMOUNT: gettext_noop(
        "More open invoices have this amount than were looked at, and the payer's name is not the customer's in full."
    ),
    ReasonCode.SEVERAL_CUSTOMERS: gettext_noop("The invoices are of several customers."),
    ReasonCode.DUPLICATE: gettext_noop("Another credit pays all that remains of invoice {number}: a second payment?"),
    ReasonCode.SHARED: gettext_noop("Another credit would pay a part of invoice {number}."),
    ReasonCode.ALREADY_PAID: gettext_noop("The text names invoice {number}, which is paid already."),
    ReasonCode.VOID: gettext_noop("The text names invoice {number}, which is void."),
    ReasonCode.NOT_PAYABLE: gettext_noop("The text names invoice {number}, which cannot be paid now."),
    ReasonCode.OTHER_CURRENCY: gettext_noop("The text names invoice {number}, which is in another currency."),
    ReasonCode.NO_PART_PAYMENTS: gettext_noop(
        "Invoice {number} is of a subscription that is charged automatically: it takes no part payment, and {amount} "
        "remains."
    ),
    ReasonCode.WRITTEN_OFF: gettext_noop("Invoice {number} was marked uncollectible."),
    ReasonCode.UNDER_WAY: gettext_noop("Something is under way for invoice {number}: a payment or a request."),
    ReasonCode.RECORDED_BEFORE: gettext_noop("A payment of this amount was recorded on invoice {number} before."),
    ReasonCode.RECORDED_ELSEWHERE: gettext_noop(
        "A payment of this amount was recorded by hand for the same customer, on invoice {number}: it may be this one."
    ),
    ReasonCode.LATER_INVOICE: gettext_noop("Invoice {number} was made after the money came."),
}


def sentence(reason: Reason) -> str:
    """In the language of the page. A code that this version does not know is shown as it is."""
    values = dict(reason.values)
    if reason.code == ReasonCode.PAYER_KNOWN:
        return payer_known(int(values["times"]))
    if "amount" in values:
        values["amount"] = money.text(int(values["amount"]), values["currency"])
    known = SENTENCES.get(reason.code)
    return _(known).format(**values) if known else str(reason.code)


def payer_known(times: int) -> str:
    said = ngettext(
        "This payer paid for this customer before ({times} time).",
        "This payer paid for this customer before ({times} times).",
        times,
    )
    return said.format(times=times)
