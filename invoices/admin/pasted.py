"""Reads what people paste into the search: an invoice's number with its `#`, an address of Stripe's dashboard or of the
desk. Asks no database."""

import re
from urllib.parse import unquote, urlsplit

from invoices.models.reading import one_line, storable

MAX_LENGTH = 1000  # characters of what is searched for; a query in Stripe's language may be long, and an address
# The beginnings of the ids that the search understands. The longer ones first, where one begins another.
ID_PREFIXES = ("inpay_", "in_", "cus_", "sub_", "pi_", "pyr_", "py_", "ch_", "re_", "cn_", "evt_", "req_")
ID = re.compile(rf"(?:{'|'.join(ID_PREFIXES)})[A-Za-z0-9_]+", re.ASCII)
OWN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)  # of an operation or a batch
ADDRESS = re.compile(r"(?:https?://|dashboard\.stripe\.com/)\S+", re.IGNORECASE)


def plain(typed: str) -> str:
    """What was typed, as one line without what no database stores; of an address the id that it ends with, but of
    Stripe's page for a customer the address itself; of `#A-1` the number alone."""
    term = one_line(storable(typed, MAX_LENGTH)).strip()
    if ADDRESS.fullmatch(term):
        return id_in_address(term) or term
    return term.removeprefix("#").strip()


def id_in_address(address: str) -> str:
    """The last part of an address's path that is an id of Stripe's or of ours, such as `in_1` of
    `https://dashboard.stripe.com/acct_1/test/invoices/in_1?tab=all`. Empty where there is none."""
    try:
        path = urlsplit(address).path
    except ValueError:  # such as a bracket that is never closed
        return ""
    parts = reversed(unquote(path).split("/"))
    return next((part for part in parts if ID.fullmatch(part) or OWN_ID.fullmatch(part)), "")
