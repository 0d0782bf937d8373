"""Actions at Stripe. `request` journals an operation, `perform` sends it, `settle` finds out what came of it.

`actions/` has one file for each action.
"""

from invoices.operations import (
    advice,
    answers,
    approval,
    batch,
    batch_by_token,
    bulk_preview,
    contradictions,
    decisions,
    eligibility,
    manual_resolution,
    money_under_way,
    outcomes,
    pauses,
    payment_lookups,
    repeats,
    requesters,
    spreading,
    waiting,
)
from invoices.operations.action import Action
from invoices.operations.actions import ACTIONS, label_of
from invoices.operations.parameters import Parameter
from invoices.operations.perform import perform
from invoices.operations.refusals import HTTP_STATUS, Invalid, Refusal
from invoices.operations.request import execute, request
from invoices.operations.settle import settle_due

__all__ = [
    "ACTIONS",
    "HTTP_STATUS",
    "Action",
    "Invalid",
    "Parameter",
    "Refusal",
    "advice",
    "answers",
    "approval",
    "batch",
    "batch_by_token",
    "bulk_preview",
    "contradictions",
    "decisions",
    "eligibility",
    "execute",
    "label_of",
    "manual_resolution",
    "money_under_way",
    "outcomes",
    "pauses",
    "payment_lookups",
    "perform",
    "repeats",
    "request",
    "requesters",
    "settle_due",
    "spreading",
    "waiting",
]
