"""Template filters and tags: `{% load desk %}`."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from invoices import money, recorded
from invoices.admin import footers, formatting
from invoices.admin.events import wording as event_wording
from invoices.admin.links import url_of
from invoices.admin.lists import RecordList
from invoices.admin.operations import wording as operation_wording
from invoices.models import Mirrored, Operation
from invoices.operations import label_of, manual_resolution, pauses
from invoices.reconcile.comparisons import last_comparisons

register = template.Library()

FILTERS: dict[str, Any] = {
    "ago": formatting.ago,
    "number": formatting.number,
    "moment": formatting.moment,
    "clock": formatting.clock_time,
    "day": formatting.day,
    "pretty": formatting.pretty,
    "words": formatting.words,
    "recorded": recorded.shown,
    "local_times": formatting.local_times,
    "badge": formatting.badge,
    "outcome": operation_wording.outcome,
    "headline": operation_wording.headline,
    "tone": operation_wording.tone,
    "in_sentence": operation_wording.in_sentence,
    "requested_by": operation_wording.requested_by,
    "parameters": operation_wording.parameters,
    "event_title": event_wording.title,
    "action_label": lambda operation: _(label_of(operation.action)),
    "paused_what": pauses.what,
    "paused_by": pauses.by_whom,
}
register.filters.update(FILTERS)


@register.filter
def as_of(row: Mirrored) -> datetime | None:
    """When the mirror's row was known to be as Stripe has it."""
    return last_comparisons().as_of(row)


@register.filter
def state_badge(operation: Operation) -> SafeString:
    return formatting.badge(operation_wording.state(operation), operation_wording.tone(operation))


@register.simple_tag
def amount(value: int | None, currency: str | None) -> str:
    """An amount in minor units, with its currency."""
    return money.text(value, currency)


@register.simple_tag
def age_words() -> str:
    """What desk.js makes an age of, in the language of the page."""
    return json.dumps(formatting.age_words())


@register.simple_tag
def page_of(model: str, pk: Any) -> str:
    """The address of a record's page: `{% page_of 'invoice' invoice.pk %}`."""
    return url_of(model, pk)


@register.filter
def unfinished(operation: Operation) -> bool:
    return operation.state in Operation.UNFINISHED


@register.filter
def needs_manual_resolution(operation: Operation) -> bool:
    """Whether its outcome stayed unknown, so that a manager has to say what came of it."""
    return manual_resolution.is_needed(operation)


@register.filter
def choices(list_filter: Any, changelist: Any) -> Any:
    """The choices of a list filter, for showing it outside the filters' own panel."""
    return list_filter.choices(changelist)


@register.filter
def page_sums(shown: RecordList) -> footers.Sums:
    """What is on a list's page, per currency."""
    return footers.of_page(shown)


@register.simple_tag
def header_link(changelist: Any, index: int) -> Any:
    """The link that sorts one of our lists by this column; None where it cannot, and in lists that are not ours."""
    return changelist.header(index) if hasattr(changelist, "header") else None
