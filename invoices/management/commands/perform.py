"""`manage.py perform ACTION INVOICE`: an action from the command line, by the same rules, into the same journal."""

import argparse
import sys
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import gateway, live, money, operations
from invoices.management.people import person
from invoices.models import Invoice, Operation

# 0 done; 1 not done; 3 not known yet, or waiting for a second person. 2 stays the usage error.
EXIT = {Operation.State.SUCCEEDED: 0, Operation.State.UNKNOWN: 3, Operation.State.AWAITING_APPROVAL: 3}


class Command(BaseCommand):
    help = (
        "Performs one action on one invoice. Exit status: 0 done, 1 refused or failed, 3 outcome not known yet or "
        "waiting for approval."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for spec in operations.ACTIONS.values():
            command = commands.add_parser(spec.name, help=spec.label)
            command.add_argument("invoice", metavar="INVOICE", help="in_…")
            command.add_argument("--reason", required=True, help="stands in the journal")
            command.add_argument("--ticket", default="")
            command.add_argument(
                "--as", dest="user", metavar="USER", help="whose permissions; default: the only superuser"
            )
            command.add_argument("--override", action="store_true", help="charge again within the hour, where one may")
            for parameter in spec.parameters:
                _add(command, parameter)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        spec = operations.ACTIONS[action]
        params = {p.name: options[p.name] for p in spec.parameters if options.get(p.name) is not None}
        try:
            operation = operations.execute(
                action,
                options["invoice"],
                actor=person(options["user"]) or _only_superuser(),
                source=Operation.Source.COMMAND,
                params=_minor(params, options["invoice"], spec),
                reason=options["reason"],
                ticket=options["ticket"],
                override=options["override"],
            )
        except operations.Refusal as refusal:
            raise CommandError(f"{refusal.message} ({refusal.code})") from refusal
        self.stdout.write(f"{operation.get_state_display()}: {operation.message or 'a second person must agree'}")
        if operation.advice:
            self.stdout.write(operation.advice)
        self.stdout.write(f"Operation {operation.pk}")
        sys.exit(EXIT.get(Operation.State(operation.state), 1))


def _add(command: argparse.ArgumentParser, parameter: operations.Parameter) -> None:
    name, about = f"--{parameter.name.replace('_', '-')}", parameter.help or parameter.label
    if parameter.kind == "flag":
        command.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=about)
    else:
        more = {"choices": parameter.choices} if parameter.choices else {}
        command.add_argument(name, dest=parameter.name, required=parameter.required, help=about, **more)  # type: ignore[arg-type]


def _minor(params: dict[str, Any], invoice: str, spec: operations.Spec) -> dict[str, Any]:
    """Amounts are typed in major units, `12.50`: what they come to depends on the invoice's currency."""
    for parameter in spec.parameters:
        if parameter.kind == "money" and parameter.name in params:
            try:
                params[parameter.name] = money.parse(params[parameter.name], _currency(invoice))
            except money.BadAmount as error:
                raise CommandError(f"--{parameter.name}: {error}") from error
    return params


def _currency(invoice: str) -> str:
    try:
        if not Invoice.objects.filter(pk=invoice).exists():
            live.read_now("invoice", invoice)
    except gateway.GatewayError as error:
        raise CommandError(f"{invoice} is not known here, and Stripe cannot be reached: {error}") from error
    found = Invoice.objects.filter(pk=invoice).first()
    if found is None or not found.currency:
        raise CommandError(f"No such invoice: '{invoice}'")
    return found.currency


def _only_superuser() -> User:
    users = list(User.objects.filter(is_superuser=True, is_active=True)[:2])
    if len(users) != 1:
        raise CommandError("Say whose permissions to use: --as USER.")
    return users[0]
