"""E-mails to people: what waits, what fails and why, what was given up, and trying that again."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from invoices import emails, recorded, wakeups
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.filters import TabFilter
from invoices.admin.formatting import ago, badge, moment
from invoices.admin.formatting import number as figures
from invoices.models import Email

TRY_PERMISSION = "invoices.replay_event"  # the same people have failed events processed again
State = Email.State


class EmailStateFilter(TabFilter):
    title, parameter_name = gettext_noop("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("given_up", _("Given up")), ("failing", _("Failing")), ("waiting", _("Waiting")), ("sent", _("Sent"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        state = self.value() or ""
        return queryset.filter(emails.STATES[state]) if state in emails.STATES else queryset


@admin.register(Email)
class EmailAdmin(RecordAdmin):
    list_display = ("subject_", "recipient_", "state_", "error_", "written")
    list_filter = (EmailStateFilter,)
    ordering = ("-written_at",)
    search_fields = ("about",)
    search_help_text = gettext_lazy("The id of what it tells, such as an operation's")
    empty_hint = gettext_noop("No e-mail of the last two weeks.")
    missing_hint = gettext_noop("It was sent, or given up, more than two weeks ago: then its row is removed.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return (
            {"try_again": (_try_ticked, "try_again", _("Try again"))} if request.user.has_perm(TRY_PERMISSION) else {}
        )

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(about=term)

    def page_context(self, request: HttpRequest, record: Email) -> dict[str, Any]:
        return {"title": record.subject, "facts": self.facts(record), "raw": None}

    def facts(self, record: Email) -> Facts:
        waits = record.state == State.WAITING
        return [
            (_("To"), record.recipient),
            (_("Tells"), record.get_kind_display()),
            (_("State"), _state(record)),
            (_("Written"), moment(record.written_at)),
            (_("Next attempt"), moment(record.next_attempt_at) if waits else _("none")),
            (_("Sent") if record.state == State.SENT else _("Given up"), moment(record.ended_at)),
            (_("Failed attempts"), record.attempts or ""),
            (_("Failing since"), moment(record.failing_since)),
            (_("Last error"), recorded.shown(record.error) or "–"),
            (_("Message-ID begins with"), str(record.pk)),
        ]

    @admin.display(description=gettext_lazy("Subject"))
    def subject_(self, record: Email) -> SafeString:
        return format_html('<span class="strong">{}</span>', record.subject)

    @admin.display(description=gettext_lazy("To"))
    def recipient_(self, record: Email) -> str:
        return record.recipient

    @admin.display(description=gettext_lazy("State"))
    def state_(self, record: Email) -> SafeString:
        return _state(record)

    @admin.display(description=gettext_lazy("Last error"))
    def error_(self, record: Email) -> str:
        return Truncator(record.error).chars(120)

    @admin.display(description=gettext_lazy("Written"))
    def written(self, record: Email) -> SafeString:
        return ago(record.written_at)


def _state(record: Email) -> SafeString:
    if record.state == State.GIVEN_UP:
        return badge(gettext_noop("given up"), "red")
    if record.state == State.SENT:
        return badge("sent", "green")
    return badge(gettext_noop("failing"), "amber") if record.failing_since else badge(gettext_noop("waiting"))


def _try_ticked(admin: EmailAdmin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
    """Called by the list: tries those of the ticked ones again that were given up."""
    if not request.user.has_perm(TRY_PERMISSION):
        raise PermissionDenied
    if number := emails.try_again(list(queryset.values_list("pk", flat=True))):
        wakeups.wake("send_emails")
        messages.success(
            request,
            ngettext("{count} e-mail will be tried again.", "{count} e-mails will be tried again.", number).format(
                count=figures(number)
            ),
        )
    else:
        messages.info(request, _("None of them was given up, so there is nothing to try again."))
    return None
