"""A stand-in for Stripe's invoices: its own process, its own state file, only the standard library.

Run it with `python -m sandbox`. It imports nothing of the project, and the project reaches it over HTTP only.
The manual is docs/sandbox.md.
"""

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1SandboxStandIn"
