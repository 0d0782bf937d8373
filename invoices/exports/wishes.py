"""Asking for a file: the row that waits for a worker, and how many a person may wait for."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from invoices import clock
from invoices.models import Export
from invoices.wakeups import wake

AT_ONCE = 3  # files that one person may wait for at the same time
MEGABYTE = 1_000_000


class TooMany(Exception):
    """Nothing more is prepared for now. The message is a sentence for the person, in the language of the page."""


def ask(
    owner: User,
    kind: str,
    parameters: Mapping[str, Any],
    *,
    format: str,
    title: str,
    file_name: str,
    detail: str = "",
    id: uuid.UUID | str | None = None,
) -> Export:
    """The row of this wish; a worker begins soon. `id` comes from the form: a form that is sent twice is one wish.
    Days are counted in the present time zone. Raises TooMany."""
    key = uuid.UUID(str(id)) if id else uuid.uuid4()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)  # so that wishes of the same moment are counted one by one
        if before := Export.objects.filter(pk=key, owner=owner).first():
            return before
        _check_room(owner)
        export = Export.objects.create(
            pk=key,
            owner=owner,
            kind=kind,
            parameters=dict(parameters),
            time_zone=timezone.get_current_timezone_name(),
            format=format,
            title=title,
            detail=detail,
            file_name=file_name,
            asked_at=clock.now(),
        )
    wake("prepare_exports")
    return export


def _check_room(owner: User) -> None:
    """Raises TooMany."""
    if Export.objects.filter(owner=owner, state__in=Export.UNFINISHED).count() >= AT_ONCE:
        message = _("{number} files are being prepared for you already. Wait for one of them, or cancel it.")
        raise TooMany(message.format(number=AT_ONCE))
    if is_full():
        raise TooMany(_("There is no room for another file: remove one that you no longer need, or come back later."))


def is_full() -> bool:
    """Whether all files together take as much of the database as they may."""
    held = Export.objects.filter(state__in=[*Export.UNFINISHED, Export.State.READY]).aggregate(bytes=Sum("stored"))
    return (held["bytes"] or 0) >= settings.EXPORTS_MAX_MEGABYTES * MEGABYTE
