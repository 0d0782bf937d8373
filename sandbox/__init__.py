"""A stand-in for Stripe's invoices: own process, own state, standard library only.

Run it with ``python -m sandbox``. It imports nothing of the project and nothing imports it: its users
speak HTTP.
"""

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1SandboxStandIn"
