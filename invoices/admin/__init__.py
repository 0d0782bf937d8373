"""The back office's pages: read-only lists of the mirror and the journal, and the confirmed actions. Thin."""

from invoices.admin import batches, brake, invoices, journal, mirrored, operations, people, reconciliation, tokens

__all__ = ["batches", "brake", "invoices", "journal", "mirrored", "operations", "people", "reconciliation", "tokens"]
