"""Who may knock, and who is alive: API tokens and the heartbeats of the background processes."""

from django.db import models
from knox.models import AbstractAuthToken


class ApiToken(AbstractAuthToken):
    """A hashed, named, expiring key to the API, with its user's permissions; `read_only` takes the actions away."""

    name = models.CharField(max_length=255, help_text="Which service uses it; stands in the journal as the reason")
    read_only = models.BooleanField(default=False)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """When a kind of background process was last seen at work."""

    name = models.CharField(primary_key=True, max_length=64)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
