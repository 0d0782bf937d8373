"""Our words and formats, for templates: `{% load desk %}`."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from invoices import money
from invoices.admin import formatting, wording
from invoices.admin.base import url_of
from invoices.models import Operation
from invoices.operations import needs_person

register = template.Library()

FILTERS: dict[str, Any] = {
    "ago": formatting.ago,
    "moment": formatting.moment,
    "clock": formatting.clock_time,
    "day": formatting.day,
    "pretty": formatting.pretty,
    "words": formatting.words,
    "badge": formatting.badge,
    "outcome": wording.outcome,
    "headline": wording.headline,
    "tone": wording.tone,
    "who": wording.who,
    "told": wording.told,
    "event_words": wording.event,
}
register.filters.update(FILTERS)


@register.filter
def state_badge(operation: Operation) -> SafeString:
    return formatting.badge(wording.state(operation), wording.tone(operation))


@register.simple_tag
def amount(value: int | None, currency: str | None) -> str:
    return money.text(value, currency)


@register.simple_tag
def page_of(model: str, pk: Any) -> str:
    return url_of(model, pk)


@register.filter
def unfinished(operation: Operation) -> bool:
    return operation.state in Operation.UNFINISHED


@register.filter
def undecided(operation: Operation) -> bool:
    """Whether it waits for a manager's word, and no longer for Stripe's."""
    return needs_person(operation)


@register.filter
def choices(spec: Any, changelist: Any) -> Any:
    """A list filter's choices, outside the filters' own panel."""
    return spec.choices(changelist)
