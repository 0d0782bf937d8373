"""The endpoints themselves: made, changed, disabled, enabled, deleted; their secrets; what is sent again. All of it is
journalled, with who did it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from invoices import clock, emails, request_origin
from invoices.fanout import addresses, desk_events, owed, signing
from invoices.models import ApiToken, Delivery, Email, WebhookEndpoint, WebhookEndpointRecord
from invoices.models.reading import storable
from invoices.models.webhook_endpoints import EVERY_TYPE, new_endpoint_id
from invoices.thresholds import SECRET_OVERLAP
from invoices.wakeups import wake

MAX_ENDPOINTS = 16  # that are not deleted; Stripe's number
MAX_TYPES = 200  # of one endpoint
MAX_DESCRIPTION = 5000  # characters
LONGEST_OVERLAP = timedelta(days=7)
TYPE = re.compile(r"[a-z0-9_]{1,60}(\.[a-z0-9_]{1,60}){1,4}", re.ASCII)

VIEW, ADD = "invoices.view_webhookendpoint", "invoices.add_webhookendpoint"
CHANGE, DELETE = "invoices.change_webhookendpoint", "invoices.delete_webhookendpoint"

What = WebhookEndpointRecord.What


class EndpointInvalid(Exception):
    """A value is not allowed, or something cannot be done with this endpoint now. The message says what to do."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter, self.message = parameter, message


@dataclass(frozen=True)
class Actor:
    """Who does it, for the journal. The desk itself where nothing is given."""

    user: User | None = None
    token: ApiToken | None = None
    shell_user: str = ""
    address: str = ""
    request_id: str = ""

    @classmethod
    def of_request(cls, request: Any) -> Actor:
        origin = request_origin.origin(request)
        token = getattr(request, "auth", None)
        address, id = (origin["address"] or "")[:45], origin["request_id"][:255]
        return cls(request.user, token, address=address, request_id=id)

    @classmethod
    def of_command(cls) -> Actor:
        return cls(shell_user=request_origin.shell_user()[:255])


def present() -> QuerySet[WebhookEndpoint]:
    """Those that are not deleted."""
    return WebhookEndpoint.objects.filter(deleted_at=None)


def _held(id: str) -> WebhookEndpoint:
    """The endpoint's row, locked until the transaction ends. Raises EndpointInvalid."""
    row = present().select_for_update(no_key=True).filter(pk=id).first()
    if row is None:
        raise EndpointInvalid("id", "This endpoint was deleted.")
    return row


def _record(endpoint: WebhookEndpoint, what: str, actor: Actor, detail: str = "") -> None:
    WebhookEndpointRecord.objects.create(
        endpoint=endpoint,
        what=what,
        detail=storable(detail, 5000),
        by=actor.user,
        token=actor.token,
        shell_user=actor.shell_user,
        address=actor.address,
        request_id=actor.request_id,
    )


# --- making and changing ----------------------------------------------------------------------------------------------


def create(
    url: str,
    enabled_events: Iterable[str],
    *,
    description: str = "",
    owner: User | None,
    actor: Actor,
    id: str = "",
) -> tuple[WebhookEndpoint, str]:
    """Makes one. Returns it, and the signing secret, which is stored encrypted and shown by nobody again. `id`: where
    it follows from the request. Asks the name service, so not inside a transaction. Raises EndpointInvalid, and
    IntegrityError where this id is taken."""
    types = types_of(enabled_events)
    _check_url(url)
    secret = signing.new_secret()
    with transaction.atomic():
        if present().count() >= MAX_ENDPOINTS:
            raise EndpointInvalid("url", f"There are {MAX_ENDPOINTS} endpoints, which is the most. Delete one first.")
        endpoint = WebhookEndpoint.objects.create(
            id=id or new_endpoint_id(),
            url=url,
            enabled_events=types,
            description=_description(description),
            owner=owner,
            secret=signing.encrypted(secret),
        )
        _record(endpoint, What.CREATED, actor, f"{url}: {', '.join(types)}")
    return endpoint, secret


def change(
    endpoint: WebhookEndpoint,
    actor: Actor,
    *,
    url: str | None = None,
    enabled_events: Iterable[str] | None = None,
    description: str | None = None,
) -> WebhookEndpoint:
    """Changes what is given, and returns it as it then is. What is owed already goes to the new address. Raises
    EndpointInvalid."""
    wanted: dict[str, Any] = {}
    if url is not None and url != endpoint.url:
        _check_url(url)
        wanted["url"] = url
    if enabled_events is not None:
        wanted["enabled_events"] = types_of(enabled_events)
    if description is not None:
        wanted["description"] = _description(description)
    with transaction.atomic():
        row = _held(endpoint.pk)
        changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
        told = "; ".join(f"{name}: {getattr(row, name)} → {value}" for name, value in sorted(changed.items()))
        if "url" in changed:  # how the old address went says nothing of the new one
            changed |= {"failing_since": None, "unanswered": 0, "rests_until": None}
        for name, value in changed.items():
            setattr(row, name, value)
        if changed:
            row.save(update_fields=list(changed))
            _record(row, What.CHANGED, actor, told)
    return row


def _check_url(url: str) -> None:
    try:
        addresses.check(url)
    except addresses.AddressRefused as refused:
        raise EndpointInvalid("url", str(refused)) from None


def types_of(given: Iterable[str]) -> list[str]:
    """In their order, each once; only `*` where it is among them. Raises EndpointInvalid."""
    types = list(dict.fromkeys(given))
    if not types:
        raise EndpointInvalid("enabled_events", "Name the types of events that are to be sent, or * for all.")
    if EVERY_TYPE in types:
        return [EVERY_TYPE]
    if len(types) > MAX_TYPES:
        raise EndpointInvalid("enabled_events", f"At most {MAX_TYPES} types can be named. * stands for all.")
    for type in types:
        if not TYPE.fullmatch(type):
            raise EndpointInvalid(
                "enabled_events", f"“{type[:100]}” is no type of event, such as invoice.paid; * stands for all."
            )
    return types


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise EndpointInvalid("description", f"The description is longer than {MAX_DESCRIPTION} characters.")
    return text


def replace_secret(endpoint: WebhookEndpoint, actor: Actor, overlap: timedelta = SECRET_OVERLAP) -> str:
    """Makes a new signing secret, and returns it this once. The old one signs too until the overlap has ended. Raises
    EndpointInvalid."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise EndpointInvalid("overlap", f"The old secret can go on for up to {LONGEST_OVERLAP.days} days.")
    secret = signing.new_secret()
    with transaction.atomic():
        row = _held(endpoint.pk)
        row.previous_secret, row.secret = row.secret if overlap else "", signing.encrypted(secret)
        row.previous_secret_until = clock.now() + overlap if overlap else None
        row.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
        _record(row, What.SECRET_REPLACED, actor, f"the old one signs too for {overlap}" if overlap else "")
    return secret


def has_new_secret(endpoint: WebhookEndpoint) -> bool:
    """Whether its first secret was replaced."""
    return WebhookEndpointRecord.objects.filter(endpoint=endpoint, what=What.SECRET_REPLACED).exists()


# --- on and off -------------------------------------------------------------------------------------------------------


def disable(endpoint: WebhookEndpoint, actor: Actor, because: str = "") -> bool:
    """Nothing is sent to it any more, and what is owed is abandoned. False where it was disabled before."""
    with transaction.atomic():
        row = _held(endpoint.pk)
        if row.disabled_at is not None:
            return False
        _switch_off(row, actor, because)
    return True


def _switch_off(row: WebhookEndpoint, actor: Actor, because: str) -> None:
    row.disabled_at, row.disabled_because = clock.now(), because
    row.save(update_fields=["disabled_at", "disabled_because"])
    owed.abandon(row.pk, "The endpoint was disabled.")
    _record(row, What.DISABLED, actor, because)


def enable(endpoint: WebhookEndpoint, actor: Actor) -> bool:
    """New events are sent to it again. Those of the time between are sent where somebody asks for a redelivery. False
    where it was enabled before."""
    with transaction.atomic():
        row = _held(endpoint.pk)
        if row.disabled_at is None:
            return False
        row.disabled_at, row.disabled_because = None, ""
        row.failing_since, row.unanswered, row.rests_until = None, 0, None
        row.save(update_fields=["disabled_at", "disabled_because", "failing_since", "unanswered", "rests_until"])
        _record(row, What.ENABLED, actor)
    return True


def delete(endpoint: WebhookEndpoint, actor: Actor) -> None:
    """It is not shown any more, and its secrets are forgotten. Its row stays for the journal."""
    with transaction.atomic():
        row = _held(endpoint.pk)
        row.deleted_at, row.secret, row.previous_secret = clock.now(), "", ""
        row.save(update_fields=["deleted_at", "secret", "previous_secret"])
        owed.abandon(row.pk, "The endpoint was deleted.")
        _record(row, What.DELETED, actor, row.url)


def unchanged(endpoint: WebhookEndpoint) -> QuerySet[WebhookEndpoint]:
    """Its row, if it is enabled, has the same address, and fails since the same moment as this one, which was read
    earlier."""
    return present().filter(pk=endpoint.pk, url=endpoint.url, failing_since=endpoint.failing_since, disabled_at=None)


def give_up(endpoint: WebhookEndpoint, because: str) -> None:
    """The desk disables it, and tells its owner and whoever may change endpoints. Where it is not `unchanged`, nothing
    happens: what it is judged by is of the past."""
    with transaction.atomic():
        row = unchanged(endpoint).select_for_update(no_key=True).first()
        if row is None:
            return
        _switch_off(row, Actor(), because)
        emails.write(Email.Kind.WEBHOOK_ENDPOINT, row.pk, f"Disabled: {row.url}", _text(row), _told(row))
        transaction.on_commit(lambda: wake("send_emails"), robust=True)


def _told(endpoint: WebhookEndpoint) -> set[str]:
    people = User.objects.with_perm(CHANGE, include_superusers=True).filter(is_active=True)
    told = {person.email for person in people}
    if endpoint.owner is not None and endpoint.owner.is_active:
        told.add(endpoint.owner.email)
    return told


def _text(endpoint: WebhookEndpoint) -> str:
    link = settings.PUBLIC_URL + reverse("admin:invoices_webhookendpoint_page", args=[endpoint.pk])
    return (
        f"No events are sent to {endpoint.url} any more.\n{endpoint.disabled_because}\n\n"
        "When it takes events again, enable it, and have everything since then sent once more: "
        f"{link}\n"
    )


# --- once more --------------------------------------------------------------------------------------------------------


def redeliver(delivery: Delivery, actor: Actor) -> None:
    """Sends one event again, whatever became of it. Raises EndpointInvalid."""
    with transaction.atomic():
        row = _enabled(delivery.endpoint_id)
        if not owed.again(Delivery.objects.filter(pk=delivery.pk)):
            raise EndpointInvalid("id", "This delivery ended so long ago that it was removed.")
        _record(row, What.REDELIVERED, actor, delivery.event)


def redeliver_since(endpoint: WebhookEndpoint, since: datetime, actor: Actor) -> None:
    """Sends everything again that arrived since this moment and that the endpoint takes, also what it took already. A
    worker queues it, some hundred events at a time. Raises EndpointInvalid."""
    now = clock.now()
    if since > now:
        raise EndpointInvalid("since", "This moment has not come yet.")
    with transaction.atomic():
        row = _enabled(endpoint.pk)
        row.redeliver_from, row.redeliver_after, row.redeliver_until = since, "", now
        row.save(update_fields=["redeliver_from", "redeliver_after", "redeliver_until"])
        owed.owe_again_of_ours(row, since)
        _record(row, What.REDELIVERED, actor, f"everything since {since:%Y-%m-%d %H:%M:%S} UTC")
        transaction.on_commit(lambda: wake("deliver_events"), robust=True)


def send_test(endpoint: WebhookEndpoint, actor: Actor) -> Delivery:
    """Sends a test event to it, whatever types it takes. Raises EndpointInvalid."""
    with transaction.atomic():
        row = _enabled(endpoint.pk)
        event = desk_events.make_test(row)
        delivery = Delivery.objects.create(endpoint=row, event=event.pk, type=event.type)
        _record(row, What.TESTED, actor, event.pk)
        transaction.on_commit(lambda: wake("deliver_events"), robust=True)
    return delivery


def _enabled(id: str) -> WebhookEndpoint:
    row = _held(id)
    if row.disabled_at is not None:
        raise EndpointInvalid("id", "This endpoint is disabled: nothing is sent to it. Enable it first.")
    return row
