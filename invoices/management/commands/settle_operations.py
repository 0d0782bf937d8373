"""`manage.py settle_operations`: finds out what came of operations whose outcome is unknown. Exit 0, settled or not."""

from typing import Any

from django.core.management.base import BaseCommand

from invoices import operations
from invoices.models import Operation


class Command(BaseCommand):
    help = "Looks once at every unfinished operation that is due, and says how many are still unfinished."

    def handle(self, *args: Any, **options: Any) -> None:
        checked = operations.settle_due()
        unfinished = Operation.objects.filter(state__in=Operation.UNFINISHED).count()
        self.stdout.write(f"{checked} operations looked at; {unfinished} are unfinished.")
