"""API tokens and their journal, the permissions that groups were given, the heartbeats of background processes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy, gettext_noop
from knox.models import AbstractAuthToken, AuthTokenManager

from invoices import clock
from invoices.models.immutable import ImmutableModel, ImmutableQuerySet, Rules


class Scope(models.TextChoices):
    """What a token can be for, beside single actions, which go by their names. Whatever is none of these acts."""

    READ = "read", gettext_noop("Read: lists, single objects and searches")
    FEED = "feed", gettext_noop("Follow the changes feed")
    PASS_THROUGH = "pass_through", gettext_noop("Read from Stripe itself what the desk does not hold")
    WEBHOOK_ENDPOINTS = "webhook_endpoints", gettext_noop("Change where events are sent to")
    APPROVE = "approve", gettext_noop("Decide on what waits for a second person")
    NOTES = "notes", gettext_noop("Write notes on invoices")
    ACTIONS = "actions", gettext_noop("Act: every action, also those that later versions add")


class ApiToken(ImmutableModel, AbstractAuthToken):
    """A token for the API: kept hashed, with a name and an expiry. Its scopes narrow what its user may do.

    It is never deleted: operations name the token with which they were asked for. A revoked one opens nothing, and is
    not changed any more. `created_by` is empty where a version of this program that did not record it made the token.
    """

    # The permissions to make one: for oneself (Django's own), and for a service user.
    ADD_OWN = "invoices.add_apitoken"
    ADD_FOR_SERVICE = "invoices.add_service_token"

    user = models.ForeignKey(  # Knox's, which would delete the tokens together with their user
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="auth_token_set"
    )
    name = models.CharField(max_length=255, help_text="Which service uses it; recorded as the reason of its operations")
    read_only = models.BooleanField(
        default=False, help_text="What the version before goes by, and this one where there are no scopes"
    )
    scopes = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Words of Scope and names of actions, with a space between them; empty: made before there were any",
    )
    any_stripe_version = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Its program knows that objects are those of our version, whichever it asks for. Those made before "
        "this was asked keep it",
    )
    shell_user = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="Who ran the command that made it: user@host; empty: it was made in the admin",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="created_tokens"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects: ClassVar[Any] = AuthTokenManager.from_queryset(ImmutableQuerySet)()

    class Meta:
        verbose_name = gettext_lazy("API token")
        verbose_name_plural = gettext_lazy("API tokens")
        permissions = [("add_service_token", "Can make API tokens for service users")]

    def __str__(self) -> str:
        return self.name

    @property
    def granted(self) -> list[str]:
        """The words of its scopes. Of a token without any: what it could do when it was made, with the feed."""
        if self.scopes:
            return self.scopes.split()
        return [Scope.READ, Scope.FEED, *([] if self.read_only else [Scope.ACTIONS])]

    def allows(self, scope: str) -> bool:
        """Whether it may be used for this: a word of Scope, or the name of an action. Its user is not asked about."""
        granted = self.granted
        return scope in granted or (scope not in Scope.values and Scope.ACTIONS in granted)

    rules = Rules(
        changing=frozenset({"name", "read_only", "expiry"}),
        once=frozenset({"created_by_id", "revoked_at", "revoked_by_id"}),
        ended_at="revoked_at",
    )


class TokenRecord(ImmutableModel):
    """The journal of API tokens: made, used (once a day from each address), revoked."""

    class What(models.TextChoices):
        CREATED = "created", gettext_lazy("Created")
        USED = "used", gettext_lazy("Used")
        REVOKED = "revoked", gettext_lazy("Revoked")

    token = models.ForeignKey(ApiToken, on_delete=models.PROTECT, db_index=False, related_name="records")
    what = models.CharField(max_length=16, choices=What.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now)
    day = models.DateField(null=True, blank=True, help_text="UTC, of a use")
    address = models.CharField(max_length=45, blank=True, help_text="The client's IP address; empty: not known")
    request_id = models.CharField(max_length=255, blank=True)

    class Meta:
        indexes = [models.Index("token", models.F("at").desc(), name="tokenrecord_token")]
        constraints = [
            models.UniqueConstraint(
                fields=["token", "day", "address"],
                condition=models.Q(what="used"),
                name="tokenrecord_one_use_a_day",
            )
        ]

    def __str__(self) -> str:
        return f"{self.token} {self.what}"

    rules = Rules(left_out=frozenset({"tokenrecord_one_use_a_day"}))


class GivenPermission(models.Model):
    """A permission that the groups were given once. They are never given it again: an administrator may have taken it
    away since, and a permission whose row was deleted is made anew by Django and would look new."""

    codename = models.CharField(primary_key=True, max_length=100)

    def __str__(self) -> str:
        return self.codename


class Heartbeat(models.Model):
    """When a kind of background process, such as "worker", was last seen at work."""

    name = models.CharField(primary_key=True, max_length=64)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
