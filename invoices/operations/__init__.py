"""Actions at Stripe: at most once, always explained. request → approve → perform → settle; the actions: catalog.py."""

from invoices.operations import advice, approval, batch, brake, choices, person
from invoices.operations.catalog import ACTIONS, Parameter, Spec
from invoices.operations.perform import perform
from invoices.operations.refusals import STATUS, Invalid, Refusal
from invoices.operations.request import execute, request
from invoices.operations.settle import needs_person, settle_due

__all__ = [
    "ACTIONS",
    "STATUS",
    "Invalid",
    "Parameter",
    "Refusal",
    "Spec",
    "advice",
    "approval",
    "batch",
    "brake",
    "choices",
    "execute",
    "needs_person",
    "perform",
    "person",
    "request",
    "settle_due",
]
