"""API tokens: who may make one, for whom and for what, making and revoking it, and the record of its use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery

from invoices import clock, sign_ins
from invoices.models import ApiToken, Scope, TokenRecord
from invoices.operations import ACTIONS
from invoices.operations.refusals import Invalid
from invoices.operations.requesters import SERVICE_GROUP
from invoices.request_origin import Origin

DEFAULT_DAYS, MAX_DAYS = 365, 3650  # for which a token is valid
MAX_NAME_LENGTH = 255  # characters
MAX_USERS_OFFERED = 500  # for whom a token can be made
MAX_USES_REMEMBERED = 10_000  # in each process

# What a token can be for, in plain words.
SCOPES: dict[str, str] = {
    **{scope.value: scope.label for scope in Scope},
    **{action.name: f"Act: {action.may}" for action in ACTIONS.values()},
}

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
    maker: User,
    user: User,
    *,
    name: str,
    lifetime: timedelta,
    scopes: Iterable[str],
    origin: Origin,
    any_stripe_version: bool = False,
    shell_user: str = "",
) -> tuple[ApiToken, str]:
    """Makes a token that acts for `user`. Returns it, and the key, of which only a hash is stored. Raises Invalid.

    `scopes`: of SCOPES, at least one. `any_stripe_version`: its program does without what older versions of Stripe's
    API had. `shell_user`: who ran the command, where a command makes it.
    """
    if not users_for(maker).filter(pk=user.pk).exists():
        raise Invalid("user", "A token acts for the one who makes it, or for a service user.")
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise Invalid("name", f"A token has a name of at most {MAX_NAME_LENGTH} characters.")
    if not timedelta(0) < lifetime <= timedelta(days=MAX_DAYS):
        raise Invalid("days", f"A token is valid for 1 to {MAX_DAYS} days.")
    given = _in_order(scopes)
    with transaction.atomic():
        token, key = ApiToken.objects.create(
            user,
            expiry=None,
            name=name.strip(),
            scopes=" ".join(given),
            read_only=Scope.ACTIONS not in given,  # the version before knows no single actions: it lets it only read
            any_stripe_version=any_stripe_version,
            shell_user=shell_user[:255],
            created_by=maker,
        )
        ApiToken.objects.filter(pk=token.pk).update(expiry=clock.now() + lifetime)
        TokenRecord.objects.create(token=token, what=What.CREATED, by=maker, **_of(origin))
        detail = f"“{token.name}” for {', '.join(given)}" + (f", in the name of {maker}" if shell_user else "")
        sign_ins.record(sign_ins.What.TOKEN_MADE, user=user, by=shell_user or maker, detail=detail)
    return token, key


def _in_order(scopes: Iterable[str]) -> list[str]:
    """The scopes in the order of SCOPES, each once. Raises Invalid."""
    given = set(scopes)
    if unknown := sorted(given - SCOPES.keys()):
        raise Invalid("scopes", f"There is no scope “{unknown[0]}”. The scopes are {', '.join(SCOPES)}.")
    if not given:
        raise Invalid("scopes", f"Say what the token is for. The scopes are {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in given]


def may_revoke(person: User) -> bool:
    return person.has_perm("invoices.delete_apitoken")


def state_of(token: ApiToken, now: datetime) -> str:
    """`active`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expiry is not None and token.expiry < now else "active"


def last_used(found: Iterable[ApiToken]) -> dict[str, datetime]:
    """When each of these tokens was last used, to the day, as it is recorded. One that never was is left out."""
    uses = TokenRecord.objects.filter(token=OuterRef("pk"), what=What.USED).order_by("-at").values("at")
    asked = ApiToken.objects.filter(pk__in=[token.pk for token in found])
    return {pk: at for pk, at in asked.values_list("pk", Subquery(uses[:1])) if at is not None}


def revoke(token: ApiToken, by: User, origin: Origin, *, shell_user: str = "") -> bool:
    """From now on the token opens nothing. False where it was revoked before."""
    with transaction.atomic():
        revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=clock.now(), revoked_by=by)
        if revoked:
            TokenRecord.objects.create(token=token, what=What.REVOKED, by=by, **_of(origin))
            detail = f"“{token.name}”" + (f", in the name of {by}" if shell_user else "")
            sign_ins.record(sign_ins.What.TOKEN_REVOKED, user=token.user, by=shell_user or by, detail=detail)
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
