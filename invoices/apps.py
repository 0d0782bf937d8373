"""Django's description of the app: checks settings at the start; makes permissions and groups after migrate; lets the
members of groups sign in."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import m2m_changed, post_migrate
from django.utils.translation import gettext_lazy

from invoices.thresholds import OPERATION_LEASE


class InvoicesConfig(AppConfig):
    name = "invoices"
    verbose_name = gettext_lazy("Invoices")

    def ready(self) -> None:
        """Raises ImproperlyConfigured where a setting would break what the code relies on."""
        check_timeout(settings.STRIPE_TIMEOUT_SECONDS)
        post_migrate.connect(_create_groups, sender=self)
        post_migrate.connect(_make_partitions, sender=self)
        post_migrate.connect(_record_changes, sender=self)
        m2m_changed.connect(_let_in, sender=get_user_model().groups.through)
        post_migrate.connect(_grant, sender=self)
        from invoices import people_watch
        from invoices.fanout import desk_events

        people_watch.connect()
        desk_events.shown_as(_operation_object)


def check_timeout(seconds: float) -> None:
    """A claim must outlive the request that is sent under it. Raises ImproperlyConfigured."""
    most = OPERATION_LEASE.total_seconds() / 2
    if not 0 < seconds < most:
        raise ImproperlyConfigured(
            f"STRIPE_TIMEOUT_SECONDS must be more than 0 and less than {most:g}, not {seconds:g}."
        )


def _operation_object(operation: Any) -> dict[str, Any]:
    # Imported here: what writes events stands below the API in the order of layers, and shows what the API shows.
    from invoices.api.serializers import OperationSerializer

    return dict(OperationSerializer(operation).data)


def _create_groups(**kwargs: Any) -> None:
    # Imported here, so that a process that does not migrate does not load the actions at its start.
    from invoices.groups import create_groups

    create_groups(**kwargs)


def _let_in(**kwargs: Any) -> None:
    from invoices.groups import let_in

    let_in(**kwargs)


def _make_partitions(**kwargs: Any) -> None:
    from invoices.models import partitions

    partitions.make_ahead()


def _record_changes(**kwargs: Any) -> None:
    from invoices.models import change_triggers

    change_triggers.make_missing(**kwargs)


def _grant(**kwargs: Any) -> None:
    from invoices.models import grants

    grants.apply_again()
