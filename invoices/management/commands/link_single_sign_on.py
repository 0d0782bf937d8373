"""`manage.py link_single_sign_on USER SUBJECT --reason TEXT`: an account of before, to the identity provider.

Exit 0 done, 1 refused.
"""

from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, transaction

from invoices import sign_ins
from invoices.management.exit_codes import USAGE_ERROR
from invoices.management.people import active_user, shell_user


class Command(BaseCommand):
    help = (
        "Links a user to a person of the identity provider, by the subject (`sub`) that the provider gives her. From "
        "then on her groups are those of the provider. Superusers and service users are not linked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="the user name")
        parser.add_argument("subject", metavar="SUBJECT", help="the provider's `sub` of this person")
        parser.add_argument("--reason", required=True, help="stands in the journal")

    def handle(self, *args: Any, user: str, subject: str, reason: str, **options: Any) -> None:
        if not reason.strip() or not subject.strip():
            raise CommandError("SUBJECT and --reason must not be empty.", returncode=USAGE_ERROR)
        person: User | None = active_user(user)
        if person is None or person.is_superuser:
            raise CommandError("A superuser signs in with a password and a second factor.")
        try:
            with transaction.atomic():
                if SocialAccount.objects.filter(user=person).exists():
                    raise CommandError(f"“{user}” is linked already.")
                SocialAccount.objects.create(
                    user=person, provider=settings.OIDC_PROVIDER_ID, uid=subject.strip(), extra_data={}
                )
                sign_ins.record(
                    sign_ins.What.USER_CHANGED,
                    user=person,
                    by=shell_user(),
                    detail=f"linked to subject {subject.strip()} of the identity provider",
                    reason=reason.strip(),
                )
        except IntegrityError:
            raise CommandError("Another user is linked to this subject.") from None
        self.stdout.write(f"{user} is linked.")
