"""The chain over the journal: made by a job (links.py), walked by a command (walk.py), told outside (heads.py)."""

from invoices.journal.archives import NotArchivable
from invoices.journal.heads import HeadUnreadable, KnownHead, publish
from invoices.journal.links import GENESIS, chain, head
from invoices.journal.walk import Finding, Verification, verify

__all__ = [
    "GENESIS",
    "Finding",
    "HeadUnreadable",
    "KnownHead",
    "NotArchivable",
    "Verification",
    "chain",
    "head",
    "publish",
    "verify",
]
