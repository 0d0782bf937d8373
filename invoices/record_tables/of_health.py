"""The tables of how well the mirror follows Stripe: events, reconciliation runs, drift, scheduled refetches."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop

from invoices import recorded
from invoices.models.reading import storable, without_secrets
from invoices.record_tables.shape import Field, Seen, Shape, choice, moment, person, plain
from invoices.tables import Column, Kind

EVENTS = Shape(
    gettext_noop("Events"),
    [
        plain("Type", "type"),
        plain("State", "state"),
        plain("Because", "error"),
        plain("Object", "object_type"),
        plain("Object id", "object_id"),
        moment("Stripe's stamp", "created"),
        moment("Received", "received_at"),
        moment("In the mirror", "processed_at"),
        plain("Attempts", "attempts", Kind.NUMBER),
        plain("Came by", "source"),
        plain("Request", "request_id"),
        plain("Idempotency key", "idempotency_key"),
        plain("API version", "api_version"),
        plain("Event id", "pk"),
    ],
    "type state error object_type object_id created received_at processed_at attempts source request_id "
    "idempotency_key api_version".split(),
)

RUNS = Shape(
    gettext_noop("Reconciliations"),
    [
        choice("Kind", "kind"),
        Field(Column("Dry run", Kind.TEXT), lambda seen: "yes" if seen.row.dry_run else "no"),
        plain("State", "state"),
        plain("Exit code", "exit_code", Kind.NUMBER),
        plain("Error", "error"),
        *(
            plain(label, name, Kind.NUMBER)
            for label, name in (
                ("Seen", "seen"),
                ("Same", "same"),
                ("Imported", "imported"),
                ("Healed", "healed"),
                ("In flight", "in_flight"),
                ("Left", "failed"),
                ("New events", "events"),
            )
        ),
        person("Asked for by", "started_by"),
        moment("Began", "started_at"),
        moment("Ended", "finished_at"),
        plain("Run", "pk", Kind.NUMBER),
    ],
    "kind dry_run state exit_code error seen same imported healed in_flight failed events started_at finished_at "
    "started_by__username".split(),
    related=("started_by",),
)


def _side(label: str, name: str) -> Field:
    """A value of one side. A whole object is left out: the page of the difference shows it."""

    def read(seen: Seen) -> Any:
        value = getattr(seen.row, name)
        if value is None or isinstance(value, (dict, list)):
            return None
        return without_secrets(storable(str(value), 2000))

    return Field(Column(label, Kind.TEXT), read)


def _explanation(seen: Seen) -> str:
    return recorded.shown(seen.row.explanation.text) if seen.row.explanation else ""


def _explained_by(seen: Seen) -> str:
    return str(seen.row.explanation.written_by) if seen.row.explanation else ""


DRIFT = Shape(
    gettext_noop("Drift"),
    [
        choice("Difference", "kind"),
        plain("Object", "object_type"),
        plain("Object id", "object_id"),
        plain("Field", "field"),
        _side("Here", "ours"),
        _side("At Stripe", "theirs"),
        plain("Because", "reason"),
        moment("Found", "found_at"),
        moment("Healed", "healed_at"),
        Field(Column("Explanation", Kind.TEXT), _explanation),
        Field(Column("Explained by", Kind.TEXT), _explained_by),
        plain("Invoice id", "invoice"),
        plain("Run", "run_id", Kind.NUMBER),
    ],
    "kind object_type object_id field ours theirs reason found_at healed_at invoice run_id explanation__text "
    "explanation__written_by__username".split(),
    related=("explanation__written_by",),
    rows_at_once=100,  # a difference may hold a whole object
)


def _refetch_state(seen: Seen) -> str:
    if seen.row.given_up_at:
        return "given up"
    return "failing" if seen.row.failing_since else "waiting"


REFETCHES = Shape(
    gettext_noop("Refetches"),
    [
        plain("Object", "object_type"),
        plain("Object id", "object_id"),
        Field(Column("State", Kind.TEXT), _refetch_state),
        plain("Last error", "error"),
        plain("Attempts", "attempts", Kind.NUMBER),
        moment("Asked for", "asked_at"),
        moment("Next attempt", "due_at"),
        moment("Failing since", "failing_since"),
        moment("Given up", "given_up_at"),
    ],
    "object_type object_id error attempts asked_at due_at failing_since given_up_at".split(),
)
