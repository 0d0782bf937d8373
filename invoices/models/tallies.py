"""How many of the mirror's objects stand in each queue, and their sums. `invoices.tallies` alone writes these."""

from __future__ import annotations

from datetime import date

from django.db import models

NO_DAY = date.min  # of what has no day, such as an open invoice without a due date


class Bucket(models.Model):
    """What objects are counted together. No amounts of two currencies are ever added."""

    queue = models.CharField(max_length=32, help_text="A name in tallies.buckets, such as `payment_failed`")
    day = models.DateField(default=NO_DAY, help_text="UTC: due, finalized, paid or created, as the queue says")
    currency = models.CharField(max_length=8)
    reason = models.CharField(max_length=64, blank=True, help_text="Why a charge was declined; empty elsewhere")

    class Meta:
        abstract = True

    @property
    def bucket(self) -> tuple[str, date, str, str]:
        return self.queue, self.day, self.currency, self.reason


class Tally(Bucket):
    """The number and the sum of what stands in one bucket: always what the rows of `Tallied` add up to."""

    count = models.BigIntegerField()
    amount = models.BigIntegerField(help_text="Minor units")

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [
            # The queues of the home page read one queue's days in their order.
            models.UniqueConstraint(fields=["queue", "day", "currency", "reason"], name="tally_one_per_bucket")
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.day} {self.currency}: {self.count}"


class Tallied(Bucket):
    """As what one object of the mirror is counted now, so that a change subtracts what it was and adds what it is."""

    object_type = models.CharField(max_length=64, help_text="Stripe's `object` value")
    object_id = models.CharField(max_length=255)
    amount = models.BigIntegerField(help_text="Minor units")

    class Meta:
        verbose_name_plural = "tallied objects"
        constraints = [
            models.UniqueConstraint(fields=["object_type", "object_id", "queue"], name="tallied_once_per_queue")
        ]
        # Which objects stand in this queue, for this reason, on these days? The lists behind the queues
        indexes = [models.Index("queue", "reason", "day", "object_id", name="tallied_in_queue")]

    def __str__(self) -> str:
        return f"{self.object_id} in {self.queue}"


class TallyProgress(models.Model):
    """Up to which change the tallies are counted, and how far the walk is that counts or re-counts everything. One row;
    whoever counts holds its lock."""

    class Walk(models.TextChoices):
        FILL = "fill"  # the first count, and the one after a backup was restored
        PROOF = "proof"  # the re-count of every night: what it finds wrong is a fault

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    after = models.BigIntegerField(default=0, help_text="The number of the change up to which it is counted")
    mark = models.CharField(max_length=64, blank=True, help_text="Of that change: see invoices.changes")
    counted_at = models.DateTimeField(null=True, help_text="The database's clock: nothing newer was there then")
    counted_from = models.DateField(help_text="UTC: of charges and of paid invoices, those since this day are counted")
    walk = models.CharField(max_length=8, blank=True, choices=Walk.choices, help_text="Empty: nothing is walked")
    walk_type = models.CharField(max_length=64, blank=True, help_text="Which kind of objects it walks now")
    walk_after = models.CharField(max_length=255, blank=True, help_text="The id up to which it has walked them")
    walk_wrong = models.PositiveBigIntegerField(default=0, help_text="How many were counted wrong, so far")
    filled_at = models.DateTimeField(null=True, help_text="When everything was counted for the first time")
    proved_at = models.DateTimeField(null=True, help_text="When the last re-count ended")
    wrong = models.PositiveBigIntegerField(default=0, help_text="How many the last re-count found wrong, and put right")

    def __str__(self) -> str:
        return f"counted up to change {self.after}"
