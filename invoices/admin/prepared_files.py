"""Files that are prepared in the background: a person's own list of them, the page that shows how far one is, and its
download, which is signed, for this person alone, and judged again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_GET, require_POST

from invoices import exports, recorded, sign_ins
from invoices.admin.base import Facts, RecordAdmin
from invoices.admin.exports import check
from invoices.admin.formatting import DASH, ago, badge, moment, number, size
from invoices.admin.links import page_url
from invoices.exports.kinds import FORMATS
from invoices.models import Export, SignInRecord
from invoices.streaming import streamed
from invoices.thresholds import EXPORT_LINK_LASTS

State = Export.State
TONES = {
    State.WAITING: "grey",
    State.RUNNING: "blue",
    State.READY: "green",
    State.FAILED: "red",
    State.CANCELLED: "grey",
    State.REMOVED: "grey",
}
PIECES_BETWEEN_CHECKS = 20  # of whether the person may still have the file


@admin.register(Export)
class ExportAdmin(RecordAdmin):
    page_template = "admin/exports/page.html"
    refreshed_part = "admin/exports/parts/state.html"
    list_display = ("what", "state_", "rows_", "size_", "asked", "until")
    ordering = ("-asked_at",)
    empty_hint = gettext_noop("Above a list, choose to have it prepared in the background.")
    missing_hint = gettext_noop("It is not yours, or was asked for more than a month ago.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        return super().get_queryset(request).filter(owner=request.user.pk)

    def extra_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:object_id>/file/<str:link>/", self.file_view, "file"),
            self.at("<uuid:object_id>/<slug:verb>/now/", self.change_state_view, "do"),
        ]

    def page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        own = self.record(object_id)
        if own is not None and own.owner_id != request.user.pk:
            return self.missing(request, object_id)
        return super().page(request, object_id)

    def page_context(self, request: HttpRequest, record: Export) -> dict[str, Any]:
        return {
            "title": recorded.shown(record.title),
            "export": record,
            "in_progress": record.state in Export.UNFINISHED,
            "state": badge(record.get_state_display(), TONES[State(record.state)]),
            "rows": number(record.rows),
            "size": size(record.size),
            "why": recorded.shown(record.error),
            "link": _link(record) if record.state == State.READY else "",
            "facts": self.facts(record),
        }

    def facts(self, record: Export) -> Facts:
        facts: Facts = [
            (_("What narrows it"), recorded.shown(record.detail)),
            (_("Format"), record.format.upper()),
            (_("Time zone of its days"), record.time_zone),
            (_("Asked for"), moment(record.asked_at)),
            (_("Begun"), moment(record.started_at, "")),
            (_("Ended"), moment(record.finished_at, "")),
            (_("File is kept until"), moment(record.expires_at, "")),
        ]
        return [(label, value) for label, value in facts if value]

    @method_decorator(require_GET)
    def file_view(self, request: HttpRequest, object_id: Any, link: str) -> HttpResponseBase:
        """The file, for whom the link was made. Recorded before its first byte."""
        export = self._own(request, object_id)
        if not _is_valid(link, export):
            messages.warning(request, _("This link was too old. Here is a new one."))
            return redirect(page_url(export))
        if not request.user.has_perms(export.permissions):
            raise PermissionDenied
        try:
            pieces = exports.pieces(export)
        except exports.Gone:
            messages.warning(request, _("The file is not here any more. Have it prepared again from the list."))
            return redirect(page_url(export))
        prepared = f"prepared {export.finished_at:%Y-%m-%d %H:%M} UTC"
        detail = f"{export.title} as {export.format.upper()}, {prepared}: {export.detail}"
        sign_ins.record(SignInRecord.What.LIST_DOWNLOADED, request=request, user=request.user, detail=detail)
        answer = streamed(_while_allowed(request, export, pieces), FORMATS[export.format][0], export.file_name)
        answer["Content-Length"] = export.size
        answer.sent_as_made = True  # type: ignore[attr-defined]  # backoffice/serving.py does not wait for its end
        return answer

    @method_decorator(require_POST)
    def change_state_view(self, request: HttpRequest, object_id: Any, verb: str) -> HttpResponse:
        """Cancels what is not ready yet, or removes a file."""
        export = self._own(request, object_id)
        if verb == "cancel" and exports.cancel(export):
            messages.success(request, _("Cancelled."))
        elif verb == "remove" and exports.remove(export):
            messages.success(request, _("The file is removed."))
        else:
            messages.info(request, _("It had ended already."))
        return redirect(page_url(export))

    def _own(self, request: HttpRequest, object_id: Any) -> Export:
        """Raises PermissionDenied where it is somebody else's, or nobody's."""
        export = self.record(object_id) if self.has_view_permission(request) else None
        if export is None or export.owner_id != request.user.pk:
            raise PermissionDenied
        return export

    @admin.display(description=gettext_lazy("File"))
    def what(self, export: Export) -> SafeString:
        return format_html(
            '<span class="two"><span class="strong">{}</span><small>{}</small></span>',
            recorded.shown(export.title),
            export.file_name,
        )

    @admin.display(description=gettext_lazy("State"))
    def state_(self, export: Export) -> SafeString:
        return badge(export.get_state_display(), TONES[State(export.state)])

    @admin.display(description=gettext_lazy("Rows"))
    def rows_(self, export: Export) -> str:
        return number(export.rows)

    @admin.display(description=gettext_lazy("Size"))
    def size_(self, export: Export) -> str:
        return size(export.size) if export.size else DASH

    @admin.display(description=gettext_lazy("Asked for"))
    def asked(self, export: Export) -> SafeString:
        return ago(export.asked_at)

    @admin.display(description=gettext_lazy("Kept until"))
    def until(self, export: Export) -> SafeString:
        return moment(export.expires_at)


def _link(export: Export) -> str:
    """Of the file, for its person, for EXPORT_LINK_LASTS."""
    return reverse("admin:invoices_export_file", args=[export.pk, _signer().sign_object(_signed(export))])


def _is_valid(link: str, export: Export) -> bool:
    try:
        return _signer().unsign_object(link, max_age=EXPORT_LINK_LASTS) == _signed(export)
    except signing.BadSignature:
        return False


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt="invoices.export")


def _signed(export: Export) -> list[Any]:
    return [str(export.pk), export.owner_id]


def _while_allowed(request: HttpRequest, export: Export, pieces: Any) -> Any:
    for index, piece in enumerate(pieces):
        if index and index % PIECES_BETWEEN_CHECKS == 0:
            check(request, export.permissions)
        yield piece
