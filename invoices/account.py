"""Of which Stripe account the mirror is, and the refusal of an API key of another account or mode.

The gateway asks here before each request. A wrong key would fill the mirror with foreign objects, and every 404 of the
other account would delete a draft. Stripe is asked once a day whose a key is; in between the database knows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import IntegrityError, transaction

from invoices import clock
from invoices.models import MIRRORED, AccountRecord, CheckedKey, Invoice
from invoices.thresholds import KEY_CHECK_LASTS, KEY_REMEMBERED

# A key's fingerprint → `time.monotonic()` until which this process knows it as right.
_remembered: dict[str, float] = {}


class AccountRefused(Exception):
    """The key is not of the account of this installation, or nobody can tell; the message says what to do."""


def key_is_live() -> bool:
    """Whether STRIPE_SECRET_KEY is a key of live mode."""
    return mode_of(settings.STRIPE_SECRET_KEY) == "live"


def mode_of(key: str) -> str:
    """`live` or `test`: of which mode a key of Stripe's is."""
    return "live" if key.startswith(("sk_live", "rk_live")) else "test"


def recorded() -> AccountRecord | None:
    """The account of this installation; None before the first import."""
    return AccountRecord.objects.order_by("-number").first()


def check(ask: Callable[[], str], stripe_has: Callable[[str, str], bool], may_be_away: type[Exception]) -> None:
    """Returns if the key is of the account and mode of this installation. Raises AccountRefused.

    `ask` asks Stripe for the id of the key's account, `stripe_has` whether it has an object (its `object` value, its
    id). Where `ask` raises `may_be_away`, the answer of an earlier day stands, if there is one. The first key that is
    used decides which account the installation is of.
    """
    fingerprint = _fingerprint()
    if _remembered.get(fingerprint, 0.0) > time.monotonic():
        return
    account = _account_of(fingerprint, ask, may_be_away)
    if settings.STRIPE_ACCOUNT not in ("", account):
        raise AccountRefused(
            f"STRIPE_SECRET_KEY is a key of account {account}, but STRIPE_ACCOUNT says {settings.STRIPE_ACCOUNT}. "
            "Nothing was read or changed. Set the key and the account of the same account."
        )
    record = recorded() or _first(account, stripe_has)
    if (record.account, record.livemode) != (account, key_is_live()):
        raise AccountRefused(
            f"STRIPE_SECRET_KEY is a key of account {account}, {_mode(key_is_live())} mode, but this mirror is of "
            f"account {record}. Nothing was read or changed. Set a key of the mirror's account and mode, or begin "
            "with an empty database."
        )
    _remembered[fingerprint] = time.monotonic() + KEY_REMEMBERED.total_seconds()


def ask_again() -> None:
    """The next request asks Stripe whose the key is, whenever it was asked before: for the beginning of a long run."""
    _remembered.clear()
    long_ago = clock.now() - 2 * KEY_CHECK_LASTS
    CheckedKey.objects.filter(pk=_fingerprint()).update(checked_at=long_ago)


def _fingerprint() -> str:
    return hashlib.sha256(f"{settings.STRIPE_API_BASE} {settings.STRIPE_SECRET_KEY}".encode()).hexdigest()


def _account_of(fingerprint: str, ask: Callable[[], str], may_be_away: type[Exception]) -> str:
    known = CheckedKey.objects.filter(pk=fingerprint).first()
    if known and known.checked_at > clock.now() - KEY_CHECK_LASTS:
        return known.account
    try:
        account = ask()
    except may_be_away:
        if known is None:
            raise
        return known.account
    CheckedKey.objects.bulk_create(
        [CheckedKey(fingerprint=fingerprint, account=account, checked_at=clock.now())],
        update_conflicts=True,
        unique_fields=["fingerprint"],
        update_fields=["account", "checked_at"],
    )
    return account


def _first(account: str, stripe_has: Callable[[str, str], bool]) -> AccountRecord:
    """Records the account that the first key belongs to. Where the mirror holds invoices already, from webhooks or from
    a version that kept no record, Stripe must have the oldest and the newest of them."""
    for id in _samples():
        if not stripe_has(Invoice.OBJECT, id):
            raise AccountRefused(
                f"STRIPE_SECRET_KEY is a key of account {account}, which has no invoice {id}, but the mirror holds it. "
                "Nothing was read or changed. Set the key of the mirror's account. If this one is right, "
                "`manage.py account adopt` says so, and `manage.py remove_foreign` removes what Stripe does not have."
            )
    return _record(1, account, reason="The first import.")


def _samples() -> Iterator[str]:
    finalized = Invoice.objects.filter(deleted_at=None).exclude(status__in=Invoice.DELETABLE_STATUSES)
    for order in ("", "-"):
        yield from finalized.order_by(f"{order}created", f"{order}id").values_list("pk", flat=True)[:1]


def _record(number: int, account: str, *, reason: str, by: str = "") -> AccountRecord:
    """Writes that the mirror is of this account, and of the key's mode. Where two threads or processes write the record
    of this number at once, the first one's counts."""
    made = AccountRecord(number=number, account=account, livemode=key_is_live(), reason=reason, recorded_by=by)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        return AccountRecord.objects.get(pk=made.number)
    return made


def adopt(account: str, *, reason: str, by: str) -> AccountRecord:
    """A person says that this installation is of this account from now on. Raises AccountRefused: a mirror with rows of
    one account cannot become another's."""
    last = recorded()
    if last and (last.account, last.livemode) == (account, key_is_live()):
        raise AccountRefused(f"This mirror is of account {last}, already.")
    if last and any(model.objects.exists() for model in MIRRORED.values()):
        raise AccountRefused(
            f"This mirror holds rows of account {last}: it cannot become that of {account}. Begin with an empty "
            "database."
        )
    _remembered.clear()
    return _record(last.number + 1 if last else 1, account, reason=reason, by=by)


def _mode(live: bool) -> str:
    return "live" if live else "test"
