"""The base classes of our lists and pages.

Both are read-only. A list never counts its rows, and is read page by page by key. A record has a page of our own under
its plain id.
"""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from invoices import search, thresholds
from invoices.admin import exports, footers, saved_views
from invoices.admin.formatting import ago, badge, moment
from invoices.admin.links import dashboard_url, url_of
from invoices.admin.lists import COLUMNS, SEARCH_PROBLEM, OnePage, RecordList
from invoices.admin.sorting import Sort, chosen
from invoices.keyset import Order
from invoices.models import Event, PendingEvent
from invoices.reconcile.comparisons import last_comparisons

Facts = list[tuple[str, Any]]  # label and value


def freshness() -> dict[str, Any]:
    """How far a list of mirrored rows may be behind Stripe. `last_received_at`: when the newest event came.
    `waiting_since`: when the oldest event that is not in the mirror yet came, if it waits for longer than normal."""
    last_received_at = Event.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    pending = PendingEvent.objects.order_by("next_attempt_at")
    waiting_since = pending.values_list("received_at", flat=True).first()
    is_late = waiting_since is not None and timezone.now() - waiting_since > thresholds.EVENT_LATE
    return {"last_received_at": last_received_at, "waiting_since": waiting_since if is_late else None}


class RecordAdmin(ModelAdmin):
    """A list of records and a page for each, read-only. A subclass says what the page shows (`page_context`, `facts`),
    how the search works (`find`) and which further views there are (`extra_urls`)."""

    page_template = "admin/shared/record.html"
    refreshed_part = ""  # template of the part that an open page requests again while the record is in progress
    paginator = OnePage
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    # It would need the number of all rows; admin/invoices/bulk.py acts on all that match.
    list_disable_select_all = True
    list_fullwidth = True
    list_before_template = "admin/shared/above_list.html"
    sorts: ClassVar[dict[str, Sort]] = {}  # name in the address → by which column, in which order
    more_columns: tuple[str, ...] = ()  # which a person may choose beside those of `list_display`
    actions: Any = ()
    sortable_by: Any = ()
    ordering: Any = ()  # the one column by which the list is ordered; the primary key comes after it
    list_after_template = "admin/shared/parts/footer.html"
    shows_freshness = False  # whether the list says how far it may be behind Stripe
    empty_hint = gettext_noop("Nothing here yet.")
    missing_hint = gettext_noop("It is not here. It may not have reached us yet.")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        exports.register(self)

    @property
    def media(self) -> Media:
        """What a list needs. Django's own forms need jQuery and more, which no page of ours has."""
        return Media(js=["admin/js/core.js", "admin/js/actions.js"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordList

    def shortcuts(self) -> list[tuple[str, dict[str, str]]]:
        """Filters that are often wanted: a label, and the parameters of the address."""
        return []

    def all_columns(self) -> list[str]:
        """The names of all columns that this list can show."""
        return [*self.list_display, *self.more_columns]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """The columns that the address chooses, and always the first one, which leads to the record; those of
        `list_display` where it chooses none that there is."""
        chosen = set(request.GET.getlist(COLUMNS)) if self.more_columns else set()
        first, *others = self.all_columns()
        if not chosen.intersection(others):
            return list(self.list_display)
        return [first, *(name for name in others if name in chosen)]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Searches by `find` alone, which uses an index. Django's own search would read the whole table."""
        if not search_term.strip():
            return queryset, False
        try:
            return self.find_for(request, search_term.strip(), queryset), False
        except search.QueryError as error:
            setattr(request, SEARCH_PROBLEM, str(error))
            return queryset.none(), False

    def find_for(self, request: HttpRequest, term: str, queryset: QuerySet) -> QuerySet:
        """`find`, for a class that has something to say to the person about it."""
        return self.find(term, queryset)

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        """The rows that `term` may mean. Raises search.QueryError."""
        return queryset.filter(pk=term)

    def order(self, request: HttpRequest) -> Order:
        """The order of the list, which an index must have: as the address says, else as the list has it by itself."""
        sorted_by = chosen(self, request)
        return sorted_by.order if sorted_by else self.default_order(request)

    def default_order(self, request: HttpRequest) -> Order:
        """By `ordering`, then by the primary key."""
        column = self.ordering[0]
        return Order(column.removeprefix("-"), descending=column.startswith("-"))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if any("\x00" in key for key in ticked):  # no key has it, and PostgreSQL takes no text with it
            sent = request.POST.copy()
            sent.setlist(ACTION_CHECKBOX_NAME, [key for key in ticked if "\x00" not in key])
            request.POST = sent  # type: ignore[assignment]
        context = {**(extra_context or {}), "freshness": freshness() if self.shows_freshness else None}
        context["downloads"] = exports.links(self, request)
        context["saved_views"] = saved_views.panel(self, request)
        context["footer"] = footers.context_of(self, request)
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        *urls, catch_all = super().get_urls()
        return [
            *exports.urls(self),
            *saved_views.urls(self),
            *footers.urls(self),
            *self.extra_urls(),
            *urls,
            self.at("<str:object_id>/", self.page, "page"),
            catch_all,
        ]

    def extra_urls(self) -> list[URLPattern]:
        """The further views of a subclass, each made by `at`."""
        return []

    def at(self, route: str, view: Any, name: str) -> URLPattern:
        """The URL pattern of a view that needs a signed-in member of the staff. The view checks permissions itself."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(view), name=name)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Redirects Django's own address of a record (`<quoted id>/change/`) to our page."""
        plain = unquote(object_id)
        known = self.get_queryset(request).filter(pk=plain).exists() if plain.isprintable() else False
        return redirect(url_of(self.opts.model_name or "", plain if known else object_id))

    history_view = change_view  # our journal replaces Django's history of a record

    def page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        record = self.record(object_id)
        if record is None:
            return self.missing(request, object_id)
        context = {**self.page_context(request, record), "record": record}
        if not self.refreshed_part:
            return self.show(request, self.page_template, context)
        return self.refreshing_page(request, context)

    def refreshing_page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """The page; for its own refresh only the part that changes, or the order to reload when the record has ended.
        `context` says whether it is `in_progress`."""
        context["page_address"] = request.get_full_path()
        if request.headers.get("HX-Request") != "true":
            return self.show(request, self.page_template, context)
        if not context["in_progress"]:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return self.show(request, self.refreshed_part, context)

    def record(self, object_id: str) -> Any:
        """The record with this id; None if there is none, or if this cannot be an id (`x` where a UUID is needed)."""
        try:
            return self.model._default_manager.filter(pk=object_id).first()
        except (ValueError, ValidationError):
            return None

    def empty_words(self, chosen: dict[str, str | None]) -> str:
        """What a list without rows says. `chosen`: the values of its filters, by their names in the address."""
        return _(self.empty_hint)

    def prepare(self, records: list[Any]) -> None:
        """Adds to the records of one page of the list what is read once for all of them."""

    def page_context(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """What the page's template is given. For shared/record.html `facts` and `raw` are enough."""
        return {"title": str(record), "facts": self.facts(record), "raw": self.raw(record)}

    def facts(self, record: Any) -> Facts:
        """Labels and values, in the order in which the page shows them."""
        return []

    def raw(self, record: Any) -> Any:
        """The object as Stripe sent it, shown folded at the end of the page."""
        return getattr(record, "data", None)

    def hint_for_missing(self, object_id: str) -> str:
        """What the reader can do about a record that is not here."""
        return self.missing_hint

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """404, with what the reader can do."""
        hint = _(self.hint_for_missing(object_id))
        context = {"title": _("Not found: {id}").format(id=object_id), "wanted": object_id, "hint": hint}
        return self.show(request, "admin/shared/missing.html", context, status=404)

    def show(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> TemplateResponse:
        """Renders one of our pages inside the theme. `context` must have a `title`."""
        request.current_app = self.admin_site.name
        request.crumb = context["title"]  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "opts": self.opts, "subtitle": None, **context}
        return TemplateResponse(request, template, context, status=status)


class MirroredAdmin(RecordAdmin):
    """A list and a page of mirrored objects. Every row and page says as of when the mirror has it."""

    ordering = ("-created",)
    search_fields = ("id",)
    dashboard_path = ""  # the part of Stripe's dashboard that shows these objects: `customers`
    shows_freshness = True

    def page_context(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        link = dashboard_url(f"{self.dashboard_path}/{record.pk}", record.livemode) if self.dashboard_path else ""
        return {**super().page_context(request, record), "as_of": last_comparisons().as_of(record), "dashboard": link}

    def prepare(self, records: list[Any]) -> None:
        comparisons = last_comparisons()
        for record in records:
            record.known_as_of = comparisons.as_of(record)

    @admin.display(description=gettext_lazy("Created"))
    def created_(self, record: Any) -> SafeString:
        return moment(record.created)

    @admin.display(description=gettext_lazy("As of"))
    def as_of(self, record: Any) -> SafeString:
        return ago(record.known_as_of)

    @admin.display(description=gettext_lazy("Status"))
    def status_(self, record: Any) -> SafeString:
        return badge(record.status or "unreadable")

    @admin.display(description=gettext_lazy("Id"))
    def id_(self, record: Any) -> SafeString:
        return format_html("<code>{}</code>", record.pk)
