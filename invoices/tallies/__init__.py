"""The tallies: how many invoices and charges stand in each queue and what they add up to, kept up to date.

buckets.py   what one object is counted as: the rule of each queue
counting.py  follows the changes of the mirror, counts what is there at first, and proves it every night
reading.py   what the pages ask: numbers and sums by queue, age, day and reason
"""

from invoices.tallies.buckets import (
    CHARGED,
    DEBIT_UNDER_WAY,
    DECLINED,
    DECLINED_THEN_PAID,
    MAX_REASON,
    NEEDS_CUSTOMER,
    OPEN,
    PAYMENT_FAILED,
    RECOVERED,
    UNKNOWN_REASON,
)
from invoices.tallies.counting import begin_proof, run_due
from invoices.tallies.reading import (
    NO_DUE_DATE,
    NOT_DUE,
    OVERDUE_BANDS,
    AgeBand,
    Amounts,
    State,
    band_of,
    by_band,
    by_reason,
    has_reason,
    ids_in,
    recovered,
    state,
    today,
)

__all__ = [
    "CHARGED",
    "DEBIT_UNDER_WAY",
    "DECLINED",
    "DECLINED_THEN_PAID",
    "MAX_REASON",
    "NEEDS_CUSTOMER",
    "NOT_DUE",
    "NO_DUE_DATE",
    "OPEN",
    "OVERDUE_BANDS",
    "PAYMENT_FAILED",
    "RECOVERED",
    "UNKNOWN_REASON",
    "AgeBand",
    "Amounts",
    "State",
    "band_of",
    "begin_proof",
    "by_band",
    "by_reason",
    "has_reason",
    "ids_in",
    "recovered",
    "run_due",
    "state",
    "today",
]
