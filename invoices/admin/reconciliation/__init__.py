"""Reconciliation: its runs, the proof of equality, and the drift that was found."""
