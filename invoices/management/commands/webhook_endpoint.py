"""`manage.py webhook_endpoint …`: to which services events are sent. Exit 0 done, 1 refused.

create URL, list, disable ID, enable ID, rotate ID, test ID, deliveries ID, redeliver ID --since … or --event ….
"""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from invoices.fanout import endpoints
from invoices.fanout.endpoints import Actor, EndpointInvalid
from invoices.management.people import active_user
from invoices.models import Delivery, WebhookEndpoint
from invoices.thresholds import SECRET_OVERLAP

SHOWN = 50  # deliveries, the newest
ONCE = "The signing secret, shown this once: {}"


class Command(BaseCommand):
    help = "Endpoints of the company's services: create, list, disable, enable, rotate, test, deliveries, redeliver."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
        create = what.add_parser("create", help="makes one, and prints its signing secret this once")
        create.add_argument("url", metavar="URL")
        create.add_argument(
            "--events", default="*", metavar="TYPES", help="types with commas between them; * for all, the default"
        )
        create.add_argument("--description", default="")
        create.add_argument("--owner", metavar="USER", help="who is told when it is disabled")
        what.add_parser("list", help="shows all")
        for name, told in (
            ("disable", "sends nothing to it any more"),
            ("enable", "sends new events to it again"),
            ("rotate", "replaces its signing secret; the old one signs too for a while"),
            ("test", "sends a test event to it"),
            ("deliveries", f"shows the newest {SHOWN}"),
            ("redeliver", "sends one event, or everything since a moment, once more"),
        ):
            each = what.add_parser(name, help=told)
            each.add_argument("id", metavar="ID", help="we_…")
            if name == "disable":
                each.add_argument("--reason", default="")
            elif name == "rotate":
                hours = SECRET_OVERLAP.total_seconds() / 3600
                each.add_argument("--overlap-hours", type=float, default=hours, help=f"default: {hours:g}")
            elif name == "deliveries":
                each.add_argument("--state", choices=Delivery.State.values)
            elif name == "redeliver":
                which = each.add_mutually_exclusive_group(required=True)
                which.add_argument("--since", metavar="MOMENT", help="as 2027-03-01T12:00:00; UTC unless it says other")
                which.add_argument("--event", metavar="EVENT", help="evt_…")

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        try:
            getattr(self, f"_{what}")(Actor.of_command(), options)
        except EndpointInvalid as refused:
            raise CommandError(refused.message) from refused

    def _create(self, actor: Actor, options: dict[str, Any]) -> None:
        types = [part.strip() for part in options["events"].split(",") if part.strip()]
        owner = active_user(options["owner"])
        endpoint, secret = endpoints.create(
            options["url"], types, description=options["description"], owner=owner, actor=actor
        )
        self.stdout.write(f"{endpoint.pk} {endpoint.url}\n{ONCE.format(secret)}")

    def _list(self, actor: Actor, options: dict[str, Any]) -> None:
        for endpoint in endpoints.present().order_by("created_at"):
            state = "enabled" if endpoint.is_enabled else f"disabled {endpoint.disabled_because}".strip()
            if endpoint.is_enabled and endpoint.failing_since:
                state = f"failing since {endpoint.failing_since:%Y-%m-%dT%H:%M:%SZ}"
            self.stdout.write(f"{endpoint.pk} {endpoint.url} [{', '.join(endpoint.enabled_events)}] {state}")

    def _disable(self, actor: Actor, options: dict[str, Any]) -> None:
        done = endpoints.disable(_found(options), actor, options["reason"])
        self.stdout.write("Nothing is sent to it any more." if done else "It was disabled before.")

    def _enable(self, actor: Actor, options: dict[str, Any]) -> None:
        done = endpoints.enable(_found(options), actor)
        self.stdout.write("New events are sent to it again." if done else "It was enabled before.")

    def _rotate(self, actor: Actor, options: dict[str, Any]) -> None:
        overlap = timedelta(hours=options["overlap_hours"])
        self.stdout.write(ONCE.format(endpoints.replace_secret(_found(options), actor, overlap)))

    def _test(self, actor: Actor, options: dict[str, Any]) -> None:
        self.stdout.write(f"{endpoints.send_test(_found(options), actor).event} is being sent.")

    def _deliveries(self, actor: Actor, options: dict[str, Any]) -> None:
        rows = Delivery.objects.filter(endpoint=_found(options)).order_by("-written_at", "-pk")
        if options["state"]:
            rows = rows.filter(state=options["state"])
        for row in rows[:SHOWN]:
            said = row.last_error or row.last_status or ""
            self.stdout.write(f"{row.written_at:%Y-%m-%dT%H:%M:%SZ} {row.event} {row.type} {row.state} {said}".rstrip())

    def _redeliver(self, actor: Actor, options: dict[str, Any]) -> None:
        endpoint = _found(options)
        if options["event"]:
            delivery = Delivery.objects.filter(endpoint=endpoint, event=options["event"]).first()
            if delivery is None:
                raise CommandError(f"{options['event']} was never owed to this endpoint. Use --since for such events.")
            endpoints.redeliver(delivery, actor)
        else:
            endpoints.redeliver_since(endpoint, _moment(options["since"]), actor)
        self.stdout.write("A worker sends it now.")


def _found(options: dict[str, Any]) -> WebhookEndpoint:
    endpoint = endpoints.present().filter(pk=options["id"]).first()
    if endpoint is None:
        raise CommandError(f"There is no endpoint {options['id']}.")
    return endpoint


def _moment(written: str) -> datetime:
    try:
        moment = parse_datetime(written)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"“{written}” is no moment. Write it as 2027-03-01T12:00:00.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
