"""Django's description of the app; gives the three groups their permissions after every migrate."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class InvoicesConfig(AppConfig):
    name = "invoices"
    verbose_name = "Invoices"

    def ready(self) -> None:
        from invoices.models.groups import create_groups

        post_migrate.connect(create_groups, sender=self)
