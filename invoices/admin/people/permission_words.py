"""What a permission is called where people give it: its name stands in the database in English."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from invoices.operations import ACTIONS

# Those of Django, which every table has, by the beginning of their codes.
OF_A_TABLE = {
    "add": gettext_noop("Can add {object}"),
    "change": gettext_noop("Can change {object}"),
    "delete": gettext_noop("Can delete {object}"),
    "view": gettext_noop("Can view {object}"),
}
# Those of our own (`Meta.permissions` of invoices/models); that of an action is made of what it may.
OWN = (
    gettext_noop("Can approve or reject another's operation"),
    gettext_noop("Can charge again within the decline cooldown, and resolve unknown outcomes"),
    gettext_noop("Can close a month"),
    gettext_noop("Can explain differences that no run healed"),
    gettext_noop("Can make API tokens for service users"),
    gettext_noop("Can match bank transactions with invoices, and set them aside"),
    gettext_noop("Can pause and resume actions"),
    gettext_noop("Can replay an event"),
    gettext_noop("Can reset the second factors of others"),
    gettext_noop("Can see and download all that is stored about a customer"),
    gettext_noop("Can see and download reports"),
    gettext_noop("Can share views of lists with everybody"),
    gettext_noop("Can start a reconciliation"),
)

# What the tables are called, which have no more than their English names.
TABLES = (
    gettext_noop("account record"),
    gettext_noop("API token"),
    gettext_noop("assignment"),
    gettext_noop("bank statement"),
    gettext_noop("bank transaction"),
    gettext_noop("batch"),
    gettext_noop("change"),
    gettext_noop("charge"),
    gettext_noop("checked key"),
    gettext_noop("closed month"),
    gettext_noop("contradiction"),
    gettext_noop("credit note"),
    gettext_noop("customer"),
    gettext_noop("decision on a bank credit"),
    gettext_noop("delivery"),
    gettext_noop("delivery attempt"),
    gettext_noop("desk event"),
    gettext_noop("disclosure"),
    gettext_noop("drift"),
    gettext_noop("e-mail"),
    gettext_noop("erased row"),
    gettext_noop("erasure"),
    gettext_noop("event"),
    gettext_noop("event archive"),
    gettext_noop("explanation of drift"),
    gettext_noop("export"),
    gettext_noop("given permission"),
    gettext_noop("heartbeat"),
    gettext_noop("invoice"),
    gettext_noop("invoice payment"),
    gettext_noop("journal head"),
    gettext_noop("journal link"),
    gettext_noop("known payer"),
    gettext_noop("layout of CSV statements"),
    gettext_noop("lease"),
    gettext_noop("line of a bank statement"),
    gettext_noop("match of a bank credit"),
    gettext_noop("mention"),
    gettext_noop("note"),
    gettext_noop("note version"),
    gettext_noop("operation"),
    gettext_noop("pause"),
    gettext_noop("payment intent"),
    gettext_noop("pending event"),
    gettext_noop("piece of an export"),
    gettext_noop("promise"),
    gettext_noop("reconciliation run"),
    gettext_noop("refund"),
    gettext_noop("removal"),
    gettext_noop("request count"),
    gettext_noop("saved view"),
    gettext_noop("scheduled refetch"),
    gettext_noop("scheduled run"),
    gettext_noop("sighting"),
    gettext_noop("sign in archive"),
    gettext_noop("sign-in record"),
    gettext_noop("tallied"),
    gettext_noop("tally"),
    gettext_noop("tally progress"),
    gettext_noop("throttle slot"),
    gettext_noop("token record"),
    gettext_noop("unchained row"),
    gettext_noop("unnumbered change"),
    gettext_noop("webhook endpoint"),
    gettext_noop("webhook endpoint record"),
)


def words(permission: Permission) -> str:
    """`Invoices | pause | Can pause and resume actions`, in the language of the page."""
    application, _bar, table = str(permission.content_type).partition(" | ")
    return f"{_(application)} | {_(table)} | {_name(permission)}"


def _name(permission: Permission) -> str:
    verb, _underscore, model = permission.codename.partition("_")
    if verb in OF_A_TABLE and model == permission.content_type.model:
        return _(OF_A_TABLE[verb]).format(object=_(permission.content_type.name))
    action = ACTIONS.get(permission.codename.removesuffix("_invoice"))
    if action is not None and permission.name == f"Can {action.may}":
        return _("Can {action}").format(action=_(action.may))
    return _(permission.name)


def named(field: Any) -> Any:
    """The same field of a form, which calls each permission so."""
    if field is not None:
        field.label_from_instance = words
    return field
