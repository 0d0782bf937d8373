"""Snapshots as events tell them, at moments of Stripe's clock; and invoices of every odd shape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from invoices.snapshot import Snapshot, of_event

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)  # of Stripe's clock

ODD: list[dict[str, Any]] = [
    {"a_member_of_tomorrow": {"deep": [1, None, {"x": "y"}]}},
    {"total": 2**63, "amount_due": -(2**63) - 1, "amount_paid": 10**40},
    {"total": "1000", "amount_due": 10.5, "amount_paid": None, "attempted": "yes", "attempt_count": True},
    {"created": "yesterday", "due_date": 10**30, "status_transitions": "none", "next_payment_attempt": -(10**11)},
    {"created": 253402300799, "due_date": -62135596800},
    {"customer": None, "customer_email": 7, "customer_name": ["a"], "number": {"a": 1}},
    {"customer": {"id": "cus_1", "object": "customer"}, "subscription": {"id": "sub_1"}},
    {"number": "a\x00b", "customer_email": "\x00", "description": "\x00"},
    {"number": "\ud83d", "customer_name": "half \udc00 an emoji"},
    {"customer_email": "É" * 2000, "currency": "x" * 100, "status": "y" * 300, "number": "é" * 300},
    {"status": None},
    {"status": ["open"]},
    {"status": {"is": "open"}},
    {"lines": None},
    {"lines": []},
    {"lines": {"has_more": True}},
    {"lines": {"has_more": True, "data": None}},
    {"lines": {"has_more": True, "data": [None, 1, "x", {"id": ["x"]}], "total_count": "many"}},
    {"lines": {"has_more": "yes", "data": [[]]}},
    {"deleted": "perhaps"},
    {"metadata": {"": "", " ": "\u2028"}, "parent": [], "big": 1e300, "small": -0.0},
]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(data: dict[str, Any], stamp: int = 0, *, deleted: bool = False, other_version: bool = False) -> Snapshot:
    return of_event(data, at(stamp), deleted=deleted, other_version=other_version)
