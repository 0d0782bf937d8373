"""Bank statements as they were uploaded, their transactions, and what people decided on each credit."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy, pgettext_lazy

from invoices import clock
from invoices.models.fields import ObjectField
from invoices.models.immutable import ImmutableModel, Rules
from invoices.models.operations import Batch

PERSON = settings.AUTH_USER_MODEL


class BankStatement(ImmutableModel):
    """One statement of a file that was uploaded. What the bank booked stands in its lines."""

    id = models.UUIDField(primary_key=True, help_text="Follows from the file's hash and the place in the file")
    file_hash = models.CharField(max_length=64, help_text="SHA-256 of the whole file")
    file_name = models.CharField(max_length=255)
    format = models.CharField(max_length=16, help_text="camt.053, camt.054, MT940 or CSV")
    account = models.CharField(max_length=64, help_text="IBAN, or bank and account number")
    currency = models.CharField(max_length=3, help_text="Lower case, as at Stripe")
    number = models.CharField(max_length=255, blank=True, help_text="The bank's own, of the statement")
    begins_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True)
    opening = models.BigIntegerField(null=True, blank=True, help_text="Balance before, in minor units")
    closing = models.BigIntegerField(null=True, blank=True, help_text="Balance after, in minor units")
    line_count = models.PositiveIntegerField()
    known_count = models.PositiveIntegerField(help_text="Lines that an earlier file had brought already")
    uploaded_by = models.ForeignKey(
        PERSON, null=True, blank=True, db_index=False, on_delete=models.PROTECT, related_name="+"
    )
    uploaded_at = models.DateTimeField(default=clock.now)
    shell_user = models.CharField(max_length=255, blank=True, help_text="Who ran the command: user@host")
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = gettext_lazy("bank statement")
        verbose_name_plural = gettext_lazy("bank statements")
        indexes = [
            models.Index(F("uploaded_at").desc(), F("id").desc(), name="bankstatement_newest"),
            models.Index("account", F("uploaded_at").desc(), F("id").desc(), name="bankstatement_account"),
            models.Index("file_hash", name="bankstatement_file"),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.number or self.ends_on or ''}".strip()

    rules = Rules()


class BankTransaction(models.Model):
    """What a bank booked on our account: a credit, which people match with invoices, or a debit.

    It is one row, however many files bring it. What the bank said never changes; how far people have come with it does.
    """

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("bank credit", "To match")
        RECORDING = "recording", pgettext_lazy("bank credit", "Being recorded")
        DONE = "done", pgettext_lazy("bank credit", "Done")
        RETURNED = "returned", pgettext_lazy("bank credit", "Returned transfer")
        DEBIT = "debit", pgettext_lazy("bank credit", "Debit")

    class Confidence(models.IntegerChoices):
        HIGH = 3, pgettext_lazy("confidence", "High")
        MEDIUM = 2, pgettext_lazy("confidence", "Medium")
        LOW = 1, pgettext_lazy("confidence", "Low")
        NONE = 0, pgettext_lazy("confidence", "No proposal")

    id = models.UUIDField(primary_key=True, help_text="Follows from account and identity")
    statement = models.ForeignKey(
        BankStatement, db_index=False, on_delete=models.PROTECT, related_name="transactions"
    )  # the first that brought it
    number = models.PositiveIntegerField(help_text="The line of the file")
    account = models.CharField(max_length=64)
    identity = models.CharField(max_length=64, help_text="By which the same transaction of another file is known")
    booked_on = models.DateField()
    valued_on = models.DateField(null=True, blank=True)
    amount = models.BigIntegerField(help_text="Minor units; below zero: a debit")
    currency = models.CharField(max_length=3)
    bank_reference = models.CharField(max_length=255, blank=True)
    end_to_end_id = models.CharField(max_length=255, blank=True)
    payer_name = models.CharField(max_length=255, blank=True)
    payer_account = models.CharField(max_length=64, blank=True)
    text = models.TextField(blank=True)
    structured_reference = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=255, blank=True, help_text="The bank's code of the kind of transaction")
    is_return = models.BooleanField(
        default=False, db_default=False, help_text="It undoes an earlier one, or came back of a transfer of our own"
    )
    returns = ObjectField(default=list, help_text="References of the earlier transaction that it undoes")
    return_reason = models.CharField(max_length=255, blank=True)
    entry_reference = models.CharField(
        max_length=255, blank=True, default="", help_text="The bank's, of the batch of which it is a part"
    )
    entry_amount = models.BigIntegerField(
        null=True, blank=True, help_text="Minor units of that batch; empty: it is no part of one"
    )

    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    left = models.BigIntegerField(default=0, help_text="Minor units of a credit on which nobody has decided")
    undoes = models.ForeignKey(
        "self", null=True, blank=True, db_index=False, on_delete=models.PROTECT, related_name="returned_by"
    )
    resembles = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="One of another file with the same day and amount: it may be the same",
    )
    proposals = ObjectField(null=True, blank=True, help_text="statements.matching.Proposal, best first")
    confidence = models.PositiveSmallIntegerField(choices=Confidence.choices, default=Confidence.NONE)
    proposed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = gettext_lazy("bank transaction")
        verbose_name_plural = gettext_lazy("bank transactions")
        constraints = [
            models.UniqueConstraint(fields=["account", "identity"], name="banktransaction_once"),
            models.CheckConstraint(condition=Q(left__gte=0), name="banktransaction_left"),
        ]
        indexes = [
            models.Index("statement", "number", "id", name="banktransaction_statement"),
            models.Index(F("booked_on").desc(), F("id").desc(), name="banktransaction_newest"),
            models.Index("state", F("booked_on").desc(), F("id").desc(), name="banktransaction_state"),
            models.Index(
                F("confidence").desc(),
                F("booked_on").desc(),
                F("id").desc(),
                name="banktransaction_to_match",
                condition=Q(state="open"),
            ),
            models.Index("account", F("booked_on").desc(), F("id").desc(), name="banktransaction_account"),
            models.Index("account", "booked_on", "amount", name="banktransaction_alike"),
            models.Index("end_to_end_id", name="banktransaction_end_to_end", condition=~Q(end_to_end_id="")),
            models.Index("bank_reference", name="banktransaction_reference", condition=~Q(bank_reference="")),
            models.Index("undoes", name="banktransaction_undoes", condition=Q(undoes__isnull=False)),
        ]
        permissions = [("match_banktransaction", "Can match bank transactions with invoices, and set them aside")]

    def __str__(self) -> str:
        return f"{self.booked_on} {self.payer_name or self.text[:40]}"


class StatementLine(models.Model):
    """That a statement has a transaction: files overlap, so several may have the same."""

    statement = models.ForeignKey(BankStatement, db_index=False, on_delete=models.PROTECT, related_name="lines")
    number = models.PositiveIntegerField(help_text="The line of the file")
    place = models.PositiveIntegerField(help_text="1, 2, 3 and so on in the statement")
    transaction = models.ForeignKey(BankTransaction, on_delete=models.PROTECT, related_name="lines")

    class Meta:
        verbose_name = gettext_lazy("line of a bank statement")
        verbose_name_plural = gettext_lazy("lines of bank statements")
        constraints = [models.UniqueConstraint(fields=["statement", "place"], name="statementline_once")]

    def __str__(self) -> str:
        return f"line {self.number} of {self.statement_id}"


class BankMatch(ImmutableModel):
    """A person's word that a credit, or a part of it, pays an invoice. One operation records it at Stripe."""

    class State(models.TextChoices):
        CONFIRMED = "confirmed", pgettext_lazy("bank match", "Being recorded")
        RECORDED = "recorded", pgettext_lazy("bank match", "Recorded")
        RELEASED = "released", pgettext_lazy("bank match", "Not recorded")

    LIVE = (State.CONFIRMED, State.RECORDED)

    id = models.UUIDField(
        primary_key=True, help_text="Of its operation too; follows from account, transaction, invoice and attempt"
    )
    transaction = models.ForeignKey(
        BankTransaction, db_index=False, on_delete=models.PROTECT, related_name="matches"
    )  # the unique constraint begins with it
    invoice = models.CharField(max_length=255, help_text="The invoice's id")
    customer = models.CharField(max_length=255, blank=True, help_text="The id of the invoice's customer")
    amount = models.BigIntegerField(help_text="Minor units")
    currency = models.CharField(max_length=3)
    attempt = models.PositiveIntegerField(help_text="1; one more after each that ended without effect")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="bank_matches")
    confidence = models.PositiveSmallIntegerField(
        choices=BankTransaction.Confidence.choices,
        null=True,
        blank=True,
        help_text="Of the proposal that was confirmed; empty: assigned by hand",
    )
    confirmed_by = models.ForeignKey(PERSON, db_index=False, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(default=clock.now)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CONFIRMED)
    ended_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(blank=True, help_text="Why it was not recorded")

    class Meta:
        verbose_name = gettext_lazy("match of a bank credit")
        verbose_name_plural = gettext_lazy("matches of bank credits")
        constraints = [
            models.UniqueConstraint(
                fields=["transaction", "invoice"], condition=~Q(state="released"), name="bankmatch_one_lives"
            ),
            models.UniqueConstraint(fields=["transaction", "invoice", "attempt"], name="bankmatch_attempt"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="bankmatch_amount"),
        ]
        indexes = [
            models.Index("confirmed_at", name="bankmatch_confirmed", condition=Q(state="confirmed")),
            models.Index("invoice", F("confirmed_at").desc(), name="bankmatch_invoice"),
            models.Index("customer", name="bankmatch_customer", condition=~Q(customer="")),
        ]

    def __str__(self) -> str:
        return f"{self.transaction_id} pays {self.invoice}"

    rules = Rules(
        changing=frozenset({"state"}),
        once=frozenset({"ended_at", "message"}),
        final=(State.RECORDED, State.RELEASED),
        moves={State.CONFIRMED: frozenset({State.RECORDED, State.RELEASED})},
        texts=frozenset({"message"}),
    )


class BankDecision(ImmutableModel):
    """A person's word on what is left of a credit, other than that it pays an invoice."""

    class What(models.TextChoices):
        IGNORED = "ignored", gettext_lazy("Set aside")
        NOT_OURS = "not_ours", gettext_lazy("Not ours")
        ALREADY_RECORDED = "already_recorded", gettext_lazy("Recorded already")
        REOPENED = "reopened", gettext_lazy("Taken up again")
        ANOTHER = "another", gettext_lazy("Another payment")
        SETTLED = "settled", gettext_lazy("Settled at Stripe")  # of a debit that took a recorded credit back

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    transaction = models.ForeignKey(BankTransaction, db_index=False, on_delete=models.PROTECT, related_name="decisions")
    what = models.CharField(max_length=32, choices=What.choices)
    amount = models.BigIntegerField(help_text="Minor units of the credit that it is about")
    reason = models.TextField()
    operation = models.UUIDField(null=True, blank=True, help_text="That recorded the payment already")
    decided_by = models.ForeignKey(PERSON, db_index=False, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(default=clock.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = gettext_lazy("decision on a bank credit")
        verbose_name_plural = gettext_lazy("decisions on bank credits")
        indexes = [
            models.Index("transaction", "decided_at", name="bankdecision_transaction"),
            models.Index("operation", name="bankdecision_operation", condition=Q(operation__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.what}: {self.transaction_id}"

    rules = Rules(texts=frozenset({"reason"}))


class KnownPayer(models.Model):
    """Who paid for whom before, from confirmed matches: it makes the next month's proposals better."""

    payer = models.CharField(max_length=255, help_text="The payer's account; without one, the name in small letters")
    customer = models.CharField(max_length=255, help_text="The id of the customer whose invoice was paid")
    times = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = gettext_lazy("known payer")
        verbose_name_plural = gettext_lazy("known payers")
        constraints = [models.UniqueConstraint(fields=["payer", "customer"], name="knownpayer_once")]
        indexes = [models.Index("customer", name="knownpayer_customer")]

    def __str__(self) -> str:
        return f"pays for {self.customer}"


class StatementLayout(models.Model):
    """Which columns the CSV files of a bank have: mapped once, by the labels of the columns, and remembered."""

    key = models.CharField(max_length=64, help_text="SHA-256 of the labels of the columns")
    name = models.CharField(max_length=255, help_text="Of the bank, as people call it")
    layout = ObjectField(help_text="statements.formats.CsvLayout")
    changed_by = models.ForeignKey(PERSON, db_index=False, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = gettext_lazy("layout of CSV statements")
        verbose_name_plural = gettext_lazy("layouts of CSV statements")
        constraints = [models.UniqueConstraint(fields=["key"], name="statementlayout_once")]

    def __str__(self) -> str:
        return self.name
