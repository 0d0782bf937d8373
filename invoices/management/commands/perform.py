"""`manage.py perform ACTION INVOICE`: an action from the command line, by the same rules, into the same journal.

Exit 0 succeeded, 1 refused or failed, 3 the outcome is not known yet or a second person must approve.
"""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import gateway, money, operations, refetch
from invoices.management import exit_codes
from invoices.management.people import active_user, only_superuser, shell_user
from invoices.models import Invoice, Operation

EXIT_CODES = {  # by the operation's state; any other is FAILED
    Operation.State.SUCCEEDED: exit_codes.DONE,
    Operation.State.PROCESSING: exit_codes.DONE,
    Operation.State.UNKNOWN: exit_codes.OUTCOME_PENDING,
    Operation.State.AWAITING_APPROVAL: exit_codes.OUTCOME_PENDING,
}


class Command(BaseCommand):
    help = (
        "Performs one action on one invoice. Exit status: 0 done, 1 refused or failed, 3 outcome not known yet or "
        "waiting for approval."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for action in operations.ACTIONS.values():
            subcommand = subcommands.add_parser(action.name, help=action.label_and_term)
            subcommand.add_argument("invoice", metavar="INVOICE", help="in_…")
            subcommand.add_argument("--reason", required=True, help="stands in the journal")
            subcommand.add_argument("--ticket", default="", help="stands in the journal")
            subcommand.add_argument(
                "--as", dest="user", metavar="USER", help="whose permissions; default: the only superuser"
            )
            subcommand.add_argument(
                "--override", action="store_true", help="charge again soon after a decline, if USER may"
            )
            for parameter in action.parameters:
                _add_parameter(subcommand, parameter)

    def handle(self, *args: Any, **options: Any) -> None:
        action = operations.ACTIONS[options["action"]]
        params = {
            parameter.name: options[parameter.name]
            for parameter in action.parameters
            if options.get(parameter.name) is not None
        }
        self._read_amounts(params, options["invoice"], action.parameters)
        try:
            operation = operations.execute(
                action.name,
                options["invoice"],
                actor=active_user(options["user"]) or only_superuser(),
                source=Operation.Source.COMMAND,
                params=params,
                reason=options["reason"],
                ticket=options["ticket"],
                override=options["override"],
                shell_user=shell_user(),
            )
        except operations.Refusal as refusal:
            raise CommandError(f"{refusal.message} ({refusal.code})") from refusal
        self.stdout.write(f"{operation.get_state_display()}: {operation.message or 'a second person must agree'}")
        if operation.advice:
            self.stdout.write(operation.advice)
        self.stdout.write(f"Operation {operation.pk}")
        sys.exit(EXIT_CODES.get(Operation.State(operation.state), exit_codes.FAILED))

    def _read_amounts(
        self, params: dict[str, Any], invoice_id: str, parameters: tuple[operations.Parameter, ...]
    ) -> None:
        """Amounts are typed in major units, `12.50`; the invoice's currency says how many minor units that is. Each is
        read back with the currency's name before anything is sent."""
        for parameter in parameters:
            if parameter.kind == "money" and parameter.name in params:
                currency = _currency(invoice_id)
                try:
                    amount = money.parse(params[parameter.name], currency)
                except money.BadAmount as error:
                    raise CommandError(f"--{parameter.name}: {error}") from error
                params[parameter.name] = amount
                self.stdout.write(f"{parameter.label}: {money.in_words(amount, currency)}")


def _add_parameter(subcommand: argparse.ArgumentParser, parameter: operations.Parameter) -> None:
    """`--received-on` for the parameter `received_on`; `--forgive` and `--no-forgive` for a flag."""
    option, help_text = f"--{parameter.name.replace('_', '-')}", parameter.help or parameter.label
    if parameter.kind == "money":
        help_text += " Like 1234.50 or 1,234.50, in the invoice's currency."
    if parameter.kind == "flag":
        subcommand.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=help_text)
    else:
        subcommand.add_argument(
            option,
            dest=parameter.name,
            required=parameter.required,
            choices=parameter.choices or None,
            help=help_text,
        )


def _currency(invoice_id: str) -> str:
    """The invoice's currency, from the mirror; an invoice that is not mirrored is read from Stripe first."""
    try:
        if not Invoice.objects.filter(pk=invoice_id).exists():
            refetch.refetch("invoice", invoice_id)
    except gateway.GatewayError as error:
        raise CommandError(f"{invoice_id} is not known here, and Stripe cannot be reached: {error}") from error
    invoice = Invoice.objects.filter(pk=invoice_id).first()
    if invoice is None or not invoice.currency:
        raise CommandError(f"No such invoice: '{invoice_id}'")
    return invoice.currency
