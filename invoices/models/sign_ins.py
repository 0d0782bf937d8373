"""The journal of people: who signed in and who did not, what changed about users and groups; and its archives."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy

from invoices import clock
from invoices.models.immutable import ImmutableModel, Rules


class SignInRecord(ImmutableModel):
    """One thing that happened to an account, or to a group.

    It names people by text: an account can be deleted while nothing else of the journal names it, and this row stays.
    """

    class What(models.TextChoices):
        SIGNED_IN = "signed_in", gettext_lazy("Signed in")
        FAILED = "failed", gettext_lazy("Sign-in failed")
        LOCKED = "locked", gettext_lazy("Locked out")
        REFUSED = "refused", gettext_lazy("Sign-in refused")
        SIGNED_OUT = "signed_out", gettext_lazy("Signed out")
        SESSION_ENDED = "session_ended", gettext_lazy("Session ended")
        FACTOR_FAILED = "factor_failed", gettext_lazy("Second factor failed")
        FACTOR_CONFIRMED = "factor_confirmed", gettext_lazy("Second factor confirmed")
        FACTOR_ADDED = "factor_added", gettext_lazy("Second factor added")
        FACTOR_REMOVED = "factor_removed", gettext_lazy("Second factor removed")
        FACTORS_RESET = "factors_reset", gettext_lazy("Second factors reset")
        USER_MADE = "user_made", gettext_lazy("User made")
        USER_CHANGED = "user_changed", gettext_lazy("User changed")
        USER_DELETED = "user_deleted", gettext_lazy("User deleted")
        GROUP_CHANGED = "group_changed", gettext_lazy("Group changed")
        TOKEN_MADE = "token_made", gettext_lazy("Token made")
        TOKEN_REVOKED = "token_revoked", gettext_lazy("Token revoked")
        EXPORTED = "exported", gettext_lazy("Journal exported")  # of versions before; today it is LIST_DOWNLOADED
        LIST_DOWNLOADED = "list_downloaded", gettext_lazy("List downloaded")

    what = models.CharField(max_length=32, choices=What.choices)
    username = models.CharField(
        max_length=255, blank=True, help_text="Whose account; what was typed, where none has it"
    )
    user_key = models.BigIntegerField(null=True, blank=True, help_text="The account's id")
    by = models.CharField(max_length=255, blank=True, help_text="Who did it: a user, or who ran a command")
    detail = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    address = models.CharField(max_length=45, blank=True, help_text="The client's IP address; empty: not known")
    request_id = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = gettext_lazy("sign-in record")
        verbose_name_plural = gettext_lazy("sign-in records")
        indexes = [
            models.Index(F("at").desc(), F("id").desc(), name="signinrecord_at"),
            models.Index("username", F("at").desc(), F("id").desc(), name="signinrecord_username"),
            models.Index("what", F("at").desc(), F("id").desc(), name="signinrecord_what"),
            models.Index("address", F("at").desc(), F("id").desc(), name="signinrecord_address"),
        ]
        permissions = [("reset_second_factor", "Can reset the second factors of others")]

    def __str__(self) -> str:
        return f"{self.get_what_display()}: {self.username or self.detail}"

    rules = Rules()


class SignInArchive(ImmutableModel):
    """A month of sign-in records that left the database for a file. Written and chained before they are removed."""

    month = models.DateField(help_text="Its first day: of the records' `at`, UTC")
    file = models.CharField(max_length=255, help_text="The name of the file, without its folder")
    count = models.PositiveBigIntegerField(help_text="Records in the file")
    sha256 = models.CharField(max_length=64, help_text="Of the file")
    positions = models.TextField(help_text="Positions of the records' links in the chain, as 1-500,503")
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    shell_user = models.CharField(max_length=255, blank=True, help_text="Who ran the command: user@host")
    made_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file"], name="signinarchive_file")]

    def __str__(self) -> str:
        return self.file

    rules = Rules()
