"""`manage.py settle_operations`: asks Stripe what came of operations whose outcome is not known."""

from typing import Any

from django.core.management.base import BaseCommand

from invoices import operations
from invoices.models import Operation


class Command(BaseCommand):
    help = "Looks once at every unfinished operation that is due, and says what is left."

    def handle(self, *args: Any, **options: Any) -> None:
        looked = operations.settle_due()
        left = Operation.objects.filter(state__in=Operation.UNFINISHED).count()
        self.stdout.write(f"{looked} operations looked at; {left} are unfinished.")
