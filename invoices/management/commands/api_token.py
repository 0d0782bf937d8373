"""`manage.py api_token create|list|revoke`: tokens for the API, by the rules of the admin. Exit 0 done, 1 refused."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from invoices import clock, tokens
from invoices.management.people import active_user, only_superuser, shell_user
from invoices.models import ApiToken
from invoices.operations import Invalid
from invoices.request_origin import Origin

NO_REQUEST = Origin(address=None, request_id="")
COLUMNS = ("name", "user", "scopes", "expires", "last_used", "state", "begins_with")


class Command(BaseCommand):
    help = "Makes, lists and revokes tokens for the API. What is made and revoked stands in the journal."

    def add_arguments(self, parser: CommandParser) -> None:
        whats = parser.add_subparsers(dest="what", required=True, metavar="create|list|revoke")
        create = whats.add_parser(
            "create", help="makes a token, and prints its key: once, and alone on standard output"
        )
        create.add_argument("--user", required=True, help="as whom it acts: the one who makes it, or a service user")
        create.add_argument("--name", required=True, help="which service uses it; stands in the journal as the reason")
        create.add_argument(
            "--scopes", required=True, nargs="+", metavar="SCOPE", help=f"what it is for: {', '.join(tokens.SCOPES)}"
        )
        create.add_argument(
            "--days", type=int, default=tokens.DEFAULT_DAYS, help=f"for how long; {tokens.DEFAULT_DAYS} by default"
        )
        create.add_argument(
            "--any-stripe-version",
            action="store_true",
            help="its program may ask for versions of Stripe's API that we do not answer in",
        )
        _add_by(create)
        listing = whats.add_parser("list", help="all tokens, newest first")
        listing.add_argument("--json", action="store_true", help="one JSON object with a list of tokens")
        revoke = whats.add_parser("revoke", help="from now on it opens nothing")
        revoke.add_argument("token", metavar="TOKEN", help="its name, or the beginning of its key as `list` shows it")
        _add_by(revoke)

    def handle(self, *args: Any, **options: Any) -> None:
        {"create": self.create, "list": self.show, "revoke": self.revoke}[options["what"]](options)

    def create(self, options: dict[str, Any]) -> None:
        maker = active_user(options["by"]) or only_superuser()
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user “{options['user']}”.")
        try:
            token, key = tokens.make(
                maker,
                user,
                name=options["name"],
                lifetime=timedelta(days=options["days"]),
                scopes=options["scopes"],
                any_stripe_version=options["any_stripe_version"],
                origin=NO_REQUEST,
                shell_user=shell_user(),
            )
        except Invalid as invalid:
            raise CommandError(invalid.message) from invalid
        self.stderr.write(f"“{token.name}” acts as {user}, for: {', '.join(token.granted)}. Its key is shown only now:")
        self.stdout.write(key)

    def show(self, options: dict[str, Any]) -> None:
        found = [_as_dict(token) for token in _with_uses()]
        if options["json"]:
            self.stdout.write(json.dumps({"tokens": found}, indent=2))
            return
        rows = [[column.replace("_", " ") for column in COLUMNS]]
        rows += [[_word(row[column]) for column in COLUMNS] for row in found]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())

    def revoke(self, options: dict[str, Any]) -> None:
        person = active_user(options["by"]) or only_superuser()
        if not tokens.may_revoke(person):
            raise CommandError(f"{person} may not revoke tokens.")
        token = _only(options["token"])
        tokens.revoke(token, person, NO_REQUEST, shell_user=shell_user())
        self.stdout.write(f"“{token.name}” of {token.user} is revoked: it opens nothing any more.")


def _add_by(parser: ArgumentParser) -> None:
    parser.add_argument("--by", metavar="USER", help="whose permissions; default: the only superuser")


def _only(named: str) -> ApiToken:
    """The token of this name, or whose key begins so, that is not revoked. Raises CommandError if it is not one."""
    open_ones = ApiToken.objects.filter(revoked_at=None).select_related("user")
    found = list(open_ones.filter(token_key=named)[:2]) or list(open_ones.filter(name=named)[:2])
    if len(found) > 1:
        raise CommandError(f"There are several tokens “{named}”. Name one by the beginning of its key: api_token list.")
    if not found:
        raise CommandError(f"There is no token “{named}” that is not revoked.")
    return found[0]


def _with_uses() -> list[Any]:
    found: list[Any] = list(ApiToken.objects.select_related("user", "created_by", "revoked_by").order_by("-created"))
    last_used = tokens.last_used(found)
    for token in found:
        token.last_used_at = last_used.get(token.pk)
    return found


def _as_dict(token: Any) -> dict[str, Any]:
    """A token as --json shows it. Moments are UTC; `last_used` is a day."""
    return {
        "name": token.name,
        "user": token.user.get_username(),
        "scopes": token.granted,
        "any_stripe_version": token.any_stripe_version,
        "begins_with": token.token_key,
        "created": f"{token.created:%Y-%m-%dT%H:%MZ}",
        "created_by": token.created_by.get_username() if token.created_by else None,
        "shell_user": token.shell_user,
        "expires": f"{token.expiry:%Y-%m-%dT%H:%MZ}" if token.expiry else None,
        "last_used": token.last_used_at.date().isoformat() if token.last_used_at else None,
        "state": tokens.state_of(token, clock.now()),
    }


def _word(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "never" if value is None else str(value)
