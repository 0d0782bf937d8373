"""API tokens: who may make one and for whom, making and revoking it, and the record of its use."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from invoices import clock, sign_ins
from invoices.models import ApiToken, TokenRecord
from invoices.operations.refusals import Invalid
from invoices.operations.requesters import SERVICE_GROUP
from invoices.request_origin import Origin

MAX_USERS_OFFERED = 500  # for whom a token can be made
MAX_USES_REMEMBERED = 10_000  # in each process

What = TokenRecord.What
_uses: set[tuple[str, date, str]] = set()  # token, UTC day and address that this process has recorded


def may_make(person: User) -> bool:
    """Whether this person may make tokens at all."""
    return person.has_perm(ApiToken.ADD_OWN) or person.has_perm(ApiToken.ADD_FOR_SERVICE)


def users_for(maker: User) -> QuerySet[User]:
    """For whom she may make a token: for herself, and for the active service users that may no more than she.

    A token for another person is made by nobody: it could ask in that person's name, and its maker could then approve.
    """
    ids = [maker.pk] if maker.has_perm(ApiToken.ADD_OWN) else []
    if maker.has_perm(ApiToken.ADD_FOR_SERVICE):
        services = User.objects.filter(groups__name=SERVICE_GROUP, is_active=True).order_by("username")[
            :MAX_USERS_OFFERED
        ]
        ids += [service.pk for service in services if _may_no_more(service, maker)]
    return User.objects.filter(pk__in=ids).order_by("username")


def _may_no_more(service: User, maker: User) -> bool:
    return maker.is_superuser or (
        not service.is_superuser and service.get_all_permissions() <= maker.get_all_permissions()
    )


def make(
    maker: User, user: User, *, name: str, lifetime: timedelta, read_only: bool, origin: Origin
) -> tuple[ApiToken, str]:
    """Makes a token that acts for `user`. Returns it, and the key, of which only a hash is stored. Raises Invalid."""
    if not users_for(maker).filter(pk=user.pk).exists():
        raise Invalid("user", "A token acts for the one who makes it, or for a service user.")
    with transaction.atomic():
        token, key = ApiToken.objects.create(user, expiry=None, name=name, read_only=read_only, created_by=maker)
        ApiToken.objects.filter(pk=token.pk).update(expiry=clock.now() + lifetime)
        TokenRecord.objects.create(token=token, what=What.CREATED, by=maker, **_of(origin))
        sign_ins.record(sign_ins.What.TOKEN_MADE, user=user, by=maker, detail=f"“{name}”")
    return token, key


def revoke(token: ApiToken, by: User, origin: Origin) -> bool:
    """From now on the token opens nothing. False where it was revoked before."""
    with transaction.atomic():
        revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=clock.now(), revoked_by=by)
        if revoked:
            TokenRecord.objects.create(token=token, what=What.REVOKED, by=by, **_of(origin))
            sign_ins.record(sign_ins.What.TOKEN_REVOKED, user=token.user, by=by, detail=f"“{token.name}”")
    return bool(revoked)


def record_use(token: ApiToken, now: datetime, origin: Origin) -> None:
    """Records that the token was used at this moment: one row for each token, UTC day and address.

    A process that has recorded it already asks the database nothing. Where another process was quicker, the unique
    constraint leaves its row.
    """
    use = (token.pk, now.date(), origin["address"] or "")
    if use in _uses:
        return
    record = TokenRecord(token=token, what=What.USED, by=token.user, at=now, day=now.date(), **_of(origin))
    TokenRecord.objects.bulk_create([record], ignore_conflicts=True)
    if len(_uses) >= MAX_USES_REMEMBERED:
        _uses.clear()
    _uses.add(use)


def _of(origin: Origin) -> dict[str, str]:
    """The columns of a record that say where the request came from."""
    return {"address": (origin["address"] or "")[:45], "request_id": origin["request_id"][:255]}
