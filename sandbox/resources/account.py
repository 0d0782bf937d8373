"""/v1/account: whose key this is. Each state file is an account of its own, with an id that a reset changes."""

from sandbox.call import Call
from sandbox.ids import ids
from sandbox.routes import get
from sandbox.store import StripeObject


def retrieve(call: Call) -> StripeObject:
    return {
        "id": account_id(call),
        "object": "account",
        "business_profile": {"name": "Sandbox"},
        "capabilities": {"card_payments": "active", "us_bank_account_ach_payments": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


def account_id(call: Call) -> str:
    """The id of this state file's account. It is made when it is asked for first, and kept in the file."""
    found: str | None = call.db.setting("account")
    if found is None:
        with call.world.store.write() as db:  # one writer at a time: two first requests get the same id
            found = db.setting("account") or ids.new("account")
            db.save_setting("account", found)
    return found


ROUTES = [get("/v1/account", retrieve)]
