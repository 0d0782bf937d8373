"""What all our lists and pages share: read-only, no COUNT, and a page of our own per record under its plain id."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from invoices.admin import access
from invoices.models import Event

LATE = timedelta(seconds=30)  # an event that waits longer than this is not just passing through
Facts = list[tuple[str, Any]]


def page_url(record: Model) -> str:
    return url_of(record._meta.model_name or "", record.pk)


def url_of(model: str, pk: Any) -> str:
    """The address of a record's page. Stripe's ids stand in it as they are, so that people can paste them."""
    return reverse(f"admin:invoices_{model}_page", args=[pk])


def freshness() -> dict[str, Any]:
    """How old what a list shows may be: Stripe's last word, and since when one waits to be read into the mirror."""
    heard = Event.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    pending = Event.objects.filter(state=Event.State.PENDING).order_by("next_attempt_at")
    waiting = pending.values_list("received_at", flat=True).first()
    return {"heard": heard, "waiting": waiting if waiting and timezone.now() - waiting > LATE else None}


def _identified(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The answer carries the id under which the journal and the logs know the request."""

    @wraps(view)
    def identified(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response["X-Request-ID"] = access.request_id(request)
        return response

    return identified


@dataclass(frozen=True)
class Paging:
    """Where one is in a list on a page, and the addresses before and after."""

    number: int
    size: int
    before: str
    after: str

    @property
    def begin(self) -> int:
        return (self.number - 1) * self.size


def paging(request: HttpRequest, size: int, total: int | None = None, *, more: bool = False) -> Paging:
    """From the address's `p`. Where nobody counts, `more` says whether a page follows."""
    given = request.GET.get("p", "")
    number = max(1, int(given)) if given.isdecimal() and len(given) < 8 else 1
    last = number if total is None else max(1, -(-total // size))
    number = number if total is None else min(number, last)
    before = with_query(request, p=number - 1) if number > 1 else ""
    return Paging(number, size, before, with_query(request, p=number + 1) if more or number < last else "")


def with_query(request: HttpRequest, **changes: Any) -> str:
    """This page's address with some of its parameters changed; None takes one away."""
    query = request.GET.copy()
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path


class RecordList(ChangeList):
    def url_for_result(self, result: Model) -> str:
        return page_url(result)


class RecordAdmin(ModelAdmin):
    """A list and a page to read; nothing to add, change or delete."""

    page_template = "admin/invoices/record.html"
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_disable_select_all = True  # "all that match" has no number here; bulk takes what is ticked
    list_fullwidth = True
    list_filter_submit = True
    actions: Any = ()
    sortable_by: Any = ()  # only what an index serves
    of_mirror = False  # then the list says how far behind Stripe it may be
    empty_hint = "Nothing here yet."
    missing_hint = "It is not here. It may not have reached us yet."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RecordList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """By index only: Django's own search reads the whole table."""
        return (self.find(search_term.strip(), queryset) if search_term.strip() else queryset), False

    def find(self, term: str, queryset: QuerySet) -> QuerySet:
        return queryset.filter(pk=term)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {**(extra_context or {}), "freshness": freshness() if self.of_mirror else None}
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        *urls, catch_all = super().get_urls()
        return [*self.extra_urls(), *urls, self.at("<str:object_id>/", self.page, "page"), catch_all]

    def extra_urls(self) -> list[URLPattern]:
        return []

    def at(self, route: str, view: Any, name: str) -> URLPattern:
        """A view of this admin, for people who are signed in."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(_identified(view)), name=name)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Django's own address of a record leads to ours."""
        plain = unquote(object_id)
        known = self.get_queryset(request).filter(pk=plain).exists() if plain.isprintable() else False
        return redirect(url_of(self.opts.model_name or "", plain if known else object_id))

    history_view = change_view  # there is no other history than the journal

    def page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        record = self.record(object_id)
        if record is None:
            return self.missing(request, object_id)
        return self.show(request, self.page_template, {**self.page_context(request, record), "record": record})

    def record(self, object_id: str) -> Any:
        try:
            return self.model._default_manager.filter(pk=object_id).first()
        except (ValueError, ValidationError):  # an id that cannot be one
            return None

    def page_context(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """What the page shows; `facts` and `raw` suffice for a plain record."""
        return {"title": str(record), "facts": self.facts(record), "raw": self.raw(record)}

    def facts(self, record: Any) -> Facts:
        return []

    def raw(self, record: Any) -> Any:
        return getattr(record, "data", None)

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        context = {"title": f"Not found: {object_id}", "wanted": object_id, "hint": self.missing_hint}
        return self.show(request, "admin/invoices/missing.html", context, status=404)

    def show(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> TemplateResponse:
        """One of our pages within the theme."""
        request.current_app = self.admin_site.name
        request.crumb = context["title"]  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "opts": self.opts, "subtitle": None, **context}
        return TemplateResponse(request, template, context, status=status)
