"""What we keep: the mirror, its account and its scheduled refetches, the journal (events, operations, reconciliation,
removals, sign-ins), bank statements, API tokens and heartbeats (access), what hosts share (shared), services'
endpoints."""

from invoices.models.access import ApiToken, GivenPermission, Heartbeat, Scope, TokenRecord
from invoices.models.accounts import AccountRecord, CheckedKey
from invoices.models.among import Among
from invoices.models.batch_items import BatchItem
from invoices.models.calls import CallResult, RecordedCall
from invoices.models.chain import CHAINED, JournalHead, JournalLink, UnchainedRow
from invoices.models.changes import Change, UnnumberedChange
from invoices.models.codes import DECLINES, Code, OutcomeBy
from invoices.models.disclosures import Disclosure
from invoices.models.emails import Email
from invoices.models.erasures import ErasedRow, Erasure
from invoices.models.events import Event, EventArchive, PendingEvent
from invoices.models.explanations import DriftExplanation
from invoices.models.exports import Export, ExportChunk
from invoices.models.mirrored import (
    MIRRORED,
    Charge,
    CreditNote,
    Customer,
    Invoice,
    InvoicePayment,
    Mirrored,
    PaymentIntent,
    Refund,
)
from invoices.models.month_closes import MonthClose
from invoices.models.notes import Note, NoteVersion
from invoices.models.operations import Batch, Contradiction, Operation, Pause
from invoices.models.reconciliation import Drift, ReconciliationRun
from invoices.models.refetches import ScheduledRefetch
from invoices.models.removals import Removal
from invoices.models.request_counts import RequestCount
from invoices.models.run_progress import RunProgress
from invoices.models.saved_views import SavedView
from invoices.models.shared import Lease, ScheduledRun, ThrottleSlot
from invoices.models.sightings import Sighting
from invoices.models.sign_ins import SignInArchive, SignInRecord
from invoices.models.statements import (
    BankDecision,
    BankMatch,
    BankStatement,
    BankTransaction,
    KnownPayer,
    StatementLayout,
    StatementLine,
)
from invoices.models.tallies import Tallied, Tally, TallyProgress
from invoices.models.webhook_endpoints import (
    Delivery,
    DeliveryAttempt,
    DeskEvent,
    WebhookEndpoint,
    WebhookEndpointRecord,
)
from invoices.models.work import Assignment, Mention, Promise

__all__ = [
    "CHAINED",
    "DECLINES",
    "MIRRORED",
    "AccountRecord",
    "Among",
    "ApiToken",
    "Assignment",
    "BankDecision",
    "BankMatch",
    "BankStatement",
    "BankTransaction",
    "Batch",
    "BatchItem",
    "CallResult",
    "Change",
    "Charge",
    "CheckedKey",
    "Code",
    "Contradiction",
    "CreditNote",
    "Customer",
    "Delivery",
    "DeliveryAttempt",
    "DeskEvent",
    "Disclosure",
    "Drift",
    "DriftExplanation",
    "Email",
    "ErasedRow",
    "Erasure",
    "Event",
    "EventArchive",
    "Export",
    "ExportChunk",
    "GivenPermission",
    "Heartbeat",
    "Invoice",
    "InvoicePayment",
    "JournalHead",
    "JournalLink",
    "KnownPayer",
    "Lease",
    "Mention",
    "Mirrored",
    "MonthClose",
    "Note",
    "NoteVersion",
    "Operation",
    "OutcomeBy",
    "Pause",
    "PaymentIntent",
    "PendingEvent",
    "Promise",
    "ReconciliationRun",
    "RecordedCall",
    "Refund",
    "Removal",
    "RequestCount",
    "RunProgress",
    "SavedView",
    "ScheduledRefetch",
    "ScheduledRun",
    "Scope",
    "Sighting",
    "SignInArchive",
    "SignInRecord",
    "StatementLayout",
    "StatementLine",
    "Tallied",
    "Tally",
    "TallyProgress",
    "ThrottleSlot",
    "TokenRecord",
    "UnchainedRow",
    "UnnumberedChange",
    "WebhookEndpoint",
    "WebhookEndpointRecord",
]
