"""Who paid for whom before: by the payer's account, or by the name where the bank tells no account."""

from __future__ import annotations

import unicodedata
import uuid
from collections import defaultdict
from collections.abc import Iterable

from invoices.models import BankTransaction, KnownPayer


def payer_of(credit: BankTransaction) -> str:
    """The payer's account, or else the name in small letters without marks and double spaces; empty: nobody knows."""
    if credit.payer_account:
        return credit.payer_account
    plain = unicodedata.normalize("NFKD", credit.payer_name).encode("ascii", "ignore").decode()
    return " ".join(plain.lower().split())[:255]


def known_payers(credits: Iterable[BankTransaction]) -> dict[uuid.UUID, dict[str, int]]:
    """Of each credit: the customers for whom its payer paid before, and how many times that was confirmed."""
    payers = {credit.pk: payer_of(credit) for credit in credits}
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for known in KnownPayer.objects.filter(payer__in={payer for payer in payers.values() if payer}):
        found[known.payer][known.customer] = known.times
    return {pk: found[payer] for pk, payer in payers.items() if payer in found}
