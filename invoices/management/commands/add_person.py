"""`manage.py add_person`: a new person who can sign in, with a first password that is printed once."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.core.management import BaseCommand, CommandError
from django.db import transaction

from invoices.groups import GROUPS
from invoices.operations.requesters import SERVICE_GROUP

GROUPS_OF_PEOPLE = [name for name in GROUPS if name != SERVICE_GROUP]


class Command(BaseCommand):
    help = "Adds a person, and prints the address and a first password. It is shown once, and nobody else knows it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="stands in the journal with everything that this person does, for ever")
        parser.add_argument("--email", required=True, help="where the desk writes to this person")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--group", choices=GROUPS_OF_PEOPLE, help="what this person may do")
        what.add_argument("--administrator", action="store_true", help="may do everything, and manages people")

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(15)
        person = User(username=options["username"], email=options["email"])
        person.is_staff, person.is_superuser = True, options["administrator"]
        person.set_password(password)
        try:
            with transaction.atomic():
                person.full_clean()
                person.save()
                if options["group"]:
                    person.groups.add(Group.objects.get(name=options["group"]))
        except ValidationError as error:
            said = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items())
            raise CommandError(f"{person.username} was not added. {said}") from None
        except Group.DoesNotExist:
            raise CommandError(f"There is no group “{options['group']}” yet: run manage.py migrate first.") from None
        self.stdout.write(f"{person.username} can sign in at {settings.PUBLIC_URL}/admin/ with the password {password}")
        self.stdout.write("It is shown only now. Change it after signing in: the menu at the name, “Change password”.")
