"""How far a reconciliation run has come, as its row remembers it: whoever goes on with it goes on from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from django.db import models
from django.db.models.fields.json import KeyTransform

if TYPE_CHECKING:
    JSON = models.JSONField[Any, Any]
else:
    JSON = models.JSONField


class StoredWindow(TypedDict):
    """A part of one of Stripe's lists, as `invoices.reconcile.windows.Window` is stored."""

    object: str  # Stripe's `object` value
    start: int | None  # creation time in Stripe's seconds, included; None: from the beginning
    end: int | None  # excluded; None: without an end
    status: str  # empty: every status


@dataclass(frozen=True)
class RunProgress:
    """What a run planned at its start, and what of it is done. All members are empty until it has begun to work."""

    windows: list[StoredWindow] = field(default_factory=list)  # the parts of Stripe's lists that the run walks
    # Names of the finished windows, and "undated" at the end; of a catch-up, the event types whose list was read.
    finished: list[str] = field(default_factory=list)
    # How far a list was read: of a catch-up, event type → the last event; else, a window's name → a stored
    # `invoices.reconcile.walks.Place`.
    cursors: dict[str, str] = field(default_factory=dict)
    # ISO 8601, of an import: since then all invoices are here, and the desk can be used; payments and the rest follow
    invoices_complete_at: str = ""
    # `object` value → whether objects of this kind that the mirror lacks are an import, and not drift
    importing: dict[str, bool] = field(default_factory=dict)
    interruptions: list[str] = field(default_factory=list)  # when and why it stopped, each time that it went on after

    @classmethod
    def read(cls, stored: Any) -> RunProgress:
        """From the column's JSON. Members that an older run did not write, null and `{}` read as empty."""
        members = stored if isinstance(stored, dict) else {}
        return cls(
            windows=list(members.get("windows") or []),
            finished=list(members.get("finished") or []),
            cursors=dict(members.get("cursors") or {}),
            invoices_complete_at=str(members.get("invoices_complete_at") or ""),
            importing=dict(members.get("importing") or {}),
            interruptions=list(members.get("interruptions") or []),
        )

    @property
    def begun(self) -> bool:
        """Whether something of it is done, so that another run can go on with the rest."""
        return bool(self.cursors or self.finished)


class RunProgressField(JSON):
    """A JSON column that is a RunProgress in Python."""

    if TYPE_CHECKING:
        _pyi_private_set_type: RunProgress | dict[str, Any]
        _pyi_private_get_type: RunProgress

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        return found if isinstance(expression, KeyTransform) else RunProgress.read(found)

    def to_python(self, value: Any) -> RunProgress:
        return value if isinstance(value, RunProgress) else RunProgress.read(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(asdict(value) if isinstance(value, RunProgress) else value)

    def value_to_string(self, obj: models.Model) -> Any:
        """For `dumpdata`."""
        return self.get_prep_value(self.value_from_object(obj))

    def deconstruct(self) -> Any:
        """Migrations see the plain JSON column that it is: a new class in Python must not rewrite the table."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, {**kwargs, "default": dict}
