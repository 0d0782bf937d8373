"""Saved views: a list's filters, search, order and columns under a name, for one person or for all."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from invoices import clock

MAX_NAME_LENGTH = 60  # characters
MAX_QUERY_LENGTH = 2000


class SavedView(models.Model):
    """What somebody wants to see again of a list. It is no evidence: its owner changes and deletes it."""

    list = models.CharField(max_length=64, help_text="Of which records: the name of the model, such as `invoice`")
    name = models.CharField(max_length=MAX_NAME_LENGTH)
    query = models.CharField(
        max_length=MAX_QUERY_LENGTH, blank=True, help_text="The list's address behind the question mark"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, db_index=False, on_delete=models.CASCADE, related_name="saved_views"
    )
    shared = models.BooleanField(default=False, help_text="Everybody who may see the list sees the view")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = gettext_lazy("saved view")
        verbose_name_plural = gettext_lazy("saved views")
        constraints = [models.UniqueConstraint(fields=["owner", "list", "name"], name="savedview_one_per_name")]
        indexes = [models.Index("list", name="savedview_shared", condition=Q(shared=True))]
        permissions = [("share_savedview", "Can share views of lists with everybody")]

    def __str__(self) -> str:
        return self.name
