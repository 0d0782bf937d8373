"""What all hosts share that is neither mirror nor journal: the throttle's next slot, leases, when beat sent what."""

from django.db import models


class ThrottleSlot(models.Model):
    """The next free moment of a budget of requests. `invoices.throttle` alone writes it."""

    name = models.CharField(primary_key=True, max_length=64)
    next_at = models.FloatField(help_text="Seconds since 1970, by the database's clock")

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """Which process may do what only one may do, such as beat. `invoices.leases` alone writes it."""

    name = models.CharField(primary_key=True, max_length=64)
    holder = models.CharField(max_length=200, help_text="The host, the process and a random word")
    until = models.DateTimeField(help_text="The database's clock: another process may take it afterwards")

    def __str__(self) -> str:
        return self.name


class ScheduledRun(models.Model):
    """When beat last sent a task that has a time of day. `backoffice.beat` alone writes it."""

    name = models.CharField(primary_key=True, max_length=64, help_text="The key in CELERY_BEAT_SCHEDULE")
    sent_at = models.DateTimeField(help_text="The database's clock; of a task never sent: when beat first saw it")

    def __str__(self) -> str:
        return self.name
