"""Actions at Stripe: at most once, always explained. request → perform → settle; the actions are in catalog.py."""

from invoices.operations.catalog import ACTIONS, Parameter, Spec
from invoices.operations.perform import perform
from invoices.operations.refusals import STATUS, Invalid, Refusal
from invoices.operations.request import execute, request
from invoices.operations.settle import settle_due

__all__ = [
    "ACTIONS",
    "STATUS",
    "Invalid",
    "Parameter",
    "Refusal",
    "Spec",
    "execute",
    "perform",
    "request",
    "settle_due",
]
