"""Which invoice an address of Stripe's page for customers belongs to.

Stripe signs such an address anew for each reply, so two addresses of one invoice differ. Its token is base64 of the
account, a secret of the invoice and a number (`acct_1,_LRmS5Dgx,39631033`), with a signature behind it. Account and
secret stay the same. They are kept as a digest alone, because whoever has the secret may open the page.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import urlsafe_b64decode
from typing import Any

DIGEST_LENGTH = 32  # characters
ADDRESS = re.compile(
    r"(?:https://)?(?:invoice\.stripe\.com/i|pay\.stripe\.com/invoice)/(?P<account>acct_\w{1,64})"
    r"/(?P<mode>[a-z]{1,16}_)(?P<token>[\w,-]{1,500})(?:/[a-z]{1,16})?/?(?:[?#]\S*)?",
    re.ASCII,
)
SAME = re.compile(rb"acct_\w+,_\w+(?=,)")  # account and secret, at the beginning of what the token says


def digest(address: Any) -> str | None:
    """What is the same in every address of one invoice's page or PDF, as a digest. None for any other text."""
    found = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if found is None:
        return None
    same = _same(found["token"]) or f"{found['account']},{found['mode']}{found['token']}".encode()
    return hashlib.sha256(same).hexdigest()[:DIGEST_LENGTH]


def _same(token: str) -> bytes:
    try:
        said = urlsafe_b64decode(token[: len(token) // 4 * 4].replace(",", "="))
    except (binascii.Error, ValueError):
        return b""
    found = SAME.match(said)
    return found[0] if found else b""
