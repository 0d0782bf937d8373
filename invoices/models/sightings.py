"""That rows of the mirror were seen again as they are, noted once for many: those rows themselves are not written."""

from __future__ import annotations

from django.db import models


class Sighting(models.Model):
    """Some rows of one kind, created within a span, were read from Stripe again, and none had to be written.

    Others of that span may have been seen by nobody. So a sighting never says that a state is true: it only says that
    an older one may be out of date, which costs a read (`invoices.mirror.decide`).
    """

    object_type = models.CharField(max_length=64, help_text="Stripe's `object` value")
    first_created = models.DateTimeField(help_text="Creation of the oldest of the rows, and of the newest one")
    last_created = models.DateTimeField()
    seen_until = models.DateTimeField(help_text="Stripe's clock: the end of the span in which they were seen")
    noted_at = models.DateTimeField(help_text="The database's clock after the rows were locked")

    class Meta:
        # What was seen of this kind since then?
        indexes = [models.Index(fields=["object_type", "seen_until"], name="sighting_seen_until")]

    def __str__(self) -> str:
        return f"{self.object_type} {self.first_created:%Y-%m-%d} to {self.last_created:%Y-%m-%d}"
