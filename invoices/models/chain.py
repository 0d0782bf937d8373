"""The chain over the journal: a link for each state of each row, its queue, and the heads that were told outside."""

from __future__ import annotations

from django.db import models

from invoices.models.access import ApiToken, TokenRecord
from invoices.models.accounts import AccountRecord
from invoices.models.disclosures import Disclosure
from invoices.models.erasures import ErasedRow, Erasure
from invoices.models.events import Event, EventArchive
from invoices.models.explanations import DriftExplanation
from invoices.models.immutable import ImmutableModel, Rules
from invoices.models.month_closes import MonthClose
from invoices.models.notes import Note, NoteVersion
from invoices.models.operations import Batch, Contradiction, Operation, Pause
from invoices.models.removals import Removal
from invoices.models.sign_ins import SignInArchive, SignInRecord
from invoices.models.statements import BankDecision, BankMatch, BankStatement
from invoices.models.webhook_endpoints import WebhookEndpointRecord
from invoices.models.work import Assignment, Mention, Promise

# The kind of row, as links name it → its table. The name is hashed, and never changes.
CHAINED: dict[str, type[ImmutableModel]] = {
    "event": Event,
    "event_archive": EventArchive,
    "operation": Operation,
    "batch": Batch,
    "pause": Pause,
    "contradiction": Contradiction,
    "api_token": ApiToken,
    "token_record": TokenRecord,
    "account_record": AccountRecord,
    "removal": Removal,
    "erasure": Erasure,
    "erased_row": ErasedRow,
    "disclosure": Disclosure,
    "sign_in": SignInRecord,
    "sign_in_archive": SignInArchive,
    "note": Note,
    "note_version": NoteVersion,
    "mention": Mention,
    "promise": Promise,
    "assignment": Assignment,
    "webhook_endpoint_record": WebhookEndpointRecord,
    "bank_statement": BankStatement,
    "bank_match": BankMatch,
    "bank_decision": BankDecision,
    "month_close": MonthClose,
    "drift_explanation": DriftExplanation,
}


class JournalLink(ImmutableModel):
    """One link: what a row of the journal held at a moment, and by the hash everything that was chained before it."""

    position = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 and so on, without gaps")
    kind = models.CharField(max_length=32)
    row = models.CharField(max_length=255, help_text="The row's id, as the database writes it as text")
    fixed = models.CharField(max_length=64, help_text="SHA-256 of the columns that never change")
    digest = models.CharField(max_length=64, help_text="SHA-256 of all its evidence")
    sealed = models.BooleanField(help_text="Nothing of the evidence could change any more")
    made_at = models.DateTimeField(help_text="When the row was chained, not when it was written")
    kept = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="SHA-256 of what is not personal, which an erasure leaves as it is; empty in links of before",
    )
    hash = models.CharField(max_length=64, help_text="SHA-256 of the hash before, and of the columns above")

    class Meta:
        indexes = [models.Index("kind", "row", "position", name="journallink_row")]

    def __str__(self) -> str:
        return f"link {self.position}: {self.kind} {self.row}"

    rules = Rules()


class UnchainedRow(models.Model):
    """The queue of the chain: a trigger writes here which row of the journal is new, or says something new."""

    kind = models.CharField(max_length=32)
    row = models.CharField(max_length=255)

    class Meta:
        indexes = [models.Index("kind", "row", name="unchainedrow_row")]

    def __str__(self) -> str:
        return f"{self.kind} {self.row}"


class JournalHead(models.Model):
    """The head of the chain once a day, to be told where the database's owner cannot rewrite it."""

    day = models.DateField(primary_key=True, help_text="UTC")
    position = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    mailed_at = models.DateTimeField(null=True, blank=True)
    written_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%dT%H:%M:%SZ} {self.position} {self.hash}"
